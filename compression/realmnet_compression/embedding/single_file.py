"""One ONNX file from decoded pixels and their box to probabilities and score maps.

Everything that `realmnet_runtime` does between decoding and the threshold, but for looking for the
box: crop, mask, resize, tensor, network, sigmoid(logit / temperature).
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnx

from realmnet_compression.embedding.builder import GraphBuilder
from realmnet_compression.embedding.resize import add_resize
from realmnet_compression.export_onnx import PRODUCER, read_signature
from realmnet_compression.graphs.graph import strip_notes
from realmnet_runtime._version import __version__
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.manifest import Variant
from realmnet_runtime.errors import ConfigurationError, IncompatibleError
from realmnet_runtime.pictures.preprocess import PreprocessSpec

IMAGE: Final = "image"
BOX: Final = "box"
MASK: Final = "mask"
PROBABILITIES: Final = "probabilities"
SCORE_MAPS: Final = "score_maps"
METADATA: Final = "realmnet"
"""Key of the metadata property that holds `EmbeddedFacts` as JSON."""

FORMAT: Final = 1

_OLDEST_OPSET: Final = 17
_PREFIX: Final = "embedded"
_MOST_ENLARGEMENT: Final = 8


class EmbeddedFacts(msgspec.Struct, frozen=True):
    """What a single file says of itself, in its metadata.

    Attributes:
        format: of the file's inputs, outputs and these facts.
        labels: names in the order of the outputs.
        thresholds: in the same order; a label is found at probability >= threshold.
        exclusive_groups: labels of which a consistent answer has exactly one.
        size: side S of the network's input, pixels.
        preprocess: the bundle's specification, for the decoder and the box.
        smallest_side: shortest side of a crop that the runtime answers, pixels.
        bundle_sha256: digest of the bundle.
        model: name and version.
        variant: name in the bundle.
        engine: for which the variant was released.
        execution_precision: in which that engine is to compute.
        notice: the statement every answer carries.
    """

    format: int
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    exclusive_groups: tuple[tuple[str, ...], ...]
    size: int
    preprocess: PreprocessSpec
    smallest_side: int
    bundle_sha256: str
    model: str
    variant: str
    engine: str
    execution_precision: str
    notice: str


def embed_variant(bundle: Bundle, variant: Variant) -> onnx.ModelProto:
    """Make the single file of a variant.

    Inputs: `image` (height, width, 3) uint8 RGB; `box` (4,) int64, x0, y0, x1, y1 in its pixels,
    half-open, the whole picture where the specification says `deborder="off"`; and, for
    `crop+mask` only, `mask` (height, width) uint8, not 0 inside the aperture. Outputs:
    `probabilities` (1, L) and `score_maps` (1, L, h, w) float32.

    Args:
        bundle: an open one.
        variant: one of its variants whose model is an ONNX file.

    Returns:
        The model, checked by onnx. The same bundle gives the same bytes.

    Raises:
        ConfigurationError: the variant's model is no ONNX file of this toolkit, or the bundle
            resizes by `cubic`, which is not the same to the last bit.
        IncompatibleError: its operators are older than those the file needs.
        IntegrityError: the bundle was altered since it was opened.
    """
    model = _read_network(bundle, variant)
    manifest = bundle.manifest
    spec, labels = manifest.preprocess, manifest.labels.names
    network = model.graph
    build = GraphBuilder(_PREFIX)
    tensor = add_preparation(build, spec)
    for node in network.node:
        node.input[:] = [tensor if name == IMAGE else name for name in node.input]
    after = GraphBuilder(f"{_PREFIX}/answer")
    temperatures = np.array([variant.operating_point.temperatures[name] for name in labels])
    scaled = after.node("Div", "logits", after.constant(temperatures.astype(np.float32)))
    after.node("Sigmoid", scaled, out=PROBABILITIES)
    graph = onnx.helper.make_graph(
        [*build.nodes, *network.node, *after.nodes],
        f"{network.name}_embedded",
        make_inputs(spec),
        [
            onnx.helper.make_tensor_value_info(
                PROBABILITIES, onnx.TensorProto.FLOAT, [1, len(labels)]
            ),
            next(value for value in network.output if value.name == SCORE_MAPS),
        ],
        [*build.constants.values(), *network.initializer, *after.constants.values()],
    )
    embedded = onnx.helper.make_model(
        graph,
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
        producer_name=PRODUCER,
        producer_version=__version__,
    )
    strip_notes(embedded)
    facts = msgspec.json.encode(_facts(bundle, variant), order="deterministic").decode()
    onnx.helper.set_model_props(embedded, {METADATA: facts})
    onnx.checker.check_model(embedded, full_check=True)
    return embedded


def read_facts(model: onnx.ModelProto) -> EmbeddedFacts:
    """What a single file says of itself.

    Raises:
        ConfigurationError: it is no file of `embed_variant`.
    """
    for entry in model.metadata_props:
        if entry.key == METADATA:
            try:
                return msgspec.json.decode(entry.value, type=EmbeddedFacts)
            except msgspec.DecodeError as error:
                raise ConfigurationError(
                    f"the file's metadata '{METADATA}' cannot be read ({error}); make the file "
                    "again with `realmnet bundle to-onnx`"
                ) from error
    raise ConfigurationError(
        f"the file has no metadata '{METADATA}'; make it with `realmnet bundle to-onnx`"
    )


def _read_network(bundle: Bundle, variant: Variant) -> onnx.ModelProto:
    if not variant.artifact.endswith(".onnx"):
        whole = [v.name for v in bundle.manifest.variants if v.artifact.endswith(".onnx")]
        raise ConfigurationError(
            f"variant '{variant.name}' runs '{variant.artifact}', which is no ONNX file; choose "
            f"{' or '.join(whole) or 'a bundle that has one'}"
        )
    if bundle.manifest.preprocess.resize == "cubic":
        raise ConfigurationError(
            "the bundle resizes by 'cubic', which has no exact form in ONNX; 'area' and 'linear' "
            "have: release it with one of them"
        )
    model = onnx.load_from_string(bundle.read(variant.artifact))
    signature = read_signature(model, f"'{variant.artifact}'")
    expected = (bundle.manifest.preprocess.size, len(bundle.manifest.labels))
    if (signature.size, signature.labels) != expected:
        raise ConfigurationError(
            f"'{variant.artifact}' takes {signature.size} px and answers {signature.labels} "
            f"labels; the manifest says {expected[0]} px and {expected[1]}: release it again"
        )
    if signature.opset < _OLDEST_OPSET:
        raise IncompatibleError(
            f"'{variant.artifact}' uses operators of opset {signature.opset}; {_OLDEST_OPSET} or "
            "newer is needed: export it again"
        )
    return model


def make_inputs(spec: PreprocessSpec) -> list[onnx.ValueInfoProto]:
    """The graph inputs that `add_preparation` reads."""
    make, byte = onnx.helper.make_tensor_value_info, onnx.TensorProto.UINT8
    inputs = [
        make(IMAGE, byte, ["height", "width", 3]),
        make(BOX, onnx.TensorProto.INT64, [4]),
    ]
    if spec.deborder == "crop+mask":
        inputs.append(make(MASK, byte, ["height", "width"]))
    return inputs


def add_preparation(build: GraphBuilder, spec: PreprocessSpec) -> str:
    """Add what `realmnet_runtime.preprocess` does once the box is known.

    Args:
        build: takes the nodes, which read the graph inputs `image`, `box` and `mask`.
        spec: the bundle's specification, S its size.

    Returns:
        Name of the network's input, (1, 3, S, S) float32.
    """
    crop = build.as_real(build.node("Transpose", _cut(build, IMAGE), perm=[2, 0, 1]))
    if spec.deborder == "crop+mask":
        # Before the resize, as the runtime does it.
        inside = build.node("Cast", _cut(build, MASK), to=onnx.TensorProto.BOOL)
        crop = build.node("Mul", crop, build.as_real(inside))
    square = add_resize(build, spec, crop)
    # The runtime's own table of values, so that equal bytes give equal tensors.
    offsets = build.constant((256 * np.arange(3, dtype=np.int32)).reshape(3, 1, 1))
    places = build.node("Cast", square, to=onnx.TensorProto.INT32)
    values = build.constant(_values_of_bytes(spec))
    tensor = build.node("Gather", values, build.node("Add", places, offsets), axis=0)
    return build.node("Reshape", tensor, build.integers(1, 3, spec.size, spec.size))


def _cut(build: GraphBuilder, picture: str) -> str:
    first = build.node("Gather", BOX, build.integers(1, 0))
    last = build.node("Gather", BOX, build.integers(3, 2))
    return build.node("Slice", picture, first, last, build.integers(0, 1))


def _values_of_bytes(spec: PreprocessSpec) -> npt.NDArray[np.float32]:
    """(768,) float32: `to_tensor` of each byte, channel after channel."""
    mean, std = (np.array(values)[:, np.newaxis] for values in (spec.mean, spec.std))
    exact = (np.arange(256) / 255.0 - mean) / std
    values: npt.NDArray[np.float32] = exact.astype(np.float32).reshape(-1)
    return values


def _facts(bundle: Bundle, variant: Variant) -> EmbeddedFacts:
    manifest = bundle.manifest
    spec, labels, model = manifest.preprocess, manifest.labels, manifest.model
    return EmbeddedFacts(
        format=FORMAT,
        labels=labels.names,
        thresholds=tuple(variant.operating_point.thresholds[name] for name in labels.names),
        exclusive_groups=labels.exclusive_groups,
        size=spec.size,
        preprocess=spec,
        smallest_side=-(-spec.size // _MOST_ENLARGEMENT),
        bundle_sha256=bundle.digest,
        model=f"{model.name} {model.version}",
        variant=variant.name,
        engine=variant.engine,
        execution_precision=variant.execution_precision,
        notice=model.notice,
    )
