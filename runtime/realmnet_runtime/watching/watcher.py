"""From pictures that arrive to answers that stay."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Final, Literal, final

import msgspec

from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.errors import ImageRefused, MissingPath, UnreadableImage
from realmnet_runtime.files import sha256_of
from realmnet_runtime.pictures.images import read_bytes
from realmnet_runtime.refusals import refused_answer
from realmnet_runtime.watching.archive import Archive
from realmnet_runtime.watching.arrivals import Arrivals
from realmnet_runtime.watching.results import Answered, ResultFolder
from realmnet_runtime.watching.settings import WatchSettings

MOST_TIME_LOOKING: Final = 0.05
"""Share of one core that looking into a folder of very many files may take."""

State = Literal[
    "answered", "refused", "known", "unfinished", "postponed", "unmoved", "away", "back"
]


class Outcome(msgspec.Struct, frozen=True):
    """What became of one picture, or of the folder.

    Attributes:
        state: `answered` or `refused` (and written), `known` (was written before), `unfinished`
            (no whole picture yet, tried again later), `postponed` (others go first), `unmoved`
            (answered, and could not be moved), `away` and `back` (the folder of pictures).
        sha256: of the picture; None where it could not be read, and of the folder.
        note: in words, without any name of a file.
        answer: what was written, of `answered` and `refused`.
    """

    state: State
    sha256: str | None = None
    note: str = ""
    answer: dict[str, Any] | None = None


@final
class Watcher:
    """Answers the pictures of a folder, each digest once.

    Args:
        predictor: open; stays the caller's to close.
        arrivals: of the folder of pictures.
        results: entered.
        settings: as of `arrivals`.
        archive: where answered pictures are moved; None leaves them where they are.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        predictor: Predictor,
        arrivals: Arrivals,
        results: ResultFolder,
        settings: WatchSettings,
        *,
        archive: Archive | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._predictor = predictor
        self._arrivals = arrivals
        self._results = results
        self._settings = settings
        self._archive = archive
        self._clock = clock
        self._used = clock()
        self._away = False

    def run(self, pause: Callable[[float], bool]) -> Iterator[Outcome]:
        """Watch until told to stop.

        Args:
            pause: waits so many seconds, or less, and says whether to stop, as the `wait` of a
                `threading.Event` does. After each picture it is asked with 0.

        Raises:
            OutputError: an answer could not be written, or the folder of results is gone.
            IncompatibleError: the engine answered no finite numbers.
        """
        while True:
            begin = self._clock()
            due = yield from self._look()
            looked = self._clock() - begin
            for path in due:
                yield from self._take(path)
                if pause(0):
                    return
            self._keep_warm()
            if pause(max(self._settings.interval_seconds, looked / MOST_TIME_LOOKING)):
                return

    def poll(self) -> Iterator[Outcome]:
        """Look once, and answer what is due; errors as `run`."""
        for path in (yield from self._look()):
            yield from self._take(path)

    def _look(self) -> Generator[Outcome, None, list[Path]]:
        self._results.require_present()
        try:
            due = self._arrivals.scan()
        except OSError as error:
            if not self._away:
                self._away = True
                reason = error.strerror or type(error).__name__
                yield Outcome(
                    "away", note=f"the folder of pictures cannot be read ({reason}); waiting for it"
                )
            return []
        if self._away:
            self._away = False
            yield Outcome("back", note="the folder of pictures is back")
        return due

    def _take(self, path: Path) -> Iterator[Outcome]:
        try:
            data = read_bytes(path)
        except MissingPath:
            return
        except UnreadableImage as error:
            if self._arrivals.tries(path) == 0:
                yield Outcome("unfinished", note=f"a picture is tried again later: {error}")
            self._arrivals.put_off_for_ever(path)
            return
        if not self._arrivals.is_at_rest(path):
            return
        sha256 = sha256_of(data)
        outcome = (
            self._known(sha256) or self._postponed(path, sha256) or self._answer(path, data, sha256)
        )
        yield outcome
        if outcome.state not in {"unfinished", "postponed"}:
            yield from self._put_away(path, sha256)

    def _known(self, sha256: str) -> Outcome | None:
        known = self._results.find(sha256)
        if known is None:
            return None
        anothers = self._is_anothers(known)
        if anothers and self._settings.again:
            return None
        return Outcome("known", sha256, "by another bundle or variant" if anothers else "")

    def _postponed(self, path: Path, sha256: str) -> Outcome | None:
        """A picture that kills the process would keep all others from their answers."""
        if not self._results.is_suspect(sha256):
            return None
        seconds = self._arrivals.set_back(path)
        note = f"for {seconds:g} s: the watch before this one ended while answering it"
        return Outcome("postponed", sha256, note)

    def _answer(self, path: Path, data: bytes, sha256: str) -> Outcome:
        try:
            with self._results.in_hand(sha256):
                prediction = self._predictor.predict(data)
        except ImageRefused as error:
            # Half a picture cannot be decoded; one without an eye can, and stays without.
            if isinstance(error, UnreadableImage) and self._arrivals.put_off(path):
                return Outcome("unfinished", sha256, f"tried again later: {error}")
            state: State = "refused"
            note, answer = str(error), refused_answer(sha256, error) | self._by()
        else:
            answer = prediction.to_dict()
            if prediction.withheld:
                state, note = "refused", f"ungradable: {prediction.quality.summary}"
            else:
                state, note = "answered", f"in {sum(prediction.timings_ms.values()):.0f} ms"
            self._used = self._clock()
        self._results.keep(sha256, answer)
        return Outcome(state, sha256, note, answer)

    def _put_away(self, path: Path, sha256: str) -> Iterator[Outcome]:
        # Before what may fail: a file that cannot be moved now is moved by the next start.
        self._arrivals.done(path)
        if self._archive is None or not self._arrivals.is_at_rest(path):
            return
        try:
            self._archive.take(path, sha256)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            yield Outcome("unmoved", sha256, f"answered, but could not be moved ({reason})")

    def _by(self) -> dict[str, str]:
        return {
            "bundle_sha256": self._predictor.bundle.digest,
            "variant": self._predictor.variant.name,
        }

    def _is_anothers(self, known: Answered) -> bool:
        by = self._by()
        return (known.bundle_sha256, known.variant) != (by["bundle_sha256"], by["variant"])

    def _keep_warm(self) -> None:
        idle = self._settings.keep_warm_seconds
        if idle is not None and self._clock() - self._used >= idle:
            self._predictor.warm_up()
            self._used = self._clock()
