"""What light and lenses do to the picture inside the window."""

from __future__ import annotations

import cv2
import numpy as np

from realmnet_benchmarks.phantoms.anatomy import EyeSheet
from realmnet_benchmarks.phantoms.canvas import HALF_HEIGHT, HALF_WIDTH, blurred
from realmnet_benchmarks.phantoms.cases import PhantomCase
from realmnet_benchmarks.phantoms.fields import FloatPlane, smooth_field, smoothstep
from realmnet_benchmarks.phantoms.streams import stream
from realmnet_benchmarks.phantoms.window import Window


def gaze(case: PhantomCase, window: Window, px: float) -> np.ndarray:
    """(2, 3) float64: from picture pixels to pixels of the eye's sheet for this exposure."""
    rng = stream(case.seed, "gaze", case.eye, case.image)
    shift = rng.normal(0.0, (0.045, 0.03)).clip(-0.09, 0.06)
    angle, zoom = np.radians(rng.normal(0.0, 1.5)), rng.uniform(0.93, 1.04)
    scale = zoom / window.half_height
    mirror = -1.0 if case.eye == "OS" else 1.0
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cos * mirror, -sin * mirror], [sin, cos]])
    middle = np.array(window.centre) - 0.5
    centre = np.array([HALF_WIDTH + 0.08 + shift[0], HALF_HEIGHT + shift[1]])
    # OpenCV's pixel centres lie at whole numbers, ours half a pixel further.
    offset = px * (centre - turn @ middle) - 0.5
    return np.hstack([px * turn, offset[:, None]])


def expose(
    case: PhantomCase, sheet: EyeSheet, window: Window, distance: FloatPlane
) -> tuple[FloatPlane, FloatPlane]:
    """Photograph the sheet: gaze, blur, light, haze and the gains of the hospital.

    Args:
        case: the picture.
        sheet: the painted eye.
        window: where the picture shows it.
        distance: (H, W) relative distance from the window's centre, 1 at its edge.

    Returns:
        Red and green, each (H, W) float32, in 0..255 and a little beyond.
    """
    height, width = distance.shape
    place = case.hospital
    rng = stream(case.seed, "exposure", case.eye, case.image)
    seen = cv2.warpAffine(
        sheet.planes,
        gaze(case, window, sheet.px),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    ).astype(np.float32)
    seen = blurred(seen, place.blur * rng.uniform(0.4, 1.5) * window.half_height)
    red = np.ascontiguousarray(seen[..., 0])
    green = np.ascontiguousarray(seen[..., 1])
    light = _light(case, window, distance)
    level = rng.uniform(0.85, 1.12)
    uneven = place.unevenness
    green_light = 1 + np.float32(0.8 * uneven) * smooth_field(rng, height, width, 3, 4)
    veil = place.haze * rng.uniform(0.3, 1.7)
    tint = rng.normal(1.0, 0.035)
    red *= light * np.float32(level * place.red_gain * tint)
    green *= light
    green *= np.clip(green_light, 0.5, 1.4, out=green_light) * np.float32(
        level * place.green_gain / tint
    )
    red = _curve(_veiled(red, veil, 60.0), place.gamma)
    return red, _curve(_veiled(green, veil, 75.0), place.gamma)


def _light(case: PhantomCase, window: Window, distance: FloatPlane) -> FloatPlane:
    rng = stream(case.seed, "light", case.eye, case.image)
    height, width = distance.shape
    field = 1 + np.float32(0.3 * case.hospital.unevenness) * smooth_field(rng, height, width, 3, 3)
    fall = case.hospital.vignette * rng.uniform(0.5, 1.3)
    field *= 1 - np.float32(fall) * smoothstep(distance, 0.62, 1.04)
    x, _ = window.axes()
    if case.border == "device" and rng.uniform() < 0.08:
        # The edge of the pupil throws a dark band over one side.
        side = float(rng.choice((-1.0, 1.0)))
        field *= 1 - np.float32(0.6) * smoothstep(side * x, 0.72, 0.86)
    return np.clip(field, 0.3, 1.6, out=field)


def _veiled(plane: FloatPlane, veil: float, glow: float) -> FloatPlane:
    """Scattered light: a share of the picture is lost to an even glow (of 255)."""
    plane *= np.float32(1 - veil)
    plane += np.float32(glow * veil)
    return plane


def _curve(plane: FloatPlane, gamma: float) -> FloatPlane:
    if gamma == 1.0:
        return plane
    table = (np.linspace(0, 1, 256) ** gamma * 255).astype(np.float32)
    low = np.clip(plane, 0, 254.99).astype(np.float32)
    index = low.astype(np.uint8)
    low -= index
    base = cv2.LUT(index, table)
    step = cv2.LUT(index, np.append(np.diff(table), np.float32(0)).astype(np.float32))
    return (base + step * low).astype(np.float32, copy=False)
