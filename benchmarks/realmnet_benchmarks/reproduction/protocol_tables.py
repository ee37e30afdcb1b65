"""Multi-source robustness and cross-source generalisation, one row a source that was held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from realmnet_benchmarks.bootstrap import Interval
from realmnet_benchmarks.pages.document import NO_FIGURE, NOT_RUN, Cell, Row, Table
from realmnet_benchmarks.published import read_published
from realmnet_benchmarks.reproduction import measures
from realmnet_benchmarks.reproduction.measured import Measured
from realmnet_benchmarks.reproduction.measures import INTERVALS, MEASURES, SHORT
from realmnet_benchmarks.reproduction.results import Results, names_by_test
from realmnet_benchmarks.score_facts import MODELS_STUDY

TITLES: Final = {
    "mrp": "Multi-source robustness (MRP): trained on one source, tested on each other",
    "cgp": "Cross-source generalisation (CGP): trained on all sources but the one tested",
}
_SOURCES: Final = ("SUSTech", "LishuiR", "Zhongshan", "LishuiZ")
_RANKED: Final = ("f1_macro", "ap_macro", "auroc_macro", "hamming_loss")


def protocol_table(protocol: str, tables: Sequence[Measured], *, synthetic: bool) -> Table:
    """A row for each model and held-out source; PSMM's sources are planned on real pictures."""
    rows = [
        Row(
            (name, source_of(table)),
            (
                measures.count(table.images),
                *(measures.with_span(n, table.by_patient[n]) for n in SHORT),
                Cell(NO_FIGURE),
            ),
        )
        for name, table in zip(names_by_test(tables), tables, strict=True)
    ]
    found = {source_of(table) for table in tables}
    planned = () if synthetic and tables else _SOURCES
    for source in planned:
        if source not in found:
            absent = (Cell(NOT_RUN),) * (1 + len(SHORT))
            rows.append(Row(("any model", source), (*absent, Cell(NO_FIGURE))))
    return Table(
        key=f"protocol-{protocol}",
        title=f"{TITLES[protocol]}, {INTERVALS}",
        columns=(
            "model",
            "tested on",
            "images",
            *(MEASURES[name].title for name in SHORT),
            "published",
        ),
        rows=tuple(rows),
        notes=(
            "At threshold 0.5 only: the protocol has no development set to fit another on.",
            "Macro values are means over the labels that occur among a source's images.",
        ),
    )


def across_sources(results: Results, protocol: str) -> tuple[Measured, ...]:
    """A protocol's results, those of one model together and its held-out sources in order."""
    found = results.of(MODELS_STUDY, protocol)
    return tuple(sorted(found, key=lambda table: (table.facts.model, source_of(table))))


def source_of(table: Measured) -> str:
    """The held-out source, or the table's name where it holds several."""
    return table.test.sources[0] if len(table.test.sources) == 1 else table.test.name


def source_values(table: Measured) -> dict[str, Mapping[str, Interval]]:
    """Intervals of every metric on the images of each source."""
    sources = table.scores.sources
    return {
        name: table.on(sources == number)
        for number, name in enumerate(table.test.sources)
        if (sources == number).any()
    }


def source_table(table: Measured, values: Mapping[str, Mapping[str, Interval]]) -> Table:
    """The reference model on the images of each source of one test table."""
    rows = []
    for name, intervals in values.items():
        chosen = table.scores.sources == table.test.sources.index(name)
        positives = table.scores.labels[chosen].sum(axis=0)
        absent = [
            label for label, count in zip(table.test.labels, positives, strict=True) if not count
        ]
        cells = (
            measures.count(int(chosen.sum())),
            *(measures.with_span(n, intervals[n]) for n in _RANKED),
            Cell(", ".join(absent) or "none"),
        )
        rows.append(Row((name,), cells))
    return Table(
        key="sources",
        title=f"{table.facts.model} on each source of table {table.test.name}, {INTERVALS}",
        columns=(
            "source",
            "images",
            *(MEASURES[n].title for n in _RANKED),
            "labels that do not occur",
        ),
        rows=tuple(rows),
    )


def training_table(tables: Sequence[Measured]) -> Table:
    """Images trained on after ML-RUS at 0.2, by protocol and run."""
    rows = []
    for protocol, runs in read_published().resampled.images.items():
        for run, theirs in runs.items():
            ours = sorted(
                {
                    table.facts.training.images
                    for table in tables
                    if (table.facts.protocol, table.facts.run) == (protocol, run)
                    and table.facts.training.resampling == "ml-rus 0.2"
                }
            )
            for images in ours:
                gap = Cell(f"{images - theirs:+,}", value=images - theirs)
                rows.append(
                    Row(
                        (protocol.upper(), run),
                        (measures.count(theirs), measures.count(images), gap),
                    )
                )
            if not ours:
                cells = (measures.count(theirs), Cell(NOT_RUN), Cell(NOT_RUN))
                rows.append(Row((protocol.upper(), run), cells))
    return Table(
        key="resampled",
        title="Images to train on after ML-RUS at ratio 0.2",
        columns=("protocol", "run", "published", "ours", "difference"),
        rows=tuple(rows),
        notes=(read_published().resampled.source,),
    )


def size_table(tables: Sequence[Measured]) -> Table:
    """Parameters and multiply-accumulates of each model, the paper's Table 4."""
    printed = read_published().complexity
    rows = []
    models = list(printed.models)
    models += [t.facts.model for t in tables if printed.size_of(t.facts.model) is None]
    for model in dict.fromkeys(models):
        theirs = printed.size_of(model)
        table_name = printed.table_name(model)
        ours = next((t for t in tables if printed.table_name(t.facts.model) == table_name), None)
        rows.append(
            Row(
                (model,),
                (
                    Cell(NO_FIGURE)
                    if theirs is None
                    else Cell(f"{theirs.parameters_m:.2f}", value=theirs.parameters_m),
                    _in(1e6, None if ours is None else ours.facts.parameters),
                    Cell(NO_FIGURE)
                    if theirs is None
                    else Cell(f"{theirs.gmacs:.2f}", value=theirs.gmacs),
                    _in(1e9, None if ours is None else ours.facts.macs),
                ),
            )
        )
    return Table(
        key="sizes",
        title="Size of the models (Table 4)",
        columns=(
            "model",
            "parameters published, M",
            "ours, M",
            "multiply-accumulates published, G",
            "ours, G",
        ),
        rows=tuple(rows),
        notes=(printed.source, *printed.notes),
    )


def _in(unit: float, number: int | None) -> Cell:
    return Cell(NOT_RUN) if number is None else Cell(f"{number / unit:.2f}", value=number / unit)
