"""Code maps: what is written, what a file may say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from realmnet_runtime import PERIPHERAL, PSMM
from realmnet_runtime.dicom.concepts import (
    PRIVATE_SCHEME,
    UNVERIFIED_MARK,
    CodeMap,
    Concept,
    Terms,
    read_code_map,
)
from realmnet_runtime.errors import ConfigurationError, MissingPath

PRIVATE_BUT_VERIFIED = (
    '{"terms": {"site": {"value": "1", "scheme": "99X", "meaning": "x",'
    ' "verified": true, "source": "me"}}}'
)


def test_unverified_concepts_are_private_and_marked() -> None:
    concept = Concept("123", "SCT", "x" * 64)
    written = concept.as_written()
    assert (written.value, written.scheme) == ("123", PRIVATE_SCHEME)
    assert written.meaning.endswith(UNVERIFIED_MARK)
    assert len(written.meaning) == 64


def test_verified_concepts_are_as_they_are() -> None:
    concept = Concept("123", "SCT", "thing", verified=True, source="browser, release of 2026")
    assert concept.as_written() is concept


@pytest.mark.parametrize("labels", [PSMM, PERIPHERAL])
def test_every_label_and_grade_has_a_concept_of_its_own(labels: object) -> None:
    codes = CodeMap()
    concepts = [codes.label(label) for label in labels.labels]  # type: ignore[attr-defined]
    concepts += [codes.grade(grade) for grade in range(5)]
    concepts += [getattr(Terms(), name) for name in Terms.__struct_fields__]
    written = [concept.as_written() for concept in concepts]
    assert len({(w.value, w.scheme) for w in written}) == len(written)
    for concept in written:
        assert len(concept.value) <= 16
        assert len(concept.meaning) <= 64


def test_the_built_in_map_names_its_sources() -> None:
    for name in Terms.__struct_fields__:
        concept = getattr(Terms(), name)
        assert concept.verified == (concept.scheme in {"SCT", "DCM"})
        assert bool(concept.source) == concept.verified


def test_a_map_comes_back_from_its_file(tmp_path: Path) -> None:
    codes = CodeMap(
        labels={"PS": Concept("1", "SCT", "one")}, grades={"2": Concept("2", "SCT", "two")}
    )
    path = tmp_path / "codes.json"
    path.write_bytes(msgspec.json.encode(codes))
    assert read_code_map(path) == codes
    assert read_code_map(path).label(PSMM.labels[1]).value == "1"
    assert read_code_map(path).grade(2).value == "2"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"labls": {}}', "labels"),
        ('{"terms": {"presense": {}}}', "presence"),
        ('{"labels": {"PS": {"value": "1", "scheme": "SCT"}}}', "meaning"),
        ('{"labels": {"PS": {"value": "", "scheme": "SCT", "meaning": "x"}}}', "length"),
        ('{"labels": {"PS": {"value": "12345678901234567", "scheme": "S", "meaning": "x"}}}', "16"),
        ('{"labels": {"PS": {"value": "1", "scheme": "S", "meaning": "a\\\\b"}}}', "ASCII"),
        ('{"labels": {"PS": {"value": "1", "scheme": "S", "meaning": "\\u00e9"}}}', "ASCII"),
        ('{"labels": {"PS": {"value": " 1", "scheme": "S", "meaning": "x"}}}', "space"),
        (
            '{"labels": {"PS": {"value": "1", "scheme": "SCT", "meaning": "x", "verified": true}}}',
            "without a source",
        ),
        (PRIVATE_BUT_VERIFIED, "private scheme"),
        ("[]", "object"),
        ("{", "JSON|truncated|ended"),
    ],
)
def test_maps_that_are_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "codes.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_code_map(path)
    assert "codes.json" in str(caught.value)


def test_a_map_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match="cannot read code map"):
        read_code_map(tmp_path / "absent.json")
