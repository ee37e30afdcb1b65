"""`realmnet watch`: a folder in, one answer for each picture out, until it is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import cv2
import typer

from realmnet_runtime.cli.interruption import Interruption
from realmnet_runtime.cli.options import Opening, grouped
from realmnet_runtime.cli.outputs import print_json, say
from realmnet_runtime.errors import MissingPath
from realmnet_runtime.watching import (
    Archive,
    Arrivals,
    Outcome,
    ResultFolder,
    Watcher,
    WatchSettings,
)

_DEFAULTS: Final = WatchSettings()


@grouped
def watch(  # noqa: PLR0917 - the options of a command are all by name
    pictures: Annotated[Path, typer.Argument(metavar="IN", help="Folder of pictures.")],
    results: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of answers.")],
    opening: Opening,
    interval: Annotated[
        float, typer.Option(help="Seconds between two looks into IN.")
    ] = _DEFAULTS.interval_seconds,
    settle: Annotated[
        float, typer.Option(help="Seconds a file must stay unchanged before it is read.")
    ] = _DEFAULTS.settle_seconds,
    patience: Annotated[
        float, typer.Option(help="Seconds after which a file that is no picture is refused.")
    ] = _DEFAULTS.patience_seconds,
    subfolders: Annotated[
        bool, typer.Option("--subfolders", help="Pictures in folders of IN too.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Answer anew what another bundle or variant answered.")
    ] = False,
    done: Annotated[
        Path | None, typer.Option(help="Move answered pictures here, named by digest.")
    ] = None,
    keep_warm: Annotated[
        float | None, typer.Option(help="Run the engine once after so many idle seconds.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Also print each answer, a line.")] = False,
) -> None:
    """Answer the pictures a device writes into IN: OUT/SHA-256 of the file.json for each.

    Runs until Ctrl-C or SIGTERM, which wait for the picture in hand. Start it again after any
    stop: every picture is answered once. Research use only. Not a medical device.
    """
    settings = WatchSettings(
        interval_seconds=interval,
        settle_seconds=settle,
        patience_seconds=patience,
        subfolders=subfolders,
        again=again,
        keep_warm_seconds=keep_warm,
    )
    if not pictures.is_dir():
        raise MissingPath(f"no directory '{pictures}'; name the folder the device writes into")
    with ExitStack() as stack:
        folder = stack.enter_context(ResultFolder(results))
        archive = None if done is None else Archive(done, pictures, subfolders=subfolders)
        predictor = stack.enter_context(opening.open())
        # OpenCV's own pool would otherwise take every core for decoding and resizing, and its log
        # would tell in its own words of every picture that is not whole yet.
        cv2.setNumThreads(predictor.threads)
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        interruption = stack.enter_context(Interruption())
        arrivals = Arrivals(pictures, settings)
        watcher = Watcher(predictor, arrivals, folder, settings, archive=archive)
        say(f"watching with {predictor.variant.name}, every {settings.interval_seconds:g} s")
        _report(watcher.run(interruption), json=json)
    # It ends by a signal only.
    raise KeyboardInterrupt


def _report(outcomes: Iterator[Outcome], *, json: bool) -> None:
    """A line for each outcome, by digest: names of files may hold record numbers."""
    told = False
    for outcome in outcomes:
        if json and outcome.answer is not None:
            print_json(outcome.answer)
        if outcome.state != "known":
            say(_in_words(outcome))
        elif outcome.note and not told:
            told = True
            say(f"{_in_words(outcome)}; such are left as they are, --again answers them anew")


def _in_words(outcome: Outcome) -> str:
    if outcome.sha256 is None:
        return outcome.note
    return f"{outcome.sha256} {outcome.state}: {outcome.note}".removesuffix(": ")
