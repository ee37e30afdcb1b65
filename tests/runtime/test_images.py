"""Reading a picture from whatever it comes as, and refusing what is none."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from realmnet_runtime.aperture.field_of_view import FieldOfView
from realmnet_runtime.errors import MissingPath, UnreadableImage, UsageError
from realmnet_runtime.pictures.images import DecodedImage, decode_image, list_images, read_image

REAL = sorted((Path(__file__).resolve().parents[3] / "shared/images/uwf").glob("*"))
PICTURE: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (31, 45, 3), np.uint8)
LOSSLESS = (".png", ".bmp", ".tiff")

pictures = arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)))


def encoded(picture: NDArray[np.uint8], suffix: str) -> bytes:
    return cv2.imencode(suffix, picture[..., ::-1])[1].tobytes()


# Sources


@settings(deadline=None)
@given(picture=pictures, suffix=st.sampled_from(LOSSLESS))
def test_array_and_lossless_file_are_equal(picture: NDArray[np.uint8], suffix: str) -> None:
    data = encoded(picture, suffix)
    assert np.array_equal(read_image(data), picture)
    assert np.array_equal(read_image(data), read_image(picture))


@pytest.mark.parametrize("name", ["eye.png", "œil gauche.png", "眼底.png", "no suffix", "eye.jpg"])
def test_path_of_any_name_whatever_its_suffix(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encoded(PICTURE, ".png"))
    assert np.array_equal(read_image(path), PICTURE)
    assert np.array_equal(read_image(str(path)), PICTURE)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind(kind: type) -> None:
    assert np.array_equal(read_image(kind(encoded(PICTURE, ".png"))), PICTURE)


@pytest.mark.parametrize("suffix", [".jpg", *LOSSLESS])
def test_a_single_pixel_is_readable(suffix: str) -> None:
    assert read_image(encoded(PICTURE[:1, :1], suffix)).shape == (1, 1, 3)


def test_settings_of_opencv_are_left_alone() -> None:
    # OpenCV 4.12 moved it.
    log_level = getattr(cv2, "getLogLevel", None) or cv2.utils.logging.getLogLevel

    def settings() -> tuple[int, bool, int]:
        return cv2.getNumThreads(), cv2.useOptimized(), log_level()

    before = settings()
    read_image(encoded(PICTURE, ".jpg"), model_size=8)
    with pytest.raises(UnreadableImage):
        read_image(encoded(PICTURE, ".jpg")[:-9])
    assert settings() == before


# Decoded images


def test_file_and_bytes_are_one_image(tmp_path: Path) -> None:
    data = encoded(PICTURE, ".jpg")
    path = tmp_path / "eye.jpg"
    path.write_bytes(data)
    of_file, of_bytes = decode_image(path, model_size=5), decode_image(data, model_size=5)
    assert of_file.sha256 == of_bytes.sha256 == hashlib.sha256(data).hexdigest()
    assert of_file.format == of_bytes.format == "JPEG"
    assert of_file.original_size == of_bytes.original_size == (31, 45)
    assert np.array_equal(of_file.pixels, of_bytes.pixels)
    assert of_file.pixels.shape == (16, 23, 3)


def test_digest_of_an_array_is_of_its_shape_and_values() -> None:
    decoded = decode_image(PICTURE)
    assert decoded.sha256 == hashlib.sha256(b"31,45,3" + PICTURE.tobytes()).hexdigest()
    assert (decoded.format, decoded.original_size) == ("array", (31, 45))
    assert decode_image(np.asfortranarray(PICTURE)).sha256 == decoded.sha256
    assert decode_image(PICTURE.reshape(45, 31, 3)).sha256 != decoded.sha256


def test_box_goes_to_the_original_as_the_field_of_view_does() -> None:
    decoded = DecodedImage(np.zeros((4, 6, 3), np.uint8), (7, 12), "JPEG", "0" * 64)
    field = FieldOfView((1, 0, 5, 3), np.ones((4, 6), np.bool_))
    assert decoded.to_original(field.box) == field.scaled_to(7, 12).box == (2, 0, 10, 5)


# Refusals


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match=r"no file .*absent\.jpg") as caught:
        read_image(tmp_path / "absent.jpg")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("path", ["a\0b.jpg", "x" * 5000, ""])
def test_impossible_path(path: str) -> None:
    with pytest.raises((MissingPath, UnreadableImage)):
        read_image(path)


def test_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MissingPath):
        read_image(tmp_path / "file" / "eye.jpg")


def test_directory_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match="is a directory"):
        read_image(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "eye.jpg")
    with pytest.raises(UnreadableImage, match="not a regular file"):
        read_image(tmp_path / "eye.jpg")


def test_file_longer_than_any_picture_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "eye.tif"
    path.touch()
    # Sparse: takes no room on the disk.
    os.truncate(path, 1_600_000_001)
    with pytest.raises(UnreadableImage, match="at most 1600000000 are read"):
        read_image(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"This is no picture at all.\n" * 9, "not a picture, whatever its suffix says"),
        (b"\xff\xd8", "not a picture"),
        (b"GIF89a" + b"\0" * 20, "GIF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x0cjP  \r\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0\0", "JPEG 2000"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04\0\0", "zip"),
    ],
)
def test_other_content_is_named_with_what_is_read(
    tmp_path: Path, data: bytes, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "eye.jpg"
    path.write_bytes(data)
    with pytest.raises(UnreadableImage, match=reason) as caught:
        read_image(path)
    message = str(caught.value)
    assert caught.value.exit_code == 7
    assert "JPEG, PNG, BMP and TIFF are read" in message
    assert "eye" not in message
    assert "\n" not in message
    assert capfd.readouterr().err == ""


@settings(deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff\xd8\xff", b"BM", b"II\x2a\0", b"MM\0\x2b"]),
)
def test_noise_is_refused_and_nothing_else_happens(noise: bytes, signature: bytes) -> None:
    with pytest.raises(UnreadableImage):
        read_image(signature + noise)


@pytest.mark.parametrize(
    "array",
    [
        PICTURE.astype(np.float32),
        PICTURE.astype(np.uint16),
        PICTURE.astype(np.int8),
        PICTURE[..., 0],
        PICTURE[..., :1],
        np.dstack([PICTURE, PICTURE[..., 0]]),
        PICTURE[np.newaxis],
        PICTURE[:0],
        PICTURE[:, :0],
        np.array(3, np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_array_of_another_shape_or_type(array: NDArray[np.uint8]) -> None:
    for read in (read_image, decode_image):
        with pytest.raises(UsageError) as caught:
            read(array)
        assert str(array.shape) in str(caught.value)
        assert str(array.dtype) in str(caught.value)


@pytest.mark.parametrize("source", [None, 7, [1, 2], object()])
def test_another_kind_of_source(source: str) -> None:
    with pytest.raises(UsageError, match=type(source).__name__):
        read_image(source)


@pytest.mark.parametrize("size", [0, -384])
def test_model_size_below_one(size: int) -> None:
    for read in (read_image, decode_image):
        with pytest.raises(UsageError, match="model size"):
            read(PICTURE, model_size=size)


# Directories


def test_pictures_of_a_directory_are_sorted_and_told_by_suffix(tmp_path: Path) -> None:
    names = ("b.JPG", "a.png", "c.tif", "d.Tiff", "e.bmp", "f.jpeg", "ü.png")
    for name in (*names, "notes.txt", "._a.png", "g.gif"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = list_images(tmp_path)
    assert found == sorted(tmp_path / name for name in names)
    assert list_images(str(tmp_path)) == found


def test_directory_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(MissingPath, match="no pictures in") as caught:
        list_images(tmp_path)
    assert caught.value.exit_code == 2


def test_no_directory(tmp_path: Path) -> None:
    (tmp_path / "eye.png").touch()
    for path in (tmp_path / "absent", tmp_path / "eye.png"):
        with pytest.raises(MissingPath, match="no directory"):
            list_images(path)


# Real pictures


@pytest.mark.skipif(not REAL, reason="the real pictures are not beside this checkout")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_picture_scaled_is_close_to_full(path: Path) -> None:
    full, scaled = decode_image(path), decode_image(path, model_size=384)
    assert full.pixels.shape[:2] == full.original_size == scaled.original_size
    assert min(scaled.pixels.shape[:2]) >= min(768, *full.original_size)
    side = (384, 384)
    difference = np.abs(
        cv2.resize(full.pixels, side, interpolation=cv2.INTER_AREA).astype(int)
        - cv2.resize(scaled.pixels, side, interpolation=cv2.INTER_AREA)
    )
    assert difference.mean() < 2
    if path.suffix == ".bmp":
        assert not difference.any()
