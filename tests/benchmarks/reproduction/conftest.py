"""A small folder of score tables as a run of everything would leave it, from random scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pytest

from realmnet_benchmarks.reproduction import Draws, Results, read_results
from realmnet_benchmarks.score_facts import PHANTOMS, ScoreFacts, TableFacts, TrainingFacts
from realmnet_benchmarks.score_tables import ScoreTable, save_scores
from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.labels import PERIPHERAL, PSMM, LabelSet

DRAWS: Final = Draws(replicates=20, seed=7)


def make_table(
    model: str = "RealMNet",
    *,
    skill: float = 2.0,
    images: int = 120,
    sources: tuple[str, ...] = ("PhantomA", "PhantomB"),
    name: str = "test",
    seed: int = 0,
    label_set: LabelSet = PSMM,
    fitted: bool = False,
    **facts: object,
) -> ScoreTable:
    """Labels of the released structure, logits that know them by `skill`."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((images, len(label_set)), np.uint8)
    if label_set is PSMM:
        # Each label occurs, however few the images.
        grades = np.concatenate(
            [np.arange(5), rng.choice(5, images - 5, p=[0.1, 0.5, 0.2, 0.1, 0.1])]
        )
        labels[np.arange(images), 2 + grades] = 1
        labels[:, 0], labels[:, 1] = np.arange(images) % 3 > 0, np.arange(images) % 3 == 0
    else:
        labels[:] = rng.random(labels.shape) < 0.3
    noise = np.random.default_rng(seed + 1000 + len(model)).normal(size=labels.shape)
    point = OperatingPoint(
        temperatures=dict.fromkeys(label_set.names, 1.7),
        thresholds=dict.fromkeys(label_set.names, 0.4),
        fitted_on="val",
    )
    known: dict[str, Any] = {
        "study": "models",
        "variant": model.lower(),
        "model": model,
        "preset": model.lower(),
        "run": "all-sources",
        "measured_on": PHANTOMS,
        "image": 384,
        "upsampled": False,
        "training": TrainingFacts(
            images=24_700, epochs=50, resampling="ml-rus 0.2", seed=42, train_digest="a" * 64
        ),
        "operating_point": point if fitted else None,
        "protocol": "cip",
        "software": {"numpy": np.__version__},
    }
    return ScoreTable(
        facts=ScoreFacts(**{**known, **facts}),
        test=TableFacts(
            name=name,
            label_set=label_set.name,
            labels=label_set.names,
            sources=sources,
            digest=f"{seed:064x}",
        ),
        logits=(skill * (2.0 * labels - 1) + 2 * noise - 0.5).astype(np.float32),
        labels=labels,
        patients=(np.arange(images) // 4).astype(np.int32),
        eyes=(np.arange(images) // 2 % 2).astype(np.int8),
        exams=np.where(np.arange(images) % 10 == 0, -1, np.arange(images) // 2).astype(np.int32),
        sources=(np.arange(images) // 4 % len(sources)).astype(np.int16),
    )


def whole_folder(images: int = 120) -> list[ScoreTable]:
    """Models, protocols and most studies."""
    tables = [
        make_table(fitted=True, images=images, parameters=20_661_552, macs=13_900_000_000),
        make_table("RealMNet-Max", skill=2.2, images=images, image=512, upsampled=True),
        make_table("DeiT-B", skill=1.5, images=images),
    ]
    for source in ("PhantomB", "PhantomC"):
        for protocol, run in (("mrp", "from-PhantomA"), ("cgp", f"without-{source}")):
            name = f"test_{source}"
            place = {"protocol": protocol, "run": run, "name": name, "sources": (source,)}
            tables.append(make_table(images=images // 2, seed=len(source), **place))
    for share in (0.2, 0.5, 1.0):
        for image in (224, 384):
            cell = {"study": "label-efficiency", "variant": f"share-{share}-{image}"}
            facts = cell | {"image": image, "factors": {"share": share, "image": image}}
            tables.append(make_table(skill=share + image / 300, images=images, **facts))
    for loss in ("bce", "asymmetric"):
        cell = {"study": "loss", "variant": loss, "factors": {"loss": loss}}
        tables.append(make_table(images=images, **cell))
    cell = {"study": "peripheral", "variant": "psmm", "factors": {"start": "psmm"}}
    tables.append(make_table(label_set=PERIPHERAL, images=images, **(cell | {"protocol": ""})))
    tables.append(make_table(images=images, study="tea", variant="green"))
    return tables


def save_all(tables: list[ScoreTable], folder: Path) -> Path:
    for number, table in enumerate(tables):
        place = folder / table.facts.study
        place.mkdir(parents=True, exist_ok=True)
        save_scores(table, place / f"{number}.scores.npz")
    return folder


@pytest.fixture(scope="session")
def tables() -> list[ScoreTable]:
    return whole_folder()


@pytest.fixture(scope="session")
def folder(tables: list[ScoreTable], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_all(tables, tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def results(folder: Path) -> Results:
    return read_results(folder, DRAWS)


def renamed(table: ScoreTable, **facts: object) -> ScoreTable:
    return ScoreTable(
        **{
            name: getattr(table, name)
            for name in ("test", "logits", "labels", "patients", "eyes", "exams", "sources")
        },
        facts=msgspec.structs.replace(table.facts, **facts),
    )
