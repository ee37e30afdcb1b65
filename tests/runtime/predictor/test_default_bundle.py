"""The default bundle, through real entry points of distributions made for the test."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from importlib import metadata
from realmnet_runtime.bundles import default_bundle
from realmnet_runtime.errors import RealmnetError
folders = sys.argv[1:]
default_bundle.entry_points = lambda group: [
    entry for folder in folders for found in metadata.distributions(path=[folder])
    for entry in found.entry_points if entry.group == group
]
if folders and folders[0] == "digests":
    print(*sorted(default_bundle.offered_digests()))
    sys.exit()
try:
    print(default_bundle.find_default_bundle())
except RealmnetError as error:
    print(type(error).__name__, error.exit_code, error)
"""


def distribution(folder: Path, name: str, module: str) -> Path:
    """A distribution as pip would leave it: a module and its metadata."""
    folder.mkdir()
    (folder / f"{name}.py").write_text(module, encoding="utf-8")
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[realmnet.bundles]\nmain = {name}:BUNDLE\n")
    return folder


def find(*folders: Path, ask: tuple[str, ...] = ()) -> str:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, *ask, *map(str, folders)],
        env={"PYTHONPATH": ":".join(map(str, [*folders, *sys.path]))},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()


def test_one_offer_is_the_default(tmp_path: Path) -> None:
    bundle = tmp_path / "x.realmnet"
    bundle.touch()
    one = distribution(tmp_path / "one", "offer_one", f"BUNDLE = {str(bundle)!r}\n")
    assert find(one) == str(bundle)


def test_a_path_object_will_do(tmp_path: Path) -> None:
    bundle = tmp_path / "x.realmnet"
    bundle.touch()
    module = f"from pathlib import Path\nBUNDLE = Path({str(bundle)!r})\n"
    assert find(distribution(tmp_path / "one", "offer_one", module)) == str(bundle)


def test_packages_carry_the_digests_of_what_they_offer(tmp_path: Path) -> None:
    modules = {
        "first": f"BUNDLE = '/'\nBUNDLE_SHA256 = {'a' * 64!r}\n",
        "second": f"BUNDLE = '/'\nBUNDLE_SHA256 = {'b' * 64!r}\n",
        "silent": "BUNDLE = '/'\n",
        "wrong": "BUNDLE = '/'\nBUNDLE_SHA256 = 7\n",
        "broken": "import a_module_that_is_not_there\n",
    }
    folders = [distribution(tmp_path / name, name, text) for name, text in modules.items()]
    assert find(*folders, ask=("digests",)) == f"{'a' * 64} {'b' * 64}"
    assert find(ask=("digests",)) == ""


def test_no_offer_says_how_to_get_one() -> None:
    answer = find()
    assert answer.startswith("MissingPath 2 ")
    assert "--bundle" in answer
    assert "pip install realmnet" in answer


def test_two_offers_are_a_question_for_the_user(tmp_path: Path) -> None:
    folders = [
        distribution(tmp_path / name, f"offer_{name}", "BUNDLE = '/'\n") for name in ("one", "two")
    ]
    answer = find(*folders)
    assert answer.startswith("UsageError 2 2 default bundles")
    assert "offer_one:BUNDLE, offer_two:BUNDLE" in answer


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("BUNDLE = '/nowhere/x.realmnet'\n", "MissingPath 2 .*not at its place"),
        ("BUNDLE = 7\n", "UsageError 2 .*is of type int, not a path"),
        ("OTHER = 7\n", "UsageError 2 .*cannot be loaded"),
        ("import a_module_that_is_not_there\n", "UsageError 2 .*cannot be loaded"),
    ],
)
def test_an_offer_that_is_no_path_is_refused(module: str, reason: str, tmp_path: Path) -> None:

    assert re.match(reason, find(distribution(tmp_path / "one", "offer_one", module)))
