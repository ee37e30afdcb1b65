"""What breaks a training from outside, in one line: no memory, a lost worker, a signal."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator, Sequence
from typing import Final

import torch

from realmnet_runtime.errors import ConfigurationError
from realmnet_training.config import FitConfig

# The exception's type alone does not tell: CPU memory that ran out is a plain RuntimeError.
_NO_MEMORY: Final = re.compile(
    r"DefaultCPUAllocator: (can't allocate|not enough) memory|out of memory|"
    r"\w+_STATUS_ALLOC_FAILED|[Cc]annot allocate memory"
)
_WORKER: Final = "DataLoader worker"
_SIGNAL: Final = re.compile(r"is killed by signal: (.+?)\. ")


class OutOfMemory(ConfigurationError):  # noqa: N818 - the name says what is wrong
    """A step that takes more memory than there is.

    A configuration error, exit code 2: the batch is a setting, the same command would fail again,
    and another setting is the cure.
    """


class WorkerLost(ConfigurationError):  # noqa: N818
    """A process that loads images was killed, as a rule by a system without free memory.

    A configuration error, exit code 2, since `fit.workers` decides how much memory is asked for.
    """


@contextlib.contextmanager
def in_one_line(fit: FitConfig, number: int) -> Iterator[None]:
    """Turn what breaks a stage from outside into errors of ours; all others pass through.

    Args:
        fit: with the batch that is tried.
        number: of the stage, from 0.

    Raises:
        OutOfMemory: names the batch that was tried and one that asks for less.
        WorkerLost: names the cause and how to go on.
        KeyboardInterrupt: the process was interrupted (SIGINT) or asked to end (SIGTERM).
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        # Lightning leaves by itself after a signal: with code 1 after Ctrl-C, deaf to another,
        # and with code 0 after SIGTERM, as if the training were done
        with contextlib.suppress(ValueError):  # of a thread that is not the main one
            signal.signal(signal.SIGINT, before)
        raise KeyboardInterrupt from error
    except (MemoryError, RuntimeError, OSError) as error:
        fault = _fault(error, fit, number)
        if fault is None:
            raise
        raise fault from error


def smaller_batch(batches: Sequence[int], number: int, accumulate: int) -> dict[str, int]:
    """Settings with less memory in one stage and as many images a step in all of them.

    Args:
        batches: of every stage; `fit.accumulate` is theirs together.
        number: of the stage whose batch was too large.
        accumulate: batches a process takes for one step.

    Returns:
        New values by their keys, divided by the smallest number that divides every batch; where
        none does, by the smallest that divides the stage's own, and the others' stay. Empty for a
        batch of 1.
    """
    batch = batches[number]
    divisors = [share for share in range(2, batch + 1) if batch % share == 0]
    if not divisors:
        return {}
    common = [share for share in divisors if all(other % share == 0 for other in batches)]
    share = (common or divisors)[0]
    chosen = range(len(batches)) if common else [number]
    changed = {f"fit.stages.{stage}.batch": batches[stage] // share for stage in chosen}
    return changed | {"fit.accumulate": accumulate * share}


def _fault(error: Exception, fit: FitConfig, number: int) -> ConfigurationError | None:
    text = str(error)
    if _WORKER in text and (isinstance(error, MemoryError) or "Caught" not in text):
        return _worker_lost(text, fit)
    kinds = (MemoryError, torch.OutOfMemoryError)
    if isinstance(error, kinds) or _NO_MEMORY.search(text):
        return _out_of_memory(fit, number)
    return None


def _worker_lost(text: str, fit: FitConfig) -> WorkerLost:
    found = _SIGNAL.search(text)
    how = f"was killed by the system's signal '{found[1]}'" if found else "ended unexpectedly"
    return WorkerLost(
        f"one of {fit.workers} processes that load images {how}; as a rule main or shared memory "
        f"was full: give --resume and --set fit.workers={fit.workers // 2}, which goes on after "
        "the last point kept"
    )


def _out_of_memory(fit: FitConfig, number: int) -> OutOfMemory:
    stage = fit.stages[number]
    tried = f"stage {number + 1} at {stage.image} px ran out of memory with batch {stage.batch}"
    changed = smaller_batch([stage.batch for stage in fit.stages], number, fit.accumulate)
    if not changed:
        return OutOfMemory(
            f"{tried}; one image is the least: choose a smaller fit.stages.{number}.image, "
            "a smaller model.size or a machine with more memory"
        )
    settings = " ".join(f"--set {key}={value}" for key, value in changed.items())
    return OutOfMemory(
        f"{tried}; begin in another --out with {settings}, which keeps "
        f"{stage.batch * fit.accumulate} images a step"
    )
