"""DICOM files of every photometric interpretation and transfer syntax, written with pydicom."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import Prediction, Predictor
from realmnet_runtime.backends import installed_engines
from realmnet_runtime.cli import main
from realmnet_runtime.signatures.trust import ANY_BUNDLE

from ...conftest import need_package, need_program

pydicom = need_package("pydicom", "dicom")
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.uid import (  # noqa: E402
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

OPHTHALMIC = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
WIDE_STEREOGRAPHIC = "1.2.840.10008.5.1.4.1.1.77.1.5.5"
WIDE_3D = "1.2.840.10008.5.1.4.1.1.77.1.5.6"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CAPTURE_FRAMES = "1.2.840.10008.5.1.4.1.1.7.4"

SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg": JPEGBaseline8Bit,
    "jpeg extended": JPEGExtended12Bit,
}

# Planted in every file; no output, log or error may ever hold one of them.
PLANTED = {
    "PatientName": "Zwickelhuber^Edeltraud",
    "PatientID": "MRN-7741953",
    "PatientBirthDate": "19510713",
    "AccessionNumber": "ACC88123",
    "StudyID": "STUDY4711",
    "StudyDate": "20190317",
    "ReferringPhysicianName": "Quacksalver^Kunibert",
    "StudyDescription": "Kontrolle bei Myopie",
    "StudyInstanceUID": "1.2.826.0.1.999.1001",
    "SeriesInstanceUID": "1.2.826.0.1.999.1002",
    "SOPInstanceUID": "1.2.826.0.1.999.1003",
    "DeviceSerialNumber": "SN-55512",
    "InstitutionName": "Augenklinik Hinterbrühl".replace("ü", "ue"),
}


def rgb_to_ybr(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """PS3.3 C.7.6.3.1.2, written out."""
    red, green, blue = (rgb[..., channel].astype(np.float64) for channel in range(3))
    luma = 0.2990 * red + 0.5870 * green + 0.1140 * blue
    to_blue = -0.1687 * red - 0.3313 * green + 0.5000 * blue + 128
    to_red = 0.5000 * red - 0.4187 * green - 0.0813 * blue + 128
    return np.stack([luma, to_blue, to_red], axis=-1).round().clip(0, 255).astype(np.uint8)


def item(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def jpeg(
    picture: NDArray[np.uint8], *, sampling: int = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422
) -> bytes:
    """An ordinary JPEG (YCbCr with a JFIF marker, or grey)."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 98, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    done, data = cv2.imencode(".jpg", picture[..., ::-1] if picture.ndim == 3 else picture, options)
    assert done
    return data.tobytes()


def raw_jpeg(components: NDArray[np.uint8]) -> bytes:
    """A JPEG whose components are the array's channels as they are, without any marker of colour.

    Pillow writes an RGB file with Adobe's marker; without it nothing says which colours they are.
    """
    image = pytest.importorskip("PIL.Image", reason="JPEGs of raw components are made by Pillow")
    stream = BytesIO()
    image.fromarray(components).save(stream, "JPEG", quality=98, subsampling=0, keep_rgb=True)
    return without(stream.getvalue(), 0xE0, 0xEE)


def without(data: bytes, *markers: int) -> bytes:
    """A JPEG without those segments before its scan."""
    kept, position = [data[:2]], 2
    while data[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if data[position + 1] not in markers:
            kept.append(data[position:end])
        position = end
    return b"".join([*kept, data[position:]])


@dataclass
class Eye:
    """What a file is made of; what is left out is as in a sound ophthalmic photograph."""

    frames: list[NDArray[np.uint8]]
    photometric: str = "RGB"
    syntax: str = "explicit"
    planar: int = 0
    sop_class: str = ""
    laterality: dict[str, str] = field(default_factory=lambda: {"ImageLaterality": "R"})
    palette: NDArray[np.uint8] | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    fragments: list[bytes] | None = None

    def __post_init__(self) -> None:
        # What an ophthalmic photograph may have; the rest goes into a secondary capture.
        ophthalmic = self.photometric in {"YBR_FULL_422", "MONOCHROME2"} or (
            self.photometric == "RGB" and not self.syntax.startswith("jpeg")
        )
        self.sop_class = self.sop_class or (OPHTHALMIC if ophthalmic else CAPTURE)

    def dataset(self) -> Dataset:
        dataset = Dataset()
        for keyword, value in PLANTED.items():
            setattr(dataset, keyword, value)
        dataset.PatientSex, dataset.StudyTime = "F", "101500"
        self._meta(dataset)
        self._series(dataset)
        self._pixels(dataset)
        if self.sop_class not in {CAPTURE, CAPTURE_FRAMES}:
            self._ophthalmic(dataset)
        for keyword, value in self.laterality.items():
            setattr(dataset, keyword, value)
        for keyword, value in self.changes.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        return dataset

    def encode(self) -> bytes:
        stream = BytesIO()
        dataset = self.dataset()
        dataset.save_as(stream, enforce_file_format=True)
        return stream.getvalue()

    def _meta(self, dataset: Dataset) -> None:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = SYNTAXES[self.syntax]
        meta.MediaStorageSOPClassUID = self.sop_class
        meta.MediaStorageSOPInstanceUID = PLANTED["SOPInstanceUID"]
        dataset.file_meta = meta
        dataset.SOPClassUID = self.sop_class

    def _series(self, dataset: Dataset) -> None:
        ophthalmic = self.sop_class not in {CAPTURE, CAPTURE_FRAMES}
        dataset.Modality = "OP" if ophthalmic else "OT"
        dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
        dataset.Manufacturer, dataset.ManufacturerModelName = "Nobody", "None"
        dataset.SoftwareVersions = "1"
        dataset.ContentDate, dataset.ContentTime = "20190317", "101501"
        dataset.PatientOrientation = ["L", "F"]
        if not ophthalmic:
            dataset.ConversionType = "DI"
        dataset.ImageType = (
            ["ORIGINAL", "PRIMARY", "", "COLOR"] if ophthalmic else ["ORIGINAL", "PRIMARY"]
        )
        dataset.BurnedInAnnotation = "NO"
        dataset.LossyImageCompression = "01" if self.syntax.startswith("jpeg") else "00"
        if self.syntax.startswith("jpeg"):
            dataset.LossyImageCompressionRatio = 3
            dataset.LossyImageCompressionMethod = "ISO_10918_1"

    def _ophthalmic(self, dataset: Dataset) -> None:
        dataset.SynchronizationFrameOfReferenceUID = "1.2.826.0.1.999.1004"
        dataset.SynchronizationTrigger, dataset.AcquisitionTimeSynchronized = "NO TRIGGER", "N"
        dataset.AcquisitionDateTime = "20190317101501"
        dataset.AcquisitionContextSequence = []
        dataset.AnatomicRegionSequence = [item("81745001", "SCT", "Eye")]
        dataset.AcquisitionDeviceTypeCodeSequence = [item("409898007", "SCT", "Fundus Camera")]
        for keyword in (
            "IlluminationTypeCodeSequence",
            "LightPathFilterTypeStackCodeSequence",
            "ImagePathFilterTypeStackCodeSequence",
            "LensesCodeSequence",
            "RefractiveStateSequence",
        ):
            setattr(dataset, keyword, [])
        dataset.DetectorType = "CCD"
        dataset.PatientEyeMovementCommanded = ""
        dataset.EmmetropicMagnification = dataset.IntraOcularPressure = None
        dataset.HorizontalFieldOfView, dataset.PupilDilated = 200, ""

    def _pixels(self, dataset: Dataset) -> None:
        rows, columns = self.frames[0].shape[:2]
        samples = 1 if self.photometric in {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"} else 3
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, samples
        dataset.PhotometricInterpretation = self.photometric
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.PixelRepresentation = 7, 0
        if samples == 3:
            dataset.PlanarConfiguration = self.planar
        elif self.photometric == "MONOCHROME2":
            dataset.PresentationLUTShape = "IDENTITY"
        if self.palette is not None:
            for index, colour in enumerate(("Red", "Green", "Blue")):
                name = f"{colour}PaletteColorLookupTable"
                setattr(dataset, f"{name}Descriptor", [len(self.palette), 0, 8])
                setattr(dataset, f"{name}Data", self.palette[:, index].tobytes())
        if self.sop_class != CAPTURE:
            dataset.NumberOfFrames = len(self.frames)
            if self.sop_class != CAPTURE_FRAMES or len(self.frames) > 1:
                dataset.FrameIncrementPointer = pydicom.tag.Tag("FrameTime")
                dataset.FrameTime = 40
        if self.syntax in {"explicit", "implicit"}:
            stored = b"".join(self._native(frame) for frame in self.frames)
            dataset.PixelData = stored + b"\0" * (len(stored) % 2)
            dataset["PixelData"].VR = "OW" if self.syntax == "implicit" else "OB"
        else:
            coded = self.fragments or [self._coded(frame, dataset) for frame in self.frames]
            dataset.PixelData = encapsulate(coded)
            dataset["PixelData"].VR = "OB"

    def _native(self, frame: NDArray[np.uint8]) -> bytes:
        if self.photometric == "YBR_FULL_422":
            full = rgb_to_ybr(frame)
            luma = full[..., 0].reshape(len(full), -1, 2)
            # Cosited: the colour of each pair is its first pixel's.
            return np.concatenate([luma, full[:, ::2, 1:]], axis=-1).tobytes()
        stored = rgb_to_ybr(frame) if self.photometric == "YBR_FULL" else frame
        return (stored.transpose(2, 0, 1) if self.planar else stored).tobytes()

    def _coded(self, frame: NDArray[np.uint8], dataset: Dataset) -> bytes:
        if self.syntax == "rle":
            encoder = pydicom.pixels.get_encoder(RLELossless)
            ybr = self.photometric == "YBR_FULL"
            return encoder.encode(
                np.ascontiguousarray(rgb_to_ybr(frame) if ybr else frame),
                encoding_plugin="pydicom",
                rows=dataset.Rows,
                columns=dataset.Columns,
                number_of_frames=1,
                bits_allocated=8,
                bits_stored=8,
                pixel_representation=0,
                samples_per_pixel=dataset.SamplesPerPixel,
                planar_configuration=0,
                photometric_interpretation=self.photometric,
            )
        return raw_jpeg(frame) if self.photometric == "RGB" else jpeg(frame)


@pytest.fixture(scope="session")
def make_eye() -> type[Eye]:
    return Eye


@pytest.fixture(scope="session")
def small() -> NDArray[np.uint8]:
    """(48, 64, 3) uint8 RGB, smooth, of all colours."""
    rows, columns = np.mgrid[:48, :64]
    picture = np.stack([4 * columns, 5 * rows, 2 * rows + 2 * columns], axis=-1)
    return picture.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def eye_dicom(eye: NDArray[np.uint8]) -> bytes:
    return Eye([eye], syntax="jpeg", photometric="YBR_FULL_422").encode()


@pytest.fixture(scope="session")
def predictor(tiny_bundle: Path) -> Iterator[Predictor]:
    if not installed_engines():
        pytest.skip("no engine installed")
    with Predictor.open(tiny_bundle, threads=1, trust=ANY_BUNDLE) as opened:
        yield opened


@pytest.fixture(scope="session")
def answer(predictor: Predictor, eye_dicom: bytes) -> Prediction:
    return predictor.predict(eye_dicom)


Validate = Callable[[bytes], list[str]]


@pytest.fixture
def complaints(tmp_path: Path) -> Validate:
    """Lines of dciodvfy that are errors or warnings."""
    program = need_program("dciodvfy")

    def run(data: bytes) -> list[str]:
        path = tmp_path / "object.dcm"
        path.write_bytes(data)
        done = subprocess.run([program, path], capture_output=True, text=True, check=False)
        return [
            line
            for line in (done.stdout + done.stderr).splitlines()
            if line.startswith(("Error", "Warning"))
        ]

    return run


@pytest.fixture(scope="session")
def planted() -> dict[str, str]:
    return PLANTED


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def realmnet(capfd: pytest.CaptureFixture[str], tiny_bundle: Path) -> Iterator[Callable[..., Any]]:
    """`realmnet predict` on the tiny bundle, with its streams caught."""
    pytest.importorskip("typer", reason="the command needs the extra 'cli'")
    if not installed_engines():
        pytest.skip("no engine installed")
    threads = cv2.getNumThreads()

    def run(*words: str | Path) -> Outcome:
        capfd.readouterr()
        code = main(
            [
                "predict",
                "--bundle",
                str(tiny_bundle),
                "--allow-unsigned",
                "--threads",
                "1",
                *map(str, words),
            ]
        )
        caught = capfd.readouterr()
        return Outcome(code, caught.out, caught.err)

    yield run
    cv2.setNumThreads(threads)
