"""`realmnet fit-gate`: limits of quality from a site's own pictures, in a new bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import cv2
import msgspec
import typer

from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.answering.selection import AUTO
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.writer import SUFFIX, copy_bundle_with_quality
from realmnet_runtime.cli.options import EngineOption, JsonOption, ThreadsOption, VariantOption
from realmnet_runtime.cli.outputs import print_json, require_writable_file, say
from realmnet_runtime.cli.tables import facts_table, print_renderable
from realmnet_runtime.errors import UsageError
from realmnet_runtime.quality.limits import DEFAULT_LIMITS, QualityLimits
from realmnet_runtime.quality.site import SiteReport, fit_site
from realmnet_runtime.quality.site_pictures import site_pictures
from realmnet_runtime.signatures.trust import ANY_BUNDLE

_TELL_EVERY: Final = 100


def fit_gate(  # noqa: PLR0917 - the options of a command are all by name
    bundle: Annotated[Path, typer.Argument(help="Bundle whose limits are fitted.")],
    data: Annotated[Path, typer.Option(help="Folder of gradable pictures, or a data set.")],
    out: Annotated[Path, typer.Option(help="Bundle to write; another name than the first.")],
    split: Annotated[
        str | None, typer.Option(help="Table of the data set, such as val; else a folder.")
    ] = None,
    engine: EngineOption = AUTO,
    variant: VariantOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Fit the limits of quality to this site's gradable pictures and write a new bundle.

    Models, thresholds and golden cases stay; the bundle's digest changes. Give pictures that a
    person would call gradable, from the camera that will take the others.
    """
    if out.resolve() == bundle.resolve():
        raise UsageError(f"'{out}' is the bundle that is read; write the new one beside it")
    if out.suffix == SUFFIX:
        require_writable_file(out)
    pictures = site_pictures(data, split)
    with Bundle.open(bundle, trust=ANY_BUNDLE) as opened:
        with Predictor.open(opened, engine=engine, variant=variant, threads=threads) as predictor:
            cv2.setNumThreads(predictor.threads)
            report = fit_site(predictor, pictures, _told(len(pictures)))
        written = copy_bundle_with_quality(opened, out, report.gate)
        before = opened.manifest.quality
    with Bundle.open(written, trust=ANY_BUNDLE) as new:
        digest = new.digest
    if json:
        print_json(_record(report, digest))
    else:
        old = DEFAULT_LIMITS if before is None else before.limits
        print_renderable(facts_table(_facts(report, old, digest)))


def _told(total: int) -> Callable[[int], None]:
    def tell(done: int) -> None:
        if done % _TELL_EVERY == 0 or done == total:
            say(f"{done} of {total} pictures measured")

    return tell


def _record(report: SiteReport, digest: str) -> dict[str, Any]:
    return {
        "bundle_sha256": digest,
        "limits": msgspec.to_builtins(report.gate.limits),
        "fitted_on": msgspec.to_builtins(report.gate.fitted_on),
        "most_map_distance": report.gate.score_maps[0].most_distance,
        "refused_before": dict(report.refused_before),
        "refused_after": dict(report.refused_after),
    }


def _facts(report: SiteReport, old: QualityLimits, digest: str) -> dict[str, str]:
    fit = report.gate.fitted_on
    facts = {
        name.replace("_", " "): f"{getattr(report.gate.limits, name):.4g}, was "
        f"{getattr(old, name):.4g}"
        for name in QualityLimits.__struct_fields__
    }
    return {
        **facts,
        "most map distance": f"{report.gate.score_maps[0].most_distance:.3g} ({fit.variant})",
        "fitted on": f"{fit.pictures} pictures; left out: {_counts(fit.left_out)}",
        "refused before": _counts(report.refused_before),
        "refused now": _counts(report.refused_after),
        "bundle sha256": digest,
    }


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "none"
