"""Augmentation: deterministic, each step alone does what it says, mixing keeps shares."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realmnet_training.config import AugmentConfig, BatchMixConfig
from realmnet_training.pictures.augment import augment, mix_batch

NOTHING = AugmentConfig(
    erase=0.0,
    affine=0.0,
    flip_horizontal=0.0,
    flip_vertical=0.0,
    blur=0.0,
    jitter=0.0,
    noise=0.0,
)
STEPS = ("erase", "affine", "flip_horizontal", "flip_vertical", "blur", "jitter", "noise")


def picture(seed: int = 0, side: int = 48) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (side, side, 3), dtype=np.uint8)


def only(step: str, image: NDArray[np.uint8], seed: int = 5) -> NDArray[np.uint8]:
    config = msgspec.structs.replace(NOTHING, **{step: 1.0})
    return augment(image, config, np.random.default_rng(seed))


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_picture_and_the_input_stays(seed: int) -> None:
    image = picture()
    before = image.copy()
    everything = msgspec.structs.replace(NOTHING, **dict.fromkeys(STEPS, 1.0))
    first = augment(image, everything, np.random.default_rng(seed))
    second = augment(image, everything, np.random.default_rng(seed))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(image, before)
    assert first.shape == image.shape
    assert first.dtype == np.uint8


def test_without_any_step_the_picture_is_unchanged() -> None:
    np.testing.assert_array_equal(augment(picture(), NOTHING, np.random.default_rng(0)), picture())


@pytest.mark.parametrize("step", STEPS)
def test_every_step_changes_the_picture(step: str) -> None:
    changed = [(only(step, picture(), seed) != picture()).any() for seed in range(4)]
    # a blur of sigma 0.1 rounds to nothing
    assert any(changed)


def test_flips_are_numpys() -> None:
    np.testing.assert_array_equal(only("flip_horizontal", picture()), picture()[:, ::-1])
    np.testing.assert_array_equal(only("flip_vertical", picture()), picture()[::-1])
    both = msgspec.structs.replace(NOTHING, flip_horizontal=1.0, flip_vertical=1.0)
    np.testing.assert_array_equal(
        augment(picture(), both, np.random.default_rng(0)), picture()[::-1, ::-1]
    )


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_erasing_fills_5_to_30_percent_with_128(seed: int) -> None:
    image = np.zeros((96, 96, 3), np.uint8)
    erased = (only("erase", image, seed) == 128).all(axis=2)
    # a side longer than the picture is cut, and sides are whole pixels
    assert 0.045 <= erased.mean() <= 0.31
    rows, columns = np.flatnonzero(erased.any(axis=1)), np.flatnonzero(erased.any(axis=0))
    assert erased[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_affine_keeps_the_middle_in_place(seed: int) -> None:
    image = np.zeros((65, 65, 3), np.uint8)
    image[29:36, 29:36] = 255
    moved = only("affine", image, seed)[..., 0].astype(float)
    rows, columns = np.mgrid[:65, :65]
    assert abs((moved * rows).sum() / moved.sum() - 32) < 0.5
    assert abs((moved * columns).sum() / moved.sum() - 32) < 0.5


def test_noise_has_the_stated_variance() -> None:
    image = np.full((256, 256, 3), 128, np.uint8)
    variances = [float((only("noise", image, seed) - 128.0).var()) for seed in range(40)]
    assert min(variances) > 9.5
    assert max(variances) < 51.5
    assert max(variances) - min(variances) > 20


def test_jitter_of_no_strength_changes_nothing_but_rounding() -> None:
    still = msgspec.structs.replace(
        NOTHING, jitter=1.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0
    )
    answer = augment(picture(), still, np.random.default_rng(0)).astype(int)
    # HSV in bytes is coarse: a hue step is 1/43 of a channel's range
    assert np.abs(answer - picture().astype(int)).max() <= 8


@settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["mixup", "cutmix"]))
def test_mixing_shares_images_and_targets_alike(seed: int, kind: str) -> None:
    count, side = 6, 16
    # image i is constant i, so the mean tells the share of its partner
    images = np.ones((count, 3, side, side), np.float32)
    images *= np.arange(count, dtype=np.float32)[:, None, None, None]
    targets = np.eye(count, dtype=np.float32)
    config = BatchMixConfig(**{kind: 1.0})
    mixed, soft = mix_batch(images, targets, config, np.random.default_rng(seed))
    np.testing.assert_allclose(soft.sum(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(mixed.mean(axis=(1, 2, 3)), soft @ np.arange(count), atol=1e-4)
    if kind == "cutmix":
        assert set(np.unique(mixed)) <= set(range(count))


def test_batches_are_left_alone_at_the_stated_rate() -> None:
    images, targets = np.zeros((2, 3, 4, 4), np.float32), np.eye(2, dtype=np.float32)
    config = BatchMixConfig(mixup=0.3, cutmix=0.3)
    alone = sum(
        mix_batch(images, targets, config, np.random.default_rng(seed))[1] is targets
        for seed in range(1000)
    )
    # 4 standard deviations of a binomial of 1000 at 0.4
    assert 338 <= alone <= 462
