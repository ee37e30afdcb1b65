"""What is not read is refused before pixels are decoded, in one line, whatever the bytes."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from realmnet_runtime import read_image
from realmnet_runtime.errors import RealmnetError, UnreadableImage

from ...conftest import need_package

pydicom = need_package("pydicom", "dicom")

Picture = NDArray[np.uint8]
MakeEye = Callable[..., Any]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"Rows": 0}, "64 x 0 pixels"),
        ({"Rows": 65535, "Columns": 65535}, "4295 megapixels"),
        ({"Rows": None}, "64 x 0 pixels"),
        ({"Rows": 47}, "9216 bytes of pixels where its header asks for 9024"),
        ({"Rows": 49}, "9216 bytes of pixels where its header asks for 9408"),
        ({"NumberOfFrames": 0}, "no number of frames from 1 to 10000"),
        ({"NumberOfFrames": 10001}, "no number of frames"),
        ({"NumberOfFrames": -2}, "no number of frames"),
        ({"BitsStored": 7}, "7 bits a sample in 8"),
        ({"BitsAllocated": 16}, "8 bits a sample in 16"),
        ({"BitsAllocated": None}, "8 bits a sample in no number of"),
        ({"HighBit": 6}, "unsigned ones of 8 bits"),
        ({"PixelRepresentation": 1}, "unsigned ones of 8 bits"),
        ({"SamplesPerPixel": 1}, "1 samples a pixel; RGB has 3"),
        ({"SamplesPerPixel": 4}, "4 samples a pixel; RGB has 3"),
        ({"PhotometricInterpretation": "HSV"}, "a photometric interpretation that is not read"),
        ({"PhotometricInterpretation": "YBR_PARTIAL_420"}, "photometric interpretation"),
        ({"PhotometricInterpretation": None}, "photometric interpretation"),
        ({"PhotometricInterpretation": "YBR_FULL_422", "Columns": 63}, "odd width"),
        ({"PhotometricInterpretation": "YBR_FULL_422", "PlanarConfiguration": 1}, "in planes"),
        ({"PhotometricInterpretation": "YBR_FULL_422"}, "header asks for 6144"),
        ({"PixelData": None}, "without pixels"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.5.2"}, "photograph of 16 bits"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.5.4"}, r"tomogram \(OCT\)"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.34"}, "structured report"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}, "encapsulated document"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "object of another kind"),
        ({"SOPClassUID": None}, "object of another kind"),
    ],
)
def test_headers_that_are_not_read(
    make_eye: MakeEye, small: Picture, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UnreadableImage, match=said) as caught:
        read_image(make_eye([small], changes=changes).encode())
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 7


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        ("1.2.840.10008.1.2.1.99", "deflated"),
        ("1.2.840.10008.1.2.2", "big endian"),
        ("1.2.840.10008.1.2.4.70", "JPEG lossless"),
        ("1.2.840.10008.1.2.4.80", "JPEG-LS"),
        ("1.2.840.10008.1.2.4.90", "JPEG 2000"),
        ("1.2.840.10008.1.2.4.201", "high-throughput JPEG 2000"),
        ("1.2.840.10008.1.2.4.102", "video"),
        ("1.2.3.4.5", "unknown to this toolkit"),
    ],
)
def test_transfer_syntaxes_that_are_not_read(
    make_eye: MakeEye, small: Picture, uid: str, name: str
) -> None:
    # Only the file's meta group says it, so that is all that is changed.
    data = make_eye([small]).encode()
    old = b"\x02\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"
    assert data.count(old) == 1
    padded = uid.encode() + b"\0" * (len(uid) % 2)
    new = b"\x02\0\x10\0UI" + len(padded).to_bytes(2, "little") + padded
    with pytest.raises(UnreadableImage, match=name):
        read_image(data.replace(old, new))


def test_a_jpeg_of_another_size_than_the_header(make_eye: MakeEye, small: Picture) -> None:
    made = make_eye([small], syntax="jpeg", photometric="YBR_FULL", changes={"Rows": 40})
    with pytest.raises(UnreadableImage, match="says 64 x 40 pixels, and its JPEG has 64 x 48"):
        read_image(made.encode())


def test_a_jpeg_of_other_components_than_the_header(make_eye: MakeEye, small: Picture) -> None:
    grey = make_eye([small[..., 0]], syntax="jpeg", photometric="MONOCHROME2").dataset().PixelData
    frame = pydicom.encaps.get_frame(grey, 0, number_of_frames=1)
    made = make_eye([small], syntax="jpeg", photometric="YBR_FULL", fragments=[frame])
    with pytest.raises(UnreadableImage, match="3 samples a pixel, and its JPEG has 1"):
        read_image(made.encode())


@pytest.mark.parametrize("frame", [b"\xff\xd8", b"\0\0", b"\xff\xd8\xff\xc0\0\x01", b"GIF89a"])
def test_frames_that_are_no_jpeg(make_eye: MakeEye, small: Picture, frame: bytes) -> None:
    made = make_eye([small], syntax="jpeg", photometric="YBR_FULL", fragments=[frame])
    with pytest.raises(UnreadableImage):
        read_image(made.encode())


def test_a_frame_that_is_not_there(make_eye: MakeEye, small: Picture) -> None:
    made = make_eye([small], syntax="rle", changes={"NumberOfFrames": 2})
    with pytest.raises(UnreadableImage, match="frame 2 of 2 cannot be found"):
        read_image(made.encode(), frame=2)


# pydicom warns of the end of a file; its warning names no value.
@pytest.mark.filterwarnings("ignore:End of file reached")
@pytest.mark.parametrize("syntax", ["explicit", "implicit", "rle", "jpeg"])
def test_a_cut_file_is_refused_wherever_it_is_cut(
    make_eye: MakeEye, small: Picture, syntax: str
) -> None:
    photometric = "YBR_FULL" if syntax == "jpeg" else "RGB"
    data = make_eye([small], syntax=syntax, photometric=photometric).encode()
    # A sequence delimiter and padding may be missing from the end of a frame that is whole.
    for end in [*range(132, 1200, 13), *range(1200, len(data) - 20, 211)]:
        with pytest.raises(UnreadableImage):
            read_image(data[:end])


@pytest.fixture(scope="module")
def seeds(make_eye: MakeEye) -> list[bytes]:
    tiny = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
    return [
        make_eye([tiny], syntax=syntax, photometric=photometric).encode()
        for syntax, photometric in (
            ("explicit", "RGB"),
            ("implicit", "YBR_FULL_422"),
            ("rle", "RGB"),
            ("jpeg", "YBR_FULL"),
        )
    ]


@pytest.mark.filterwarnings("ignore")
@given(st.data())
def test_any_bytes_are_read_or_refused(seeds: list[bytes], data: st.DataObject) -> None:
    damaged = bytearray(data.draw(st.sampled_from(seeds)))
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(132, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    refusal = None
    try:
        pixels = read_image(bytes(damaged))
    except RealmnetError as error:
        refusal = error
    if refusal is None:
        assert (pixels.dtype, pixels.ndim) == (np.uint8, 3)
    else:
        assert "\n" not in str(refusal)
        # What pydicom raised may quote the header, so it must not hang on.
        chained = refusal.__cause__ or refusal.__context__
        assert chained is None or isinstance(chained, struct.error | OverflowError | cv2.error)


def test_nested_sequences_end(make_eye: MakeEye, small: Picture) -> None:
    data = make_eye([small]).encode()
    begin = data.index(b"\x08\0\x16\0UI")
    deep = b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 5000
    with pytest.raises(UnreadableImage, match="header cannot be read"):
        read_image(data[:begin] + deep + data[begin:])


ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {'pydicom', 'highdicom'}:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
sys.meta_path.insert(0, Absent())
from realmnet_runtime import read_image, BackendUnavailable
from realmnet_runtime.dicom import require_writer
for attempt in (lambda: read_image(bytes(128) + b'DICM'), require_writer):
    try:
        attempt()
    except BackendUnavailable as error:
        print(error.exit_code, error)
"""


def test_without_the_extra_the_cure_is_said() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ABSENT], capture_output=True, text=True, check=True
    )
    reading, writing = done.stdout.splitlines()
    cure = "which is not installed; pip install 'realmnet-runtime[dicom]'"
    assert reading == f"3 a DICOM file cannot be read without pydicom, {cure}"
    assert writing == f"3 a DICOM file cannot be written without highdicom, {cure}"


def test_reading_brings_in_pydicom_alone(eye_dicom: bytes) -> None:
    code = (
        "import sys\nfrom realmnet_runtime import read_image\nread_image(sys.stdin.buffer.read())\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=eye_dicom, capture_output=True, check=True
    )
    loaded = set(done.stdout.decode().split())
    assert "pydicom" in loaded
    assert loaded.isdisjoint({"highdicom", "torch"})


def test_a_picture_that_only_looks_like_dicom_elsewhere(eye_png: bytes) -> None:
    assert read_image(eye_png + b"DICM").ndim == 3


def test_stream_of_zeroes_after_the_magic() -> None:
    with pytest.raises(UnreadableImage):
        read_image(bytes(128) + b"DICM" + bytes(4000))
