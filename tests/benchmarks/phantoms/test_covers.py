from __future__ import annotations

import numpy as np

from realmnet_benchmarks.phantoms import BALANCED, draw_population, place_window
from realmnet_benchmarks.phantoms.covers import MAXIMUM_COVER, paint_covers

DAZZLING = 1e4


def test_lids_hide_little_of_the_aperture() -> None:
    """On a retina far brighter than any lid, what is dark afterwards is lid, not lash."""
    shares = []
    for case in draw_population(60, seed=8, mix=BALANCED, images_per_patient=2):
        window = place_window(case, 192, 240)
        distance = window.distance()
        red, green = (np.full(distance.shape, DAZZLING, np.float32) for _ in range(2))
        paint_covers(case, window, distance, red, green)
        hidden = (green < 300) & (distance <= 1)
        shares.append(hidden.sum() / (distance <= 1).sum())
    assert max(shares) <= MAXIMUM_COVER + 0.005
    assert 0.2 < np.mean(np.array(shares) > 0.002) < 0.9  # some pictures have a lid, some none
