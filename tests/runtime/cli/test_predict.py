"""`realmnet predict`: what a person and what a program gets."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import Predictor
from realmnet_runtime.signatures.trust import ANY_BUNDLE

Command = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("an_engine")


def test_json_is_what_the_library_answers(
    realmnet: Command, eye_file: Path, tiny_bundle: Path
) -> None:
    done = realmnet(
        "predict", eye_file, "--bundle", tiny_bundle, "--allow-unsigned", "--json", "--threads", "1"
    )
    assert (done.code, done.err) == (0, "")
    (line,) = done.out.splitlines()
    with Predictor.open(tiny_bundle, threads=1, trust=ANY_BUNDLE) as predictor:
        expected = predictor.predict(eye_file).to_dict()
    found = json.loads(line)
    assert set(found.pop("timings_ms")) == set(expected.pop("timings_ms"))
    assert found.pop("time") <= expected.pop("time")
    assert found == json.loads(json.dumps(expected))


def test_the_table_says_all_a_person_needs(
    realmnet: Command, eye_file: Path, tiny_bundle: Path
) -> None:
    done = realmnet("predict", eye_file, "--bundle", tiny_bundle, "--allow-unsigned")
    assert (done.code, done.err) == (0, "")
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        prediction = predictor.predict(eye_file)
    for name, probability in prediction.probabilities.items():
        (row,) = [line for line in done.out.splitlines() if f" {name} " in line and "│" in line]
        assert f"{probability:.3f}" in row
        assert ("yes" in row) == (name in prediction.findings)
    for word in ("META-PM grade", "field of view", "decode", "A test model: says nothing."):
        assert word in done.out
    assert str(eye_file) in done.out


def test_a_bad_image_does_not_stop_the_rest(
    realmnet: Command, eye_file: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "record-4711.jpg"
    bad.write_text("text renamed")
    out = tmp_path / "answers.jsonl"
    done = realmnet(
        "predict",
        eye_file,
        bad,
        eye_file,
        "--bundle",
        tiny_bundle,
        "--allow-unsigned",
        "--json",
        "--output",
        out,
    )
    assert done.code == 7
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert [answer["error"] is None for answer in answers] == [True, False, True]
    assert answers[1]["input"]["sha256"] == hashlib.sha256(b"text renamed").hexdigest()
    assert answers[1]["error"]["exit_code"] == 7
    assert out.read_text() == done.out
    assert str(bad) in done.err
    assert "4711" not in done.out


def test_a_directory_is_answered_in_order(
    realmnet: Command, eye_png: bytes, eye: NDArray[np.uint8], tiny_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    digests = []
    for name in ("b.png", "a.PNG", "c.bmp"):
        shifted = np.roll(eye, ord(name[0]) % 32, axis=1)
        content = cv2.imencode(name[-4:].lower(), shifted[:, :, ::-1])[1].tobytes()
        (folder / name).write_bytes(content)
        digests.append((name, hashlib.sha256(content).hexdigest()))
    (folder / "notes.txt").write_text("not a picture")
    done = realmnet("predict", folder, "--bundle", tiny_bundle, "--allow-unsigned", "--json")
    assert done.code == 0
    found = [json.loads(line)["input"]["sha256"] for line in done.out.splitlines()]
    assert found == [digest for _, digest in sorted(digests)]


def test_overlays_are_named_by_digest(
    realmnet: Command, eye_file: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "overlays"
    done = realmnet(
        "predict",
        eye_file,
        "--bundle",
        tiny_bundle,
        "--allow-unsigned",
        "--overlay",
        folder,
        "--json",
    )
    assert done.code == 0
    (picture,) = folder.iterdir()
    assert picture.name == hashlib.sha256(eye_file.read_bytes()).hexdigest() + ".png"
    drawn = cv2.imread(str(picture))
    assert drawn is not None
    assert drawn.shape[0] >= 640


def test_variant_and_engine_are_the_ones_asked_for(
    realmnet: Command, eye_file: Path, tiny_bundle: Path, an_engine: str
) -> None:
    wish = f"{an_engine}-fp32"
    done = realmnet(
        "predict",
        eye_file,
        "--bundle",
        tiny_bundle,
        "--allow-unsigned",
        "--variant",
        wish,
        "--json",
    )
    answer = json.loads(done.out)
    assert (answer["variant"], answer["engine"]) == (wish, an_engine)
    assert answer["chosen_because"] == "variant asked for by name"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_interrupted_is_130_and_leaves_the_old_file(
    eye_file: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    pytest.importorskip("typer")
    out = tmp_path / "answers.jsonl"
    out.write_text("old\n")
    # More answers than a pipe holds: the process cannot end before it is interrupted.
    images = [str(eye_file)] * 2000
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            # a shell lets what it runs in the background ignore Ctrl-C, and children inherit that
            (
                "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
                "from realmnet_runtime.cli import main; sys.exit(main())"
            ),
            "predict",
            "--bundle",
            str(tiny_bundle),
            "--allow-unsigned",
            "--json",
            "--output",
            str(out),
            *images,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == "realmnet: interrupted\n"
    assert out.read_text() == "old\n"


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize("form", [["--json"], []])
def test_a_reader_that_leaves_is_no_crash(
    form: list[str], eye_file: Path, tiny_bundle: Path
) -> None:
    pytest.importorskip("typer")
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from realmnet_runtime.cli import main; sys.exit(main())",
            "predict",
            "--bundle",
            str(tiny_bundle),
            "--allow-unsigned",
            *form,
            *[str(eye_file)] * 300,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=120) == 8
    assert process.stderr.read() == ""
    process.stderr.close()
