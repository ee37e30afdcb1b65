"""From a decoded picture to the network's input, by one versioned specification."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from realmnet_runtime.errors import ConfigurationError

SPEC_VERSION: Final = 1


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
        resize: filter; `area` averages when shrinking and is linear when enlarging.
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
