"""Every bad input of the list: one line, no traceback, its exit code, and the old file alive."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime.backends import installed_engines
from realmnet_runtime.labels import PERIPHERAL

Command = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("an_engine")


def png_header_only(width: int, height: int) -> bytes:
    """A PNG that promises a huge picture, with a valid header."""
    header = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", len(header))
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
    )


def encoded(image: NDArray[np.uint8], suffix: str) -> bytes:
    return cv2.imencode(suffix, image[:, :, ::-1])[1].tobytes()


def cmyk(image: NDArray[np.uint8], path: Path) -> bytes:
    pillow = pytest.importorskip("PIL.Image", reason="OpenCV writes no CMYK JPEG; Pillow does")
    pillow.fromarray(image).convert("CMYK").save(path, "JPEG")
    return path.read_bytes()


def bad_picture(kind: str, eye: NDArray[np.uint8], folder: Path) -> bytes:
    flat = np.ones((480, 640, 3), np.uint8)
    grey = np.repeat(cv2.cvtColor(eye, cv2.COLOR_RGB2GRAY)[:, :, np.newaxis], 3, axis=2)
    makers: dict[str, Callable[[], bytes]] = {
        "empty": lambda: b"",
        "truncated JPEG": lambda: encoded(eye, ".jpg")[:-4000],
        "text": lambda: b"This is not a picture but a letter.\n" * 20,
        "1x1": lambda: encoded(eye[:1, :1], ".png"),
        "30,000 x 30,000": lambda: png_header_only(30_000, 30_000),
        "all black": lambda: encoded(0 * flat, ".jpg"),
        "all white": lambda: encoded(255 * flat, ".jpg"),
        "grey angiogram": lambda: encoded(grey, ".jpg"),
        "CMYK": lambda: cmyk(eye, folder / "cmyk.tmp"),
    }
    return makers[kind]()


PICTURES = [
    "empty",
    "truncated JPEG",
    "text",
    "1x1",
    "30,000 x 30,000",
    "all black",
    "all white",
    "grey angiogram",
    "CMYK",
]


@pytest.mark.parametrize("kind", PICTURES)
def test_a_bad_picture_is_refused_with_7(
    kind: str, realmnet: Command, eye: NDArray[np.uint8], tiny_bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(bad_picture(kind, eye, tmp_path))
    done = realmnet("predict", path, "--bundle", tiny_bundle, "--allow-unsigned", "--json")
    assert done.code == 7
    reason = done.one_line().removeprefix(f"{path}: ")
    answer = json.loads(done.out)
    assert answer["error"]["message"] == reason
    assert len(reason) > 20


def test_a_missing_file_is_2(realmnet: Command, eye_file: Path, tiny_bundle: Path) -> None:
    absent = eye_file.with_name("absent.png")
    done = realmnet(
        "predict", eye_file, absent, "--bundle", tiny_bundle, "--allow-unsigned", "--json"
    )
    assert (done.code, done.out) == (2, "")
    assert "absent.png" in done.one_line()


def test_a_directory_without_images_is_2(
    realmnet: Command, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    done = realmnet("predict", tmp_path / "empty", "--bundle", tiny_bundle, "--allow-unsigned")
    assert done.code == 2
    assert "no pictures" in done.one_line()


@pytest.mark.parametrize(
    ("option", "place"),
    [
        ("--output", "no/such/folder/x"),
        ("--output", "eye.png/x"),
        ("--output", "."),
        ("--output", "/proc/x"),
        ("--overlay", "eye.png"),
        ("--overlay", "eye.png/x"),
        ("--overlay", "/proc/x"),
    ],
)
def test_an_unwritable_output_is_8_before_any_work(
    option: str, place: str, realmnet: Command, eye_file: Path, tmp_path: Path
) -> None:
    if place.startswith("/proc") and not Path("/proc").is_dir():
        pytest.skip("no /proc")
    # Not even the bundle is opened: this one does not exist.
    words = ["predict", eye_file, "--bundle", tmp_path / "absent", option, tmp_path / place]
    done = realmnet(*words, "--json")
    assert (done.code, done.out) == (8, "")
    assert "cannot write" in done.one_line()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("form", [["--json"], []])
def test_standard_output_on_a_full_disk_is_8(
    form: list[str], realmnet_process: Command, eye_file: Path, tiny_bundle: Path
) -> None:
    words = ["predict", eye_file, "--bundle", tiny_bundle, "--allow-unsigned", *form]
    done = realmnet_process(*words, stdout=Path("/dev/full"))
    assert done.code == 8
    assert "No space left" in done.one_line()


@pytest.mark.skipif(os.name != "posix", reason="the limit is POSIX's")
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_full_disk_keeps_the_old_file(
    engine: str, realmnet_process: Command, eye_file: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    out = tmp_path / "out"
    out.mkdir()
    kept = out / "answers.jsonl"
    kept.write_text("old\n")
    words = [
        "predict",
        eye_file,
        "--bundle",
        tiny_bundle,
        "--allow-unsigned",
        "--engine",
        engine,
        "--json",
    ]
    # As on a disk with 300 bytes left, for every file the process writes.
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))"
    done = realmnet_process(*words, "--output", kept, before=limit)
    assert done.code == 8
    assert "cannot write" in done.one_line()
    # The picture was answered all the same, and nothing half-written lies about.
    assert json.loads(done.out)["engine"] == engine
    assert kept.read_text() == "old\n"
    assert list(out.iterdir()) == [kept]


def test_a_bundle_with_a_flipped_byte_is_5(
    realmnet: Command, eye_file: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    content = bytearray(tiny_bundle.read_bytes())
    content[content.find(b"golden/eye.png") + 400] ^= 1
    path = tmp_path / "flipped.realmnet"
    path.write_bytes(content)
    for words in (
        ["predict", eye_file, "--bundle", path, "--allow-unsigned"],
        ["selftest", path, "--allow-unsigned"],
        ["info", path],
    ):
        done = realmnet(*words)
        assert (done.code, done.out) == (5, "")
        assert "golden/eye.png" in done.one_line()


def rewritten(bundle: Path, to: Path, change: Callable[[bytes], bytes]) -> Path:
    """The bundle with another manifest, and the digest that goes with it."""
    with zipfile.ZipFile(bundle) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    manifest = entries["manifest.json"] = change(entries["manifest.json"])
    entries["manifest.sha256"] = f"{hashlib.sha256(manifest).hexdigest()}  manifest.json\n".encode()
    with zipfile.ZipFile(to, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return to


def test_an_unknown_schema_is_6(realmnet: Command, tiny_bundle: Path, tmp_path: Path) -> None:
    path = rewritten(
        tiny_bundle,
        tmp_path / "b.realmnet",
        lambda raw: json.dumps({**json.loads(raw), "schema_version": 99}).encode(),
    )
    done = realmnet("info", path)
    assert (done.code, done.out) == (6, "")
    assert "schema 99" in done.one_line()


def test_a_missing_variant_is_2_and_names_those_there(
    realmnet: Command, eye_file: Path, tiny_bundle: Path
) -> None:
    done = realmnet(
        "predict",
        eye_file,
        "--bundle",
        tiny_bundle,
        "--allow-unsigned",
        "--variant",
        "onnxruntime-fp16",
    )
    assert (done.code, done.out) == (2, "")
    assert "onnxruntime-int8" in done.one_line()


def test_an_engine_the_bundle_has_nothing_for_is_6(
    realmnet: Command, eye_file: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    if len(installed_engines()) < 2:
        pytest.skip("one engine installed; the bundle must lack an installed one")

    def only_openvino(raw: bytes) -> bytes:
        content = json.loads(raw)
        kept = [each for each in content["variants"] if each["engine"] == "openvino"]
        return json.dumps({**content, "variants": kept, "golden": []}).encode()

    path = rewritten(tiny_bundle, tmp_path / "b.realmnet", only_openvino)
    done = realmnet(
        "predict", eye_file, "--bundle", path, "--allow-unsigned", "--engine", "onnxruntime"
    )
    assert (done.code, done.out) == (6, "")
    assert "no onnxruntime variant; it has openvino-int8, openvino-fp32" in done.one_line()


@pytest.mark.parametrize("name", ["../outside.txt", "link"])
def test_an_unsafe_zip_is_5(
    name: str, realmnet: Command, eye_file: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "in" / "unsafe.realmnet"
    path.parent.mkdir()
    shutil.copy(tiny_bundle, path)
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (0o120777 if name == "link" else 0o100644) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, b"/etc/passwd")
    done = realmnet("predict", eye_file, "--bundle", path, "--allow-unsigned")
    assert (done.code, done.out) == (5, "")
    done.one_line()
    assert not (tmp_path / "outside.txt").exists()


def test_a_label_count_that_differs_from_the_model_is_6(
    realmnet: Command, eye_file: Path, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_bundle(tmp_path / "b.realmnet", labels=PERIPHERAL, golden=False)
    done = realmnet("predict", eye_file, "--bundle", path, "--allow-unsigned")
    assert (done.code, done.out) == (6, "")
    assert "5 labels" in done.one_line()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_engine_asked_for_and_absent_is_3(
    engine: str, realmnet_process: Command, eye_file: Path, tiny_bundle: Path
) -> None:
    words = ["predict", eye_file, "--bundle", tiny_bundle, "--allow-unsigned", "--engine", engine]
    done = realmnet_process(*words, absent={engine})
    assert (done.code, done.out) == (3, "")
    assert f"pip install 'realmnet-runtime[{engine}]'" in done.one_line()


def test_an_engine_with_either_of_two_libraries_is_3_without_both(
    realmnet_process: Command, eye_file: Path, tiny_bundle: Path
) -> None:
    words = [
        "predict",
        eye_file,
        "--bundle",
        tiny_bundle,
        "--allow-unsigned",
        "--engine",
        "tensorrt",
    ]
    done = realmnet_process(*words, absent={"tensorrt", "tensorrt_rtx"})
    assert (done.code, done.out) == (3, "")
    for extra in ("tensorrt", "tensorrt-rtx"):
        assert f"pip install 'realmnet-runtime[{extra}]'" in done.one_line()


def test_no_engine_at_all_is_3(
    realmnet_process: Command, eye_file: Path, tiny_bundle: Path
) -> None:
    engines = {"onnxruntime", "openvino"}
    done = realmnet_process(
        "predict", eye_file, "--bundle", tiny_bundle, "--allow-unsigned", absent=engines
    )
    assert (done.code, done.out) == (3, "")
    assert "pip install 'realmnet-runtime[" in done.one_line()
    doctor = realmnet_process("doctor", absent={*engines, "tensorrt", "tensorrt_rtx"})
    assert doctor.code == 3
    for engine in engines:
        assert f"pip install 'realmnet-runtime[{engine}]'" in " ".join(doctor.out.split())


def test_the_command_without_its_extra_says_which_install(
    realmnet_process: Command, eye_file: Path
) -> None:
    for extra in ("typer", "rich"):
        done = realmnet_process("predict", eye_file, absent={extra})
        assert (done.code, done.out) == (2, "")
        assert "pip install 'realmnet-runtime[cli]'" in done.one_line()


@pytest.mark.skipif(os.name != "posix", reason="other systems allow no line feed in a name")
def test_a_name_with_a_line_feed_gives_one_line(
    realmnet: Command, tiny_bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "two\nlines.png"
    path.write_bytes(b"no picture, whatever the name says")
    done = realmnet("predict", path, "--bundle", tiny_bundle, "--allow-unsigned")
    assert done.code == 7
    assert "two lines.png" in done.one_line()
