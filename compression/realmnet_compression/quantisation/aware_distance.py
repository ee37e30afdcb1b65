"""How far a quantised network's answers are from those of the FP32 network it was."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def distance(
    answers: tuple[Tensor, Tensor],
    wanted: tuple[Tensor, Tensor],
    *,
    temperature: float,
    maps: float,
) -> Tensor:
    """How far a network's answers are from its teacher's; 0 where they are equal.

    The soft-label part is the divergence of Bernoulli distributions at the temperature, times its
    square so that its gradient does not depend on it (Hinton et al. 2015), summed over labels and
    divided by N as the losses of training are. Score maps are in the logits' own unit and both
    networks were one before, so that they are compared as they are.

    Args:
        answers: logits (N, L) and score maps (N, L, h, w).
        wanted: likewise, of the teacher.
        temperature: both networks' logits are divided by it, above 0.
        maps: weight of the score maps' mean squared error, 0 or more.

    Returns:
        Scalar.
    """
    (logits, scores), (teacher_logits, teacher_scores) = answers, wanted
    soft = (teacher_logits / temperature).sigmoid()
    crossed, own = (
        functional.binary_cross_entropy_with_logits(each / temperature, soft, reduction="sum")
        for each in (logits, teacher_logits)
    )
    divergence = temperature**2 * (crossed - own) / len(logits)
    return divergence + maps * functional.mse_loss(scores, teacher_scores)
