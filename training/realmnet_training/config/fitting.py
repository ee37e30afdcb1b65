"""Stages, schedules and processes of a training."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from realmnet_runtime.errors import ConfigurationError
from realmnet_training.config.losses import AsymmetricConfig, LossConfig
from realmnet_training.config.numbers import Count, NotNegative, Positive, Share
from realmnet_training.networks.backbone import token_grids


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stretch of training at one image size, with its own schedule.

    Attributes:
        image: side of the input, pixels; the last stage's is the model's.
        epochs: passes over the training table.
        batch: images per step and device.
        lr: highest learning rate.
        lr_end: learning rate at the end of the cosine.
        cosine_by: whether the cosine falls at every step, or at every epoch as in the paper's code.
        warm_up: share of the stage's steps that rise linearly from 1 % of `lr`.
        loss: with its own options; `type` names it.
        bce_epochs: epochs at the start that use binary cross-entropy instead: from random weights
            it learns faster than the asymmetric loss.
        steps: most steps of an epoch; 0 goes through the whole table. With fewer, each epoch sees
            another part of the table, chosen at random.
    """

    image: int
    epochs: Count
    batch: Count
    lr: Positive
    lr_end: NotNegative = 1e-6
    cosine_by: Literal["step", "epoch"] = "step"
    warm_up: Share = 0.1
    loss: LossConfig = AsymmetricConfig()
    bce_epochs: Annotated[int, Meta(ge=0)] = 0
    steps: Annotated[int, Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        token_grids(self.image)
        if self.lr_end > self.lr:
            raise ConfigurationError(f"lr_end {self.lr_end} lies above lr {self.lr}; it must not")
        if self.bce_epochs > self.epochs:
            raise ConfigurationError(
                f"bce_epochs {self.bce_epochs} of {self.epochs} epochs; at most all of them"
            )


class FitConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the weights are fitted.

    Attributes:
        stages: in order; progressive resolution where their image sizes rise.
        seed: of initial weights, sampling, augmentation and stochastic depth.
        weight_decay: of AdamW; norms, biases and other one-dimensional parameters have none.
        clip: largest gradient norm.
        precision: `bf16` runs matrix products in bfloat16 and keeps weights in float32.
        average: decay of the exponential moving average of the weights that is validated and
            saved; 0 keeps the last weights, as the paper does.
        workers: processes that load images; 0 loads in the training process.
        threads: CPU threads of torch; 0 leaves torch's own choice.
        accelerator: `auto` takes a GPU where there is one.
        accumulate: batches a process takes for one step; with one GPU and 4 here, a run sees what
            the paper's four GPUs see.
        devices: processes on each machine, one a GPU; 0 takes every GPU there is, or one process
            on a CPU. Several train by distributed data parallelism.
        nodes: machines, started through torchrun or Slurm.
        freeze: first stages of RealMNet's backbone whose weights and statistics stay as they
            start, the patch embedding with them; 0 trains all four.
        keep_every: steps between two resume files inside an epoch; 0 keeps one an epoch.
    """

    stages: tuple[Stage, ...]
    seed: Annotated[int, Meta(ge=0)] = 42
    weight_decay: NotNegative = 0.05
    clip: Positive = 1.0
    precision: Literal["fp32", "bf16"] = "fp32"
    average: Share = 0.0
    workers: Annotated[int, Meta(ge=0)] = 0
    threads: Annotated[int, Meta(ge=0)] = 0
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    accumulate: Count = 1
    devices: Annotated[int, Meta(ge=0)] = 0
    nodes: Count = 1
    freeze: Annotated[int, Meta(ge=0, le=4)] = 0
    keep_every: Annotated[int, Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigurationError("fit.stages is empty; a preset needs at least one stage")
