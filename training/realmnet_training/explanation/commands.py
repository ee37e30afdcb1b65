"""`realmnet explain`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import typer

from realmnet_benchmarks.accuracy_tables import ABSENT, align
from realmnet_benchmarks.phantoms.hospitals import HOSPITALS
from realmnet_benchmarks.progress import reporting
from realmnet_benchmarks.records import read_psmm
from realmnet_benchmarks.splits import Split
from realmnet_runtime.files import write_atomically
from realmnet_training.checkpoint import CheckpointFacts, SplitFacts, load_checkpoint
from realmnet_training.explanation.explain import METHODS, Method
from realmnet_training.explanation.findings import (
    OUTCOMES,
    AgreementSummary,
    Outcome,
    TableAnswers,
    answer_table,
    choose_findings,
    outcomes_of,
    summarise_agreement,
)
from realmnet_training.explanation.folder import ExplainedFinding, Explainer, whole_folder
from realmnet_training.explanation.grad_cam import require_grad_cam
from realmnet_training.measuring.evaluation import facts_of
from realmnet_training.measuring.operating_points import Floats, arrays_of
from realmnet_training.pictures.prepared import prepare_split

RESEARCH_ONLY: Final = "Research use only, not a medical device. A map shows what moved the model."
_PHANTOM_SOURCES: Final = frozenset(hospital.name for hospital in HOSPITALS)
FIGURES: Final = "explanations.json"
_FIXED: Final = (
    "fixed: share of the CSRA maps that is the same in every picture; near 1 they show where the "
    "model keeps its answer, not where a lesion is"
)
_COMPARED: Final = (
    "compared: CSRA against Grad-CAM++ over every reported finding; medians of Spearman's "
    "correlation and of the maxima's distance as a share of the map's side"
)


class Explanations(msgspec.Struct, frozen=True):
    """What `realmnet explain` found and wrote.

    Attributes:
        notices: said on every picture and page.
        split: the table.
        refused: pictures of it that could not be read.
        fitted_on: what the thresholds were fitted on; None where they are 0.5.
        methods: which maps.
        agreement: by label, over every finding that was reported in the table; empty where one
            method was asked for.
        fixed_share: by label, share of the score maps' variance that is the same in every
            picture of the table; near 1 they show where the network keeps its answer.
        outcomes: by label, how many of each.
        findings: those that were drawn.
        sheets: by label, the contact sheet in the folder.
    """

    notices: tuple[str, ...]
    split: SplitFacts
    refused: int
    fitted_on: str | None
    methods: tuple[Method, ...]
    agreement: dict[str, AgreementSummary]
    fixed_share: dict[str, float]
    outcomes: dict[str, dict[Outcome, int]]
    findings: list[ExplainedFinding]
    sheets: dict[str, str]


def explain(
    *,
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint of `realmnet train`.")],
    data: Annotated[Path, typer.Option(help="Data set in the released PSMM layout.")],
    out: Annotated[Path, typer.Option(help="New folder for pictures, sheets and figures.")],
    split: Annotated[str, typer.Option(help="Table to explain.")] = "test",
    method: Annotated[
        Literal["csra", "gradcam++", "both"],
        typer.Option(help="Score maps of the head, Grad-CAM++, or both and how far they agree."),
    ] = "both",
    per_label: Annotated[
        int, typer.Option(min=1, help="Most pictures a label of each outcome.")
    ] = 4,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of prepared pictures; temporary by default.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads that decode.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Draw where a model sees each label: the most confident findings and misses of a table.

    Pictures are named by table and line, never by file. Research use only, not a medical device.
    """
    methods = METHODS if method == "both" else (method,)
    if "gradcam++" in methods:
        require_grad_cam()
    model, facts = load_checkpoint(checkpoint)
    table = read_psmm(data, facts.label_set)[split]
    point = arrays_of(facts.operating_point, facts.label_set)
    with tempfile.TemporaryDirectory() as temporary, whole_folder(out) as folder:
        prepared = prepare_split(table, facts.spec, cache or Path(temporary), workers)
        with reporting(f"{table.name}: pictures answered") as report:
            answers = answer_table(
                model, prepared, facts.spec, point, report, compare=len(methods) > 1
            )
        explainer = Explainer(
            model=model,
            facts=facts,
            prepared=prepared,
            lines=_lines(table, prepared.split),
            probabilities=answers.probabilities,
            methods=methods,
            notices=notices_of(facts, prepared.split),
        )
        found = _written(explainer, answers, per_label, folder)
        pretty = msgspec.json.format(msgspec.json.encode(found), indent=2)
        write_atomically(folder / FIGURES, pretty + b"\n")
    typer.echo(msgspec.json.encode(found).decode() if as_json else _table(found, out))


def notices_of(facts: CheckpointFacts, split: Split) -> tuple[str, ...]:
    """What must be said beside every picture: the use, and where phantoms took part.

    Args:
        facts: of the checkpoint; its tables' sources tell phantoms.
        split: the table that is explained.
    """
    notices = [RESEARCH_ONLY]
    if _PHANTOM_SOURCES & set(split.sources):
        notices.append("Pictures: synthetic phantoms, which diagnose nothing.")
    if any(_PHANTOM_SOURCES & set(used.sources) for used in facts.splits.values()):
        notices.append("Model: trained on synthetic phantoms.")
    if facts.preset is not None and not facts.finished:
        notices.append(f"Model: training was not finished, {facts.epochs} epochs.")
    return tuple(notices)


def _lines(table: Split, kept: Split) -> list[int]:
    line = {file: number for number, file in enumerate(table.files, start=2)}
    return [line[file] for file in kept.files]


def _written(
    explainer: Explainer, answers: TableAnswers, per_label: int, folder: Path
) -> Explanations:
    split, names = explainer.split, explainer.split.label_set.names
    chosen = choose_findings(split.labels, answers.probabilities, explainer.thresholds, per_label)
    with reporting(f"{split.name}: findings drawn") as report:
        findings, tiles = explainer.draw(chosen, folder, report)
    outcomes = _counted(split, answers.probabilities, explainer.thresholds)
    ordered = {finding: tiles[finding] for finding in chosen}
    sheets = {
        name: explainer.sheet(
            label, ordered, outcomes[name], float(answers.fixed_shares[label]), folder
        )
        for label, name in enumerate(names)
    }
    agreement: dict[str, AgreementSummary] = {}
    if len(explainer.methods) > 1:
        each = dict(zip(names, answers.agreements, strict=True))
        agreement = {name: summarise_agreement(values) for name, values in each.items()}
        agreement["all"] = summarise_agreement([a for values in each.values() for a in values])
    point = explainer.facts.operating_point
    return Explanations(
        notices=explainer.notices,
        split=facts_of(split),
        refused=len(explainer.prepared.refused),
        fitted_on=None if point is None else point.fitted_on,
        methods=explainer.methods,
        agreement=agreement,
        fixed_share=dict(zip(names, answers.fixed_shares.tolist(), strict=True)),
        outcomes=outcomes,
        findings=findings,
        sheets=sheets,
    )


def _counted(
    split: Split, probabilities: Floats, thresholds: Floats
) -> dict[str, dict[Outcome, int]]:
    masks = outcomes_of(split.labels, probabilities, thresholds)
    return {
        name: {outcome: int(masks[outcome][:, label].sum()) for outcome in OUTCOMES}
        for label, name in enumerate(split.label_set.names)
    }


def _table(found: Explanations, out: Path) -> str:
    names = ["label", "right", "wrong", "missed", "drawn", "fixed"]
    if found.agreement:
        names += [
            "compared",
            "undefined",
            "rank correlation",
            "its p10",
            "peaks apart",
            "same peak",
        ]
    rows = [names]
    for name, outcomes in found.outcomes.items():
        drawn = sum(finding.label == name for finding in found.findings)
        rows.append([name, *(f"{outcomes[outcome]:,}" for outcome in OUTCOMES), f"{drawn:,}"])
        rows[-1].append(f"{found.fixed_share[name]:.2f}")
        rows[-1] += _agreed(found.agreement.get(name))
    if found.agreement:
        rows.append(["all", "", "", "", f"{len(found.findings):,}", ""])
        rows[-1] += _agreed(found.agreement["all"])
    return "\n".join(
        [
            *found.notices,
            f"{found.split.name}: {found.split.images:,} pictures, {found.refused:,} refused",
            *align(rows),
            _FIXED,
            *([_COMPARED] if found.agreement else []),
            f"{len(found.sheets)} sheets, {FIGURES} and {len(found.findings)} findings in {out}",
        ]
    )


def _agreed(summary: AgreementSummary | None) -> list[str]:
    if summary is None:
        return []
    figures = (
        summary.rank_correlation_median,
        summary.rank_correlation_p10,
        summary.peak_distance_median,
        summary.same_peak,
    )
    return [
        f"{summary.findings:,}",
        f"{summary.undefined:,}",
        *(ABSENT if figure is None else f"{figure:.2f}" for figure in figures),
    ]
