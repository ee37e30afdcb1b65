"""One stage of training as a Lightning module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import lightning
import numpy as np
import torch
from torch import Tensor, distributed
from torch.optim import AdamW
from torch.optim.swa_utils import AveragedModel

from realmnet_benchmarks.metrics import MultilabelMetrics, multilabel_metrics
from realmnet_runtime.errors import ConfigurationError
from realmnet_training.config import BceConfig, FitConfig, Stage
from realmnet_training.fitting.freezing import freeze, hold_still
from realmnet_training.fitting.optimiser import build_loss, build_optimiser, build_schedule
from realmnet_training.fitting.supervision import FROM_LABELS, Batch, Supervision
from realmnet_training.losses import known_targets
from realmnet_training.networks.architectures import Network
from realmnet_training.pictures.batches import ALONE, in_order


class Learner(lightning.LightningModule):
    """Fits a model at one image size and measures it after each epoch.

    Args:
        model: at the stage's image size.
        stage: its loss and schedule.
        fit: seed, weight decay, averaging.
        number: of the stage, from 0; part of the seed.
        steps: steps of the whole stage.
        evaluated: batches of the whole development table, over all processes.
        supervision: what a batch teaches.

    Attributes:
        model: the trained weights.
        average: their exponential moving average, or None.
        metrics: of the last validation, or None.
        epochs_done: whole epochs behind it, over all stages; the keeper counts them.
        batches_done: batches of this process that the epoch after those has behind it.
    """

    def __init__(
        self,
        model: Network,
        stage: Stage,
        fit: FitConfig,
        *,
        number: int,
        steps: int,
        evaluated: int = 0,
        supervision: Supervision = FROM_LABELS,
    ) -> None:
        super().__init__()
        self.model = model
        freeze(model, fit.freeze)
        self.average: AveragedModel | None = None
        if fit.average > 0.0:
            self.average = AveragedModel(model, use_buffers=True, multi_avg_fn=self._move_average)
            # no gradient flows there, and distributed back ends wait for those that are expected
            self.average.eval().requires_grad_(False)
        self.metrics: MultilabelMetrics | None = None
        self.epochs_done = self.batches_done = 0
        self._stage = stage
        self._fit = fit
        self._number = number
        self._steps = steps
        self._evaluated = evaluated
        self._supervision = supervision
        self._loss = build_loss(stage.loss)
        self._first_loss = build_loss(BceConfig())
        self._losses: list[Tensor] = []
        self._answers: list[tuple[Tensor, Tensor]] = []

    @property
    def best_model(self) -> Network:
        """What is validated and saved: the average where there is one, else the last weights."""
        if self.average is None:
            return self.model
        return cast("Network", self.average.module)

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
        hold_still(self.model, self._fit.freeze)
        self._losses.clear()

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        """Seed stochastic depth from seed, stage, epoch and step, so that a resumed run repeats it.

        Once an epoch is too seldom: making the loader's iterator draws from the same generator, and
        a resumed run makes it at another moment.
        """
        del batch
        rank, processes = share_of(self.trainer)
        number = batch_idx * processes + rank
        place = (self._fit.seed, self._number, self.current_epoch, number)
        torch.manual_seed(int(np.random.default_rng(place).integers(2**31)))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch; targets that are NaN are unknown.

        Raises:
            ConfigurationError: the loss is not finite.
        """
        logits, maps = self.model(batch[0].contiguous(memory_format=torch.channels_last))
        starting = self.current_epoch < self._stage.bce_epochs
        truth = self._first_loss if starting else self._loss
        loss = self._supervision.loss((logits.float(), maps), batch, truth, self._number)
        if not torch.isfinite(loss):
            raise ConfigurationError(
                f"the loss became {loss.item()} in epoch {self.current_epoch + 1} of stage "
                f"{self._number + 1}, step {batch_idx + 1}; lower fit.stages.{self._number}.lr or "
                "fit.clip, or train with fit.precision=fp32; the last checkpoint is untouched"
            )
        self._losses.append(loss.detach())
        return loss

    def optimizer_step(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Lightning's
        """Step, then move the average: here, so that a file kept after the step has both."""
        super().optimizer_step(*arguments, **options)
        if self.average is not None:
            self.average.update_parameters(self.model)

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self._answers.clear()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Collect logits."""
        del batch_idx
        images, targets = batch
        logits, _ = self.best_model(images.contiguous(memory_format=torch.channels_last))
        self._answers.append((logits.float().cpu(), targets.cpu()))

    def on_validation_epoch_end(self) -> None:
        """Measure the development table, over all processes."""
        shares: list[list[tuple[Tensor, Tensor]]] = [self._answers]
        if self.trainer.world_size > 1:
            shares = [[] for _ in range(self.trainer.world_size)]
            distributed.all_gather_object(shares, self._answers)
        answers = in_order(shares, self._evaluated or len(self._answers))
        probabilities = torch.cat([logits for logits, _ in answers]).double().sigmoid().numpy()
        targets, known = known_targets(torch.cat([given for _, given in answers]))
        self.metrics = multilabel_metrics(targets.numpy(), probabilities, known=known.numpy())

    def configure_optimizers(self) -> Any:  # noqa: ANN401 - Lightning's own type is a wide union
        """AdamW and its schedule, moved at every step."""
        optimiser: AdamW = build_optimiser(self.model, self._stage.lr, self._fit.weight_decay)
        schedule = build_schedule(optimiser, self._stage, self._steps)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say where the run stands, and the losses of an epoch that is not over."""
        checkpoint["realmnet"] = {
            "stage": self._number,
            "epochs": self.epochs_done,
            "batches": self.batches_done,
            "losses": torch.tensor([float(loss) for loss in self._losses]),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the losses of an epoch that was broken off."""
        kept = checkpoint["realmnet"]
        self._losses = list(kept["losses"]) if kept["batches"] else []

    def load_weights(self, state: Mapping[str, Tensor]) -> None:
        """Start from another stage's weights, resizing position biases."""
        self.model.load_resized(state)
        if self.average is not None:
            self.average.module.load_state_dict(self.model.state_dict())


def share_of(trainer: lightning.Trainer | None) -> tuple[int, int]:
    """(rank, processes) of a trainer; that of a process without others before there is one."""
    return ALONE if trainer is None else (trainer.global_rank, trainer.world_size)
