"""Labels that nobody has stated: kept unknown by tables, left out by metrics."""

from __future__ import annotations

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from realmnet_benchmarks.bootstrap import metric_intervals
from realmnet_benchmarks.intake.column_map import ColumnMap, LabelColumn
from realmnet_benchmarks.intake.commands import check
from realmnet_benchmarks.intake.data_check import check_data
from realmnet_benchmarks.intake.data_check_tables import check_table
from realmnet_benchmarks.intake.hospital_tables import read_hospital_table
from realmnet_benchmarks.intake.prepared_set import prepare_data
from realmnet_benchmarks.intake.reading import read_intake
from realmnet_benchmarks.metrics import MultilabelMetrics, multilabel_metrics
from realmnet_benchmarks.records import read_psmm
from realmnet_benchmarks.splits import Split
from realmnet_benchmarks.tables import read_table, write_table
from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_runtime.labels import PERIPHERAL, PSMM
from realmnet_runtime.pictures.preprocess import PreprocessSpec

HEADER = "P0,P1,P2,P3,P4,filename,ID"
ROWS = ("1,0,0,0,0,b.jpg,P-1", "0,1,,?,Unknown,a.jpg,P-2", "nan,0,1.0,0.0,0,c.jpg,P-2")
LABELS = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]
KNOWN = [[True] * 5, [True, True, False, False, False], [False, True, True, True, True]]
GOLDEN = "1d07694ee1d1b0713ff41a4ed33eea3845686870c4fc88e0d454c21b9ab2c16b"

Cells = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]


def write(path: Path, rows: tuple[str, ...] = ROWS, header: str = HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return read_table(write(tmp_path / "train.csv"), PERIPHERAL, unknown_labels="mask")


def test_empty_cells_are_unknown_only_where_that_is_asked_for(split: Split) -> None:
    assert split.labels.tolist() == LABELS
    assert split.known.tolist() == KNOWN
    assert not split.known.flags.writeable
    assert "4 labels unknown" in repr(split)
    with pytest.raises(ConfigurationError, match=r"line 3: label P2 is NaN.*'mask'"):
        read_table(split.images / "train.csv", PERIPHERAL)


def test_labels_that_exclude_each_other_are_never_masked(tmp_path: Path) -> None:
    header = f"{','.join(PSMM.codes)},filename,ID"
    path = write(tmp_path / "train.csv", ("1,0,1,0,0,0,,a.jpg,P-1",), header)
    with pytest.raises(ConfigurationError, match="may co-occur"):
        read_table(path, PSMM, unknown_labels="mask")
    with pytest.raises(ConfigurationError, match=r"label A4 is NaN; every label needs 0 or 1$"):
        read_table(path, PSMM)


def test_a_written_table_reads_back_with_the_same_unknown_labels(
    split: Split, tmp_path: Path
) -> None:
    write_table(tmp_path / "again.csv", split)
    again = read_table(tmp_path / "again.csv", PERIPHERAL, unknown_labels="mask")
    assert again.known.tolist() == KNOWN
    assert again.digest == split.digest


def test_choices_and_repeats_keep_what_is_unknown(split: Split) -> None:
    chosen = split.select([2, 1, 2])
    assert chosen.known.tolist() == [KNOWN[2], KNOWN[1], KNOWN[2]]
    assert split.select([]).known.shape == (0, 5)


def test_the_digest_changes_only_where_something_is_unknown(tmp_path: Path) -> None:
    def of(known: list[list[bool]] | None) -> str:
        columns = {} if known is None else {"known": np.array(known)}
        return Split(
            name="train",
            images=tmp_path,
            label_set=PERIPHERAL,
            files=("b.jpg", "a.jpg"),
            labels=np.array([[1, 0, 0, 0, 0], [0, 1, 0, 1, 0]], np.uint8),
            patients=("P-1", "P-2"),
            sources=("P", "P"),
            eyes=("OD", None),
            **columns,
        ).digest

    # Computed before tables knew unknown labels.
    assert of(None) == GOLDEN
    assert of([[True] * 5] * 2) == GOLDEN
    assert of([[True] * 5, [True, True, False, True, True]]) != GOLDEN


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (np.ones((2, 5), np.bool_), "one bool for each label"),
        (np.ones((1, 5), np.uint8), "one bool for each label"),
        (np.zeros((1, 5), np.bool_), "held as 0"),
    ],
)
def test_a_split_refuses_what_contradicts_itself(known: NDArray[np.bool_], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Split(
            name="train",
            images=Path(),
            label_set=PERIPHERAL,
            files=("a.jpg",),
            labels=np.array([[1, 0, 0, 0, 0]], np.uint8),
            patients=("P-1",),
            sources=("P",),
            eyes=(None,),
            known=known,
        )


def columns(policy: str) -> ColumnMap:
    labels = {code: LabelColumn(code) for code in PERIPHERAL.codes}
    return msgspec.convert(
        {"file": "filename", "patient": "ID", "labels": labels, "unknown_labels": policy},
        ColumnMap,
    )


def test_a_hospitals_table_is_refused_left_out_or_masked(tmp_path: Path) -> None:
    path = write(tmp_path / "city.csv")
    masked = read_hospital_table(path, columns("mask"), PERIPHERAL)
    assert (masked.labels.tolist(), masked.known.tolist()) == (LABELS, KNOWN)
    assert masked.left_out == ()
    left_out = read_hospital_table(path, columns("leave out"), PERIPHERAL)
    assert (left_out.files, left_out.left_out) == (("b.jpg",), (3, 4))
    assert left_out.known.all()
    with pytest.raises(ConfigurationError, match="line 3: 'P2' is unknown"):
        read_hospital_table(path, columns("refuse"), PERIPHERAL)
    with pytest.raises(ConfigurationError, match=r"column map: .*exclude each other"):
        read_hospital_table(path, columns("mask"), PSMM)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    home = tmp_path / "datasets/PSMM"
    write(home / "ImageSets/Main/MYOPIA/MYOPIA.csv")
    (home / "JPEGImages").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        cv2.imwrite(
            str(home / f"JPEGImages/{name}.jpg"),
            rng.integers(0, 255, (96, 120, 3)).astype(np.uint8),
        )
    return tmp_path


def test_the_released_layout_is_checked_and_prepared_with_unknown_labels(
    root: Path, tmp_path: Path
) -> None:
    intake = read_intake(root, label_set=PERIPHERAL, unknown_labels="mask")
    report = check_data(intake)
    assert report.tables["train"].counts.unknown == {"NoPL": 1, "HoT": 1, "RRD": 1, "PC": 1}
    assert "train: NoPL 1, HoT 1, RRD 1, PC 1" in check_table(report)
    prepare_data(intake, tmp_path / "out", PreprocessSpec(size=64, deborder="off"))
    prepared = read_psmm(tmp_path / "out", PERIPHERAL, "mask")["train"]
    assert (prepared.labels.tolist(), prepared.known.tolist()) == (LABELS, KNOWN)
    with pytest.raises(ConfigurationError, match="may co-occur"):
        read_psmm(root, PSMM, "mask")
    assert read_intake(root, label_set=PERIPHERAL).faults
    with pytest.raises(UsageError, match="into the column map"):
        check(root, columns=root / "map.toml", labels="peripheral", unknown_labels="mask")


@st.composite
def cells(draw: st.DrawFn) -> Cells:
    """Labels, scores with many ties, and which labels are known: any share, none included."""
    seed = draw(st.integers(0, 2**32 - 1))
    images, labels = draw(st.integers(1, 25)), draw(st.integers(1, 5))
    rng = np.random.default_rng(seed)
    truth = (rng.random((images, labels)) < rng.random(labels)).astype(np.int64)
    scores = rng.integers(0, 11, (images, labels)) / 10
    return truth, scores, rng.random((images, labels)) < draw(st.sampled_from([0.0, 0.5, 0.9, 1.0]))


def same(one: MultilabelMetrics, other: MultilabelMetrics, tolerance: float = 0.0) -> None:
    for name, value in one.items():
        np.testing.assert_allclose(value, other[name], rtol=tolerance, atol=tolerance, err_msg=name)  # type: ignore[literal-required]


def defined(values: list[float]) -> float:
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else np.nan


@settings(deadline=None, max_examples=80)
@given(cells())
def test_each_label_is_measured_on_the_images_that_state_it(table: Cells) -> None:
    truth, scores, known = table
    ours = multilabel_metrics(truth, scores, known=known)
    f1s, aps, aurocs = [], [], []
    for label, rows in enumerate(known.T):
        t, s = truth[rows, label], scores[rows, label]
        both, any_positive = 0 < t.sum() < len(t), t.sum() > 0
        aps.append(sk.average_precision_score(t, s) if any_positive else np.nan)
        aurocs.append(sk.roc_auc_score(t, s) if both else np.nan)
        called = (t + (s >= 0.5)).sum()
        f1s.append(sk.f1_score(t, s >= 0.5, zero_division=0) if called else np.nan)
        brier = sk.mean_squared_error(t, s) if len(t) else np.nan
        np.testing.assert_allclose(ours["brier_per_label"][label], brier, atol=1e-12)
    np.testing.assert_allclose(ours["ap_per_label"], aps, atol=1e-12)
    np.testing.assert_allclose(ours["auroc_per_label"], aurocs, atol=1e-12)
    np.testing.assert_allclose(ours["f1_per_label"], f1s, atol=1e-12)
    np.testing.assert_allclose(ours["ap_macro"], defined(aps), atol=1e-12)
    np.testing.assert_allclose(ours["f1_macro"], defined(f1s), atol=1e-12)
    np.testing.assert_array_equal(ours["positives"], (truth * known).sum(axis=0))


@settings(deadline=None, max_examples=80)
@given(cells())
def test_pooled_and_ranking_metrics_are_those_of_the_known_cells(table: Cells) -> None:
    truth, scores, known = table
    ours = multilabel_metrics(truth, scores, known=known)
    t, s = truth[known], scores[known]
    if 0 < t.sum() < len(t):
        np.testing.assert_allclose(ours["ap_micro"], sk.average_precision_score(t, s), atol=1e-12)
        np.testing.assert_allclose(ours["auroc_micro"], sk.roc_auc_score(t, s), atol=1e-12)
        np.testing.assert_allclose(ours["f1_micro"], sk.f1_score(t, s >= 0.5), atol=1e-12)
    wrong = sk.zero_one_loss(t, s > 0.5) if len(t) else np.nan
    np.testing.assert_allclose(ours["hamming_loss"], wrong, atol=1e-12)
    # An image is one problem of its own, over the labels that it states.
    coverage, ranking = [], []
    for row, row_scores, stated in zip(truth, scores, known, strict=True):
        if stated.any():
            one, its = row[stated][None], row_scores[stated][None]
            alone = its.shape[1] == 1
            coverage.append(float(one.sum()) if alone else sk.coverage_error(one, its))
            # Scikit-learn forgives half of a tie; a tie of a positive counts as an error here.
            ranking.append(0.0 if alone else sk.label_ranking_loss(one, its - 1e-6 * one))
    np.testing.assert_allclose(ours["coverage"], np.mean(coverage or [np.nan]), atol=1e-12)
    np.testing.assert_allclose(ours["ranking_loss"], np.mean(ranking or [np.nan]), atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(cells(), st.integers(0, 2**32 - 1))
def test_an_unknown_cell_changes_nothing_and_all_known_is_the_plain_table(
    table: Cells, seed: int
) -> None:
    truth, scores, known = table
    rng = np.random.default_rng(seed)
    other = np.where(known, truth, rng.integers(0, 2, truth.shape))
    guessed = np.where(known, scores, rng.random(scores.shape))
    same(
        multilabel_metrics(truth, scores, known=known),
        multilabel_metrics(other, guessed, known=known),
    )
    every = np.ones_like(known)
    same(multilabel_metrics(truth, scores, known=every), multilabel_metrics(truth, scores))
    # An image of which nothing is known is no image.
    padded = [np.concatenate([part, part[:1]]) for part in (truth, scores)]
    nothing = np.concatenate([known, np.zeros_like(known[:1])])
    same(
        multilabel_metrics(truth, scores, known=known),
        multilabel_metrics(padded[0], padded[1], known=nothing),
        1e-12,
    )


def test_intervals_are_those_of_the_known_cells() -> None:
    rng = np.random.default_rng(0)
    truth, scores = rng.integers(0, 2, (40, 3)), rng.random((40, 3))
    known = rng.random((40, 3)) < 0.7
    found = metric_intervals(truth, scores, np.arange(40) // 2, known=known, replicates=20)
    plain = multilabel_metrics(truth, scores, known=known)
    np.testing.assert_allclose(found["auroc_macro"].estimate, plain["auroc_macro"])
    first = known[:, 0]
    alone = metric_intervals(truth[first, :1], scores[first, :1], np.arange(first.sum()))
    np.testing.assert_allclose(found["ap_per_label"].of(0).estimate, alone["ap_macro"].estimate)


@pytest.mark.parametrize("known", [np.ones((2, 1), np.bool_), np.ones((2, 2))])
def test_known_of_another_shape_or_type_is_refused(known: NDArray[np.bool_]) -> None:
    with pytest.raises(UsageError, match="expected bool of"):
        multilabel_metrics([[1, 0], [0, 1]], [[0.9, 0.2], [0.1, 0.4]], known=known)
