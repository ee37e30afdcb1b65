from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_runtime.bundles.manifest import (
    Artifact,
    Evidence,
    GoldenAnswer,
    GoldenCase,
    Manifest,
    Model,
    OperatingPoint,
    Provenance,
    Variant,
    encode_manifest,
    manifest_schema,
    read_manifest,
)
from realmnet_runtime.bundles.writer import build_manifest
from realmnet_runtime.errors import ConfigurationError, IncompatibleError, IntegrityError
from realmnet_runtime.labels import LABEL_SETS
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_runtime.quality import DEFAULT_LIMITS, QualityGate, ScoreMapTable, SiteFit

SCHEMA_FILE = Path(__file__).parents[3] / "docs/schema/manifest.schema.json"

words = st.text(max_size=12)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
probabilities = st.floats(0, 1)
# letters from which no device name of Windows (con, prn, aux, nul, com1, lpt1) can be spelt
paths = st.from_regex(r"[a-k0-9_]{1,6}(/[a-k0-9_]{1,6}){0,2}\.(onnx|png)", fullmatch=True)

FIT = SiteFit(200, {"grey": 1}, "a" * 64, "b" * 64, "a-fp32")


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    labels = draw(st.sampled_from(sorted(LABEL_SETS.values(), key=len)))
    files = draw(st.lists(paths, min_size=1, max_size=4, unique=True))
    names = draw(st.lists(words, min_size=1, max_size=3, unique=True))
    count = len(labels)

    def by_label(values: st.SearchStrategy[float]) -> st.SearchStrategy[dict[str, float]]:
        return st.fixed_dictionaries(dict.fromkeys(labels.names, values))

    precisions = st.sampled_from(["fp32", "fp16", "int8"])
    variants = tuple(
        Variant(
            name=name,
            engine=draw(st.sampled_from(["onnxruntime", "openvino", "tensorrt"])),
            precision=draw(precisions),
            execution_precision=draw(precisions),
            artifact=draw(st.sampled_from(files)),
            operating_point=OperatingPoint(
                draw(by_label(positive)), draw(by_label(probabilities)), draw(words)
            ),
            oldest_engine=draw(words),
            cpu_requires=tuple(draw(st.lists(words, max_size=2))),
        )
        for name in names
    )
    answers = tuple(
        GoldenAnswer(name, draw(st.tuples(*[probabilities] * count)), draw(positive))
        for name in draw(st.lists(st.sampled_from(names), unique=True))
    )
    side = st.integers(0, 10_000)
    golden = tuple(
        GoldenCase(
            name=name,
            image=draw(st.sampled_from(files)),
            box=draw(st.tuples(side, side, side, side)),
            box_tolerance=draw(st.integers(0, 9)),
            tensor_sha256=draw(digests),
            answers=answers,
        )
        for name in draw(st.lists(words, max_size=2, unique=True))
    )
    finite = st.floats(allow_nan=False, allow_infinity=False)
    return Manifest(
        schema_version=1,
        model=Model(draw(words), draw(words), draw(words), draw(st.integers(1)), draw(words)),
        labels=labels,
        preprocess=PreprocessSpec(size=draw(st.integers(1, 16)) * 32),
        variants=variants,
        artifacts=tuple(
            Artifact(path, draw(st.integers(0, 1 << 40)), draw(digests)) for path in files
        ),
        golden=golden,
        provenance=Provenance(
            *(draw(words) for _ in range(4)),
            checkpoint_sha256=draw(digests),
            data_sha256=draw(st.dictionaries(words, digests, max_size=2)),
            software=draw(st.dictionaries(words, words, max_size=2)),
        ),
        evidence=tuple(
            Evidence(
                draw(words), draw(words), draw(st.integers(1, 1 << 40)),
                draw(st.dictionaries(words, finite, max_size=3)), draw(words),
            )
            for _ in range(draw(st.integers(0, 2)))
        ),
        quality=draw(st.none() | st.just(QualityGate(DEFAULT_LIMITS, FIT))),
    )  # fmt: skip


@given(manifests())
def test_manifest_encodes_and_decodes_to_itself(manifest: Manifest) -> None:
    raw = encode_manifest(manifest)
    again = read_manifest(raw)
    assert again == manifest
    assert encode_manifest(again) == raw


@given(manifests())
def test_any_json_writer_will_do(manifest: Manifest) -> None:
    content = json.loads(encode_manifest(manifest))
    assert read_manifest(json.dumps(content).encode()) == manifest


def test_a_model_of_one_file_is_written_as_runtimes_before_the_second_one_read_it(
    contents: Callable[[], dict[str, Any]],
) -> None:
    manifest = build_manifest(**contents())
    assert b"weights" not in encode_manifest(manifest)
    assert [variant.weights for variant in read_manifest(encode_manifest(manifest)).variants] == [
        "",
        "",
    ]


def test_a_bundle_without_limits_is_written_as_runtimes_before_them_read_it(
    contents: Callable[[], dict[str, Any]],
) -> None:
    manifest = build_manifest(**contents())
    assert manifest.quality is None
    assert b'"quality"' not in encode_manifest(manifest)
    limits = build_manifest(**contents(), quality=gate())
    assert read_manifest(encode_manifest(limits)).quality == gate()


def gate(**table: object) -> QualityGate:
    """Limits, and a score-map table of the contents' five labels."""
    rows = tuple((*[0.0] * row, 1.0) for row in range(45))
    kept = {"variant": "a-fp32", "centre": (0.1,) * 45, "spread": (2.0,) * 45}
    made = ScoreMapTable(**{**kept, "precision": rows, "most_distance": 3.5, **table})  # type: ignore[arg-type]
    return QualityGate(DEFAULT_LIMITS, FIT, (made,))


@pytest.mark.parametrize(
    ("quality", "says"),
    [
        (gate(variant="c"), "score-map table of 'c'; give at most one for each of a-fp32, b-int8"),
        (
            gate(centre=(0.0,), spread=(1.0,), precision=((1.0,),)),
            "1 statistics; 5 labels have 45",
        ),
        (gate(spread=(0.0,) * 45), "> 0.0"),
    ],
)
def test_limits_of_another_bundle_are_refused(
    contents: Callable[[], dict[str, Any]], quality: QualityGate, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        build_manifest(**contents(), quality=quality)


def test_an_unknown_limit_is_refused_with_the_nearest(
    contents: Callable[[], dict[str, Any]],
) -> None:
    content = json.loads(encode_manifest(build_manifest(**contents(), quality=gate())))
    content["quality"]["limits"]["least_lihgt"] = 0.2
    with pytest.raises(IntegrityError, match="did you mean 'least_light'"):
        read_manifest(json.dumps(content).encode())


def test_an_openvino_ir_has_two_files_and_both_are_listed(
    contents: Callable[[], dict[str, Any]],
) -> None:
    said = contents()
    said["files"] |= {"models/a.xml": b"<net/>", "models/a.bin": b"numbers"}
    said["variants"] = tuple(
        msgspec.structs.replace(variant, artifact="models/a.xml", weights="models/a.bin")
        if variant.engine == "openvino"
        else variant
        for variant in said["variants"]
    )
    raw = encode_manifest(build_manifest(**said))
    again = read_manifest(raw)
    assert again.variants[1].files == ("models/a.xml", "models/a.bin")
    assert encode_manifest(again) == raw

    del said["files"]["models/a.bin"]
    with pytest.raises(ConfigurationError, match=r"models/a\.bin"):
        build_manifest(**said)


@pytest.fixture
def honest(contents: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(encode_manifest(build_manifest(**contents())))
    return content


def altered(content: dict[str, Any], place: str, value: object) -> bytes:
    """JSON with the value at `a.0.b` replaced, or removed for `...`."""
    *way, last = [int(step) if step.isdigit() else step for step in place.split(".")]
    at: Any = content
    for step in way:
        at = at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("model", ..., "missing required field `model`"),
        ("colour", 1, "unknown field `colour`"),
        ("model.notcie", "x", "did you mean 'notice'"),
        ("model.parameters", 0, r">= 1.*\$\.model\.parameters"),
        ("model.parameters", "3", "Expected `int`"),
        ("variants", [], "no variants"),
        ("variants.0.engine", "torch", "torch"),
        ("variants.0.precision", "fp8", "fp8"),
        ("variants.0.artifact", "models/fp23.onnx", "did you mean 'models/fp32.onnx'"),
        ("variants.0.artifact", "models/fp32.xml", "only openvino reads one"),
        ("variants.1.artifact", "models/int8.xml", "has no weights"),
        ("variants.0.weights", "models/int8.onnx", r"only an OpenVINO IR \('\.xml'\)"),
        ("variants.0.name", "b-int8", "variant 'b-int8' twice"),
        ("variants.0.operating_point.thresholds.HoT", 1.5, "<= 1.0"),
        ("variants.0.operating_point.thresholds.HoT", ..., "thresholds for"),
        ("variants.0.operating_point.thresholds.PS", 0.5, "thresholds for"),
        ("variants.0.operating_point.temperatures.HoT", 0, "> 0.0"),
        ("variants.0.operating_point.temperatures", {}, "temperatures for none"),
        ("artifacts.0.path", "../card.md", r"leaves its place with '\.\.'"),
        ("artifacts.0.path", "/card.md", "absolute"),
        ("artifacts.0.path", "c:/card.md", "drive letter"),
        ("artifacts.0.path", "a\\card.md", "backslash"),
        ("artifacts.0.path", "a\0card.md", "NUL"),
        ("artifacts.0.path", "a//card.md", "not normalised"),
        ("artifacts.0.path", "manifest.json", "the manifest's"),
        ("artifacts.0.path", "Manifest.sha256", "the manifest's"),
        ("artifacts.0.path", "Models/FP32.onnx", "'models/fp32.onnx' twice"),
        ("artifacts.0.path", "models/fp32.onnx/x", "below another file"),
        ("artifacts.0.size", -1, ">= 0"),
        ("artifacts.0.sha256", "0" * 63, "regex"),
        ("artifacts.0.sha256", "F" * 64, "regex"),
        ("artifacts.0.sha256", "f" * 64 + "\n", "length <= 64"),
        ("golden.0.image", "golden/ear.png", "did you mean 'golden/eye.png'"),
        ("golden.0.box", [1, 2, 3], "length 4"),
        ("golden.0.answers.0.variant", "c", "the variants are a-fp32, b-int8"),
        ("golden.0.answers.0.probabilities", [0.5], "1 probabilities"),
        ("golden.0.answers.0.probabilities", [0.5, 0, 0, 0, -0.1], ">= 0.0"),
        ("golden.0.answers.0.tolerance", 0, "> 0.0"),
        ("evidence.0.metrics.ap_macro", None, "Expected `float`"),
        ("labels.labels", [], "no labels"),
        ("labels.labels.1.name", "HoT", "uses the name 'HoT' twice"),
        ("preprocess.std", [1, 0, 1], "std"),
        ("schema_version", "1", "Expected `int`"),
        ("schema_version", ..., "missing required field `schema_version`"),
    ],
)
def test_impossible_manifest_is_refused(
    honest: dict[str, Any], place: str, value: object, says: str
) -> None:
    with pytest.raises(IntegrityError, match=says) as caught:
        read_manifest(altered(honest, place, value))
    assert str(caught.value).startswith("manifest.json: ")
    assert "\n" not in str(caught.value)


def test_doubled_answers_are_refused(honest: dict[str, Any]) -> None:
    answers = honest["golden"][0]["answers"]
    with pytest.raises(IntegrityError, match="variant 'a-fp32' twice"):
        read_manifest(altered(honest, "golden.0.answers", answers * 2))


@pytest.mark.parametrize("version", [-1, 0, 2, 10**9])
def test_other_schema_version_is_incompatible(honest: dict[str, Any], version: int) -> None:
    with pytest.raises(IncompatibleError, match=f"schema {version}; this runtime reads schema 1"):
        read_manifest(altered(honest, "schema_version", version))


def test_other_preprocessing_version_is_incompatible(honest: dict[str, Any]) -> None:
    honest["preprocess"]["deborder"] = "by magic"
    with pytest.raises(IncompatibleError, match="pre-processing version 7; this runtime knows 1"):
        read_manifest(altered(honest, "preprocess.version", 7))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"schema_version": 1e999}',
        b'{"schema_version": NaN}',
        b'{"schema_version": 1, "model": "\xff"}',
        b'{"schema_version": 1, "a": ' + b"[" * 100_000,
        b'{"a": ' * 100_000,
    ],
    ids=lambda raw: repr(raw[:40]),
)
def test_bytes_that_are_no_manifest_are_refused(raw: bytes) -> None:
    with pytest.raises(IntegrityError):
        read_manifest(raw)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_evidence_that_json_cannot_hold_is_refused(value: float) -> None:
    with pytest.raises(ConfigurationError, match=r"ap_macro = -?(nan|inf)"):
        Evidence("v", "phantoms", 1, {"ap_macro": value}, "")


def test_schema_on_file_is_the_one_in_force() -> None:
    """Cure: run `scripts/write_schema`."""
    in_force = json.dumps(manifest_schema(), indent=2) + "\n"
    assert SCHEMA_FILE.read_text(encoding="utf-8") == in_force


def test_schema_describes_every_field_of_an_encoded_manifest(honest: dict[str, Any]) -> None:
    schema = manifest_schema()
    definitions = schema["$defs"]

    def compare(value: object, kind: dict[str, Any]) -> int:
        kind = definitions[kind["$ref"].rsplit("/", 1)[1]] if "$ref" in kind else kind
        if isinstance(value, list):
            kinds = kind.get("prefixItems") or [kind["items"]] * len(value)
            return sum(compare(v, k) for v, k in zip(value, kinds, strict=True))
        if not isinstance(value, dict):
            return 1
        if "properties" not in kind:
            return sum(compare(v, kind["additionalProperties"]) for v in value.values())
        assert value.keys() <= kind["properties"].keys()
        assert kind["properties"].keys() - value.keys() <= {"weights", "quality"}, (
            "left out where empty"
        )
        assert kind["additionalProperties"] is False
        return sum(compare(v, kind["properties"][k]) for k, v in value.items())

    assert compare(honest, schema) > 100


def test_msgspec_structs_of_the_manifest_are_frozen(honest: dict[str, Any]) -> None:
    manifest = read_manifest(json.dumps(honest).encode())
    for struct in (manifest, manifest.model, manifest.variants[0], manifest.artifacts[0]):
        field = struct.__struct_fields__[0]
        with pytest.raises(AttributeError):
            setattr(struct, field, None)
    assert isinstance(manifest, msgspec.Struct)
