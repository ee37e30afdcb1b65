"""The limits of quality of a release, fitted on its development pictures as the camera gave them.

What is measured of a picture needs the raw file; how its score maps lie is taken from what every
variant answered to the development table. The formulas are the runtime's, those of `realmnet
fit-gate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from realmnet_benchmarks.intake.prepared_set import READING_SPEC_FILE
from realmnet_benchmarks.progress import reporting
from realmnet_benchmarks.splits import Split
from realmnet_compression.answers import RawAnswers
from realmnet_runtime.answering.preparation import PreparedPicture, prepare_picture
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.writer import copy_bundle_with_quality
from realmnet_runtime.errors import ConfigurationError, ImageRefused, MissingPath, UsageError
from realmnet_runtime.files import sha256_of
from realmnet_runtime.pictures.preprocess import PreprocessSpec, to_tensor
from realmnet_runtime.quality import DEFAULT_LIMITS, QualityLimits
from realmnet_runtime.quality.gate import Gate
from realmnet_runtime.quality.map_distance import LEAST_PICTURES, score_map_statistics
from realmnet_runtime.quality.measured import (
    MeasuredPicture,
    MeasuredPictures,
    count_beyond,
    count_far,
    fit_gate,
)
from realmnet_runtime.signatures.trust import ANY_BUNDLE
from realmnet_training.pictures.prepared import PreparedSplit

_CURE: Final = 'or say quality = "default", which leaves the runtime\'s own limits'
_REFUSED: Final = -1


class QualityFit(msgspec.Struct, frozen=True):
    """What became of the limits of quality.

    Attributes:
        pictures: development pictures they were fitted on.
        left_out: number of those that were not, by the kind of refusal.
        limits: that were fitted.
        beyond: development pictures beyond each of them, by name and each by itself.
        beyond_default: the same of the runtime's own limits.
        most_map_distance: fitted, by variant.
        far: development pictures whose score maps lie beyond it, by variant.
    """

    pictures: int
    left_out: dict[str, int]
    limits: QualityLimits
    beyond: dict[str, int]
    beyond_default: dict[str, int]
    most_map_distance: dict[str, float]
    far: dict[str, int]

    @property
    def counts(self) -> str:
        """The pictures beyond each limit, in words."""
        counts = {**self.beyond, **{f"map distance of {name}": n for name, n in self.far.items()}}
        return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in counts.items())


def require_raw(prepared: PreparedSplit, spec: PreprocessSpec) -> None:
    """Return where limits can be fitted on a development table, as far as is known beforehand.

    Args:
        prepared: the table.
        spec: of the checkpoint.

    Raises:
        UsageError: the pictures at hand are prepared ones, or fewer than `LEAST_PICTURES`.
    """
    split = prepared.split
    if spec.deborder == "off" or (split.images.parent / READING_SPEC_FILE).is_file():
        raise UsageError(
            f"quality = \"fitted\" measures raw pictures, and those of table '{split.name}' had "
            f"their border taken away before; give the data set they were made from, {_CURE}"
        )
    if len(split) < LEAST_PICTURES:
        raise UsageError(
            f"quality = \"fitted\" needs {LEAST_PICTURES} pictures; table '{split.name}' has "
            f"{len(split)} that can be read; give a larger table, {_CURE}"
        )


def raw_digest(split: Split) -> str:
    """SHA-256 of the sorted digests of a table's image files, one a line.

    Raises:
        MissingPath: a file is gone.
    """
    digests = (
        _sha256(path, split, line) for path, line in zip(split.paths, split.lines, strict=True)
    )
    return sha256_of("".join(f"{digest}\n" for digest in sorted(digests)).encode())


def measure_development(
    split: Split,
    prepared: PreparedSplit,
    spec: PreprocessSpec,
    answers: Mapping[str, RawAnswers],
) -> MeasuredPictures:
    """Measure the raw pictures of a table, each beside what the variants answered to it.

    Args:
        split: the whole table, with the rows that were refused when it was prepared.
        prepared: the same; its rows are those of the answers.
        spec: of the checkpoint.
        answers: of each variant to the prepared pictures.

    Raises:
        MissingPath: a picture is gone.
        ConfigurationError: a picture is no longer the one that was answered.
    """
    places = {file: row for row, file in enumerate(prepared.split.files)}
    measured, gate = MeasuredPictures(), Gate(None, "")
    files = zip(split.files, split.paths, split.lines, strict=True)
    with reporting(f"{split.name}: raw pictures measured") as report:
        for done, (file, path, line) in enumerate(files, start=1):
            row = places.get(file, _REFUSED)
            try:
                picture = prepare_picture(path, spec, gate)
            except MissingPath as error:
                raise _gone(split, line) from error
            except ImageRefused as error:
                _require_same(row == _REFUSED, split, line)
                measured.leave_out(error)
            else:
                _require_same(_is_prepared_as(picture, prepared, row, spec), split, line)
                measured.add(_measured(picture, answers, row))
            report(done, len(split))
    return measured


def write_with_quality(made: Path, out: Path, pictures: MeasuredPictures) -> QualityFit:
    """Write a bundle without limits again, with those fitted on these pictures.

    Args:
        made: the bundle, all of whose variants answered the pictures.
        out: bundle to write; another name.
        pictures: of `measure_development`.

    Raises:
        UsageError: too few pictures are left, or too many were left out.
        OutputError: the bundle cannot be written.
    """
    with Bundle.open(made, trust=ANY_BUNDLE) as bundle:
        variants = [variant.name for variant in bundle.manifest.variants]
        gate = fit_gate(pictures, bundle_sha256=bundle.digest, variants=variants)
        copy_bundle_with_quality(bundle, out, gate)
    return QualityFit(
        pictures=gate.fitted_on.pictures,
        left_out=gate.fitted_on.left_out,
        limits=gate.limits,
        beyond=count_beyond(pictures, gate.limits),
        beyond_default=count_beyond(pictures, DEFAULT_LIMITS),
        most_map_distance={table.variant: table.most_distance for table in gate.score_maps},
        far={table.variant: count_far(pictures, table) for table in gate.score_maps},
    )


def _measured(
    picture: PreparedPicture, answers: Mapping[str, RawAnswers], row: int
) -> MeasuredPicture:
    return MeasuredPicture(
        sha256=picture.sha256,
        measures=picture.quality.measures,
        statistics={
            name: score_map_statistics(found.score_maps[row]) for name, found in answers.items()
        },
    )


def _is_prepared_as(
    picture: PreparedPicture, prepared: PreparedSplit, row: int, spec: PreprocessSpec
) -> bool:
    if row == _REFUSED:
        return False
    return np.array_equal(picture.tensor, to_tensor(prepared.pictures[row], spec))


def _require_same(same: bool, split: Split, line: int) -> None:
    if not same:
        raise ConfigurationError(
            f"table '{split.name}', line {line}: its picture is not the one that the variants "
            "answered; run again with the pictures as they are to be"
        )


def _gone(split: Split, line: int) -> MissingPath:
    return MissingPath(
        f"table '{split.name}', line {line}: its picture is gone; complete the folder, {_CURE}"
    )


def _sha256(path: Path, split: Split, line: int) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise _gone(split, line) from error
