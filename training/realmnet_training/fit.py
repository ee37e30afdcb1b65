"""Training: stages of a preset in order, a checkpoint after every epoch, resume at any of them."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import lightning
import msgspec
import torch
from torch.utils.data import DataLoader

from realmnet_benchmarks.metrics import multilabel_metrics
from realmnet_benchmarks.records import read_psmm
from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ConfigurationError
from realmnet_training.checkpoint import (
    save_checkpoint,
)
from realmnet_training.config import BatchMixConfig, Preset, Stage
from realmnet_training.dataset import BatchMixer, EpochSampler, EyeDataset
from realmnet_training.evaluation import compute_logits
from realmnet_training.keeper import EpochKeeper, describe_checkpoint, say
from realmnet_training.learner import Learner
from realmnet_training.model import RealMNet
from realmnet_training.operating_points import arrays_of, fit_operating_point, probabilities_of
from realmnet_training.prepared import PreparedSplit, Tables, prepare_split
from realmnet_training.run_folder import RunFolder, plain_metrics

_PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}


def train_preset(
    preset: Preset, data: Path, out: Path, *, resume: bool = False, cache: Path | None = None
) -> Path:
    """Train a preset on a data set in the released layout.

    Args:
        preset: what to train.
        data: root of the data set.
        out: folder of the run.
        resume: continue the run in `out` after its last whole epoch.
        cache: folder of prepared pictures; `out / cache` where None.

    Returns:
        Path of the checkpoint, with operating points found on the development table.

    Raises:
        MissingPath, UsageError, OutputError: of the data set or the run's folder.
        ConfigurationError: a label absent from training, a loss that is not finite.
    """
    records = read_psmm(data, preset.data.labels)
    splits = records[preset.data.train], records[preset.data.development]
    for split in splits:
        require_all_labels(split)
    folder = RunFolder(out)
    folder.open(preset, resume=resume)
    _quieten()
    if preset.fit.threads:
        torch.set_num_threads(preset.fit.threads)
    workers = max(1, preset.fit.workers, preset.fit.threads)
    tables = Tables(
        *(
            prepare_split(split, preset.preprocess, cache or folder.cache, workers)
            for split in splits
        )
    )
    for prepared in (tables.train, tables.development):
        if prepared.refused:
            say(
                f"{prepared.split.name}: {len(prepared.refused)} images left out; "
                f"the first: {prepared.refused[0]}"
            )
    model = _fit_stages(preset, tables, folder, resume=resume)
    _finish(preset, tables, folder, model)
    return folder.checkpoint


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


def _fit_stages(preset: Preset, tables: Tables, folder: RunFolder, *, resume: bool) -> RealMNet:
    fit = preset.fit
    torch.manual_seed(fit.seed)
    first_stage = _stage_to_resume(folder) if resume else None
    state: dict[str, torch.Tensor] | None = None
    model: RealMNet | None = None
    epochs_before = 0
    for number, stage in enumerate(fit.stages):
        if first_stage is None or number >= first_stage:
            model = build_model(preset, stage, pretrained=state is None)
            learner = _fit_stage(
                model,
                preset,
                tables,
                folder,
                number=number,
                epochs_before=epochs_before,
                start=state,
                resume=number == first_stage,
            )
            model = learner.best_model
            state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
        epochs_before += stage.epochs
    if model is None:
        raise ConfigurationError("fit.stages is empty; a preset needs at least one stage")
    return model


def build_model(preset: Preset, stage: Stage, *, pretrained: bool) -> RealMNet:
    """Build the network of a preset at a stage's image size."""
    config = preset.model
    return RealMNet(
        config.size,
        stage.image,
        len(preset.data.labels),
        config.heads,
        config.lam,
        pretrained=config.pretrained if pretrained else None,
        drop_path=config.drop_path,
        head=config.head,
    )


def _fit_stage(
    model: RealMNet,
    preset: Preset,
    tables: Tables,
    folder: RunFolder,
    *,
    number: int,
    epochs_before: int,
    start: dict[str, torch.Tensor] | None,
    resume: bool,
) -> Learner:
    fit, stage = preset.fit, preset.fit.stages[number]
    train = _loader(tables.train, preset, stage, epochs_before, training=True)
    development = _loader(tables.development, preset, stage, epochs_before, training=False)
    learner = Learner(model, stage, fit, number=number, steps=len(train) * stage.epochs)
    if start is not None:
        learner.load_weights(start)
    learner.to(memory_format=torch.channels_last)
    trainer = lightning.Trainer(
        accelerator=fit.accelerator,
        devices="auto",
        precision=_PRECISIONS[fit.precision],  # type: ignore[arg-type]
        max_epochs=stage.epochs,
        gradient_clip_val=fit.clip,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[EpochKeeper(preset, tables, folder, number, epochs_before)],
    )
    trainer.fit(
        learner,
        train,
        development,
        ckpt_path=str(folder.resume) if resume else None,
        weights_only=True,
    )
    if trainer.interrupted:
        raise KeyboardInterrupt
    return learner


def _loader(
    prepared: PreparedSplit, preset: Preset, stage: Stage, epochs_before: int, *, training: bool
) -> DataLoader[Any]:
    fit = preset.fit
    dataset = EyeDataset(
        prepared,
        preset.preprocess,
        stage.image,
        augmentation=preset.augment if training else None,
        seed=fit.seed,
    )
    if training and len(dataset) < stage.batch:
        raise ConfigurationError(
            f"{len(dataset)} training images are fewer than one batch of {stage.batch}; lower the "
            "stage's batch"
        )
    return DataLoader(
        dataset,
        batch_size=stage.batch,
        sampler=EpochSampler(len(dataset), fit.seed if training else None, epochs_before),
        collate_fn=BatchMixer(preset.mix if training else BatchMixConfig(), fit.seed),
        # a last batch of one image has no batch statistics
        drop_last=training,
        num_workers=fit.workers,
        persistent_workers=fit.workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _stage_to_resume(folder: RunFolder) -> int | None:
    if not folder.resume.is_file():
        return None
    content = torch.load(folder.resume, map_location="cpu", weights_only=True)
    return int(content["realmnet_stage"])


def _finish(preset: Preset, tables: Tables, folder: RunFolder, model: RealMNet) -> None:
    prepared = tables.development
    logits = compute_logits(model.cpu(), prepared, preset.preprocess)
    labels = prepared.split.labels
    point = fit_operating_point(
        logits,
        labels,
        preset.data.labels,
        f"{prepared.split.name}, {len(prepared.split)} images, sha256 {prepared.split.digest}",
    )
    temperatures, thresholds = arrays_of(point, preset.data.labels)
    probabilities = probabilities_of(logits, temperatures)
    metrics = plain_metrics(multilabel_metrics(labels, probabilities, thresholds))
    epochs = sum(stage.epochs for stage in preset.fit.stages)
    facts = msgspec.structs.replace(
        describe_checkpoint(preset, tables, model, epochs, metrics),
        finished=True,
        operating_point=point,
    )
    save_checkpoint(folder.checkpoint, model, facts)
    folder.resume.unlink(missing_ok=True)


def _quieten() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", module="lightning.*")
