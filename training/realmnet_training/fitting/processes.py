"""Which process of a distributed run this is, before Lightning has been asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

_GLOBAL: Final = ("RANK", "SLURM_PROCID")
_PARTS: Final = ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK")


def is_first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process writes the run's folder and prepares its pictures.

    Args:
        environment: as torchrun, Slurm or Lightning set it; a process started alone is the first.
    """
    for name in _GLOBAL:
        if name in environment:
            return environment[name] == "0"
    return all(environment.get(name, "0") == "0" for name in _PARTS)
