"""From pixels and a box to the network's input: bit for bit what the runtime prepares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
from numpy.typing import NDArray

from realmnet_compression.embedding.builder import GraphBuilder
from realmnet_compression.embedding.single_file import add_preparation, make_inputs
from realmnet_runtime.aperture.field_of_view import FieldOfView
from realmnet_runtime.pictures.preprocess import PreprocessSpec, prepare, to_tensor

SIZE = 32
SPECS = {
    "area": PreprocessSpec(size=SIZE),
    "pad": PreprocessSpec(size=SIZE, fit="pad"),
    "mask": PreprocessSpec(size=SIZE, deborder="crop+mask", fit="pad"),
    "off": PreprocessSpec(size=SIZE, deborder="off"),
    "linear": PreprocessSpec(size=SIZE, resize="linear"),
    "scaled": PreprocessSpec(size=SIZE, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)),
}
# (height, width) of the crop: by fractions, by whole numbers and two by two, means that lie
# exactly between two bytes (a half, a quarter of the square's side), enlarged, both ways, odd.
CROPS = [
    (75, 94),
    (96, 160),
    (64, 64),
    (80, 64),
    (64, 80),
    (48, 56),
    (20, 25),
    (32, 32),
    (19, 77),
    (90, 21),
    (33, 131),
    (517, 389),
    (5, 4),
]

Feeds = dict[str, NDArray[np.generic]]
Run = Callable[[Feeds], NDArray[np.float32]]


@dataclass(frozen=True)
class Preparation:
    """A specification's nodes alone, in both engines."""

    spec: PreprocessSpec
    engines: dict[str, Run]


def only_preparation(spec: PreprocessSpec) -> bytes:
    build = GraphBuilder("embedded")
    tensor = add_preparation(build, spec)
    answer = onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, [1, 3, SIZE, SIZE])
    graph = onnx.helper.make_graph(
        build.nodes, "preparation", make_inputs(spec), [answer], list(build.constants.values())
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


@pytest.fixture(scope="module", params=SPECS)
def preparation(request: pytest.FixtureRequest) -> Preparation:
    spec = SPECS[request.param]
    content = only_preparation(spec)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(core.read_model(model=content), "CPU", settings)
    return Preparation(
        spec,
        {
            "onnxruntime": lambda feeds: session.run(None, feeds)[0],
            "openvino": lambda feeds: compiled(feeds)[0],
        },
    )


def picture(height: int, width: int) -> tuple[NDArray[np.uint8], FieldOfView]:
    """Patches under noise with black and white pixels, and an oval aperture off the middle."""
    random = np.random.default_rng(height * 1000 + width)
    rows, columns = height + 5, width + 3
    coarse = random.integers(0, 230, (rows // 6 + 1, columns // 6 + 1, 3))
    patches = coarse.repeat(6, axis=0).repeat(6, axis=1)[:rows, :columns]
    image = (patches + random.integers(0, 26, patches.shape)).astype(np.uint8)
    image[random.random((rows, columns)) < 0.05] = 255
    image[random.random((rows, columns)) < 0.05] = 0
    y, x = np.ogrid[:rows, :columns]
    oval = ((y - rows / 2) / height) ** 2 + ((x - columns / 2) / width) ** 2 < 0.22
    return image, FieldOfView(box=(2, 4, 2 + width, 4 + height), mask=oval)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_tensors_are_the_runtimes(preparation: Preparation, engine: str) -> None:
    spec = preparation.spec
    for height, width in CROPS:
        image, field = picture(height, width)
        if spec.deborder == "off":
            rows, columns = image.shape[:2]
            field = FieldOfView(box=(0, 0, columns, rows), mask=field.mask)
        feeds: Feeds = {"image": image, "box": np.array(field.box, np.int64)}
        if spec.deborder == "crop+mask":
            # Anything but zero is inside.
            feeds["mask"] = field.mask.astype(np.uint8) * 255
        found = preparation.engines[engine](feeds)
        expected = to_tensor(prepare(image, spec, field), spec)[np.newaxis]
        assert found.dtype == np.float32
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found, expected, err_msg=f"{height} x {width}")
