"""One table of images in memory: labels, patients, sources, eyes and examinations.

File names and identifiers are personal data. `repr` gives counts only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmnet_benchmarks.file_names import Eye
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import LabelSet

Labels = NDArray[np.uint8]
Known = NDArray[np.bool_]


@dataclass(frozen=True, repr=False)
class Split:
    """One table: its images, their labels and whose they are.

    Attributes:
        name: `train`, `train_mlrus-20`, `val`, `test`, or the stem of another table.
        images: folder of the image files.
        label_set: meaning of the label columns.
        files: (N,) file names, each once.
        labels: (N, L) uint8, 0 or 1, read-only; 0 where the label is unknown, so that sums count
            images that are known to have it.
        patients: (N,) patient identifiers.
        sources: (N,) source of each image: the identifier up to its first `-`, else `unknown`.
        eyes: (N,) `OD` or `OS` where the file name states one, else None.
        exams: (N,) opaque key that pictures of one examination share, None where it is unknown;
            left empty, all are unknown.
        lines: (N,) line of each row in the table it was read from, for messages; left empty, the
            rows follow the header without a gap.
        left_out: lines that are no rows here because a label of theirs is unknown.
        known: (N, L) bool, read-only, False where nobody has said whether the image has the label;
            left empty, all are known.
    """

    name: str
    images: Path
    label_set: LabelSet
    files: tuple[str, ...]
    labels: Labels
    patients: tuple[str, ...]
    sources: tuple[str, ...]
    eyes: tuple[Eye | None, ...]
    exams: tuple[str | None, ...] = ()
    lines: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    known: Known = field(default_factory=lambda: np.ones((0, 0), dtype=np.bool_))

    def __post_init__(self) -> None:
        count = len(self.files)
        object.__setattr__(self, "exams", self.exams or (None,) * count)
        object.__setattr__(self, "lines", self.lines or tuple(range(2, count + 2)))
        columns = (self.patients, self.sources, self.eyes, self.exams, self.lines)
        lengths = {len(column) for column in columns}
        if lengths != {count} or self.labels.shape != (count, len(self.label_set)):
            raise ConfigurationError(
                f"split '{self.name}' has {count} files, labels {self.labels.shape} and "
                f"{sorted(lengths)} patients, sources, eyes, exams and lines; all need one row per "
                "image"
            )
        if self.labels.dtype != np.uint8 or not np.isin(self.labels, (0, 1)).all():
            raise ConfigurationError(
                f"split '{self.name}' has labels that are not 0 or 1 as uint8; clean the table"
            )
        known = self.known
        if known.shape == (0, 0):
            known = np.ones(self.labels.shape, dtype=np.bool_)
        if known.shape != self.labels.shape or known.dtype != np.bool_:
            raise ConfigurationError(
                f"split '{self.name}' has labels {self.labels.shape} and known {known.shape} of "
                f"{known.dtype}; give one bool for each label of each image"
            )
        if self.labels[~known].any():
            raise ConfigurationError(
                f"split '{self.name}' has unknown labels that are 1; an unknown label is held as 0"
            )
        for name, values in (("labels", self.labels.copy()), ("known", known.copy())):
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        less = f", {len(self.left_out)} rows left out" if self.left_out else ""
        unknown = int((~self.known).sum())
        less += f", {unknown} labels unknown" if unknown else ""
        return (
            f"Split({self.name!r}, {len(self)} images of {len(set(self.patients))} patients from "
            f"{len(set(self.sources))} sources, labels {self.label_set.name!r}{less})"
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
        """(L,) number of eyes known to have each label; a patient's unstated eyes count as one."""
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
        # An unknown label is written as "?", so that tables without any keep their digest.
        cells = np.where(self.known, self.labels.astype(np.str_), "?").tolist()
        rows = sorted(
            f"{file}\t{patient}\t{''.join(row)}"
            for file, patient, row in zip(self.files, self.patients, cells, strict=True)
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
            exams=tuple(self.exams[i] for i in rows),
            lines=tuple(self.lines[i] for i in rows),
            left_out=self.left_out,
            known=self.known[rows],
        )
