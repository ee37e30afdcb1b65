"""What a run says about itself: lines, metrics, their curves, and a tracking store's copy."""

from __future__ import annotations

import sys
from typing import Any, Final

from realmnet_benchmarks.phantoms.hospitals import HOSPITALS
from realmnet_runtime.files import write_atomically
from realmnet_training.config import Preset
from realmnet_training.fitting.curves import draw_curves
from realmnet_training.fitting.run_folder import RunFolder
from realmnet_training.fitting.tracking import Tracker
from realmnet_training.pictures.prepared import Tables

_PHANTOM_SOURCES: Final = frozenset(hospital.name for hospital in HOSPITALS)


class Journal:
    """Writes what people read of a run; of several processes the first alone has a use for it.

    Args:
        folder: of the run.
        preset: that is trained; its name is the curves' title.
        tables: that are trained on; curves of phantoms say so.
        tracker: a store that takes a copy, or None.
    """

    def __init__(
        self, folder: RunFolder, preset: Preset, tables: Tables, tracker: Tracker | None = None
    ) -> None:
        self.folder = folder
        self._tracker = tracker
        self._title = preset.name
        if _PHANTOM_SOURCES & set(tables.train.split.sources):
            self._title += ", trained on synthetic phantoms, which diagnose nothing"

    def say(self, line: str) -> None:
        """Print a line on stderr and keep it in the folder's `log.txt`.

        Raises:
            OutputError: the log cannot be written.
        """
        say(line)
        self.folder.append_log(line)

    def write_epoch(self, measured: dict[str, Any]) -> None:
        """Add an epoch to the metrics, draw the curves anew, and track the epoch.

        Raises:
            OutputError: the folder or the store cannot be written; the old curves stay.
        """
        self.folder.append_metrics(measured)
        epochs = self.folder.read_metrics()
        write_atomically(self.folder.curves, draw_curves(epochs, self._title))
        if self._tracker is not None:
            self._tracker.log_epoch(epochs[-1])

    def close(self) -> None:
        """Hand the finished run's files to the tracking store.

        Raises:
            OutputError: the store did not take them.
        """
        if self._tracker is not None:
            self._tracker.log_files(self.folder.results)


def say(line: str) -> None:
    """Print a line of progress on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
