"""A folder that a camera writes into, answered picture by picture.

`Arrivals` says which files have come to rest, `ResultFolder` keeps one answer for each digest, and
`Watcher` goes from one to the other. Waiting is measured on the monotonic clock alone, so that the
clock on the wall may be set back or forth.
"""

from realmnet_runtime.watching.archive import Archive
from realmnet_runtime.watching.arrivals import Arrivals
from realmnet_runtime.watching.results import ResultFolder
from realmnet_runtime.watching.settings import WatchSettings
from realmnet_runtime.watching.watcher import Outcome, Watcher

__all__ = ["Archive", "Arrivals", "Outcome", "ResultFolder", "WatchSettings", "Watcher"]
