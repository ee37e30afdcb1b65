"""`realmnet data`: data sets of images with labels."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from realmnet_benchmarks.accuracy_tables import align
from realmnet_benchmarks.intake.commands import check, prepare, usable_cores
from realmnet_benchmarks.phantom_splits import LabelsName, MixName, SplitPlan, draw_splits
from realmnet_benchmarks.phantoms import write_dataset
from realmnet_benchmarks.progress import reporting
from realmnet_benchmarks.records import Records, read_psmm
from realmnet_runtime.labels import LABEL_SETS

data = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)
data.command()(check)
data.command()(prepare)

_PLAN = SplitPlan()


@data.callback()
def _data() -> None:
    """Check and prepare data sets, or make one of synthetic phantoms. Research use only."""


@data.command()
def phantoms(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder; `datasets/PSMM` goes inside.")
    ],
    *,
    train_patients: Annotated[int, typer.Option(min=0)] = _PLAN.train,
    dev_patients: Annotated[int, typer.Option(min=0, help="Patients of val.csv.")] = _PLAN.dev,
    test_patients: Annotated[int, typer.Option(min=0)] = _PLAN.test,
    natural_patients: Annotated[
        int, typer.Option(min=0, help="Patients of test_natural.csv, always in the natural mix.")
    ] = _PLAN.natural,
    second_test_patients: Annotated[
        int, typer.Option(min=0, help="Patients of test_second.csv, drawn as test.csv is.")
    ] = _PLAN.second,
    unseen_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Test patients at a hospital held out from training."),
    ] = _PLAN.unseen_share,
    mix: Annotated[MixName, typer.Option(help="Label sets of train, val and test.")] = _PLAN.mix,
    labels: Annotated[LabelsName, typer.Option(help="Labels of the tables.")] = _PLAN.labels,
    unknown_share: Annotated[
        float,
        typer.Option(min=0, max=0.99, help="Empty label cells; for peripheral labels only."),
    ] = 0.0,
    images_per_patient: Annotated[int, typer.Option(min=1)] = _PLAN.images_per_patient,
    seed: Annotated[int, typer.Option(min=0)] = _PLAN.seed,
    size: Annotated[int, typer.Option(min=96, max=4096, help="Rows; columns are 5/4.")] = 384,
    quality: Annotated[int, typer.Option(min=1, max=100, help="JPEG quality.")] = 94,
    workers: Annotated[int | None, typer.Option(min=1, help="All usable cores by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Draw synthetic eyes into the released PSMM layout; run again to finish a broken-off run.

    Synthetic phantoms show that the pipeline works and diagnose nothing.
    """
    plan = SplitPlan(
        train=train_patients,
        dev=dev_patients,
        test=test_patients,
        natural=natural_patients,
        second=second_test_patients,
        unseen_share=unseen_share,
        mix=mix,
        images_per_patient=images_per_patient,
        seed=seed,
        labels=labels,
    )
    with reporting("pictures") as report:
        write_dataset(
            out,
            draw_splits(plan),
            height=size,
            width=size * 5 // 4,
            quality=quality,
            workers=workers or usable_cores(),
            progress=report,
            label_set=LABEL_SETS[labels],
            unknown_share=unknown_share,
        )
    records = read_psmm(out, LABEL_SETS[labels], "mask" if unknown_share else "refuse")
    typer.echo(
        msgspec.json.encode(summarise(records)).decode() if as_json else summary_table(records)
    )


def summarise(records: Records) -> dict[str, Any]:
    """What a data set holds, as JSON-ready numbers without any identifier."""
    return {
        "splits": {
            name: {
                "images": len(split),
                "patients": len(set(split.patients)),
                "sources": dict(sorted(Counter(split.sources).items())),
                "positives": dict(
                    zip(split.label_set.names, split.labels.sum(axis=0).tolist(), strict=True)
                ),
                "positive_eyes": dict(
                    zip(split.label_set.names, split.positive_eyes.tolist(), strict=True)
                ),
                "sha256": split.digest,
            }
            for name, split in records.splits.items()
        }
    }


def summary_table(records: Records) -> str:
    """A line a split for people: images, patients, then images/eyes with each label."""
    names = next(iter(records.splits.values())).label_set.names
    rows = [["split", "images", "patients", *(f"{name} images/eyes" for name in names)]]
    for name, split in records.splits.items():
        positives = zip(split.labels.sum(axis=0), split.positive_eyes, strict=True)
        rows.append(
            [
                name,
                f"{len(split):,}",
                f"{len(set(split.patients)):,}",
                *(f"{images}/{eyes}" for images, eyes in positives),
            ]
        )
    return "\n".join(align(rows))
