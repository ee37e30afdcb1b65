"""From a checkpoint to a released bundle, or to a refusal that says why."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from realmnet_benchmarks.records import Records, read_psmm
from realmnet_compression.export_onnx import export_onnx
from realmnet_compression.parity import Parity
from realmnet_compression.quantisation.calibration import (
    InputTensors,
    require_development,
)
from realmnet_compression.quantisation.quantise import QuantiseReport, quantise
from realmnet_compression.quantisation.quantiser_pictures import quantiser_pictures
from realmnet_compression.recipe import Recipe
from realmnet_compression.releasing.bundle_facts import (
    MODEL_FILE,
    describe_model,
    describe_provenance,
    describe_variant,
    prove,
)
from realmnet_compression.releasing.golden import make_golden
from realmnet_compression.releasing.matched_point import fit_points
from realmnet_compression.releasing.measured import (
    REFERENCE,
    Files,
    TableAnswers,
    answer_all,
    compare_all,
    evidence_of,
    measure_answers,
    require_limits,
    require_reference,
)
from realmnet_compression.releasing.quality_fit import (
    QualityFit,
    measure_development,
    require_raw,
    write_with_quality,
)
from realmnet_runtime.bundles.manifest import (
    Evidence,
    GoldenCase,
    OperatingPoint,
)
from realmnet_runtime.bundles.writer import SUFFIX, write_bundle
from realmnet_runtime.errors import ConfigurationError, MissingPath, UsageError
from realmnet_runtime.files import write_atomically
from realmnet_runtime.quality.measured import MeasuredPictures
from realmnet_training.checkpoint import CheckpointFacts, load_checkpoint
from realmnet_training.fitting.run_folder import RunFolder
from realmnet_training.model import RealMNet
from realmnet_training.pictures.prepared import PreparedSplit, prepare_split

_WORKERS: Final = 2


class ReleaseReport(msgspec.Struct, frozen=True):
    """What a release did and measured.

    Attributes:
        bundle: path written.
        bundle_sha256: digest of its manifest, the bundle's identity.
        bytes: of the file.
        quantisation: what became of the products.
        parity: comparisons by table.
        average_precision: macro average precision by table and variant.
        quality: what the limits of quality were fitted on; None where they are the runtime's own.
    """

    bundle: str
    bundle_sha256: str
    bytes: int
    quantisation: QuantiseReport
    parity: dict[str, tuple[Parity, ...]]
    average_precision: dict[str, dict[str, float]]
    quality: QualityFit | None = None


def find_checkpoint(path: Path) -> Path:
    """The checkpoint file of a run folder, or the file itself.

    Raises:
        MissingPath: neither.
    """
    found = RunFolder(path).checkpoint if path.is_dir() else path
    if not found.is_file():
        raise MissingPath(f"no checkpoint '{found}'; give the folder or file of `realmnet train`")
    return found


def release(
    recipe: Recipe, checkpoint: Path, data: Path, out: Path, *, cache: Path | None = None
) -> ReleaseReport:
    """Make a bundle; every limit of the recipe holds, or nothing is written.

    Args:
        recipe: what to make and what must hold.
        checkpoint: folder or file of `realmnet train`.
        data: data set in the released PSMM layout, with the recipe's tables.
        out: file to write, ending in `.realmnet`.
        cache: folder of prepared pictures; temporary where None.

    Raises:
        UsageError, MissingPath, ConfigurationError: arguments that do not fit together.
        GateFailed: a limit does not hold.
        OutputError: the bundle could not be written.
    """
    if out.suffix != SUFFIX:
        raise UsageError(f"bundle '{out.name}' must be named *{SUFFIX}; `realmnet bundle` unpacks")
    file = find_checkpoint(checkpoint)
    model, facts = load_checkpoint(file)
    require_fit(recipe.name, recipe.label_set, facts)
    records = read_psmm(data, facts.label_set)
    tables = [records[name] for name in recipe.evidence]
    require_development(records[recipe.development])
    with tempfile.TemporaryDirectory(prefix="realmnet-") as folder:
        making = _Making(recipe, facts, records, Path(folder), cache or Path(folder) / "cache")
        making.require_quality()
        files, quantisation = making.files(model)
        development = making.development_answers(files)
        points = making.operating_points(development)
        parity: dict[str, tuple[Parity, ...]] = {}
        precision: dict[str, dict[str, float]] = {}
        evidence: list[Evidence] = []
        for place, table in enumerate(tables):
            found = making.judge(files, points, table.name, first=place == 0)
            parity[table.name], precision[table.name] = found.parity, found.average_precision
            evidence += found.evidence
        golden, pictures = making.golden(files, points)
        made = Path(folder) / f"made{SUFFIX}"
        write_bundle(
            made,
            files={MODEL_FILE: files.int8, **pictures},
            model=describe_model(recipe, model),
            labels=facts.label_set,
            preprocess=facts.spec,
            variants=[describe_variant(plan, points[plan.name]) for plan in recipe.variants],
            provenance=describe_provenance(recipe, facts, file, records),
            golden=golden,
            evidence=evidence,
        )
        fit = None
        if recipe.quality == "fitted":
            finished = Path(folder) / f"with-limits{SUFFIX}"
            fit = write_with_quality(made, finished, making.measured_quality(development))
            made = finished
        digest = prove(made, recipe.limits.bundle_bytes)
        raw = made.read_bytes()
    write_atomically(out, raw)
    return ReleaseReport(
        bundle=str(out),
        bundle_sha256=digest,
        bytes=len(raw),
        quantisation=quantisation,
        parity=parity,
        average_precision=precision,
        quality=fit,
    )


@dataclass(frozen=True)
class _Judged:
    parity: tuple[Parity, ...]
    average_precision: dict[str, float]
    evidence: list[Evidence]


class _Making:
    """The steps of one release, with what they share."""

    def __init__(
        self, recipe: Recipe, facts: CheckpointFacts, records: Records, folder: Path, cache: Path
    ) -> None:
        self._recipe = recipe
        self._facts = facts
        self._records = records
        self._folder = folder
        self._cache = cache
        self._development = self._prepared(recipe.development)

    def files(self, model: RealMNet) -> tuple[Files, QuantiseReport]:
        """Export and quantise."""
        fp32, int8 = self._folder / "fp32.onnx", self._folder / "int8.onnx"
        export_onnx(model, fp32)
        calibration, check = quantiser_pictures(
            self._development,
            self._recipe.calibration,
            self._recipe.check_pictures,
            self._facts,
        )
        report = quantise(
            fp32, int8, list(calibration), check=check, settings=self._recipe.quantisation
        )
        return Files(fp32.read_bytes(), int8.read_bytes()), report

    def require_quality(self) -> None:
        """Refuse, before any work, limits that cannot be fitted; errors as `require_raw`."""
        if self._recipe.quality == "fitted":
            require_raw(self._development, self._facts.spec)

    def development_answers(self, files: Files) -> TableAnswers:
        """What the reference and every variant answer to the development table."""
        return self._answers(files, self._development, self._recipe.development)

    def operating_points(self, answers: TableAnswers) -> dict[str, OperatingPoint]:
        """The reference's point for F1 on development data, the variants' to decide like it."""
        return fit_points(answers, self._development.split, self._facts.label_set)

    def measured_quality(self, answers: TableAnswers) -> MeasuredPictures:
        """The raw development pictures, with the statistics of what the variants answered."""
        whole = self._records[self._recipe.development]
        return measure_development(whole, self._development, self._facts.spec, answers.by_variant)

    def judge(
        self, files: Files, points: Mapping[str, OperatingPoint], table: str, *, first: bool
    ) -> _Judged:
        """Measure one evidence table and refuse where a limit does not hold."""
        prepared = self._prepared(table)
        answers = self._answers(files, prepared, table)
        metrics = measure_answers(answers, points, prepared.split)
        parities = compare_all(answers, points, self._recipe.variants, self._facts.label_set)
        if first:
            require_reference(metrics[REFERENCE], self._recipe.limits, table)
        require_limits(parities, metrics, self._recipe.limits, table)
        return _Judged(
            parity=tuple(parities),
            average_precision={name: found["ap_macro"] for name, found in metrics.items()},
            evidence=evidence_of(
                prepared.split,
                metrics,
                parities,
                len(prepared.refused),
                self._recipe.measured_on,
            ),
        )

    def golden(
        self, files: Files, points: Mapping[str, OperatingPoint]
    ) -> tuple[list[GoldenCase], dict[str, bytes]]:
        """Golden cases, and their pictures by path in the bundle."""
        _, *released = files.runs(self._recipe.variants)
        return make_golden(
            self._recipe.golden,
            self._facts.spec,
            self._facts.label_set,
            released,
            points,
            threads=self._recipe.threads,
        )

    def _prepared(self, table: str) -> PreparedSplit:
        return prepare_split(self._records[table], self._facts.spec, self._cache, _WORKERS)

    def _answers(self, files: Files, prepared: PreparedSplit, table: str) -> TableAnswers:
        return answer_all(
            files.runs(self._recipe.variants),
            InputTensors(prepared, self._facts.spec),
            table=table,
            labels=len(self._facts.label_set),
            threads=self._recipe.threads,
        )


def require_fit(recipe: str, label_set: str, facts: CheckpointFacts) -> None:
    """Return where a checkpoint is one that a recipe can release.

    Args:
        recipe: its name.
        label_set: name of the label set it releases.
        facts: of the checkpoint.

    Raises:
        ConfigurationError: another label set, or a checkpoint that is not trained to its end.
    """
    if facts.label_set.name != label_set:
        raise ConfigurationError(
            f"the checkpoint answers label set '{facts.label_set.name}' "
            f"({', '.join(facts.label_set.names)}); recipe '{recipe}' releases "
            f"'{label_set}': use the recipe of that label set"
        )
    if not facts.finished or facts.operating_point is None:
        raise ConfigurationError(
            f"the checkpoint stopped after {facts.epochs} epochs, before its preset's end; finish "
            "it with `realmnet train --resume`"
        )
