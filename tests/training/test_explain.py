"""Maps carried back to the original picture, against the pre-processing that leads away from it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realmnet_benchmarks.records import read_psmm
from realmnet_runtime.errors import UsageError
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.pictures.preprocess import PreprocessSpec, preprocess
from realmnet_training.explanation.explain import (
    agreement_of,
    compare_maps,
    explain_square,
    open_picture,
    stretched,
)
from realmnet_training.model import RealMNet

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("decode", ["scaled", "full"])
@pytest.mark.parametrize("deborder", ["crop", "off"])
def test_an_opened_picture_is_what_the_device_sees_and_where_it_came_from(
    phantom_data: Path, decode: Literal["scaled", "full"], deborder: Literal["crop", "off"]
) -> None:
    spec = PreprocessSpec(size=32, decode=decode, deborder=deborder)
    path = read_psmm(phantom_data)["train"].paths[0]
    opened = open_picture(path, spec)
    tensor = preprocess(read_image(path, model_size=spec.decode_size), spec)
    np.testing.assert_array_equal(opened.square.transpose(2, 0, 1) / np.float32(255), tensor)
    np.testing.assert_array_equal(opened.original, read_image(path))
    assert opened.frame.original_size == opened.original.shape[:2]
    x0, y0, x1, y1 = opened.frame.box
    crop = opened.original[y0:y1, x0:x1]
    # the box of a scaled decode, on the original, still frames what the network saw
    seen = cv2.resize(crop, (32, 32), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(seen - opened.square).mean() < 4.0
    if deborder == "off":
        assert opened.frame.box == (0, 0, opened.original.shape[1], opened.original.shape[0])


def test_score_maps_are_the_networks_own_and_each_method_answers_alone(
    phantom_data: Path,
) -> None:
    torch.manual_seed(0)
    model = RealMNet("5m", image=64).eval()
    spec = PreprocessSpec(size=64)
    square = open_picture(read_psmm(phantom_data)["train"].paths[0], spec).square
    only = explain_square(model, square, spec, [6, 1], ["csra"])
    assert list(only) == ["csra"]
    with torch.no_grad():
        _, maps = model(torch.from_numpy(square.transpose(2, 0, 1)[None] / np.float32(255)))
    np.testing.assert_allclose(only["csra"], maps[0, [6, 1]].numpy(), rtol=1e-5, atol=1e-6)
    assert agreement_of(only, 0) is None
    pytest.importorskip("pytorch_grad_cam", reason="grad-cam is not installed")
    both = explain_square(model, square, spec, [6, 1])
    assert both["gradcam++"].shape == only["csra"].shape == (2, 2, 2)
    assert agreement_of(both, 1) == compare_maps(both["csra"][1], both["gradcam++"][1])


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_agreement_is_of_ranks_and_positions_only(seed: int) -> None:
    random = np.random.default_rng(seed)
    first, second = random.normal(size=(2, 6, 6)).astype(np.float32)
    found = compare_maps(first, second)
    assert found == compare_maps(second, first)
    assert compare_maps(np.exp(first), 3 * second + 1).peak_distance == found.peak_distance
    assert compare_maps(first, first).rank_correlation == pytest.approx(1.0)
    assert compare_maps(first, first).peak_distance == 0.0
    assert compare_maps(first, -first).rank_correlation == pytest.approx(-1.0)
    # Pearson's correlation of the ranks
    ranks = [cells.ravel().argsort().argsort() for cells in (first, second)]
    assert found.rank_correlation == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_peaks_in_opposite_corners_are_a_diagonal_apart_and_constant_maps_undefined() -> None:
    first, second = np.zeros((2, 4, 4), np.float32)
    first[0, 0] = second[3, 3] = 1.0
    assert compare_maps(first, second).peak_distance == pytest.approx(np.sqrt(18) / 4)
    flat = compare_maps(first, np.zeros_like(first))
    assert (flat.rank_correlation, flat.peak_distance) == (None, None)
    assert not stretched(np.full((3, 3), 5.0, np.float32)).any()
    assert stretched(np.array([[-2.0, 0.0, 2.0]], np.float32)).tolist() == [[0.0, 0.5, 1.0]]
    with pytest.raises(UsageError, match="same"):
        compare_maps(first, first[:2])
