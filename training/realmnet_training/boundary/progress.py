"""Where a run stands, and the file it continues from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.optim import Optimizer

from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.files import write_atomically
from realmnet_training.boundary.checkpoint import read_boundary_facts
from realmnet_training.boundary.network import BoundaryNetwork
from realmnet_training.fitting.run_folder import RunFolder


@dataclass
class RunProgress:
    """Lines of metrics so far, one an epoch; the best epoch, from 1, and its mean IoU."""

    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best: float = -1.0


def is_finished(folder: RunFolder, table: str) -> bool:
    """Whether the run in a folder has come to its end.

    Args:
        folder: of a run.
        table: digest of the annotations it is to be continued with.

    Raises:
        ConfigurationError: it was begun with other annotations.
    """
    if not folder.checkpoint.is_file():
        return False
    facts = read_boundary_facts(folder.checkpoint)
    _require_same(folder, facts.table, table)
    if facts.finished:
        folder.resume.unlink(missing_ok=True)
    return facts.finished


def write_resume(
    folder: RunFolder,
    network: BoundaryNetwork,
    optimiser: Optimizer,
    run: RunProgress,
    table: str,
) -> None:
    """Write what the next epoch starts from.

    Raises:
        OutputError: the file cannot be written; the older one is untouched.
    """
    content = {
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "history": run.history,
        "best_epoch": run.best_epoch,
        "best": run.best,
        "table": table,
    }
    write_atomically(folder.resume, lambda file: torch.save(content, file))


def read_resume(
    folder: RunFolder, network: BoundaryNetwork, optimiser: Optimizer, table: str
) -> RunProgress:
    """Fill network and optimiser from the resume file; without one the run is at its beginning.

    Raises:
        ConfigurationError: the run was begun with other annotations.
    """
    if not folder.resume.is_file():
        return RunProgress()
    content = torch.load(folder.resume, map_location=network.mean.device, weights_only=True)
    _require_same(folder, content["table"], table)
    network.load_state_dict(content["network"])
    optimiser.load_state_dict(content["optimiser"])
    return RunProgress(content["history"], content["best_epoch"], content["best"])


def _require_same(folder: RunFolder, begun_with: str, table: str) -> None:
    if begun_with != table:
        raise ConfigurationError(
            f"the run in '{folder.root}' was begun with other annotations; give the same folder"
        )
