"""Losses of distillation: soft labels with temperature, score maps, and the labels beside them.

Like the losses of training, each is summed over labels and divided by the number of images.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from realmnet_compression.distillation.settings import DistilSettings
from realmnet_runtime.errors import ConfigurationError
from realmnet_training.fitting.optimiser import Loss
from realmnet_training.losses import binary_cross_entropy, known_targets

# of variances: a map without any structure stays flat, and its gradient finite
_LEAST_VARIANCE: Final = 1e-6


def distillation_loss(  # noqa: PLR0917 - the public signature
    student_logits: Tensor,
    student_maps: Tensor,
    teacher_logits: Tensor,
    teacher_maps: Tensor | None,
    targets: Tensor,
    settings: DistilSettings,
    *,
    truth: Loss = binary_cross_entropy,
) -> Tensor:
    """Mix what a teacher answers with what the labels say.

    Args:
        student_logits: (N, L).
        student_maps: (N, L, h, w).
        teacher_logits: (N, L); NaN where its answer was not kept, which costs nothing.
        teacher_maps: (N, L, H, W), of any grid; None for a teacher without, where `settings.maps`
            is 0.
        targets: (N, L) in [0, 1], NaN where unknown: such a cell teaches through the teacher alone.
        settings: weights and temperature.
        truth: the stage's loss of labels.

    Returns:
        Scalar: the three losses, weighted.

    Raises:
        ConfigurationError: score maps have a weight and the teacher has none.
    """
    parts: list[Tensor] = []
    if settings.soft > 0.0:
        soft = soft_label_loss(student_logits, teacher_logits, settings.temperature)
        parts.append(settings.soft * soft)
    if settings.maps > 0.0:
        if teacher_maps is None:
            raise ConfigurationError(
                f"maps has weight {settings.maps} and the teacher has no score maps; give maps 0"
            )
        parts.append(settings.maps * score_map_loss(student_maps, teacher_maps))
    if settings.truth > 0.0:
        labels, known = known_targets(targets)
        parts.append(settings.truth * truth(student_logits, labels, known=known))
    return torch.stack(parts).sum()


def soft_label_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Distance of two models' answers, each label for itself (after Hinton et al. 2015).

    Per label the Kullback-Leibler divergence of the student's yes-or-no from the teacher's, both
    softened by the temperature: binary cross-entropy less the teacher's own entropy, so that equal
    answers cost 0. The square of the temperature keeps gradients of one size.

    Args:
        student: (N, L) logits.
        teacher: (N, L) logits without gradient; NaN costs nothing, with a gradient of exactly 0.
        temperature: above 0.

    Returns:
        Scalar: temperature squared * sum over cells / N.
    """
    kept = ~torch.isnan(teacher)
    ours = torch.where(kept, student, 0.0) / temperature
    theirs = torch.where(kept, teacher, 0.0) / temperature
    # softplus is minus the log of the probability of "no"; this form has no log of 0
    cells = functional.softplus(ours) - functional.softplus(theirs)
    cells = cells - torch.sigmoid(theirs) * (ours - theirs)
    return temperature**2 * cells.sum() / cells.shape[0]


def score_map_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Distance of two models' score maps in where they look, whatever the size of their scores.

    Each label's map of each image is brought to mean 0 and variance 1; the mean square of the
    difference is then twice 1 - r, with r the correlation over positions (after Zagoruyko and
    Komodakis 2017, who transfer normalised attention).

    Args:
        student: (N, L, h, w).
        teacher: (N, L, H, W) without gradient; resized bilinearly where the grids differ.

    Returns:
        Scalar: sum over labels / N; 0 to 4 a label.
    """
    student, teacher = student.float(), teacher.float()
    if teacher.shape[-2:] != student.shape[-2:]:
        teacher = functional.interpolate(
            teacher, size=student.shape[-2:], mode="bilinear", antialias=True
        )
    apart = (_standardised(student) - _standardised(teacher)).square().mean(dim=(2, 3))
    return apart.sum() / apart.shape[0]


def _standardised(maps: Tensor) -> Tensor:
    centred = maps - maps.mean(dim=(2, 3), keepdim=True)
    variance = centred.square().mean(dim=(2, 3), keepdim=True)
    return centred * (variance + _LEAST_VARIANCE).rsqrt()
