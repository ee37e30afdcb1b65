"""What lies outside the window: black, or the device with the patient's skin behind it."""

from __future__ import annotations

import cv2
import numpy as np

from realmnet_benchmarks.phantoms.cases import PhantomCase
from realmnet_benchmarks.phantoms.fields import FloatPlane, lay_over, smooth_field, smoothstep
from realmnet_benchmarks.phantoms.streams import stream
from realmnet_benchmarks.phantoms.window import Window

_REACH = 0.32  # how far beyond the rim a profile is tabulated, in units of the window


def paint_border(
    case: PhantomCase, window: Window, distance: FloatPlane, red: FloatPlane, green: FloatPlane
) -> None:
    """Replace everything outside the aperture, in place.

    Args:
        case: the picture; its border kind decides.
        window: the window.
        distance: (H, W), 1 on the edge of the aperture.
        red: (H, W) float32 of 0..255.
        green: (H, W) float32 of 0..255.
    """
    rng = stream(case.seed, "border", case.eye, case.image)
    device = stream(case.seed, "device colour")
    if case.border == "black":
        outside = _coverage(distance, window)
        dark = float(rng.uniform(0.0, 4.0))
        lay_over(red, dark, outside)
        lay_over(green, dark, outside)
        return
    if window.form == "frame":
        _paint_frame(rng, device, window, red, green)
    else:
        _paint_oval(rng, device, window, distance, red=red, green=green)


def _coverage(distance: FloatPlane, window: Window) -> FloatPlane:
    """How much of each pixel lies outside, 0..1."""
    ramp = (distance - np.float32(1.0)) * np.float32(window.half_height)
    ramp += np.float32(0.5)
    return np.clip(ramp, 0.0, 1.0, out=ramp)


def _paint_frame(
    rng: np.random.Generator,
    device: np.random.Generator,
    window: Window,
    red: FloatPlane,
    green: FloatPlane,
) -> None:
    rim = window.rim()
    if rim is not None:
        lines = _profile(
            [
                (0, 8),
                (0.012, 8),
                (0.016, device.uniform(40, 110)),
                (0.02, 10),
                (0.034, 6),
                (0.045, device.uniform(60, 90)),
                (0.1, device.uniform(80, 130)),
                (_REACH, 150),
            ]
        )
        value = _look_up(lines, rim)
        value *= 1 + np.float32(0.18) * smooth_field(rng, window.height, window.width, 4, 5)
        outside = _coverage(rim, window)
        lay_over(red, value * np.float32(device.uniform(0.5, 0.75)), outside)
        lay_over(green, value, outside)
    outside = _coverage(window.outer(), window)
    lay_over(red, 4.0, outside)
    lay_over(green, 4.0, outside)


def _paint_oval(
    rng: np.random.Generator,
    device: np.random.Generator,
    window: Window,
    distance: FloatPlane,
    *,
    red: FloatPlane,
    green: FloatPlane,
) -> None:
    x, y = window.axes()
    skin = _profile([(0, 6), (0.008, 14), (0.022, 150), (0.05, 172), (0.18, 142), (_REACH, 120)])
    gap = _profile([(0, 8), (0.03, 10), (0.06, 45), (0.12, 95), (_REACH, 70)])
    bars = _profile(_bars(device))
    low = smoothstep(y, 0.12, 0.42)
    lobes = low * smoothstep(np.abs(x), 0.12, 0.4)
    high = smoothstep(-y, 0.5, 0.72)
    value = _look_up(_profile(_rim_lines(device)), distance)
    lay_over(value, _look_up(gap, distance), low)
    lay_over(value, _look_up(skin, distance), lobes)
    # The lamp lights one upper corner more than the other.
    lamp = np.float32(device.uniform(0.65, 1.0)) + np.float32(device.uniform(-0.35, 0.35)) * x
    lay_over(value, _look_up(bars, distance) * lamp, high)
    # Skin is brightest beside the window, half way down.
    shine = np.exp(-(((y - np.float32(0.35)) / np.float32(0.2)) ** 2))
    value *= 1 + np.float32(device.uniform(0.1, 0.5)) * shine * low
    value *= 1 + np.float32(0.16) * smooth_field(rng, window.height, window.width, 4, 5)
    value *= 1 + np.float32(0.05) * smooth_field(rng, window.height, window.width, 40, 50)
    outside = _coverage(distance, window)
    hue = np.float32(0.8) + np.float32(0.12) * low - np.float32(0.15) * high
    hue = hue + np.float32(0.05) * smooth_field(rng, window.height, window.width, 2, 3)
    glow = np.float32(device.uniform(0.75, 1.2))
    lay_over(red, value * hue * glow, outside)
    lay_over(green, value * np.float32(1.08) * glow, outside)
    _paint_strips(device, window, red, green)
    _paint_clasps(device, window, red, green)


def _bars(rng: np.random.Generator) -> list[tuple[float, float]]:
    """Broad bright and dark bands above: the upper lid pressed against the eyepiece."""
    points = [(0.0, 6.0), (0.015, 14.0)]
    at, bright = 0.03, True
    while at < 0.26:
        value = rng.uniform(110, 190) if bright else rng.uniform(15, 80)
        wide = rng.uniform(0.03, 0.075)
        points += [(at, value), (at + 0.7 * wide, value)]
        at, bright = at + wide, not bright
    return [*points, (_REACH, points[-1][1])]


def _rim_lines(rng: np.random.Generator) -> list[tuple[float, float]]:
    """Dark and bright lines along the sides: the rings of the eyepiece."""
    points = [(0.0, 6.0), (0.016, 8.0)]
    at = 0.018
    while at < 0.13:
        thin = rng.uniform(0.006, 0.016)
        bright = rng.uniform(40, 190)
        points += [
            (at, 8.0),
            (at + 0.3 * thin, bright),
            (at + thin, bright),
            (at + 1.2 * thin, 8.0),
        ]
        at += thin + rng.uniform(0.012, 0.03)
    return [*points, (_REACH, 25.0)]


def _paint_strips(
    rng: np.random.Generator, window: Window, red: FloatPlane, green: FloatPlane
) -> None:
    """Thin black strips at the edges of the picture, the upper one widest."""
    top = round(window.height * rng.uniform(0.02, 0.032))
    bottom = round(window.height * rng.uniform(0.0, 0.006))
    for plane in (red, green):
        plane[:top] = 4.0
        if bottom:
            plane[-bottom:] = 4.0


def _paint_clasps(
    rng: np.random.Generator, window: Window, red: FloatPlane, green: FloatPlane
) -> None:
    """The two small clasps at mid height."""
    y = window.centre[1] + window.half_height * rng.uniform(-0.1, 0.02)
    tall, wide = 0.035 * window.height, 0.017 * window.width
    rows = slice(int(y - tall), int(y + tall))
    for columns in (slice(0, int(wide)), slice(window.width - int(0.7 * wide), window.width)):
        red[rows, columns] = 150.0
        green[rows, columns] = 165.0


def _profile(points: list[tuple[float, float]]) -> np.ndarray:
    """Tabulate brightness over distance beyond the rim: (256,) float32."""
    at = np.linspace(0, _REACH, 256)
    return np.interp(at, [p[0] for p in points], [p[1] for p in points]).astype(np.float32)


def _look_up(profile: np.ndarray, distance: FloatPlane) -> FloatPlane:
    index = np.clip((distance - np.float32(1)) * np.float32(255 / _REACH), 0, 255)
    return cv2.LUT(index.astype(np.uint8), profile).astype(np.float32, copy=False)
