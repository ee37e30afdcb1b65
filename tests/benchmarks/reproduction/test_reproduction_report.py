"""The report's figures against the metrics themselves, and what every page must say."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from realmnet_benchmarks.bootstrap import metric_intervals, paired_difference
from realmnet_benchmarks.image_bootstrap import metric_replicates_by_image, t_test_of_replicates
from realmnet_benchmarks.metrics import multilabel_metrics
from realmnet_benchmarks.pages.document import NO_FIGURE, NOT_RUN, UNDEFINED
from realmnet_benchmarks.reproduction import (
    STUDY_PLANS,
    Document,
    Draws,
    Results,
    html_page,
    json_page,
    read_results,
    reproduction_report,
    text_page,
)
from realmnet_benchmarks.reproduction.comparison_tables import comparison_table
from realmnet_benchmarks.reproduction.figures import ranking_figures
from realmnet_benchmarks.reproduction.measured import Measured
from realmnet_benchmarks.reproduction.model_tables import label_tables
from realmnet_benchmarks.score_facts import PHANTOMS
from realmnet_benchmarks.score_tables import ScoreTable, save_scores
from realmnet_runtime.cli import main
from realmnet_runtime.errors import ConfigurationError, IntegrityError, MissingPath

from .conftest import DRAWS, make_table, renamed, save_all

NOTICE = f"measured on {PHANTOMS}. Research use only."


@pytest.fixture(scope="module")
def document(results: Results) -> Document:
    return reproduction_report(results)


@pytest.fixture(scope="module")
def printed(document: Document) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(json_page(document)))
    return content


@pytest.fixture(scope="module")
def page(document: Document) -> str:
    return html_page(document)


def table_of(printed: dict[str, Any], key: str) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Cells by head of one table."""
    found = [t for section in printed["sections"] for t in section["tables"] if t["key"] == key]
    assert len(found) == 1, key
    return {tuple(row["head"]): row["cells"] for row in found[0]["rows"]}


def model(tables: list[ScoreTable], title: str) -> ScoreTable:
    return next(t for t in tables if (t.facts.model, t.test.name) == (title, "test"))


@pytest.mark.parametrize("metric", ["f1", "ap", "auroc"])
def test_figures_per_label_are_the_metrics(
    printed: dict[str, Any], tables: list[ScoreTable], metric: str
) -> None:
    rows = table_of(printed, f"labels-{metric}")
    table = model(tables, "RealMNet")
    measured = multilabel_metrics(table.labels, table.probabilities)
    expected = [*measured[f"{metric}_per_label"], measured[f"{metric}_macro"]]
    ours = [cell["value"] for cell in rows["RealMNet", "ours"]]
    assert ours == pytest.approx(expected, rel=1e-12)
    theirs = [cell["value"] for cell in rows["RealMNet", "published"]]
    gaps = [cell["value"] for cell in rows["RealMNet", "difference"]]
    assert gaps == pytest.approx(np.subtract(ours, theirs), abs=1e-12)
    intervals = metric_intervals(
        table.labels,
        table.probabilities,
        table.patients,
        replicates=DRAWS.replicates,
        seed=DRAWS.seed,
    )
    low = [cell["low"] for cell in rows["RealMNet", "95 % by patient"]]
    wanted = [*intervals[f"{metric}_per_label"].low, float(intervals[f"{metric}_macro"].low)]
    assert low == pytest.approx(wanted, rel=1e-12)


def test_all_measures_of_a_model(printed: dict[str, Any], tables: list[ScoreTable]) -> None:
    rows = table_of(printed, "overall-1")
    table = model(tables, "DeiT-B")
    scores, labels = table.probabilities, table.labels
    replicates = metric_replicates_by_image(
        labels, scores, replicates=DRAWS.replicates, seed=DRAWS.seed
    )
    published, ours, difference, _, by_image, error = rows["F1 macro, %",]
    assert ours["value"] == pytest.approx(sk.f1_score(labels, scores >= 0.5, average="macro"))
    assert published == difference == {"text": NO_FIGURE}
    assert by_image["low"] == pytest.approx(float(replicates["f1_macro"].low))
    assert error["value"] == pytest.approx(float(replicates["f1_macro"].table_error))
    assert rows["coverage, labels",][1]["value"] == pytest.approx(sk.coverage_error(labels, scores))
    assert rows["ranking loss",][1]["value"] == pytest.approx(sk.label_ranking_loss(labels, scores))
    assert rows["Hamming loss",][1]["value"] == pytest.approx(sk.hamming_loss(labels, scores > 0.5))
    brier = np.mean([sk.brier_score_loss(t, s) for t, s in zip(labels.T, scores.T, strict=True)])
    assert rows["Brier score, mean of labels",][1]["value"] == pytest.approx(brier)


def test_the_operating_point_is_measured_on_calibrated_scores(
    printed: dict[str, Any], tables: list[ScoreTable]
) -> None:
    rows = table_of(printed, "operating-points")
    table = model(tables, "RealMNet")
    assert table.calibrated is not None
    expected = sk.f1_score(table.labels, table.calibrated >= 0.4, average="macro")
    assert rows["RealMNet", "fitted"][0]["value"] == pytest.approx(expected)
    assert rows["DeiT-B", "no operating point"][0] == {"text": "not fitted"}


def test_comparison_has_the_papers_p_and_the_paired_interval(
    printed: dict[str, Any], tables: list[ScoreTable]
) -> None:
    rows = table_of(printed, "comparison")
    one, other = model(tables, "RealMNet"), model(tables, "DeiT-B")
    draws = {"replicates": DRAWS.replicates, "seed": DRAWS.seed}
    paired = paired_difference(
        one.labels, one.probabilities, other.probabilities, one.patients, **draws
    )["ap_macro"]
    first, second = (
        metric_replicates_by_image(t.labels, t.probabilities, **draws)["ap_macro"]
        for t in (other, one)
    )
    _, _, gap, p = rows["DeiT-B", "AP macro (mAP), %"]
    assert (gap["value"], gap["low"], gap["high"]) == pytest.approx(
        (float(paired.estimate), float(paired.low), float(paired.high))
    )
    assert p["value"] == pytest.approx(float(t_test_of_replicates(first, second)))


def test_models_on_other_images_are_not_compared_in_pairs() -> None:
    pair = [make_table(images=40), make_table("Swin-B", images=40, seed=3)]
    tables = tuple(map(measured, pair))
    rows = {row.head: row.cells for row in comparison_table(tables, tables[0], "RealMNet").rows}
    assert rows["Swin-B", "F1 macro, %"][2].text == "other images"
    absent = {row.head: row.cells for row in comparison_table(tables, None, "RealMNet").rows}
    assert absent["Swin-B", "F1 macro, %"][2].text == NOT_RUN


def measured(table: ScoreTable) -> Measured:
    return Measured(table, Draws(2))


def test_grades_are_counted_as_scikit_learn_does(
    printed: dict[str, Any], tables: list[ScoreTable]
) -> None:
    rows = table_of(printed, "confusion")
    table = model(tables, "RealMNet")
    truth, scores = table.labels[:, 2:], table.probabilities[:, 2:]
    expected = sk.confusion_matrix(truth.argmax(axis=1), scores.argmax(axis=1)).T
    counts = [[cell["value"] for cell in cells] for cells in rows.values()]
    assert counts[:5] == expected.tolist()
    unclear = (scores >= 0.5).sum(axis=1) != 1
    assert counts[5] == truth[unclear].sum(axis=0).tolist()


def test_sources_and_studies(printed: dict[str, Any], tables: list[ScoreTable]) -> None:
    table = model(tables, "RealMNet")
    chosen = table.sources == 1
    expected = multilabel_metrics(table.labels[chosen], table.probabilities[chosen])["ap_macro"]
    assert table_of(printed, "sources")["PhantomB",][2]["value"] == pytest.approx(expected)
    rows = table_of(printed, "study-label-efficiency")
    assert rows["image 224, share 0.2", "RealMNet"][0]["value"] > 0
    assert all(cell["text"] == NOT_RUN for cell in rows["image 512, share 0.9", "any model"])
    grid = table_of(printed, "grid-label-efficiency-ap")
    assert [cell["text"] == NOT_RUN for cell in grid["224",]] == [False, False, True, False]
    theirs, gap, *_ = table_of(printed, "study-peripheral")["start psmm", "RealMNet"]
    assert theirs["value"] == 0.8642
    assert gap["value"] != 0
    assert len(table_of(printed, "study-tea")) == 1


def test_protocols_and_counts(printed: dict[str, Any]) -> None:
    mrp = table_of(printed, "protocol-mrp")
    assert list(mrp) == [("RealMNet", "PhantomB"), ("RealMNet", "PhantomC")]
    counts = table_of(printed, "resampled")
    assert [cell["value"] for cell in counts["CIP", "all-sources"]] == [24_683, 24_700, 17]
    assert counts["CGP", "without-LishuiZ"][1]["text"] == NOT_RUN
    sizes = table_of(printed, "sizes")
    assert sizes["RealMNet",][1]["value"] == 20.661552
    assert sizes["DeiT-B",][1]["text"] == NOT_RUN


def test_no_cell_is_blank(document: Document) -> None:
    absent = {NOT_RUN, NO_FIGURE, UNDEFINED}
    for section in document.sections:
        for table in section.tables:
            width = len(table.columns)
            for row in table.rows:
                assert len(row.head) + len(row.cells) == width, table.key
                assert all(word.strip() for word in row.head), table.key
                for cell in row.cells:
                    assert cell.text.strip(), table.key
                    assert cell.text not in absent or cell.value is None


def test_keys_are_unique(document: Document) -> None:
    for kind in ("tables", "figures"):
        keys = [each.key for section in document.sections for each in getattr(section, kind)]
        assert len(set(keys)) == len(keys)
    assert {f"study-{name}" for name in STUDY_PLANS} <= {s.key for s in document.sections}


class Loads(HTMLParser):
    """Collects whatever a browser would fetch or jump to, and ids."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "data", "action", "srcset"}:
                self.references.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def test_the_page_loads_nothing(page: str) -> None:
    loads = Loads()
    loads.feed(page)
    assert not loads.tags & {"script", "link", "img", "iframe", "object", "embed", "base"}
    assert all(reference.startswith("#") for reference in loads.references)
    assert len(set(loads.ids)) == len(loads.ids)
    assert {reference[1:] for reference in loads.references} <= set(loads.ids)
    assert "http" not in page
    assert "@import" not in page
    assert set(re.findall(r"url\((.)", page)) <= {"#"}


def test_every_section_table_and_figure_says_on_what_it_was_measured(
    document: Document, page: str
) -> None:
    sections = re.findall(r"<section.*?</section>", page, re.DOTALL)
    assert len(sections) == len(document.sections)
    assert all(NOTICE in section for section in sections)
    for tag in ("caption", "figcaption"):
        parts = re.findall(rf"<{tag}>.*?</{tag}>", page, re.DOTALL)
        assert parts
        assert all(NOTICE in part for part in parts)
    assert text_page(document).count(NOTICE) == len(document.sections) + sum(
        len(section.tables) for section in document.sections
    )


def test_drawings_take_the_pages_colours_and_are_the_same_each_time(
    results: Results, document: Document, page: str
) -> None:
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert not re.search(r"#0103|#0102", svg)
        assert "var(--ink)" in svg
        assert "<text" in svg
    reference = results.reference("RealMNet")
    assert reference is not None
    drawn = {figure for section in document.sections for figure in section.figures}
    assert set(ranking_figures(reference)) <= drawn


def test_phantoms_and_real_pictures_are_not_mixed(tmp_path: Path) -> None:
    tables = [make_table(images=20), make_table("Swin-B", images=20, measured_on="PSMM")]
    save_all(tables, tmp_path)
    with pytest.raises(ConfigurationError, match=r"'models' mixes .* PSMM and on synthetic"):
        read_results(tmp_path, DRAWS)


def test_one_cell_is_not_counted_twice(tmp_path: Path) -> None:
    table = make_table(images=20)
    save_all([table, table], tmp_path)
    with pytest.raises(ConfigurationError, match="2 score tables are the same cell"):
        read_results(tmp_path, DRAWS)


def test_a_damaged_table_is_not_left_out_in_silence(tmp_path: Path) -> None:
    save_all([make_table(images=20)], tmp_path)
    (tmp_path / "b.scores.npz").write_bytes(b"no zip")
    with pytest.raises(IntegrityError):
        read_results(tmp_path, DRAWS)


def test_a_folder_without_results(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match="holds no score table"):
        read_results(tmp_path, DRAWS)
    with pytest.raises(MissingPath, match="no folder"):
        read_results(tmp_path / "none", DRAWS)


def test_real_pictures_are_named_and_missing_sources_said(tmp_path: Path) -> None:
    place = {"protocol": "mrp", "run": "from-ShenzhenEye", "sources": ("LishuiR",)}
    table = make_table(images=20, measured_on="PSMM as released", name="test_LishuiR", **place)
    save_scores(table, tmp_path / "a.scores.npz")
    found = reproduction_report(read_results(tmp_path, Draws(2)))
    text = text_page(found)
    assert "phantoms" not in text
    assert text.count("measured on PSMM as released") >= len(found.sections)
    rows = table_of(json_page(found), "protocol-mrp")
    assert rows["any model", "Zhongshan"][0]["text"] == NOT_RUN
    assert "the folder holds no RealMNet under protocol 'cip'" in text


def test_two_variants_of_a_model_are_told_apart() -> None:
    one = make_table(images=30)
    other = renamed(one, variant="bce", upsampled=True)
    third = renamed(one, variant="linear")
    (table, *_) = label_tables(tuple(map(measured, [one, other, third])))
    heads = {row.head[0] for row in table.rows if row.head[1] == "ours"}
    assert {"RealMNet, realmnet", "RealMNet (upsampled), bce", "RealMNet, linear"} <= heads


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_all([make_table(images=30)], tmp_path / "results")
    out = tmp_path / "report.html"
    words = ["report", "reproduction", str(tmp_path / "results"), "--replicates", "2"]
    assert main([*words, "--out", str(out), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["sections"][0]["key"] == "models"
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main(["report", "reproduction", str(tmp_path / "none")]) == MissingPath.exit_code
