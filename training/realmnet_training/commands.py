"""`realmnet train` and `realmnet evaluate`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from realmnet_benchmarks.metrics import multilabel_metrics
from realmnet_benchmarks.records import read_psmm
from realmnet_benchmarks.score_tables import save_scores
from realmnet_training.checkpoint import load_network
from realmnet_training.config import PRESETS, Preset, load_preset
from realmnet_training.data.selection import choose_test, tables_that_hold
from realmnet_training.fit import train_preset
from realmnet_training.fitting.run_folder import plain_metrics
from realmnet_training.measuring.evaluation import compute_logits, facts_of, metrics_table
from realmnet_training.measuring.operating_points import arrays_of, probabilities_of
from realmnet_training.measuring.scoring import Occasion, best_device, require_scorable, score_model
from realmnet_training.pictures.prepared import choose_prepared, prepare_split


def train(
    preset: Annotated[
        str, typer.Argument(metavar="PRESET", help=f"{', '.join(PRESETS)}, or a .toml file.")
    ],
    *,
    data: Annotated[Path | None, typer.Option(help="Data set in the released PSMM layout.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of prepared pictures; OUT/cache by default.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, as fit.seed=7."),
    ] = None,
    smoke: Annotated[
        bool,
        typer.Option(
            "--smoke", help="One epoch a stage, of fewer images with --set data.share=0.02."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved preset as JSON and stop.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in OUT after the last point it kept.")
    ] = False,
    mlflow: Annotated[
        str | None,
        typer.Option(metavar="URI", help="Folder or server that tracks the run with MLflow."),
    ] = None,
) -> None:
    """Train a model; research use only, not a medical device."""
    chosen = load_preset(preset, changes or ())
    if smoke:
        chosen = shorten(chosen)
    if dry_run:
        text = msgspec.json.format(msgspec.json.encode(chosen), indent=2).decode()
        typer.echo(text)
        return
    if data is None or out is None:
        raise typer.BadParameter("--data and --out are needed unless --dry-run is given")
    found = train_preset(chosen, data, out, resume=resume, cache=cache, tracking=mlflow)
    typer.echo(str(found))


def shorten(preset: Preset) -> Preset:
    """The same preset with one epoch a stage."""
    stages = tuple(
        msgspec.structs.replace(stage, epochs=1, bce_epochs=min(stage.bce_epochs, 1))
        for stage in preset.fit.stages
    )
    return msgspec.structs.replace(preset, fit=msgspec.structs.replace(preset.fit, stages=stages))


def evaluate(
    *,
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint of `realmnet train`.")],
    data: Annotated[Path, typer.Option(help="Data set in the released PSMM layout.")],
    split: Annotated[
        str, typer.Option(help="Table to measure on, or a test of the checkpoint's protocol.")
    ] = "test",
    scores: Annotated[
        Path | None,
        typer.Option(metavar="OUT.scores.npz", help="Write the answers, for `realmnet report`."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of prepared pictures; temporary by default.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads that decode.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a checkpoint on a table, at the checkpoint's own temperatures and thresholds."""
    model, facts = load_network(checkpoint)
    if scores is not None:
        require_scorable(facts, scores)
    unknown_labels = facts.preset.data.unknown_labels if facts.preset else "refuse"
    records = read_psmm(data, facts.label_set, unknown_labels)
    table = choose_test(facts, records, split)
    model.to(best_device())
    named = any(table is records[name] for name in records)
    with tempfile.TemporaryDirectory() as temporary:
        whole = [
            prepare_split(each, facts.spec, cache or Path(temporary), workers)
            for each in ([table] if named else tables_that_hold(records, [table]))
        ]
        prepared = choose_prepared(table, whole)
        logits = compute_logits(model, prepared, facts.spec)
    if scores is not None and facts.preset is not None:
        occasion = Occasion.of_evaluation(facts.preset)
        answers = score_model(
            model, facts, prepared.split, logits, records=records, occasion=occasion
        )
        save_scores(answers, scores)
    point = facts.operating_point
    temperatures, thresholds = arrays_of(point, facts.label_set)
    probabilities = probabilities_of(logits, temperatures)
    truth, known = prepared.split.labels, prepared.split.known
    metrics = multilabel_metrics(truth, probabilities, thresholds, known=known)
    described = facts_of(prepared.split)
    if as_json:
        answer = {
            "split": described,
            "refused": len(prepared.refused),
            "metrics": plain_metrics(metrics),
        }
        typer.echo(msgspec.json.encode(answer).decode())
        return
    typer.echo(
        f"{described.name}: {described.images:,} images of {described.patients:,} patients, "
        f"{len(prepared.refused)} refused; thresholds "
        f"{'0.5' if point is None else 'for F1 on ' + point.fitted_on.split(',')[0]}\n"
        f"{metrics_table(prepared.split, metrics)}"
    )
