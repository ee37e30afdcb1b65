"""Measurements whose cells are other programs: the routes of `speed`, the processes of `start`."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from realmnet_benchmarks.path import speed, start
from realmnet_benchmarks.path.environment import Environment
from realmnet_benchmarks.path.peers import peer, write_model, write_point
from realmnet_benchmarks.path.pictures import described, files_of
from realmnet_benchmarks.path.routes import running
from realmnet_benchmarks.progress import Report
from realmnet_runtime import Bundle
from realmnet_runtime.backends import PREPARERS
from realmnet_runtime.bundles.manifest import Variant
from realmnet_runtime.compiled.prepare import prepare_bundle
from realmnet_runtime.errors import UsageError

OURS: Final = "ours"
SAME_MODEL: Final = "full decode, same model"
EAGER: Final = "full decode, eager PyTorch"
NEEDED: Final = {SAME_MODEL: 1.6, EAGER: 4.5}
"""How many times faster ours is meant to be."""

_BARE: Final = {"openvino": "bare_openvino", "onnxruntime": "bare_onnxruntime"}


def measure_speed(
    bundle: Bundle,
    variant: Variant,
    groups: dict[str, list[str]],
    plan: speed.SpeedPlan,
    environment: Environment,
    *,
    checkpoint: Path | None,
    progress: Report,
) -> speed.SpeedReport:
    """Time the routes, each in its own process.

    Args:
        bundle: open, from a path.
        variant: that ours runs, and the plain route too where OpenVINO runs it.
        groups: files by what they are.
        plan: rounds.
        environment: with the threads of every route.
        checkpoint: for eager PyTorch; None leaves that route out.
        progress: told of rounds.

    Raises:
        RealmnetError: a route ended; its words are on stderr.
    """
    with tempfile.TemporaryDirectory(prefix="realmnet-") as folder:
        commands = _routes(
            bundle, variant, Path(folder), threads=environment.threads, checkpoint=checkpoint
        )
        with running(commands, environment.threads) as routes:
            samples = speed.take_turns(routes, files_of(groups), plan, progress)
    sizes = {words: len(files) for words, files in groups.items()}
    return speed.SpeedReport(
        bundle_sha256=bundle.digest,
        variant=variant.name,
        environment=environment,
        plan=plan,
        groups=sizes,
        ours=OURS,
        needed={name: NEEDED[name] for name in commands if name in NEEDED},
        found=speed.speeds(samples, sizes, OURS, len(bundle.manifest.labels)),
        seconds=samples.seconds,
    )


def _routes(
    bundle: Bundle,
    variant: Variant,
    folder: Path,
    *,
    threads: int,
    checkpoint: Path | None,
) -> dict[str, list[str]]:
    bounded = ["--serve", "--threads", str(threads)]
    point = ["--point", str(write_point(bundle, variant, folder))]
    ours = ["--bundle", str(bundle.path), "--variant", variant.name]
    commands = {OURS: [*peer("realmnet_path"), *bounded, *ours]}
    if variant.engine == "openvino":
        model = ["--model", str(write_model(bundle, variant, folder))]
        commands[SAME_MODEL] = [*peer("plain_openvino"), *bounded, *model, *point]
    if checkpoint is not None:
        weights = ["--checkpoint", str(checkpoint)]
        commands[EAGER] = [*peer("plain_pytorch"), *bounded, *weights, *point]
    return commands


def measure_start(
    bundle: Bundle,
    variants: Sequence[Variant],
    groups: dict[str, list[str]],
    plan: start.StartPlan,
    environment: Environment,
    *,
    progress: Report,
) -> start.StartReport:
    """Start fresh processes, ours and the bare engine's, for each variant.

    Args:
        bundle: open, from a path; it is prepared into a folder of this measurement's own.
        variants: of OpenVINO or ONNX Runtime.
        groups: of which the first file is answered.
        plan: how many.
        environment: with the threads.
        progress: told of rounds.

    Raises:
        UsageError: a variant of another engine.
        RealmnetError: a process ended before it answered; its words are on stderr.
    """
    picture = next(iter(groups.values()))[0]
    with tempfile.TemporaryDirectory(prefix="realmnet-") as folder:
        commands: dict[str, list[str]] = {}
        for variant in variants:
            pair = _pair(
                bundle, variant, Path(folder), threads=environment.threads, picture=picture
            )
            commands.update({_key(variant, kind): command for kind, command in pair.items()})
        samples = start.take_turns(commands, plan, progress=progress)
    found = {
        variant.name: {kind: samples[_key(variant, kind)] for kind in ("ours", "bare")}
        for variant in variants
    }
    return start.StartReport(
        bundle_sha256=bundle.digest,
        picture=described(groups),
        environment=environment,
        plan=plan,
        found={name: start.figures(pair["ours"], pair["bare"]) for name, pair in found.items()},
        samples=found,
    )


def _key(variant: Variant, kind: str) -> str:
    return f"{variant.name} {kind}"


def _pair(
    bundle: Bundle, variant: Variant, folder: Path, *, threads: int, picture: str
) -> dict[str, list[str]]:
    if variant.engine not in _BARE:
        raise UsageError(
            f"variant '{variant.name}' runs in {variant.engine}; the start of {', '.join(_BARE)} "
            f"is measured"
        )
    cache = folder / "prepared"
    if variant.engine in PREPARERS and not cache.exists():
        list(prepare_bundle(bundle, cache, engine=variant.engine, threads=threads))
    model = write_model(bundle, variant, folder)
    own_cache = str(folder / f"{variant.name}.cache")
    ours = [str(bundle.path), variant.name, str(threads), str(cache), picture]
    return {
        "ours": [*peer("vendor_process"), *ours],
        "bare": [*peer(_BARE[variant.engine]), str(model), str(threads), own_cache],
    }
