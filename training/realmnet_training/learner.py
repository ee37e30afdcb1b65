"""One stage of training as a Lightning module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel

from realmnet_benchmarks.metrics import MultilabelMetrics, multilabel_metrics
from realmnet_runtime.errors import ConfigurationError
from realmnet_training.config import BceConfig, FitConfig, Stage
from realmnet_training.model import RealMNet
from realmnet_training.optimiser import build_loss, build_optimiser, build_schedule


class Learner(lightning.LightningModule):
    """Fits a model at one image size and measures it after each epoch.

    Args:
        model: at the stage's image size.
        stage: its loss and schedule.
        fit: seed, weight decay, averaging.
        number: of the stage, from 0; part of the seed.
        steps: steps of the whole stage.

    Attributes:
        model: the trained weights.
        average: their exponential moving average, or None.
        metrics: of the last validation, or None.
    """

    def __init__(
        self, model: RealMNet, stage: Stage, fit: FitConfig, *, number: int, steps: int
    ) -> None:
        super().__init__()
        self.model = model
        self.average: AveragedModel | None = None
        if fit.average > 0.0:
            self.average = AveragedModel(model, use_buffers=True, multi_avg_fn=self._move_average)
            self.average.eval()
        self.metrics: MultilabelMetrics | None = None
        self._stage = stage
        self._fit = fit
        self._number = number
        self._steps = steps
        self._loss = build_loss(stage.loss)
        self._first_loss = build_loss(BceConfig())
        self._losses: list[Tensor] = []
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []

    @property
    def best_model(self) -> RealMNet:
        """What is validated and saved: the average where there is one, else the last weights."""
        if self.average is None:
            return self.model
        averaged = self.average.module
        if not isinstance(averaged, RealMNet):
            raise TypeError("the average of a RealMNet is a RealMNet")
        return averaged

    @property
    def mean_loss(self) -> float:
        """Mean loss over the steps of the current epoch so far; NaN before the first."""
        return float(torch.stack(self._losses).mean()) if self._losses else float("nan")

    @torch.no_grad()
    def _move_average(self, average: Any, current: Any, count: Tensor | int) -> None:  # noqa: ANN401
        # short memory at first: an average that starts at random weights would lag for long
        decay = min(self._fit.average, (1.0 + float(count)) / (10.0 + float(count)))
        for kept, new in zip(average, current, strict=True):
            if kept.is_floating_point():
                kept.lerp_(new.to(kept.dtype), 1.0 - decay)
            else:
                kept.copy_(new)

    def on_train_epoch_start(self) -> None:
        """Forget the losses of the last epoch."""
        self.model.train()
        self._losses.clear()

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        """Seed stochastic depth from seed, stage, epoch and step, so that a resumed run repeats it.

        Once an epoch is too seldom: making the loader's iterator draws from the same generator, and
        a resumed run makes it at another moment.
        """
        del batch
        place = (self._fit.seed, self._number, self.current_epoch, batch_idx)
        torch.manual_seed(int(np.random.default_rng(place).integers(2**31)))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch.

        Raises:
            ConfigurationError: the loss is not finite.
        """
        images, targets = batch
        logits, _ = self.model(images.contiguous(memory_format=torch.channels_last))
        starting = self.current_epoch < self._stage.bce_epochs
        loss = (self._first_loss if starting else self._loss)(logits.float(), targets)
        if not torch.isfinite(loss):
            raise ConfigurationError(
                f"the loss became {loss.item()} in epoch {self.current_epoch + 1} of stage "
                f"{self._number + 1}, step {batch_idx + 1}; lower fit.stages.{self._number}.lr or "
                "fit.clip, or train with fit.precision=fp32; the last checkpoint is untouched"
            )
        self._losses.append(loss.detach())
        return loss

    def on_train_batch_end(self, outputs: object, batch: object, batch_idx: int) -> None:
        """Move the average."""
        del outputs, batch, batch_idx
        if self.average is not None:
            self.average.update_parameters(self.model)

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self._logits.clear()
        self._targets.clear()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Collect logits."""
        del batch_idx
        images, targets = batch
        logits, _ = self.best_model(images.contiguous(memory_format=torch.channels_last))
        self._logits.append(logits.float().cpu())
        self._targets.append(targets.cpu())

    def on_validation_epoch_end(self) -> None:
        """Measure the development table."""
        probabilities = torch.cat(self._logits).double().sigmoid().numpy()
        labels = torch.cat(self._targets).numpy().astype(np.uint8)
        self.metrics = multilabel_metrics(labels, probabilities)

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own type is a wide union
        """AdamW and its schedule, moved at every step."""
        optimiser: AdamW = build_optimiser(self.model, self._stage.lr, self._fit.weight_decay)
        schedule = build_schedule(optimiser, self._stage, self._steps)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say which stage a resume file belongs to."""
        checkpoint["realmnet_stage"] = self._number

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Start from another stage's weights, resizing position biases."""
        self.model.load_resized(state)
        if self.average is not None:
            self.average.module.load_state_dict(self.model.state_dict())
