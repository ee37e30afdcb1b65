"""All that is done to a picture before the engine: decode, field of view, crop and resize."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.boxes import Box
from realmnet_runtime.deadline import NO_DEADLINE, Deadline
from realmnet_runtime.field_of_view import FieldOfView, find_field_of_view
from realmnet_runtime.images import DecodedImage, ImageSource, decode_image
from realmnet_runtime.preprocess import PreprocessSpec, prepare, to_tensor
from realmnet_runtime.quality import require_colour


@dataclass(frozen=True, slots=True, eq=False)
class PreparedPicture:
    """A picture as the engine takes it, without the pixels it came from.

    Attributes:
        tensor: (3, S, S) float32.
        box: half-open, in pixels of the original picture.
        aperture: in pixels of the picture as decoded.
        original_size: (height, width), pixels.
        sha256: of the file's bytes, or of an array's.
        timings_ms: wall-clock milliseconds by stage; the stages to come are added.
    """

    tensor: NDArray[np.float32]
    box: Box
    aperture: FieldOfView
    original_size: tuple[int, int]
    sha256: str
    timings_ms: dict[str, float]


def prepare_picture(
    source: ImageSource, spec: PreprocessSpec, limit: Deadline = NO_DEADLINE
) -> PreparedPicture:
    """Prepare a picture; any thread may do it.

    Args:
        source: path, bytes of a file, or (H, W, 3) uint8 RGB.
        spec: of the bundle.
        limit: looked at after each stage.

    Raises:
        MissingPath: no such file.
        ImageRefused: unreadable, without a field of view, or grey.
        DeadlineExceeded: no time is left.
        UsageError: an array of another shape or type.
    """
    timings: dict[str, float] = {}
    with timed(timings, "decode"):
        decoded = decode_image(source, model_size=spec.decode_size)
    limit.require("decode")
    with timed(timings, "field_of_view"):
        aperture = _aperture(decoded, spec)
        require_colour(decoded.pixels, aperture)
    limit.require("field_of_view")
    with timed(timings, "prepare"):
        tensor = to_tensor(prepare(decoded.pixels, spec, aperture), spec)
    limit.require("prepare")
    return PreparedPicture(
        tensor=tensor,
        box=decoded.to_original(aperture.box),
        aperture=aperture,
        original_size=decoded.original_size,
        sha256=decoded.sha256,
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
