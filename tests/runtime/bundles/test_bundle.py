from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.manifest import digest_line
from realmnet_runtime.bundles.writer import write_bundle
from realmnet_runtime.errors import (
    ConfigurationError,
    IncompatibleError,
    IntegrityError,
    MissingPath,
    RealmnetError,
)
from realmnet_runtime.signatures.trust import ANY_BUNDLE

Contents = Callable[[], dict[str, Any]]
ZipFormat = tuple[Any, Any, Any]
in_one_place = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def everything(path: Path) -> tuple[str, dict[str, bytes]]:
    with Bundle.open(path, trust=ANY_BUNDLE) as bundle:
        return bundle.digest, {a.path: bundle.read(a.path) for a in bundle.manifest.artifacts}


def files_below(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


@pytest.fixture(params=["zip", "directory"])
def either_form(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(f"bundle_{request.param}")
    return path


def test_opened_bundle_gives_what_was_written(either_form: Path, contents: Contents) -> None:
    written = contents()
    with Bundle.open(str(either_form), trust=ANY_BUNDLE) as bundle:
        assert {path: bundle.read(path) for path in written["files"]} == written["files"]
        assert bundle.path == either_form
        assert bundle.manifest.labels == written["labels"]
        assert bundle.manifest.variants == written["variants"]
        assert bundle.manifest.golden == written["golden"]
        assert bundle.variant("b-int8").artifact == "models/int8.onnx"
        assert [v.name for v in bundle.variants_for("openvino")] == ["b-int8"]
        assert bundle.variants_for("tensorrt") == ()


def test_identity_is_the_manifests_digest_in_both_forms(
    bundle_zip: Path, bundle_directory: Path
) -> None:
    with zipfile.ZipFile(bundle_zip) as archive:
        raw = archive.read("manifest.json")
    expected = hashlib.sha256(raw).hexdigest()
    assert (
        Bundle.open(bundle_zip, trust=ANY_BUNDLE).digest
        == Bundle.open(bundle_directory, trust=ANY_BUNDLE).digest
        == expected
    )


@pytest.mark.parametrize("ask", [lambda b: b.read("models/fp23.onnx"), lambda b: b.variant("a")])
def test_unknown_names_are_refused_with_what_there_is(
    either_form: Path, ask: Callable[[Bundle], object]
) -> None:
    with (
        Bundle.open(either_form, trust=ANY_BUNDLE) as bundle,
        pytest.raises(ConfigurationError, match=r"it has .*a"),
    ):
        ask(bundle)


def test_nearest_file_is_suggested(either_form: Path) -> None:
    with (
        Bundle.open(either_form, trust=ANY_BUNDLE) as bundle,
        pytest.raises(ConfigurationError, match=r"did you mean 'models/fp32\.onnx'"),
    ):
        bundle.read("models/fp23.onnx")


# -- damage ------------------------------------------------------------------------------------


def test_each_flipped_byte_of_a_zip_is_refused_or_harmless(bundle_zip: Path) -> None:
    original = bundle_zip.read_bytes()
    truth = everything(bundle_zip)
    with zipfile.ZipFile(bundle_zip) as archive:
        content = {
            position
            for info in archive.infolist()
            for start in [info.header_offset + 30 + len(info.filename)]
            for position in range(start, start + info.compress_size)
        }
    accepted, messages = set(), set()
    with bundle_zip.open("r+b", buffering=0) as file:
        for position, byte in enumerate(original):
            for mask in (1 << position % 8, 0xFF):
                file.seek(position)
                file.write(bytes([byte ^ mask]))
                try:
                    found = everything(bundle_zip)
                except IntegrityError as error:
                    messages.add(str(error))
                else:
                    assert found == truth
                    accepted.add(position)
            file.seek(position)
            file.write(bytes([byte]))
    assert bundle_zip.read_bytes() == original
    assert accepted.isdisjoint(content)
    assert not any("\n" in message for message in messages)


def test_each_flipped_byte_of_a_directory_is_refused_by_name(bundle_directory: Path) -> None:
    for path in files_below(bundle_directory):
        original = path.read_bytes()
        name = path.relative_to(bundle_directory).as_posix()
        for position in range(0, len(original), 1 if len(original) < 300 else 7):
            flipped = bytearray(original)
            flipped[position] ^= 1 << position % 8
            path.write_bytes(flipped)
            with pytest.raises(IntegrityError, match=name):
                Bundle.open(bundle_directory, trust=ANY_BUNDLE)
        path.write_bytes(original)
    Bundle.open(bundle_directory, trust=ANY_BUNDLE)


def test_flipped_byte_names_the_artifact_of_a_zip(bundle_zip: Path) -> None:
    raw = bundle_zip.read_bytes()
    at = raw.index(b"eight bits")
    bundle_zip.write_bytes(raw[:at] + b"E" + raw[at + 1 :])
    with pytest.raises(IntegrityError, match=r"models/int8\.onnx") as caught:
        Bundle.open(bundle_zip, trust=ANY_BUNDLE)
    assert caught.value.exit_code == 5


def test_altered_artifact_with_a_matching_checksum_is_refused(
    bundle_zip: Path, zip_format: ZipFormat
) -> None:
    entry, _, encode = zip_format
    with zipfile.ZipFile(bundle_zip) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
    files["models/int8.onnx"] = files["models/int8.onnx"].replace(b"eight", b"EIGHT")
    bundle_zip.write_bytes(encode(entry(n.encode(), data) for n, data in files.items()))
    with pytest.raises(IntegrityError, match=r"models/int8\.onnx"):
        Bundle.open(bundle_zip, trust=ANY_BUNDLE)


def test_every_truncation_of_a_zip_is_refused(bundle_zip: Path) -> None:
    original = bundle_zip.read_bytes()
    for length in reversed(range(len(original))):
        os.truncate(bundle_zip, length)
        with pytest.raises(IntegrityError):
            Bundle.open(bundle_zip, trust=ANY_BUNDLE)


def test_missing_variant_file_is_named(bundle_directory: Path) -> None:
    (bundle_directory / "models/int8.onnx").unlink()
    with pytest.raises(IntegrityError, match=r"'models/int8\.onnx' is missing"):
        Bundle.open(bundle_directory, trust=ANY_BUNDLE)


def test_missing_variant_file_of_a_zip_is_named(bundle_zip: Path, zip_format: ZipFormat) -> None:
    entry, _, encode = zip_format
    with zipfile.ZipFile(bundle_zip) as archive:
        kept = [
            entry(i.filename.encode(), archive.read(i))
            for i in archive.infolist()
            if i.filename != "models/int8.onnx"
        ]
    bundle_zip.write_bytes(encode(kept))
    with pytest.raises(IntegrityError, match=r"'models/int8\.onnx' is missing"):
        Bundle.open(bundle_zip, trust=ANY_BUNDLE)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256"])
def test_missing_manifest_files_are_named(bundle_directory: Path, name: str) -> None:
    (bundle_directory / name).unlink()
    with pytest.raises(IntegrityError, match=f"no '{name}'"):
        Bundle.open(bundle_directory, trust=ANY_BUNDLE)


def test_unlisted_file_is_refused(bundle_directory: Path) -> None:
    (bundle_directory / "models/extra.onnx").write_bytes(b"nobody vouches for this")
    with pytest.raises(IntegrityError, match=r"'models/extra\.onnx' is not in its manifest"):
        Bundle.open(bundle_directory, trust=ANY_BUNDLE)


def test_unknown_schema_version_is_incompatible(bundle_directory: Path) -> None:
    redigest(bundle_directory, lambda content: content.update(schema_version=2, novelty=True))
    with pytest.raises(IncompatibleError, match="schema 2; this runtime reads schema 1") as caught:
        Bundle.open(bundle_directory, trust=ANY_BUNDLE)
    assert caught.value.exit_code == 6


def redigest(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((directory / "manifest.json").read_bytes())
    change(content)
    raw = json.dumps(content).encode()
    (directory / "manifest.json").write_bytes(raw)
    (directory / "manifest.sha256").write_bytes(digest_line(raw))


def test_artifact_path_that_leaves_the_bundle_is_refused(bundle_directory: Path) -> None:
    def point_outside(content: dict[str, Any]) -> None:
        content["artifacts"][0]["path"] = "../../etc/passwd"

    redigest(bundle_directory, point_outside)
    with pytest.raises(IntegrityError, match=r"leaves its place with '\.\.'"):
        Bundle.open(bundle_directory, trust=ANY_BUNDLE)


def test_manifest_larger_than_the_limit_is_refused_unread(bundle_directory: Path) -> None:
    with (bundle_directory / "manifest.json").open("r+b") as file:
        file.truncate((8 << 20) + 1)
    with pytest.raises(IntegrityError, match=r"manifest\.json' holds 8388609 bytes"):
        Bundle.open(bundle_directory, trust=ANY_BUNDLE)


# -- no bundle at all --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda _: None, MissingPath, "does not exist"),
        (lambda p: p.mkdir(), IntegrityError, "no 'manifest.json'"),
        (lambda p: p.write_bytes(b""), IntegrityError, "not a zip"),
        (lambda p: p.write_text("a model, honestly\n"), IntegrityError, "not a zip"),
        (lambda p: p.write_bytes(b"PK\3\4" + bytes(100)), IntegrityError, "cut short"),
        (lambda p: p.symlink_to(p), IntegrityError, "cannot be read"),
        (os.mkfifo, IntegrityError, "neither a directory nor a file"),
    ],
    ids=["absent", "empty directory", "empty", "text", "cut short", "link to itself", "pipe"],
)
def test_what_is_no_bundle_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], None], error: type[RealmnetError], says: str
) -> None:
    path = tmp_path / "x.realmnet"
    make(path)
    with pytest.raises(error, match=says) as caught:
        Bundle.open(path, trust=ANY_BUNDLE)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_path_below_a_file_is_missing(bundle_zip: Path) -> None:
    with pytest.raises(MissingPath):
        Bundle.open(bundle_zip / "inside", trust=ANY_BUNDLE)


@in_one_place
@given(st.data())
def test_spliced_zips_raise_only_our_errors(bundle_zip: Path, data: st.DataObject) -> None:
    original = bundle_zip.read_bytes()
    truth = everything(bundle_zip)
    start = data.draw(st.integers(0, len(original)))
    length = data.draw(st.integers(0, 64))
    raw = original[:start] + data.draw(st.binary(max_size=64)) + original[start + length :]
    path = bundle_zip.with_name("spliced.realmnet")
    path.write_bytes(raw)
    with contextlib.suppress(IntegrityError):
        assert everything(path) == truth


@in_one_place
@given(st.binary(max_size=200), st.binary(max_size=60))
def test_garbage_raises_only_our_errors(tmp_path: Path, body: bytes, record: bytes) -> None:
    path = tmp_path / "garbage.realmnet"
    path.write_bytes(b"PK\3\4" + body + b"PK\5\6" + record)
    with pytest.raises(IntegrityError):
        Bundle.open(path, trust=ANY_BUNDLE)


@in_one_place
@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda s: json.dumps([s]).encode()))
def test_garbage_manifests_raise_only_our_errors(bundle_directory: Path, raw: bytes) -> None:
    (bundle_directory / "manifest.json").write_bytes(raw)
    (bundle_directory / "manifest.sha256").write_bytes(digest_line(raw))
    with pytest.raises(IntegrityError):
        Bundle.open(bundle_directory, trust=ANY_BUNDLE)


# -- after opening -----------------------------------------------------------------------------


def test_file_altered_after_opening_is_not_given(bundle_directory: Path) -> None:
    with Bundle.open(bundle_directory, trust=ANY_BUNDLE) as bundle:
        path = bundle_directory / "models/int8.onnx"
        for altered in (b"8", path.read_bytes() * 2, path.read_bytes()[::-1]):
            path.write_bytes(altered)
            with pytest.raises(IntegrityError, match=r"models/int8\.onnx"):
                bundle.read("models/int8.onnx")
        path.unlink()
        with pytest.raises(IntegrityError, match=r"models/int8\.onnx"):
            bundle.read("models/int8.onnx")


def test_file_grown_after_opening_is_not_loaded(bundle_directory: Path) -> None:
    with Bundle.open(bundle_directory, trust=ANY_BUNDLE) as bundle:
        os.truncate(bundle_directory / "models/int8.onnx", 64 << 20)
        tracemalloc.start()
        try:
            with pytest.raises(IntegrityError, match=r"models/int8\.onnx"):
                bundle.read("models/int8.onnx")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.skipif(os.name != "posix", reason="only POSIX renames over an open file")
def test_open_zip_outlives_its_replacement(bundle_zip: Path, contents: Contents) -> None:
    newer = contents()
    newer["files"]["models/int8.onnx"] = b"newer"
    with Bundle.open(bundle_zip, trust=ANY_BUNDLE) as bundle:
        write_bundle(bundle_zip, **newer)
        assert bundle.read("models/int8.onnx") == contents()["files"]["models/int8.onnx"]
    with Bundle.open(bundle_zip, trust=ANY_BUNDLE) as bundle:
        assert bundle.read("models/int8.onnx") == b"newer"


def test_closed_zip_gives_nothing(bundle_zip: Path) -> None:
    bundle = Bundle.open(bundle_zip, trust=ANY_BUNDLE)
    bundle.close()
    bundle.close()
    with pytest.raises(IntegrityError, match="closed"):
        bundle.read("models/fp32.onnx")
