"""Where in the picture the evidence for a label lies: the score maps on the picture's pixels.

A value is evidence on the scale of logits: a picture that scored everywhere as one position does
would have the logit (1 + lam) times that score, with the head's lam (RealMNet, Methods). Positive
speaks for the label and negative against it; nothing is normalised. The maps come with the answer,
so the network runs once. A cell is a twelfth of the square at 384 px and a seventh at 224: a map
shows what moved the network, not the outline of a lesion.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.errors import IncompatibleError
from realmnet_runtime.pictures.frame import Frame

HEAT_MAP_SIDE: Final = 1024
"""Most pixels of the longer side of a heat map, where no size is asked for."""


def heat_map(
    cells: NDArray[np.float32], frame: Frame, mask: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Carry one score map to the picture, inside the aperture alone.

    Args:
        cells: (h, w) float32 score map of one label, logit scale.
        frame: where the network's square lies on the picture.
        mask: (H, W) bool, the aperture in the size that is wanted.

    Returns:
        (H, W) float32, logit scale: linear between the centres of the cells (`frame`), 0 outside
        the aperture.

    Raises:
        IncompatibleError: a score is not finite.
        UsageError: as `Frame.carry`.
    """
    if not np.isfinite(cells).all():
        raise IncompatibleError(
            "engine answered score maps that are not finite; this variant does not suit this "
            "machine; run `realmnet selftest` and choose another"
        )
    rows, columns = mask.shape
    carried = frame.carry(cells, (rows, columns))
    carried[~mask] = 0.0
    return carried


def bounded_size(original: tuple[int, int], longest: int = HEAT_MAP_SIDE) -> tuple[int, int]:
    """The (height, width) in which a picture's longer side has at most `longest` pixels.

    The aspect is kept to the nearest pixel; a smaller picture stays as it is.
    """
    height, width = original
    factor = min(1.0, longest / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))
