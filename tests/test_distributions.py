"""The two wheels: what they hold, what they ask for, and that no file belongs to both."""

from __future__ import annotations

import email
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build", reason="the distributions are built by the dev extra's `build`")

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "realmnet_runtime": {"realmnet_runtime"},
    "realmnet": {
        "realmnet_devices",
        "realmnet_benchmarks",
        "realmnet_training",
        "realmnet_compression",
    },
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, zipfile.ZipFile]:
    from build import ProjectBuilder  # noqa: PLC0415

    target = tmp_path_factory.mktemp("wheels")
    built = {}
    for name, source in (("realmnet_runtime", ROOT / "runtime"), ("realmnet", ROOT)):
        builder = ProjectBuilder(str(source), python_executable=sys.executable)
        built[name] = zipfile.ZipFile(builder.build("wheel", str(target)))
    return built


def files(wheel: zipfile.ZipFile) -> set[str]:
    return {name for name in wheel.namelist() if ".dist-info/" not in name}


def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_each_wheel_holds_its_packages_and_they_are_typed(
    wheels: dict[str, zipfile.ZipFile],
) -> None:
    for name, packages in PACKAGES.items():
        held = files(wheels[name])
        assert {path.split("/")[0] for path in held} == packages
        for package in packages:
            assert f"{package}/py.typed" in held
            assert f"{package}/__init__.py" in held


def test_no_file_belongs_to_two_distributions(wheels: dict[str, zipfile.ZipFile]) -> None:
    assert files(wheels["realmnet_runtime"]).isdisjoint(files(wheels["realmnet"]))


def test_demonstration_bundle_is_the_toolkits_alone(wheels: dict[str, zipfile.ZipFile]) -> None:
    bundle = "realmnet_benchmarks/demonstration.realmnet"
    assert wheels["realmnet"].getinfo(bundle).file_size <= 8_000_000
    assert not any(name.endswith(".realmnet") for name in files(wheels["realmnet_runtime"]))


def test_configuration_travels_with_its_package(wheels: dict[str, zipfile.ZipFile]) -> None:
    on_disk = {
        path.relative_to(ROOT / floor).as_posix()
        for floor in ("devices", "benchmarks", "training", "compression")
        for path in (ROOT / floor).rglob("*.toml")
    }
    assert on_disk
    assert on_disk <= files(wheels["realmnet"])


def test_toolkit_requires_the_runtime_of_its_own_version_and_nothing_else(
    wheels: dict[str, zipfile.ZipFile],
) -> None:
    toolkit, runtime = metadata(wheels["realmnet"]), metadata(wheels["realmnet_runtime"])
    unconditional = [r for r in toolkit.get_all("Requires-Dist") or [] if "extra ==" not in r]
    assert toolkit["Version"] == runtime["Version"]
    assert unconditional == [f"realmnet-runtime=={runtime['Version']}"]


def test_runtime_asks_for_numpy_opencv_and_msgspec_alone(
    wheels: dict[str, zipfile.ZipFile],
) -> None:
    required = metadata(wheels["realmnet_runtime"]).get_all("Requires-Dist") or []
    unconditional = {r.split("<")[0].split(">")[0] for r in required if "extra ==" not in r}
    assert unconditional == {"numpy", "opencv-python", "msgspec"}
