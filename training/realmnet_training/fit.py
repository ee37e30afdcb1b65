"""Training: stages of a preset in order, on one process or several, resumable at any point kept."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning
import msgspec
import torch

from realmnet_benchmarks.metrics import multilabel_metrics
from realmnet_benchmarks.records import Records, read_psmm
from realmnet_benchmarks.splits import Split
from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.errors import ConfigurationError
from realmnet_training.checkpoint import save_checkpoint
from realmnet_training.config import Preset
from realmnet_training.data.selection import Selection, select_tables, tables_that_hold
from realmnet_training.fitting.faults import in_one_line
from realmnet_training.fitting.journal import Journal
from realmnet_training.fitting.keeper import EpochKeeper, describe_checkpoint
from realmnet_training.fitting.learner import Learner, share_of
from realmnet_training.fitting.processes import is_first_process
from realmnet_training.fitting.run_folder import KeptPlace, RunFolder, plain_metrics
from realmnet_training.fitting.supervision import FROM_LABELS, Supervision
from realmnet_training.fitting.tracking import require_mlflow, tracked
from realmnet_training.measuring.evaluation import compute_logits
from realmnet_training.measuring.operating_points import (
    arrays_of,
    fit_operating_point,
    probabilities_of,
)
from realmnet_training.networks.architectures import Network
from realmnet_training.networks.initial import build_model, require_backbone
from realmnet_training.pictures.loaders import Loaders
from realmnet_training.pictures.prepared import (
    PreparedSplit,
    Tables,
    await_split,
    choose_prepared,
    prepare_split,
)

_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}


def train_preset(
    preset: Preset,
    data: Path | Records,
    out: Path,
    *,
    resume: bool = False,
    cache: Path | None = None,
    tracking: str | None = None,
    supervision: Supervision = FROM_LABELS,
) -> Path:
    """Train a preset on a data set in the released layout.

    Args:
        preset: what to train.
        data: root of the data set, or its tables where they were read already.
        out: folder of the run.
        resume: continue the run in `out` after the last point it kept.
        cache: folder of prepared pictures; `out / cache` where None.
        tracking: MLflow's tracking URI, which gets settings, metrics and files; None for none.
        supervision: what a batch teaches; by default its labels.

    Returns:
        Path of the checkpoint, with operating points found on the development table.

    Raises:
        MissingPath, UsageError, OutputError: of the data set, the run's folder or the store.
        ConfigurationError: a label absent from training, a loss that is not finite, too little
            memory for a step or for the processes that load images.
        KeyboardInterrupt: the run was interrupted or asked to end; it can be resumed.
    """
    if preset.model.backbone is not None and not resume:
        require_backbone(Path(preset.model.backbone))
    records = data if isinstance(data, Records) else _read(preset, data)
    selection = select_tables(preset.data, records, preset.fit.seed)
    for split in _splits_of(selection):
        if supervision.needs_labels or split is not selection.train:
            require_all_labels(split)
    if tracking is not None:
        require_mlflow()
    folder, first = RunFolder(out), is_first_process()
    if first:
        taught = supervision.facts
        folder.open(preset, resume=resume, decisive=Preset.decisive, supervision=taught)
    _quieten()
    if preset.fit.threads:
        torch.set_num_threads(preset.fit.threads)
    with tracked(preset, tracking if first else None, folder.tracking) as tracker:
        tables = _prepare(preset, records, selection, cache or folder.cache)
        journal = Journal(folder, preset, tables, tracker)
        if first:
            _say_what_is_trained_on(tables, journal)
        model = _fit_stages(preset, tables, journal, supervision, resume=resume)
        if first:
            _finish(preset, tables, folder, model, supervision)
            journal.close()
    return folder.checkpoint


def _read(preset: Preset, data: Path) -> Records:
    return read_psmm(data, preset.data.labels, preset.data.unknown_labels)


def _splits_of(selection: Selection) -> list[Split]:
    return [selection.train, *filter(None, [selection.development])]


def _prepare(preset: Preset, records: Records, selection: Selection, cache: Path) -> Tables:
    splits = _splits_of(selection)
    workers = max(1, preset.fit.workers, preset.fit.threads)
    make = prepare_split if is_first_process() else await_split
    whole = [
        make(table, preset.preprocess, cache, workers)
        for table in tables_that_hold(records, splits)
    ]
    train, *development = (choose_prepared(split, whole) for split in splits)
    return Tables(train, development[0] if development else None)


def _say_what_is_trained_on(tables: Tables, journal: Journal) -> None:
    for prepared in filter(None, (tables.train, tables.development)):
        journal.say(f"{prepared.split.name}: {len(prepared.split):,} images")
        if prepared.refused:
            journal.say(
                f"{prepared.split.name}: {len(prepared.refused)} images left out; "
                f"the first: {prepared.refused[0]}"
            )


def require_all_labels(split: Split) -> None:
    """Refuse a table in which a label never occurs.

    Raises:
        ConfigurationError: names the labels.
    """
    counts = split.labels.sum(axis=0)
    absent = [name for name, count in zip(split.label_set.names, counts, strict=True) if count == 0]
    if absent:
        raise ConfigurationError(
            f"split '{split.name}' has no positive of {', '.join(absent)}; such a label cannot be "
            "learned or measured: use a table that has it, or a label set without it"
        )


def _fit_stages(
    preset: Preset, tables: Tables, journal: Journal, supervision: Supervision, *, resume: bool
) -> Network:
    fit, folder = preset.fit, journal.folder
    torch.manual_seed(fit.seed)
    kept = folder.kept_place() if resume else None
    if kept is not None and is_first_process():
        folder.forget_metrics_after(kept.epochs)
        journal.say(f"resumed after epoch {kept.epochs} and {kept.batches} batches")
    state: dict[str, torch.Tensor] | None = None
    model: Network | None = None
    epochs_before = 0
    for number, stage in enumerate(fit.stages):
        if kept is None or number >= kept.stage:
            model = build_model(preset, stage, fresh=state is None)
            learner = _fit_stage(
                model,
                preset,
                tables,
                journal,
                supervision,
                number=number,
                epochs_before=epochs_before,
                start=state,
                kept=kept if kept is not None and number == kept.stage else None,
            )
            model = learner.best_model
            state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
        epochs_before += stage.epochs
    if model is None:
        raise ConfigurationError("fit.stages is empty; a preset needs at least one stage")
    return model


def _fit_stage(
    model: Network,
    preset: Preset,
    tables: Tables,
    journal: Journal,
    supervision: Supervision,
    *,
    number: int,
    epochs_before: int,
    start: dict[str, torch.Tensor] | None,
    kept: KeptPlace | None,
) -> Learner:
    fit, stage = preset.fit, preset.fit.stages[number]
    batches_done = kept.batches if kept else 0
    trainer = lightning.Trainer(
        accelerator=fit.accelerator,
        devices=fit.devices or "auto",
        num_nodes=fit.nodes,
        accumulate_grad_batches=fit.accumulate,
        precision=_PRECISIONS[fit.precision],  # type: ignore[arg-type]
        max_epochs=stage.epochs,
        gradient_clip_val=fit.clip,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[
            EpochKeeper(
                preset,
                tables,
                journal,
                number=number,
                epochs_before=epochs_before,
                first_batch=batches_done,
                supervision=supervision,
            )
        ],
    )
    development, evaluated = tables.development, 0
    if development is not None:
        evaluated = -(-len(development.split) // stage.batch)
    loaders = Loaders(preset, stage, epochs_before, share_of(trainer), supervision.collate)
    train = loaders.training(tables.train, batches_done)
    learner = Learner(
        model,
        stage,
        fit,
        number=number,
        steps=len(train) // fit.accumulate * stage.epochs,
        evaluated=evaluated,
        supervision=supervision,
    )
    if start is not None:
        learner.load_weights(start)
    learner.to(memory_format=torch.channels_last)
    with in_one_line(fit, number):
        trainer.fit(
            learner,
            train,
            None if development is None else loaders.evaluation(development),
            ckpt_path=str(journal.folder.resume) if kept else None,
            weights_only=True,
        )
    return learner


def _finish(
    preset: Preset, tables: Tables, folder: RunFolder, model: Network, supervision: Supervision
) -> None:
    """Write the last checkpoint, with operating points where there is data to fit them on."""
    point: OperatingPoint | None = None
    metrics: dict[str, Any] = {}
    if tables.development is not None:
        point, metrics = _operate(preset, tables.development, model)
    epochs = sum(stage.epochs for stage in preset.fit.stages)
    facts = msgspec.structs.replace(
        describe_checkpoint(preset, tables, model, epochs, metrics, supervision.facts),
        finished=True,
        operating_point=point,
    )
    save_checkpoint(folder.checkpoint, model, facts)
    folder.resume.unlink(missing_ok=True)


def _operate(
    preset: Preset, prepared: PreparedSplit, model: Network
) -> tuple[OperatingPoint, dict[str, Any]]:
    """Temperatures and thresholds fitted on development data, and what they measure there."""
    logits = compute_logits(model.cpu(), prepared, preset.preprocess)
    labels, known = prepared.split.labels, prepared.split.known
    point = fit_operating_point(
        logits,
        labels,
        preset.data.labels,
        f"{prepared.split.name}, {len(prepared.split)} images, sha256 {prepared.split.digest}",
        known=known,
    )
    temperatures, thresholds = arrays_of(point, preset.data.labels)
    probabilities = probabilities_of(logits, temperatures)
    metrics = multilabel_metrics(labels, probabilities, thresholds, known=known)
    return point, plain_metrics(metrics)


def _quieten() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", module="lightning.*")
