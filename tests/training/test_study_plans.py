"""Studies as data: every cell differs from its base as it says and in nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from realmnet_benchmarks.published import read_published
from realmnet_benchmarks.reproduction.study_plans import STUDY_PLANS
from realmnet_runtime.errors import ConfigurationError, MissingPath, UsageError
from realmnet_training.config import Preset, load_preset
from realmnet_training.measuring.scoring import model_title, resampling_title
from realmnet_training.networks.baselines import BASELINES
from realmnet_training.studies import (
    SCALES,
    STUDIES,
    LeftOut,
    PlannedCell,
    Study,
    StudyRequest,
    plan_study,
    read_scale,
    read_study,
)
from realmnet_training.studies.commands import parse_sources

PHANTOMS = {"ShenzhenEye": "PhantomA", "SUSTech": "PhantomB", "LishuiR": "PhantomC"}
WHERE = {
    "models": {"data", "model", "fit", "preprocess", "name", "description"},
    "label-efficiency": {"data.share", "preprocess.size", "fit.stages.0.image"},
    "freezing": {"fit.freeze"},
    "augmentation": {"augment", "mix.mixup", "mix.cutmix", "model.head", "fit.stages.0.loss"},
    "drop-path": {"model.drop_path", "model.head", "fit.stages.0.loss"},
    "resolution": {"preprocess.size", "fit.stages.0.image"},
    "resampling": {"data.resampling"},
    "loss": {"fit.stages.0.loss", "model.head"},
    "two-way-loss": {"fit.stages.0.loss", "model.head"},
    "csra": {"model.head", "model.heads", "model.lam"},
    "pre-training": {"model.pretrained"},
    "boundary": {"preprocess.deborder"},
    "peripheral": {"model.backbone"},
    "components": {"data.resampling", "fit.stages.0.loss", "model.head"},
}


def planned(
    study: str, *, only: tuple[str, ...] = (), changes: tuple[str, ...] = (), scale: str = "paper"
) -> dict[str, PlannedCell]:
    request = StudyRequest(only, changes, read_scale(scale))
    cells = plan_study(read_study(study), request)
    return {cell.name: cell for cell in cells if isinstance(cell, PlannedCell)}


def flat(value: object, place: str = "") -> dict[str, object]:
    if isinstance(value, Mapping):
        parts = [(str(key), part) for key, part in value.items()]
    elif isinstance(value, list | tuple):
        parts = [(str(number), part) for number, part in enumerate(value)]
    else:
        return {place: value}
    found: dict[str, object] = {}
    for key, part in parts:
        found |= flat(part, f"{place}.{key}" if place else key)
    return found


def changed(one: Preset, other: Preset) -> set[str]:
    first, second = flat(msgspec.to_builtins(one)), flat(msgspec.to_builtins(other))
    return {key for key in first.keys() | second.keys() if first.get(key) != second.get(key)}


@pytest.mark.parametrize("name", STUDIES)
def test_every_cell_differs_from_its_base_in_what_the_study_is_about(name: str) -> None:
    study = read_study(name)
    cells = plan_study(study, StudyRequest())
    assert study.name == name
    assert not [cell for cell in cells if isinstance(cell, LeftOut)]
    base = load_preset(study.base)
    allowed = WHERE[name] | {"data.protocol", "data.run"}
    for cell in planned(name).values():
        for key in changed(cell.preset, base):
            assert any(key == place or key.startswith(f"{place}.") for place in allowed), key
    presets = [cell.preset for cell in planned(name).values()]
    assert all(one != other for i, one in enumerate(presets) for other in presets[:i])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", STUDIES)
def test_every_cell_resolves_at_every_scale_or_says_why_not(name: str, scale: str) -> None:
    size = read_scale(scale)
    cells = plan_study(read_study(name), StudyRequest(scale=size, sources=PHANTOMS))
    assert len({cell.name for cell in cells}) == len(read_study(name).expanded())
    for cell in cells:
        if isinstance(cell, LeftOut):
            assert cell.reason
        elif scale != "paper":
            assert cell.preset.model.size == "5m"
            assert cell.preset.model.pretrained is None
            assert cell.preset.preprocess.size <= 288


def test_cells_hold_what_their_names_say() -> None:
    assert planned("drop-path")["drop-path-0.3"].preset.model.drop_path == 0.3
    assert planned("freezing")["frozen-2"].preset.fit.freeze == 2
    cell = planned("label-efficiency")["image-224-share-0.2"]
    assert (cell.preset.data.share, cell.preset.preprocess.size) == (0.2, 224)
    assert cell.factors == {"image": 224, "share": 0.2}
    loss = planned("two-way-loss")["two-way-4-0.5"].preset.fit.stages[0].loss
    assert msgspec.to_builtins(loss) == {"type": "two_way", "t_pos": 4.0, "t_neg": 0.5}
    assert len(planned("two-way-loss")) == 16
    resampling = planned("resampling")
    assert resampling["none"].preset.data.resampling is None
    assert {resampling_title(cell.preset.data) for cell in resampling.values()} >= {
        "none",
        "remedial",
        "ml-rus 0.2",
        "remedial-hwr 0.3",
    }
    boundary = planned("boundary")
    assert boundary["without-boundary"].preset.preprocess.deborder == "crop+mask"
    assert planned("pre-training")["from-random-weights"].preset.model.pretrained is None


def test_the_models_study_has_every_network_under_every_run() -> None:
    cells = planned("models")
    places = {
        (model_title(c.preset), c.preset.data.protocol, c.protocol_run) for c in cells.values()
    }
    models = {"RealMNet", "RealMNet-Max", *(spec.title for spec in BASELINES.values())}
    sources = ("SUSTech", "LishuiR", "Zhongshan", "LishuiZ")
    runs = {("cip", "all-sources"), ("mrp", "from-ShenzhenEye")}
    runs |= {("cgp", f"without-{source}") for source in sources}
    assert places == {(model, *run) for model in models for run in runs}
    names = set(read_published().complexity.models)
    assert models == names


def test_other_sources_take_the_places_of_psmms() -> None:
    plan = plan_study(read_study("models"), StudyRequest(only=("realmnet-*",), sources=PHANTOMS))
    cells = {cell.name: cell for cell in plan}
    robust, across = cells["realmnet-mrp"], cells["realmnet-cgp-sustech"]
    assert isinstance(robust, PlannedCell)
    assert isinstance(across, PlannedCell)
    assert robust.protocol_run == "from-PhantomA"
    run = robust.preset.data.protocol_run()
    assert run is not None
    assert list(run.tests) == ["PhantomB", "PhantomC"]
    assert across.protocol_run == "without-PhantomB"
    gone = cells["realmnet-cgp-zhongshan"]
    assert isinstance(gone, LeftOut)
    assert "no run of protocol 'cgp'" in gone.reason


def test_a_cells_own_changes_hold_against_those_of_the_command_and_the_scale() -> None:
    changes = ("model.drop_path=0.25", "model.pretrained=weights.pth", "fit.seed=7")
    cells = planned("drop-path", changes=changes, scale="small")
    assert cells["drop-path-0.1"].preset.model.drop_path == 0.1
    assert cells["drop-path-0.1"].preset.fit.seed == 7
    trained = planned("pre-training", changes=changes, scale="small")
    assert trained["pre-trained"].preset.model.pretrained == "weights.pth"
    assert trained["from-random-weights"].preset.model.pretrained is None
    small = planned("resolution", scale="small")
    assert [cell.factors["image"] for cell in small.values()] == [160, 224, 288]
    assert [cell.preset.preprocess.size for cell in small.values()] == [160, 224, 288]


def test_a_scale_gives_every_cell_the_same_pictures_and_leaves_it_its_own_loss() -> None:
    cells = planned("components", scale="small")
    (plain,), (everything,) = (cells[name].preset.fit.stages for name in ("plain", "all"))
    assert [plain.image, everything.image] == [224, 224]
    assert [msgspec.to_builtins(each.loss)["type"] for each in (plain, everything)] == [
        "bce",
        "asymmetric",
    ]
    assert (plain.epochs, plain.steps, plain.batch) == (
        everything.epochs,
        everything.steps,
        everything.batch,
    )


def test_two_cells_that_come_to_one_training_run_once() -> None:
    plan = plan_study(read_study("pre-training"), StudyRequest(scale=read_scale("small")))
    assert isinstance(plan[1], LeftOut)
    assert "same training as 'pre-trained'" in plan[1].reason


@pytest.mark.parametrize("name", sorted(STUDY_PLANS))
def test_a_study_has_every_cell_that_the_report_plans(name: str) -> None:
    factors = [cell.factors for cell in planned(name).values()]
    for cell in STUDY_PLANS[name].cells:
        assert any(cell.items() <= found.items() for found in factors), cell


def test_published_places_are_there() -> None:
    known: Any = msgspec.to_builtins(read_published())
    keys = {cell.published for name in STUDIES for cell in read_study(name).expanded()}
    for key in filter(None, keys):
        place = known
        for part in key.split("."):
            assert part in place, key
            place = place[part]


def test_what_is_misspelt_is_refused_with_the_nearest() -> None:
    with pytest.raises(MissingPath, match="did you mean 'freezing'"):
        read_study("freezin")
    with pytest.raises(MissingPath, match="did you mean 'small'"):
        read_scale("smal")
    with pytest.raises(UsageError, match="did you mean 'frozen-0'"):
        planned("freezing", only=("frozen0",))
    with pytest.raises(ConfigurationError, match="did you mean 'seed'"):
        planned("freezing", changes=("fit.sed=1",))
    with pytest.raises(UsageError, match="did you mean 'SUSTech'"):
        parse_sources(["SUStech=Ours"])
    with pytest.raises(UsageError, match="one place"):
        parse_sources(["SUSTech=Ours", "LishuiR=Ours"])
    with pytest.raises(UsageError, match="must look like"):
        parse_sources(["SUSTech"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grids": [{"name": "a-<b>", "axes": {"c": [1]}}]}, "names the axis 'b'"),
        ({"grids": [{"name": "a-<b>", "axes": {"b": [1, 1]}}]}, "each once"),
        ({"cells": [{"name": "a"}, {"name": "a"}]}, "'a' twice"),
        ({"cells": []}, "one or more"),
        ({"cells": [{"name": "a"}], "published": {"b": "peripheral"}}, "none of its cells"),
    ],
)
def test_definitions_that_contradict_themselves_are_refused(
    change: dict[str, Any], words: str
) -> None:
    with pytest.raises((ConfigurationError, msgspec.ValidationError), match=words):
        msgspec.convert({"name": "x", "title": "X", "reproduces": "nothing"} | change, Study)
