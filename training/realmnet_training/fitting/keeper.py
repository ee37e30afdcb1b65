"""What is kept while training: metrics, checkpoint, resume files; and its progress."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Final

import lightning
import msgspec
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from realmnet_benchmarks.progress import NotedReport, bar, on_terminal
from realmnet_runtime.files import cannot_write, temporary_beside
from realmnet_training.checkpoint import CheckpointFacts, architecture_of, save_checkpoint
from realmnet_training.config import Preset
from realmnet_training.fitting.journal import Journal
from realmnet_training.fitting.learner import Learner
from realmnet_training.fitting.run_folder import plain_metrics, software_facts
from realmnet_training.fitting.supervision import FROM_LABELS, Supervision
from realmnet_training.measuring.evaluation import facts_of
from realmnet_training.networks.architectures import Network
from realmnet_training.pictures.prepared import Tables

_SECONDS_BETWEEN_LINES: Final = 30.0
_SECONDS_BETWEEN_MOVES: Final = 0.5


class EpochKeeper(Callback):
    """Shows progress; writes metrics, checkpoint and resume file at the end of every epoch.

    With `fit.keep_every`, a resume file also after every so many steps. Of several processes the
    first alone writes, but all take part in gathering what is written.
    """

    def __init__(
        self,
        preset: Preset,
        tables: Tables,
        journal: Journal,
        *,
        number: int,
        epochs_before: int,
        first_batch: int = 0,
        supervision: Supervision = FROM_LABELS,
    ) -> None:
        self._preset = preset
        self._tables = tables
        self._journal = journal
        self._folder = journal.folder
        self._number = number
        self._epochs_before = epochs_before
        self._supervision = supervision
        self._begun = self._last_line = time.monotonic()
        self._begun_at = first_batch
        self._open = contextlib.ExitStack()
        self._bar: NotedReport | None = None

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: object) -> None:
        """Start the clock."""
        del trainer, pl_module
        self._begun = self._last_line = time.monotonic()
        self._begun_at = 0

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: object, exception: BaseException
    ) -> None:
        """Take the bar away, so that what is said next has the line for itself."""
        del trainer, pl_module, exception
        self._take_bar_away()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: object,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Keep a resume file every so many steps; print a line now and then."""
        del batch
        if isinstance(pl_module, Learner):
            self._keep_inside_epoch(trainer, pl_module, batch_idx + 1)
        if trainer.is_global_zero:
            self._show(trainer, outputs, batch_idx + 1)

    def _show(self, trainer: lightning.Trainer, outputs: object, done: int) -> None:
        """Move the bar, or print a line; seldom, since reading the loss waits for the GPU."""
        steps, now = int(trainer.num_training_batches), time.monotonic()
        if self._bar is None and on_terminal():
            self._bar = self._open.enter_context(bar(self._where(trainer)))
        pause = _SECONDS_BETWEEN_LINES if self._bar is None else _SECONDS_BETWEEN_MOVES
        if now - self._last_line < pause:
            return
        self._last_line = now
        if self._bar is not None:
            self._bar(done, steps, f", loss {_loss_of(outputs):.3f}")
            return
        rate = (now - self._begun) / (done - self._begun_at)
        self._journal.say(
            f"{self._where(trainer)} step {done} of {steps}, "
            f"loss {_loss_of(outputs):.3f}, {rate:.2f} s a step, "
            f"about {rate * (steps - done):.0f} s left in the epoch"
        )

    def _take_bar_away(self) -> None:
        self._open.close()
        self._bar = None

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: object) -> None:
        """Write metrics, checkpoint and resume file."""
        self._take_bar_away()
        if not isinstance(pl_module, Learner):
            return
        if trainer.is_global_zero:
            measured = None if pl_module.metrics is None else plain_metrics(pl_module.metrics)
            self._record(trainer, pl_module, measured)
        pl_module.epochs_done, pl_module.batches_done = self._epoch(trainer), 0
        self._write_resume(trainer)

    def _record(
        self, trainer: lightning.Trainer, learner: Learner, metrics: dict[str, Any] | None
    ) -> None:
        epoch = self._epoch(trainer)
        seconds = time.monotonic() - self._begun
        self._journal.write_epoch(
            {
                "stage": self._number + 1,
                "epoch": epoch,
                "image": learner.model.image,
                "loss": learner.mean_loss,
                "lr": trainer.optimizers[0].param_groups[0]["lr"],
                "seconds": round(seconds, 1),
                "development": metrics,
            }
        )
        development = (
            "no development set"
            if metrics is None
            else (
                f"development: mAP {metrics['ap_macro']:.4f}, "
                f"AUROC {metrics['auroc_macro']:.4f}, F1 {metrics['f1_macro']:.4f}"
            )
        )
        self._journal.say(
            f"{self._where(trainer)} done in {seconds:.0f} s, loss {learner.mean_loss:.3f}, "
            f"{development}"
        )
        model = learner.best_model
        save_checkpoint(
            self._folder.checkpoint,
            model,
            describe_checkpoint(
                self._preset, self._tables, model, epoch, metrics or {}, self._supervision.facts
            ),
        )

    def _epoch(self, trainer: lightning.Trainer) -> int:
        """Number of the current epoch over all stages, from 1."""
        return self._epochs_before + trainer.current_epoch + 1

    def _keep_inside_epoch(
        self, trainer: lightning.Trainer, learner: Learner, batches: int
    ) -> None:
        fit = self._preset.fit
        if not fit.keep_every or batches >= int(trainer.num_training_batches):
            return
        if batches % (fit.keep_every * fit.accumulate) == 0:
            learner.epochs_done, learner.batches_done = self._epoch(trainer) - 1, batches
            self._write_resume(trainer)

    def _write_resume(self, trainer: lightning.Trainer) -> None:
        """Write what `--resume` continues from; Lightning gathers it from all processes."""
        temporary = temporary_beside(self._folder.resume)
        try:
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                temporary.replace(self._folder.resume)
        except OSError as error:
            raise cannot_write(self._folder.resume, error) from error
        finally:
            temporary.unlink(missing_ok=True)

    def _where(self, trainer: lightning.Trainer) -> str:
        stages = self._preset.fit.stages
        stage = stages[self._number]
        return (
            f"stage {self._number + 1} of {len(stages)} ({stage.image} px), "
            f"epoch {trainer.current_epoch + 1} of {stage.epochs}"
        )


def describe_checkpoint(  # noqa: PLR0917 - all of them said once
    preset: Preset,
    tables: Tables,
    model: Network,
    epochs: int,
    metrics: dict[str, Any],
    supervision: dict[str, Any],
) -> CheckpointFacts:
    """The facts of a checkpoint that is still training."""
    return CheckpointFacts(
        architecture=architecture_of(model),
        label_set=preset.data.labels,
        # an early stage's weights were trained at its own size
        spec=msgspec.structs.replace(preset.preprocess, size=model.image),
        preset=preset,
        splits={
            name: facts_of(prepared.split)
            for name, prepared in (("train", tables.train), ("development", tables.development))
            if prepared is not None
        },
        epochs=epochs,
        supervision=supervision,
        development_metrics=metrics,
        software=software_facts(),
    )


def _loss_of(outputs: object) -> float:
    loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
    return float(loss) if isinstance(loss, Tensor) else float("nan")
