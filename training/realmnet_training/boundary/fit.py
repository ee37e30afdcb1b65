"""Training of the segmentation network: SGD, early stopping, resume at any epoch.

The checkpoint is that of the epoch with the best mean IoU on the development part, the earliest of
equals. Training stops when `patience` epochs brought none better, or at the last epoch. The resume
file holds the newest epoch; a run continued from it is the run that was never broken off.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from realmnet_benchmarks.masks import MaskMetrics, mask_counts, mask_metrics
from realmnet_runtime.errors import BackendUnavailable, ConfigurationError
from realmnet_runtime.files import write_atomically
from realmnet_training.boundary.annotations import Annotations, read_annotations
from realmnet_training.boundary.checkpoint import (
    BoundaryFacts,
    load_boundary_checkpoint,
    part_facts,
    save_boundary_checkpoint,
)
from realmnet_training.boundary.initial import load_initial
from realmnet_training.boundary.network import INSIDE, OUTSIDE, BoundaryNetwork
from realmnet_training.boundary.partition import Parts, divide
from realmnet_training.boundary.prepared import (
    PreparedPart,
    as_tensors,
    prepare_part,
    training_batches,
)
from realmnet_training.boundary.preset import BoundaryPreset
from realmnet_training.boundary.progress import is_finished, read_resume, write_resume
from realmnet_training.fitting.journal import say
from realmnet_training.fitting.run_folder import RunFolder, plain_metrics, software_facts

_DROPOUT = 3


def train_boundary(preset: BoundaryPreset, data: Path, out: Path, *, resume: bool = False) -> Path:
    """Train on an annotated folder.

    Args:
        preset: what to train.
        data: folder that `read_annotations` reads.
        out: folder of the run.
        resume: continue the run in `out` after its last whole epoch.

    Returns:
        Path of the checkpoint, of the best epoch on the development part.

    Raises:
        MissingPath, UsageError, UnreadableImage, OutputError: of the data or the run's folder.
        ConfigurationError: too few patients, initial weights of another network, a loss that is
            not finite, or a batch that does not fit into memory.
        BackendUnavailable: a GPU was asked for and there is none.
    """
    table = read_annotations(data)
    parts = divide(table, preset.fit.seed)
    device = _device(preset)
    folder = RunFolder(out)
    folder.open(preset, resume=resume)
    if resume and is_finished(folder, table.digest):
        return folder.checkpoint
    if preset.fit.threads:
        torch.set_num_threads(preset.fit.threads)
    torch.manual_seed(preset.fit.seed)
    network = BoundaryNetwork(preset.network.architecture, preset.network.image)
    if preset.network.weights is not None:
        load_initial(network, preset.network.weights)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    size = preset.network.image
    train = prepare_part(parts.train, size, "train")
    development = prepare_part(parts.development, size, "development")
    facts = _facts(preset, table, parts)
    _fit(network, train, development, folder, facts)
    best, kept = load_boundary_checkpoint(folder.checkpoint)
    save_boundary_checkpoint(folder.checkpoint, best, msgspec.structs.replace(kept, finished=True))
    folder.resume.unlink(missing_ok=True)
    return folder.checkpoint


def measure(network: BoundaryNetwork, part: PreparedPart, batch: int) -> MaskMetrics:
    """Measure a network on a prepared part, at the network's own size.

    Args:
        network: left as it was.
        part: at least one picture.
        batch: pictures at once.
    """
    was_training = network.training
    network.eval()
    device = network.mean.device
    answers = []
    with torch.inference_mode():
        for start in range(0, len(part), batch):
            rows = slice(start, start + batch)
            pictures, _ = as_tensors(part.pictures[rows], part.masks[rows])
            logits = network(pictures.to(device))
            answers.append((logits[:, INSIDE] > logits[:, OUTSIDE]).cpu().numpy())
    network.train(was_training)
    return mask_metrics(map(mask_counts, part.masks, np.concatenate(answers)))


def _fit(
    network: BoundaryNetwork,
    train: PreparedPart,
    development: PreparedPart,
    folder: RunFolder,
    facts: BoundaryFacts,
) -> None:
    preset = facts.preset
    fit = preset.fit
    optimiser = torch.optim.SGD(network.parameters(), lr=fit.lr, momentum=fit.momentum)
    run = read_resume(folder, network, optimiser, facts.table)
    for epoch in range(len(run.history) + 1, fit.epochs + 1):
        if epoch > 1 and epoch - 1 - run.best_epoch >= fit.patience:
            say(f"no better mean IoU for {fit.patience} epochs: stopped")
            break
        begun = time.monotonic()
        loss = _train_epoch(network, optimiser, preset, train, epoch)
        metrics = measure(network, development, fit.batch)
        seconds = time.monotonic() - begun
        plain = plain_metrics(metrics)
        run.history.append(
            {"epoch": epoch, "loss": loss, "seconds": round(seconds, 1), "development": plain}
        )
        say(
            f"epoch {epoch} of at most {fit.epochs} done in {seconds:.0f} s, loss {loss:.4f}, "
            f"development: accuracy {metrics.pixel_accuracy:.4f}, mean IoU {metrics.mean_iou:.4f}"
        )
        if metrics.mean_iou > run.best:
            run.best, run.best_epoch = metrics.mean_iou, epoch
            kept = msgspec.structs.replace(facts, epoch=epoch, development=plain)
            save_boundary_checkpoint(folder.checkpoint, network, kept)
        lines = [msgspec.json.encode(line) + b"\n" for line in run.history]
        write_atomically(folder.metrics, b"".join(lines))
        write_resume(folder, network, optimiser, run, facts.table)


def _train_epoch(
    network: BoundaryNetwork,
    optimiser: torch.optim.Optimizer,
    preset: BoundaryPreset,
    part: PreparedPart,
    epoch: int,
) -> float:
    """One pass over the part; returns the mean loss over its steps."""
    fit = preset.fit
    # dropout follows from seed and epoch alone, so that a resumed run repeats it
    place = (fit.seed, _DROPOUT, epoch)
    torch.manual_seed(int(np.random.default_rng(place).integers(2**31)))
    network.train()
    device = network.mean.device
    losses: list[Tensor] = []
    batches = training_batches(part, fit.batch, fit.flip_horizontal, fit.seed, epoch)
    try:
        for pictures, masks in batches:
            loss = nn.functional.cross_entropy(network(pictures.to(device)), masks.to(device))
            if not torch.isfinite(loss):
                raise ConfigurationError(
                    f"the loss became {loss.item()} in epoch {epoch}, step {len(losses) + 1}; "
                    "lower fit.lr; the last checkpoint is untouched"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.detach())
    except torch.OutOfMemoryError as error:
        raise ConfigurationError(
            f"out of memory with fit.batch = {fit.batch} at network.image = "
            f"{preset.network.image}; lower one of them"
        ) from error
    return float(torch.stack(losses).mean())


def _device(preset: BoundaryPreset) -> torch.device:
    wanted, there = preset.fit.accelerator, torch.cuda.is_available()
    if wanted == "gpu" and not there:
        raise BackendUnavailable(
            "fit.accelerator = 'gpu' and torch finds none; use 'auto' or 'cpu'"
        )
    return torch.device("cuda" if there and wanted != "cpu" else "cpu")


def _facts(preset: BoundaryPreset, table: Annotations, parts: Parts) -> BoundaryFacts:
    return BoundaryFacts(
        preset=preset,
        table=table.digest,
        parts={
            "train": part_facts(parts.train),
            "development": part_facts(parts.development),
            "test": part_facts(parts.test),
        },
        synthetic=table.synthetic,
        epoch=0,
        finished=False,
        development={},
        software=software_facts(),
    )
