"""Decoding: a picture file, its bytes or an array becomes (H, W, 3) uint8 RGB.

The rules, which `docs/images.md` explains:

* JPEG, PNG, BMP and TIFF, told by content and never by suffix. Of a TIFF, the first page; more
  full pages are refused, reduced copies are passed over.
* EXIF orientation (JPEG, PNG) and TIFF's own are applied. Colour profiles are not.
* 16 bits become 8 by value / 257 rounded to nearest, so that 0 stays 0 and 65,535 becomes 255.
* Alpha is composited on black: colour * alpha / 255, rounded to nearest. A BMP's fourth byte is
  left out.
* Palettes are expanded; grey is repeated in the three channels.
* CMYK and YCCK, lossless and 12-bit JPEGs, floating-point, tiled and planar TIFFs, run-length
  coded BMPs and animated PNGs are refused; so are truncated files, and more than
  `image_headers.PIXEL_LIMIT` pixels before any of them is decoded.
* With a model size, a JPEG is decoded at the smallest of the scales 1/8, 1/4, 1/2 and 1 whose
  shorter side is at least twice that size. Sides of a scaled decode are rounded up.
* DICOM files, by their preamble, where the extra `dicom` is installed (`docs/dicom.md`).

Refusals say what the content is and never name the file: names of medical pictures often carry
record numbers. No process-wide setting of OpenCV is read or changed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.boxes import Box, scale_box
from realmnet_runtime.dicom import decode_dicom, is_dicom
from realmnet_runtime.dicom.laterality import Laterality
from realmnet_runtime.errors import MissingPath, UnreadableImage, UsageError
from realmnet_runtime.pictures.image_headers import (
    PIXEL_LIMIT,
    ImageFormat,
    ImageHeader,
    read_header,
)
from realmnet_runtime.pictures.image_headers.header import TURNED

ImageSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | NDArray[np.uint8]

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".dcm")

# Room for 16-bit RGBA at the pixel limit: no picture that is decoded needs a longer file.
_FILE_LIMIT: Final = 8 * PIXEL_LIMIT

_RGB: Final = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
# The reduced flags contain the BGR bit, which excludes the RGB one.
_JPEG_FLAGS: Final = {
    8: (cv2.IMREAD_REDUCED_COLOR_8 & ~cv2.IMREAD_COLOR) | _RGB,
    4: (cv2.IMREAD_REDUCED_COLOR_4 & ~cv2.IMREAD_COLOR) | _RGB,
    2: (cv2.IMREAD_REDUCED_COLOR_2 & ~cv2.IMREAD_COLOR) | _RGB,
    1: _RGB,
}
_TO_8_BITS: Final = ((np.arange(65536) + 128) // 257).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """A decoded picture and where it came from.

    Attributes:
        pixels: (h, w, 3) uint8 RGB, upright; smaller than the original after a scaled decode.
        original_size: (height, width) of the whole picture, upright.
        format: JPEG, PNG, BMP, TIFF, DICOM, or `array` for pixels that came decoded.
        sha256: of the bytes that came, lower-case hex; of an array, of its shape as
            `height,width,3` in ASCII followed by its bytes in C order.
        laterality: the eye, as a DICOM file's header says; `unknown` for every other kind.
        frame: number of a DICOM file's frame, from 1; None for every other kind.
    """

    pixels: NDArray[np.uint8]
    original_size: tuple[int, int]
    format: ImageFormat | Literal["DICOM", "array"]
    sha256: str
    laterality: Laterality = "unknown"
    frame: int | None = None

    def to_original(self, box: Box) -> Box:
        """A half-open box (x0, y0, x1, y1) on `pixels`, in pixels of the original."""
        rows, columns = self.pixels.shape[:2]
        return scale_box(box, (rows, columns), self.original_size)


def read_image(
    source: ImageSource, *, model_size: int | None = None, frame: int | None = None
) -> NDArray[np.uint8]:
    """Decode a picture by the rules of this module.

    Args:
        source: path, bytes of a file, or (H, W, 3) uint8 RGB, which is returned as it is.
        model_size: side of the model's input in pixels, for a scaled decode of JPEGs; None
            decodes every pixel.
        frame: number of the frame of a DICOM file, from 1; other kinds have none.

    Returns:
        (H, W, 3) uint8 RGB, upright.

    Raises:
        MissingPath: no such file, or a directory.
        UnreadableImage: not a whole picture of a kind that is read.
        ImageRefused: a DICOM file of several frames, and none was named.
        BackendUnavailable: a DICOM file, and the extra `dicom` is not installed.
        UsageError: an array of another shape or type, another kind of source, a size below 1, a
            frame that the picture has not.
    """
    _require_size(model_size)
    if isinstance(source, np.ndarray):
        _refuse_frame(frame, "an array")
        return require_rgb(source)
    data = read_bytes(source)
    if is_dicom(data):
        return decode_dicom(data, frame=frame, model_size=model_size).pixels
    header = read_header(data)
    _refuse_frame(frame, f"a {header.format}")
    return decode_file(data, header, model_size)


def decode_image(
    source: ImageSource, *, model_size: int | None = None, frame: int | None = None
) -> DecodedImage:
    """As `read_image`, with the picture's original size, kind, digest, eye and frame.

    Raises:
        MissingPath, ImageRefused, BackendUnavailable, UsageError: as `read_image`.
    """
    _require_size(model_size)
    if isinstance(source, np.ndarray):
        _refuse_frame(frame, "an array")
        pixels = require_rgb(source)
        height, width = pixels.shape[:2]
        digest = hashlib.sha256(f"{height},{width},3".encode())
        digest.update(np.ascontiguousarray(pixels).data)
        return DecodedImage(pixels, (height, width), "array", digest.hexdigest())
    data = read_bytes(source)
    digest_of_file = hashlib.sha256(data).hexdigest()
    if is_dicom(data):
        found = decode_dicom(data, frame=frame, model_size=model_size)
        return DecodedImage(
            found.pixels,
            found.original_size,
            "DICOM",
            digest_of_file,
            found.laterality,
            found.frame,
        )
    header = read_header(data)
    _refuse_frame(frame, f"a {header.format}")
    pixels = decode_file(data, header, model_size)
    # Only JPEGs come scaled; of the rest the decoder knows best, as it turns TIFFs itself.
    original_size = header.upright_size if header.format == "JPEG" else pixels.shape[:2]
    return DecodedImage(pixels, original_size, header.format, digest_of_file)


def list_images(directory: str | os.PathLike[str]) -> list[Path]:
    """The pictures directly in a directory, by suffix (any case), sorted by name.

    Hidden files are passed over: copies from other systems leave `._eye.jpg` beside `eye.jpg`.

    Raises:
        MissingPath: no such directory, or none of its files has a picture's suffix.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise MissingPath(f"no directory {folder}; give one that holds pictures")
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        raise MissingPath(f"no pictures in {folder}; files that end in {', '.join(SUFFIXES)} are")
    return found


def require_rgb(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the array if it is a picture.

    Raises:
        UsageError: not (H, W, 3) uint8 with at least one pixel.
    """
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise UsageError(
            f"array has shape {array.shape} and type {array.dtype}; (H, W, 3) uint8 RGB with at "
            "least one pixel is needed; convert it before"
        )
    return array


def _require_size(model_size: int | None) -> None:
    if model_size is not None and model_size < 1:
        raise UsageError(f"model size {model_size}; at least 1 pixel, or None for a full decode")


def _refuse_frame(frame: int | None, kind: str) -> None:
    if frame is not None:
        raise UsageError(f"frame {frame} of {kind}; only a DICOM file has frames: leave it out")


def read_bytes(source: str | os.PathLike[str] | bytes | bytearray | memoryview) -> bytes:
    """The bytes of a picture file, undecoded, as `read_image` takes them.

    Raises:
        MissingPath: no such file, or a directory.
        UnreadableImage: it cannot be read, is no regular file, or is too long for any picture.
        UsageError: another kind of source.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if not isinstance(source, str | os.PathLike):
        raise UsageError(
            f"{type(source).__name__} as a picture; a path, bytes or (H, W, 3) uint8 RGB is read"
        )
    path = Path(source)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise MissingPath(f"no file {path}; give the path of a picture") from error
    except OSError as error:
        raise UnreadableImage(f"file cannot be reached: {error.strerror}") from error
    if stat.S_ISDIR(status.st_mode):
        raise MissingPath(f"{path} is a directory; give the path of a picture")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImage("not a regular file but a device, pipe or socket; copy it to a file")
    if status.st_size > _FILE_LIMIT:
        raise UnreadableImage(
            f"file of {status.st_size} bytes; at most {_FILE_LIMIT} are read; export it smaller"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"file cannot be read: {error.strerror}") from error


def decode_file(data: bytes, header: ImageHeader, model_size: int | None) -> NDArray[np.uint8]:
    """Decode a file whose header was checked; arguments, result and errors as `read_image`."""
    needs_unchanged = header.straight_alpha or header.bits == 16
    flags = cv2.IMREAD_UNCHANGED if needs_unchanged else _RGB
    if header.format == "JPEG":
        flags = _JPEG_FLAGS[jpeg_scale(header.width, header.height, model_size)]
    try:
        decoded: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise _damaged(header) from error
    if decoded is None:
        raise _damaged(header)
    pixels = _to_rgb(decoded, header) if needs_unchanged else decoded
    return _upright(pixels, header.orientation)


def jpeg_scale(width: int, height: int, model_size: int | None) -> int:
    """Denominator of the smallest DCT scale that leaves a shorter side of 2 * `model_size`."""
    if model_size is None:
        return 1
    shorter = min(width, height)
    return next((scale for scale in (8, 4, 2) if -(-shorter // scale) >= 2 * model_size), 1)


def _damaged(header: ImageHeader) -> UnreadableImage:
    return UnreadableImage(
        f"damaged {header.format} of {header.width} x {header.height} pixels: its header is sound "
        "but its content cannot be decoded; copy or export it again"
    )


def _to_rgb(decoded: NDArray[Any], header: ImageHeader) -> NDArray[np.uint8]:
    """Grey, BGR or BGRA of 8 or 16 bits, as OpenCV leaves it unchanged, to RGB of 8."""
    pixels: NDArray[np.uint8] = _TO_8_BITS[decoded] if decoded.dtype == np.uint16 else decoded
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, np.newaxis], 3, axis=2)
    colours = pixels[..., 2::-1]
    if header.straight_alpha:
        alpha = pixels[..., 3:].astype(np.uint16)
        # 255 * 255 + 127 fits into 16 bits.
        return ((colours * alpha + 127) // 255).astype(np.uint8)
    return np.ascontiguousarray(colours)


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Apply an EXIF orientation (CIPA DC-008, tag 274)."""
    if orientation in TURNED:
        pixels = np.asarray(cv2.transpose(pixels), np.uint8)
    # OpenCV's flip codes: 0 upside down, 1 mirrored, -1 both.
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return pixels if flip is None else np.asarray(cv2.flip(pixels, flip), np.uint8)
