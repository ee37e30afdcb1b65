"""From a checkpoint and a table to the score table that reports are made of."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from realmnet_benchmarks.phantoms.hospitals import HOSPITALS
from realmnet_benchmarks.records import Records
from realmnet_benchmarks.score_facts import MODELS_STUDY, PHANTOMS, Protocol, ScoreFacts
from realmnet_benchmarks.score_facts import TrainingFacts as TrainedOn
from realmnet_benchmarks.score_tables import SUFFIX, ScoreTable, score_table
from realmnet_benchmarks.splits import Split
from realmnet_runtime.aperture.field_of_view import find_field_of_view
from realmnet_runtime.errors import ConfigurationError, ImageRefused, UsageError
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.checkpoint import CheckpointFacts
from realmnet_training.config import DataConfig, Preset
from realmnet_training.data.protocols import PROTOCOLS
from realmnet_training.data.resampled import resample
from realmnet_training.data.selection import select_tables
from realmnet_training.networks.architectures import Network
from realmnet_training.networks.baselines import BASELINES
from realmnet_training.networks.complexity import measure_complexity

PSMM_SOURCES: Final = ("ShenzhenEye", "SUSTech", "LishuiR", "Zhongshan", "LishuiZ")
RELEASED: Final = "PSMM as released"
OTHER: Final = "pictures other than PSMM's"

_PHANTOM_SOURCES: Final = frozenset(hospital.name for hospital in HOSPITALS)
_MAX_PRESET: Final = "realmnet_max"
_LOOKED_AT: Final = 16


@dataclass(frozen=True)
class Occasion:
    """Why a model is measured: the cell of a study, or the main tables.

    Attributes:
        study, variant, factors: as `ScoreFacts`.
        scale: of the study; `paper` where it is none.
    """

    study: str
    variant: str
    factors: Mapping[str, int | float | str]
    scale: str = "paper"

    @classmethod
    def of_evaluation(cls, preset: Preset) -> Occasion:
        """A model by itself, for the main tables."""
        return cls(MODELS_STUDY, preset.name.lower().replace(" ", "-"), {})


def require_scorable(facts: CheckpointFacts, path: Path | None = None) -> Preset:
    """The preset of a checkpoint whose answers can be written as a score table.

    Args:
        facts: of the checkpoint.
        path: where it shall be written, if the name is to be checked too.

    Raises:
        UsageError: a checkpoint that does not say what it was trained on, or another name.
    """
    if facts.preset is None or "train" not in facts.splits:
        raise UsageError(
            "this checkpoint does not say what it was trained on, which a score table must; "
            "take one that `realmnet train` wrote"
        )
    if path is not None and not path.name.endswith(SUFFIX):
        raise UsageError(f"'{path.name}' is no name of a score table; end it in {SUFFIX}")
    return facts.preset


def score_model(
    model: Network,
    facts: CheckpointFacts,
    split: Split,
    logits: NDArray[np.float32],
    *,
    records: Records,
    occasion: Occasion,
) -> ScoreTable:
    """Put a model's answers to a table beside what the table and the checkpoint say.

    Args:
        model: of the checkpoint.
        facts: of the checkpoint.
        split: the rows of the table that were answered.
        logits: (N, L), of `compute_logits`.
        records: the data set, for the digest of the training table before resampling.
        occasion: why.

    Raises:
        UsageError: a checkpoint that does not say what it was trained on.
    """
    preset = require_scorable(facts)
    protocol, run = protocol_title(preset.data)
    size = measure_complexity(model, model.image)
    return score_table(
        split,
        logits,
        ScoreFacts(
            study=occasion.study,
            variant=occasion.variant,
            factors=dict(occasion.factors),
            model=model_title(preset),
            preset=preset.name
            if occasion.scale == "paper"
            else f"{preset.name} at scale {occasion.scale}",
            protocol=protocol,
            run=run,
            measured_on=measured_on(split.sources),
            image=facts.spec.size,
            upsampled=is_upsampled(split, facts.spec),
            training=TrainedOn(
                images=facts.splits["train"].images,
                epochs=facts.epochs,
                resampling=resampling_title(preset.data),
                seed=preset.fit.seed,
                train_digest=train_digest(preset, facts, records),
            ),
            operating_point=facts.operating_point,
            parameters=size.parameters,
            macs=size.macs,
            software=facts.software,
        ),
    )


def best_device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def model_title(preset: Preset) -> str:
    """The network's name in the paper; a RealMNet of another size than 21M says its size."""
    network = preset.model.network
    if network != "realmnet":
        return BASELINES[network].title
    title = "RealMNet-Max" if preset.name == _MAX_PRESET else "RealMNet"
    return title if preset.model.size == "21m" else f"{title}-{preset.model.size.upper()}"


def protocol_title(data: DataConfig) -> tuple[Protocol, str]:
    """Protocol and run; tables `train` and `val` by name are the cross-instance protocol's own."""
    run = data.protocol_run()
    if run is not None:
        # presets name no other protocol
        return cast("Protocol", data.protocol), run.name
    if (data.train, data.development) == ("train", "val"):
        return "cip", PROTOCOLS["cip"].runs[0].name
    return "", "none"


def resampling_title(data: DataConfig) -> str:
    """`none`, or method and ratio as `ml-rus 0.2`; the authors' own draw says so."""
    if data.resampling is None:
        table = data.train.partition("_")[2]
        return f"table {data.train}" if table else "none"
    method = data.resampling.method.replace("_", "-")
    return method if method == "remedial" else f"{method} {data.resampling.ratio:g}"


def measured_on(sources: Iterable[str]) -> str:
    """What pictures of these sources are; one phantom among them makes all of them phantoms."""
    names = set(sources)
    if names & _PHANTOM_SOURCES:
        return PHANTOMS
    return RELEASED if names <= set(PSMM_SOURCES) else OTHER


def is_upsampled(split: Split, spec: PreprocessSpec) -> bool:
    """Whether pictures were enlarged: by half or more of up to 16 spread over the table."""
    rows = np.linspace(0, len(split) - 1, min(_LOOKED_AT, len(split)), dtype=int)
    sides = [side for row in rows if (side := _shorter_side(split.paths[row], spec)) is not None]
    return bool(sides) and statistics.median_low(sides) < spec.size


def _shorter_side(path: Path, spec: PreprocessSpec) -> int | None:
    try:
        picture = read_image(path)
        if spec.deborder == "off":
            return int(min(picture.shape[:2]))
        left, top, right, bottom = find_field_of_view(picture).box
    except ImageRefused:
        return None
    return int(min(right - left, bottom - top))


def train_digest(preset: Preset, facts: CheckpointFacts, records: Records) -> str:
    """Digest of the training table before resampling.

    That table is not in the checkpoint, so it is chosen from the data set again and taken only if
    it resamples to what was trained on; with another data set, or where pictures were refused, the
    digest is that of the table as trained.
    """
    trained, data = facts.splits["train"].digest, preset.data
    if data.resampling is None:
        return trained
    try:
        before = _before_resampling(preset, records)
    except ConfigurationError:
        return trained
    again = resample(before, data.resampling)
    return before.digest if again.digest == trained else trained


def _before_resampling(preset: Preset, records: Records) -> Split:
    whole = msgspec.structs.replace(preset.data, resampling=None)
    return select_tables(whole, records, preset.fit.seed).train
