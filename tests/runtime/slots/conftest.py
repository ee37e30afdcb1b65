"""Releases of the tiny model under several versions, sound and failing, and stores of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from realmnet_runtime import Bundle, SlotStore
from realmnet_runtime.backends import installed_engines
from realmnet_runtime.bundles.manifest import GoldenCase
from realmnet_runtime.bundles.writer import write_bundle
from realmnet_runtime.signatures.trust import ANY_BUNDLE

VARIANT = "onnxruntime-fp32"


@dataclass
class Releases:
    """Writes each release once: the FP32 variant for ONNX Runtime, the quickest to load."""

    source: Path
    folder: Path
    made: dict[tuple[str, bool], Path] = field(default_factory=dict)

    def __call__(self, version: str, *, failing: bool = False) -> Path:
        key = version, failing
        if key not in self.made:
            self.made[key] = self._write(version, failing=failing)
        return self.made[key]

    def _write(self, version: str, *, failing: bool) -> Path:
        with Bundle.open(self.source, trust=ANY_BUNDLE) as bundle:
            said = bundle.manifest
            variant = said.variant(VARIANT)
            paths = [variant.artifact, *(case.image for case in said.golden)]
            return write_bundle(
                self.folder / f"{version}-{'failing' if failing else 'sound'}.realmnet",
                files={path: bundle.read(path) for path in paths},
                model=msgspec.structs.replace(said.model, version=version),
                labels=said.labels,
                preprocess=said.preprocess,
                variants=[variant],
                golden=[_only(case, failing=failing) for case in said.golden],
                provenance=said.provenance,
            )


def _only(case: GoldenCase, *, failing: bool) -> GoldenCase:
    """The case with the one variant's answer; turned around where it is to fail."""
    (answer,) = (a for a in case.answers if a.variant == VARIANT)
    if failing:
        turned = tuple(1.0 - p for p in answer.probabilities)
        answer = msgspec.structs.replace(answer, probabilities=turned)
    return msgspec.structs.replace(case, answers=(answer,))


@pytest.fixture(scope="session")
def release(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Releases:
    if "onnxruntime" not in installed_engines():
        pytest.skip("onnxruntime is not installed")
    return Releases(tiny_bundle, tmp_path_factory.mktemp("releases"))


MakeStore = Callable[..., SlotStore]


@pytest.fixture
def store_of(release: Releases, tmp_path: Path) -> MakeStore:
    """A store in which these versions were activated, one after the other."""

    def make(*versions: str) -> SlotStore:
        store = SlotStore(tmp_path / "store", wait_s=5.0, trust=ANY_BUNDLE)
        for version in versions:
            store.install(release(version))
            store.activate()
        return store

    return make
