"""`realmnet slot`, `selftest --receipt` and `predict --store` as a user meets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from realmnet_runtime.proof.receipt import read_receipt

Command = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("an_engine")


def test_install_activate_predict_and_list(
    realmnet: Command, tiny_bundle: Path, eye_file: Path, tmp_path: Path, an_engine: str
) -> None:
    store = ["--store", tmp_path / "store"]
    trusting = [*store, "--allow-unsigned"]
    installed = realmnet("slot", "install", tiny_bundle, *trusting, "--json")
    assert (installed.code, installed.err) == (0, "")
    slot = json.loads(installed.out)
    assert slot["version"] == "1"

    refused = realmnet("predict", eye_file, *store, "--json")
    assert (refused.code, refused.out) == (6, "")
    assert "`realmnet slot activate` makes the installed one answer" in refused.one_line()

    chosen = ["--engine", an_engine, "--threads", "1"]
    activated = realmnet("slot", "activate", *trusting, *chosen, "--json")
    assert (activated.code, activated.err) == (0, "")
    answer = json.loads(activated.out)
    assert answer["active"] == slot
    assert answer["receipt"]["passed"]

    by_slot = json.loads(realmnet("predict", eye_file, *trusting, "--json").out)
    by_file = ["predict", eye_file, "--bundle", tiny_bundle, "--allow-unsigned", *chosen, "--json"]
    direct = json.loads(realmnet(*by_file).out)
    for name in ("probabilities", "findings", "bundle_sha256"):
        if name in direct:
            assert by_slot[name] == direct[name]

    listed = json.loads(realmnet("slot", "list", *store, "--json").out)
    assert listed == {
        "highest": "1",
        "slots": [{"role": "active", **slot, "receipt": "passed"}],
    }
    table = realmnet("slot", "list", *store).out
    assert slot["bundle_sha256"][:16] in table
    assert "self-test passed" in table


def test_selftest_writes_a_receipt_passed_or_failed(
    realmnet: Command, tiny_bundle: Path, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "receipt.json"
    assert realmnet("selftest", tiny_bundle, "--allow-unsigned", "--receipt", path).code == 0
    assert read_receipt(path).passed
    other = make_bundle(tmp_path / "b.realmnet", box_off_by=9)
    failed = realmnet("selftest", other, "--allow-unsigned", "--receipt", path)
    assert failed.code == 4
    assert "box deviates by 9" in failed.one_line()
    assert not read_receipt(path).passed
    refused = realmnet(
        "selftest", tiny_bundle, "--allow-unsigned", "--receipt", tmp_path / "no" / "r.json"
    )
    assert (refused.code, refused.out) == (8, "")
    assert "create the directory" in refused.one_line()


def test_selftest_of_a_store_renews_its_receipt(
    realmnet: Command, tiny_bundle: Path, tmp_path: Path
) -> None:
    store = ["--store", tmp_path / "store"]
    trusting = [*store, "--allow-unsigned"]
    realmnet("slot", "install", tiny_bundle, *trusting)
    assert realmnet("selftest", *store).code == 6
    realmnet("slot", "activate", *trusting, "--threads", "1")
    done = realmnet("selftest", *trusting, "--receipt", tmp_path / "r.json", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["conditions"]["engine"]["threads"] == 1
    (kept,) = (tmp_path / "store" / "slots").glob("*.receipt.json")
    assert read_receipt(tmp_path / "r.json") == read_receipt(kept)
    both = realmnet("selftest", tiny_bundle, *store)
    assert both.code == 2
    assert "name one" in both.one_line()


def test_a_failing_bundle_is_4_and_a_damaged_one_5(
    realmnet: Command, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    store = ["--store", tmp_path / "store"]
    trusting = [*store, "--allow-unsigned"]
    other = make_bundle(tmp_path / "b.realmnet", box_off_by=9)
    assert realmnet("slot", "install", other, *trusting).code == 0
    failed = realmnet("slot", "activate", *trusting)
    assert (failed.code, failed.out) == (4, "")
    assert "no slot is active: install another bundle" in failed.one_line()
    other.write_bytes(other.read_bytes()[:-100])
    assert realmnet("slot", "install", other, *trusting).code == 5
    (tmp_path / "store" / "pointer.json").write_bytes(b"{}")
    for command in ("list", "activate", "rollback"):
        damaged = realmnet("slot", command, *store)
        assert (damaged.code, damaged.out) == (5, "")
        assert "pointer" in damaged.one_line()


def test_no_store_is_2_and_options_that_a_slot_decides_too(
    realmnet: Command, eye_file: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    store = ["--store", tmp_path / "absent"]
    for command in ("list", "activate", "rollback"):
        absent = realmnet("slot", command, *store)
        assert (absent.code, absent.out) == (2, "")
        assert "realmnet slot install" in absent.one_line()
    assert realmnet("slot", "install", tmp_path / "no.realmnet", *store).code == 2
    assert not (tmp_path / "absent").exists()
    for options in (["--bundle", tiny_bundle], ["--engine", "openvino"], ["--threads", "1"]):
        both = realmnet("predict", eye_file, *store, *options)
        assert (both.code, both.out) == (2, "")
        assert "as it was tested" in both.one_line()
    assert realmnet("slot", "activate").code == 2


def test_a_disk_that_is_full_is_8(
    realmnet_process: Command, tiny_bundle: Path, tmp_path: Path
) -> None:
    """By a limit on the size of files, which the bundle meets and the pointer does not."""
    pytest.importorskip("resource", reason="limits are POSIX's")
    limit = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))"
    )
    store = tmp_path / "store"
    done = realmnet_process(
        "slot", "install", tiny_bundle, "--store", store, "--allow-unsigned", before=limit
    )
    assert (done.code, done.out) == (8, "")
    assert "free some space" in done.one_line()
    assert sorted(path.name for path in store.iterdir()) == ["lock", "pointer.json", "slots"]
    assert list((store / "slots").iterdir()) == []
    again = realmnet_process("slot", "install", tiny_bundle, "--store", store, "--allow-unsigned")
    assert again.code == 0
