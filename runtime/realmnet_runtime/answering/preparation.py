"""All that is done to a picture before the engine: decode, field of view, quality, resize."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.answering.deadline import NO_DEADLINE, Deadline
from realmnet_runtime.aperture.field_of_view import FieldOfView, find_field_of_view
from realmnet_runtime.dicom.laterality import Laterality
from realmnet_runtime.pictures.frame import Frame, frame_of
from realmnet_runtime.pictures.images import DecodedImage, ImageSource, decode_image
from realmnet_runtime.pictures.preprocess import PreprocessSpec, prepare, to_tensor
from realmnet_runtime.quality import Quality
from realmnet_runtime.quality.gate import Gate


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPicture:
    """A picture as the engine takes it, without the pixels it came from.

    Attributes:
        tensor: (3, S, S) float32.
        placement: where the model's square lies on the original picture.
        aperture: in pixels of the picture as decoded.
        original_size: (height, width), pixels.
        sha256: of the file's bytes, or of an array's.
        quality: as far as can be told without the engine.
        laterality: the eye, as a DICOM file's header says; else `unknown`.
        frame: number of a DICOM file's frame, from 1; None for other pictures.
        timings_ms: wall-clock milliseconds by stage; the stages to come are added.
    """

    tensor: NDArray[np.float32]
    placement: Frame
    aperture: FieldOfView
    original_size: tuple[int, int]
    sha256: str
    quality: Quality
    laterality: Laterality
    frame: int | None
    timings_ms: dict[str, float]


def prepare_picture(
    source: ImageSource,
    spec: PreprocessSpec,
    gate: Gate,
    limit: Deadline = NO_DEADLINE,
    *,
    frame: int | None = None,
) -> PreparedPicture:
    """Prepare a picture; any thread may do it.

    Args:
        source: path, bytes of a file, or (H, W, 3) uint8 RGB.
        spec: of the bundle.
        gate: of quality.
        limit: looked at after each stage.
        frame: number of the frame of a DICOM file, from 1; None where there is one.

    Raises:
        MissingPath: no such file.
        ImageRefused: unreadable, too small, without a field of view, or of several frames of which
            none is named.
        BackendUnavailable: a DICOM file, and the extra `dicom` is not installed.
        DeadlineExceeded: no time is left.
        UsageError: an array of another shape or type.
    """
    timings: dict[str, float] = {}
    with timed(timings, "decode"):
        decoded = decode_image(source, model_size=spec.decode_size, frame=frame)
    limit.require("decode")
    with timed(timings, "field_of_view"):
        aperture = _aperture(decoded, spec)
    limit.require("field_of_view")
    with timed(timings, "quality"):
        quality = gate.look(decoded.pixels, aperture)
    limit.require("quality")
    with timed(timings, "prepare"):
        tensor = to_tensor(prepare(decoded.pixels, spec, aperture), spec)
    limit.require("prepare")
    return PreparedPicture(
        tensor=tensor,
        placement=frame_of(decoded, aperture.box, spec),
        aperture=aperture,
        original_size=decoded.original_size,
        sha256=decoded.sha256,
        quality=quality,
        laterality=decoded.laterality,
        frame=decoded.frame,
        timings_ms=timings,
    )


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    """Note the wall-clock milliseconds of a stage."""
    begin = time.perf_counter_ns()
    yield
    timings[stage] = (time.perf_counter_ns() - begin) / 1e6


def _aperture(decoded: DecodedImage, spec: PreprocessSpec) -> FieldOfView:
    """The field of view, which of an already prepared picture is the whole of it."""
    if spec.deborder != "off":
        return find_field_of_view(decoded.pixels)
    height, width = decoded.pixels.shape[:2]
    return FieldOfView(box=(0, 0, width, height), mask=np.ones((height, width), np.bool_))
