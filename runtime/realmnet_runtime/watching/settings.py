"""How a folder is watched."""

from __future__ import annotations

import msgspec

from realmnet_runtime.errors import UsageError

_LONGEST_SECONDS = 86_400.0


class WatchSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times and choices of a watch.

    Attributes:
        interval_seconds: between two looks into the folder.
        settle_seconds: a file is read when its size and time of change have been the same so long.
        patience_seconds: a file at rest that is no whole picture is tried again for so long after
            its last change, less and less often, and then refused.
        subfolders: whether pictures in folders of the folder count.
        again: whether a picture that another bundle or variant answered is answered anew.
        keep_warm_seconds: run the engine on an empty picture whenever it has been idle so long;
            None never does.
    """

    interval_seconds: float = 1.0
    settle_seconds: float = 2.0
    patience_seconds: float = 60.0
    subfolders: bool = False
    again: bool = False
    keep_warm_seconds: float | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("interval_seconds", 0.01),
            ("settle_seconds", 0.0),
            ("patience_seconds", 0.0),
            ("keep_warm_seconds", 0.1),
        ):
            seconds = getattr(self, name)
            if seconds is not None and not least <= seconds <= _LONGEST_SECONDS:
                raise UsageError(
                    f"{name} {seconds}; {least:g} to {_LONGEST_SECONDS:.0f} are allowed"
                )
        if self.patience_seconds < self.settle_seconds:
            raise UsageError(
                f"patience of {self.patience_seconds:g} s; it must be at least as long as the "
                f"{self.settle_seconds:g} s in which a file settles"
            )
