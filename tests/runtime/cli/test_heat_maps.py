"""`realmnet predict --heatmap`: which files appear, and what is said where none does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest

from realmnet_runtime import PSMM
from realmnet_runtime.cli.drawings import file_words

from ..conftest import BundleMaker

Command = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("an_engine")


@dataclass(frozen=True)
class Bundles:
    """Of the tiny model: one that finds two labels in every picture, one that finds none."""

    two: Path
    none: Path


@pytest.fixture(scope="module")
def bundles(make_bundle: BundleMaker, tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    folder = tmp_path_factory.mktemp("bundles")
    return Bundles(
        make_bundle.finding(folder / "two.realmnet", "PS", "MA"),
        make_bundle.finding(folder / "none.realmnet"),
    )


def test_a_picture_a_finding_named_by_digest_and_label(
    realmnet: Command, eye_file: Path, bundles: Bundles, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "maps"
    words = [
        "predict",
        eye_file,
        "--bundle",
        bundles.two,
        "--allow-unsigned",
        "--json",
        "--threads",
        "1",
    ]
    done = realmnet(*words, "--heatmap", folder)
    assert (done.code, done.err) == (0, "")
    digest = hashlib.sha256(eye_file.read_bytes()).hexdigest()
    assert json.loads(done.out)["findings"] == ["PS", "MA"]
    assert {path.name for path in folder.iterdir()} == {f"{digest}-PS.png", f"{digest}-MA.png"}
    for path in folder.iterdir():
        drawn = cv2.imread(str(path))
        assert drawn is not None
        assert drawn.shape[1] == 1280
    # the answer is the same whether or not maps are drawn, and so are the maps
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = realmnet(*words, "--heatmap", folder, "--overlay", tmp_path / "overlays")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert [path.name for path in (tmp_path / "overlays").iterdir()] == [f"{digest}.png"]
    found, expected = json.loads(again.out), json.loads(done.out)
    assert found.pop("timings_ms").keys() == expected.pop("timings_ms").keys()
    assert found.pop("time") >= expected.pop("time")
    assert found == expected


def test_a_side_bounds_them(
    realmnet: Command, eye_file: Path, bundles: Bundles, tmp_path: Path
) -> None:
    words = [
        "predict",
        eye_file,
        "--bundle",
        bundles.two,
        "--allow-unsigned",
        "--heatmap",
        tmp_path / "maps",
    ]
    assert realmnet(*words, "--heatmap-side", "300").code == 0
    for path in (tmp_path / "maps").iterdir():
        drawn = cv2.imread(str(path))
        assert drawn is not None
        assert drawn.shape[1] == 300
    assert realmnet(*words, "--heatmap-side", "10").code == 2


def test_nothing_found_is_nothing_written_and_said(
    realmnet: Command, eye_file: Path, bundles: Bundles, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("text renamed")
    folder = tmp_path / "maps"
    done = realmnet(
        "predict", eye_file, bad, "--bundle", bundles.none, "--allow-unsigned", "--heatmap", folder
    )
    assert done.code == 7
    assert f"{eye_file}: no findings, no heat map" in done.err
    assert list(folder.iterdir()) == []
    without = realmnet("predict", eye_file, "--bundle", bundles.none, "--allow-unsigned")
    assert (without.code, without.err) == (0, "")


def test_a_place_that_cannot_be_written_is_found_before_any_work(
    realmnet: Command, eye_file: Path, bundles: Bundles, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    done = realmnet(
        "predict",
        eye_file,
        "--bundle",
        bundles.two,
        "--allow-unsigned",
        "--heatmap",
        tmp_path / "file",
    )
    assert (done.code, done.out) == (8, "")
    assert "it is a file; name a directory" in done.one_line()
    assert (tmp_path / "file").read_text() == "mine"


def test_labels_never_share_a_file_nor_leave_the_directory() -> None:
    assert file_words(PSMM.names) == {name: name for name in PSMM.names}
    assert file_words(["a b", "C/../d"]) == {"a b": "a_b", "C/../d": "C_d"}
    words = file_words(["MA", "ma", "m/a", "m.a"])
    assert list(words.values()) == ["1-MA", "2-ma", "3-m_a", "4-m_a"]
