"""Train a preset and record the loss and gradient of every step; run by test_distributed.

python record_gradients.py DATA OUT RECORD KEY=VALUE...
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from realmnet_training.config import load_preset
from realmnet_training.fit import train_preset
from realmnet_training.fitting.learner import Learner
from realmnet_training.fitting.processes import is_first_process

gradients: list[np.ndarray] = []
losses: list[list[float]] = []


def record(self: Learner, optimizer: object) -> None:
    del optimizer
    found = [p.grad.flatten() for p in self.model.parameters() if p.grad is not None]
    gradients.append(torch.cat(found).numpy().copy())


def end(self: Learner) -> None:
    losses.append([float(loss) for loss in self._losses])


if __name__ == "__main__":
    data, out, target, *changes = sys.argv[1:]
    Learner.on_before_optimizer_step = record
    Learner.on_train_epoch_end = end
    train_preset(load_preset("smoke", changes), Path(data), Path(out))
    kind = "first" if is_first_process() else "second"
    np.savez(f"{target}-{kind}.npz", gradients=np.stack(gradients), losses=np.concatenate(losses))
