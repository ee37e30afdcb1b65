"""One thing worked on in a thread while the caller works on the one before it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import TracebackType
from typing import Generic, TypeVar, final

Item = TypeVar("Item")
Made = TypeVar("Made")


@final
class LookAhead(Generic[Item, Made]):
    """A helper thread that makes one thing at a time; a context manager.

    It ends with the block, however that ends: what is in hand is finished, nothing is left behind.

    Args:
        make: called in the helper thread.
    """

    __slots__ = ("_asked", "_made", "_make", "_thread")

    def __init__(self, make: Callable[[Item], Made]) -> None:
        self._make = make
        self._asked: SimpleQueue[tuple[Item] | None] = SimpleQueue()
        self._made: SimpleQueue[tuple[Made] | BaseException] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="realmnet-look-ahead", daemon=True)

    def start(self, item: Item) -> None:
        """Begin with an item; each is to be fetched before the next is begun."""
        self._asked.put((item,))

    def result(self) -> Made:
        """What was made of the item begun last; waits for it, and raises what `make` raised."""
        made = self._made.get()
        if isinstance(made, BaseException):
            raise made
        return made[0]

    def __enter__(self) -> LookAhead[Item, Made]:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            self._made.put(self._made_of(asked[0]))

    def _made_of(self, item: Item) -> tuple[Made] | BaseException:
        try:
            return (self._make(item),)
        except BaseException as error:  # noqa: BLE001 - it belongs to whoever asks
            return error
