"""Damaged pictures and bundles: refused in words, soon, and nothing else happens.

`REALMNET_FUZZ=1000 pytest tests/runtime/watching/test_fuzz.py -s` damages a thousand of each and
says what became of them.
"""

from __future__ import annotations

import os
import random
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import Bundle, ImageRefused, IncompatibleError, IntegrityError, decode_image
from realmnet_runtime.bundles.manifest import MANIFEST_DIGEST_NAME, MANIFEST_NAME, digest_line
from realmnet_runtime.signatures.trust import ANY_BUNDLE

from .conftest import Place, sha256

NUMBER = int(os.environ.get("REALMNET_FUZZ", "60"))
MOST_SECONDS = 2.0
"""Of processor time: a machine that is busy with something else is no hang."""

Damage = Callable[[random.Random, bytearray], None]


def flip(chance: random.Random, data: bytearray) -> None:
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def flip_early(chance: random.Random, data: bytearray) -> None:
    """Where headers are."""
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(min(len(data), 200))] = chance.randrange(256)


def cut(chance: random.Random, data: bytearray) -> None:
    del data[chance.randrange(len(data)) :]


def cut_out(chance: random.Random, data: bytearray) -> None:
    begin = chance.randrange(len(data))
    del data[begin : begin + chance.randint(1, 300)]


def put_in(chance: random.Random, data: bytearray) -> None:
    begin = chance.randrange(len(data))
    data[begin:begin] = chance.randbytes(chance.randint(1, 300))


def blank(chance: random.Random, data: bytearray) -> None:
    """As a file system leaves a block that was never written."""
    begin = chance.randrange(len(data))
    end = min(len(data), begin + chance.choice([4, 64, 512, 4096]))
    data[begin:end] = bytes([chance.choice([0, 255])]) * (end - begin)


def copy_within(chance: random.Random, data: bytearray) -> None:
    size = chance.randint(1, 400)
    source, target = (chance.randrange(len(data)) for _ in range(2))
    data[target : target + size] = data[source : source + size]


def enlarge(chance: random.Random, data: bytearray) -> None:
    """A number of a header that becomes as large as it can be."""
    begin = chance.randrange(min(len(data), 400))
    size = chance.choice([1, 2, 4])
    data[begin : begin + size] = b"\xff" * size


DAMAGES: tuple[Damage, ...] = (
    flip,
    flip_early,
    cut,
    cut_out,
    put_in,
    blank,
    copy_within,
    enlarge,
)


def damaged(chance: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    for damage in chance.choices(DAMAGES, k=chance.choice([1, 1, 1, 2, 3])):
        if data:
            damage(chance, data)
    return bytes(data)


@pytest.fixture(scope="module")
def originals(eye: NDArray[np.uint8]) -> list[tuple[str, bytes]]:
    """Suffix and content: every kind that is read, of 8 and 16 bits, scaled and not."""
    small = cv2.resize(eye, (160, 120), interpolation=cv2.INTER_AREA)[:, :, ::-1]
    large = cv2.resize(eye, (640, 480))[:, :, ::-1]
    deep = small.astype(np.uint16) * 257
    alpha = np.dstack([small, np.full(small.shape[:2], 200, np.uint8)])
    progressive = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    compression = cv2.IMWRITE_TIFF_COMPRESSION
    wishes = [
        (".jpg", small, []),
        (".jpg", large, []),
        (".jpg", small, progressive),
        (".png", small, []),
        (".png", deep, []),
        (".png", alpha, []),
        (".bmp", small, []),
        (".tif", small, [compression, 1]),
        (".tif", small, [compression, 5]),
        (".tif", deep, [compression, 8]),
    ]
    return [(s, cv2.imencode(s, image, options)[1].tobytes()) for s, image, options in wishes]


@pytest.fixture(scope="module")
def damaged_pictures(originals: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    chance = random.Random(1)  # noqa: S311
    return [
        (suffix, damaged(chance, content))
        for suffix, content in (originals[n % len(originals)] for n in range(NUMBER))
    ]


def test_damaged_pictures_are_decoded_or_refused(damaged_pictures: list[tuple[str, bytes]]) -> None:
    became: Counter[str] = Counter()
    said: set[str] = set()
    slowest = 0.0
    for _, content in damaged_pictures:
        begin = time.process_time()
        try:
            image = decode_image(content, model_size=64)
        except ImageRefused as error:
            became[type(error).__name__] += 1
            said.add(str(error))
        else:
            became["decoded"] += 1
            assert image.pixels.dtype == np.uint8
            assert image.pixels.shape[2] == 3
        seconds = time.process_time() - begin
        assert seconds < MOST_SECONDS, sha256(content)
        slowest = max(slowest, seconds)
    assert all(text.isprintable() for text in said)
    report("pictures decoded", became, f"at most {slowest * 1e3:.0f} ms")


def test_a_watch_of_damaged_pictures_answers_each_once(
    place: Place, damaged_pictures: list[tuple[str, bytes]]
) -> None:
    for number, (suffix, content) in enumerate(damaged_pictures):
        place.put(f"{number}{suffix}", content)
    begin = time.process_time()
    outcomes = place.watch(30)
    seconds = (time.process_time() - begin) / NUMBER
    last = Counter(outcome.state for outcome in outcomes if outcome.state != "unfinished")
    answers = place.answers()
    assert answers.keys() == {sha256(content) for _, content in damaged_pictures}
    assert sum(last.values()) == NUMBER
    assert last["answered"] + last["refused"] == len(answers)
    report("pictures watched", last, f"{seconds * 1e3:.0f} ms each")


# -- bundles -------------------------------------------------------------------------------------


def open_damaged(path: Path, digest: str, became: Counter[str]) -> float:
    """Open it, note what became of it, and give the processor's seconds."""
    said = "opened"
    begin = time.process_time()
    try:
        with Bundle.open(path, trust=ANY_BUNDLE) as bundle:
            # What was damaged is then nothing that counts, as a time of a zip's entry.
            assert bundle.digest == digest
            became["opened"] += 1
    except (IntegrityError, IncompatibleError) as error:
        became[type(error).__name__] += 1
        said = str(error)
    seconds = time.process_time() - begin
    assert said.isprintable()
    return seconds


def tree(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("form", ["zip", "directory", "manifest"])
def test_damaged_bundles_are_refused(tiny_bundle: Path, tmp_path: Path, form: str) -> None:
    chance = random.Random(form)  # noqa: S311
    with Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as bundle:
        digest = bundle.digest
    whole = tiny_bundle.read_bytes()
    target = tmp_path / "inner" / ("b.realmnet" if form == "zip" else "bundle")
    target.parent.mkdir()
    if form != "zip":
        with zipfile.ZipFile(tiny_bundle) as archive:
            archive.extractall(target)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    became: Counter[str] = Counter()
    slowest = 0.0
    for _ in range(-(-NUMBER // 3)):
        if form == "zip":
            target.write_bytes(damaged(chance, whole))
            slowest = max(slowest, unchanged(tmp_path, target, digest, became))
        elif form == "directory":
            file = chance.choice(files)
            slowest = max(slowest, with_damaged(file, tmp_path, target, digest, became, chance))
        else:
            manifest, note = target / MANIFEST_NAME, target / MANIFEST_DIGEST_NAME
            before = manifest.read_bytes(), note.read_bytes()
            # Whoever damages it on purpose writes a digest that fits.
            manifest.write_bytes(damaged(chance, before[0]))
            note.write_bytes(digest_line(manifest.read_bytes()))
            found = sha256(manifest.read_bytes())
            slowest = max(slowest, unchanged(tmp_path, target, found, became))
            manifest.write_bytes(before[0])
            note.write_bytes(before[1])
    assert slowest < MOST_SECONDS
    report(f"bundles, {form}", became, f"at most {slowest * 1e3:.0f} ms")


def with_damaged(  # noqa: PLR0917
    file: Path,
    folder: Path,
    target: Path,
    digest: str,
    became: Counter[str],
    chance: random.Random,
) -> float:
    before = file.read_bytes()
    file.write_bytes(damaged(chance, before))
    seconds = unchanged(folder, target, digest, became)
    file.write_bytes(before)
    return seconds


def unchanged(folder: Path, target: Path, digest: str, became: Counter[str]) -> float:
    """Open it, and see that nothing was written anywhere around it."""
    before = tree(folder)
    seconds = open_damaged(target, digest, became)
    assert tree(folder) == before
    return seconds


def report(what: str, became: Counter[str], took: str) -> None:
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(became.items()))
    sys.stdout.write(f"\n{what}: {counts}; {took} of processor time\n")
