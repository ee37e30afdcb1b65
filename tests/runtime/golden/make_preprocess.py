"""Write the golden files of decoding and pre-processing beside this script.

    python tests/runtime/golden/make_preprocess.py

Run it only when the specification's version changes: bundles in the field were trained and
calibrated on what these files pin. It needs nothing but the runtime.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.aperture.field_of_view import FieldOfView
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.pictures.preprocess import PreprocessSpec, prepare, tensor_digest, to_tensor

FOLDER = Path(__file__).parent / "preprocess"
HEIGHT, WIDTH = 95, 129
BOX = (10, 7, 121, 90)
CASES = {
    "stretch": PreprocessSpec(size=48),
    "pad": PreprocessSpec(size=48, fit="pad"),
    "mask": PreprocessSpec(
        size=48, deborder="crop+mask", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    "off": PreprocessSpec(size=48, deborder="off"),
    "linear": PreprocessSpec(size=48, resize="linear"),
    "cubic": PreprocessSpec(size=48, resize="cubic"),
    # Between the box's height and width: one side grows, the other shrinks.
    "mixed": PreprocessSpec(size=100),
}


def field_of_view() -> FieldOfView:
    """The ellipse in `BOX`."""
    x0, y0, x1, y1 = BOX
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    across = (2 * x - x0 - x1) / (x1 - x0)
    down = (2 * y - y0 - y1) / (y1 - y0)
    return FieldOfView(BOX, across**2 + down**2 <= 1)


def picture() -> NDArray[np.uint8]:
    """A synthetic disc: a red-green ramp with arcs for vessels, dark outside, blue about 0."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    red = 150 + 60 * np.sin(x / 40) + 20 * np.cos(y / 9)
    green = 90 + 40 * np.cos((x + y) / 35)
    vessel = (np.hypot(x - 40, y - 140) % 23 < 2) | (np.hypot(x - 60, y + 40) % 31 < 2)
    red, green = np.where(vessel, 90, red), np.where(vessel, 40, green)
    channels = np.dstack([red, green, np.full_like(red, 6.0)])
    return np.where(field_of_view().mask[..., None], channels, 3.0).astype(np.uint8)


def write_png(name: str, pixels: NDArray[np.uint8]) -> None:
    coded = cv2.imencode(".png", pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
    (FOLDER / name).write_bytes(coded.tobytes())


def main() -> None:
    """Write the picture, its JPEG, the decoded and prepared stages and the tensors' digests."""
    FOLDER.mkdir(exist_ok=True)
    original = picture()
    write_png("picture.png", original)
    jpeg = cv2.imencode(".jpg", original[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    (FOLDER / "picture.jpg").write_bytes(jpeg.tobytes())
    write_png("decoded_full.png", read_image(jpeg.tobytes()))
    write_png("decoded_half.png", read_image(jpeg.tobytes(), model_size=24))
    cases = {}
    for name, spec in CASES.items():
        prepared = prepare(original, spec, field_of_view())
        write_png(f"prepared_{name}.png", prepared)
        cases[name] = {
            "spec": msgspec.to_builtins(spec),
            "tensor_sha256": tensor_digest(to_tensor(prepared, spec)),
        }
    content = {"box": BOX, "cases": cases}
    (FOLDER / "golden.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
