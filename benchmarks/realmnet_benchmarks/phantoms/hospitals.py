"""Synthetic hospitals: each shifts colour, sharpness, noise, light and border in its own way.

The five mirror the five sources of the paper's Table A3 in size and in share of black borders,
not in looks, which are invented. `PhantomE` is meant to be held out: its shift lies outside the
span of the other four.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from realmnet_runtime.errors import ConfigurationError


def _check(name: str, field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigurationError(f"{field} {value} of hospital '{name}'; give {low}..{high}")


@dataclass(frozen=True, slots=True)
class Hospital:
    """How one hospital's pictures look.

    Attributes:
        name: source part of file names; letters and digits.
        share: relative number of patients, > 0.
        black_share: part of the pictures whose surround is black, 0..1.
        red_gain: factor on the red laser, > 0.
        green_gain: factor on the green laser, > 0.
        gamma: exponent on both, > 0; below 1 brightens shadows.
        blue: mean of the blue channel, 0..10 of 255.
        blur: mean blur radius in units of half the picture's height, >= 0.
        noise: standard deviation at full resolution, of 255, >= 0.
        unevenness: depth of the slow changes of light, 0..1.
        vignette: loss of light at the edge of the aperture, 0..1.
        haze: mean veil of scattered light, 0..1.
        jpeg_quality: quality of an extra compression before the picture is handed over, or None.
        frame_share: part of its device borders in the form with rounded corners and thin black
            strips; the others show the oval window between lids.
        held_out: meant for testing on an unseen hospital.
    """

    name: str
    share: float
    black_share: float
    red_gain: float = 1.0
    green_gain: float = 1.0
    gamma: float = 1.0
    blue: float = 4.0
    blur: float = 0.0018
    noise: float = 12.0
    unevenness: float = 0.3
    vignette: float = 0.25
    haze: float = 0.05
    jpeg_quality: int | None = None
    frame_share: float = 0.5
    held_out: bool = False

    def __post_init__(self) -> None:
        if not self.name.isalnum() or not self.name.isascii():
            raise ConfigurationError(
                f"hospital name '{self.name}'; use letters and digits only, file names depend on it"
            )
        fractions = ("black_share", "unevenness", "vignette", "haze", "frame_share")
        for field in fractions:
            _check(self.name, field, getattr(self, field), 0.0, 1.0)
        for field in ("share", "red_gain", "green_gain", "gamma"):
            _check(self.name, field, getattr(self, field), 1e-6, 1e6)
        _check(self.name, "blue", self.blue, 0.0, 10.0)
        _check(self.name, "blur", self.blur, 0.0, 0.1)
        _check(self.name, "noise", self.noise, 0.0, 100.0)
        if self.jpeg_quality is not None:
            _check(self.name, "jpeg_quality", self.jpeg_quality, 30, 100)


HOSPITALS: Final = (
    Hospital("PhantomA", 0.46, 0.73),
    Hospital(
        "PhantomB", 0.2, 1.0, red_gain=1.1, green_gain=0.9, blue=7.0, blur=0.004, haze=0.08,
        gamma=0.93,
    ),
    Hospital(
        "PhantomC", 0.14, 0.0, red_gain=0.9, green_gain=1.08, noise=18.0, unevenness=0.4,
        jpeg_quality=72, frame_share=0.2,
    ),
    Hospital(
        "PhantomD", 0.1, 0.0, red_gain=1.06, green_gain=0.97, blue=8.0, blur=0.0055,
        vignette=0.35, frame_share=1.0, gamma=1.08,
    ),
    Hospital(
        "PhantomE", 0.1, 0.5, red_gain=0.86, green_gain=1.1, blue=5.0, blur=0.006, noise=20.0,
        unevenness=0.42, haze=0.11, gamma=0.97, jpeg_quality=80, frame_share=0.6, held_out=True,
    ),
)  # fmt: skip
