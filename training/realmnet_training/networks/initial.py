"""The network of a preset before its first step."""

from __future__ import annotations

from pathlib import Path

from realmnet_runtime.errors import ConfigurationError, MissingPath
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
            config.size, stage.image, labels, config.heads, config.lam, config.head
        )
    else:
        architecture = BaselineArchitecture(config.network, labels)
    model = architecture.build(
        pretrained=config.pretrained if fresh else None, drop_path=config.drop_path
    )
    if fresh and config.backbone is not None:
        start_backbone(require_realmnet(model, "model.backbone"), Path(config.backbone))
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


def start_backbone(model: RealMNet, path: Path) -> None:
    """Fill a model's backbone from a checkpoint of any labels; its head stays fresh.

    Position biases are resized where the image sizes differ.

    Raises:
        MissingPath, IntegrityError, ConfigurationError: no checkpoint of a RealMNet of this size.
    """
    require_backbone(path)
    source, _ = load_checkpoint(path)
    if source.size != model.size:
        raise ConfigurationError(
            f"checkpoint '{path}' holds a RealMNet {source.size}; this preset trains {model.size}: "
            f"set model.size={source.size} or take another checkpoint"
        )
    wanted = model.backbone.state_dict()
    model.backbone.load_state_dict(resize_position_biases(source.backbone.state_dict(), wanted))
