"""From a decoded picture to the network's input, by one versioned specification.

Three stages, each with its golden file: crop (and mask), fit to the square, tensor. The first two
stay in uint8, so that training can augment between them and the last; the last is a table of 256
values a channel, so that equal bytes give equal tensors on every machine.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import Annotated, Final, Literal, NamedTuple

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.aperture.field_of_view import FieldOfView, find_field_of_view
from realmnet_runtime.errors import ConfigurationError, ImageRefused, UsageError
from realmnet_runtime.pictures.images import require_rgb

SPEC_VERSION: Final = 1

_MOST_ENLARGEMENT: Final = 8
_FILTERS: Final = {
    "area": cv2.INTER_AREA,
    # The same bytes on every processor, unlike INTER_LINEAR.
    "linear": cv2.INTER_LINEAR_EXACT,
    "cubic": cv2.INTER_CUBIC,
}


class PreprocessSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a picture becomes a tensor; the same for training, calibration and the device.

    Attributes:
        size: side of the square input, pixels.
        version: of this specification; a runtime reads the versions it knows.
        decode: `scaled` decodes JPEGs at the smallest DCT scale whose shorter side is still at
            least twice `size`; `full` always decodes every pixel.
        deborder: `off` for already prepared pictures; `crop` to the box of the field of view;
            `crop+mask` also blackens what lies outside the aperture.
        fit: `stretch` ignores the aspect of the crop; `pad` centres it on black.
        resize: filter; `area` averages along a side that shrinks and is linear along one that
            grows; `linear` and `cubic` take neighbours only and alias where they shrink.
        mean, std: per channel R, G, B on the [0, 1] scale. RealMNet uses 0 and 1 (paper's code:
            mean 0, std 255 on 0..255), not ImageNet's.
    """

    size: Annotated[int, msgspec.Meta(ge=32, le=4096)]
    version: int = SPEC_VERSION
    decode: Literal["scaled", "full"] = "scaled"
    deborder: Literal["off", "crop", "crop+mask"] = "crop"
    fit: Literal["stretch", "pad"] = "stretch"
    resize: Literal["area", "linear", "cubic"] = "area"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if self.version != SPEC_VERSION:
            raise ConfigurationError(
                f"pre-processing specification version {self.version}; this runtime knows "
                f"{SPEC_VERSION}; install the runtime that matches the bundle"
            )
        if min(self.std) <= 0.0:
            raise ConfigurationError(f"std {self.std} must be above zero in every channel")
        if not all(map(math.isfinite, (*self.mean, *self.std))):
            raise ConfigurationError(f"mean {self.mean} and std {self.std} must be finite")

    @property
    def decode_size(self) -> int | None:
        """What `read_image` takes as `model_size`: the size, or None for a full decode."""
        return self.size if self.decode == "scaled" else None


class Placement(NamedTuple):
    """The rectangle of the model's square that a crop fills, in pixels of the square."""

    top: int
    left: int
    rows: int
    columns: int


def prepare(
    image: NDArray[np.uint8], spec: PreprocessSpec, field_of_view: FieldOfView | None = None
) -> NDArray[np.uint8]:
    """Crop, mask and fit a picture to the model's square, still in uint8.

    Args:
        image: (H, W, 3) uint8 RGB in any memory order; it is not written to.
        spec: the bundle's specification, S its `size`.
        field_of_view: of this image, where the caller already has it; else it is looked for.
            With `deborder="off"` none is looked for and one given is not used.

    Returns:
        (S, S, 3) uint8 RGB, C-contiguous. `pad` centres the crop on black; a side that cannot be
        halved leaves the odd row or column of black below or right.

    Raises:
        NoFieldOfView: none was given and none was found.
        ImageRefused: the crop's shorter side is below S / 8, which no enlargement makes sharp.
        UsageError: the image is not (H, W, 3) uint8, or the field of view is another picture's.
    """
    crop = _crop(require_rgb(image), spec, field_of_view)
    height, width = crop.shape[:2]
    if min(height, width) * _MOST_ENLARGEMENT < spec.size:
        raise ImageRefused(
            f"picture too small: {width} x {height} pixels to fill {spec.size} x {spec.size}; at "
            f"least {-(-spec.size // _MOST_ENLARGEMENT)} a side are needed; send the original"
        )
    top, left, rows, columns = place_crop(height, width, spec)
    resized = _resize(crop, rows, columns, spec)
    if spec.fit == "stretch":
        return resized
    square = np.zeros((spec.size, spec.size, 3), np.uint8)
    square[top : top + rows, left : left + columns] = resized
    return square


def place_crop(height: int, width: int, spec: PreprocessSpec) -> Placement:
    """Where `prepare` puts a crop of this size; maps of the square are carried back by it."""
    if spec.fit == "stretch":
        return Placement(0, 0, spec.size, spec.size)
    longer = max(height, width)
    rows = max(1, round(height * spec.size / longer))
    columns = max(1, round(width * spec.size / longer))
    return Placement((spec.size - rows) // 2, (spec.size - columns) // 2, rows, columns)


def to_tensor(prepared: NDArray[np.uint8], spec: PreprocessSpec) -> NDArray[np.float32]:
    """The network's input: (value / 255 - mean) / std, each value rounded once, to float32.

    Args:
        prepared: (S, S, 3) uint8 RGB, as `prepare` returns it.
        spec: with `size` S, and the mean and std of each channel on the [0, 1] scale.

    Returns:
        (3, S, S) float32, C-contiguous, channels R, G, B.

    Raises:
        UsageError: another shape or type.
    """
    if prepared.shape != (spec.size, spec.size, 3) or prepared.dtype != np.uint8:
        raise UsageError(
            f"prepared picture has shape {prepared.shape} and type {prepared.dtype}; "
            f"({spec.size}, {spec.size}, 3) uint8 is needed; call prepare with the same spec"
        )
    tables = _tables(spec.mean, spec.std)
    tensor = np.empty((3, spec.size, spec.size), np.float32)
    for channel, plane in enumerate(cv2.split(prepared)):
        tensor[channel] = cv2.LUT(plane, tables[channel : channel + 1])
    return tensor


def preprocess(image: NDArray[np.uint8], spec: PreprocessSpec) -> NDArray[np.float32]:
    """`to_tensor(prepare(image, spec), spec)`: (H, W, 3) uint8 RGB to (3, S, S) float32.

    Raises:
        NoFieldOfView, ImageRefused, UsageError: as `prepare`.
    """
    return to_tensor(prepare(image, spec), spec)


def tensor_digest(tensor: NDArray[np.float32]) -> str:
    """SHA-256 (lower-case hex) of the values as little-endian float32 in C order.

    Raises:
        UsageError: not float32; a conversion here would hide where the other type came from.
    """
    if tensor.dtype.newbyteorder("=") != np.float32:
        raise UsageError(f"tensor of type {tensor.dtype}; float32 is needed")
    return hashlib.sha256(np.ascontiguousarray(tensor, dtype="<f4").data).hexdigest()


def _crop(
    image: NDArray[np.uint8], spec: PreprocessSpec, field_of_view: FieldOfView | None
) -> NDArray[np.uint8]:
    if spec.deborder == "off":
        return image
    found = find_field_of_view(image) if field_of_view is None else field_of_view
    if found.mask.shape != image.shape[:2]:
        height, width = image.shape[:2]
        raise UsageError(
            f"field of view of a picture of {found.mask.shape[1]} x {found.mask.shape[0]} pixels "
            f"for one of {width} x {height}; use field_of_view.scaled_to({height}, {width})"
        )
    x0, y0, x1, y1 = found.box
    crop = image[y0:y1, x0:x1]
    if spec.deborder == "crop":
        return crop
    # Before the resize, so that the aperture's edge is averaged with black like any other edge.
    mask = found.mask[y0:y1, x0:x1].view(np.uint8)
    return np.asarray(cv2.copyTo(crop, mask), np.uint8)


def _resize(
    crop: NDArray[np.uint8], rows: int, columns: int, spec: PreprocessSpec
) -> NDArray[np.uint8]:
    kind = _FILTERS[spec.resize]
    height, width = crop.shape[:2]
    if spec.resize == "area" and (rows > height or columns > width):
        # OpenCV's area filter repeats pixels when it enlarges, and gives up averaging the one
        # side that shrinks where the other grows.
        kind = cv2.INTER_LINEAR_EXACT
        if rows < height or columns < width:
            lesser = (min(columns, width), min(rows, height))
            crop = np.asarray(cv2.resize(crop, lesser, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(crop, (columns, rows), interpolation=kind), np.uint8)


@lru_cache(maxsize=16)
def _tables(
    mean: tuple[float, float, float], std: tuple[float, float, float]
) -> NDArray[np.float32]:
    """(3, 256) float32: what each byte of each channel becomes."""
    values = np.arange(256) / 255.0
    exact = (values - np.array(mean)[:, np.newaxis]) / np.array(std)[:, np.newaxis]
    tables: NDArray[np.float32] = exact.astype(np.float32)
    tables.setflags(write=False)
    return tables
