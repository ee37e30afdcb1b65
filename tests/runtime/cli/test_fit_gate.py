"""`realmnet fit-gate`, and ungradable pictures on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import Bundle
from realmnet_runtime.signatures.trust import ANY_BUNDLE

Command = Callable[..., Any]
Image = NDArray[np.uint8]

PICTURES = 104

pytestmark = pytest.mark.usefixtures("an_engine")


def written(image: Image, path: Path) -> Path:
    assert cv2.imwrite(str(path), image[:, :, ::-1])
    return path


@pytest.fixture(scope="module")
def site(eye: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dim camera's pictures: half the light of the others."""
    home = tmp_path_factory.mktemp("site")
    (home / "ImageSets" / "Main").mkdir(parents=True)
    (home / "JPEGImages").mkdir()
    random = np.random.default_rng(4)
    small = cv2.resize(eye, (240, 180), interpolation=cv2.INTER_AREA)
    names = []
    for number in range(PICTURES):
        moved = np.roll(small, random.integers(-6, 7, 2), axis=(0, 1))
        image = np.clip(moved * random.uniform(0.18, 0.24), 0, 255).astype(np.uint8)
        names.append(f"patient4711_{number}.png")
        written(image, home / "JPEGImages" / names[-1])
    (home / "ImageSets" / "Main" / "val.csv").write_text("\n".join(["filename", *names]) + "\n")
    return home


def test_a_sites_dim_pictures_are_answered_by_the_bundle_fitted_on_them(
    realmnet: Command, site: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    picture = site / "JPEGImages" / "patient4711_0.png"
    new = tmp_path / "new.realmnet"
    before = realmnet("predict", picture, "--bundle", tiny_bundle, "--allow-unsigned", "--json")
    assert before.code == 7
    assert "too dark" in before.err

    words = ["--split", "val", "--out", new, "--threads", "1", "--json"]
    done = realmnet("fit-gate", tiny_bundle, "--data", site, *words)
    assert done.code == 0, done.err
    assert f"{PICTURES} of {PICTURES}" in done.err
    said = json.loads(done.out)
    assert said["fitted_on"]["pictures"] == PICTURES
    assert said["refused_before"]["too_dark"] == PICTURES
    assert said["refused_after"].get("too_dark", 0) == 0
    assert "patient4711" not in done.out + done.err

    after = realmnet("predict", picture, "--bundle", new, "--allow-unsigned", "--json")
    assert after.code == 0, after.err
    answer = json.loads(after.out)
    assert answer["quality"]["limits_from"] == "bundle"
    assert answer["bundle_sha256"] == said["bundle_sha256"]
    assert "map_distance" in answer["quality"]["measures"]

    with (
        Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as old,
        Bundle.open(new, trust=ANY_BUNDLE) as fitted,
    ):
        assert fitted.manifest.artifacts == old.manifest.artifacts
        assert fitted.manifest.variants == old.manifest.variants
        assert fitted.manifest.quality is not None
        assert fitted.manifest.quality.fitted_on.bundle_sha256 == old.digest
        assert b"patient4711" not in fitted.raw_manifest
    assert realmnet("selftest", new, "--allow-unsigned").code == 0
    assert f"fitted on {PICTURES} pictures" in realmnet("info", new).out

    again = tmp_path / "again.realmnet"
    words[3] = again
    table = realmnet("fit-gate", tiny_bundle, "--data", site, *words[:-1])
    assert "refused now" in table.out
    assert again.read_bytes() == new.read_bytes()


@pytest.mark.parametrize("option", [[], ["--split", "val"]])
def test_too_few_pictures_are_2_with_their_number(
    option: list[str], realmnet: Command, eye: Image, tiny_bundle: Path, tmp_path: Path
) -> None:
    home = tmp_path / "site"
    (home / "ImageSets" / "Main").mkdir(parents=True)
    images = home / "JPEGImages"
    images.mkdir()
    for number in range(3):
        written(eye, images / f"{number}.png")
    (images / "bad.png").write_text("no picture")
    (home / "ImageSets" / "Main" / "val.csv").write_text("filename\n0.png\n1.png\n2.png\nbad.png\n")
    new = tmp_path / "new.realmnet"
    data = home if option else images
    done = realmnet("fit-gate", tiny_bundle, "--data", data, "--out", new, *option)
    assert (done.code, done.out) == (2, "")
    assert "1 pictures to fit on" in done.err
    assert "2 the same picture again" in done.err
    assert "1 UnreadableImage" in done.err
    assert not new.exists()


def test_the_bundle_itself_is_not_written_over(
    realmnet: Command, site: Path, tiny_bundle: Path
) -> None:
    words = ["--data", site / "JPEGImages", "--out", tiny_bundle]
    done = realmnet("fit-gate", tiny_bundle, *words)
    assert (done.code, done.out) == (2, "")
    assert "write the new one beside it" in done.one_line()


def test_an_unwritable_output_is_8_before_any_work(
    realmnet: Command, site: Path, tmp_path: Path
) -> None:
    out = tmp_path / "no" / "such" / "new.realmnet"
    done = realmnet("fit-gate", tmp_path / "absent", "--data", site, "--out", out)
    assert (done.code, done.out) == (8, "")


@pytest.mark.parametrize("form", [["--json"], []])
def test_an_ungradable_picture_is_7_and_0_where_it_is_answered(
    form: list[str], realmnet: Command, eye: Image, tiny_bundle: Path, tmp_path: Path
) -> None:
    path = written((eye * 0.2).astype(np.uint8), tmp_path / "dark.png")
    words = ["predict", path, "--bundle", tiny_bundle, "--allow-unsigned", *form]
    done = realmnet(*words, "--overlay", tmp_path / "drawn")
    assert done.code == 7
    assert done.one_line().startswith(f"{path}: ungradable: too dark")
    assert "too dark" in done.out
    assert ("NoPS" in done.out) == bool(form)
    assert len(list((tmp_path / "drawn").iterdir())) == 1

    asked = realmnet(*words, "--answer-ungradable")
    assert asked.code == 0
    assert "too dark" in asked.one_line()
    assert "too dark" in asked.out
    assert "NoPS" in asked.out
    if form:
        answer = json.loads(asked.out)
        assert answer["error"] is None
        assert answer["quality"]["reasons"][0]["kind"] == "too_dark"
        assert len(answer["probabilities"]) == 7
        withheld = json.loads(done.out)
        assert withheld["findings"] == []
        assert withheld["probabilities"] == {}
        assert withheld["error"]["kind"] == "Ungradable"
