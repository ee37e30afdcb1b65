"""Where pictures go once they are answered."""

from __future__ import annotations

import os
from pathlib import Path
from typing import final

from realmnet_runtime.errors import OutputError, UsageError
from realmnet_runtime.files import cannot_write


@final
class Archive:
    """A folder on the same file system, in which pictures are named by their digests.

    Args:
        folder: made where it is not there.
        pictures: the folder that is watched.
        subfolders: whether its subfolders are watched too.

    Raises:
        UsageError: on another file system, or inside what is watched.
        OutputError: it cannot be made.
    """

    __slots__ = ("folder",)

    def __init__(self, folder: Path, pictures: Path, *, subfolders: bool) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise OutputError(
                f"cannot write into '{folder}': it is a file; name a directory"
            ) from error
        except OSError as error:
            raise cannot_write(folder, error) from error
        inside = Path(os.path.realpath(pictures))
        here = Path(os.path.realpath(folder))
        if here == inside or (subfolders and here.is_relative_to(inside)):
            raise UsageError(
                f"'{folder}' is watched itself; answered pictures would be answered again: name a "
                f"folder outside '{pictures}'"
            )
        if here.stat().st_dev != inside.stat().st_dev:
            raise UsageError(
                f"'{folder}' is not on the file system of '{pictures}', so no picture can be moved "
                f"there at once; name a folder beside it"
            )

    def take(self, picture: Path, sha256: str) -> None:
        """Move a picture here, under its digest and suffix.

        Raises:
            OSError: it cannot be moved; it stays where it is.
        """
        picture.replace(self.folder / f"{sha256}{picture.suffix.lower()}")
