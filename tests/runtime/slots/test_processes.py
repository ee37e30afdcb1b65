"""Commands that are killed at any moment, and two at once.

`REALMNET_KILLS=50 pytest tests/runtime/slots/test_processes.py` kills fifty times; the suite, five.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest

from realmnet_runtime import SlotStore
from realmnet_runtime.cli import main
from realmnet_runtime.errors import OutputError
from realmnet_runtime.locks import exclusive
from realmnet_runtime.signatures.trust import ANY_BUNDLE

Release = Callable[..., Path]

KILLS = int(os.environ.get("REALMNET_KILLS", "5"))

pytestmark = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="needs a fork server"
)


@pytest.fixture(scope="module")
def processes() -> BaseContext:
    """Processes of their own that need not import everything anew; no engine is open in them."""
    pytest.importorskip("typer", reason="the command needs the extra 'cli'")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["realmnet_runtime.cli.slot", "onnxruntime"])
    return context


def words(command: str, store: SlotStore, *bundle: Path) -> list[str]:
    place = ["--store", str(store.folder), "--allow-unsigned"]
    return ["slot", command, *map(str, bundle), *place, "--json"]


def run_to_its_end(context: BaseContext, command: list[str]) -> float:
    """Seconds that it takes."""
    begin = time.monotonic()
    process = context.Process(target=main, args=(command,))
    process.start()
    process.join()
    return time.monotonic() - begin


def roles(store: SlotStore) -> dict[str, str]:
    return {state.role: state.slot.version for state in store.states()}


def test_killed_at_any_moment_the_old_or_the_new_slot_answers(
    processes: BaseContext, release: Release, tmp_path: Path
) -> None:
    store = SlotStore(tmp_path / "store", wait_s=0, trust=ANY_BUNDLE)
    random_moment = random.Random(KILLS)  # noqa: S311
    longest = {}
    release("1"), release("2")
    for command, bundle in (("install", [release("1")]), ("activate", [])):
        run_to_its_end(processes, words(command, store, *bundle))
        longest[command] = run_to_its_end(processes, words(command, store, *bundle))
    cut_short = 0
    for number in range(KILLS):
        command = random_moment.choice(["install", "activate"])
        shutil.rmtree(store.folder)
        store.install(release("1"))
        store.activate()
        if command == "activate":
            store.install(release("2"))
        bundle = [release("2")] if command == "install" else []
        process = processes.Process(target=main, args=(words(command, store, *bundle),))
        process.start()
        time.sleep(random_moment.uniform(0, 1.2 * longest[command]))
        process.kill()
        process.join()
        cut_short += process.exitcode != 0

        expected = {"1"} if command == "install" else {"1", "2"}
        with store.open() as predictor:
            assert predictor.manifest.model.version in expected, number
        # The lock went with its holder, and the same command picks up where the other fell.
        if command == "install":
            store.install(release("2"))
            assert roles(store) == {"active": "1", "candidate": "2"}
        else:
            store.activate()
            assert roles(store) == {"active": "2", "previous": "1"}
        store.open().close()
        names = sorted(path.name for path in (store.folder / "slots").iterdir())
        assert not [name for name in names if name.startswith(".")]
    assert cut_short > 0


@pytest.fixture
def two_workers(processes: BaseContext) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=processes) as pool:
        yield pool


def test_two_commands_at_once_follow_each_other(
    two_workers: ProcessPoolExecutor, release: Release, tmp_path: Path
) -> None:
    store = SlotStore(tmp_path / "store", trust=ANY_BUNDLE)
    for one, other in (("1", "2"), ("3", "4")):
        installs = [
            two_workers.submit(main, words("install", store, release(version)))
            for version in (one, other)
        ]
        assert [done.result() for done in installs] == [0, 0]
        assert roles(store)["candidate"] in {one, other}
        activations = [two_workers.submit(main, words("activate", store)) for _ in range(2)]
        assert [done.result() for done in activations] == [0, 0]
        assert roles(store)["active"] in {one, other}
        assert "candidate" not in roles(store)
        store.open().close()
    kept = {state.slot.name for state in store.states()}
    assert {path.name.partition(".")[0] for path in (store.folder / "slots").iterdir()} == kept


def test_a_store_that_another_command_holds_is_left_as_it_is(
    release: Release, tmp_path: Path
) -> None:
    store = SlotStore(tmp_path / "store", wait_s=0, trust=ANY_BUNDLE)
    store.install(release("1"))
    store.activate()
    with exclusive(store.folder / "lock", wait_s=0):
        for command in (lambda: store.install(release("2")), store.activate, store.prove):
            with pytest.raises(OutputError, match="held by another process") as caught:
                command()
            assert caught.value.exit_code == 8
        # Reading waits for nobody.
        store.open().close()
        assert roles(store) == {"active": "1"}
    store.install(release("2"))


def test_a_lock_that_cannot_be_made_names_the_cure(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="create the directory"),
        exclusive(tmp_path / "absent" / "lock", wait_s=0),
    ):
        pass
