"""Whether a scaled decode decides as a full one does, over many pictures; resumable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import cv2
import msgspec
import numpy as np
from scipy.stats import binomtest

from realmnet_benchmarks.path.big_phantoms import camera_file
from realmnet_benchmarks.path.both_ways import BothWays, answer_both_ways
from realmnet_benchmarks.path.environment import Environment
from realmnet_benchmarks.path.journal import Journal
from realmnet_benchmarks.phantoms import PhantomCase
from realmnet_benchmarks.progress import Report
from realmnet_runtime import Predictor
from realmnet_runtime.errors import RealmnetError
from realmnet_runtime.pictures.images import read_bytes
from realmnet_runtime.signatures.trust import ANY_BUNDLE

LEAST_UNCHANGED: Final = 0.995
"""Share of the label decisions (pictures x labels) that must be alike by both decodes."""


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is compared; a journal goes on only with the same.

    Attributes:
        pictures: what they are, in words.
        count: how many.
        pictures_sha256: of the phantoms' cases, or of the files' digests.
        rows, columns: of phantoms; 0 of files.
        bundle_sha256: of the bundle.
        variant: of it.
        opencv: version.
    """

    pictures: str
    count: int
    pictures_sha256: str
    rows: int = 0
    columns: int = 0
    bundle_sha256: str = ""
    variant: str = ""
    opencv: str = cv2.__version__


class Flip(msgspec.Struct, frozen=True):
    """One label decision that the decode changed.

    Attributes:
        number: of the picture.
        label: by name.
        scaled, full: probabilities.
        threshold: between them.
    """

    number: int
    label: str
    scaled: float
    full: float
    threshold: float


class Steadiness(msgspec.Struct, frozen=True):
    """What became of the pictures.

    Attributes:
        pictures: answered both ways.
        unchanged: of them, every label decided alike.
        unchanged_share, low, high: of the pictures, with the exact 95 % interval.
        label_decisions: pictures x labels.
        share: of the label decisions, those that are alike.
        flips: label decisions that changed.
        flips_per_1000: of the label decisions, those that changed.
        refusals_changed: pictures that one decode alone refused; all their labels count as
            changed.
        gradings_changed: pictures that one decode alone calls gradable.
        largest_difference: between two probabilities.
        file_megabytes: smallest, median and largest file, 10^6 bytes.
        passed: share is at least `LEAST_UNCHANGED`.
    """

    pictures: int
    unchanged: int
    unchanged_share: float
    low: float
    high: float
    label_decisions: int
    share: float
    flips: tuple[Flip, ...]
    flips_per_1000: float
    refusals_changed: int
    gradings_changed: int
    largest_difference: float
    file_megabytes: tuple[float, float, float]
    passed: bool


class SteadinessReport(msgspec.Struct, frozen=True):
    """The figures, what they are of, and where they were taken."""

    task: Task
    environment: Environment
    found: Steadiness
    lines: list[BothWays]


Source = tuple[int, PhantomCase | Path]


def compare_decodes(
    journal: Journal[Task, BothWays],
    sources: Sequence[Source],
    *,
    bundle: Path,
    jobs: int,
    progress: Report,
) -> None:
    """Answer what the journal lacks, both ways, in processes of one thread each.

    Args:
        journal: which keeps every answer.
        sources: number, and a phantom that is drawn and discarded or a file.
        bundle: path.
        jobs: processes; each holds about 1.5 GB where it draws phantoms of a camera's size.
        progress: told of pictures.

    Raises:
        RealmnetError: as `Predictor.open`; an unreadable file; a process that ended.
    """
    there = {line.number for line in journal.lines}
    task = journal.task
    groups = list(_by_eye([source for source in sources if source[0] not in there]))
    progress(len(there), len(sources))
    for lines in _answers(groups, (str(bundle), task.variant, task.rows, task.columns), jobs):
        journal.add(lines)
        progress(len(journal.lines), len(sources))


def summarise(
    lines: Sequence[BothWays], labels: Sequence[str], thresholds: Sequence[float]
) -> Steadiness:
    """Count what changed.

    Args:
        lines: at least one.
        labels: of the bundle.
        thresholds: of the variant, in label order.
    """
    same = sum(line.unchanged for line in lines)
    interval = binomtest(same, len(lines)).proportion_ci(method="exact")
    flips = [flip for line in lines for flip in _flips(line, labels, thresholds)]
    lopsided = sum(bool(line.scaled.refused) != bool(line.full.refused) for line in lines)
    decisions = len(lines) * len(labels)
    changed = len(flips) + lopsided * len(labels)
    sizes = np.array([line.file_bytes for line in lines]) / 1e6
    return Steadiness(
        pictures=len(lines),
        unchanged=same,
        unchanged_share=same / len(lines),
        low=float(interval.low),
        high=float(interval.high),
        label_decisions=decisions,
        share=1.0 - changed / decisions,
        flips=tuple(flips),
        flips_per_1000=1000.0 * changed / decisions,
        refusals_changed=lopsided,
        gradings_changed=sum(line.scaled.gradable != line.full.gradable for line in lines),
        largest_difference=max(map(_largest_difference, lines)),
        file_megabytes=(float(sizes.min()), float(np.median(sizes)), float(sizes.max())),
        passed=changed <= (1.0 - LEAST_UNCHANGED) * decisions,
    )


def _flips(line: BothWays, labels: Sequence[str], thresholds: Sequence[float]) -> Iterator[Flip]:
    if line.scaled.refused or line.full.refused:
        return
    columns = (labels, line.scaled.probabilities, line.full.probabilities, thresholds)
    for label, scaled, full, threshold in zip(*columns, strict=True):
        if (label in line.scaled.findings) != (label in line.full.findings):
            yield Flip(line.number, label, scaled, full, threshold)


def _largest_difference(line: BothWays) -> float:
    pairs = zip(line.scaled.probabilities, line.full.probabilities, strict=False)
    return max((abs(scaled - full) for scaled, full in pairs), default=0.0)


def _by_eye(sources: Iterable[Source]) -> Iterator[list[Source]]:
    """Phantoms of one eye together, which is then painted once; files one by one."""
    groups: dict[object, list[Source]] = {}
    for number, source in sources:
        key = (source.identity, source.eye) if isinstance(source, PhantomCase) else number
        groups.setdefault(key, []).append((number, source))
    yield from groups.values()


_Model = tuple[str, str, int, int]


def _answers(groups: list[list[Source]], model: _Model, jobs: int) -> Iterator[list[BothWays]]:
    if not groups:
        return
    # "spawn": a forked OpenCV may inherit locked threads.
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_open, initargs=model)
    try:
        waiting: set[Future[list[BothWays]]] = {pool.submit(_answer, group) for group in groups}
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for answered in done:
                yield answered.result()
    except BrokenProcessPool as error:
        raise RealmnetError(
            "a process ended before it answered, for want of memory perhaps; run again to go on, "
            "with fewer --jobs"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


class _Worker:
    """What one process holds between its pictures."""

    predictor: Predictor
    size: tuple[int, int]


def _open(bundle: str, variant: str, rows: int, columns: int) -> None:
    cv2.setNumThreads(1)
    _Worker.predictor = Predictor.open(bundle, variant=variant, threads=1, trust=ANY_BUNDLE)
    _Worker.size = (rows, columns)


def _answer(group: list[Source]) -> list[BothWays]:
    return [
        answer_both_ways(_Worker.predictor, number, _file_of(source)) for number, source in group
    ]


def _file_of(source: PhantomCase | Path) -> bytes:
    if isinstance(source, PhantomCase):
        return camera_file(source, *_Worker.size)
    return read_bytes(source)
