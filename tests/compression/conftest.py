"""Small networks that have learnt something, an exported file, and pictures to ask about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch

from realmnet_benchmarks.phantom_splits import SplitPlan, draw_splits
from realmnet_benchmarks.phantoms import write_dataset
from realmnet_benchmarks.records import read_psmm
from realmnet_compression.export_onnx import IR_VERSION, OPSET, PRODUCER, export_onnx
from realmnet_compression.graphs.graph import to_tensor as to_constant
from realmnet_compression.quantisation.activations import calibrate_ranges
from realmnet_compression.quantisation.products import find_products
from realmnet_compression.quantisation.qdq import write_int8
from realmnet_runtime.labels import PSMM
from realmnet_runtime.pictures.preprocess import PreprocessSpec, to_tensor
from realmnet_training.checkpoint import CheckpointFacts, architecture_of, save_checkpoint
from realmnet_training.losses import binary_cross_entropy
from realmnet_training.measuring.evaluation import compute_logits, facts_of
from realmnet_training.measuring.operating_points import fit_operating_point
from realmnet_training.model import RealMNet
from realmnet_training.pictures.prepared import PreparedSplit, prepare_split

SIZE = 64

Float32Array = npt.NDArray[np.float32]


def structured_pictures(count: int, seed: int) -> tuple[Float32Array, Float32Array]:
    """(N, 3, 64, 64) pictures of stripes and blobs, and 7 targets that can be read off them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
    images = np.empty((count, 3, SIZE, SIZE), np.float32)
    targets = rng.integers(0, 2, (count, 7)).astype(np.float32)
    for image, target in zip(images, targets, strict=True):
        level = 0.3 + 0.2 * target[0]
        stripes = target[1] * np.sin(x * 60) + target[2] * np.sin(y * 60)
        blob = np.exp(-((x - 0.25 - 0.5 * target[3]) ** 2 + (y - 0.5) ** 2) * 40)
        shades = np.array([level, level * (0.4 + 0.4 * target[4]), 0.1 + 0.3 * target[5]])
        picture = shades[:, None, None] + 0.1 * stripes + (0.2 + 0.2 * target[6]) * blob
        image[:] = np.clip(picture + rng.normal(0, 0.02, picture.shape), 0, 1)
    return images, targets


@pytest.fixture(scope="session")
def trained() -> RealMNet:
    """A 5M network at 64 px after a few steps: batch norms calibrated, logits that vary."""
    torch.manual_seed(0)
    model = RealMNet("5m", SIZE)
    images, targets = (torch.from_numpy(part) for part in structured_pictures(96, seed=1))
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    model.train()
    for step in range(36):
        rows = slice(step % 6 * 16, step % 6 * 16 + 16)
        loss = binary_cross_entropy(model(images[rows])[0], targets[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    calibrate_batch_norms(model, images)
    return model.eval()


def calibrate_batch_norms(model: RealMNet, images: torch.Tensor) -> None:
    """Set every running mean and variance to those of these images; a few steps do not reach."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    model.train()
    with torch.no_grad():
        for batch in images.split(48):
            model(batch)


@pytest.fixture(scope="session")
def exported(trained: RealMNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network's FP32 file."""
    return export_onnx(trained, tmp_path_factory.mktemp("exported") / "fp32.onnx")


@pytest.fixture(scope="session")
def tensors() -> list[Float32Array]:
    """24 pictures (1, 3, 64, 64) the network has not seen."""
    images, _ = structured_pictures(24, seed=2)
    return [image[np.newaxis] for image in images]


@pytest.fixture(scope="session")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like an exported one with one of each kind of node, small enough to build quickly."""
    path = tmp_path_factory.mktemp("small") / "fp32.onnx"
    path.write_bytes(small_network().SerializeToString(deterministic=True))
    return path


def small_network() -> onnx.ModelProto:
    """Convolutions that pad, a depthwise one, attention, GELU and a head, at 32 px."""
    rng = np.random.default_rng(5)
    tensors: dict[str, npt.NDArray[np.generic]] = {
        "stem.weight": rng.normal(0, 0.4, (16, 3, 3, 3)).astype(np.float32),
        "stem.bias": rng.normal(0, 0.1, 16).astype(np.float32),
        "mix.weight": rng.normal(0, 0.4, (16, 1, 3, 3)).astype(np.float32),
        "mix.bias": np.zeros(16, np.float32),
        "norm.weight": np.ones(16, np.float32),
        "norm.bias": rng.normal(0, 0.1, 16).astype(np.float32),
        "table": rng.normal(0, 0.1, (1, 9)).astype(np.float32),
        "index": rng.integers(0, 9, (256, 256)).astype(np.int32),
        "fc1.weight": rng.normal(0, 0.3, (16, 32)).astype(np.float32),
        "fc1.bias": rng.normal(0, 0.1, 32).astype(np.float32),
        "fc2.weight": rng.normal(0, 0.2, (32, 16)).astype(np.float32),
        "fc2.bias": rng.normal(0, 0.1, 16).astype(np.float32),
        "head.weight": rng.normal(0, 1.0, (7, 16, 1, 1)).astype(np.float32),
        "to_tokens": np.array([1, 16, 256], np.int64),
        "to_grid": np.array([1, 16, 16, 16], np.int64),
        "places": np.array([2, 3], np.int64),
        "root": np.float32(np.sqrt(2.0)),
        "one": np.float32(1.0),
        "half": np.float32(0.5),
    }
    swapped = {"perm": [0, 2, 1]}
    rows: list[tuple[str, str, list[str], str, dict[str, object]]] = [
        ("stem", "Conv", ["image", "stem.weight", "stem.bias"], "a", padding(2)),
        ("stem", "Relu", ["a"], "b", {}),
        ("mix", "Conv", ["b", "mix.weight", "mix.bias"], "c", {**padding(1), "group": 16}),
        ("mix", "Reshape", ["c", "to_tokens"], "d", {}),
        ("mix", "Transpose", ["d"], "e", swapped),
        ("norm", "LayerNormalization", ["e", "norm.weight", "norm.bias"], "f", {"axis": -1}),
        ("attn", "Transpose", ["f"], "g", swapped),
        ("attn", "MatMul", ["f", "g"], "h", {}),
        ("attn", "Gather", ["table", "index"], "i", {"axis": 1}),
        ("attn", "Add", ["h", "i"], "j", {}),
        ("attn", "Softmax", ["j"], "k", {"axis": -1}),
        ("attn", "MatMul.2", ["k", "f"], "l", {}),
        ("fc1", "MatMul", ["l", "fc1.weight"], "m", {}),
        ("fc1", "Add", ["m", "fc1.bias"], "n", {}),
        ("gelu", "Div", ["n", "root"], "o", {}),
        ("gelu", "Erf", ["o"], "p", {}),
        ("gelu", "Add", ["p", "one"], "q", {}),
        ("gelu", "Mul", ["n", "q"], "r", {}),
        ("gelu", "Mul.2", ["r", "half"], "s", {}),
        ("fc2", "MatMul", ["s", "fc2.weight"], "t", {}),
        ("fc2", "Add", ["fc2.bias", "t"], "u", {}),
        ("skip", "Add", ["e", "u"], "v", {}),
        ("skip", "Transpose", ["v"], "w", swapped),
        ("skip", "Reshape", ["w", "to_grid"], "x", {}),
        ("head", "Conv", ["x", "head.weight"], "score_maps", {}),
        ("head", "ReduceMean", ["score_maps", "places"], "logits", {"keepdims": 0}),
    ]
    nodes = [
        onnx.helper.make_node(
            kind.split(".")[0], inputs, [output], name=f"{module}/{kind}", **options
        )
        for module, kind, inputs, output, options in rows
    ]
    float32 = onnx.TensorProto.FLOAT
    shapes = {"image": [1, 3, 32, 32], "logits": [1, 7], "score_maps": [1, 7, 16, 16]}
    image, *answers = (
        onnx.helper.make_tensor_value_info(name, float32, shape) for name, shape in shapes.items()
    )
    graph = onnx.helper.make_graph(
        nodes,
        "small",
        [image],
        answers,
        [to_constant(value, name) for name, value in tensors.items()],
    )
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(
        graph, opset_imports=opset, ir_version=IR_VERSION, producer_name=PRODUCER
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def padding(stride: int) -> dict[str, object]:
    return {"kernel_shape": [3, 3], "strides": [stride, stride], "pads": [1, 1, 1, 1]}


@pytest.fixture(scope="session")
def small_tensors() -> list[Float32Array]:
    """Six pictures (1, 3, 32, 32) for the small network."""
    rng = np.random.default_rng(6)
    return [rng.random((1, 3, 32, 32), np.float32) for _ in range(6)]


@pytest.fixture(scope="session")
def small_int8(
    small_file: Path, small_tensors: list[Float32Array], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The small network's portable Q/DQ file."""
    model = onnx.load(small_file)
    products = find_products(model.graph)
    wanted = [product for product in products if product.kind != "depthwise"]
    values = calibrate_ranges(model, [p.activation for p in wanted], small_tensors, 1)
    ranges = {product.name: values[product.activation] for product in wanted}
    path = tmp_path_factory.mktemp("small") / "int8.onnx"
    path.write_bytes(write_int8(model, products, ranges).SerializeToString(deterministic=True))
    return path


@pytest.fixture(scope="session")
def release_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with phantoms and a checkpoint trained on them for seconds; others add to it."""
    root = tmp_path_factory.mktemp("release")
    plan = SplitPlan(train=24, dev=32, test=24, natural=0, images_per_patient=2, seed=3)
    write_dataset(root / "data", draw_splits(plan), height=128, width=160, workers=1)
    spec = PreprocessSpec(size=64)
    records = read_psmm(root / "data")
    train, development = (
        prepare_split(records[name], spec, root / "cache", 1) for name in ("train", "val")
    )
    model = overfitted(train, spec)
    logits = compute_logits(model, development, spec)
    facts = CheckpointFacts(
        architecture=architecture_of(model),
        label_set=PSMM,
        spec=spec,
        splits={"train": facts_of(train.split)},
        epochs=1,
        finished=True,
        operating_point=fit_operating_point(logits, development.split.labels, PSMM, "val"),
    )
    save_checkpoint(root / "checkpoint.safetensors", model, facts)
    return root


@pytest.fixture(scope="session")
def many_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms whose development table is long enough to fit limits of quality on."""
    root = tmp_path_factory.mktemp("many")
    plan = SplitPlan(train=0, dev=53, test=24, natural=0, images_per_patient=2, seed=5)
    write_dataset(root, draw_splits(plan), height=128, width=160, workers=1)
    return root


def overfitted(train: PreparedSplit, spec: PreprocessSpec) -> RealMNet:
    torch.manual_seed(0)
    model = RealMNet("5m", spec.size)
    images = torch.from_numpy(np.stack([to_tensor(p, spec) for p in train.pictures]))
    targets = torch.from_numpy(train.split.labels.astype(np.float32))
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    model.train()
    for step in range(30):
        rows = slice(step % 3 * 16, step % 3 * 16 + 16)
        loss = binary_cross_entropy(model(images[rows])[0], targets[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # a few steps do not carry the running statistics to the pictures' own
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        model(images)
    return model.eval()
