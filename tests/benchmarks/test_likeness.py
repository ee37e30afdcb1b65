"""Near duplicates: no pair is missed, the same picture stays near, other eyes stay far."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from realmnet_benchmarks.intake.likeness import HASH_BITS, NEAR_BITS, near_pairs, perceptual_hash
from realmnet_benchmarks.phantoms import draw_population, render
from realmnet_runtime.pictures.images import read_image

REAL = sorted((Path(__file__).parents[3] / "shared/images/uwf").glob("*"))


def by_scipy(hashes: NDArray[np.bool_], most: int) -> list[tuple[int, int, int]]:
    bits = squareform(np.rint(pdist(hashes, "hamming") * hashes.shape[1]).astype(int))
    rows, columns = np.nonzero(np.triu(bits <= most, k=1))
    return [(int(i), int(j), int(bits[i, j])) for i, j in zip(rows, columns, strict=True)]


@given(st.integers(1, 30), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_the_pairs_are_scipys(count: int, most: int, seed: int) -> None:
    hashes = np.random.default_rng(seed).random((count, 32)) < 0.5
    assert sorted(near_pairs(hashes, most)) == by_scipy(hashes, most)


def test_pairs_are_found_across_tiles() -> None:
    rng = np.random.default_rng(1)
    hashes = rng.random((4200, HASH_BITS)) < 0.5
    for i, j in ((0, 4199), (2047, 2048), (5, 2100), (4100, 4101)):
        hashes[j] = hashes[i]
        hashes[j, rng.choice(HASH_BITS, NEAR_BITS, replace=False)] ^= True
    found = {(i, j) for i, j, bits in near_pairs(hashes) if bits == NEAR_BITS}
    assert found == {(0, 4199), (2047, 2048), (5, 2100), (4100, 4101)}


def variants(image: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    found = {
        "half": cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        "larger": cv2.resize(image, None, fx=1.4, fy=1.4, interpolation=cv2.INTER_LINEAR),
        "square": cv2.resize(image, (200, 200), interpolation=cv2.INTER_AREA),
        "darker": cv2.convertScaleAbs(image, alpha=0.9),
    }
    for quality in (90, 50):
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        found[f"jpeg {quality}"] = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return {name: np.ascontiguousarray(one, np.uint8) for name, one in found.items()}


def hold(images: list[NDArray[np.uint8]]) -> None:
    hashes = [perceptual_hash(image) for image in images]
    for image, look in zip(images, hashes, strict=True):
        for name, variant in variants(image).items():
            assert (perceptual_hash(variant) != look).sum() <= NEAR_BITS, name
    assert list(near_pairs(np.array(hashes))) == []


def test_the_same_phantom_is_near_and_other_patients_are_far() -> None:
    cases = draw_population(12, 7, images_per_patient=1)
    hold([render(case, 192, 240).image for case in cases])


@pytest.mark.skipif(not REAL, reason="no ../shared/images beside the repository")
def test_the_same_real_picture_is_near_and_others_are_far() -> None:
    hold([read_image(path, model_size=128) for path in REAL])


def test_a_blank_picture_has_a_hash() -> None:
    assert perceptual_hash(np.zeros((3, 5, 3), np.uint8)).shape == (HASH_BITS,)
