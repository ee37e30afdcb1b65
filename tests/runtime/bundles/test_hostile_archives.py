"""Zips and directories made to harm: each is refused by its listing, before any content is read."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.errors import IntegrityError
from realmnet_runtime.signatures.trust import ANY_BUNDLE

MEBIBYTE = 1 << 20
SYMBOLIC_LINK, PIPE, DEVICE, DIRECTORY = 0o120777, 0o010644, 0o020644, 0o040755
Repack = Callable[..., Path]
ZipFormat = tuple[Any, Any, Any]


def noise(size: int) -> bytes:
    return np.random.default_rng(0).bytes(size)


@pytest.fixture
def with_entries(bundle_zip: Path, zip_format: ZipFormat) -> Repack:
    """Repacks the honest bundle with more entries; each is the keywords of `Entry`."""
    entry, end, encode = zip_format
    with zipfile.ZipFile(bundle_zip) as archive:
        honest = [entry(i.filename.encode(), archive.read(i)) for i in archive.infolist()]

    def repack(*extra: dict[str, Any], **ending: object) -> Path:
        raw = encode([*honest, *(entry(**fields) for fields in extra)], end(**ending))
        bundle_zip.write_bytes(raw)
        return bundle_zip

    return repack


def test_honest_repacked_bundle_opens(with_entries: Repack) -> None:
    Bundle.open(with_entries(), trust=ANY_BUNDLE)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (b"../evil", r"leaves its place with '\.\.'"),
        (b"models/../../evil", r"leaves its place with '\.\.'"),
        (b"/etc/cron.d/evil", "absolute"),
        (b"C:/evil", "drive letter"),
        (b"C:evil", "drive letter"),
        (b"..\\evil", "backslash"),
        (b"models\\evil", "backslash"),
        (b"card.md\0.txt", "NUL"),
        (b"", "is empty"),
        (b"models/", "directory"),
        (b"models//evil", "not normalised"),
        (b"./evil", "not normalised"),
        (b".hidden", "starts or ends with a dot"),
        (b"evil.", "starts or ends with a dot"),
        (b"models/NUL.onnx", "device on Windows"),
        (b"new\nline", "characters outside"),
        (b"\x1b[2Jevil", "characters outside"),
        (b"a" * 300, "longer than"),
        (b"models/fp32.onnx", "twice"),
        (b"Models/FP32.onnx", "twice"),
        (b"MANIFEST.JSON", "twice"),
        (b"models/extra.onnx", "not in its manifest"),
    ],
)
def test_name_of_an_entry_is_refused(with_entries: Repack, name: bytes, fault: str) -> None:
    path = with_entries({"name": name, "content": b"evil"})
    with pytest.raises(IntegrityError, match=fault) as caught:
        Bundle.open(path, trust=ANY_BUNDLE)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["évil", "e\u0301vil", "ev\u202eil"])
def test_name_beyond_ascii_is_refused(with_entries: Repack, name: str) -> None:
    with pytest.raises(IntegrityError, match="characters outside"):
        Bundle.open(
            with_entries({"name": name.encode(), "content": b"evil", "flags": 0x800}),
            trust=ANY_BUNDLE,
        )


def test_name_that_is_not_utf8_is_refused(with_entries: Repack) -> None:
    with pytest.raises(IntegrityError, match="cannot be read"):
        Bundle.open(
            with_entries({"name": b"\xff", "content": b"evil", "flags": 0x800}), trust=ANY_BUNDLE
        )


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"attributes": SYMBOLIC_LINK << 16, "content": b"/etc/passwd"}, "symbolic link"),
        ({"attributes": PIPE << 16}, "special file"),
        ({"attributes": DEVICE << 16}, "special file"),
        ({"attributes": DIRECTORY << 16}, "is a directory"),
        ({"attributes": 0x10}, "is a directory"),
        ({"flags": 0x0001}, "encrypted"),
        ({"flags": 0x0041}, "encrypted"),
        ({"flags": 0x0020}, "feature"),
        ({"flags": 0x2000}, "feature"),
        ({"flags": 0x0008}, "feature"),
        ({"method": 9}, "method 9"),
        ({"method": 12}, "method 12"),
        ({"method": 14}, "method 14"),
        ({"method": 93}, "method 93"),
        ({"method": 8, "content": bytes(10 * MEBIBYTE)}, "expands more than 100 times"),
        ({"declared_size": 5}, "contradicts its size"),
        (
            {"method": 8, "content": noise(6 * MEBIBYTE)} | {"declared_size": 513 * MEBIBYTE},
            "holds 537919488 bytes",
        ),
    ],
)
def test_kind_of_an_entry_is_refused(
    with_entries: Repack, fields: dict[str, Any], fault: str
) -> None:
    path = with_entries({"name": b"evil", "content": b"evil", **fields})
    with pytest.raises(IntegrityError, match=fault) as caught:
        Bundle.open(path, trust=ANY_BUNDLE)
    assert "evil" in str(caught.value)


def test_sum_of_sizes_is_limited(with_entries: Repack) -> None:
    claim = {"method": 8, "content": noise(5 * MEBIBYTE), "declared_size": 400 * MEBIBYTE}
    names = (b"one", b"two", b"three")
    with pytest.raises(IntegrityError, match="1073741824 are allowed"):
        Bundle.open(with_entries(*({"name": name, **claim} for name in names)), trust=ANY_BUNDLE)


def test_content_longer_than_declared_is_refused(
    bundle_zip: Path, with_entries: Repack, zip_format: ZipFormat
) -> None:
    entry, _, encode = zip_format
    with zipfile.ZipFile(with_entries()) as archive:
        entries = []
        for info in archive.infolist():
            data = archive.read(info)
            if info.filename == "models/int8.onnx":
                longer = {"content": data * 9, "method": 8, "declared_size": len(data)}
                entries.append(entry(info.filename.encode(), **longer))
            else:
                entries.append(entry(info.filename.encode(), data))
    bundle_zip.write_bytes(encode(entries))
    with pytest.raises(IntegrityError, match=r"models/int8\.onnx"):
        Bundle.open(bundle_zip, trust=ANY_BUNDLE)


def test_number_of_entries_is_limited(with_entries: Repack) -> None:
    many = [{"name": f"n{i}".encode()} for i in range(1024)]
    with pytest.raises(IntegrityError, match="more than 1024 entries"):
        Bundle.open(with_entries(*many), trust=ANY_BUNDLE)


@pytest.mark.parametrize(
    ("ending", "fault"),
    [
        ({"disk": 1}, "volumes"),
        ({"entries_here": 1}, "volumes"),
        ({"comment": b"PK"}, "after its end"),
        ({"before_record": b"PK\6\7" + bytes(16)}, "zip64"),
        ({"before_record": b"hidden"}, "belong to no entry"),
    ],
)
def test_liberties_of_the_end_record_are_refused(
    with_entries: Repack, ending: dict[str, Any], fault: str
) -> None:
    with pytest.raises(IntegrityError, match=fault):
        Bundle.open(with_entries(**ending), trust=ANY_BUNDLE)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda raw: b"#!/bin/sh\n" + raw, "not a zip archive"),
        (lambda raw: b"PK\3\4" + raw, "belong to no entry"),
        (lambda raw: raw + b"\n", "after its end"),
    ],
)
def test_bytes_around_the_archive_are_refused(
    bundle_zip: Path, change: Callable[[bytes], bytes], fault: str
) -> None:
    bundle_zip.write_bytes(change(bundle_zip.read_bytes()))
    with pytest.raises(IntegrityError, match=fault):
        Bundle.open(bundle_zip, trust=ANY_BUNDLE)


def test_local_header_that_names_another_file_is_refused(bundle_zip: Path) -> None:
    raw = bundle_zip.read_bytes()
    at = raw.index(b"models/int8.onnxeight bits")
    bundle_zip.write_bytes(raw[:at] + b"models/int9.onnx" + raw[at + 16 :])
    with pytest.raises(IntegrityError, match=r"models/int8\.onnx"):
        Bundle.open(bundle_zip, trust=ANY_BUNDLE)


@pytest.mark.parametrize("target", ["models/fp32.onnx", "/etc/passwd", "nowhere"])
def test_link_in_a_directory_is_refused(bundle_directory: Path, target: str) -> None:
    (bundle_directory / "models/int8.onnx").unlink()
    (bundle_directory / "models/int8.onnx").symlink_to(target)
    with pytest.raises(IntegrityError, match="symbolic link"):
        Bundle.open(bundle_directory, trust=ANY_BUNDLE)


def test_linked_directory_in_a_directory_is_refused(bundle_directory: Path) -> None:
    (bundle_directory / "models").rename(bundle_directory.parent / "outside")
    (bundle_directory / "models").symlink_to(bundle_directory.parent / "outside")
    with pytest.raises(IntegrityError, match="symbolic link"):
        Bundle.open(bundle_directory, trust=ANY_BUNDLE)


def test_pipe_in_a_directory_is_refused_without_waiting(bundle_directory: Path) -> None:
    (bundle_directory / "card.md").unlink()
    os.mkfifo(bundle_directory / "card.md")
    with pytest.raises(IntegrityError, match="special file"):
        Bundle.open(bundle_directory, trust=ANY_BUNDLE)


@pytest.mark.parametrize("name", [".DS_Store", "new\nline", "évil", "CARD.md"])
def test_odd_name_in_a_directory_is_refused(bundle_directory: Path, name: str) -> None:
    if (bundle_directory / name).exists():
        pytest.skip("this file system does not tell cases apart")
    (bundle_directory / name).write_bytes(b"")
    with pytest.raises(IntegrityError) as caught:
        Bundle.open(bundle_directory, trust=ANY_BUNDLE)
    assert str(caught.value).isprintable()


def test_number_of_files_in_a_directory_is_limited(bundle_directory: Path) -> None:
    for number in range(1024):
        (bundle_directory / f"n{number}").touch()
    with pytest.raises(IntegrityError, match="more than 1024 entries"):
        Bundle.open(bundle_directory, trust=ANY_BUNDLE)
