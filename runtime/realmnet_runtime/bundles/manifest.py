"""The manifest: what a bundle says of itself, typed and valid once it exists.

A bundle is a directory or one `.realmnet` zip: `manifest.json` beside the files it lists. The
manifest holds the size and digest of every file, so that trusting it is trusting all of them.
Constructing a struct in Python checks its meaning; types and ranges are checked when it is
decoded, which the writer does before it writes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import msgspec

from realmnet_runtime.boxes import Box
from realmnet_runtime.errors import ConfigurationError, IncompatibleError, IntegrityError
from realmnet_runtime.files import path_fault, sha256_of
from realmnet_runtime.labels import LabelSet
from realmnet_runtime.pictures.preprocess import SPEC_VERSION, PreprocessSpec
from realmnet_runtime.quality.limits import QualityGate
from realmnet_runtime.structs import decode_json
from realmnet_runtime.suggestions import nearest

SCHEMA_VERSION: Final = 1
MANIFEST_NAME: Final = "manifest.json"
MANIFEST_DIGEST_NAME: Final = "manifest.sha256"
SIGNATURE_NAME: Final = "manifest.sig"
LARGEST_MANIFEST_BYTES: Final = 8 << 20
IR_SUFFIX: Final = ".xml"

Engine = Literal["onnxruntime", "openvino", "tensorrt"]
Precision = Literal["fp32", "fp16", "int8"]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
Probability = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, msgspec.Meta(gt=0.0)]


class Artifact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the bundle: its path (see `files.path_fault`), size in bytes and SHA-256."""

    path: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Digest

    def __post_init__(self) -> None:
        if fault := path_fault(self.path):
            raise ConfigurationError(
                f"artifact path {self.path!a} {fault}; use a relative one such as 'models/a.onnx'"
            )
        if self.path.lower() in {MANIFEST_NAME, MANIFEST_DIGEST_NAME, SIGNATURE_NAME}:
            raise ConfigurationError(
                f"artifact path '{self.path}' is the manifest's; choose another"
            )


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was trained: identity, architecture and the statement every answer carries."""

    name: str
    version: str
    architecture: str
    parameters: Annotated[int, msgspec.Meta(gt=0)]
    notice: str


class OperatingPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Temperature and threshold of each label, by name, fitted on development data only.

    probability = sigmoid(logit / temperature); a label is found at probability >= threshold.
    """

    temperatures: dict[str, Positive]
    thresholds: dict[str, Probability]
    fitted_on: str


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to run the model.

    Attributes:
        name: unique in the bundle, for example `onnxruntime-int8`.
        engine: which engine runs it.
        precision: how the weights are stored.
        execution_precision: how the engine computes: an INT8 file may be run in FP32 where the
            CPU lacks the instructions.
        artifact: path of the model file; several variants may share one file.
        weights: path of the second file of an OpenVINO IR, the `.bin` beside an `.xml`; empty for
            every other kind of model, and then absent from the manifest.
        cpu_requires: instruction sets the CPU must have, of which any one suffices, in the
            words of `realmnet_runtime.cpu`; empty where any CPU will do.
        oldest_engine: lowest engine version the file was made for.
        operating_point: this variant's own temperatures and thresholds.
    """

    name: str
    engine: Engine
    precision: Precision
    execution_precision: Precision
    artifact: str
    operating_point: OperatingPoint
    oldest_engine: str
    cpu_requires: tuple[str, ...] = ()
    weights: str = ""

    def __post_init__(self) -> None:
        in_two_files = self.artifact.endswith(IR_SUFFIX)
        if in_two_files and self.engine != "openvino":
            raise ConfigurationError(
                f"variant '{self.name}' gives {self.engine} the OpenVINO IR '{self.artifact}'; "
                f"only openvino reads one: name its engine or another file"
            )
        if in_two_files and not self.weights:
            raise ConfigurationError(
                f"variant '{self.name}' has no weights; an OpenVINO IR is '{self.artifact}' and a "
                f"second file: name it in weights"
            )
        if self.weights and (not in_two_files or self.weights == self.artifact):
            raise ConfigurationError(
                f"variant '{self.name}' has the weights '{self.weights}' beside the model "
                f"'{self.artifact}'; only an OpenVINO IR ('{IR_SUFFIX}') has a second file: leave "
                f"weights out"
            )

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of all its files, the model first."""
        return (self.artifact, self.weights) if self.weights else (self.artifact,)


class GoldenAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Probabilities a variant gave where it was released, in label order, and the tolerance."""

    variant: str
    probabilities: tuple[Probability, ...]
    tolerance: Positive


class GoldenCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture whose way through the pipeline is known, stage by stage.

    Attributes:
        name: identifier.
        image: path of a losslessly coded picture in the bundle.
        box: (x0, y0, x1, y1) of the field of view, original pixels, half-open.
        box_tolerance: pixels by which an edge may differ.
        tensor_sha256: digest of the (3, S, S) float32 little-endian C-order input tensor.
        answers: one for each variant.
    """

    name: str
    image: str
    box: Box
    box_tolerance: Annotated[int, msgspec.Meta(ge=0)]
    tensor_sha256: Digest
    answers: tuple[GoldenAnswer, ...]


class Provenance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the model comes from; no personal data.

    Attributes:
        created: date of release, ISO 8601.
        trained_on: one sentence on the training data.
        command: the documented command that makes the bundle again.
        toolkit_version: version of this toolkit at release.
        checkpoint_sha256: digest of the weights the variants were made from.
        data_sha256: digests of the split tables by name.
        software: versions of the libraries that made it.
    """

    created: str
    trained_on: str
    command: str
    toolkit_version: str
    checkpoint_sha256: Digest
    data_sha256: dict[str, Digest]
    software: dict[str, str]


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Figures measured on one data set with one variant (fractions, not percent)."""

    variant: str
    dataset: str
    images: Annotated[int, msgspec.Meta(gt=0)]
    metrics: dict[str, float]
    note: str

    def __post_init__(self) -> None:
        for name, value in self.metrics.items():
            if not math.isfinite(value):
                raise ConfigurationError(
                    f"evidence on '{self.dataset}' has {name} = {value}, which JSON cannot hold; "
                    f"leave out a figure that could not be computed"
                )


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `manifest.json`.

    `quality` says which pictures are answered; absent, the runtime's own limits hold.
    """

    schema_version: int
    model: Model
    labels: LabelSet
    preprocess: PreprocessSpec
    variants: tuple[Variant, ...]
    artifacts: tuple[Artifact, ...]
    golden: tuple[GoldenCase, ...]
    provenance: Provenance
    evidence: tuple[Evidence, ...] = ()
    quality: QualityGate | None = None

    def __post_init__(self) -> None:
        if self.schema_version != SCHEMA_VERSION:
            raise IncompatibleError(_unknown_schema(self.schema_version))
        if not self.variants:
            raise ConfigurationError("manifest lists no variants; a bundle needs one or more")
        _refuse_twice("variant", [variant.name for variant in self.variants])
        _refuse_twice("artifact", [artifact.path.lower() for artifact in self.artifacts])
        _refuse_twice("golden case", [case.name for case in self.golden])
        paths = [artifact.path for artifact in self.artifacts]
        _refuse_file_as_directory(paths)
        for variant in self.variants:
            for path in variant.files:
                _require_listed(path, paths, f"variant '{variant.name}'")
            self._check_operating_point(variant)
        for case in self.golden:
            _require_listed(case.image, paths, f"golden case '{case.name}'")
            self._check_answers(case)
        if self.quality is not None:
            self.quality.check(tuple(variant.name for variant in self.variants), len(self.labels))

    def _check_operating_point(self, variant: Variant) -> None:
        for kind, values in (
            ("temperatures", variant.operating_point.temperatures),
            ("thresholds", variant.operating_point.thresholds),
        ):
            if set(values) != set(self.labels.names):
                raise ConfigurationError(
                    f"variant '{variant.name}' has {kind} for "
                    f"{', '.join(sorted(values)) or 'none'}; "
                    f"the labels are {', '.join(self.labels.names)}"
                )

    def _check_answers(self, case: GoldenCase) -> None:
        _refuse_twice(f"golden case '{case.name}' variant", [a.variant for a in case.answers])
        names = [variant.name for variant in self.variants]
        for answer in case.answers:
            if answer.variant not in names:
                raise ConfigurationError(
                    f"golden case '{case.name}' answers for variant '{answer.variant}'; "
                    f"the variants are {', '.join(names)}{nearest(answer.variant, names)}"
                )
            if len(answer.probabilities) != len(self.labels):
                raise ConfigurationError(
                    f"golden case '{case.name}' has {len(answer.probabilities)} probabilities "
                    f"for '{answer.variant}'; the label set has {len(self.labels)} labels"
                )

    def variant(self, name: str) -> Variant:
        """The variant of that name.

        Raises:
            ConfigurationError: there is none.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        names = [variant.name for variant in self.variants]
        raise ConfigurationError(
            f"bundle has no variant '{name}'; it has {', '.join(names)}{nearest(name, names)}"
        )


def read_manifest(raw: bytes) -> Manifest:
    """Decode and validate `manifest.json`.

    Raises:
        IncompatibleError: the schema or pre-processing version is not one this runtime reads.
        IntegrityError: the bytes are no valid manifest.
    """
    try:
        # Versions are read alone first: newer ones may have fields this runtime refuses.
        version = decode_json(raw, _SchemaVersionOnly, MANIFEST_NAME).schema_version
        if version != SCHEMA_VERSION:
            raise IncompatibleError(_unknown_schema(version))
        spec = decode_json(raw, _SpecVersionOnly, MANIFEST_NAME).preprocess.version
        if spec != SPEC_VERSION:
            raise IncompatibleError(
                f"bundle has pre-processing version {spec}; this runtime knows {SPEC_VERSION}; "
                f"install the runtime that matches the bundle"
            )
        return decode_json(raw, Manifest, MANIFEST_NAME)
    except ConfigurationError as error:
        raise IntegrityError(f"{error}; fetch or release the bundle again") from error


def encode_manifest(manifest: Manifest) -> bytes:
    """The bytes of `manifest.json`: indented UTF-8, mappings sorted, one way for one manifest."""
    content = msgspec.to_builtins(manifest, order="deterministic")
    for variant in content["variants"]:
        # A key that older runtimes would refuse is written only where it says something.
        if not variant["weights"]:
            del variant["weights"]
    if content["quality"] is None:
        del content["quality"]
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def digest_line(raw_manifest: bytes) -> bytes:
    """The content of `manifest.sha256`, as `sha256sum -c` reads it."""
    return f"{sha256_of(raw_manifest)}  {MANIFEST_NAME}\n".encode()


def manifest_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the manifest, for tools that check a bundle without this package.

    It states types and ranges; what spans fields (names that must match) only the runtime checks.
    """
    schema = msgspec.json.schema(Manifest)
    for definition in schema["$defs"].values():
        # Python 3.13 changed the indentation of docstrings, which msgspec copies.
        definition["description"] = inspect.cleandoc(definition["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


class _SchemaVersionOnly(msgspec.Struct):
    schema_version: int


class _SpecVersion(msgspec.Struct):
    version: int = SPEC_VERSION


class _SpecVersionOnly(msgspec.Struct):
    preprocess: _SpecVersion


def _unknown_schema(version: int) -> str:
    return (
        f"bundle has manifest schema {version}; this runtime reads schema {SCHEMA_VERSION}; "
        f"install the runtime that matches the bundle"
    )


def _refuse_twice(kind: str, values: list[str]) -> None:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ConfigurationError(f"manifest lists {kind} '{twice[0]}' twice; list each once")


def _refuse_file_as_directory(paths: list[str]) -> None:
    files = {path.lower() for path in paths}
    for path in paths:
        parts = path.lower().split("/")
        if not files.isdisjoint("/".join(parts[:i]) for i in range(1, len(parts))):
            raise ConfigurationError(
                f"manifest lists '{path}' below another file; a file is no directory"
            )


def _require_listed(path: str, paths: Iterable[str], who: str) -> None:
    if path not in paths:
        raise ConfigurationError(
            f"{who} names the file '{path}', which the manifest does not list{nearest(path, paths)}"
        )
