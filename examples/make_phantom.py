"""Draw `phantom.jpg`, the synthetic eye that the README asks about.

python examples/make_phantom.py
"""

from __future__ import annotations

from pathlib import Path

import cv2

from realmnet_benchmarks.phantoms import HOSPITALS, SIGNS, PhantomCase, render
from realmnet_runtime.files import write_atomically

SEVERITY = {"PS": 0.8, "PCA": 0.75}
CASE = PhantomCase(
    patient=1,
    seed=20250101,
    eye="OD",
    image=0,
    hospital=HOSPITALS[0],
    border="device",
    labels=tuple(SEVERITY),
    severity=tuple(SEVERITY.get(sign, 0.0) for sign in SIGNS),
)


def main() -> None:
    """Render at a quarter of the camera's size and write a JPEG beside this script."""
    picture = cv2.cvtColor(render(CASE, height=768, width=975).image, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    write_atomically(Path(__file__).with_name("phantom.jpg"), encoded.tobytes())


if __name__ == "__main__":
    main()
