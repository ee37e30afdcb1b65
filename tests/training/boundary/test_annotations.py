"""Annotated folders: what is read, what is refused, and that no message names a picture."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from realmnet_benchmarks.phantoms import draw_population, render
from realmnet_runtime.errors import ConfigurationError, MissingPath, UnreadableImage, UsageError
from realmnet_training.boundary.annotations import read_annotations
from realmnet_training.boundary.phantom_annotations import write_phantom_annotations

HEADER = "file,mask,patient,border"
RECORD = "Mill-0012_OD_2019"  # stands for a record number


def table(folder: Path, *lines: str) -> Path:
    (folder / "annotations.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_phantoms_come_back_with_their_apertures(annotated: Path) -> None:
    read = read_annotations(annotated)
    cases = draw_population(12, 3, images_per_patient=2)
    assert len(read) == len(cases) == 24
    assert read.borders == tuple(case.border for case in cases)
    assert read.patients == tuple(case.identity for case in cases)
    assert read.synthetic
    for row in (0, 23):
        picture, mask = read.read(row)
        phantom = render(cases[row], 96, 120)
        np.testing.assert_array_equal(picture, phantom.image)
        np.testing.assert_array_equal(mask, phantom.aperture)


def test_the_digest_knows_the_rows_and_not_their_order(annotated: Path) -> None:
    read = read_annotations(annotated)
    assert read.select(range(23, -1, -1)).digest == read.digest
    assert read.select(range(23)).digest != read.digest
    assert repr(read).startswith("Annotations(24 pictures of 12 patients: ")


def test_writing_again_keeps_the_folder_and_other_phantoms_are_refused(annotated: Path) -> None:
    before = (annotated / "annotations.csv").read_bytes()
    write_phantom_annotations(annotated, 12, seed=3, height=96)
    assert (annotated / "annotations.csv").read_bytes() == before
    with pytest.raises(UsageError, match="other annotations"):
        write_phantom_annotations(annotated, 12, seed=4, height=96)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([HEADER], "no row"),
        (["file,mask,patient", "a.png,a.png,p"], "column border is missing"),
        (["file,mask,patient,boarder", "a,b,c,black"], "did you mean 'border'"),
        (["file,mask,patient,border,border", "a,b,c,black,black"], "occurs twice"),
        ([HEADER, "a.png,a.png,p"], "line 2: 3 cells under 4"),
        ([HEADER, f"{RECORD}.png,m.png,,black"], "line 2: 'patient' is empty"),
        ([HEADER, f"{RECORD}.png,m.png,p,blak"], "line 2: border 'blak'.*did you mean 'black'"),
        ([HEADER, f"x/{RECORD}.png,m.png,p,black"], "line 2: 'file' is no plain"),
        ([HEADER, f"a.png,../{RECORD}.png,p,black"], "line 2: 'mask' is no plain"),
        (
            [HEADER, f"{RECORD}.png,a.png,p,black", f"{RECORD}.png,b.png,p,black"],
            "line 3: repeats the file of line 2",
        ),
        (
            [HEADER, f"a.png,{RECORD}.png,p,black", "", f"b.png,{RECORD}.png,p,black"],
            "line 4: repeats the mask of line 2",
        ),
    ],
)
def test_faulty_tables_are_refused_by_line(lines: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=words) as refusal:
        read_annotations(table(tmp_path, *lines))
    assert RECORD not in str(refusal.value)


def test_a_folder_without_table_and_a_table_that_is_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match="columns file, mask, patient, border"):
        read_annotations(tmp_path)
    (tmp_path / "annotations.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        read_annotations(tmp_path)


@pytest.fixture
def one(annotated: Path, tmp_path: Path) -> Path:
    """A folder of one annotated picture with a name that must not be seen."""
    source = read_annotations(annotated)
    for folder, name in (("images", source.files[0]), ("masks", source.masks[0])):
        (tmp_path / folder).mkdir()
        shutil.copy(annotated / folder / name, tmp_path / folder / f"{RECORD}.png")
    return table(tmp_path, HEADER, f"{RECORD}.png,{RECORD}.png,p,black")


def mask_png(values: np.ndarray) -> bytes:
    return cv2.imencode(".png", values)[1].tobytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "its mask is not in"),
        (b"", "no picture of one channel"),
        (b"no png", "no picture of one channel"),
        (mask_png(np.full((96, 120, 3), 255, np.uint8)), "no picture of one channel"),
        (mask_png(np.full((120, 96), 255, np.uint8)), r"\(120, 96\) rows and columns.*\(96, 120\)"),
        (mask_png(np.zeros((96, 120), np.uint8)), "0 values besides 0"),
        (mask_png(np.full((96, 120), 7, np.uint8)), "must hold one, 1 or 255"),
        (mask_png(np.tile(np.uint8([0, 1, 255]), (96, 40))), "2 values besides 0"),
    ],
)
def test_faulty_masks_are_refused_by_line(content: bytes | None, words: str, one: Path) -> None:
    path = one / "masks" / f"{RECORD}.png"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises((MissingPath, UnreadableImage), match=f"line 2: .*{words}") as refusal:
        read_annotations(one).read(0)
    assert RECORD not in str(refusal.value)


def test_faulty_pictures_are_refused_by_line(one: Path) -> None:
    path = one / "images" / f"{RECORD}.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UnreadableImage, match="line 2: the picture cannot be used") as refusal:
        read_annotations(one).read(0)
    assert RECORD not in str(refusal.value)
    path.unlink()
    with pytest.raises(MissingPath, match="line 2: its picture is not in"):
        read_annotations(one).read(0)


def test_masks_of_ones_are_read_as_masks_of_255(one: Path) -> None:
    before = read_annotations(one).read(0)[1]
    (one / "masks" / f"{RECORD}.png").write_bytes(mask_png(before.astype(np.uint8)))
    np.testing.assert_array_equal(read_annotations(one).read(0)[1], before)
