"""`realmnet info`: what a bundle is, and what of it would run here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from realmnet_runtime.answering.selection import choose_variant
from realmnet_runtime.backends import installed_engines
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.default_bundle import find_default_bundle
from realmnet_runtime.bundles.manifest import Manifest
from realmnet_runtime.cli.options import AllowUnsigned, JsonOption, TrustedKeys, trust_to_examine
from realmnet_runtime.cli.outputs import print_json
from realmnet_runtime.cli.tables import facts_table, print_renderable
from realmnet_runtime.cpu import instruction_sets
from realmnet_runtime.errors import BackendUnavailable, IncompatibleError
from realmnet_runtime.signatures.trust import Standing

_HEADLINES: Final = ("ap_macro", "auroc_macro", "f1_macro", "flips_per_thousand")
"""Figures shown to people; `--json` has them all."""


def info(
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle; the installed default where none is named.")
    ] = None,
    trusted_key: TrustedKeys = None,
    allow_unsigned: AllowUnsigned = False,
    json: JsonOption = False,
) -> None:
    """Say what a bundle is, after checking every digest, and what of it would run here."""
    trust = trust_to_examine(trusted_key, allow_unsigned=allow_unsigned)
    with Bundle.open(bundle or find_default_bundle(), trust=trust) as opened:
        manifest, digest, standing = opened.manifest, opened.digest, opened.standing
    here = _choice(manifest)
    if json:
        print_json(
            {
                "bundle_sha256": digest,
                "signature": msgspec.to_builtins(standing),
                "here": here,
                "manifest": msgspec.to_builtins(manifest),
            }
        )
    else:
        print_renderable(facts_table(_facts(manifest, digest, standing, here)))


def _choice(manifest: Manifest) -> dict[str, str | None]:
    try:
        choice = choose_variant(
            manifest.variants,
            installed=installed_engines(),
            instruction_sets=instruction_sets(),
        )
    except (BackendUnavailable, IncompatibleError) as error:
        return {"variant": None, "reason": str(error)}
    return {"variant": choice.variant.name, "reason": choice.reason}


def _facts(
    manifest: Manifest, digest: str, standing: Standing, here: dict[str, str | None]
) -> dict[str, Any]:
    model, spec, origin = manifest.model, manifest.preprocess, manifest.provenance
    facts = {
        "model": f"{model.name} {model.version}, {model.architecture}, "
        f"{model.parameters:,} parameters",
        "notice": model.notice,
        "bundle": f"sha256 {digest}, manifest schema {manifest.schema_version}",
        "signature": str(standing),
        "labels": f"{manifest.labels.name}: {', '.join(manifest.labels.names)}",
        "input": f"{spec.size} x {spec.size} RGB, de-bordering {spec.deborder}, fit {spec.fit}, "
        f"specification {spec.version}",
        "golden cases": len(manifest.golden),
        "made": f"{origin.created} by toolkit {origin.toolkit_version}: {origin.command}",
        "trained on": origin.trained_on,
        "quality limits": _limits(manifest),
    }
    sizes = {artifact.path: artifact.size for artifact in manifest.artifacts}
    for variant in manifest.variants:
        needs = f", needs {' or '.join(variant.cpu_requires)}" if variant.cpu_requires else ""
        facts[f"variant {variant.name}"] = (
            f"{variant.engine} {variant.oldest_engine} or newer, stored {variant.precision}, "
            f"computed {variant.execution_precision}, "
            f"{sum(sizes[path] for path in variant.files) / 1e6:.1f} MB{needs}"
        )
    for evidence in manifest.evidence:
        figures = ", ".join(
            f"{name} {evidence.metrics[name]:.4f}"
            for name in _HEADLINES
            if name in evidence.metrics
        )
        facts[f"{evidence.dataset}: {evidence.variant}"] = (
            f"{figures} on {evidence.images} images; {evidence.note}"
        )
    facts["would run here"] = f"{here['variant'] or 'nothing'}: {here['reason']}"
    return facts


def _limits(manifest: Manifest) -> str:
    if manifest.quality is None:
        return "the runtime's own"
    fit, tables = manifest.quality.fitted_on, manifest.quality.score_maps
    of = ", ".join(table.variant for table in tables) or "none"
    return f"fitted on {fit.pictures} pictures; score-map table of: {of}"
