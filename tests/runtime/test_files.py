from __future__ import annotations

import hashlib
import ntpath
import os
import posixpath
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_runtime.errors import IntegrityError, OutputError
from realmnet_runtime.files import (
    is_temporary,
    make_directory,
    path_fault,
    sha256_of,
    temporary_beside,
    write_atomically,
)

# FIPS 180-4 examples: the empty message, one block, two blocks, a million letters.
KNOWN_DIGESTS = {
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    b"a" * 1_000_000: "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
}
linux = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")


@pytest.mark.parametrize(("content", "digest"), KNOWN_DIGESTS.items(), ids=len)
def test_digest_of_bytes_and_of_files(tmp_path: Path, content: bytes, digest: str) -> None:
    path = tmp_path / "content"
    path.write_bytes(content)
    assert sha256_of(content) == sha256_of(path) == sha256_of(str(path)) == digest


def test_digest_of_a_file_of_many_pieces(tmp_path: Path) -> None:
    content = os.urandom(3 * (1 << 20) + 7)
    (tmp_path / "large").write_bytes(content)
    assert sha256_of(tmp_path / "large") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "path",
    ["a", "a.onnx", "a/b/c.xml", "golden/eye-01_OD.png", "libstdc++.so.6", "-", "_", "nul-space"],
)
def test_fit_paths(path: str) -> None:
    assert path_fault(path) is None


@given(st.text(max_size=12))
def test_a_fit_path_stays_below_its_root_on_every_system(path: str) -> None:
    if path_fault(path) is None:
        assert posixpath.normpath(path) == path
        assert posixpath.join("/root", path) == f"/root/{path}"
        assert ntpath.splitdrive(path) == ("", path)
        assert ntpath.normpath(path).split("\\") == path.split("/")
        assert path.isascii()
        assert path.isprintable()


@given(st.lists(st.sampled_from(["a", "..", ".", "", "b\\", "c:", "/", "nul", "COM1.txt", "é"])))
def test_a_path_with_an_unfit_part_is_unfit(parts: list[str]) -> None:
    assert (path_fault("/".join(parts)) is None) == (set(parts) == {"a"})


def test_a_directory_is_made_with_those_above_it(tmp_path: Path) -> None:
    make_directory(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    (tmp_path / "a" / "b" / "c" / "kept").write_bytes(b"")
    make_directory(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c" / "kept").exists()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="it is no directory; name another"):
        make_directory(tmp_path / "file")
    with pytest.raises(OutputError, match="no directory"):
        make_directory(tmp_path / "file" / "below")


def test_temporary_names_are_told_from_others(tmp_path: Path) -> None:
    temporary = temporary_beside(tmp_path / "target")
    assert temporary.parent == tmp_path
    assert is_temporary(temporary)
    for other in ("target", f"{temporary.name}.bak", f"a{temporary.name}", ".realmnet-12.part"):
        assert not is_temporary(tmp_path / other)


# -- writing -----------------------------------------------------------------------------------


def test_bytes_and_functions_write_alike(tmp_path: Path) -> None:
    write_atomically(tmp_path / "bytes", b"content")
    write_atomically(str(tmp_path / "function"), lambda file: print_to(file, b"con", b"tent"))
    assert (tmp_path / "bytes").read_bytes() == (tmp_path / "function").read_bytes() == b"content"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bytes", "function"]


def print_to(file: BinaryIO, *parts: bytes) -> None:
    file.writelines(parts)


def test_new_files_have_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "ours", b"")
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_old_file_is_whole_until_the_new_one_is(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")

    def look_while_writing(file: BinaryIO) -> None:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"

    write_atomically(target, look_while_writing)
    assert target.read_bytes() == b"new"


def fill_the_disk(_: BinaryIO) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")


def refuse(file: BinaryIO) -> None:
    file.write(b"half")
    raise IntegrityError("content is not what it should be")


def interrupt(file: BinaryIO) -> None:
    file.write(b"half")
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("write", "error", "says"),
    [
        pytest.param(fill_the_disk, OutputError, "free some space", marks=linux),
        (refuse, IntegrityError, "not what it should be"),
        (interrupt, KeyboardInterrupt, None),
    ],
)
def test_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, write: Callable[[BinaryIO], None], error: type[BaseException], says: str | None
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    with pytest.raises(error, match=says):
        write_atomically(target, write)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("missing/target", "create the directory '.*missing' first"),
        ("file/target", "one of '.*file' is a file"),
        ("directory", "it is a directory; name a file"),
        ("pipe", "not a regular file"),
        ("loop", "choose another path"),
        ("n" * 300, "choose another path"),
    ],
)
def test_unwritable_target_names_the_cure(tmp_path: Path, name: str, cure: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "directory").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError, match=cure) as caught:
        write_atomically(tmp_path / name, b"content")
    assert caught.value.exit_code == 8
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(not Path("/sys/kernel").exists(), reason="needs a directory nobody may fill")
def test_forbidden_directory_names_the_cure() -> None:
    with pytest.raises(OutputError, match="choose a directory you may write to"):
        write_atomically("/sys/kernel/realmnet", b"content")


@linux
def test_devices_are_not_replaced() -> None:
    with pytest.raises(OutputError, match="not a regular file"):
        write_atomically("/dev/null", b"content")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("there/target")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there/target").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["target"]
