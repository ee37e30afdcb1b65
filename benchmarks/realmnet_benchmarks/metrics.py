"""Multi-label metrics of the paper, as fractions, under any weighting of the images.

RealMNet's protocol (npj Digital Medicine 2025, Methods) follows the released code, not the print:
precision, recall and F1 call a score at or above the threshold positive, Hamming loss only one
strictly above it; coverage keeps no "-1" and gives tied labels their worst rank; ranking loss
counts a tie as an error; average precision is the step sum without interpolation. Micro values
pool the cells of all labels.

Scores are ranked once and every resample is a weighting of the same rankings
(`RankedScores.evaluate`).

Where labels may be unknown, every metric is that of the known cells: a label's over the images of
which it is known, macro values over labels, micro values, Hamming loss and the ranking metrics over
known cells only. Nothing is guessed about the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realmnet_benchmarks.decisions import PAPER_RULES, DecisionRule, TopK, decide
from realmnet_benchmarks.image_values import shares_of_images, values_per_image
from realmnet_benchmarks.ranking import Floats, Ranking, ratio
from realmnet_runtime.errors import UsageError

__all__ = [
    "Floats",
    "MultilabelMetrics",
    "RankedScores",
    "metrics_by_rule",
    "multilabel_metrics",
    "validated",
]

# Small enough that the cumulative sums of one batch stay in the cache.
_CELLS_AT_ONCE: Final = 200_000


class MultilabelMetrics(TypedDict):
    """All metrics of one set of scores; fractions, per-label arrays are (L,) in label order."""

    f1_macro: float
    f1_micro: float
    f1_per_label: Floats
    precision_macro: float
    precision_micro: float
    precision_per_label: Floats
    recall_macro: float
    recall_micro: float
    recall_per_label: Floats
    ap_macro: float
    ap_micro: float
    ap_per_label: Floats
    auroc_macro: float
    auroc_micro: float
    auroc_per_label: Floats
    hamming_loss: float
    coverage: float
    ranking_loss: float
    brier_per_label: Floats
    positives: NDArray[np.int64]


def multilabel_metrics(
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: DecisionRule = 0.5,
    *,
    known: ArrayLike | None = None,
) -> MultilabelMetrics:
    """Measure scores against labels.

    What cannot be measured is NaN, never 0: average precision and recall of a label without
    positives, AUROC of a label without positives or without negatives, precision and F1 of a label
    neither present nor found. The precision of a label that is present but never found is 0, as in
    the released code. Macro values are means over the labels that have a value (NaN if none has);
    `positives` shows which those are.

    Args:
        labels: (N, L) of 0 and 1, any numeric or boolean dtype.
        scores: (N, L) probabilities in [0, 1].
        threshold: one threshold, or (L,) of them, compared in the dtype of the scores; or `TopK`,
            which chooses among all labels, known or not.
        known: (N, L) bool; None where all labels are. What `labels` hold elsewhere is not looked
            at, but must be 0 or 1.

    Returns:
        Metrics as fractions; coverage in labels (at least the number of labels of an image),
        `positives` as counts. Images without any label count 0 in coverage and ranking loss, as in
        scikit-learn; images of which no label is known do not count.

    Raises:
        UsageError: shapes that do not agree, an empty table, labels other than 0 and 1, scores or
            thresholds that are not finite or leave [0, 1], a `TopK` of more than L, or `known`
            that is not bool.

    Example:
        >>> m = multilabel_metrics([[1, 0], [0, 1]], [[0.9, 0.2], [0.1, 0.4]])
        >>> m["f1_per_label"].tolist(), m["ap_macro"], m["hamming_loss"]
        ([1.0, 0.0], 1.0, 0.25)
    """
    ranked = RankedScores.rank(labels, scores, threshold, known=known)
    values = {name: rows[0] for name, rows in ranked.evaluate(np.ones((1, ranked.images))).items()}
    return MultilabelMetrics(
        f1_macro=float(values["f1_macro"]),
        f1_micro=float(values["f1_micro"]),
        f1_per_label=values["f1_per_label"],
        precision_macro=float(values["precision_macro"]),
        precision_micro=float(values["precision_micro"]),
        precision_per_label=values["precision_per_label"],
        recall_macro=float(values["recall_macro"]),
        recall_micro=float(values["recall_micro"]),
        recall_per_label=values["recall_per_label"],
        ap_macro=float(values["ap_macro"]),
        ap_micro=float(values["ap_micro"]),
        ap_per_label=values["ap_per_label"],
        auroc_macro=float(values["auroc_macro"]),
        auroc_micro=float(values["auroc_micro"]),
        auroc_per_label=values["auroc_per_label"],
        hamming_loss=float(values["hamming_loss"]),
        coverage=float(values["coverage"]),
        ranking_loss=float(values["ranking_loss"]),
        brier_per_label=values["brier_per_label"],
        positives=ranked.truth.sum(axis=0, dtype=np.int64),
    )


def metrics_by_rule(
    labels: ArrayLike,
    scores: ArrayLike,
    rules: Iterable[float | TopK] = PAPER_RULES,
    *,
    known: ArrayLike | None = None,
) -> dict[str, MultilabelMetrics]:
    """Measure the same scores under several rules, by their text: `0.5`, ..., `top 2`.

    Only precision, recall, F1 and Hamming loss depend on the rule. Arguments and errors as
    `multilabel_metrics`; the rules of the paper unless others are given.
    """
    return {str(rule): multilabel_metrics(labels, scores, rule, known=known) for rule in rules}


@dataclass(frozen=True, eq=False)
class RankedScores:
    """Labels and scores with everything that does not depend on the weight of an image.

    Attributes:
        truth: (N, L) bool, False where the label is unknown.
        found: (N, L) bool, what precision, recall and F1 call positive; False likewise.
        rankings: of the images of which a label is known, L of them.
        pooled: ranking of all known cells.
        images_of: (N, K) per-image values whose weighted means are metrics: Hamming loss,
            coverage, ranking loss, then the squared error of each label.
        counted: (N, K), how much an image's weight counts in each of those means; (N, 1) of ones
            where all labels are known.
    """

    truth: NDArray[np.bool_]
    found: NDArray[np.bool_]
    rankings: tuple[Ranking, ...]
    pooled: Ranking
    images_of: Floats
    counted: Floats

    @classmethod
    def rank(
        cls,
        labels: ArrayLike,
        scores: ArrayLike,
        threshold: DecisionRule = 0.5,
        *,
        known: ArrayLike | None = None,
    ) -> RankedScores:
        """Validate and rank; arguments and errors as `multilabel_metrics`."""
        truth, values = validated(labels, scores)
        certain = _certain(known, truth.shape)
        truth = truth & certain
        found, strictly_found = (decided & certain for decided in decide(values, threshold))
        images = np.arange(len(truth))
        cells = np.nonzero(certain)
        return cls(
            truth=truth,
            found=found,
            rankings=tuple(
                Ranking.of(present[stated], column[stated], images[stated])
                for present, column, stated in zip(truth.T, values.T, certain.T, strict=True)
            ),
            pooled=Ranking.of(truth[cells], values[cells], cells[0]),
            images_of=values_per_image(truth, values, strictly_found, certain),
            counted=shares_of_images(certain),
        )

    @property
    def images(self) -> int:
        """Number of images, N."""
        return int(self.truth.shape[0])

    def evaluate(self, weights: Floats) -> dict[str, Floats]:
        """All metrics under each row of weights.

        Args:
            weights: (R, N), not negative; how often each image counts. Ones give the plain metrics.

        Returns:
            Name to (R,) for scalars and (R, L) for per-label metrics.

        Raises:
            UsageError: weights of another shape.
        """
        if weights.ndim != 2 or weights.shape[1] != self.images:
            raise UsageError(
                f"weights have shape {weights.shape}; expected (replicates, {self.images})"
            )
        step = max(1, _CELLS_AT_ONCE // self.truth.size)
        parts = [
            self._evaluate(weights[i : i + step]) for i in range(0, max(1, len(weights)), step)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _evaluate(self, weights: Floats) -> dict[str, Floats]:
        truth, found = self.truth.astype(np.float64), self.found.astype(np.float64)
        true_positives = weights @ (truth * found)
        actual, called = weights @ truth, weights @ found
        ap, auroc = np.stack([r.measure(weights) for r in self.rankings], axis=-1)
        ap_micro, auroc_micro = self.pooled.measure(weights)
        means = ratio(weights @ self.images_of, weights @ self.counted)
        per_label = {
            "f1": ratio(2 * true_positives, actual + called),
            "precision": _precision(true_positives, called, actual),
            "recall": ratio(true_positives, actual),
            "ap": ap,
            "auroc": auroc,
        }
        hits, actual_sum, called_sum = (x.sum(axis=1) for x in (true_positives, actual, called))
        return {
            **{f"{name}_per_label": values for name, values in per_label.items()},
            **{f"{name}_macro": _mean_of_defined(values) for name, values in per_label.items()},
            "f1_micro": ratio(2 * hits, actual_sum + called_sum),
            "precision_micro": _precision(hits, called_sum, actual_sum),
            "recall_micro": ratio(hits, actual_sum),
            "ap_micro": ap_micro,
            "auroc_micro": auroc_micro,
            "hamming_loss": means[:, 0],
            "coverage": means[:, 1],
            "ranking_loss": means[:, 2],
            "brier_per_label": means[:, 3:],
        }


def _certain(known: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if known is None:
        return np.ones(shape, dtype=np.bool_)
    certain = np.asarray(known)
    if certain.shape != shape or certain.dtype != np.bool_:
        raise UsageError(
            f"known has shape {certain.shape} and type {certain.dtype}; expected bool of {shape}"
        )
    return certain


def _precision(hits: Floats, called: Floats, actual: Floats) -> Floats:
    """Hits among what was called; 0 for what is present and never called, NaN for neither."""
    return np.where((called == 0) & (actual > 0), 0.0, ratio(hits, called))


def _mean_of_defined(values: Floats) -> Floats:
    """(R, L) -> (R,): mean over the values that are not NaN."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1))


def validated(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Labels as bool and scores in their own floating dtype, both (N, L); errors as above."""
    truth, values = np.asarray(labels), np.asarray(scores)
    if truth.ndim != 2 or truth.shape != values.shape or 0 in truth.shape:
        raise UsageError(
            f"labels have shape {truth.shape} and scores {values.shape}; expected the same (N, L)"
            " with at least one image and one label"
        )
    if not np.isin(truth, (0, 1)).all():
        raise UsageError("labels hold a value other than 0 and 1 (or NaN); clean the table first")
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise UsageError("scores hold NaN or infinity; leave refused images out of both arrays")
    if values.min() < 0 or values.max() > 1:
        raise UsageError(
            f"scores span {values.min():.4g} to {values.max():.4g}; expected probabilities in"
            " [0, 1], so apply a sigmoid to logits first"
        )
    return truth.astype(bool), values
