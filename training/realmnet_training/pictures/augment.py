"""Augmentation of prepared uint8 pictures, in the paper's order, with OpenCV."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from realmnet_training.config import AugmentConfig, BatchMixConfig

Picture = NDArray[np.uint8]
_FILL = (128, 128, 128)
_ERASED_AREA = (0.05, 0.3)
_LOG_ERASED_ASPECT = (math.log(0.3), math.log(3.3))
_SCALE = (0.8, 1.2)
_BLUR_KERNEL = 7
_BLUR_SIGMA = (0.1, 1.0)
_NOISE_VARIANCE = (10.0, 50.0)


def augment(picture: Picture, config: AugmentConfig, random: Generator) -> Picture:
    """Augment one picture.

    Args:
        picture: (S, S, 3) uint8 RGB; not changed.
        config: probabilities and strengths.
        random: of this picture in this epoch; the same generator gives the same answer.

    Returns:
        (S, S, 3) uint8 RGB.
    """
    # all chances are drawn first, so that changing one strength leaves the other choices alone
    chances = random.random(7)
    if chances[0] < config.erase:
        picture = _erase(picture, random)
    if chances[1] < config.affine:
        picture = _affine(picture, config, random)
    horizontal, vertical = chances[2] < config.flip_horizontal, chances[3] < config.flip_vertical
    if horizontal or vertical:
        picture = _as_picture(cv2.flip(picture, int(horizontal) - 2 * int(horizontal and vertical)))
    if chances[4] < config.blur:
        sigma = random.uniform(*_BLUR_SIGMA)
        picture = _as_picture(cv2.GaussianBlur(picture, (_BLUR_KERNEL, _BLUR_KERNEL), sigma))
    if chances[5] < config.jitter:
        picture = _jitter(picture, config, random)
    if chances[6] < config.noise:
        picture = _noise(picture, random)
    return picture


def _as_picture(values: object) -> Picture:
    return np.asarray(values, dtype=np.uint8)


def _erase(picture: Picture, random: Generator) -> Picture:
    height, width = picture.shape[:2]
    area = random.uniform(*_ERASED_AREA) * height * width
    aspect = math.exp(random.uniform(*_LOG_ERASED_ASPECT))
    rows = min(height, max(1, round(math.sqrt(area * aspect))))
    columns = min(width, max(1, round(math.sqrt(area / aspect))))
    top = int(random.integers(0, height - rows + 1))
    left = int(random.integers(0, width - columns + 1))
    erased = picture.copy()
    erased[top : top + rows, left : left + columns] = _FILL
    return erased


def _affine(picture: Picture, config: AugmentConfig, random: Generator) -> Picture:
    height, width = picture.shape[:2]
    stretch = np.diag(random.uniform(*_SCALE, size=2))
    if config.exact_angles:
        rotate, shear = config.rotate, config.shear
    else:
        rotate, shear = random.uniform(-1.0, 1.0, size=2) * (config.rotate, config.shear)
    turn, lean = math.radians(rotate), math.tan(math.radians(shear))
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    linear = rotation @ np.array([[1.0, lean], [0.0, 1.0]]) @ stretch
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.column_stack([linear, centre - linear @ centre])
    # outside the picture is black, as outside the aperture
    return _as_picture(cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR))


def _jitter(picture: Picture, config: AugmentConfig, random: Generator) -> Picture:
    largest = (config.brightness, config.contrast, config.saturation, config.hue)
    changes = random.uniform(-1.0, 1.0, size=4) * largest
    (brightness, contrast, saturation), hue = 1.0 + changes[:3], changes[3]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    middle = float(grey.mean()) * brightness
    values = np.arange(256, dtype=np.float64)
    table = np.clip((values * brightness - middle) * contrast + middle, 0, 255).round()
    picture = _as_picture(cv2.LUT(picture, table.astype(np.uint8)))
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV_FULL)
    tables = np.stack(
        [
            (values + round(hue * 256)) % 256,
            np.clip(values * saturation, 0, 255).round(),
            values,
        ],
        axis=-1,
    ).astype(np.uint8)
    turned = cv2.LUT(hsv, tables[np.newaxis])
    return _as_picture(cv2.cvtColor(turned, cv2.COLOR_HSV2RGB_FULL))


def _noise(picture: Picture, random: Generator) -> Picture:
    deviation = math.sqrt(random.uniform(*_NOISE_VARIANCE))
    noise = random.standard_normal(picture.shape, dtype=np.float32) * np.float32(deviation)
    return _as_picture(np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8))


def mix_batch(
    images: NDArray[np.float32],
    targets: NDArray[np.float32],
    config: BatchMixConfig,
    random: Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mix each image of a batch with another by mixup or cutmix, or leave the batch alone.

    Args:
        images: (N, 3, S, S) float32.
        targets: (N, L) float32, NaN where a label is unknown.
        config: probabilities and the Beta distributions' alpha.
        random: of this batch.

    Returns:
        Images and soft targets, mixed in the same share; new arrays where anything was mixed. A
        label that is unknown in either image is unknown in the mix.
    """
    choice = random.random()
    if choice >= config.mixup + config.cutmix:
        return images, targets
    partner = random.permutation(len(images))
    if choice < config.mixup:
        share = random.beta(config.mixup_alpha, config.mixup_alpha)
        mixed = np.asarray(share * images + (1 - share) * images[partner], np.float32)
    else:
        height, width = images.shape[2:]
        cut = math.sqrt(1.0 - random.beta(config.cutmix_alpha, config.cutmix_alpha))
        rows, columns = round(height * cut), round(width * cut)
        top = int(random.integers(0, height - rows + 1))
        left = int(random.integers(0, width - columns + 1))
        place = np.s_[:, :, top : top + rows, left : left + columns]
        mixed = images.copy()
        mixed[place] = images[partner][place]
        share = 1.0 - rows * columns / (height * width)
    return mixed, np.asarray(share * targets + (1 - share) * targets[partner], np.float32)
