"""Pictures without labels in place of a training table: a teacher says what they teach."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from realmnet_benchmarks.file_names import parse_file_name
from realmnet_benchmarks.records import Records
from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.pictures.images import list_images
from realmnet_training.config import DataConfig

UNLABELLED = "unlabelled"


def with_unlabelled(records: Records, folder: Path, config: DataConfig) -> Records:
    """Put a folder's pictures in place of a data set's training tables.

    Patients are read from the file names as in the released tables; a name that states none counts
    as a patient of its own.

    Args:
        records: whose other tables develop and test.
        folder: of pictures.
        config: of the preset, which names the training table.

    Returns:
        Tables with `config.train` made of the folder, all labels unknown.

    Raises:
        MissingPath: no folder, or no picture in it.
        ConfigurationError: a picture's name or patient is also in another table, or the preset
            chooses images by their labels or sources.
    """
    if config.protocol is not None or config.resampling is not None:
        raise ConfigurationError(
            "data.protocol and data.resampling choose images by sources and labels, and unlabelled "
            "pictures have none; leave both out"
        )
    partition = records[config.train].partition if config.train in records else config.train
    others = {name: table for name, table in records.splits.items() if table.partition != partition}
    split = _split_of(folder, config)
    for name, table in others.items():
        if shared := len(set(split.files) & set(table.files)):
            raise ConfigurationError(
                f"{shared} unlabelled pictures have names of table '{name}', which must not be "
                "trained on; take them out or rename them"
            )
    return Records(records.root, {config.train: split} | others)


def _split_of(folder: Path, config: DataConfig) -> Split:
    files = tuple(path.name for path in list_images(folder))
    names = [parse_file_name(file) for file in files]
    shape = (len(files), len(config.labels))
    return Split(
        name=UNLABELLED,
        images=folder,
        label_set=config.labels,
        files=files,
        labels=np.zeros(shape, np.uint8),
        patients=tuple(name.patient or f"picture {row}" for row, name in enumerate(names, 1)),
        sources=tuple(name.source for name in names),
        eyes=tuple(name.eye for name in names),
        lines=tuple(range(1, len(files) + 1)),
        known=np.zeros(shape, np.bool_),
    )
