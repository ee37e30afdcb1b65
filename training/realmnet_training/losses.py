"""The loss family of the paper's cost-sensitive calibration.

Every function takes logits (N, L) and targets (N, L) in [0, 1] and returns a scalar. Losses over
cells are summed and divided by N, not by N * L: the factor matters beside gradient clipping
(RealMNet's released code). The asymmetric loss in the paper's print has its exponents swapped; what
stands here is the released code's.

Where labels may be unknown, `known` (N, L) bool says which are not. An unknown cell adds nothing
and its logit has a gradient of exactly 0; N stays the number of images, so that a label which few
images state weighs as little as it says. In the two-way loss an unknown cell is neither among the
positives nor among the negatives. What stands in `targets` there does not matter, NaN included.
"""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

from realmnet_runtime.errors import ConfigurationError

SoftForm = Literal["probability", "log"]
_OUTSIDE: Final = -100.0
# exp of it is 0 in float64: not even a batch of extreme logits sees an unknown cell
_UNKNOWN: Final = -10_000.0


def known_targets(targets: Tensor) -> tuple[Tensor, Tensor]:
    """Tell unknown targets, which are NaN, from the others.

    Args:
        targets: (N, L), in [0, 1] or NaN. Mixed batches need no more: NaN in any share is NaN.

    Returns:
        Targets with 0 where they are unknown, and (N, L) bool, True where they are known.
    """
    known = ~torch.isnan(targets)
    return torch.where(known, targets, 0.0), known


def binary_cross_entropy(
    logits: Tensor, targets: Tensor, alpha: float | None = None, *, known: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy, with positives weighted alpha and negatives 1 - alpha where given."""
    return focal_loss(logits, targets, gamma=0.0, alpha=alpha, known=known)


def focal_loss(
    logits: Tensor,
    targets: Tensor,
    gamma: float = 2.0,
    alpha: float | None = None,
    *,
    known: Tensor | None = None,
) -> Tensor:
    """Focal loss: the asymmetric loss with one exponent (Lin et al. 2017), alpha-balanced."""
    logits, targets = _blank(logits, targets, known)
    cells = _asymmetric_cells(
        logits, targets, gamma_pos=gamma, gamma_neg=gamma, clip=0.0, soft_form="log"
    )
    if alpha is not None:
        if not 0.0 < alpha < 1.0:
            raise ConfigurationError(f"alpha {alpha} must lie between 0 and 1; the paper uses 0.75")
        cells = cells * (alpha * targets + (1.0 - alpha) * (1.0 - targets))
    return _sum_over_images(cells, known)


def asymmetric_loss(  # noqa: PLR0917 - the public signature
    logits: Tensor,
    targets: Tensor,
    gamma_pos: float = 3.0,
    gamma_neg: float = 4.0,
    clip: float = 0.0,
    soft_form: SoftForm = "probability",
    *,
    known: Tensor | None = None,
) -> Tensor:
    """Asymmetric loss (Ridnik et al. 2021) as RealMNet trains with it.

    Positives cost (1 - p)^gamma_pos * -log p, negatives p_m^gamma_neg * -log(1 - p_m) with
    p_m = max(p - clip, 0).

    Args:
        logits: (N, L).
        targets: (N, L) in [0, 1].
        gamma_pos: exponent of positives, 0 or more.
        gamma_neg: exponent of negatives, 0 or more.
        clip: probability margin m, 0 to below 1.
        soft_form: how targets between 0 and 1 mix: `probability` as the released code, `log` as
            the loss's authors. Equal on 0 and 1.
        known: (N, L) bool; None where all labels are.

    Returns:
        Scalar: sum over known cells / N.
    """
    logits, targets = _blank(logits, targets, known)
    cells = _asymmetric_cells(
        logits,
        targets,
        gamma_pos=gamma_pos,
        gamma_neg=gamma_neg,
        clip=clip,
        soft_form=soft_form,
    )
    return _sum_over_images(cells, known)


def _blank(logits: Tensor, targets: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
    """Zeros in unknown cells: neither a value nor a gradient can come through them."""
    if known is None:
        return logits, targets
    return torch.where(known, logits, 0.0), torch.where(known, targets, 0.0)


def _sum_over_images(cells: Tensor, known: Tensor | None) -> Tensor:
    if known is not None:
        cells = torch.where(known, cells, 0.0)
    return cells.sum() / cells.shape[0]


def _asymmetric_cells(
    logits: Tensor,
    targets: Tensor,
    *,
    gamma_pos: float,
    gamma_neg: float,
    clip: float,
    soft_form: SoftForm,
) -> Tensor:
    # logsigmoid and logaddexp keep the gradient of confident mistakes, where log(sigmoid) is -inf
    log_positive = functional.logsigmoid(logits)
    if clip > 0.0:
        log_negative = (torch.sigmoid(-logits) + clip).clamp(max=1.0).log()
        rejected = (torch.sigmoid(logits) - clip).clamp(min=0.0)
    else:
        log_negative = functional.logsigmoid(-logits)
        rejected = torch.sigmoid(logits)
    if soft_form == "probability":
        log_right = torch.logaddexp(
            log_positive + targets.log(), log_negative + (1.0 - targets).log()
        )
    else:
        log_right = targets * log_positive + (1.0 - targets) * log_negative
    if gamma_pos == 0.0 and gamma_neg == 0.0:
        return -log_right
    wrong = torch.sigmoid(-logits) * targets + rejected * (1.0 - targets)
    # exponents below 1 have an infinite slope at zero
    wrong = wrong.clamp(min=torch.finfo(wrong.dtype).tiny)
    return -log_right * wrong.pow(gamma_pos * targets + gamma_neg * (1.0 - targets))


def two_way_loss(
    logits: Tensor, targets: Tensor, t_pos: float, t_neg: float, *, known: Tensor | None = None
) -> Tensor:
    """Two-way loss (Kobayashi 2023): softplus of scaled log-sum-exps over classes and samples.

    The paper prints the sample direction only; training uses both, as here.

    Args:
        logits: (N, L).
        targets: (N, L) in [0, 1]; above 0 counts as positive.
        t_pos: temperature of positives, above 0.
        t_neg: temperature of negatives, above 0.
        known: (N, L) bool; None where all labels are.

    Returns:
        Scalar: mean over labels with a known positive, plus mean over samples with one.
    """
    if t_pos <= 0.0 or t_neg <= 0.0:
        raise ConfigurationError(f"temperatures {t_pos} and {t_neg} must be above zero")
    logits, targets = _blank(logits, targets, known)
    positive = targets > 0
    # a finite mask keeps a row without negatives finite: its log-sum-exp is about -100
    outside_positive = torch.where(positive, 0.0, _OUTSIDE)
    outside_negative = torch.where(positive, _OUTSIDE, 0.0)
    if known is not None:
        outside_positive = torch.where(known, outside_positive, _UNKNOWN)
        outside_negative = torch.where(known, outside_negative, _UNKNOWN)
    total = logits.sum() * 0.0
    for axis in (0, 1):
        hardest_positive = t_pos * torch.logsumexp(-logits / t_pos + outside_positive, dim=axis)
        hardest_negative = t_neg * torch.logsumexp(logits / t_neg + outside_negative, dim=axis)
        counted = positive.any(dim=axis)
        margins = functional.softplus(hardest_positive + hardest_negative)[counted]
        total = total + margins.sum() / counted.sum().clamp(min=1)
    return total
