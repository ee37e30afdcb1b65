"""The sections of the reproduction report, in the order they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from realmnet_benchmarks.bootstrap import Interval
from realmnet_benchmarks.pages.document import (
    LEGEND,
    NOT_RUN,
    Cell,
    Document,
    Row,
    Section,
    Table,
)
from realmnet_benchmarks.published import read_published
from realmnet_benchmarks.reproduction import figures
from realmnet_benchmarks.reproduction.comparison_tables import comparison_table
from realmnet_benchmarks.reproduction.detail_tables import (
    calibration_table,
    case_table,
    confusion_of_grades,
    confusion_table,
)
from realmnet_benchmarks.reproduction.measured import Measured
from realmnet_benchmarks.reproduction.model_tables import (
    facts_line,
    fitted_table,
    label_tables,
    overall_tables,
)
from realmnet_benchmarks.reproduction.protocol_tables import (
    TITLES,
    across_sources,
    protocol_table,
    size_table,
    source_of,
    source_table,
    source_values,
    training_table,
)
from realmnet_benchmarks.reproduction.results import Results, names_by_test, names_of
from realmnet_benchmarks.reproduction.study_plans import STUDY_PLANS, StudyPlan
from realmnet_benchmarks.reproduction.study_tables import grid_tables, study_table
from realmnet_benchmarks.score_facts import MODELS_STUDY, PHANTOMS

REFERENCE_MODEL = "RealMNet"


def reproduction_report(results: Results, reference_model: str = REFERENCE_MODEL) -> Document:
    """Everything the paper reports that there are results of, and what was not run.

    Args:
        results: of a folder.
        reference_model: title of the model that others are compared with and that is looked at
            closely.
    """
    reference = results.reference(reference_model)
    return Document(
        title="RealMNet: published figures and ours",
        notices=tuple(_notices(results)),
        sections=(
            _models(results, reference, reference_model),
            _sizes(results),
            *_closely(results, reference, reference_model),
            _protocols(results),
            *_studies(results),
            _boundary(results),
            _misprints(results),
        ),
    )


def _notices(results: Results) -> Iterator[str]:
    kinds = results.measured_on()
    yield f"Measured on {kinds}. Research use only."
    if any(table.facts.synthetic for table in results.tables):
        yield (
            f"Published figures are of the PSMM pictures. Beside results on {PHANTOMS} a "
            "difference says nothing of the method: phantoms show that the pipeline works and "
            "diagnose nothing."
        )
    upsampled = sum(table.facts.upsampled for table in results.tables)
    if upsampled:
        yield f"{upsampled} of {len(results.tables)} results are from pictures that were enlarged."
    yield LEGEND
    yield (
        "The paper draws its Figures 3, 4, 6, A4 and A5. Which drawing here stands for which is "
        "not on record, so each is named by what it shows."
    )


def _models(results: Results, reference: Measured | None, model: str) -> Section:
    main = results.main
    others = [t for t in results.of(MODELS_STUDY, "cip") if t not in main]
    return Section(
        key="models",
        title="Models on the test table (cross-instance protocol)",
        measured_on=results.measured_on(main),
        text=tuple(
            f"{name}: {facts_line(table)}" for name, table in zip(names_of(main), main, strict=True)
        )
        or (f"{NOT_RUN}: no result of study 'models' under protocol 'cip' on table 'test'.",),
        tables=(
            *label_tables(main),
            *overall_tables((*main, *others)),
            *((fitted_table(main),) if main else ()),
            comparison_table(main, reference, model),
        ),
    )


def _sizes(results: Results) -> Section:
    return Section(
        key="sizes-and-counts",
        title="Sizes of the models and counts of training images",
        measured_on=results.measured_on(results.of(MODELS_STUDY)),
        tables=(size_table(results.main), training_table(results.of(MODELS_STUDY))),
    )


def _closely(results: Results, reference: Measured | None, model: str) -> Iterator[Section]:
    if reference is None:
        yield Section(
            key="closely",
            title=f"{model} looked at closely",
            measured_on=results.measured_on(),
            text=(f"{NOT_RUN}: the folder holds no {model} under protocol 'cip'.",),
        )
        return
    on = reference.facts.measured_on
    values = source_values(reference)
    yield Section(
        key="curves",
        title=f"{model}: curves of each label and calibration",
        measured_on=on,
        tables=(calibration_table(reference),),
        figures=(*figures.ranking_figures(reference), figures.reliability_figure(reference)),
    )
    yield Section(
        key="sources",
        title=f"{model} on each source",
        measured_on=on,
        tables=(source_table(reference, values),),
        figures=(figures.source_figure(reference, values),),
    )
    label_set = reference.test.known_label_set
    if label_set is None:
        return
    tables, drawn = [case_table(reference, label_set)], []
    if label_set.grades:
        counts = confusion_of_grades(reference, label_set)
        tables.append(confusion_table(reference, label_set, counts))
        drawn.append(figures.confusion_figure(reference, label_set.grades, counts))
    yield Section(
        key="cases-and-grades",
        title=f"{model}: cases and grades",
        measured_on=on,
        tables=tuple(tables),
        figures=tuple(drawn),
    )


def _protocols(results: Results) -> Section:
    tables = results.of(MODELS_STUDY)
    groups = _bars_by_protocol(results)
    synthetic = any(table.facts.synthetic for table in tables)
    return Section(
        key="protocols",
        title="Protocols across sources",
        measured_on=results.measured_on(tables),
        tables=tuple(
            protocol_table(protocol, across_sources(results, protocol), synthetic=synthetic)
            for protocol in TITLES
        ),
        figures=(figures.protocol_figure(groups),) if groups else (),
    )


def _bars_by_protocol(results: Results) -> Mapping[str, Sequence[tuple[str, Interval]]]:
    groups: dict[str, list[tuple[str, Interval]]] = {}
    chosen = [("CIP", table) for table in results.main]
    for protocol in TITLES:
        chosen += [
            (f"{protocol.upper()} {source_of(table)}", table)
            for table in across_sources(results, protocol)
        ]
    names = names_by_test([table for _, table in chosen])
    for (place, table), name in zip(chosen, names, strict=True):
        groups.setdefault(place, []).append((name, table.by_patient["ap_macro"]))
    return groups


def _studies(results: Results) -> Iterator[Section]:
    others = [name for name in results.studies if name not in {MODELS_STUDY, *STUDY_PLANS}]
    unplanned = {name: StudyPlan(f"Study {name}", {}) for name in others}
    for study, plan in (STUDY_PLANS | unplanned).items():
        tables = results.of(study)
        drawn = figures.efficiency_figure(tables) if study == "label-efficiency" else None
        yield Section(
            key=f"study-{study}",
            title=plan.title,
            measured_on=results.measured_on(tables),
            text=() if tables else (f"{NOT_RUN}: no result of study '{study}'.",),
            tables=(study_table(study, plan, tables), *grid_tables(study, plan, tables)),
            figures=() if drawn is None else (drawn,),
        )


def _boundary(results: Results) -> Section:
    printed = read_published().boundary
    rows = [
        Row((name,), (*(Cell(f"{v:.4f}", value=v) for v in pair), Cell("not in score tables")))
        for name, pair in (("accuracy", printed.accuracy), ("mean IoU", printed.mean_iou))
    ]
    return Section(
        key="boundary-segmentation",
        title="Segmentation of the device boundary",
        measured_on=results.measured_on(),
        tables=(
            Table(
                key="boundary-segmentation-published",
                title="Published figures, in printed order",
                columns=("measure", "first", "second", "ours"),
                rows=tuple(rows),
                notes=(printed.source, *printed.notes),
            ),
        ),
    )


def _misprints(results: Results) -> Section:
    return Section(
        key="misprints",
        title="Where the paper's print is wrong",
        measured_on=results.measured_on(),
        text=tuple(f"{each.of}: {each.fault}." for each in read_published().misprints),
    )
