"""A receipt vouches for the conditions it names, for all of them and for no others."""

from __future__ import annotations

import getpass
import json
import platform
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from realmnet_runtime import Predictor, Receipt, SlotStore
from realmnet_runtime.backends import EngineFacts, installed_engines
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.compiled.prepare import prepare_bundle
from realmnet_runtime.errors import (
    ConfigurationError,
    GateFailed,
    IncompatibleError,
    IntegrityError,
    MissingPath,
)
from realmnet_runtime.files import sha256_of
from realmnet_runtime.proof.conditions import Conditions, Fingerprint
from realmnet_runtime.proof.receipt import prove, read_receipt, write_receipt
from realmnet_runtime.signatures.trust import ANY_BUNDLE
from realmnet_runtime.slots import RunOptions

Release = Callable[..., Path]


@pytest.fixture(scope="module")
def proven(release: Release) -> tuple[Receipt, Conditions]:
    with Predictor.open(release("1"), threads=1, trust=ANY_BUNDLE) as predictor:
        return prove(predictor), Conditions.of(predictor)


def test_it_says_what_ran_and_survives_its_file(
    proven: tuple[Receipt, Conditions], release: Release, tmp_path: Path
) -> None:
    receipt, now = proven
    assert receipt.still_holds(now)
    assert receipt.passed
    assert receipt.decisions_unchanged
    write_receipt(tmp_path / "r.json", receipt)
    assert read_receipt(tmp_path / "r.json") == receipt
    said = json.loads((tmp_path / "r.json").read_bytes())
    with Bundle.open(release("1"), trust=ANY_BUNDLE) as bundle:
        assert said["conditions"]["bundle_sha256"] == bundle.digest
    assert said["conditions"]["engine"]["precision"] == "fp32"
    assert said["conditions"]["engine"]["threads"] == 1
    assert said["conditions"]["fingerprint"]["architecture"] == platform.machine()
    assert said["largest"]["decisions"] == 0
    assert set(said["largest"]) == {"box", "tensor", "probabilities", "decisions"}
    written = datetime.fromisoformat(said["time"].replace("Z", "+00:00"))
    assert abs((datetime.now(timezone.utc) - written).total_seconds()) < 3600


def test_it_names_no_host_no_user_and_no_path(
    proven: tuple[Receipt, Conditions], release: Release
) -> None:
    text = msgspec.json.encode(proven[0]).decode()
    words = [platform.node(), getpass.getuser(), str(release("1").parent)]
    quoted = {f'"{word}"' for word in words} | {word for word in words if len(word) > 7}
    assert not [word for word in quoted if word in text]


def test_whatever_decides_an_answer_ends_it(proven: tuple[Receipt, Conditions]) -> None:
    """Field by field, so that a new one must be thought of."""
    receipt, now = proven
    fingerprint: dict[str, Any] = {
        "system": "Linux 9.9",
        "architecture": "riscv64",
        "processor": "another",
        "instruction_sets": ("sve2",),
        "libraries": {**now.fingerprint.libraries, "opencv": "4.0.0"},
    }
    engine: dict[str, Any] = {
        "engine": "openvino",
        "version": "1.2.3",
        "precision": "bf16",
        "threads": 7,
        "settings": {**now.engine.settings, "driver": "13.0"},
    }
    unseen = {"precision_from": "settings", "products": {"fp32": 99}, "prepared": True}
    assert set(fingerprint) == set(Fingerprint.__struct_fields__)
    assert set(engine) | set(unseen) == set(EngineFacts.__struct_fields__)
    replace = msgspec.structs.replace
    others = [
        *(
            replace(now, fingerprint=replace(now.fingerprint, **{name: value}))
            for name, value in fingerprint.items()
        ),
        *(replace(now, engine=replace(now.engine, **{k: v})) for k, v in engine.items()),
        replace(now, bundle_sha256="f" * 64),
        replace(now, variant="another"),
        replace(now, prepared_sha256="e" * 64),
    ]
    for other in others:
        assert receipt.changes(other)
        assert not receipt.still_holds(other)
        with pytest.raises(IncompatibleError, match="no longer holds: ") as caught:
            receipt.require_holds(other, "test again")
        assert "\n" not in str(caught.value)
        assert str(caught.value).endswith("; test again")
    for name, value in unseen.items():
        assert receipt.still_holds(replace(now, engine=replace(now.engine, **{name: value})))


def test_changes_are_named_in_words(proven: tuple[Receipt, Conditions]) -> None:
    receipt, now = proven
    sets = now.fingerprint.instruction_sets
    other = msgspec.structs.replace(
        now,
        fingerprint=msgspec.structs.replace(
            now.fingerprint,
            instruction_sets=(*sets[1:], "amx_int8"),
            libraries={**now.fingerprint.libraries, "numpy": "1.0"},
        ),
    )
    lost, gained, library = receipt.changes(other)
    assert lost == f"the CPU has no {sets[0]} any more"
    assert gained == "the CPU now has amx_int8"
    assert library.startswith("numpy ")
    assert library.endswith(" is now 1.0")


def test_a_failed_test_has_a_receipt_too(release: Release) -> None:
    with Predictor.open(release("1", failing=True), threads=1, trust=ANY_BUNDLE) as predictor:
        receipt, now = prove(predictor), Conditions.of(predictor)
    assert not receipt.passed
    assert not receipt.decisions_unchanged
    assert receipt.largest["decisions"] > 0
    assert not receipt.changes(now)
    assert not receipt.still_holds(now)
    with pytest.raises(GateFailed, match=r"probabilities deviates by .*; buy another"):
        receipt.require_holds(now, "buy another")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 2}, "schema 2"),
        ({"largest": {"colour": 0.0}}, "the stages are box, tensor"),
        ({"failures": ("something",)}, "both that the test passed"),
        ({"decisions_unchanged": False}, "both that the test passed"),
        ({"largest": {"decisions": 3.0}}, "unchanged and counts others"),
    ],
)
def test_contradictions_are_refused(
    proven: tuple[Receipt, Conditions], change: dict[str, object], says: str
) -> None:
    fields = msgspec.structs.asdict(proven[0])
    with pytest.raises(ConfigurationError, match=says):
        Receipt(**{**fields, **change})


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b"{" * 9999, b" " * (1 << 21)])
def test_a_damaged_receipt_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="run the self-test again") as caught:
        read_receipt(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(MissingPath):
        read_receipt(tmp_path / "absent.json")


def test_it_holds_the_digest_of_the_compiled_form(tiny_bundle: Path, tmp_path: Path) -> None:
    if "openvino" not in installed_engines():
        pytest.skip("openvino is not installed")
    cache = tmp_path / "cache"
    with Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as bundle:
        list(prepare_bundle(bundle, cache, engine="openvino", threads=1))
    store = SlotStore(tmp_path / "store", trust=ANY_BUNDLE)
    store.install(tiny_bundle)
    options = RunOptions(variant="openvino-fp32", threads=1, cache=cache)
    receipt = store.activate(options).receipt
    digests = {sha256_of(path) for path in cache.glob("*.blob")}
    assert receipt.conditions.prepared_sha256 in digests
    assert receipt.conditions.engine.prepared
    store.open(cache=cache).close()
    with pytest.raises(IncompatibleError, match=r"prepared form [0-9a-f]{12} is now none"):
        store.open(cache=tmp_path / "nothing")
    again = store.activate(RunOptions(cache=tmp_path / "nothing")).receipt
    assert again.conditions.prepared_sha256 is None
    assert again.conditions.variant == "openvino-fp32"
    store.open(cache=tmp_path / "nothing").close()
