"""`python -m realmnet_benchmarks.path`: what the whole path costs here, one command a question."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import cv2
import msgspec
import typer

from realmnet_benchmarks.path.big_phantoms import COLUMNS, ROWS
from realmnet_benchmarks.path.both_ways import BothWays
from realmnet_benchmarks.path.cells import measure_speed, measure_start
from realmnet_benchmarks.path.environment import describe_environment
from realmnet_benchmarks.path.idle import IdlePlan, IdleReport, idle
from realmnet_benchmarks.path.journal import Journal
from realmnet_benchmarks.path.pages import (
    idle_page,
    soak_page,
    speed_page,
    start_page,
    steadiness_page,
)
from realmnet_benchmarks.path.pictures import (
    described,
    drawn_task,
    files_of,
    listed_task,
    pictures_of,
)
from realmnet_benchmarks.path.soak import SoakPlan, SoakReport, soak
from realmnet_benchmarks.path.speed import SpeedPlan
from realmnet_benchmarks.path.start import StartPlan
from realmnet_benchmarks.path.steadiness import SteadinessReport, compare_decodes, summarise
from realmnet_benchmarks.progress import reporting
from realmnet_runtime import Bundle, Predictor
from realmnet_runtime.answering.selection import choose_variant, runs_on
from realmnet_runtime.backends import installed_engines
from realmnet_runtime.bundles.default_bundle import find_default_bundle
from realmnet_runtime.bundles.manifest import Variant
from realmnet_runtime.cli.outputs import emit, require_writable_file, say
from realmnet_runtime.cpu import instruction_sets
from realmnet_runtime.errors import GateFailed, UsageError
from realmnet_runtime.files import write_atomically
from realmnet_runtime.signatures.trust import ANY_BUNDLE

path = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Pictures = Annotated[
    list[Path] | None, typer.Argument(metavar="[PICTURE]...", help="Files, or folders of them.")
]
BundleOption = Annotated[
    Path | None, typer.Option("--bundle", help="Bundle; the installed default if none is named.")
]
VariantOption = Annotated[
    str | None, typer.Option("--variant", help="By name; the bundle chooses by default.")
]
Phantoms = Annotated[int, typer.Option(min=0, help="Synthetic pictures drawn besides.")]
Drawn = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Keep drawn phantoms here for the next time.")
]
Rows = Annotated[int, typer.Option(min=96, max=8192, help="Of phantoms.")]
Columns = Annotated[int, typer.Option(min=96, max=8192, help="Of phantoms.")]
Threads = Annotated[int, typer.Option(min=1, help="Each route computes with.")]
Quiet = Annotated[
    bool, typer.Option("--quiet-machine", help="Nothing else runs; else 'shared machine' is said.")
]
Out = Annotated[Path | None, typer.Option(metavar="FILE.json", help="Raw samples and all figures.")]

_SPEED, _START, _SOAK, _IDLE = SpeedPlan(), StartPlan(), SoakPlan(), IdlePlan()


@path.callback()
def _path() -> None:
    """Measure the path from file to decision on this machine. Research use only."""


@path.command()
def speed(
    pictures: Pictures = None,
    *,
    bundle: BundleOption = None,
    variant: VariantOption = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="C.safetensors", help="Of the model, for eager PyTorch beside it."),
    ] = None,
    phantoms: Phantoms = 8,
    drawn: Drawn = None,
    rows: Rows = ROWS,
    columns: Columns = COLUMNS,
    rounds: Annotated[int, typer.Option(min=3)] = _SPEED.rounds,
    warm_up: Annotated[int, typer.Option(min=0)] = _SPEED.warm_up,
    threads: Threads = 2,
    quiet_machine: Quiet = False,
    out: Out = None,
) -> None:
    """File to decision: ours, a full decode before the same model, and before eager PyTorch."""
    _require_out(out)
    environment = describe_environment(threads, quiet=quiet_machine)
    with (
        pictures_of(pictures or [], phantoms, drawn, rows=rows, columns=columns) as groups,
        Bundle.open(_place(bundle), trust=ANY_BUNDLE) as opened,
        reporting("rounds") as report,
    ):
        found = measure_speed(
            opened,
            _chosen(opened, variant),
            groups,
            SpeedPlan(rounds, warm_up),
            environment,
            checkpoint=checkpoint,
            progress=report,
        )
    _finish(found, speed_page(found), out)


@path.command()
def start(
    picture: Annotated[
        Path | None, typer.Argument(help="One is drawn where none is named.")
    ] = None,
    *,
    bundle: BundleOption = None,
    variant: Annotated[
        list[str] | None, typer.Option(help="Repeatable; the first INT8 one of each engine.")
    ] = None,
    rows: Rows = ROWS,
    columns: Columns = COLUMNS,
    processes: Annotated[int, typer.Option(min=3, help="Fresh ones of each.")] = _START.processes,
    warm_up: Annotated[int, typer.Option(min=0)] = _START.warm_up,
    threads: Threads = 2,
    quiet_machine: Quiet = False,
    out: Out = None,
) -> None:
    """Process start to first answer and peak memory, beside the bare engine's process."""
    _require_out(out)
    environment = describe_environment(threads, quiet=quiet_machine)
    given = [] if picture is None else [picture]
    with (
        pictures_of(given, 0 if given else 1, None, rows=rows, columns=columns) as groups,
        Bundle.open(_place(bundle), trust=ANY_BUNDLE) as opened,
        reporting("rounds") as report,
    ):
        chosen = [opened.variant(name) for name in variant or ()] or _one_an_engine(opened)
        found = measure_start(
            opened,
            chosen,
            groups,
            StartPlan(processes, warm_up),
            environment,
            progress=report,
        )
    _finish(found, start_page(found), out)


@path.command(name="soak")
def soak_(
    pictures: Pictures = None,
    *,
    bundle: BundleOption = None,
    variant: VariantOption = None,
    phantoms: Phantoms = 4,
    drawn: Drawn = None,
    rows: Rows = ROWS,
    columns: Columns = COLUMNS,
    answers: Annotated[int, typer.Option(min=10)] = _SOAK.answers,
    every: Annotated[int, typer.Option(min=1, help="Answers between samples.")] = _SOAK.every,
    warm_up: Annotated[int, typer.Option(min=0, help="Answers.")] = _SOAK.warm_up,
    threads: Threads = 2,
    quiet_machine: Quiet = False,
    out: Out = None,
) -> None:
    """Memory over thousands of answers in one process. Exit code 4 where it grows."""
    _require_out(out)
    plan = SoakPlan(answers, every, warm_up)
    if answers < warm_up + 3 * every:
        raise UsageError(
            f"{answers} answers, of which {warm_up} are warm-up, with a sample every {every}; at "
            f"least three samples have to follow: ask for {warm_up + 3 * every} answers"
        )
    environment = describe_environment(threads, quiet=quiet_machine)
    cv2.setNumThreads(threads)
    with (
        pictures_of(pictures or [], phantoms, drawn, rows=rows, columns=columns) as groups,
        _opened(bundle, variant, threads) as predictor,
        reporting("answers") as report,
    ):
        found = SoakReport(
            predictor.bundle.digest,
            predictor.variant.name,
            described(groups),
            environment,
            plan,
            soak(_answering(predictor), files_of(groups), plan, progress=report),
        )
    _finish(found, soak_page(found), out)
    _require(passed=found.found.passed)


@path.command(name="idle")
def idle_(
    pictures: Pictures = None,
    *,
    bundle: BundleOption = None,
    variant: VariantOption = None,
    phantoms: Phantoms = 4,
    drawn: Drawn = None,
    rows: Rows = ROWS,
    columns: Columns = COLUMNS,
    answers: Annotated[int, typer.Option(min=3)] = _IDLE.answers,
    threads: Threads = 2,
    quiet_machine: Quiet = False,
    out: Out = None,
) -> None:
    """Processor time in the second after each answer. Exit code 4 above 5 ms, by the median."""
    _require_out(out)
    plan = IdlePlan(answers)
    environment = describe_environment(threads, quiet=quiet_machine)
    cv2.setNumThreads(threads)
    with (
        pictures_of(pictures or [], phantoms, drawn, rows=rows, columns=columns) as groups,
        _opened(bundle, variant, threads) as predictor,
    ):
        # No bar: its thread would be what is measured.
        say(f"answering {answers} pictures, one a second or slower")
        found = IdleReport(
            predictor.bundle.digest,
            predictor.variant.name,
            described(groups),
            environment,
            plan,
            idle(_answering(predictor), files_of(groups), plan),
        )
    _finish(found, idle_page(found), out)
    _require(passed=found.found.passed)


@path.command()
def steadiness(
    journal: Annotated[
        Path, typer.Argument(metavar="JOURNAL.jsonl", help="Kept answers; run again to go on.")
    ],
    *,
    bundle: BundleOption = None,
    variant: VariantOption = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Compare on these files instead.")
    ] = None,
    phantoms: Annotated[int, typer.Option(min=1, help="Drawn, answered and discarded.")] = 2_000,
    images_per_patient: Annotated[
        int, typer.Option(min=1, help="Both eyes together; more are drawn faster.")
    ] = 4,
    rows: Rows = ROWS,
    columns: Columns = COLUMNS,
    seed: Annotated[int, typer.Option(min=0, help="Of the phantoms.")] = 7,
    jobs: Annotated[int, typer.Option(min=1, help="Processes of one thread each.")] = 1,
    quiet_machine: Quiet = False,
    out: Out = None,
) -> None:
    """Compare the decisions by a scaled decode with those by a full one. Exit code 4 below 99.5 %.

    Phantoms are synthetic: they show that the path is steady and diagnose nothing.
    """
    _require_out(out)
    place = _place(bundle)
    with Bundle.open(place, trust=ANY_BUNDLE) as opened:
        manifest, digest, chosen = opened.manifest, opened.digest, _chosen(opened, variant)
    if manifest.preprocess.decode_size is None:
        raise UsageError("the bundle asks for a full decode; there is no other to compare it with")
    sources, task = (
        drawn_task(phantoms, images_per_patient, seed, rows, columns)
        if pictures is None
        else listed_task(pictures)
    )
    task = msgspec.structs.replace(task, bundle_sha256=digest, variant=chosen.name)
    environment = describe_environment(1, quiet=quiet_machine)
    kept = Journal(journal, task, BothWays)
    with reporting("pictures compared") as report:
        compare_decodes(kept, sources, bundle=place, jobs=jobs, progress=report)
    labels = manifest.labels.names
    thresholds = [chosen.operating_point.thresholds[name] for name in labels]
    lines = sorted(kept.lines, key=lambda line: line.number)
    found = SteadinessReport(task, environment, summarise(lines, labels, thresholds), lines)
    _finish(found, steadiness_page(found), out)
    _require(passed=found.found.passed)


def _place(bundle: Path | None) -> Path:
    return find_default_bundle() if bundle is None else bundle


def _opened(bundle: Path | None, variant: str | None, threads: int) -> Predictor:
    return Predictor.open(_place(bundle), variant=variant, threads=threads, trust=ANY_BUNDLE)


def _answering(predictor: Predictor) -> Callable[[str], object]:
    # Whatever its quality: a picture that is passed over would measure nothing.
    return lambda picture: predictor.predict(picture, answer_ungradable=True)


def _chosen(bundle: Bundle, name: str | None) -> Variant:
    """The variant of that name, else the one that `Predictor.open` would take."""
    return choose_variant(
        bundle.manifest.variants,
        name=name,
        installed=installed_engines(),
        instruction_sets=instruction_sets(),
    ).variant


def _one_an_engine(bundle: Bundle) -> list[Variant]:
    """For each engine that is here, the variant that `Predictor.open` would take."""
    here = [
        v
        for v in bundle.manifest.variants
        if v.engine in installed_engines() and runs_on(v, instruction_sets())
    ]
    here.sort(key=lambda v: v.execution_precision != "int8")
    return list({v.engine: v for v in reversed(here)}.values())


def _require_out(out: Path | None) -> None:
    if out is not None:
        require_writable_file(out)


def _require(*, passed: bool) -> None:
    if not passed:
        raise typer.Exit(GateFailed.exit_code)


def _finish(report: msgspec.Struct, page: str, out: Path | None) -> None:
    """Print the page, and keep everything where a file is named."""
    if out is not None:
        write_atomically(out, msgspec.json.format(msgspec.json.encode(report), indent=1))
    emit(page)
