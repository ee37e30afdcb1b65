"""The C++ examples, compiled once, and pictures in the one format they read."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ..conftest import need_package, need_program

SOURCES = Path(__file__).parents[2] / "examples" / "cpp"


def run(*words: str | Path) -> str:
    """Standard output of a program that must succeed."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_ppm(path: Path, image: NDArray[np.uint8]) -> Path:
    """Decoded pixels as a binary PPM."""
    height, width = image.shape[:2]
    path.write_bytes(b"P6\n%d %d\n255\n" % (width, height) + image.tobytes())
    return path


@pytest.fixture(scope="session")
def find_box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The box finder alone, by the compiler alone: it needs nothing else."""
    program = tmp_path_factory.mktemp("find_box") / "find_box"
    words = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffp-contract=off"]
    run(need_program("cxx"), *words, "-o", program, SOURCES / "find_box.cpp")
    return program


@pytest.fixture(scope="session")
def answer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The OpenVINO example, by the two commands of its README, with less optimisation."""
    openvino = need_package("openvino", "openvino")  # its headers come in its wheel
    cmake, build = need_program("cmake"), tmp_path_factory.mktemp("cpp")
    need_program("cxx")
    need_program("make")
    package = Path(openvino.__file__).parent / "cmake"
    options = ["-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1", f"-DOpenVINO_DIR={package}"]
    run(cmake, "-S", SOURCES, "-B", build, *options)
    run(cmake, "--build", build, "--target", "answer")
    return build / "answer"


@pytest.fixture
def boxes(
    find_box: Path, tmp_path: Path
) -> Callable[[Sequence[NDArray[np.uint8]]], list[list[str]]]:
    """The words of the finder's line for each picture."""

    def ask(images: Sequence[NDArray[np.uint8]]) -> list[list[str]]:
        files = [write_ppm(tmp_path / f"{i}.ppm", image) for i, image in enumerate(images)]
        return [line.split() for line in run(find_box, "--mask", *files).splitlines()]

    return ask
