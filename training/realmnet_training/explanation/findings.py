"""What a model found in a table, which findings are worth looking at, and how far maps agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from realmnet_benchmarks.progress import Report
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.config import BatchMixConfig
from realmnet_training.explanation.explain import Agreement, Maps, compare_maps
from realmnet_training.explanation.grad_cam import grad_cam_pp
from realmnet_training.measuring.operating_points import Floats, probabilities_of
from realmnet_training.model import RealMNet
from realmnet_training.pictures.dataset import BatchMixer, EpochSampler, EyeDataset
from realmnet_training.pictures.prepared import PreparedSplit

Outcome = Literal["true positive", "false positive", "false negative"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("true positive", "false positive", "false negative")


class Finding(NamedTuple):
    """A label that was reported of a picture, or missed in it."""

    row: int
    label: int
    outcome: Outcome


class AgreementSummary(msgspec.Struct, frozen=True):
    """How far score maps and Grad-CAM++ agree over many findings.

    Attributes:
        findings: reported findings that were compared.
        undefined: of them, those with a constant map, left out of the figures.
        rank_correlation_median: of Spearman's correlation over the positions.
        rank_correlation_p10: its tenth percentile.
        peak_distance_median: distance of the maxima as a share of the map's side.
        same_peak: share of findings whose maxima are the same position.
    """

    findings: int
    undefined: int
    rank_correlation_median: float | None
    rank_correlation_p10: float | None
    peak_distance_median: float | None
    same_peak: float | None


@dataclass(frozen=True, eq=False)
class TableAnswers:
    """A model's answers over a table.

    Attributes:
        probabilities: (N, L) after the temperatures.
        agreements: for each label, one for every reported finding; empty where not asked for.
        fixed_shares: (L,) of the score maps over all pictures, see `fixed_shares`.
    """

    probabilities: Floats
    agreements: tuple[tuple[Agreement, ...], ...]
    fixed_shares: Floats


def answer_table(
    model: RealMNet,
    prepared: PreparedSplit,
    spec: PreprocessSpec,
    point: tuple[Floats, Floats],
    report: Report,
    *,
    compare: bool,
    batch: int = 16,
) -> TableAnswers:
    """Answer all pictures of a table and compare both maps of every finding, in one pass.

    Args:
        model: in evaluation mode.
        prepared: the table's pictures.
        spec: of the pre-processing.
        point: temperatures (L,) and thresholds (L,).
        report: of progress, in pictures.
        compare: whether to compare score maps with Grad-CAM++.
        batch: pictures at a time.

    Raises:
        UsageError: the grad-cam package is not installed and `compare` is set.
    """
    device = next(model.parameters()).device
    dataset = EyeDataset(prepared, spec, model.image)
    loader = DataLoader(
        dataset,
        batch_size=batch,
        sampler=EpochSampler(len(dataset), seed=None),
        collate_fn=BatchMixer(BatchMixConfig(), seed=0),
    )
    temperatures, thresholds = point
    answers: list[Floats] = []
    score_maps: list[Maps] = []
    agreements: list[list[Agreement]] = [[] for _ in thresholds]
    done = 0
    for images, _ in loader:
        with torch.no_grad():
            features = model.features(images.to(device))
            logits, maps = model.csra_head(features)
        probabilities = probabilities_of(logits.cpu().numpy(), temperatures)
        answers.append(probabilities)
        score_maps.append(maps.cpu().numpy())
        if compare:
            rows, labels = np.nonzero(probabilities >= thresholds)
            others = grad_cam_pp(model.csra_head, features[torch.from_numpy(rows)], labels.tolist())
            own = score_maps[-1][rows, labels]
            for label, first, second in zip(labels, own, others, strict=True):
                agreements[label].append(compare_maps(first, second))
        done += len(images)
        report(done, len(dataset))
    return TableAnswers(
        probabilities=np.concatenate(answers),
        agreements=tuple(map(tuple, agreements)),
        fixed_shares=fixed_shares(np.concatenate(score_maps)),
    )


def fixed_shares(score_maps: Maps) -> Floats:
    """Measure how much of the score maps is the same in every picture.

    A network may keep its answer at fixed places, whatever is seen there, as transformers do that
    use patches as registers (Darcet and others 2024). Then a map shows those places and no lesion.

    Args:
        score_maps: (N, L, h, w).

    Returns:
        (L,) share of the variance over positions that the mean map explains, 0..1; 0 for a label
        whose maps are all constant. About 1 / N where pictures have nothing in common.
    """
    centred = score_maps - score_maps.mean(axis=(2, 3), keepdims=True)
    shared = np.square(centred.mean(axis=0, dtype=np.float64)).mean(axis=(1, 2))
    whole = np.square(centred, dtype=np.float64).mean(axis=(0, 2, 3))
    shares: Floats = np.divide(shared, whole, out=np.zeros_like(whole), where=whole > 0.0)
    return shares


def outcomes_of(
    truth: NDArray[np.integer], probabilities: Floats, thresholds: Floats
) -> dict[Outcome, NDArray[np.bool_]]:
    """Each outcome's (N, L) mask."""
    present, reported = truth > 0, probabilities >= thresholds
    return {
        "true positive": present & reported,
        "false positive": ~present & reported,
        "false negative": present & ~reported,
    }


def choose_findings(
    truth: NDArray[np.integer], probabilities: Floats, thresholds: Floats, per_label: int
) -> list[Finding]:
    """The most confident findings and misses of each label.

    Args:
        truth: (N, L) 0 or 1.
        probabilities: (N, L).
        thresholds: (L,).
        per_label: most of each outcome.

    Returns:
        By label, then outcome, then confidence: reports from the highest probability down, misses
        from the lowest up; equal ones in the table's order.
    """
    chosen = []
    masks = outcomes_of(truth, probabilities, thresholds)
    for label, column in enumerate(probabilities.T):
        for outcome in OUTCOMES:
            rows = np.flatnonzero(masks[outcome][:, label])
            surprise = column[rows] if outcome == "false negative" else -column[rows]
            order = np.argsort(surprise, kind="stable")[:per_label]
            chosen += [Finding(int(row), label, outcome) for row in rows[order]]
    return chosen


def summarise_agreement(agreements: Sequence[Agreement]) -> AgreementSummary:
    """Figures over many findings; None where none is defined."""
    correlations = np.array(
        [a.rank_correlation for a in agreements if a.rank_correlation is not None]
    )
    distances = np.array([a.peak_distance for a in agreements if a.peak_distance is not None])
    if not len(correlations):
        return AgreementSummary(len(agreements), len(agreements), None, None, None, None)
    return AgreementSummary(
        findings=len(agreements),
        undefined=len(agreements) - len(correlations),
        rank_correlation_median=float(np.median(correlations)),
        rank_correlation_p10=float(np.quantile(correlations, 0.1)),
        peak_distance_median=float(np.median(distances)),
        same_peak=float((distances == 0.0).mean()),
    )
