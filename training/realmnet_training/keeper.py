"""What is written at the end of every epoch: metrics, checkpoint, resume file, a line."""

from __future__ import annotations

import sys
import time
from typing import Any, Final

import lightning
import msgspec
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from realmnet_runtime.files import temporary_beside
from realmnet_training.checkpoint import CheckpointFacts, architecture_of, save_checkpoint
from realmnet_training.config import Preset
from realmnet_training.evaluation import facts_of
from realmnet_training.learner import Learner
from realmnet_training.model import RealMNet
from realmnet_training.prepared import Tables
from realmnet_training.run_folder import RunFolder, plain_metrics, software_facts

_SECONDS_BETWEEN_LINES: Final = 30.0


class EpochKeeper(Callback):
    """Prints progress; writes metrics, checkpoint and resume file at the end of every epoch."""

    def __init__(
        self,
        preset: Preset,
        tables: Tables,
        folder: RunFolder,
        number: int,
        epochs_before: int,
    ) -> None:
        self._preset = preset
        self._tables = tables
        self._folder = folder
        self._number = number
        self._epochs_before = epochs_before
        self._begun = self._last_line = time.monotonic()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: object) -> None:
        """Start the clock."""
        del trainer, pl_module
        self._begun = self._last_line = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: object,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Print a line now and then."""
        del pl_module, batch
        now = time.monotonic()
        if now - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        steps = int(trainer.num_training_batches)
        rate = (now - self._begun) / (batch_idx + 1)
        say(
            f"{self._where(trainer)} step {batch_idx + 1} of {steps}, "
            f"loss {_loss_of(outputs):.3f}, {rate:.2f} s a step, "
            f"about {rate * (steps - batch_idx - 1):.0f} s left in the epoch"
        )

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: object) -> None:
        """Write metrics, checkpoint and resume file."""
        if not isinstance(pl_module, Learner) or pl_module.metrics is None:
            return
        metrics = plain_metrics(pl_module.metrics)
        epoch = self._epochs_before + trainer.current_epoch + 1
        seconds = time.monotonic() - self._begun
        self._folder.append_metrics(
            {
                "stage": self._number + 1,
                "epoch": epoch,
                "image": pl_module.model.image,
                "loss": pl_module.mean_loss,
                "lr": trainer.optimizers[0].param_groups[0]["lr"],
                "seconds": round(seconds, 1),
                "development": metrics,
            }
        )
        say(
            f"{self._where(trainer)} done in {seconds:.0f} s, loss {pl_module.mean_loss:.3f}, "
            f"development: mAP {pl_module.metrics['ap_macro']:.4f}, "
            f"AUROC {pl_module.metrics['auroc_macro']:.4f}, F1 {pl_module.metrics['f1_macro']:.4f}"
        )
        model = pl_module.best_model
        save_checkpoint(
            self._folder.checkpoint,
            model,
            describe_checkpoint(self._preset, self._tables, model, epoch, metrics),
        )
        temporary = temporary_beside(self._folder.resume)
        try:
            trainer.save_checkpoint(temporary)
            temporary.replace(self._folder.resume)
        finally:
            temporary.unlink(missing_ok=True)

    def _where(self, trainer: lightning.Trainer) -> str:
        stages = self._preset.fit.stages
        stage = stages[self._number]
        return (
            f"stage {self._number + 1} of {len(stages)} ({stage.image} px), "
            f"epoch {trainer.current_epoch + 1} of {stage.epochs}"
        )


def describe_checkpoint(
    preset: Preset, tables: Tables, model: RealMNet, epochs: int, metrics: dict[str, Any]
) -> CheckpointFacts:
    """The facts of a checkpoint that is still training."""
    return CheckpointFacts(
        architecture=architecture_of(model),
        label_set=preset.data.labels,
        # an early stage's weights were trained at its own size
        spec=msgspec.structs.replace(preset.preprocess, size=model.image),
        preset=preset,
        splits={
            "train": facts_of(tables.train.split),
            "development": facts_of(tables.development.split),
        },
        epochs=epochs,
        development_metrics=metrics,
        software=software_facts(),
    )


def say(line: str) -> None:
    """Print a line of progress on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _loss_of(outputs: object) -> float:
    loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
    return float(loss) if isinstance(loss, Tensor) else float("nan")
