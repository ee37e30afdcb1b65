"""Agreement of masks against scikit-learn, and the laws it obeys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, jaccard_score

from realmnet_benchmarks.masks import mask_counts, mask_metrics
from realmnet_runtime.errors import UsageError

Masks = list[NDArray[np.bool_]]


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Masks, Masks]:
    """True and answered masks of one to four pictures of different sizes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truths, answers = [], []
    for _ in range(draw(st.integers(1, 4))):
        size = tuple(rng.integers(1, 9, size=2))
        truths.append(rng.random(size) < draw(st.sampled_from([0.0, 0.3, 0.8, 1.0])))
        answers.append(rng.random(size) < draw(st.sampled_from([0.0, 0.3, 0.8, 1.0])))
    return truths, answers


@settings(deadline=None, max_examples=60)
@given(pictures())
def test_equals_scikit_learn(masks: tuple[Masks, Masks]) -> None:
    truths, answers = masks
    ours = mask_metrics(map(mask_counts, truths, answers))
    truth = np.concatenate([mask.ravel() for mask in truths])
    answer = np.concatenate([mask.ravel() for mask in answers])
    present = [label for label in (0, 1) if label in truth or label in answer]
    each = jaccard_score(truth, answer, labels=present, average=None)
    expected = dict(zip(present, each, strict=True))
    assert ours.images == len(truths)
    assert ours.pixel_accuracy == pytest.approx(accuracy_score(truth, answer))
    for label, value in ((0, ours.iou_outside), (1, ours.iou_inside)):
        assert value == pytest.approx(expected.get(label, np.nan), nan_ok=True)
    assert ours.mean_iou == pytest.approx(np.mean(each))


@settings(deadline=None, max_examples=40)
@given(pictures())
def test_laws(masks: tuple[Masks, Masks]) -> None:
    truths, answers = masks
    same = mask_metrics(map(mask_counts, truths, truths))
    assert same.mean_iou == same.pixel_accuracy == 1.0
    counts = list(map(mask_counts, truths, answers))
    ours = mask_metrics(counts)
    # neither the order of the pictures, nor mirroring them, nor which of the two is called true
    turned = mask_metrics(
        mask_counts(a[:, ::-1], b[:, ::-1]) for a, b in zip(truths, answers, strict=True)
    )
    swapped = mask_metrics(map(mask_counts, answers, truths))
    reverse = mask_metrics(reversed(counts))
    for other in (turned, swapped, reverse):
        assert repr(other) == repr(ours)
    # the complement exchanges the classes
    opposite = mask_metrics(mask_counts(~a, ~b) for a, b in zip(truths, answers, strict=True))
    assert repr(opposite.iou_inside) == repr(ours.iou_outside)
    assert opposite.mean_iou == pytest.approx(ours.mean_iou)


def test_the_worst_picture_is_seen_beside_the_whole() -> None:
    full = np.ones((50, 50), np.bool_)
    small, empty = np.ones((2, 2), np.bool_), np.zeros((2, 2), np.bool_)
    ours = mask_metrics([mask_counts(full, full), mask_counts(small, empty)])
    assert ours.pixel_accuracy == pytest.approx(2500 / 2504)
    assert ours.worst_iou_inside == 0.0
    assert ours.iou_outside == 0.0


@pytest.mark.parametrize(
    ("truth", "answer", "words"),
    [
        (np.ones((2, 2), np.uint8), np.ones((2, 2), np.bool_), "truth has shape"),
        (np.ones((2, 2), np.bool_), np.ones((2, 2, 1), np.bool_), "answer has shape"),
        (np.ones((2, 2), np.bool_), np.ones((2, 3), np.bool_), "of one picture"),
    ],
)
def test_other_things_than_two_masks_of_one_picture_are_refused(
    truth: NDArray[np.bool_], answer: NDArray[np.bool_], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        mask_counts(truth, answer)


def test_no_picture_and_no_pixel_are_refused() -> None:
    with pytest.raises(UsageError, match="at least one"):
        mask_metrics([])
    with pytest.raises(UsageError, match="at least one"):
        mask_metrics([np.zeros((2, 2), np.int64)])
