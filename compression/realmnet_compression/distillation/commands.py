"""`realmnet distil`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from realmnet_compression.distillation.distil import Pictures, store
from realmnet_compression.distillation.distil import distil as distil_preset
from realmnet_compression.distillation.settings import DistilSettings
from realmnet_compression.distillation.soft_labels import (
    SoftLabelFacts,
    SoftLabels,
    load_soft_labels,
)
from realmnet_compression.distillation.teacher import Teacher, open_teacher
from realmnet_runtime.cli.outputs import print_json, require_writable_file
from realmnet_runtime.labels import LabelSet
from realmnet_training.checkpoint import read_facts
from realmnet_training.commands import shorten
from realmnet_training.config import PRESETS, load_preset

_DEFAULTS = DistilSettings()


def distil(
    preset: Annotated[
        str,
        typer.Argument(
            metavar="PRESET", help=f"Of the student: {', '.join(PRESETS)}, or a .toml file."
        ),
    ],
    *,
    data: Annotated[Path | None, typer.Option(help="Data set in the released PSMM layout.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Folder or checkpoint of `realmnet train`, or weights.")
    ] = None,
    timm: Annotated[
        str | None, typer.Option(metavar="NAME", help="TEACHER holds weights of this timm model.")
    ] = None,
    teacher_image: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Size at which a RealMNet teacher answers; its own."),
    ] = None,
    soft_labels: Annotated[
        Path | None, typer.Option(help="Replay answers that --store wrote; no teacher is needed.")
    ] = None,
    store_file: Annotated[
        Path | None,
        typer.Option("--store", metavar="FILE", help="Only write the teacher's answers."),
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Answers of each picture to store; all by default.")
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Pictures in place of the training table's."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="2 by default, or that of the soft labels.")
    ] = None,
    soft: Annotated[float, typer.Option(help="Weight of the teacher's answers.")] = _DEFAULTS.soft,
    maps: Annotated[
        float | None,
        typer.Option(help="Weight of its score maps: 0.1, or 0 where there are none."),
    ] = None,
    truth: Annotated[
        float | None, typer.Option(help="Weight of the labels: 0.5, or 0 where there are none.")
    ] = None,
    from_stage: Annotated[
        int | None, typer.Option(help="First stage that has a teacher; 1 by default.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, as fit.seed=7."),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of prepared pictures; OUT/cache by default.")
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="One epoch a stage.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print preset and settings as JSON and stop.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in OUT after the last point it kept.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train a student from a teacher's answers; research use only, not a medical device."""
    chosen = load_preset(preset, changes or ())
    if smoke:
        chosen = shorten(chosen)
    stored = None if soft_labels is None else load_soft_labels(soft_labels)
    settings = _settings(
        None if stored is None else stored.facts,
        temperature=temperature,
        soft=soft,
        maps=0.0 if maps is None and timm is not None else maps,
        truth=0.0 if truth is None and unlabelled is not None else truth,
        from_stage=from_stage,
    )
    if dry_run:
        plan = msgspec.json.encode({"preset": chosen, "settings": settings})
        typer.echo(msgspec.json.format(plan, indent=2).decode())
        return
    if data is None or (out is None) == (store_file is None):
        raise typer.BadParameter("--data is needed, and either --out for a run or --store")
    source = _source(teacher, timm, teacher_image, stored, chosen.data.labels)
    pictures = Pictures(data, unlabelled, cache)
    if store_file is not None:
        if isinstance(source, SoftLabels) or resume:
            raise typer.BadParameter("--store asks a --teacher, and begins anew without --resume")
        require_writable_file(store_file)
        said = store(chosen, pictures, store_file, source, settings, keep=keep)
        _print(store_file, {"soft_labels": str(store_file), "facts": said}, as_json=as_json)
    elif out is not None:
        if keep is not None:
            raise typer.BadParameter("--keep belongs to --store; a replay takes what is there")
        found = distil_preset(chosen, pictures, out, source, settings, resume=resume)
        _print(found, _trained(found), as_json=as_json)


def _source(
    teacher: Path | None,
    timm: str | None,
    image: int | None,
    stored: SoftLabels | None,
    labels: LabelSet,
) -> Teacher | SoftLabels:
    if teacher is not None and stored is None:
        return open_teacher(teacher, labels, timm, image)
    if stored is not None and teacher is None and timm is None and image is None:
        return stored
    raise typer.BadParameter("give one of --teacher, with what belongs to it, and --soft-labels")


def _settings(
    stored: SoftLabelFacts | None,
    *,
    temperature: float | None,
    soft: float,
    maps: float | None,
    truth: float | None,
    from_stage: int | None,
) -> DistilSettings:
    """What was asked for; else what the soft labels say; else the defaults."""
    usual = _DEFAULTS
    if stored is not None:
        usual = msgspec.structs.replace(
            usual, temperature=stored.temperature, maps=0.0, from_stage=stored.from_stage
        )
    asked = {"temperature": temperature, "maps": maps, "truth": truth, "from_stage": from_stage}
    given = {name: value for name, value in asked.items() if value is not None}
    return msgspec.structs.replace(usual, soft=soft, **given)


def _trained(checkpoint: Path) -> dict[str, Any]:
    facts = read_facts(checkpoint)
    return {
        "checkpoint": str(checkpoint),
        "epochs": facts.epochs,
        "development": facts.development_metrics,
        "supervision": facts.supervision,
    }


def _print(path: Path, answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(answer))
    else:
        typer.echo(str(path))
