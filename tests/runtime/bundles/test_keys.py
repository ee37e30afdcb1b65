"""Keys as files: made for one owner, read strictly, exchanged with openssl."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from realmnet_runtime.errors import MissingPath, OutputError, UsageError
from realmnet_runtime.signatures.keys import (
    PublicKey,
    generate_key_pair,
    read_private_key,
    read_public_key,
    read_trusted_keys,
)
from realmnet_runtime.signatures.trust import Trust

from ...conftest import need_package

need_package("cryptography", "signature")
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as other_kind  # noqa: E402
from cryptography.hazmat.primitives.serialization import (  # noqa: E402
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

posix = pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX systems")
OPENSSL = shutil.which("openssl") or ""
with_openssl = pytest.mark.skipif(not OPENSSL, reason="no openssl here")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    generate_key_pair(tmp_path / "private.pem", tmp_path / "public.pem")
    return tmp_path / "private.pem", tmp_path / "public.pem"


def test_the_two_halves_belong_together(pair: tuple[Path, Path]) -> None:
    private, public = read_private_key(pair[0]), read_public_key(pair[1])
    assert private.public == public
    signature = private.sign(b"manifest")
    assert public.verifies(signature, b"manifest")
    assert not public.verifies(signature, b"another")
    assert not public.verifies(signature[:-1], b"manifest")


def test_the_private_half_is_in_no_text_of_it(pair: tuple[Path, Path]) -> None:
    private = read_private_key(pair[0])
    assert "_seed" not in repr(private)
    assert private._seed.hex() not in repr(private)


@posix
def test_only_the_owner_may_read_the_private_file(pair: tuple[Path, Path]) -> None:
    assert stat.S_IMODE(pair[0].stat().st_mode) == 0o600
    pair[0].chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600"):
        read_private_key(pair[0])


@pytest.mark.parametrize("there", ["private.pem", "public.pem"])
def test_a_key_is_never_replaced_and_no_half_is_left_alone(there: str, tmp_path: Path) -> None:
    (tmp_path / there).write_text("here before")
    with pytest.raises(OutputError, match="never replaced"):
        generate_key_pair(tmp_path / "private.pem", tmp_path / "public.pem")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "here before"


def test_a_passphrase_opens_what_it_closed(tmp_path: Path) -> None:
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    key = generate_key_pair(private, public, b"correct horse")
    assert private.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert read_private_key(private, b"correct horse").public == key == read_public_key(public)
    with pytest.raises(UsageError, match="passphrase is another"):
        read_private_key(private, b"battery staple")
    with pytest.raises(UsageError, match="give its passphrase"):
        read_private_key(private)


def test_a_superfluous_or_an_empty_passphrase_is_refused(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="leave the passphrase out"):
        read_private_key(pair[0], b"secret")
    with pytest.raises(UsageError, match="passphrase is empty"):
        generate_key_pair(tmp_path / "a.pem", tmp_path / "b.pem", b"")


def test_keys_of_other_kinds_are_refused(tmp_path: Path) -> None:
    curve = other_kind(SECP256R1())
    private, public = tmp_path / "a.pem", tmp_path / "b.pem"
    private.touch(0o600)
    private.write_bytes(
        curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    public.write_bytes(
        curve.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    for read, path in ((read_private_key, private), (read_public_key, public)):
        with pytest.raises(UsageError, match="another kind"):
            read(path)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda _: b"", "not one public key"),
        (lambda pem: pem + pem, "not one public key"),
        (lambda pem: pem.replace(b"PUBLIC", b"SPOILT"), "no public key in PEM"),
        (lambda pem: pem[:60] + b"\n-----END PUBLIC KEY-----\n", "no public key in PEM"),
        (lambda pem: pem + b" " * (1 << 14), "it is no key"),
    ],
)
def test_damaged_public_keys_are_refused(
    pair: tuple[Path, Path], spoil: Callable[[bytes], bytes], says: str
) -> None:
    pair[1].write_bytes(spoil(pair[1].read_bytes()))
    with pytest.raises(UsageError, match=says):
        read_public_key(pair[1])


def test_a_private_key_is_nobodys_trusted_key(pair: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="is a private key"):
        Trust.of(pair[0])
    pair[0].write_bytes(pair[0].read_bytes()[:70])
    with pytest.raises(UsageError, match="no private key in PEM"):
        read_private_key(pair[0])


def test_a_folder_trusts_each_of_its_keys_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "trusted"
    folder.mkdir()
    with pytest.raises(MissingPath, match=r"no '\*\.pem' key"):
        Trust.of(folder)
    keys = {generate_key_pair(tmp_path / f"{n}.pem", folder / f"{n}.pem") for n in range(2)}
    (folder / "README").write_text("not a key")
    assert set(read_trusted_keys(folder)) == keys
    (folder / "bad.pem").write_text("no key")
    with pytest.raises(UsageError, match=r"bad\.pem"):
        Trust.of(folder)
    with pytest.raises(MissingPath, match="cannot be read"):
        Trust.of(tmp_path / "absent.pem")


def test_a_public_key_has_32_bytes() -> None:
    with pytest.raises(UsageError, match="31 bytes"):
        PublicKey(bytes(31))


@with_openssl
def test_openssl_names_the_key_as_we_do(pair: tuple[Path, Path]) -> None:
    der = subprocess.run(
        [OPENSSL, "pkey", "-pubin", "-in", pair[1], "-outform", "DER"],
        capture_output=True,
        check=True,
    ).stdout
    assert read_public_key(pair[1]).id == hashlib.sha256(der).hexdigest()


@with_openssl
def test_a_key_of_openssl_signs(tmp_path: Path) -> None:
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    make = [OPENSSL, "genpkey", "-algorithm", "ed25519", "-out", private]
    subprocess.run(make, capture_output=True, check=True)
    private.chmod(0o600)
    subprocess.run(
        [OPENSSL, "pkey", "-in", private, "-pubout", "-out", public],
        capture_output=True,
        check=True,
    )
    key = read_private_key(private)
    assert key.public == read_public_key(public)
    assert key.public.verifies(key.sign(b"x"), b"x")
