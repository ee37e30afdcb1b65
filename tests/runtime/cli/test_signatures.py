"""Signing and trusting bundles from the command line; the runtime alone suffices."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from realmnet_runtime.signatures.keys import read_private_key, read_public_key

from ...conftest import need_package

need_package("cryptography", "signature")

Command = Callable[..., Any]


@pytest.fixture
def keys(realmnet: Command, tmp_path: Path) -> tuple[Path, Path]:
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    done = realmnet("bundle", "keygen", private, public)
    assert (done.code, done.err) == (0, "")
    assert done.out.split() == [read_public_key(public).id, str(public)]
    return private, public


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    path = tmp_path / "own.realmnet"
    path.write_bytes(tiny_bundle.read_bytes())
    return path


def test_a_signed_bundle_is_verified_and_described(
    realmnet: Command, keys: tuple[Path, Path], bundle: Path
) -> None:
    key_id = read_public_key(keys[1]).id
    unsigned = realmnet("bundle", "verify", bundle)
    assert (unsigned.code, unsigned.out.splitlines()[1]) == (0, "not signed")
    done = realmnet("bundle", "sign", bundle, "--key", keys[0])
    assert (done.code, done.out.splitlines()[1]) == (0, f"signed by {key_id}")
    assert f"signed by {key_id}, not checked" in realmnet("info", bundle).out
    for words in (("bundle", "verify"), ("info",)):
        done = realmnet(*words, bundle, "--trusted-key", keys[1], "--json")
        assert json.loads(done.out)["signature"] == {"by": "key", "key_id": key_id}
    done = realmnet("bundle", "verify", bundle, "--trusted-key", keys[1])
    digest = unsigned.out.split()[0]
    assert done.out.splitlines() == [f"{digest}  {bundle}", f"signed by {key_id}, checked"]
    assert json.loads(realmnet("bundle", "inspect", bundle).out)["schema_version"] == 1


@pytest.mark.usefixtures("an_engine")
def test_every_verb_that_opens_a_bundle_asks_for_the_signature(
    realmnet: Command, keys: tuple[Path, Path], bundle: Path, eye_file: Path, tmp_path: Path
) -> None:
    trusted = ("--trusted-key", keys[1])
    cache = ("--cache", tmp_path / "cache")
    verbs_ = (
        ("predict", eye_file, "--bundle", bundle, *cache),
        ("selftest", bundle, *cache),
        ("prepare", bundle, "--engine", "auto", *cache),
        ("info", bundle),
        ("bundle", "verify", bundle),
    )
    for words in verbs_:
        done = realmnet(*words, *trusted)
        assert (done.code, done.out) == (5, ""), words
        assert "is not signed" in done.one_line()
    assert realmnet("info", bundle, *trusted, "--allow-unsigned").code == 0
    assert realmnet("bundle", "sign", bundle, "--key", keys[0]).code == 0
    assert realmnet("predict", eye_file, "--bundle", bundle, *cache, *trusted).code == 0


@pytest.mark.usefixtures("an_engine")
def test_an_unsigned_bundle_answers_only_where_that_was_said(
    realmnet: Command, bundle: Path, eye_file: Path, tmp_path: Path
) -> None:
    pictures, results = tmp_path / "in", tmp_path / "out"
    pictures.mkdir()
    store = ("--store", tmp_path / "store")
    cache = ("--cache", tmp_path / "cache")
    answering: tuple[tuple[str | Path, ...], ...] = (
        ("predict", eye_file, "--bundle", bundle),
        ("selftest", bundle),
        ("prepare", bundle, *cache),
        ("slot", "install", bundle, *store),
        ("watch", pictures, results, "--bundle", bundle),
    )
    for words in answering:
        done = realmnet(*words)
        assert (done.code, done.out) == (5, ""), words
        assert "it is not signed; " in done.one_line()
        assert "--trusted-key" in done.one_line()
        assert "--allow-unsigned" in done.one_line()
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "cache").exists()
    for words in answering[:-1]:
        assert realmnet(*words, "--allow-unsigned").code == 0, words
    assert realmnet("slot", "activate", *store).code == 5
    assert realmnet("slot", "activate", *store, "--allow-unsigned").code == 0
    assert realmnet("predict", eye_file, *store).code == 5


def test_what_examines_a_bundle_looks_at_any_and_says_so(realmnet: Command, bundle: Path) -> None:
    for words in (("info", bundle), ("bundle", "verify", bundle)):
        done = realmnet(*words)
        assert (done.code, "not signed" in done.out) == (0, True)


def test_a_wrong_key_is_5_and_a_bad_one_is_2(
    realmnet: Command, keys: tuple[Path, Path], bundle: Path, tmp_path: Path
) -> None:
    realmnet("bundle", "sign", bundle, "--key", keys[0])
    other = tmp_path / "other_public.pem"
    realmnet("bundle", "keygen", tmp_path / "other.pem", other)
    done = realmnet("bundle", "verify", bundle, "--trusted-key", other)
    assert (done.code, "none of the 1 trusted keys" in done.one_line()) == (5, True)
    both = ("--trusted-key", other, "--trusted-key", keys[1])
    assert realmnet("bundle", "verify", bundle, *both).code == 0
    empty = tmp_path / "empty"
    empty.mkdir()
    for key in (empty, keys[0], bundle, tmp_path / "absent.pem"):
        done = realmnet("bundle", "verify", bundle, "--trusted-key", key)
        assert (done.code, done.out) == (2, "")
        done.one_line()


def test_a_passphrase_comes_from_a_file(realmnet: Command, bundle: Path, tmp_path: Path) -> None:
    private, public, secret = (tmp_path / name for name in ("a.pem", "b.pem", "secret"))
    secret.write_text("correct horse\nnot this line\n")
    assert realmnet("bundle", "keygen", private, public, "--passphrase-file", secret).code == 0
    if os.name == "posix":
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert read_private_key(private, b"correct horse").public == read_public_key(public)
    sign = ("bundle", "sign", bundle, "--key", private)
    done = realmnet(*sign)
    assert (done.code, "give its passphrase" in done.one_line()) == (2, True)
    assert realmnet(*sign, "--passphrase-file", secret, "--ask-passphrase").code == 2
    assert realmnet(*sign, "--passphrase-file", tmp_path / "absent").code == 2
    assert realmnet(*sign, "--passphrase-file", secret).code == 0
    secret.write_text("\n")
    done = realmnet(*sign, "--passphrase-file", secret)
    assert (done.code, "empty first line" in done.one_line()) == (2, True)


def test_without_the_extra_the_cure_is_named(
    realmnet_process: Command, keys: tuple[Path, Path], bundle: Path
) -> None:
    done = realmnet_process("info", bundle, "--trusted-key", keys[1], absent={"cryptography"})
    assert (done.code, done.out) == (2, "")
    assert "pip install 'realmnet-runtime[signature]'" in done.one_line()
