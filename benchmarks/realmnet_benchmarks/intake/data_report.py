"""What `realmnet data check` found, as data; images are named by table and line."""

from __future__ import annotations

import msgspec

from realmnet_benchmarks.intake.reading import Place
from realmnet_runtime.errors import ConfigurationError, ImageRefused


class Counts(msgspec.Struct, frozen=True):
    """How much one table, or one source in it, holds.

    Attributes:
        images: rows.
        patients: different patients.
        eyes: different eyes; a patient's unstated eyes count as one.
        exams: different examinations among the dated images.
        undated: images whose examination is unknown.
        positives: images with each label, by the label's name.
        unknown: images of which a label is not known, by the label's name; only such labels.
    """

    images: int
    patients: int
    eyes: int
    exams: int
    undated: int
    positives: dict[str, int]
    unknown: dict[str, int] = {}


class TableCounts(msgspec.Struct, frozen=True):
    """Counts of one table, of each of its sources, and what it lacks.

    Attributes:
        counts: of the table.
        sources: of each source in it.
        absent_labels: labels without an image.
        left_out: rows left out because a label is unknown.
    """

    counts: Counts
    sources: dict[str, Counts]
    absent_labels: tuple[str, ...]
    left_out: int


class Refusal(msgspec.Struct, frozen=True):
    """An image that cannot be read, and why."""

    place: Place
    reason: str


class Duplicates(msgspec.Struct, frozen=True):
    """Equal pictures, or two that look alike, which differ in patient or partition.

    Attributes:
        places: a row of each.
        patients: how many patients they are said to be of.
        partitions: in how many partitions they are.
        bits: in how many of 256 bits their perceptual hashes differ; 0 for equal files.
    """

    places: tuple[Place, ...]
    patients: int
    partitions: int
    bits: int = 0


class DataReport(msgspec.Struct, frozen=True):
    """What `realmnet data check` found.

    Attributes:
        images: image files that the tables name.
        tables: counts by table.
        absent_label_sets: combinations of labels that the exclusive groups allow and no row has.
        contradictions: rows with none or several labels of an exclusive group.
        faults: of tables.
        shared_patients: a row of each patient who is in two partitions, and one in the other.
        other_names: rows whose file name begins with another patient than the table gives.
        missing: images that are not in the folder.
        unreadable: images that are no whole picture of a kind that is read.
        unnamed: files in the folder that no table names.
        shorter_side_px: least, median and greatest shorter side; None without a readable image.
        equal: groups of equal files across patients or partitions.
        alike: pairs of different files that look alike across patients or partitions.
        repeats: further copies of a file within one patient and partition.
    """

    images: int
    tables: dict[str, TableCounts]
    absent_label_sets: tuple[tuple[str, ...], ...]
    contradictions: tuple[Place, ...]
    faults: tuple[str, ...]
    shared_patients: tuple[tuple[Place, Place], ...]
    other_names: tuple[Place, ...]
    missing: tuple[Place, ...]
    unreadable: tuple[Refusal, ...]
    unnamed: int
    shorter_side_px: tuple[int, int, int] | None
    equal: tuple[Duplicates, ...]
    alike: tuple[Duplicates, ...]
    repeats: int

    @property
    def errors(self) -> int:
        """Faults that make the data set unusable as it is."""
        return len(self.faults) + len(self.shared_patients) + len(self.missing)

    @property
    def exit_code(self) -> int:
        """2 with an error, 7 with unreadable images, else 0."""
        if self.errors:
            return ConfigurationError.exit_code
        return ImageRefused.exit_code if self.unreadable else 0
