"""The network of a preset before its first step."""

from __future__ import annotations

from pathlib import Path

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.labels import LabelSet
from realmnet_training.checkpoint import load_checkpoint
from realmnet_training.config import Preset, Stage
from realmnet_training.model import RealMNet
from realmnet_training.networks.architectures import (
    AnyArchitecture,
    Architecture,
    BaselineArchitecture,
    Network,
    require_realmnet,
)
from realmnet_training.networks.position_bias import resize_position_biases


def build_model(preset: Preset, stage: Stage, *, fresh: bool) -> Network:
    """Build the network of a preset at a stage's image size.

    Args:
        preset: what is trained.
        stage: whose image size it has.
        fresh: whether it starts from the preset's own initial weights, as the first stage does.

    Raises:
        MissingPath, ConfigurationError: initial weights that are not there or do not fit.
    """
    config = preset.model
    labels = len(preset.data.labels)
    architecture: AnyArchitecture
    if config.network == "realmnet":
        architecture = Architecture(
            config.size,
            stage.image,
            labels,
            config.heads,
            config.lam,
            config.head,
            config.third_window,
        )
    else:
        architecture = BaselineArchitecture(config.network, labels)
    model = architecture.build(
        pretrained=config.pretrained if fresh else None, drop_path=config.drop_path
    )
    if fresh and config.backbone is not None:
        kept = preset.data.labels if config.keep_head else None
        start_from(require_realmnet(model, "model.backbone"), Path(config.backbone), kept)
    return model


def require_backbone(path: Path) -> None:
    """Refuse a checkpoint that is not there, before anything is prepared.

    Raises:
        MissingPath: no such file.
    """
    if not path.is_file():
        raise MissingPath(
            f"model.backbone = '{path}' does not exist; set it to a checkpoint of `realmnet train`"
        )


def start_from(model: RealMNet, path: Path, labels: LabelSet | None = None) -> None:
    """Fill a model's backbone from a checkpoint of any labels, and its head where it is kept.

    Position biases are resized where the image sizes differ, and those of stage 3 cropped where
    the model's third window is smaller.

    Args:
        model: to fill, in place.
        path: checkpoint of `realmnet train`.
        labels: meaning of the model's outputs where the checkpoint's head is kept; None leaves the
            head fresh.

    Raises:
        MissingPath, IntegrityError, ConfigurationError: no checkpoint of a RealMNet of this size,
            of a larger third window, or with this head.
    """
    require_backbone(path)
    source, facts = load_checkpoint(path)
    if source.size != model.size:
        raise ConfigurationError(
            f"checkpoint '{path}' holds a RealMNet {source.size}; this preset trains {model.size}: "
            f"set model.size={source.size} or take another checkpoint"
        )
    if source.third_window and not model.third_window:
        raise ConfigurationError(
            f"checkpoint '{path}' has a third window of {source.third_window} tokens and this "
            f"preset the whole grid; set model.third_window={source.third_window} or take another "
            "checkpoint"
        )
    wanted = model.backbone.state_dict()
    model.backbone.load_state_dict(
        resize_position_biases(
            source.backbone.state_dict(), wanted, crop_third=model.third_window > 0
        )
    )
    if labels is not None:
        _keep_head(model, source, path, of_these_labels=facts.label_set == labels)


def _keep_head(model: RealMNet, source: RealMNet, path: Path, *, of_these_labels: bool) -> None:
    theirs = (source.head_kind, source.heads, source.lam)
    ours = (model.head_kind, model.heads, model.lam)
    if not of_these_labels or theirs != ours:
        raise ConfigurationError(
            f"the head of checkpoint '{path}' is a {theirs[0]} head (heads {theirs[1]}, lam "
            f"{theirs[2]:g}) of {source.labels} labels, not the preset's (model.head {ours[0]}, "
            f"heads {ours[1]}, lam {ours[2]:g}) of its {model.labels}; set model.keep_head=false "
            "or take another checkpoint"
        )
    model.head.load_state_dict(source.head.state_dict())
