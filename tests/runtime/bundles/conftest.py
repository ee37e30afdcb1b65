"""A bundle of a few kilobytes, and a zip encoder written from the format's specification."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from realmnet_runtime.bundles.manifest import (
    Evidence,
    GoldenAnswer,
    GoldenCase,
    Model,
    OperatingPoint,
    Provenance,
    Variant,
)
from realmnet_runtime.bundles.writer import write_bundle
from realmnet_runtime.labels import PERIPHERAL
from realmnet_runtime.pictures.preprocess import PreprocessSpec

STORED, DEFLATED = 0, 8
REGULAR_FILE = 0o100644 << 16


@dataclass(frozen=True)
class Entry:
    """One zip entry; what is None is worked out from the content as an honest writer would."""

    name: bytes
    content: bytes = b""
    method: int = STORED
    flags: int = 0
    attributes: int = REGULAR_FILE
    declared_size: int | None = None


@dataclass(frozen=True)
class End:
    """Liberties of the end record."""

    disk: int = 0
    entries_here: int | None = None
    comment: bytes = b""
    before_record: bytes = b""


def encode_zip(entries: Iterable[Entry], end: End | None = None) -> bytes:
    """APPNOTE.TXT 4.3.7, 4.3.12 and 4.3.16: local headers, central directory, end record."""
    end = end or End()
    body, directory, count = b"", b"", 0
    for entry in entries:
        data = entry.content
        if entry.method == DEFLATED:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            data = packer.compress(entry.content) + packer.flush()
        size = len(entry.content) if entry.declared_size is None else entry.declared_size
        # Version 2.0, midnight of 1 January 1980.
        shared = struct.pack(
            "<4H3L2H", entry.flags, entry.method, 0, 0x21,
            zlib.crc32(entry.content), len(data), size, len(entry.name), 0,
        )  # fmt: skip
        offset = len(body)
        body += struct.pack("<4sH", b"PK\3\4", 20) + shared + entry.name + data
        directory += struct.pack("<4s2H", b"PK\1\2", 20 | 3 << 8, 20) + shared
        directory += struct.pack("<3H2L", 0, 0, 0, entry.attributes, offset) + entry.name
        count += 1
    here = count if end.entries_here is None else end.entries_here
    record = struct.pack(
        "<4s4H2LH", b"PK\5\6", end.disk, 0, here, count,
        len(directory), len(body), len(end.comment),
    )  # fmt: skip
    return body + directory + end.before_record + record + end.comment


def bundle_contents() -> dict[str, Any]:
    """Keywords of `write_bundle` for a bundle of two variants and one golden case."""
    names = PERIPHERAL.names
    point = OperatingPoint(dict.fromkeys(names, 1.25), dict.fromkeys(names, 0.5), "phantoms")
    return {
        "files": {
            "models/fp32.onnx": bytes(range(256)),
            "models/int8.onnx": b"eight bits " * 9,
            "golden/eye.png": b"\x89PNG picture",
            "card.md": b"",
        },
        "model": Model("tiny", "1", "three convolutions", 3, "diagnoses nothing"),
        "labels": PERIPHERAL,
        "preprocess": PreprocessSpec(size=64),
        "variants": (
            Variant("a-fp32", "onnxruntime", "fp32", "fp32", "models/fp32.onnx", point, "1.18"),
            Variant(
                "b-int8", "openvino", "int8", "int8", "models/int8.onnx", point, "2025.0",
                ("avx512_vnni", "asimddp"),
            ),
        ),
        "provenance": Provenance(
            created="2026-01-31", trained_on="nothing", command="pytest", toolkit_version="0.1.0",
            checkpoint_sha256="0" * 64, data_sha256={}, software={"numpy": "2"},
        ),
        "golden": (
            GoldenCase(
                "eye", "golden/eye.png", (1, 2, 30, 40), 1, "f" * 64,
                (GoldenAnswer("a-fp32", (0.1, 0.2, 0.3, 0.4, 1.0), 1e-3),),
            ),
        ),
        "evidence": (Evidence("a-fp32", "phantoms", 10, {"ap_macro": 0.9}, "ten pictures"),),
    }  # fmt: skip


@pytest.fixture(scope="session")
def contents() -> Callable[[], dict[str, Any]]:
    return bundle_contents


@pytest.fixture
def bundle_zip(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "tiny.realmnet", **bundle_contents())


@pytest.fixture
def bundle_directory(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "tiny", **bundle_contents())


@pytest.fixture(scope="session")
def zip_format() -> tuple[type[Entry], type[End], Callable[..., bytes]]:
    return Entry, End, encode_zip
