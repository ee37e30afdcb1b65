"""One model's answers to one test table: what every report is made of.

Logits are kept, not probabilities: from them come both the paper's figures, sigmoid(logit) at the
threshold 0.5, and those of the operating point, sigmoid(logit / temperature) at fitted thresholds.
Patients, eyes and exams are numbers; a file holds no identifier. The order of the rows is that of
the table, so whoever has the table can find the images again and nobody else can.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from realmnet_benchmarks.metrics import Floats
from realmnet_benchmarks.score_facts import SCHEMA, ScoreFacts, TableFacts
from realmnet_benchmarks.splits import Split
from realmnet_benchmarks.units import Level, Units, Unstated
from realmnet_runtime.answering.decision import sigmoid
from realmnet_runtime.errors import (
    ConfigurationError,
    IncompatibleError,
    IntegrityError,
    MissingPath,
    UsageError,
)
from realmnet_runtime.files import write_atomically
from realmnet_runtime.structs import decode_json

SUFFIX: Final = ".scores.npz"
EYES: Final = ("OD", "OS")

_ARRAYS: Final = {
    "logits": np.float32,
    "labels": np.uint8,
    "patients": np.int32,
    "eyes": np.int8,
    "exams": np.int32,
    "sources": np.int16,
}
_TEXTS: Final = ("facts", "test")
_LARGEST_BYTES: Final = 1 << 30
_DAMAGED: Final = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    SyntaxError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, eq=False, repr=False)
class ScoreTable:
    """Logits of every image of a table, with labels and groupings.

    Attributes:
        facts: whose answers.
        test: to which table.
        logits: (N, L) float32, finite, before any temperature.
        labels: (N, L) uint8, 0 or 1.
        patients: (N,) int32, number of each image's patient, 0..P-1 without gaps.
        eyes: (N,) int8, 0 OD, 1 OS, -1 unknown.
        exams: (N,) int32, number of each image's examination, -1 unknown.
        sources: (N,) int16, index into `test.sources`.
    """

    facts: ScoreFacts
    test: TableFacts
    logits: NDArray[np.float32]
    labels: NDArray[np.uint8]
    patients: NDArray[np.int32]
    eyes: NDArray[np.int8]
    exams: NDArray[np.int32]
    sources: NDArray[np.int16]

    def __post_init__(self) -> None:
        count = len(self.logits) if self.logits.ndim else 0
        for name, dtype in _ARRAYS.items():
            array: NDArray[Any] = getattr(self, name)
            wide = name in {"logits", "labels"}
            shape = (count, len(self.test.labels)) if wide else (count,)
            if not count or array.shape != shape or array.dtype != dtype:
                raise ConfigurationError(
                    f"scores have {name} {array.shape} of {array.dtype}; expected {shape} of "
                    f"{np.dtype(dtype)} with an image or more"
                )
            array = array.copy()
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        self._check_values()
        self._check_operating_point()

    def _check_values(self) -> None:
        last = int(self.patients.max())
        faults = {
            "logits that are not finite": not np.isfinite(self.logits).all(),
            "labels other than 0 and 1": bool((self.labels > 1).any()),
            "patients not numbered from 0 without gaps": not np.array_equal(
                np.unique(self.patients), np.arange(last + 1)
            ),
            "eyes other than 0, 1 and -1": not np.isin(self.eyes, (-1, 0, 1)).all(),
            "exams below -1": bool((self.exams < -1).any()),
            "sources outside the list of names": not np.isin(
                self.sources, np.arange(len(self.test.sources))
            ).all(),
        }
        for fault, found in faults.items():
            if found:
                raise ConfigurationError(f"scores of '{self.test.name}' have {fault}")

    def _check_operating_point(self) -> None:
        point = self.facts.operating_point
        if point is None:
            return
        for kind, values in (
            ("temperatures", point.temperatures),
            ("thresholds", point.thresholds),
        ):
            if set(values) != set(self.test.labels):
                raise ConfigurationError(
                    f"operating point has {kind} of {', '.join(values)}; expected one of each of "
                    f"{', '.join(self.test.labels)}"
                )

    def __len__(self) -> int:
        return len(self.logits)

    def __repr__(self) -> str:
        return (
            f"ScoreTable({self.facts.model!r}, {self.facts.variant!r}, {self.test.name!r}, "
            f"{len(self)} images, measured on {self.facts.measured_on})"
        )

    @property
    def probabilities(self) -> Floats:
        """(N, L) float64, sigmoid(logit): what the paper measures."""
        return sigmoid(self.logits)

    @property
    def calibrated(self) -> Floats | None:
        """(N, L) float64, sigmoid(logit / temperature); None without an operating point."""
        point = self.facts.operating_point
        if point is None:
            return None
        temperatures = np.array([point.temperatures[name] for name in self.test.labels])
        return sigmoid(self.logits / temperatures)

    @property
    def thresholds(self) -> Floats | None:
        """(L,) of the operating point, or None."""
        point = self.facts.operating_point
        if point is None:
            return None
        return np.array([point.thresholds[name] for name in self.test.labels])

    def units(self, level: Level, *, unstated: Unstated = "leave_out") -> Units:
        """What counts as one case; arguments and errors as `Units.of`."""
        return Units.of(
            level,
            self.patients.tolist(),
            [None if eye < 0 else EYES[eye] for eye in self.eyes],
            [None if exam < 0 else int(exam) for exam in self.exams],
            unstated=unstated,
        )

    def answers_the_same_images(self, other: ScoreTable) -> bool:
        """Whether both answer one table row by row, so that they can be compared in pairs."""
        return (
            self.test.digest == other.test.digest
            and np.array_equal(self.labels, other.labels)
            and np.array_equal(self.patients, other.patients)
        )


def score_table(split: Split, logits: NDArray[np.floating], facts: ScoreFacts) -> ScoreTable:
    """Put a model's logits beside the labels and groupings of the table it answered.

    Args:
        split: the table, in the order of the logits. Identifiers become numbers in the order of
            their first row.
        logits: (N, L), before temperature; kept as float32.
        facts: whose answers.

    Raises:
        ConfigurationError: as `ScoreTable`: another shape, or a value that is not finite; or a
            table with unknown labels.
    """
    if not split.known.all():
        raise ConfigurationError(
            f"split '{split.name}' has {int((~split.known).sum())} unknown labels; a score table "
            "holds 0 and 1 only: take the images of which every label is known"
        )
    test = TableFacts.of(split)
    visits = [
        None if exam is None else (patient, exam)
        for patient, exam in zip(split.patients, split.exams, strict=True)
    ]
    eyes = [-1 if eye is None else EYES.index(eye) for eye in split.eyes]
    return ScoreTable(
        facts=facts,
        test=test,
        logits=np.asarray(logits, dtype=np.float32),
        labels=split.labels,
        patients=_numbered(split.patients),
        eyes=np.array(eyes, dtype=np.int8),
        exams=_numbered(visits),
        sources=np.array([test.sources.index(name) for name in split.sources], dtype=np.int16),
    )


def save_scores(table: ScoreTable, path: Path) -> None:
    """Write a table whole or not at all; the same table gives the same bytes.

    Raises:
        UsageError: a name that does not end in `.scores.npz`.
        OutputError: the file cannot be written.
    """
    if not path.name.endswith(SUFFIX):
        raise UsageError(f"'{path.name}' is no name of a score table; end it in {SUFFIX}")
    content: dict[str, Any] = {
        name: np.frombuffer(msgspec.json.encode(getattr(table, name), order="sorted"), np.uint8)
        for name in _TEXTS
    }
    content |= {name: getattr(table, name) for name in _ARRAYS}
    held = io.BytesIO()
    np.savez_compressed(held, **content)
    write_atomically(path, held.getvalue())


def read_scores(path: Path) -> ScoreTable:
    """Read a file of `save_scores`; nothing in it is executed.

    Raises:
        MissingPath: no such file.
        IntegrityError: damaged, not a score table, or arrays that contradict each other.
        IncompatibleError: written by a release with another form of the file.
        ConfigurationError: facts with an unknown key or an impossible value.
    """
    if not path.is_file():
        raise MissingPath(f"no score table '{path}'; give a file that ends in {SUFFIX}")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _LARGEST_BYTES:
            raise IntegrityError(f"'{path}' unpacks to {size:,} bytes; no score table is so large")
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in (*_TEXTS, *_ARRAYS)}
            texts = {name: found.pop(name).astype(np.uint8).tobytes() for name in _TEXTS}
        schema = msgspec.json.decode(texts["facts"], type=_Schema).schema
    except _DAMAGED as error:
        raise IntegrityError(
            f"'{path}' is damaged or no score table ({type(error).__name__}); write it again"
        ) from error
    if schema != SCHEMA:
        raise IncompatibleError(
            f"'{path}' has form {schema} of score tables; this release reads {SCHEMA}; use the "
            "release that wrote it or write it again"
        )
    facts = decode_json(texts["facts"], ScoreFacts, f"facts of '{path}'")
    test = decode_json(texts["test"], TableFacts, f"table of '{path}'")
    try:
        return ScoreTable(facts=facts, test=test, **found)
    except ConfigurationError as error:
        raise IntegrityError(f"'{path}' contradicts itself: {error}") from error


class _Schema(msgspec.Struct):
    """The one field that is read before all others."""

    schema: int


def _numbered(keys: Sequence[Hashable | None]) -> NDArray[np.int32]:
    """Numbers in order of first appearance; -1 for None."""
    numbers: dict[Hashable, int] = {}
    return np.array(
        [-1 if key is None else numbers.setdefault(key, len(numbers)) for key in keys],
        dtype=np.int32,
    )
