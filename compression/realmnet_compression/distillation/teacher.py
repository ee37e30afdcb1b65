"""The teacher: a checkpoint of ours or a timm model, which answers the pictures a student sees."""

from __future__ import annotations

from pathlib import Path

import msgspec
import safetensors
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from realmnet_compression.distillation.timm_teacher import build_timm_teacher
from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.files import sha256_of
from realmnet_runtime.labels import LabelSet
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.checkpoint import load_network
from realmnet_training.fitting.run_folder import RunFolder
from realmnet_training.networks.architectures import (
    Architecture,
    Network,
    architecture_of,
    require_realmnet,
)


class TeacherFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which teacher it is.

    Attributes:
        digest: SHA-256 of its file.
        network: its kind, for people.
        image: side of its input, pixels.
        score_maps: whether it answers with them.
        mean, std: of each channel, by which the pictures it takes are normalised; 0 and 1 leave
            them in [0, 1].
    """

    digest: str
    network: str
    image: int
    score_maps: bool
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


class Teacher:
    """Answers batches in evaluation mode, without gradients, in FP32 whatever the student has.

    Args:
        network: maps (N, 3, image, image) to logits (N, L) and score maps or None.
        facts: what is kept of it.
    """

    def __init__(self, network: nn.Module, facts: TeacherFacts) -> None:
        self.facts = facts
        self._network = network.eval().requires_grad_(requires_grad=False)
        self._network.to(memory_format=torch.channels_last)

    def require_pictures_of(self, spec: PreprocessSpec) -> None:
        """Refuse a student whose pictures are normalised otherwise than the teacher's.

        Raises:
            ConfigurationError: names both.
        """
        facts = self.facts
        if (spec.mean, spec.std) != (facts.mean, facts.std):
            raise ConfigurationError(
                f"the teacher ({facts.network}) takes pictures of mean {facts.mean} and std "
                f"{facts.std}, the student's preset makes {spec.mean} and {spec.std}; set "
                "preprocess.mean and preprocess.std to the teacher's"
            )

    @torch.no_grad()
    def answer(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Answer a batch on the device where it lies.

        Args:
            images: (N, 3, S, S) float32 RGB, normalised as the teacher's; resized bilinearly to
                its size.

        Returns:
            Logits (N, L) and score maps (N, L, h, w), or None where the teacher has none; float32.

        Raises:
            ConfigurationError: logits that are not finite.
        """
        side = self.facts.image
        if images.shape[-2:] != (side, side):
            images = functional.interpolate(
                images, size=(side, side), mode="bilinear", antialias=True
            )
        self._network.to(images.device)
        with torch.autocast(images.device.type, enabled=False):
            logits, maps = self._network(images.contiguous(memory_format=torch.channels_last))
        if not torch.isfinite(logits).all():
            raise ConfigurationError(
                f"the teacher ({self.facts.network}) gave a logit that is not finite; give another"
            )
        return logits, maps


def open_teacher(
    path: Path, label_set: LabelSet, timm_name: str | None = None, image: int | None = None
) -> Teacher:
    """Load a teacher for a student's labels; nothing is downloaded.

    Args:
        path: folder or checkpoint of `realmnet train`; with `timm_name`, a file of its weights.
        label_set: of the student.
        timm_name: network of the file as timm calls it; None for a checkpoint of ours.
        image: side at which a RealMNet answers, its position biases resized: a smaller one is
            faster and less sure; None for the size it was trained at.

    Raises:
        MissingPath: no such file.
        IntegrityError: a checkpoint that is not whole.
        ConfigurationError: other labels, another network, or no teacher at all.
    """
    file = RunFolder(path).checkpoint if path.is_dir() else path
    if not file.is_file():
        raise MissingPath(
            f"teacher '{file}' does not exist; give the folder or checkpoint of `realmnet train`, "
            "or a file of weights with --timm"
        )
    if timm_name is not None:
        network, side = build_timm_teacher(timm_name, file, label_set)
        if image not in {None, side}:
            raise ConfigurationError(f"timm's '{timm_name}' answers at {side} px, not {image}")
        return Teacher(network, TeacherFacts(sha256_of(file), f"timm {timm_name}", side, False))
    _require_ours(file)
    model, facts = load_network(file)
    if facts.label_set.names != label_set.names:
        raise ConfigurationError(
            f"teacher '{file}' answers {_described(facts.label_set)} and the student's preset has "
            f"{_described(label_set)}; give a teacher of those labels, or set data.label_set"
        )
    kind = facts.architecture
    if image is not None and image != model.image:
        model = _at_size(model, image)
    name = f"RealMNet {kind.size}" if isinstance(kind, Architecture) else kind.name
    spec = facts.spec
    return Teacher(
        model, TeacherFacts(sha256_of(file), name, model.image, True, spec.mean, spec.std)
    )


def _at_size(model: Network, image: int) -> Network:
    source = require_realmnet(model, "another image size")
    architecture = msgspec.structs.replace(architecture_of(source), image=image)
    resized = architecture.build()
    resized.load_resized(source.state_dict())
    return resized


def _require_ours(file: Path) -> None:
    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            header = opened.metadata() or {}
    except SafetensorError:
        # `load_network` says what is wrong with a file that is not whole
        return
    if "realmnet" not in header:
        raise ConfigurationError(
            f"teacher '{file}' was not written by `realmnet train`; for weights of a timm model "
            "name the network with --timm, else give a checkpoint"
        )


def _described(label_set: LabelSet) -> str:
    return f"label set '{label_set.name}' ({', '.join(label_set.names)})"
