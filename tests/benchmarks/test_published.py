"""Published figures against the table they were taken from, and against each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from realmnet_benchmarks.published import read_published
from realmnet_runtime.labels import PSMM

REFERENCE = Path(__file__).parents[3] / "shared/reference/REALMNET.md"
needs_reference = pytest.mark.skipif(
    not REFERENCE.exists(), reason="no ../shared/reference/REALMNET.md beside the repository"
)


def table(first_cell: str) -> dict[str, list[str]]:
    """Rows of the markdown table whose header begins so, by their first cell."""
    lines = REFERENCE.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_cell} |"))
    rows = {}
    for line in [lines[start], *lines[start + 2 :]]:
        if not line.startswith("|"):
            break
        first, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[first] = cells
    return rows


@needs_reference
def test_every_figure_per_label_is_the_reference_s_and_no_other() -> None:
    rows = table("F1 x100")
    published = read_published().per_label
    assert tuple(rows.pop("F1 x100")) == published.labels == PSMM.names
    ours = {
        **published.f1,
        **{f"AP x100 {model}": row for model, row in published.ap.items()},
        **{f"AUROC x100 {model}": row for model, row in published.auroc.items()},
    }
    assert {name: list(row) for name, row in ours.items()} == {
        name: [float(cell) for cell in cells] for name, cells in rows.items()
    }


@needs_reference
def test_every_size_is_the_reference_s() -> None:
    rows = table("Table 4")
    del rows["Table 4"]
    ours = {
        model: [size.parameters_m, size.gmacs, size.image]
        for model, size in read_published().complexity.models.items()
    }
    assert ours == {name: [float(cell) for cell in cells] for name, cells in rows.items()}


@needs_reference
def test_single_figures_stand_in_the_reference() -> None:
    text = " ".join(REFERENCE.read_text(encoding="utf-8").split())
    published = read_published()
    headline = published.headline.models
    main, largest = headline["RealMNet"], headline["RealMNet-Max"]

    def short(value: float) -> str:
        return f"{value:.4f}".lstrip("0")

    assert (
        f"RealMNet 384: F1 {short(main['f1_macro'])}, mAP {short(main['ap_macro'])}, AUROC "
        f"{short(main['auroc_macro'])}, Coverage {main['coverage']:.4f}. RealMNet-Max 512: F1 "
        f"{short(largest['f1_macro'])}, mAP {short(largest['ap_macro'])}, AUROC "
        f"{short(largest['auroc_macro'])}."
    ) in text
    accuracy, iou = published.boundary.accuracy, published.boundary.mean_iou
    assert "accuracy {}/{}, mIoU {}/{}".format(*map(short, (*accuracy, *iou))) in text
    assert f"AUROC {short(published.peripheral.auroc_macro)}" in text
    counts = published.resampled.images
    cgp = re.search(r"CIP train ([\d,]+); MRP ([\d,]+); CGP without (.*?)\. ", text)
    assert cgp is not None
    assert cgp[1] == f"{counts['cip']['all-sources']:,}"
    assert cgp[2] == f"{counts['mrp']['from-ShenzhenEye']:,}"
    assert cgp[3] == ", ".join(
        f"{run.removeprefix('without-')} {count:,}" for run, count in counts["cgp"].items()
    )


@pytest.mark.parametrize("metric", ["f1", "ap", "auroc"])
@pytest.mark.parametrize("model", ["RealMNet", "RealMNet-Max"])
def test_the_text_s_macro_figures_are_means_of_the_tables(metric: str, model: str) -> None:
    published = read_published()
    row = getattr(published.per_label, metric)[model]
    stated = published.headline.models[model][f"{metric}_macro"]
    # Seven figures rounded to 0.005 %, their mean rounded again.
    assert sum(row) / len(row) / 100 == pytest.approx(stated, abs=1.01e-4)


def test_what_was_not_published_is_absent() -> None:
    published = read_published()
    assert published.per_label.figure("ap", "DeiT", "PS") is None
    assert published.per_label.figure("f1", "DeiT", "NoPL") is None
    assert published.per_label.figure("f1", "DeiT", "NoPS") == 0.9291
    assert published.complexity.table_name("DeiT-B") == "DeiT"
    assert published.complexity.size_of("Swin") == published.complexity.models["Swin-B"]
