"""Every photometric interpretation and transfer syntax, against known pixels and pydicom."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import ImageRefused, Predictor, decode_image, read_image
from realmnet_runtime.dicom.laterality import laterality_of
from realmnet_runtime.errors import UnreadableImage, UsageError

from ...conftest import need_package

pydicom = need_package("pydicom", "dicom")

Picture = NDArray[np.uint8]
MakeEye = Callable[..., Any]
LOSSLESS = ("explicit", "implicit", "rle")
JPEGS = ("jpeg", "jpeg extended")
WIDE = ("1.2.840.10008.5.1.4.1.1.77.1.5.5", "1.2.840.10008.5.1.4.1.1.77.1.5.6")
CAPTURES = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.4")


def off_by(found: Picture, known: Picture) -> int:
    assert found.shape == known.shape
    assert found.dtype == np.uint8
    return int(np.abs(found.astype(int) - known).max())


def by_pydicom(data: bytes, index: int = 0) -> Picture:
    """The second implementation: pydicom's decoders and its own conversion to RGB."""
    return np.asarray(pydicom.pixels.pixel_array(BytesIO(data), index=index), np.uint8)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_rgb_is_exact(make_eye: MakeEye, small: Picture, syntax: str, planar: int) -> None:
    data = make_eye([small], syntax=syntax, planar=planar).encode()
    assert np.array_equal(read_image(data), small)
    assert np.array_equal(by_pydicom(data), small)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_ybr_is_exact_to_rounding(
    make_eye: MakeEye, small: Picture, syntax: str, planar: int
) -> None:
    data = make_eye([small], syntax=syntax, photometric="YBR_FULL", planar=planar).encode()
    assert off_by(read_image(data), small) <= 2
    assert off_by(read_image(data), by_pydicom(data)) <= 1


@pytest.mark.parametrize("syntax", ["explicit", "implicit"])
def test_uncompressed_422_shares_colour_between_two_pixels(
    make_eye: MakeEye, small: Picture, syntax: str
) -> None:
    in_pairs = small.copy()
    in_pairs[:, 1::2] = in_pairs[:, ::2]
    data = make_eye([in_pairs], syntax=syntax, photometric="YBR_FULL_422").encode()
    assert off_by(read_image(data), in_pairs) <= 2
    assert off_by(read_image(data), by_pydicom(data)) <= 1


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize("syntax", JPEGS)
def test_jpeg_of_ybr(make_eye: MakeEye, small: Picture, syntax: str, photometric: str) -> None:
    data = make_eye([small], syntax=syntax, photometric=photometric).encode()
    assert off_by(read_image(data), small) <= 4


def test_jpeg_of_ybr_as_pydicom_decodes_it(make_eye: MakeEye, small: Picture) -> None:
    data = make_eye([small], syntax="jpeg", photometric="YBR_FULL_422").encode()
    assert off_by(read_image(data), by_pydicom(data)) <= 4


@pytest.mark.parametrize("syntax", [*LOSSLESS, *JPEGS])
def test_grey_is_repeated_and_monochrome1_is_turned_over(
    make_eye: MakeEye, small: Picture, syntax: str
) -> None:
    grey = small[..., 1]
    for photometric, expected in (("MONOCHROME2", grey), ("MONOCHROME1", 255 - grey)):
        found = read_image(make_eye([grey], syntax=syntax, photometric=photometric).encode())
        tolerance = 0 if syntax in LOSSLESS else 3
        assert off_by(found, np.repeat(expected[..., np.newaxis], 3, axis=2)) <= tolerance


@pytest.mark.parametrize("sop_class", [*WIDE, *CAPTURES])
def test_wide_field_and_secondary_captures(
    make_eye: MakeEye, small: Picture, sop_class: str
) -> None:
    data = make_eye([small], sop_class=sop_class).encode()
    assert np.array_equal(read_image(data), small)


# Palettes


@pytest.fixture
def palette() -> Picture:
    return np.random.default_rng(3).integers(0, 256, (200, 3), np.uint8)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_palette(make_eye: MakeEye, small: Picture, palette: Picture, syntax: str) -> None:
    stored = small[..., 0] % 200
    made = make_eye([stored], photometric="PALETTE COLOR", syntax=syntax, palette=palette)
    data = made.encode()
    assert np.array_equal(read_image(data), palette[stored])
    dataset = pydicom.dcmread(BytesIO(data))
    assert np.array_equal(read_image(data), pydicom.pixels.apply_color_lut(stored, dataset))


@pytest.mark.parametrize(("bits", "scale"), [(16, 257), (8, 1)])
def test_palette_of_words(
    make_eye: MakeEye, small: Picture, palette: Picture, bits: int, scale: int
) -> None:
    stored = small[..., 0] % 200
    changes: dict[str, Any] = {}
    for index, colour in enumerate(("Red", "Green", "Blue")):
        words = palette[:, index].astype("<u2") * scale
        changes[f"{colour}PaletteColorLookupTableDescriptor"] = [200, 0, bits]
        changes[f"{colour}PaletteColorLookupTableData"] = words.tobytes()
    data = make_eye(
        [stored], photometric="PALETTE COLOR", palette=palette, changes=changes
    ).encode()
    assert np.array_equal(read_image(data), palette[stored])


def test_values_outside_a_palette_take_its_ends(
    make_eye: MakeEye, small: Picture, palette: Picture
) -> None:
    stored = small[..., 0]
    changes = {
        f"{colour}PaletteColorLookupTableDescriptor": [200, 30, 8]
        for colour in ("Red", "Green", "Blue")
    }
    made = make_eye([stored], photometric="PALETTE COLOR", palette=palette, changes=changes)
    expected = palette[np.clip(stored.astype(int) - 30, 0, 199)]
    assert np.array_equal(read_image(made.encode()), expected)


def test_palette_that_is_cut(make_eye: MakeEye, small: Picture, palette: Picture) -> None:
    changes = {"GreenPaletteColorLookupTableData": palette[:100, 1].tobytes()}
    made = make_eye([small[..., 0]], photometric="PALETTE COLOR", palette=palette, changes=changes)
    with pytest.raises(UnreadableImage, match="palette says 200 entries of 8 bits and holds 100"):
        read_image(made.encode())


# Frames


@pytest.mark.parametrize(
    ("syntax", "photometric"),
    [("explicit", "RGB"), ("explicit", "YBR_FULL_422"), ("rle", "RGB"), ("jpeg", "YBR_FULL_422")],
)
def test_each_frame_by_its_number(
    make_eye: MakeEye, small: Picture, syntax: str, photometric: str
) -> None:
    pictures = [small, small[::-1].copy(), small[:, ::-1].copy()]
    data = make_eye(
        pictures, syntax=syntax, photometric=photometric, sop_class=CAPTURES[1]
    ).encode()
    for number, picture in enumerate(pictures, start=1):
        decoded = decode_image(data, frame=number)
        assert decoded.frame == number
        assert off_by(decoded.pixels, picture) <= 4
        assert off_by(decoded.pixels, by_pydicom(data, number - 1)) <= 4


def test_one_of_several_frames_must_be_named(make_eye: MakeEye, small: Picture) -> None:
    data = make_eye([small, small, small]).encode()
    with pytest.raises(ImageRefused, match=r"3 frames and none was named; name one of 1 to 3"):
        read_image(data)
    for number in (0, 4, -1):
        with pytest.raises(UsageError, match="frames 1 to 3"):
            read_image(data, frame=number)


def test_only_dicom_has_frames(small: Picture, eye_png: bytes) -> None:
    for source, kind in ((small, "an array"), (eye_png, "a PNG")):
        for decode in (read_image, decode_image):
            with pytest.raises(UsageError, match=f"frame 1 of {kind}; only a DICOM file"):
                decode(source, frame=1)


def test_number_of_frames_may_be_absent_or_empty(make_eye: MakeEye, small: Picture) -> None:
    for value in (None, ""):
        data = make_eye([small], changes={"NumberOfFrames": value}).encode()
        assert decode_image(data).frame == 1


def test_a_frame_in_several_fragments(make_eye: MakeEye, small: Picture) -> None:
    made = make_eye([small], syntax="jpeg", photometric="YBR_FULL_422")
    dataset = made.dataset()
    whole = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = pydicom.encaps.encapsulate([whole], fragments_per_frame=4)
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    assert np.array_equal(read_image(stream.getvalue()), read_image(made.encode()))


# Colours are the header's


def test_components_without_a_marker_are_what_the_header_says(
    make_eye: MakeEye, small: Picture
) -> None:
    as_rgb = make_eye([small], syntax="jpeg", photometric="RGB")
    data = as_rgb.encode()
    assert off_by(read_image(data), small) <= 3
    frame = pydicom.encaps.get_frame(as_rgb.dataset().PixelData, 0, number_of_frames=1)
    as_ybr = make_eye([small], syntax="jpeg", photometric="YBR_FULL", fragments=[frame])
    expected = pydicom.pixels.convert_color_space(small, "YBR_FULL", "RGB")
    assert off_by(read_image(as_ybr.encode()), expected) <= 6


def test_a_jpeg_that_contradicts_the_header_is_refused(make_eye: MakeEye, small: Picture) -> None:
    ybr = make_eye([small], syntax="jpeg", photometric="YBR_FULL_422").dataset().PixelData
    jfif = pydicom.encaps.get_frame(ybr, 0, number_of_frames=1)
    with pytest.raises(UnreadableImage, match="colours are RGB, and its JPEG says YCbCr"):
        read_image(make_eye([small], syntax="jpeg", fragments=[jfif]).encode())
    rgb = make_eye([small], syntax="jpeg", photometric="RGB").dataset().PixelData
    bare = pydicom.encaps.get_frame(rgb, 0, number_of_frames=1)
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    marked = bare[:2] + adobe + bare[2:]
    assert (
        off_by(read_image(make_eye([small], syntax="jpeg", fragments=[marked]).encode()), small)
        <= 3
    )
    with pytest.raises(UnreadableImage, match="colours are YCbCr, and its JPEG says RGB"):
        read_image(
            make_eye([small], syntax="jpeg", photometric="YBR_FULL", fragments=[marked]).encode()
        )


def test_exif_inside_a_frame_turns_nothing(make_eye: MakeEye, small: Picture) -> None:
    ybr = make_eye([small], syntax="jpeg", photometric="YBR_FULL_422").dataset().PixelData
    frame = pydicom.encaps.get_frame(ybr, 0, number_of_frames=1)
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    exif = b"Exif\0\0" + tiff
    turned = frame[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + frame[2:]
    data = make_eye([small], syntax="jpeg", photometric="YBR_FULL", fragments=[turned]).encode()
    assert off_by(read_image(data), small) <= 4


# What comes with the pixels


def test_decoded_image_is_what_other_files_give(eye_dicom: bytes, tmp_path: Path) -> None:
    path = tmp_path / "without-a-suffix"
    path.write_bytes(eye_dicom)
    for source in (eye_dicom, path, str(path), memoryview(eye_dicom)):
        decoded = decode_image(source)
        assert decoded.sha256 == hashlib.sha256(eye_dicom).hexdigest()
        assert (decoded.format, decoded.original_size) == ("DICOM", (480, 640))
        assert (decoded.laterality, decoded.frame) == ("right", 1)
    assert np.array_equal(read_image(path), decoded.pixels)


def test_jpeg_frames_are_decoded_at_the_scale_of_the_model(eye_dicom: bytes, eye: Picture) -> None:
    decoded = decode_image(eye_dicom, model_size=64)
    assert decoded.pixels.shape == (240, 320, 3)
    assert decoded.original_size == (480, 640)
    assert decoded.to_original((0, 0, 320, 240)) == (0, 0, 640, 480)
    assert abs(decoded.pixels.mean() - eye.mean()) < 1


def test_prediction_is_the_pictures(predictor: Predictor, make_eye: MakeEye, eye: Picture) -> None:
    data = make_eye([eye], laterality={"Laterality": "L"}).encode()
    found, of_array = predictor.predict(data), predictor.predict(eye)
    assert found.probabilities == of_array.probabilities
    assert found.box == of_array.box
    said = found.to_dict()["input"]
    assert (said["laterality"], said["frame"]) == ("left", 1)
    said = of_array.to_dict()["input"]
    assert (said["laterality"], said["frame"]) == ("unknown", None)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_grey_eyes_are_ungradable(
    predictor: Predictor, make_eye: MakeEye, eye: Picture, photometric: str
) -> None:
    grey = eye[..., 0] if photometric == "MONOCHROME2" else 255 - eye[..., 0]
    answer = predictor.predict(make_eye([grey], photometric=photometric).encode())
    assert answer.withheld
    assert answer.quality.reasons[0].kind == "angiogram"


@pytest.mark.parametrize(
    ("image_laterality", "laterality", "eye"),
    [
        ("R", "L", "right"),
        ("L", "", "left"),
        ("", "L", "left"),
        ("B", "R", "both"),
        ("", "", "unknown"),
        ("X", "R", "right"),
        ("OD", "OS", "unknown"),
        (" r ", "", "right"),
        ("Zwickelhuber", "", "unknown"),
    ],
)
def test_laterality(image_laterality: str, laterality: str, eye: str) -> None:
    assert laterality_of(image_laterality, laterality) == eye


def test_laterality_of_a_file_without_any(make_eye: MakeEye, small: Picture) -> None:
    assert decode_image(make_eye([small], laterality={}).encode()).laterality == "unknown"
