"""`realmnet data check`: everything that is wrong with a data set, without naming anyone.

Errors are what `read_psmm` refuses and no training may pass over: faults of tables, patients in
two partitions, images that are missing. Unreadable images, duplicates across patients or
partitions, and labels that never occur are told beside them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmnet_benchmarks.file_names import UNKNOWN_SOURCE, parse_file_name
from realmnet_benchmarks.intake.data_report import (
    Counts,
    DataReport,
    Duplicates,
    Refusal,
    TableCounts,
)
from realmnet_benchmarks.intake.likeness import THUMBNAIL, near_pairs, perceptual_hash
from realmnet_benchmarks.intake.reading import Entry, Intake, Place, in_order
from realmnet_benchmarks.progress import Report
from realmnet_benchmarks.records import shared_patients
from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ImageRefused, MissingPath
from realmnet_runtime.labels import LabelSet
from realmnet_runtime.pictures.images import SUFFIXES, decode_image


@dataclass(frozen=True, eq=False, repr=False)
class _Picture:
    sha256: str
    shorter_side: int
    look: NDArray[np.bool_]


def check_data(intake: Intake, workers: int = 1, progress: Report | None = None) -> DataReport:
    """Read every image of a data set and report all that is wrong with it.

    Args:
        intake: the tables.
        workers: threads that decode.
        progress: called with (images done, images in all).
    """
    entries = intake.entries()
    present = intake.names()
    there = [entry for entry in entries if entry.file in present]
    pictures, reasons = _pictures(intake.images, there, workers, progress)
    groups = _by_content(there, pictures)
    equal, repeats = _equal(groups)
    sides = [picture.shorter_side for picture in pictures.values()]
    return DataReport(
        images=len({entry.file for entry in entries}),
        tables={name: _table(split) for name, split in intake.splits.items()},
        absent_label_sets=_absent_label_sets(intake),
        contradictions=_contradictions(intake),
        faults=(*intake.faults, *_folder_faults(intake, present)),
        shared_patients=tuple(
            (Place(one.name, line), Place(other.name, other_line))
            for (one, line), (other, other_line) in shared_patients(intake.splits)
        ),
        other_names=tuple(entry.place for entry in entries if _named_for_another(entry)),
        missing=tuple(entry.place for entry in entries if entry.file not in present),
        unreadable=tuple(
            Refusal(entry.place, reasons[entry.file]) for entry in there if entry.file in reasons
        ),
        unnamed=sum(_looks_like_a_picture(name) for name in present - {e.file for e in entries}),
        shorter_side_px=(min(sides), int(np.median(sides)), max(sides)) if sides else None,
        equal=equal,
        alike=_alike(groups, pictures),
        repeats=repeats,
    )


def _folder_faults(intake: Intake, present: set[str]) -> list[str]:
    if present:
        return []
    return [f"{intake.images} holds no image; put the pictures of the data set there"]


def _looks_like_a_picture(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def _pictures(
    images: Path, entries: Sequence[Entry], workers: int, progress: Report | None
) -> tuple[dict[str, _Picture], dict[str, str]]:
    """Each file's picture, or the reason why it has none."""
    files = list(dict.fromkeys(entry.file for entry in entries))
    pictures: dict[str, _Picture] = {}
    reasons: dict[str, str] = {}
    answers = in_order(lambda file: _picture(images / file), files, workers)
    for done, (file, answer) in enumerate(zip(files, answers, strict=True), start=1):
        if isinstance(answer, _Picture):
            pictures[file] = answer
        else:
            reasons[file] = answer
        if progress is not None:
            progress(done, len(files))
    return pictures, reasons


def _picture(path: Path) -> _Picture | str:
    try:
        # A thumbnail is enough here, and every byte of the file is read for it all the same.
        decoded = decode_image(path, model_size=THUMBNAIL)
    except MissingPath:
        return "not a file; put the picture there"
    except ImageRefused as error:
        return str(error)
    return _Picture(decoded.sha256, min(decoded.original_size), perceptual_hash(decoded.pixels))


def _by_content(entries: Sequence[Entry], pictures: Mapping[str, _Picture]) -> list[list[Entry]]:
    """The readable images, those of equal files together."""
    groups: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.file in pictures:
            groups[pictures[entry.file].sha256].append(entry)
    return list(groups.values())


def _equal(groups: Sequence[Sequence[Entry]]) -> tuple[tuple[Duplicates, ...], int]:
    found = [_duplicates(group) for group in groups if len(group) > 1]
    within = sum(len(one.places) - 1 for one in found if not _crosses(one))
    return tuple(filter(_crosses, found)), within


def _alike(
    groups: Sequence[Sequence[Entry]], pictures: Mapping[str, _Picture]
) -> tuple[Duplicates, ...]:
    if not groups:
        return ()
    looks = np.array([pictures[group[0].file].look for group in groups])
    pairs = (_duplicates([*groups[i], *groups[j]], bits) for i, j, bits in near_pairs(looks))
    return tuple(sorted(filter(_crosses, pairs), key=lambda pair: pair.places))


def _crosses(duplicates: Duplicates) -> bool:
    return duplicates.patients > 1 or duplicates.partitions > 1


def _duplicates(entries: Sequence[Entry], bits: int = 0) -> Duplicates:
    return Duplicates(
        places=tuple(entry.place for entry in entries),
        patients=len({entry.patient for entry in entries}),
        partitions=len({entry.partition for entry in entries}),
        bits=bits,
    )


def _named_for_another(entry: Entry) -> bool:
    """Names that give no source follow no scheme, and then say nothing about the patient."""
    name = parse_file_name(entry.file)
    return name.source != UNKNOWN_SOURCE and name.patient != entry.patient


def _table(split: Split) -> TableCounts:
    rows = np.arange(len(split))
    sources = np.array(split.sources)
    counts = _counts(split, rows)
    return TableCounts(
        counts=counts,
        sources={
            source: _counts(split, np.flatnonzero(sources == source))
            for source in sorted(set(split.sources))
        },
        absent_labels=tuple(name for name, images in counts.positives.items() if not images),
        left_out=len(split.left_out),
    )


def _counts(split: Split, rows: NDArray[np.intp]) -> Counts:
    exams = Counter(split.exams[row] for row in rows)
    undated = exams.pop(None, 0)
    return Counts(
        images=len(rows),
        patients=len({split.patients[row] for row in rows}),
        eyes=len({(split.patients[row], split.eyes[row]) for row in rows}),
        exams=len(exams),
        undated=undated,
        positives=dict(
            zip(split.label_set.names, split.labels[rows].sum(axis=0).tolist(), strict=True)
        ),
        unknown={
            name: images
            for name, images in zip(
                split.label_set.names, (~split.known[rows]).sum(axis=0).tolist(), strict=True
            )
            if images
        },
    )


def _absent_label_sets(intake: Intake) -> tuple[tuple[str, ...], ...]:
    groups = intake.label_set.exclusive_groups
    if sum(map(len, groups)) != len(intake.label_set):
        # Labels that may co-occur freely have no list of combinations to miss.
        return ()
    occurring = {tuple(row) for split in intake.splits.values() for row in split.labels.tolist()}
    names = intake.label_set.names
    return tuple(
        choice
        for choice in product(*groups)
        if tuple(int(name in choice) for name in names) not in occurring
    )


def _contradictions(intake: Intake) -> tuple[Place, ...]:
    found = []
    for split in intake.splits.values():
        for group in _columns(intake.label_set):
            rows = np.flatnonzero(split.labels[:, group].sum(axis=1) != 1)
            found += [Place(split.name, split.lines[row]) for row in rows]
    return tuple(sorted(set(found)))


def _columns(label_set: LabelSet) -> list[list[int]]:
    return [[label_set.index(name) for name in group] for group in label_set.exclusive_groups]
