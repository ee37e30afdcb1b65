"""One table of images in memory: labels, patients, sources and eyes.

File names and identifiers are personal data. `repr` gives counts only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import LabelSet

Eye = Literal["OD", "OS"]
Labels = NDArray[np.uint8]

UNKNOWN_SOURCE: Final = "unknown"

_EYE: Final = re.compile(r"(?:^|[_@-])(?P<eye>OD|OS|OU|L|R)\d*(?=[_.]|$)")
_EYES: Final[dict[str, Eye]] = {"OD": "OD", "R": "OD", "OS": "OS", "L": "OS"}


@dataclass(frozen=True, repr=False)
class Split:
    """One table: its images, their labels and whose they are.

    Attributes:
        name: `train`, `train_mlrus-20`, `val`, `test`, or the stem of another table.
        images: folder of the image files.
        label_set: meaning of the label columns.
        files: (N,) file names, each once.
        labels: (N, L) uint8, 0 or 1, read-only.
        patients: (N,) patient identifiers.
        sources: (N,) source of each image: the identifier up to its first `-`, else `unknown`.
        eyes: (N,) `OD` or `OS` where the file name states one, else None.
    """

    name: str
    images: Path
    label_set: LabelSet
    files: tuple[str, ...]
    labels: Labels
    patients: tuple[str, ...]
    sources: tuple[str, ...]
    eyes: tuple[Eye | None, ...]

    def __post_init__(self) -> None:
        count = len(self.files)
        lengths = {len(self.patients), len(self.sources), len(self.eyes)}
        if lengths != {count} or self.labels.shape != (count, len(self.label_set)):
            raise ConfigurationError(
                f"split '{self.name}' has {count} files, labels {self.labels.shape} and "
                f"{sorted(lengths)} patients, sources and eyes; all need one row per image"
            )
        if self.labels.dtype != np.uint8 or not np.isin(self.labels, (0, 1)).all():
            raise ConfigurationError(
                f"split '{self.name}' has labels that are not 0 or 1 as uint8; clean the table"
            )
        labels = self.labels.copy()
        labels.flags.writeable = False
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return (
            f"Split({self.name!r}, {len(self)} images of {len(set(self.patients))} patients from "
            f"{len(set(self.sources))} sources, labels {self.label_set.name!r})"
        )

    @property
    def paths(self) -> tuple[Path, ...]:
        """(N,) paths of the image files."""
        return tuple(self.images / file for file in self.files)

    @property
    def patient_index(self) -> NDArray[np.intp]:
        """(N,) number of each image's patient, 0..P-1; the unit of resampling."""
        return np.unique(np.asarray(self.patients, dtype=np.str_), return_inverse=True)[1]

    @property
    def positive_eyes(self) -> NDArray[np.int64]:
        """(L,) number of eyes with each label; a patient's unstated eyes count as one."""
        keys = list(zip(self.patients, self.eyes, strict=True))
        return np.array(
            [
                len({keys[row] for row in np.flatnonzero(column)})
                for column in self.labels.T.astype(bool)
            ],
            dtype=np.int64,
        )

    @property
    def partition(self) -> str:
        """Name up to its first `_`: a table `train_x` is a choice from `train`, not another set."""
        return self.name.split("_", 1)[0]

    @property
    def digest(self) -> str:
        """SHA-256 of label columns, file names, patients and labels; row order does not matter."""
        rows = sorted(
            f"{file}\t{patient}\t{''.join(map(str, row))}"
            for file, patient, row in zip(
                self.files, self.patients, self.labels.tolist(), strict=True
            )
        )
        text = "\n".join(["\t".join(self.label_set.codes), *rows])
        return hashlib.sha256(text.encode()).hexdigest()

    def select(self, indices: Iterable[int] | NDArray[np.integer]) -> Split:
        """The split with these rows only, in this order; repeats are allowed (over-sampling)."""
        rows = np.asarray(list(indices), dtype=np.intp)
        return Split(
            name=self.name,
            images=self.images,
            label_set=self.label_set,
            files=tuple(self.files[i] for i in rows),
            labels=self.labels[rows],
            patients=tuple(self.patients[i] for i in rows),
            sources=tuple(self.sources[i] for i in rows),
            eyes=tuple(self.eyes[i] for i in rows),
        )


def source_of(patient: str) -> str:
    """Where a patient comes from: the identifier up to its first `-`, else `unknown`."""
    source, dash, _ = patient.partition("-")
    return source if dash and source else UNKNOWN_SOURCE


def eye_of(file: str) -> Eye | None:
    """The eye a file name states by OD, OS, L or R after the patient; None where it does not.

    `OU` (both eyes) and a name with two different eyes state none.
    """
    _, _, rest = file.partition("_")
    stated: set[Eye | None] = {_EYES.get(match["eye"]) for match in _EYE.finditer(rest)}
    return stated.pop() if len(stated) == 1 else None
