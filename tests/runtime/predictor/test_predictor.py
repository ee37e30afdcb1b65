"""The journey from picture to answer, against the reference evaluator and the stages' own laws."""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import (
    PERIPHERAL,
    BackendUnavailable,
    Bundle,
    IncompatibleError,
    NoFieldOfView,
    Predictor,
    UsageError,
    find_field_of_view,
)
from realmnet_runtime.answering.prediction import STAGES
from realmnet_runtime.backends import AUTO_ORDER, installed_engines
from realmnet_runtime.bundles.manifest import OperatingPoint, Variant
from realmnet_runtime.cpu import instruction_sets
from realmnet_runtime.signatures.trust import ANY_BUNDLE


class Maker(Protocol):
    def __call__(self, path: Path, **options: object) -> Path: ...


@pytest.fixture(params=sorted(AUTO_ORDER))
def engine(request: pytest.FixtureRequest) -> str:
    if request.param not in installed_engines():
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.fixture
def any_engine() -> None:
    if not installed_engines():
        pytest.skip("no engine installed")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_answers_as_the_golden_reference(
    engine: str, precision: str, tiny_bundle: Path, eye_png: bytes
) -> None:
    name = f"{engine}-{precision}"
    with Predictor.open(tiny_bundle, threads=1, variant=name, trust=ANY_BUNDLE) as predictor:
        prediction = predictor.predict(eye_png)
        (case,) = predictor.manifest.golden
        expected = next(answer for answer in case.answers if answer.variant == name)
        found = [prediction.probabilities[label] for label in predictor.manifest.labels.names]
    np.testing.assert_allclose(found, expected.probabilities, rtol=0, atol=expected.tolerance)
    assert list(prediction.probabilities) == list(predictor.manifest.labels.names)
    assert prediction.precision == precision
    assert prediction.variant == name
    assert prediction.engine == engine
    assert prediction.findings == tuple(
        label for label, p in prediction.probabilities.items() if p >= prediction.thresholds[label]
    )
    assert prediction.score_maps.shape == (7, 16, 16)


@pytest.mark.usefixtures("any_engine")
def test_path_bytes_and_array_give_one_answer(
    tiny_bundle: Path, eye: NDArray[np.uint8], eye_png: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "eye.png"
    path.write_bytes(eye_png)
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        from_path, from_bytes, from_array = predictor.predict_many([path, eye_png, eye])
        by_text = predictor.predict(str(path))
    digest = hashlib.sha256(eye_png).hexdigest()
    assert from_path.input_sha256 == from_bytes.input_sha256 == by_text.input_sha256 == digest
    assert from_array.input_sha256 != digest
    for other in (from_bytes, from_array, by_text):
        assert other.probabilities == from_path.probabilities
        assert other.box == from_path.box
        np.testing.assert_array_equal(other.score_maps, from_path.score_maps)


@pytest.mark.usefixtures("any_engine")
def test_the_field_of_view_is_in_pixels_of_the_original(
    tiny_bundle: Path, eye: NDArray[np.uint8]
) -> None:
    big = cv2.resize(eye, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    done, data = cv2.imencode(".jpg", big[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        prediction = predictor.predict(data.tobytes())
    full = find_field_of_view(big)
    assert prediction.original_size == big.shape[:2]
    # Decoded at an eighth: an edge may be off by two decoded pixels.
    assert np.abs(np.subtract(prediction.box, full.box)).max() <= 16
    field = prediction.field_of_view
    assert field.box == prediction.box
    assert field.mask.shape == big.shape[:2]
    overlap = (field.mask & full.mask).sum() / (field.mask | full.mask).sum()
    assert overlap > 0.97


@pytest.mark.usefixtures("any_engine")
def test_the_record_is_json_and_names_no_path(
    tiny_bundle: Path, eye_png: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "record-4711_OD.png"
    path.write_bytes(eye_png)
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        prediction = predictor.predict(path)
        digest = predictor.bundle.digest
    record = prediction.to_dict()
    text = json.dumps(record, allow_nan=False)
    assert json.loads(text) == record
    assert "4711" not in text
    assert str(tmp_path) not in text
    assert record["bundle_sha256"] == digest
    assert record["probabilities"] == dict(prediction.probabilities)
    assert record["notice"] == "A test model: says nothing."
    assert "auto" in record["chosen_because"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])
    answered = datetime.fromisoformat(record["time"].replace("Z", "+00:00"))
    assert abs((datetime.now(timezone.utc) - answered).total_seconds()) < 60
    assert tuple(record["timings_ms"]) == STAGES
    assert all(ms >= 0 for ms in record["timings_ms"].values())


@pytest.mark.usefixtures("any_engine")
def test_threads_side_by_side_answer_as_one(tiny_bundle: Path, eye: NDArray[np.uint8]) -> None:
    pictures = [np.roll(eye, shift, axis=1) for shift in range(0, 40, 5)] * 3
    with Predictor.open(tiny_bundle, threads=1, trust=ANY_BUNDLE) as predictor:
        one_by_one = [p.probabilities for p in predictor.predict_many(pictures)]
        with ThreadPoolExecutor(4) as pool:
            together = [p.probabilities for p in pool.map(predictor.predict, pictures)]
    assert one_by_one == together


@pytest.mark.usefixtures("any_engine")
def test_predict_many_reads_as_it_is_asked(tiny_bundle: Path, eye: NDArray[np.uint8]) -> None:
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        taken = []

        def sources() -> object:
            for number in range(3):
                taken.append(number)
                yield eye

        answers = predictor.predict_many(sources())  # type: ignore[arg-type]
        next(answers)
        assert taken == [0]


@pytest.mark.usefixtures("any_engine")
def test_a_closed_predictor_says_so(tiny_bundle: Path, eye: NDArray[np.uint8]) -> None:
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        predictor.predict(eye)
    predictor.close()
    with pytest.raises(UsageError, match="closed"):
        predictor.predict(eye)


@pytest.mark.usefixtures("any_engine")
def test_an_open_bundle_stays_the_callers(tiny_bundle: Path, eye: NDArray[np.uint8]) -> None:
    with Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as bundle:
        for _ in range(2):
            with Predictor.open(bundle) as predictor:
                predictor.predict(eye)
        assert bundle.read("golden/eye.png")


@pytest.mark.usefixtures("any_engine")
def test_a_picture_without_an_eye_is_refused(tiny_bundle: Path) -> None:
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor, pytest.raises(NoFieldOfView):
        predictor.predict(np.zeros((400, 500, 3), np.uint8))


@pytest.mark.parametrize("labels", [PERIPHERAL])
def test_a_model_of_other_labels_is_refused_at_opening(
    engine: str, labels: object, make_bundle: Maker, tmp_path: Path
) -> None:
    path = make_bundle(tmp_path / "b.realmnet", labels=labels, golden=False)
    with pytest.raises(IncompatibleError, match="5 labels"):
        Predictor.open(path, engine=engine, trust=ANY_BUNDLE)


def test_a_model_of_another_size_is_refused_at_opening(
    engine: str, make_bundle: Maker, tmp_path: Path
) -> None:
    path = make_bundle(tmp_path / "b.realmnet", size=32, golden=False)
    with pytest.raises(IncompatibleError, match=r"\(1, 3, 32, 32\)"):
        Predictor.open(path, engine=engine, trust=ANY_BUNDLE)


def one_variant(engine: str, *, computed: str, requires: tuple[str, ...] = ()) -> Variant:
    names = ("NoPS", "PS", "NoMRL", "TFO", "DCA", "PCA", "MA")
    return Variant(
        name="the-one",
        engine=engine,  # type: ignore[arg-type]
        precision="int8",
        execution_precision=computed,  # type: ignore[arg-type]
        artifact="models/int8.onnx",
        operating_point=OperatingPoint(
            temperatures=dict.fromkeys(names, 1.0),
            thresholds=dict.fromkeys(names, 0.5),
            fitted_on="a test",
        ),
        oldest_engine="1.0",
        cpu_requires=requires,
    )


def test_an_int8_file_may_be_promised_in_fp32(
    engine: str, make_bundle: Maker, tmp_path: Path, eye: NDArray[np.uint8]
) -> None:
    variants = (one_variant(engine, computed="fp32"),)
    path = make_bundle(tmp_path / "b.realmnet", variants=variants, golden=False)
    with Predictor.open(path, trust=ANY_BUNDLE) as predictor:
        assert predictor.predict(eye).precision == "fp32"
        assert predictor.facts.precision_from == "kernels"


@pytest.mark.usefixtures("any_engine")
def test_a_cpu_that_lacks_what_is_required_is_exit_6(make_bundle: Maker, tmp_path: Path) -> None:
    engine = min(installed_engines())
    # No processor is both x86 and Arm.
    absent = "svei8mm" if "sse4_1" in instruction_sets() else "sse4_1"
    variants = (one_variant(engine, computed="int8", requires=(absent,)),)
    path = make_bundle(tmp_path / "b.realmnet", variants=variants, golden=False)
    for wish in ({"variant": "the-one"}, {"engine": engine}, {}):
        with pytest.raises(IncompatibleError, match=absent) as caught:
            Predictor.open(path, **wish, trust=ANY_BUNDLE)  # type: ignore[arg-type]
        assert caught.value.exit_code == 6


@pytest.mark.skipif("tensorrt" in installed_engines(), reason="a tensorrt library is installed")
def test_engines_asked_for_and_absent(tiny_bundle: Path) -> None:
    with pytest.raises(BackendUnavailable) as caught:
        Predictor.open(tiny_bundle, engine="tensorrt", trust=ANY_BUNDLE)
    assert caught.value.exit_code == 3


def test_no_threads_are_too_few(tiny_bundle: Path) -> None:
    with pytest.raises(UsageError, match="1 or more"):
        Predictor.open(tiny_bundle, threads=0, trust=ANY_BUNDLE)


@pytest.mark.usefixtures("any_engine")
def test_engines_agree_on_every_decision(tiny_bundle: Path, eye: NDArray[np.uint8]) -> None:
    engines = sorted(installed_engines() & set(AUTO_ORDER))
    if len(engines) < 2:
        pytest.skip("one engine installed; agreement needs two")
    answers = []
    for engine in engines:
        with Predictor.open(
            tiny_bundle, variant=f"{engine}-fp32", threads=1, trust=ANY_BUNDLE
        ) as predictor:
            answers.append(predictor.predict(eye))
    first, second = answers
    assert first.findings == second.findings
    for name, probability in first.probabilities.items():
        assert second.probabilities[name] == pytest.approx(probability, abs=1e-5)
