"""From the start of a process to its first answer, and its peak memory until then."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Annotated, Final, cast

import msgspec
import numpy as np
import psutil

from realmnet_benchmarks.path.environment import Environment
from realmnet_benchmarks.progress import Report
from realmnet_runtime.errors import RealmnetError

MOST_SECONDS: Final = 0.4
"""That our process may start later than the bare engine's."""

MOST_MEGABYTES: Final = 40.0
"""That our process may need beyond the bare engine's."""


class StartPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often: fresh processes of each kind, and rounds before that do not count."""

    processes: Annotated[int, msgspec.Meta(ge=3)] = 20
    warm_up: Annotated[int, msgspec.Meta(ge=0)] = 2
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


class Started(msgspec.Struct, frozen=True):
    """One process: seconds to its first answer, and peak memory in 10^6 bytes.

    Memory is None where the system keeps no peak (it is read on Linux and Windows).
    """

    seconds: float
    megabytes: float | None


class StartFigures(msgspec.Struct, frozen=True):
    """One variant: our process beside the bare engine's.

    Attributes:
        ours_s, bare_s: medians.
        later_s: median over the rounds of the difference in the same round.
        ours_fastest_s, bare_fastest_s: of all.
        ours_mb, bare_mb: medians of the peak, 10^6 bytes.
        more_mb: their difference.
        in_time, in_memory: whether the differences are within the limits; None if not measured.
    """

    ours_s: float
    bare_s: float
    later_s: float
    ours_fastest_s: float
    bare_fastest_s: float
    ours_mb: float | None
    bare_mb: float | None
    more_mb: float | None
    in_time: bool
    in_memory: bool | None


class StartReport(msgspec.Struct, frozen=True):
    """Every figure and raw sample; `samples` is variant -> `ours` or `bare` -> processes."""

    bundle_sha256: str
    picture: str
    environment: Environment
    plan: StartPlan
    found: dict[str, StartFigures]
    samples: dict[str, dict[str, list[Started]]]


Starter = Callable[[Sequence[str]], Started]


def start_process(command: Sequence[str]) -> Started:
    """Start a program that prints a line with its first answer and then waits for its input's end.

    Raises:
        RealmnetError: it ended before.
    """
    begun = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        line = cast("IO[bytes]", process.stdout).readline()
        seconds = time.perf_counter() - begun
        if not line:
            raise RealmnetError(
                f"'{Path(command[1]).name}' ended with code {process.wait()} before it answered; "
                f"its own words are above"
            )
        megabytes = peak_megabytes(process.pid)
        process.communicate()
    return Started(seconds, megabytes)


def peak_megabytes(pid: int) -> float | None:
    """Largest memory a running process has had, 10^6 bytes; None where the system keeps none.

    Linux: VmHWM, which begins anew with the program, unlike `ru_maxrss`, which remembers what the
    parent had when it forked.
    """
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        peak = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
        return None if peak is None else int(peak) * 1024 / 1e6
    # Windows alone has this field.
    peak_bytes = getattr(psutil.Process(pid).memory_info(), "peak_wset", None)
    return None if peak_bytes is None else float(peak_bytes) / 1e6


def take_turns(
    commands: Mapping[str, Sequence[str]],
    plan: StartPlan,
    starter: Starter = start_process,
    progress: Report = lambda _done, _total: None,
) -> dict[str, list[Started]]:
    """Start each program once a round, in another order each round."""
    rng = np.random.default_rng(plan.seed)
    names = list(commands)
    samples: dict[str, list[Started]] = {name: [] for name in names}
    for turn in range(plan.warm_up + plan.processes):
        for place in rng.permutation(len(names)):
            started = starter(commands[names[place]])
            if turn >= plan.warm_up:
                samples[names[place]].append(started)
        progress(turn + 1, plan.warm_up + plan.processes)
    return samples


def figures(ours: Sequence[Started], bare: Sequence[Started]) -> StartFigures:
    """Compare processes of the same rounds."""
    mine, theirs = (np.array([one.seconds for one in kind]) for kind in (ours, bare))
    later = float(np.median(mine - theirs))
    ours_mb, bare_mb = _median_mb(ours), _median_mb(bare)
    more = None if ours_mb is None or bare_mb is None else ours_mb - bare_mb
    return StartFigures(
        ours_s=float(np.median(mine)),
        bare_s=float(np.median(theirs)),
        later_s=later,
        ours_fastest_s=float(mine.min()),
        bare_fastest_s=float(theirs.min()),
        ours_mb=ours_mb,
        bare_mb=bare_mb,
        more_mb=more,
        in_time=later <= MOST_SECONDS,
        in_memory=None if more is None else more <= MOST_MEGABYTES,
    )


def _median_mb(samples: Sequence[Started]) -> float | None:
    measured = [one.megabytes for one in samples if one.megabytes is not None]
    return float(np.median(measured)) if measured else None
