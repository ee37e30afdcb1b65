"""`realmnet export --format openvino`: FP32 and INT8, from a checkpoint and from its ONNX file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from realmnet_compression.build_openvino import build_openvino
from realmnet_compression.compressing.recipe import load_compression
from realmnet_compression.compressing.steps import OpenVinoStep
from realmnet_compression.openvino_files import read_ir
from realmnet_compression.quantisation.quantiser_pictures import quantiser_table
from realmnet_runtime.cli import main
from realmnet_training.checkpoint import load_checkpoint, read_facts
from realmnet_training.model import RealMNet

pytestmark = pytest.mark.slow

RECIPE = """
name = "ir"
version = "0"
notice = "a test"
trained_on = "synthetic phantoms"
[[steps]]
type = "export"
[[steps]]
type = "openvino"
check_pictures = 8
calibration = { pictures = 8, at_least = 1 }
quantisation = { most_flips = 0.9, most_flips_of_a_label = 1.0, threads = 1 }
"""


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Export = Callable[..., Said]


@pytest.fixture
def export(capsys: pytest.CaptureFixture[str]) -> Export:
    def run(*words: str | Path) -> Said:
        capsys.readouterr()
        code = main(["export", *map(str, words)])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def place(release_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recipe; the checkpoint's ONNX file is made once."""
    folder = tmp_path_factory.mktemp("exporting")
    (folder / "ir.toml").write_text(RECIPE)
    assert (
        main(
            ["export", str(release_folder / "checkpoint.safetensors"), "-o", str(folder / "m.onnx")]
        )
        == 0
    )
    return folder


@pytest.fixture
def checkpoint(release_folder: Path) -> Path:
    return release_folder / "checkpoint.safetensors"


def test_fp32_is_what_the_function_builds_from_either_source(
    export: Export, place: Path, checkpoint: Path, tmp_path: Path
) -> None:
    file = place / "m.onnx"
    sources: dict[Path, RealMNet | Path] = {checkpoint: load_checkpoint(checkpoint)[0], file: file}
    for source, given in sources.items():
        done = export(source, "-o", tmp_path / "made.xml", "--format", "openvino")
        build_openvino(given, tmp_path / "expected.xml")

        assert (done.code, done.err) == (0, "")
        assert done.out.splitlines() == [str(tmp_path / "made.xml"), str(tmp_path / "made.bin")]
        assert read_ir(tmp_path / "made.xml") == read_ir(tmp_path / "expected.xml")


def test_int8_is_what_the_step_of_a_recipe_builds(
    export: Export, place: Path, release_folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    words: list[str | Path] = ["--format", "openvino", "--precision", "int8"]
    words += ["--recipe", place / "ir.toml"]
    words += ["--data", release_folder / "data", "--cache", release_folder / "cache", "--json"]
    done = export(checkpoint, "-o", tmp_path / "made.xml", *words)

    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert (said["precision"], said["model"]) == ("int8", str(tmp_path / "made.xml"))
    recipe = load_compression(str(place / "ir.toml"))
    (step,) = (step for step in recipe.steps if isinstance(step, OpenVinoStep))
    facts = read_facts(checkpoint)
    with quantiser_table(
        release_folder / "data",
        "val",
        plan=step.calibration,
        check_pictures=8,
        facts=facts,
        cache=release_folder / "cache",
    ) as (calibration, check):
        build_openvino(
            load_checkpoint(checkpoint)[0],
            tmp_path / "expected.xml",
            precision="int8",
            calibration=calibration,
            check=check,
            settings=step.quantisation,
        )
    assert read_ir(tmp_path / "made.xml") == read_ir(tmp_path / "expected.xml")


def test_int8_of_an_onnx_file_with_its_checkpoint(
    export: Export, place: Path, release_folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    words: list[str | Path] = ["--format", "openvino", "--precision", "int8"]
    words += ["--recipe", place / "ir.toml"]
    words += ["--data", release_folder / "data", "--cache", release_folder / "cache"]
    out = tmp_path / "made.xml"
    done = export(place / "m.onnx", "-o", out, *words, "--checkpoint", checkpoint)

    assert done.code == 0, done.err
    assert read_ir(out).precision == "int8"
    assert "products in INT8" in done.out


def mistakes() -> list[tuple[list[str], str]]:
    ir, int8, data = ["--format", "openvino"], ["--precision", "int8"], ["--data", "DATA"]
    return [
        (["RUN", "-o", "x.onnx", *int8], "`realmnet quantise` makes the portable INT8 file"),
        (["ONNX", "-o", "x.onnx"], "is ONNX already"),
        (["RUN", "-o", "x.xml", *ir, "--precision", "fp16"], "is built in fp32 or int8"),
        (["RUN", "-o", "x.onnx", *ir], "must be named *.xml"),
        (["RUN", "-o", "x.xml", *ir, *int8], "name their data set with --data"),
        (["RUN", "-o", "x.xml", *ir, *data], "--data is for an INT8 IR, and fp32 is written"),
        (["RUN", "-o", "x.onnx", "--cache", "c"], "--cache is for an INT8 IR"),
        (["ONNX", "-o", "x.xml", *ir, *int8, *data], "with --checkpoint, or give that instead"),
        (
            ["RUN", "-o", "x.xml", *ir, *int8, *data, "--checkpoint", "RUN"],
            "--checkpoint is for an ONNX source",
        ),
        (
            ["RUN", "-o", "x.xml", *ir, *int8, *data, "--recipe", "portable"],
            "recipe 'portable' has no openvino step in int8",
        ),
        (
            ["RUN", "-o", "x.xml", *ir, *int8, *data, "--split", "test"],
            "may not calibrate or tune",
        ),
        (["ABSENT", "-o", "x.xml", *ir], "no checkpoint"),
    ]


@pytest.mark.parametrize(("words", "said"), mistakes())
def test_mistakes_are_one_line_and_write_nothing(  # noqa: PLR0917 - fixtures go by name
    words: list[str],
    said: str,
    export: Export,
    place: Path,
    release_folder: Path,
    checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    named = {
        "RUN": str(checkpoint),
        "ONNX": str(place / "m.onnx"),
        "DATA": str(release_folder / "data"),
    }
    done = export(*(named.get(word, word) for word in words))

    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
