"""Tensors out of a file that `torch.save` wrote, without running anything the file says.

A checkpoint of a training framework pickles its own objects beside the weights, so torch's
`weights_only` refuses it. Here they become stubs (see `inert_pickle`), so the file needs no foreign
library and can reach none. What is kept of a tensor is where it lies; its bytes are read when it
is asked for, after every size has been compared with the archive's.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import torch
from torch import Tensor

from realmnet_runtime.errors import IntegrityError, MissingPath
from realmnet_training.released.inert_pickle import DAMAGE, View, load_inert

MAXIMUM_PICKLE_BYTES: Final = 64 << 20
MAXIMUM_ENTRIES: Final = 100_000


class TorchArchive:
    """A zip file of `torch.save`, open for reading; a context manager.

    Args:
        path: the file.

    Attributes:
        root: what was saved, tensors as `View`, foreign objects as stubs.

    Raises:
        MissingPath: no such file.
        IntegrityError: not such a file, a damaged one, or one made to exhaust memory.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise MissingPath(f"checkpoint '{path}' does not exist")
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise IntegrityError(_not_a_zip(path)) from error
        try:
            self._folder = self._find_folder()
            self.root: object = self._unpickle()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()

    def require_fit(self, views: Iterable[View]) -> None:
        """Compare sizes with what the archive stores, before anything of that size is made.

        Raises:
            IntegrityError: a tensor without numbers, or of another size than they have.
        """
        for view in views:
            storage = view.storage
            try:
                stored = self._zip.getinfo(f"{self._folder}data/{storage.key}").file_size
            except KeyError as error:
                raise self._fault("a tensor's numbers are missing") from error
            if stored != storage.length * storage.dtype.itemsize or not _fits(view):
                raise self._fault("a tensor does not fit the numbers stored for it")

    def read(self, view: View) -> Tensor:
        """Read one tensor into memory of its own.

        Raises:
            IntegrityError: its sizes disagree with the archive's, or its bytes are damaged.
        """
        self.require_fit((view,))
        storage = view.storage
        if math.prod(view.size) == 0:
            return torch.empty(view.size, dtype=storage.dtype)
        expected = storage.length * storage.dtype.itemsize
        content = bytearray(self._entry(f"data/{storage.key}", expected))
        if len(content) != expected:
            raise self._fault("a tensor's numbers are cut short")
        numbers = torch.frombuffer(content, dtype=storage.dtype)
        # a copy, so that a small view does not keep a large storage alive
        return numbers.as_strided(view.size, view.stride, view.offset).clone()

    def _find_folder(self) -> str:
        entries = self._zip.infolist()
        names = {entry.filename for entry in entries}
        if len(names) < len(entries) or len(entries) > MAXIMUM_ENTRIES:
            raise self._fault(f"its archive repeats a name or has over {MAXIMUM_ENTRIES:,} entries")
        size = self._path.stat().st_size
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or (
            sum(entry.file_size for entry in entries) > size
        ):
            raise self._fault("its archive is compressed or overlaps itself; torch.save does not")
        pickles = [name for name in names if name.endswith("data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise self._fault("it is a zip file without torch's data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in names and self._entry_of(folder, "byteorder", 16) != b"little":
            raise self._fault("its numbers are big-endian")
        return folder

    def _unpickle(self) -> object:
        content = self._entry("data.pkl", MAXIMUM_PICKLE_BYTES)
        try:
            return load_inert(content)
        except DAMAGE as error:
            reason = f"{type(error).__name__}, {str(error)[:80]!a}"
            raise self._fault(f"its pickle is damaged or unsafe ({reason})") from error

    def _entry(self, name: str, largest: int) -> bytes:
        return self._entry_of(self._folder, name, largest)

    def _entry_of(self, folder: str, name: str, largest: int) -> bytes:
        try:
            if self._zip.getinfo(folder + name).file_size > largest:
                raise self._fault(f"its {name} is over {largest:,} bytes")
            return self._zip.read(folder + name)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError) as error:
            raise self._fault("its archive is damaged") from error

    def _fault(self, reason: str) -> IntegrityError:
        return IntegrityError(
            f"'{self._path}' is not read: {reason}; get the checkpoint again from its authors"
        )


def _fits(view: View) -> bool:
    if len(view.size) != len(view.stride):
        return False
    elements = math.prod(view.size)
    # strides of 0 would let a few bytes stand for a tensor of any size
    if elements > view.storage.length:
        return False
    last = view.offset + sum(
        (side - 1) * step for side, step in zip(view.size, view.stride, strict=True)
    )
    return elements == 0 or last < view.storage.length


def _not_a_zip(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(2)
    if start[:1] == b"\x80":
        return (
            f"'{path}' is a bare pickle, as torch wrote before 1.6; where you trust it, load it "
            "and `torch.save` its state_dict with a later torch"
        )
    return f"'{path}' is no checkpoint of torch, or a damaged one: it is no zip archive"


def tensors_of(mapping: Mapping[object, object]) -> dict[str, View]:
    """The tensors of a mapping by name; whatever else it holds is left out."""
    return {
        name: value
        for name, value in mapping.items()
        if isinstance(name, str) and isinstance(value, View)
    }
