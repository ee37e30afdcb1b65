"""From a case to a picture and its truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from realmnet_benchmarks.phantoms.anatomy import LESIONS, EyeSheet, eye_sheet
from realmnet_benchmarks.phantoms.border import paint_border
from realmnet_benchmarks.phantoms.cases import PhantomCase
from realmnet_benchmarks.phantoms.covers import paint_covers
from realmnet_benchmarks.phantoms.fields import BoolPlane, FloatPlane, grain
from realmnet_benchmarks.phantoms.optics import expose, gaze
from realmnet_benchmarks.phantoms.streams import stream
from realmnet_benchmarks.phantoms.window import Window, box_of, place_window
from realmnet_runtime.boxes import Box
from realmnet_runtime.errors import ConfigurationError, RealmnetError

MINIMUM_SIDE: Final = 96
MAXIMUM_SIDE: Final = 8_192
MAXIMUM_BLUE: Final = 10
_FULL_PX: Final = 1_450.0  # pixels per eye unit of a picture as the camera takes it


@dataclass(frozen=True, slots=True)
class Phantom:
    """A synthetic picture and what is true of it.

    Attributes:
        case: what was rendered.
        image: (H, W, 3) uint8 RGB; blue is at most 10, as two lasers give it.
        aperture: (H, W) bool, the camera's window, covered parts included (see `window`).
        box: tight half-open box (x0, y0, x1, y1) of the aperture.
        lesions: sign -> (H, W) bool, inside the aperture. Signs without a place (NoPS, NoMRL)
            and confusers have no entry; a sign out of view has an empty mask.
    """

    case: PhantomCase
    image: npt.NDArray[np.uint8]
    aperture: BoolPlane
    box: Box
    lesions: dict[str, BoolPlane]


def render(case: PhantomCase, height: int = 384, width: int = 480) -> Phantom:
    """Render a case. The same case and size always give the same bytes on one OpenCV release.

    Args:
        case: what to render.
        height: rows, 96..8192.
        width: columns, 96..8192.

    Raises:
        ConfigurationError: a side out of range.
    """
    for noun, side in (("height", height), ("width", width)):
        if not MINIMUM_SIDE <= side <= MAXIMUM_SIDE:
            raise ConfigurationError(
                f"{noun} {side} of a phantom; give {MINIMUM_SIDE}..{MAXIMUM_SIDE} pixels"
            )
    window = place_window(case, height, width)
    # One scale for all pictures of an eye, so that they share its sheet.
    sheet = eye_sheet(case, 0.47 * min(height, width / 1.25))
    distance = window.distance()
    red, green = expose(case, sheet, window, distance)
    paint_covers(case, window, distance, red, green)
    paint_border(case, window, distance, red, green)
    image = _digitise(case, window, red, green)
    aperture = distance <= 1.0
    lesions = _lesions(case, sheet, window, aperture)
    return Phantom(case, image, aperture, box_of(aperture), lesions)


def _digitise(
    case: PhantomCase, window: Window, red: FloatPlane, green: FloatPlane
) -> npt.NDArray[np.uint8]:
    rng = stream(case.seed, "noise", case.eye, case.image)
    height, width = red.shape
    # A small picture averages the grain of the full one, though never all of it.
    shrink = min(1.0, window.half_height / _FULL_PX)
    sigma = case.hospital.noise * (0.12 + 0.88 * shrink)
    image = np.empty((height, width, 3), np.uint8)
    for k, plane in enumerate((red, green)):
        noise = grain(rng, height, width)
        # Shot noise: dark places carry less of it.
        amount = plane * np.float32(sigma * 0.75 / 128)
        amount += np.float32(0.25 * sigma)
        amount *= noise
        amount += plane
        np.clip(amount, 0, 255, out=amount)
        image[..., k] = np.rint(amount, out=amount)
    blue = float(np.clip(case.hospital.blue + rng.normal(0, 0.8), 1.0, MAXIMUM_BLUE - 1.0))
    speckle = grain(rng, height, width) * np.float32(0.5) + np.float32(blue)
    image[..., 2] = np.clip(np.rint(speckle), 0, MAXIMUM_BLUE)
    quality = case.hospital.jpeg_quality
    if quality is not None:
        _, coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        if decoded is None:
            raise RealmnetError("OpenCV cannot read the JPEG that it has just written")
        image = np.ascontiguousarray(decoded[..., ::-1], np.uint8)
        # The chroma of the compression leaks into blue; the law of the two lasers is kept.
        np.minimum(image[..., 2], MAXIMUM_BLUE, out=image[..., 2])
    return image


def _lesions(
    case: PhantomCase, sheet: EyeSheet, window: Window, aperture: BoolPlane
) -> dict[str, BoolPlane]:
    if not sheet.present:
        return {}
    height, width = aperture.shape
    truth = cv2.warpAffine(
        sheet.truth,
        gaze(case, window, sheet.px),
        (width, height),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    ).astype(np.uint8, copy=False)
    found: dict[str, BoolPlane] = {}
    for name in sheet.present:
        byte, bit = divmod(LESIONS.index(name), 8)
        found[name] = ((truth[..., byte] >> np.uint8(bit)) & 1).astype(bool) & aperture
    return found
