"""A tiny model with a real one's outputs (FP32, Q/DQ INT8), a picture, and bundles of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime.aperture.field_of_view import find_field_of_view
from realmnet_runtime.backends import AUTO_ORDER, installed_engines, silence_openvino
from realmnet_runtime.bundles.manifest import (
    GoldenAnswer,
    GoldenCase,
    Model,
    OperatingPoint,
    Provenance,
    Variant,
)
from realmnet_runtime.bundles.writer import write_bundle
from realmnet_runtime.labels import PSMM, LabelSet
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.pictures.preprocess import PreprocessSpec, preprocess, tensor_digest

SIZE = 64
LABELS = 7
TEMPERATURE = 1.7


@dataclass(frozen=True)
class TinyModel:
    """ONNX bytes with their input size and label count."""

    content: bytes
    size: int
    labels: int


def build_tiny_model(*, quantised: bool, size: int = SIZE, labels: int = LABELS) -> TinyModel:
    """Conv-Relu-Conv-Relu-1x1 Conv, mean plus 1.2 times maximum; Q/DQ pairs around each product."""
    onnx = pytest.importorskip("onnx", reason="test models are made with onnx, a test dependency")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    random = np.random.default_rng(7)
    kernels = {
        "first": random.normal(size=(8, 3, 3, 3)) * 0.4,
        "second": random.normal(size=(16, 8, 3, 3)) * 0.25,
        "head": random.normal(size=(labels, 16, 1, 1)) * 0.6,
    }
    nodes = []
    constants = [
        numpy_helper.from_array(np.array([2, 3], np.int64), "positions"),
        numpy_helper.from_array(np.array(1.2, np.float32), "lambda"),
    ]

    def pair(value: str, step: float) -> str:
        if not quantised:
            return value
        constants.append(numpy_helper.from_array(np.array(step, np.float32), f"{value}_step"))
        constants.append(numpy_helper.from_array(np.array(0, np.int8), f"{value}_zero"))
        scale = [f"{value}_step", f"{value}_zero"]
        nodes.append(helper.make_node("QuantizeLinear", [value, *scale], [f"{value}_q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{value}_q", *scale], [f"{value}_dq"]))
        return f"{value}_dq"

    def weight(name: str) -> str:
        kernel = kernels[name].astype(np.float32)
        if not quantised:
            constants.append(numpy_helper.from_array(kernel, f"{name}_weight"))
            return f"{name}_weight"
        step = np.float32(np.abs(kernel).max() / 127)
        stored = np.rint(kernel / step).astype(np.int8)
        constants.append(numpy_helper.from_array(stored, f"{name}_q"))
        constants.append(numpy_helper.from_array(step, f"{name}_step"))
        constants.append(numpy_helper.from_array(np.array(0, np.int8), f"{name}_zero"))
        inputs = [f"{name}_q", f"{name}_step", f"{name}_zero"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{name}_weight"]))
        return f"{name}_weight"

    def convolution(value: str, name: str, step: float, out: str, **options: list[int]) -> None:
        inputs = [pair(value, step), weight(name)]
        nodes.append(helper.make_node("Conv", inputs, [out], **options))

    shrink = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    convolution("image", "first", 1.0 / 127, "a", **shrink)
    nodes.append(helper.make_node("Relu", [pair("a", 3.0 / 127)], ["b"]))
    convolution("b", "second", 3.0 / 127, "c", **shrink)
    nodes.append(helper.make_node("Relu", [pair("c", 4.0 / 127)], ["d"]))
    convolution("d", "head", 4.0 / 127, "maps")
    pooled = pair("maps", 6.0 / 127)
    nodes.append(helper.make_node("Identity", [pooled], ["score_maps"]))
    nodes.append(helper.make_node("ReduceMean", [pooled, "positions"], ["mean"], keepdims=0))
    nodes.append(helper.make_node("ReduceMax", [pooled, "positions"], ["most"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["most", "lambda"], ["attention"]))
    nodes.append(helper.make_node("Add", ["mean", "attention"], ["logits"]))
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", kind, [1, 3, size, size])],
        [
            helper.make_tensor_value_info("logits", kind, [1, labels]),
            helper.make_tensor_value_info("score_maps", kind, [1, labels, size // 4, size // 4]),
        ],
        constants,
    )
    opset = [helper.make_opsetid("", 21)]
    model = helper.make_model(graph, opset_imports=opset, producer_name="realmnet")
    model.ir_version = 10
    onnx.checker.check_model(model, full_check=True)
    return TinyModel(model.SerializeToString(), size, labels)


@pytest.fixture(scope="session")
def tiny_fp32() -> TinyModel:
    return build_tiny_model(quantised=False)


@pytest.fixture(scope="session")
def tiny_int8() -> TinyModel:
    return build_tiny_model(quantised=True)


@dataclass(frozen=True)
class TinyIr:
    """An OpenVINO IR, its second file, and the ONNX file it was converted from."""

    content: bytes
    weights: bytes
    source: TinyModel


def convert_to_ir(model: TinyModel, folder: Path) -> TinyIr:
    """By OpenVINO's own reader and writer."""
    silence_openvino()
    openvino = pytest.importorskip("openvino", reason="an IR is written by openvino")
    read = openvino.Core().read_model(model=model.content)
    openvino.save_model(read, folder / "tiny.xml", compress_to_fp16=False)
    files = [(folder / f"tiny.{suffix}").read_bytes() for suffix in ("xml", "bin")]
    return TinyIr(files[0], files[1], model)


@pytest.fixture(scope="session")
def tiny_irs(
    tiny_fp32: TinyModel, tiny_int8: TinyModel, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, TinyIr]:
    models = {"fp32": tiny_fp32, "int8": tiny_int8}
    return {
        name: convert_to_ir(model, tmp_path_factory.mktemp(name)) for name, model in models.items()
    }


@pytest.fixture(scope="session")
def eye() -> NDArray[np.uint8]:
    """(480, 640, 3) uint8 RGB: a textured disc, red and green as of two lasers, on black."""
    random = np.random.default_rng(11)
    texture = cv2.resize(random.random((24, 32), np.float32), (640, 480), interpolation=2)
    # Without anything fine in it an eye is blurred, and a blurred one is not answered.
    texture += 0.7 * cv2.resize(random.random((120, 160), np.float32) - 0.5, (640, 480))
    rows, columns = np.mgrid[:480, :640]
    inside = ((columns - 330) / 250.0) ** 2 + ((rows - 245) / 200.0) ** 2 < 1
    red = np.where(inside, 90 + 110 * texture, 2)
    green = np.where(inside, 60 + 70 * texture[::-1], 2)
    return np.stack([red, green, np.where(inside, 6, 2)], axis=2).clip(0, 255).astype(np.uint8)


def encoded(image: NDArray[np.uint8], suffix: str, *options: int) -> bytes:
    """A picture file's bytes."""
    done, data = cv2.imencode(suffix, image[:, :, ::-1], list(options))
    assert done
    return data.tobytes()


@pytest.fixture(scope="session")
def eye_png(eye: NDArray[np.uint8]) -> bytes:
    return encoded(eye, ".png")


def reference_probabilities(model: TinyModel, tensor: NDArray[np.float32]) -> tuple[float, ...]:
    """By onnx's reference evaluator and scipy's expit: neither is used by the runtime."""
    onnx = pytest.importorskip("onnx")
    evaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator(
        onnx.load_from_string(model.content)
    )
    (logits,) = evaluator.run(["logits"], {"image": tensor[np.newaxis]})
    expit = pytest.importorskip("scipy.special").expit
    return tuple(float(p) for p in expit(logits[0].astype(np.float64) / TEMPERATURE))


@dataclass(frozen=True)
class BundleMaker:
    """Writes bundles of the tiny model, with liberties."""

    models: dict[str, TinyModel]
    picture: bytes

    def __call__(
        self,
        path: Path,
        *,
        labels: LabelSet = PSMM,
        size: int = SIZE,
        variants: tuple[Variant, ...] | None = None,
        golden: bool = True,
        probabilities_off_by: float = 0.0,
        tensor_sha256: str | None = None,
        box_off_by: int = 0,
    ) -> Path:
        point = OperatingPoint(
            temperatures=dict.fromkeys(labels.names, TEMPERATURE),
            thresholds=dict.fromkeys(labels.names, 0.5),
            fitted_on="nothing: a test",
        )
        names = [("onnxruntime", "int8"), ("onnxruntime", "fp32"), ("openvino", "int8")]
        listed = variants or tuple(
            Variant(
                name=f"{engine}-{precision}",
                engine=engine,  # type: ignore[arg-type]
                precision=precision,  # type: ignore[arg-type]
                execution_precision=precision,  # type: ignore[arg-type]
                artifact=f"models/{precision}.onnx",
                operating_point=point,
                oldest_engine="1.0",
            )
            for engine, precision in [*names, ("openvino", "fp32")]
        )
        spec = PreprocessSpec(size=size)
        files = {f"models/{name}.onnx": model.content for name, model in self.models.items()}
        files["golden/eye.png"] = self.picture
        cases = ()
        if golden:
            pixels = read_image(self.picture)
            tensor = preprocess(pixels, spec)
            x0, y0, x1, y1 = find_field_of_view(pixels).box
            answers = []
            for variant in listed:
                found = reference_probabilities(self.models[variant.precision], tensor)
                off = tuple(min(1.0, max(0.0, p + probabilities_off_by)) for p in found)
                tolerance = 1e-4 if variant.precision == "fp32" else 0.08
                answers.append(GoldenAnswer(variant.name, off, tolerance))
            cases = (
                GoldenCase(
                    name="eye",
                    image="golden/eye.png",
                    box=(x0 + box_off_by, y0, x1 + box_off_by, y1),
                    box_tolerance=1,
                    tensor_sha256=tensor_sha256 or tensor_digest(tensor),
                    answers=tuple(answers),
                ),
            )
        return write_bundle(
            path,
            files=files,
            model=Model("tiny", "1", "three convolutions", 1000, "A test model: says nothing."),
            labels=labels,
            preprocess=spec,
            variants=listed,
            golden=cases,
            provenance=Provenance(
                created="2026-01-01",
                trained_on="nothing",
                command="pytest",
                toolkit_version="0",
                checkpoint_sha256="0" * 64,
                data_sha256={},
                software={},
            ),
        )

    def finding(self, path: Path, *found: str) -> Path:
        """A bundle that finds these labels in every picture and no other."""
        thresholds = {label: 0.0 if label in found else 1.0 for label in PSMM.names}
        point = OperatingPoint(
            dict.fromkeys(PSMM.names, TEMPERATURE), thresholds, "nothing: a test"
        )
        variants = tuple(
            Variant(
                name=f"{engine}-fp32",
                engine=engine,
                precision="fp32",
                execution_precision="fp32",
                artifact="models/fp32.onnx",
                operating_point=point,
                oldest_engine="1.0",
            )
            for engine in ("onnxruntime", "openvino")
        )
        return self(path, variants=variants, golden=False)


@pytest.fixture(scope="session")
def make_bundle(tiny_fp32: TinyModel, tiny_int8: TinyModel, eye_png: bytes) -> BundleMaker:
    return BundleMaker({"fp32": tiny_fp32, "int8": tiny_int8}, eye_png)


@pytest.fixture(scope="session")
def tiny_bundle(make_bundle: BundleMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny.realmnet")


@pytest.fixture(scope="session")
def an_engine() -> str:
    engines = [engine for engine in AUTO_ORDER if engine in installed_engines()]
    if not engines:
        pytest.skip("no engine installed")
    return engines[-1]
