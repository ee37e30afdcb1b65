"""A model over a table: logits of every image, and the table of metrics people read."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from realmnet_benchmarks.accuracy_tables import align
from realmnet_benchmarks.metrics import MultilabelMetrics
from realmnet_benchmarks.splits import Split
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.checkpoint import SplitFacts
from realmnet_training.config import BatchMixConfig
from realmnet_training.networks.architectures import Network
from realmnet_training.pictures.dataset import BatchMixer, EpochSampler, EyeDataset
from realmnet_training.pictures.prepared import PreparedSplit


@torch.inference_mode()
def compute_logits(
    model: Network, prepared: PreparedSplit, spec: PreprocessSpec, batch: int = 32
) -> NDArray[np.float32]:
    """Answer all images of a table in its order, without augmentation.

    Returns:
        (N, L) float32 logits.
    """
    device = next(model.parameters()).device
    dataset = EyeDataset(prepared, spec, model.image)
    loader = DataLoader(
        dataset,
        batch_size=batch,
        sampler=EpochSampler(len(dataset), seed=None),
        collate_fn=BatchMixer(BatchMixConfig(), seed=0),
    )
    was_training = model.training
    model.eval()
    answers = [
        model(images.to(device).contiguous(memory_format=torch.channels_last))[0].cpu()
        for images, _ in loader
    ]
    model.train(was_training)
    logits: NDArray[np.float32] = torch.cat(answers).numpy()
    return logits


def facts_of(split: Split) -> SplitFacts:
    """Counts and digest of a table, for checkpoints and reports."""
    sources, counts = np.unique(split.sources, return_counts=True)
    return SplitFacts(
        name=split.name,
        digest=split.digest,
        images=len(split),
        patients=len(set(split.patients)),
        positives=tuple(int(n) for n in split.labels.sum(axis=0)),
        sources=dict(zip(map(str, sources), map(int, counts), strict=True)),
    )


def metrics_table(split: Split, metrics: MultilabelMetrics) -> str:
    """A table for people: one line per label, then the means."""
    rows = [["label", "positives", "AP", "AUROC", "F1", "precision", "recall", "Brier"]]
    columns = (
        metrics["ap_per_label"],
        metrics["auroc_per_label"],
        metrics["f1_per_label"],
        metrics["precision_per_label"],
        metrics["recall_per_label"],
        metrics["brier_per_label"],
    )
    for i, name in enumerate(split.label_set.names):
        values = [f"{column[i]:.4f}" for column in columns]
        rows.append([name, f"{int(split.labels[:, i].sum()):,}", *values])
    macro = (
        metrics["ap_macro"],
        metrics["auroc_macro"],
        metrics["f1_macro"],
        metrics["precision_macro"],
        metrics["recall_macro"],
        float(np.nanmean(metrics["brier_per_label"])),
    )
    rows.append(["macro", "", *(f"{value:.4f}" for value in macro)])
    return "\n".join(align(rows))
