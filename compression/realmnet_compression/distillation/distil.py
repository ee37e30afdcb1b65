"""Distillation of a preset: from a teacher or its stored answers; and storing them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from realmnet_benchmarks.records import Records, read_psmm
from realmnet_benchmarks.splits import Split
from realmnet_compression.distillation.settings import DistilSettings
from realmnet_compression.distillation.soft_labels import SoftLabelFacts, SoftLabels
from realmnet_compression.distillation.store import store_soft_labels
from realmnet_compression.distillation.supervision import ReplaySupervision, TeacherSupervision
from realmnet_compression.distillation.teacher import Teacher
from realmnet_compression.distillation.unlabelled import with_unlabelled
from realmnet_runtime.errors import ConfigurationError
from realmnet_training.config import Preset
from realmnet_training.data.selection import select_tables, tables_that_hold
from realmnet_training.fit import train_preset
from realmnet_training.fitting.supervision import Supervision
from realmnet_training.pictures.prepared import choose_prepared, prepare_split


@dataclass(frozen=True)
class Pictures:
    """Where the pictures are.

    Attributes:
        data: root of the data set.
        unlabelled: folder of pictures in place of the training table; None takes the table.
        cache: folder of prepared pictures; the run's own, or a temporary one, where None.
    """

    data: Path
    unlabelled: Path | None = None
    cache: Path | None = None

    def read(self, preset: Preset) -> Records:
        """The tables; errors as `read_psmm` and `with_unlabelled`."""
        records = read_psmm(self.data, preset.data.labels, preset.data.unknown_labels)
        if self.unlabelled is None:
            return records
        return with_unlabelled(records, self.unlabelled, preset.data)


def distil(
    preset: Preset,
    pictures: Pictures,
    out: Path,
    source: Teacher | SoftLabels,
    settings: DistilSettings,
    *,
    resume: bool = False,
) -> Path:
    """Train a preset's network from a teacher's answers.

    Args:
        preset: of the student.
        pictures: where they are; of unlabelled ones `settings.truth` is 0.
        out: folder of the run; `supervision.json` and the checkpoint name teacher and settings.
        source: a teacher that answers every batch, or the answers it gave before to this very
            training, with which it need not be there.
        settings: weights and temperature.
        resume: continue the run in `out`.

    Returns:
        Path of the checkpoint.

    Raises:
        UsageError, ConfigurationError, MissingPath, OutputError: as `train_preset`; settings that
            ask for what the source or the pictures have not; soft labels of another preset or
            data set.
    """
    if pictures.unlabelled is not None and settings.truth > 0.0:
        raise ConfigurationError(
            f"unlabelled pictures have no truth and it has weight {settings.truth}; give --truth 0"
        )
    settings.require_stages(len(preset.fit.stages))
    records = pictures.read(preset)
    supervision: Supervision
    if isinstance(source, Teacher):
        source.require_pictures_of(preset.preprocess)
        supervision = TeacherSupervision(source, settings)
    else:
        supervision = ReplaySupervision(source, settings, preset, _table(preset, records))
    return train_preset(
        preset, records, out, resume=resume, cache=pictures.cache, supervision=supervision
    )


def store(
    preset: Preset,
    pictures: Pictures,
    path: Path,
    teacher: Teacher,
    settings: DistilSettings,
    *,
    keep: int | None = None,
) -> SoftLabelFacts:
    """Write the teacher's answers to all that a preset will see, for any number of replays.

    Args:
        preset: whose pictures are answered; students that differ in their network share the file.
        pictures: where they are.
        path: file to write.
        teacher: of the preset's labels.
        settings: `temperature` and `from_stage` are noted in the file.
        keep: answers kept of each picture; None keeps all.

    Returns:
        What the file says of itself.

    Raises:
        UsageError, ConfigurationError, MissingPath, OutputError: of the data, the file, or more
            answers to keep than labels.
    """
    records = pictures.read(preset)
    table = _table(preset, records)
    workers = max(1, preset.fit.workers, preset.fit.threads)
    with tempfile.TemporaryDirectory(prefix="realmnet-") as temporary:
        whole = [
            prepare_split(each, preset.preprocess, pictures.cache or Path(temporary), workers)
            for each in tables_that_hold(records, [table])
        ]
        prepared = choose_prepared(table, whole)
        return store_soft_labels(preset, table, prepared, teacher, path, settings, keep)


def _table(preset: Preset, records: Records) -> Split:
    return select_tables(preset.data, records, preset.fit.seed).train
