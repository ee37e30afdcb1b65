from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.manifest import GoldenCase, encode_manifest
from realmnet_runtime.bundles.writer import build_manifest, copy_bundle, write_bundle
from realmnet_runtime.errors import ConfigurationError, IntegrityError, MissingPath, OutputError
from realmnet_runtime.signatures.trust import ANY_BUNDLE

Contents = Callable[[], dict[str, Any]]
ZipFormat = tuple[Any, Any, Any]
REQUIRED = ("models/fp32.onnx", "models/int8.onnx", "golden/eye.png")


def read_all(path: Path) -> dict[str, bytes]:
    with Bundle.open(path, trust=ANY_BUNDLE) as bundle:
        return {a.path: bundle.read(a.path) for a in bundle.manifest.artifacts}


def tree(root: Path) -> dict[str, bytes]:
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


@given(
    required=st.fixed_dictionaries(dict.fromkeys(REQUIRED, st.binary(max_size=300))),
    extra=st.dictionaries(st.from_regex(r"extra/[a-z]{1,5}\.bin", fullmatch=True), st.binary()),
    name=st.sampled_from(["x.realmnet", "x"]),
    compressed=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_is_read_is_what_was_written(
    contents: Contents,
    tmp_path: Path,
    *,
    required: dict[str, bytes],
    extra: dict[str, bytes],
    name: str,
    compressed: bool,
) -> None:
    files = required | extra
    path = write_bundle(tmp_path / name, **contents() | {"files": files}, compressed=compressed)
    assert path == tmp_path / name
    assert read_all(path) == files


def test_zip_is_byte_for_byte_what_the_format_says(
    contents: Contents, bundle_zip: Path, zip_format: ZipFormat
) -> None:
    entry, _, encode = zip_format
    written = contents()
    raw = encode_manifest(build_manifest(**written))
    with Bundle.open(bundle_zip, trust=ANY_BUNDLE) as bundle:
        assert bundle.raw_manifest == raw
        line = f"{bundle.digest}  manifest.json\n".encode()
    files = {**written["files"], "manifest.json": raw, "manifest.sha256": line}
    expected = encode(entry(name.encode(), files[name]) for name in sorted(files))
    assert bundle_zip.read_bytes() == expected


def test_same_content_gives_the_same_bytes(contents: Contents, tmp_path: Path) -> None:
    there, back = contents(), contents()
    back["files"] = dict(reversed(back["files"].items()))
    for name in there["files"]:
        source = tmp_path / "sources" / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(there["files"][name])
        there["files"][name] = source
        os.utime(source, (1, 1))
    one = write_bundle(tmp_path / "one.realmnet", **there)
    two = write_bundle(tmp_path / "two.realmnet", **back)
    assert one.read_bytes() == two.read_bytes()


def test_other_tools_agree_on_the_zip(bundle_zip: Path, contents: Contents) -> None:
    with zipfile.ZipFile(bundle_zip) as archive:
        assert archive.testzip() is None
        assert {i.date_time for i in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        for name, content in contents()["files"].items():
            assert archive.read(name) == content


def test_unpacked_zip_is_the_directory(
    bundle_zip: Path, bundle_directory: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(bundle_zip) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert tree(tmp_path / "unpacked") == tree(bundle_directory)
    assert read_all(tmp_path / "unpacked") == read_all(bundle_zip)


@pytest.mark.parametrize("start", ["bundle_zip", "bundle_directory"])
def test_copies_keep_their_identity(
    request: pytest.FixtureRequest, tmp_path: Path, start: str
) -> None:
    first = request.getfixturevalue(start)
    with Bundle.open(first, trust=ANY_BUNDLE) as bundle:
        packed = copy_bundle(bundle, tmp_path / "copy.realmnet", compressed=True)
        unpacked = copy_bundle(bundle, tmp_path / "copy")
        assert (
            Bundle.open(packed, trust=ANY_BUNDLE).digest
            == Bundle.open(unpacked, trust=ANY_BUNDLE).digest
            == bundle.digest
        )
    assert read_all(packed) == read_all(unpacked) == read_all(first)


def test_deflated_zip_is_smaller_and_never_a_bomb_to_the_reader(
    contents: Contents, tmp_path: Path
) -> None:
    parts = contents()
    weights = np.random.default_rng(0).normal(size=50_000).astype(np.float16).tobytes()
    parts["files"] |= {"models/fp32.onnx": weights, "models/int8.onnx": bytes(3_000_000)}
    packed = write_bundle(tmp_path / "packed.realmnet", **parts, compressed=True)
    with zipfile.ZipFile(packed) as archive:
        methods = {i.filename: i.compress_type for i in archive.infolist()}
    assert methods["models/fp32.onnx"] == zipfile.ZIP_DEFLATED
    assert methods["models/int8.onnx"] == zipfile.ZIP_STORED
    assert methods["card.md"] == zipfile.ZIP_STORED
    stored = write_bundle(tmp_path / "stored.realmnet", **parts)
    assert packed.stat().st_size < stored.stat().st_size
    assert read_all(packed) == read_all(stored)


# -- what is impossible ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.realmnet", "x"])
@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"files": {}}, ConfigurationError, "names the file 'models/fp32.onnx'"),
        ({"variants": ()}, ConfigurationError, "no variants"),
        ({"extra": {"../evil": b""}}, ConfigurationError, "leaves its place"),
        ({"extra": {"manifest.json": b""}}, ConfigurationError, "the manifest's"),
        ({"extra": {"CARD.md": b""}}, ConfigurationError, "'card.md' twice"),
        ({"extra": {"card.md/x": b""}}, ConfigurationError, "below another file"),
        ({"extra": {"x": Path("not/there")}}, MissingPath, "not/there"),
        ({"extra": {f"n{i}": b"" for i in range(1020)}}, ConfigurationError, "1021 are allowed"),
        ({"evidence": [None]}, ConfigurationError, "Expected `object`"),
    ],
)
def test_impossible_bundles_leave_nothing_behind(
    contents: Contents,
    tmp_path: Path,
    *,
    name: str,
    change: dict[str, Any],
    error: type[Exception],
    says: str,
) -> None:
    parts = contents() | change
    parts["files"] |= parts.pop("extra", {})
    with pytest.raises(error, match=says):
        write_bundle(tmp_path / name, **parts)
    assert list(tmp_path.iterdir()) == []


def test_range_of_every_value_is_checked_before_writing(contents: Contents, tmp_path: Path) -> None:
    parts = contents()
    point = parts["variants"][0].operating_point
    point.thresholds["HoT"] = 1.5
    with pytest.raises(ConfigurationError, match=r"<= 1\.0"):
        write_bundle(tmp_path / "x.realmnet", **parts)


def test_instruction_set_nobody_reports_is_refused(contents: Contents) -> None:
    parts = contents()
    odd = msgspec.structs.replace(parts["variants"][0], cpu_requires=("avx512-vnni",))
    with pytest.raises(ConfigurationError, match="did you mean 'avx512_vnni'"):
        build_manifest(**parts | {"variants": (odd, parts["variants"][1])})


def test_file_larger_than_a_bundle_may_hold_is_refused(contents: Contents, tmp_path: Path) -> None:
    parts = contents()
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate((512 << 20) + 1)
    parts["files"]["big.bin"] = tmp_path / "sparse"
    with pytest.raises(ConfigurationError, match=r"'big\.bin' holds 536870913 bytes"):
        write_bundle(tmp_path / "x.realmnet", **parts)


def test_source_that_changes_while_it_is_copied_is_noticed(
    bundle_directory: Path, tmp_path: Path
) -> None:
    with Bundle.open(bundle_directory, trust=ANY_BUNDLE) as bundle:
        (bundle_directory / "models/int8.onnx").write_bytes(b"eight bits " * 8 + b"EIGHT bits ")
        for name in ("copy.realmnet", "copy"):
            with pytest.raises(IntegrityError, match=r"models/int8\.onnx"):
                copy_bundle(bundle, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


@pytest.mark.parametrize("name", ["x.realmnet", "x"])
def test_source_that_changes_after_it_was_digested_is_named(
    contents: Contents, tmp_path: Path, name: str
) -> None:
    parts = contents()
    parts["files"]["card.md"] = tmp_path / "card.md"
    parts["files"]["card.md"].write_text("old")

    def change_meanwhile() -> Iterator[GoldenCase]:
        (tmp_path / "card.md").write_text("new")
        yield from contents()["golden"]

    with pytest.raises(IntegrityError, match=r"'card\.md' changed while"):
        write_bundle(tmp_path / name, **parts | {"golden": change_meanwhile()})
    assert [path.name for path in tmp_path.iterdir()] == ["card.md"]


# -- replacing ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.realmnet", "x"])
def test_newer_bundle_replaces_the_older(contents: Contents, tmp_path: Path, name: str) -> None:
    write_bundle(tmp_path / name, **contents())
    newer = contents()
    del newer["files"]["card.md"]
    newer["files"]["models/int8.onnx"] = b"newer"
    write_bundle(tmp_path / name, **newer)
    assert read_all(tmp_path / name) == newer["files"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_old_directory_returns_when_the_system_refuses_the_new(
    contents: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write_bundle(tmp_path / "x", **contents())
    before = tree(tmp_path)
    rename = Path.rename

    def refuse_the_second(path: Path, to: Path) -> Path:
        if calls.append(to) or len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, to)

    calls: list[Path] = []
    monkeypatch.setattr(Path, "rename", refuse_the_second)
    with pytest.raises(OutputError, match="Input/output error"):
        write_bundle(target, **contents())
    assert tree(tmp_path) == before
    assert [to == target for to in calls] == [False, True, True]


def test_directory_that_is_no_bundle_is_left_alone(contents: Contents, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="no bundle"):
        write_bundle(tmp_path / "precious", **contents())
    assert tree(tmp_path) == {"precious/thesis.txt": b"years of work"}


def test_empty_directory_is_filled(contents: Contents, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    assert read_all(write_bundle(tmp_path / "new", **contents())) == contents()["files"]


@pytest.mark.parametrize(
    ("make", "name", "says"),
    [
        (lambda p: (p / "x").write_bytes(b""), "x", "a file is there"),
        (lambda p: (p / "x.realmnet").mkdir(), "x.realmnet", "a directory"),
        (lambda _: None, "gone/x.realmnet", "create the directory"),
        (lambda _: None, "gone/x", "create the directory"),
        (lambda p: (p / "f").write_bytes(b""), "f/x.realmnet", "is a file"),
        (lambda p: (p / "f").write_bytes(b""), "f/x", "is a file"),
    ],
)
def test_unwritable_target_is_refused(
    contents: Contents, tmp_path: Path, make: Callable[[Path], None], name: str, says: str
) -> None:
    make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=says) as caught:
        write_bundle(tmp_path / name, **contents())
    assert caught.value.exit_code == 8
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
@pytest.mark.parametrize("name", ["x.realmnet", "x"])
def test_old_bundle_survives_a_disk_that_takes_no_more(
    contents: Contents, tmp_path: Path, name: str
) -> None:
    write_bundle(tmp_path / name, **contents())
    before = tree(tmp_path)
    program = f"""
        import resource, sys
        from realmnet_runtime.bundles.bundle import Bundle
        from realmnet_runtime.errors import OutputError
        from realmnet_runtime.signatures.trust import ANY_BUNDLE
        from realmnet_runtime.bundles.writer import copy_bundle, write_bundle

        with Bundle.open({name!r}, trust=ANY_BUNDLE) as bundle:
            manifest = bundle.manifest
            files = {{a.path: bundle.read(a.path) for a in manifest.artifacts}}
        files["models/int8.onnx"] = bytes(100_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            write_bundle(
                {name!r}, files=files, model=manifest.model, labels=manifest.labels,
                preprocess=manifest.preprocess, variants=manifest.variants,
                provenance=manifest.provenance, golden=manifest.golden,
            )
        except OutputError as error:
            print(error)
            sys.exit(error.exit_code)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 8, done.stderr
    assert "free some space" in done.stdout
    assert tree(tmp_path) == before
