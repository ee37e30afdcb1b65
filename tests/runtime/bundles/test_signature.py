"""A signed bundle opens only as it was signed, and an unsigned one only where that was said."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realmnet_runtime import Predictor, Trust
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.manifest import SIGNATURE_NAME, digest_line
from realmnet_runtime.bundles.writer import copy_bundle, write_bundle
from realmnet_runtime.errors import IntegrityError, MissingPath, UsageError
from realmnet_runtime.files import sha256_of
from realmnet_runtime.signatures.keys import PrivateKey, generate_key_pair, read_private_key
from realmnet_runtime.signatures.signature import SIGNATURE_BYTES, Signature, decode_signature
from realmnet_runtime.signatures.signing import sign_bundle
from realmnet_runtime.signatures.trust import ANY_BUNDLE, Unsigned

from ...conftest import need_package

need_package("cryptography", "signature")

Contents = Callable[[], dict[str, Any]]
OPENSSL = shutil.which("openssl") or ""
ZipFormat = tuple[Any, Any, Any]


@dataclass(frozen=True)
class Released:
    """A signed bundle in both forms, and the key."""

    key: PrivateKey
    public: Path
    content: bytes
    directory: Path
    digest: str

    @property
    def trust(self) -> Trust:
        return Trust(keys=(self.key.public,))

    @property
    def files(self) -> dict[str, bytes]:
        root = self.directory
        paths = [path for path in root.rglob("*") if path.is_file()]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def released(contents: Contents, tmp_path_factory: pytest.TempPathFactory) -> Released:
    folder = tmp_path_factory.mktemp("released")
    generate_key_pair(folder / "private.pem", folder / "public.pem")
    key = read_private_key(folder / "private.pem")
    for name in ("tiny.realmnet", "tiny"):
        sign_bundle(write_bundle(folder / name, **contents()), key)
    packed = folder / "tiny.realmnet"
    digest = Bundle.open(packed, trust=ANY_BUNDLE).digest
    return Released(key, folder / "public.pem", packed.read_bytes(), folder / "tiny", digest)


@pytest.fixture
def other_key(tmp_path: Path) -> PrivateKey:
    generate_key_pair(tmp_path / "other.pem", tmp_path / "other_public.pem")
    return read_private_key(tmp_path / "other.pem")


@pytest.fixture
def repacked(released: Released, zip_format: ZipFormat) -> Callable[[dict[str, bytes]], bytes]:
    """The bytes of a zip of these files beside those of the signed bundle."""
    entry, _, encode = zip_format

    def repack(changed: dict[str, bytes]) -> bytes:
        files = {**released.files, **changed}
        return bytes(encode(entry(name.encode(), data) for name, data in files.items()))

    return repack


def everything(bundle: Bundle) -> dict[str, bytes]:
    return {a.path: bundle.read(a.path) for a in bundle.manifest.artifacts}


# -- signing -----------------------------------------------------------------------------------


def test_signing_keeps_the_digest_and_every_file(
    bundle_zip: Path, bundle_directory: Path, released: Released
) -> None:
    for path in (bundle_zip, bundle_directory):
        with Bundle.open(path, trust=ANY_BUNDLE) as before:
            digest, files = before.digest, everything(before)
            assert before.signature is None
        signature = sign_bundle(path, released.key)
        with Bundle.open(path, trust=released.trust) as after:
            assert (after.digest, everything(after)) == (digest, files)
            assert after.signature == signature
            assert (after.standing.by, after.standing.key_id) == ("key", released.key.public.id)
            assert str(after.standing) == f"signed by {released.key.public.id}, checked"
    left = sorted(path.name for path in bundle_zip.parent.iterdir())
    assert left == [bundle_directory.name, bundle_zip.name]


def test_both_forms_and_every_time_give_the_same_signature(released: Released) -> None:
    trust = released.trust
    with (
        Bundle.open(released.content, trust=trust) as packed,
        Bundle.open(released.directory, trust=trust) as unpacked,
    ):
        assert packed.signature == unpacked.signature


def test_a_new_signature_takes_the_old_ones_place(
    bundle_zip: Path, bundle_directory: Path, released: Released, other_key: PrivateKey
) -> None:
    for path in (bundle_zip, bundle_directory):
        sign_bundle(path, other_key)
        sign_bundle(path, released.key)
        Bundle.open(path, trust=released.trust).close()


def test_a_compressed_zip_stays_compressed(
    contents: Contents, released: Released, tmp_path: Path
) -> None:
    keywords = contents()
    keywords["files"]["card.md"] = b"text " * 20
    path = write_bundle(tmp_path / "small.realmnet", **keywords, compressed=True)
    sign_bundle(path, released.key)
    with zipfile.ZipFile(path) as archive:
        kinds = {info.compress_type for info in archive.infolist()}
    assert zipfile.ZIP_DEFLATED in kinds


def test_copies_of_a_signed_bundle_are_signed(released: Released, tmp_path: Path) -> None:
    with Bundle.open(released.content, trust=released.trust) as bundle:
        for name in ("copy.realmnet", "copy"):
            copy = copy_bundle(bundle, tmp_path / name)
            assert Bundle.open(copy, trust=released.trust).digest == released.digest


def test_what_is_no_bundle_is_not_signed(released: Released, tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match=r"absent\.realmnet"):
        sign_bundle(tmp_path / "absent.realmnet", released.key)
    other = tmp_path / "bundle.zip"
    other.write_bytes(released.content)
    with pytest.raises(UsageError, match="rename it"):
        sign_bundle(other, released.key)
    broken = tmp_path / "broken.realmnet"
    broken.write_bytes(released.content[:-9])
    with pytest.raises(IntegrityError, match="zip"):
        sign_bundle(broken, released.key)
    assert broken.read_bytes() == released.content[:-9]


@pytest.mark.skipif(not OPENSSL, reason="no openssl here")
def test_openssl_verifies_the_signature(released: Released, tmp_path: Path) -> None:
    signature = decode_signature(released.files[SIGNATURE_NAME])
    assert signature is not None
    (tmp_path / "value").write_bytes(signature.value)
    manifest = released.directory / "manifest.json"
    for data, code in ((manifest, 0), (released.directory / "manifest.sha256", 1)):
        done = subprocess.run(
            [
                *(OPENSSL, "pkeyutl", "-verify", "-pubin", "-inkey", released.public, "-rawin"),
                *("-in", data, "-sigfile", tmp_path / "value"),
            ],
            capture_output=True,
            check=False,
        )
        assert done.returncode == code


# -- whose bundles are opened ------------------------------------------------------------------


def test_a_key_given_refuses_what_nobody_signed(bundle_zip: Path, released: Released) -> None:
    with pytest.raises(IntegrityError, match=r"is not signed; .*--allow-unsigned") as caught:
        Bundle.open(bundle_zip, trust=released.trust)
    assert caught.value.exit_code == 5
    accepted = Trust(keys=released.trust.keys, unsigned="allow")
    with Bundle.open(bundle_zip, trust=accepted) as bundle:
        assert (bundle.standing.by, str(bundle.standing)) == ("nobody", "not signed")


def test_without_a_key_a_signature_is_said_not_to_be_checked(released: Released) -> None:
    with Bundle.open(released.content, trust=Trust(unsigned="allow")) as bundle:
        assert bundle.standing.by == "nobody"
        assert str(bundle.standing) == f"signed by {released.key.public.id}, not checked"


def test_where_nobody_said_nothing_unsigned_opens(
    bundle_zip: Path, bundle_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line that names both cures; no variable of the environment says otherwise."""
    for name in ("REALMNET_UNSIGNED", "REALMNET_ALLOW_UNSIGNED", "REALMNET_TRUST"):
        monkeypatch.setenv(name, "allow")
    for source in (bundle_zip, str(bundle_zip), bundle_directory, bundle_zip.read_bytes()):
        for refused in (
            lambda it=source: Bundle.open(it),
            lambda it=source: Predictor.open(it),
            lambda it=source: Bundle.open(it, trust=Trust()),
        ):
            with pytest.raises(IntegrityError, match="it is not signed; ") as caught:
                refused()
            said = str(caught.value)
            assert caught.value.exit_code == 5
            assert "\n" not in said
            for cure in ("--trusted-key", "--allow-unsigned", 'trust=Trust(unsigned="allow")'):
                assert cure in said


def test_a_refused_bundle_meets_no_parser(
    repacked: Callable[[dict[str, bytes]], bytes],
) -> None:
    changed = {"manifest.json": b"{", "manifest.sha256": digest_line(b"{")}
    with pytest.raises(IntegrityError, match="no key was given"):
        Bundle.open(repacked(changed))


def test_a_signature_nobody_can_check_is_none(released: Released) -> None:
    """Else anybody's signature would open what no signature does."""
    for trust in (Trust(), Trust(unsigned="refuse")):
        with pytest.raises(IntegrityError, match="no key was given to check it; name"):
            Bundle.open(released.content, trust=trust)


@pytest.mark.parametrize("unsigned", ["allow", "refuse"])
def test_anothers_signature_is_refused_whatever_is_allowed(
    unsigned: Unsigned, released: Released, other_key: PrivateKey
) -> None:
    trust = Trust(keys=(other_key.public,), unsigned=unsigned)
    with pytest.raises(IntegrityError, match="none of the 1 trusted keys"):
        Bundle.open(released.content, trust=trust)
    both = Trust(keys=(other_key.public, released.key.public), unsigned=unsigned)
    Bundle.open(released.content, trust=both).close()


@pytest.mark.parametrize("unsigned", ["allow", "refuse"])
def test_a_signature_of_another_manifest_is_refused(
    unsigned: Unsigned,
    released: Released,
    contents: Contents,
    tmp_path: Path,
    repacked: Callable[[dict[str, bytes]], bytes],
) -> None:
    keywords = contents()
    keywords["files"]["card.md"] = b"another release"
    other = write_bundle(tmp_path / "other.realmnet", **keywords)
    signature = sign_bundle(other, released.key)
    trust = Trust(keys=released.trust.keys, unsigned=unsigned)
    with pytest.raises(IntegrityError, match="not of this manifest"):
        Bundle.open(repacked({SIGNATURE_NAME: signature.line()}), trust=trust)


def test_a_stranger_cannot_use_the_name_of_a_trusted_key(
    released: Released, other_key: PrivateKey, repacked: Callable[[dict[str, bytes]], bytes]
) -> None:
    value = other_key.sign(released.files["manifest.json"])
    line = Signature(released.key.public.id, value).line()
    with pytest.raises(IntegrityError, match="not of this manifest"):
        Bundle.open(repacked({SIGNATURE_NAME: line}), trust=released.trust)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda line: line[:-1],
        lambda line: line[:-1] + b"\r",
        lambda line: line + b"\n",
        lambda line: line + line,
        lambda line: line.upper(),
        lambda line: line.replace(b"ed25519", b"ed25518"),
        lambda line: line.replace(b" ", b"\t"),
        lambda line: b" " + line[:-1],
        lambda _: b"0" * (1 << 20),
    ],
)
def test_a_signature_file_of_another_form_is_refused_even_unchecked(
    spoil: Callable[[bytes], bytes],
    released: Released,
    repacked: Callable[[dict[str, bytes]], bytes],
) -> None:
    raw = repacked({SIGNATURE_NAME: spoil(released.files[SIGNATURE_NAME])})
    for trust in (Trust(), released.trust, Trust(unsigned="allow")):
        with pytest.raises(IntegrityError, match=r"manifest\.sig.* is no signature") as caught:
            Bundle.open(raw, trust=trust)
        assert "\n" not in str(caught.value)


def test_a_signature_of_a_directory_that_grows_is_not_read_whole(
    released: Released, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(released.directory, tmp_path / "copy"))
    (copy / SIGNATURE_NAME).write_bytes(b"0" * (SIGNATURE_BYTES + 1))
    with pytest.raises(IntegrityError, match=r"manifest\.sig"):
        Bundle.open(copy)


# -- tampering ---------------------------------------------------------------------------------


def test_a_forger_who_rewrites_all_digests_is_refused(
    released: Released, repacked: Callable[[dict[str, bytes]], bytes]
) -> None:
    files = released.files
    model = files["models/int8.onnx"].replace(b"eight", b"EIGHT")
    manifest = files["manifest.json"].replace(
        sha256_of(files["models/int8.onnx"]).encode(), sha256_of(model).encode()
    )
    forged = {
        "models/int8.onnx": model,
        "manifest.json": manifest,
        "manifest.sha256": digest_line(manifest),
    }
    raw = repacked(forged)
    Bundle.open(raw, trust=ANY_BUNDLE).close()
    with pytest.raises(IntegrityError, match="its signature"):
        Bundle.open(raw, trust=released.trust)


@pytest.mark.parametrize(
    "manifest", [b"{", b"[" * 100_000, b"\xff\xfe", b"", b'{"schema_version":9}']
)
def test_the_signature_is_checked_before_the_manifest_is_parsed(
    manifest: bytes, released: Released, repacked: Callable[[dict[str, bytes]], bytes]
) -> None:
    changed = {"manifest.json": manifest, "manifest.sha256": digest_line(manifest)}
    with pytest.raises(IntegrityError, match="its signature"):
        Bundle.open(repacked(changed), trust=released.trust)
    with pytest.raises(Exception, match=r"manifest\.json|schema 9"):
        Bundle.open(repacked(changed), trust=ANY_BUNDLE)


tampering = settings(max_examples=150, deadline=None)


@tampering
@given(data=st.data())
def test_no_altered_byte_of_a_zip_changes_what_is_trusted(
    data: st.DataObject, released: Released
) -> None:
    raw = released.content
    at = data.draw(st.integers(0, len(raw) - 1))
    mask = data.draw(st.integers(1, 255))
    _opens_as_released_or_not(raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :], released)


@tampering
@given(data=st.data())
def test_no_part_cut_out_or_put_in_changes_what_is_trusted(
    data: st.DataObject, released: Released
) -> None:
    raw = released.content
    start = data.draw(st.integers(0, len(raw)))
    stop = data.draw(st.integers(start, min(len(raw), start + 600)))
    new = data.draw(st.one_of(st.binary(max_size=40), st.just(raw[start:stop] * 2)))
    _opens_as_released_or_not(raw[:start] + new + raw[stop:], released)


def _opens_as_released_or_not(raw: bytes, released: Released) -> None:
    with (
        contextlib.suppress(IntegrityError),
        Bundle.open(raw, trust=released.trust) as bundle,
    ):
        assert bundle.digest == released.digest
        assert bundle.standing.by == "key"
        for name, content in everything(bundle).items():
            assert content == released.files[name]


def test_each_altered_byte_of_a_directory_is_refused(released: Released, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(released.directory, tmp_path / "copy"))
    for name, content in released.files.items():
        for at in range(0, len(content), 1 if name.startswith("manifest.s") else 41):
            spoilt = bytearray(content)
            spoilt[at] ^= 1 << at % 8
            (copy / name).write_bytes(spoilt)
            with pytest.raises(IntegrityError):
                Bundle.open(copy, trust=released.trust)
        (copy / name).write_bytes(content)
    Bundle.open(copy, trust=released.trust).close()
