"""A study run on synthetic phantoms: measured as by hand, finished cells never trained again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import typer

from realmnet_benchmarks.metrics import multilabel_metrics
from realmnet_benchmarks.records import read_psmm
from realmnet_benchmarks.score_tables import read_scores
from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_training.checkpoint import load_network
from realmnet_training.commands import evaluate
from realmnet_training.data.selection import choose_test
from realmnet_training.fitting.run_folder import RunFolder
from realmnet_training.measuring.evaluation import compute_logits
from realmnet_training.pictures.prepared import prepare_split
from realmnet_training.studies import (
    PlannedCell,
    StudyRequest,
    plan_study,
    read_scale,
    read_study,
    run_study,
)
from realmnet_training.studies.commands import study

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = [
    "preprocess.size=64",
    "fit.stages.0.image=64",
    "fit.freeze=4",
    "data.resampling=none",
    "mix={mixup=0, cutmix=0}",
]
REQUEST = StudyRequest(changes=tuple(TINY), scale=read_scale("smoke"))


def run(
    data: Path, out: Path, capsys: pytest.CaptureFixture[str], *only: str
) -> list[dict[str, Any]]:
    study(
        "boundary",
        data=data,
        out=out,
        only=list(only),
        scale="smoke",
        changes=TINY,
        as_json=True,
    )
    cells: list[dict[str, Any]] = msgspec.json.decode(capsys.readouterr().out)["cells"]
    return cells


@pytest.mark.slow
def test_a_study_is_measured_as_by_hand_and_resumes_where_it_stood(
    phantom_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    one = run(phantom_data, out, capsys, "with-boundary")
    assert [cell["state"] for cell in one] == ["done"]
    home = out / "boundary" / "with-boundary"
    trained = (home / "checkpoint.safetensors").stat()
    first = (home / "test.scores.npz").read_bytes()

    # as if the machine had stopped after the first training, and at the start of the second
    (home / "cell.json").unlink()
    cells = plan_study(read_study("boundary"), REQUEST)
    assert isinstance(cells[1], PlannedCell)
    RunFolder(out / "boundary" / "without-boundary").open(cells[1].preset, resume=False)
    both = run(phantom_data, out, capsys)
    assert [cell["state"] for cell in both] == ["done", "done"]
    assert (home / "checkpoint.safetensors").stat().st_mtime_ns == trained.st_mtime_ns
    assert (home / "test.scores.npz").read_bytes() == first
    again = run(phantom_data, out, capsys)
    assert [cell["state"] for cell in again] == ["skipped", "skipped"]
    assert [cell["tests"] for cell in again] == [cell["tests"] for cell in both]

    model, facts = load_network(home / "checkpoint.safetensors")
    test = read_psmm(phantom_data)["test"]
    prepared = prepare_split(test, facts.spec, tmp_path / "cache", workers=1)
    scores = read_scores(home / "test.scores.npz")
    logits = compute_logits(model, prepared, facts.spec)
    np.testing.assert_allclose(scores.logits, logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(scores.labels, test.labels)
    metrics = multilabel_metrics(test.labels, scores.probabilities)
    assert one[0]["tests"]["test"]["ap_macro"] == pytest.approx(metrics["ap_macro"])
    assert scores.facts.measured_on == "synthetic phantoms"
    assert scores.facts.preset == "realmnet at scale smoke"
    assert scores.facts.factors == {"boundary": "with"}
    assert (scores.facts.model, scores.facts.image) == ("RealMNet-5M", 64)
    assert not scores.facts.upsampled
    assert scores.facts.operating_point == facts.operating_point
    assert scores.facts.training.train_digest == read_psmm(phantom_data)["train"].digest

    written = tmp_path / "alone.scores.npz"
    checkpoint = home / "checkpoint.safetensors"
    evaluate(checkpoint=checkpoint, data=phantom_data, scores=written, as_json=True)
    alone = read_scores(written)
    np.testing.assert_allclose(alone.logits, scores.logits, rtol=1e-5, atol=1e-6)
    assert (alone.facts.study, alone.facts.protocol) == ("models", "cip")
    with pytest.raises(UsageError, match=r"end it in \.scores\.npz"):
        evaluate(checkpoint=checkpoint, data=phantom_data, scores=tmp_path / "scores.npz")

    # under another protocol the same table would hold what was trained on
    assert facts.preset is not None
    names = {"ShenzhenEye": "PhantomA", "SUSTech": "PhantomB"}
    robust = msgspec.structs.replace(
        facts.preset.data, protocol="mrp", run="from-PhantomA", sources=names
    )
    other = msgspec.structs.replace(
        facts, preset=msgspec.structs.replace(facts.preset, data=robust)
    )
    assert choose_test(facts, read_psmm(phantom_data), "test").digest == test.digest
    chosen = choose_test(other, read_psmm(phantom_data), "PhantomB")
    assert set(chosen.sources) == {"PhantomB"}
    with pytest.raises(ConfigurationError, match="holds images of PhantomA"):
        choose_test(other, read_psmm(phantom_data), "test")

    changed = run_study(
        plan_study(
            read_study("boundary"),
            StudyRequest((), (*TINY, "fit.seed=3"), read_scale("smoke")),
        ),
        phantom_data,
        out,
    )
    assert {cell.state for cell in changed} == {"failed"}
    assert "another preset" in changed[0].reason


def test_a_cell_that_fails_does_not_stop_the_others_and_is_told(
    phantom_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as stopped:
        study(
            "models",
            data=phantom_data,
            out=tmp_path,
            only=["realmnet-mrp", "realmnet-cgp-sustech", "realmnet-cgp-zhongshan", "swin_b-cip"],
            scale="smoke",
            sources=["ShenzhenEye=PhantomX", "SUSTech=PhantomB"],
        )
    assert stopped.value.exit_code == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("realmnet-mrp")] == ["failed"]
    assert "failed: realmnet-mrp: no image of source 'PhantomX'" in printed.out
    assert "left out: swin_b-cip" in printed.out
    assert "left out: realmnet-cgp-zhongshan" in printed.out
    assert "cell 4 of 4" in printed.err


def test_a_dry_run_prints_every_cell_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study("freezing", out=tmp_path / "out", scale="small", dry_run=True)
    text = capsys.readouterr().out
    assert "frozen-4" in text
    assert "two CPU cores" in text
    study("freezing", scale="small", dry_run=True, as_json=True)
    answer = msgspec.json.decode(capsys.readouterr().out)
    assert [cell["preset"]["fit"]["freeze"] for cell in answer["cells"]] == [0, 1, 2, 3, 4]
    assert not (tmp_path / "out").exists()
    with pytest.raises(typer.BadParameter, match="--data and --out"):
        study("freezing")
