"""What is compiled once is loaded only where it is this machine's, this bundle's and whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import Bundle, Predictor, UsageError
from realmnet_runtime.backends import installed_engines, load_preparer
from realmnet_runtime.bundles.manifest import OperatingPoint, Variant
from realmnet_runtime.bundles.writer import write_bundle
from realmnet_runtime.compiled.loading import key_of
from realmnet_runtime.compiled.prepare import prepare_bundle
from realmnet_runtime.compiled.prepared import PreparedStore, user_cache
from realmnet_runtime.errors import IntegrityError, OutputError
from realmnet_runtime.signatures.trust import ANY_BUNDLE

pytestmark = pytest.mark.skipif(
    "openvino" not in installed_engines(), reason="openvino is not installed"
)


class Ir(Protocol):
    content: bytes
    weights: bytes


@pytest.fixture(scope="module")
def cache(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that can be prepared of the tiny bundle, with one thread."""
    folder = tmp_path_factory.mktemp("cache") / "realmnet" / "prepared"
    with Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as bundle:
        answers = list(prepare_bundle(bundle, folder, threads=1))
    assert {answer.variant: answer.state for answer in answers} == {
        "onnxruntime-int8": "skipped",
        "onnxruntime-fp32": "skipped",
        "openvino-int8": "prepared",
        "openvino-fp32": "prepared",
    }
    return folder


@pytest.fixture
def own_cache(cache: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(cache, tmp_path / "cache"))


def open_fp32(bundle: Path, cache: Path, threads: int = 1) -> Predictor:
    return Predictor.open(
        bundle, variant="openvino-fp32", threads=threads, cache=cache, trust=ANY_BUNDLE
    )


def record_of(cache: Path, variant: str) -> Path:
    (path,) = (
        path
        for path in cache.glob("*.json")
        if json.loads(path.read_bytes())["key"]["variant"] == variant
    )
    return path


def blob_of(cache: Path, variant: str) -> Path:
    (path,) = cache.glob(f"{record_of(cache, variant).stem}-*.blob")
    return path


def test_what_was_prepared_answers_as_what_is_compiled(
    tiny_bundle: Path, cache: Path, tmp_path: Path, eye: NDArray[np.uint8]
) -> None:
    for variant in ("openvino-int8", "openvino-fp32"):
        answers = []
        for folder, prepared in ((cache, True), (tmp_path / "nothing", False)):
            with Predictor.open(
                tiny_bundle, variant=variant, threads=1, cache=folder, trust=ANY_BUNDLE
            ) as predictor:
                assert predictor.facts.prepared is prepared
                assert predictor.loaded_how.startswith("prepared" if prepared else "compiled now")
                answers.append(predictor.predict(eye).probabilities)
        assert answers[0] == pytest.approx(answers[1], abs=1e-6)
    assert not (tmp_path / "nothing").exists()


def test_another_number_of_threads_is_compiled(tiny_bundle: Path, cache: Path) -> None:
    with open_fp32(tiny_bundle, cache, threads=2) as predictor:
        assert not predictor.facts.prepared
        assert "not prepared" in predictor.loaded_how


def test_another_bundle_is_compiled(
    make_bundle: Callable[..., Path], tmp_path: Path, cache: Path
) -> None:
    other = make_bundle(tmp_path / "other.realmnet", golden=False)
    with open_fp32(other, cache) as predictor:
        assert not predictor.facts.prepared


def test_the_key_is_of_all_it_depends_on(tiny_bundle: Path) -> None:
    with Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as bundle:
        key = key_of(bundle, bundle.variant("openvino-fp32"), 1, load_preparer("openvino"))
    changes: dict[str, Any] = {
        "bundle_sha256": "f" * 64,
        "variant": "another",
        "execution_precision": "int8",
        "engine": "tensorrt",
        "identity": {"openvino": "2024.0", "device": "CPU"},
        "processor": "another",
        "instruction_sets": (*key.instruction_sets, "amx_tile"),
        "threads": 2,
    }
    assert set(changes) == set(key.__struct_fields__)
    names = {msgspec.structs.replace(key, **{field: to}).name for field, to in changes.items()}
    assert len(names | {key.name}) == len(changes) + 1


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def remove(path: Path) -> None:
    path.unlink()


def open_to_all(path: Path) -> None:
    path.chmod(0o666)


def link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


@pytest.mark.parametrize("spoil", [flip_a_byte, cut_short, grow, remove, open_to_all, link])
def test_a_spoilt_file_is_never_loaded_and_made_anew(
    spoil: Callable[[Path], None], tiny_bundle: Path, own_cache: Path
) -> None:
    if os.name != "posix" and spoil in {open_to_all, link}:
        pytest.skip("modes and links are POSIX's")
    spoil(blob_of(own_cache, "openvino-fp32"))
    with open_fp32(tiny_bundle, own_cache) as predictor:
        assert not predictor.facts.prepared
        assert "realmnet prepare" in predictor.loaded_how
    with Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as bundle:
        states = {a.variant: a for a in prepare_bundle(bundle, own_cache, threads=1)}
    assert states["openvino-int8"].state == "kept"
    assert states["openvino-fp32"].state == "prepared"
    assert states["openvino-fp32"].note.startswith("made anew")
    with open_fp32(tiny_bundle, own_cache) as predictor:
        assert predictor.facts.prepared


def test_a_foreign_file_under_the_right_name_is_refused(tiny_bundle: Path, own_cache: Path) -> None:
    """The INT8 variant's, whole and recorded, in the FP32 variant's place."""
    place = record_of(own_cache, "openvino-fp32")
    foreign = record_of(own_cache, "openvino-int8")
    blob = blob_of(own_cache, "openvino-int8")
    place.write_bytes(foreign.read_bytes())
    shutil.copy(blob, place.with_name(blob.name.replace(foreign.stem, place.stem)))
    with open_fp32(tiny_bundle, own_cache) as predictor:
        assert not predictor.facts.prepared
        assert "prepared for something else" in predictor.loaded_how


def test_what_the_engine_runs_otherwise_than_recorded_is_refused(
    tiny_bundle: Path, own_cache: Path
) -> None:
    place = record_of(own_cache, "openvino-fp32")
    record = json.loads(place.read_bytes())
    record["facts"]["settings"]["INFERENCE_PRECISION_HINT"] = "bf16"
    place.write_text(json.dumps(record))
    with open_fp32(tiny_bundle, own_cache) as predictor:
        assert not predictor.facts.prepared
        assert "otherwise than when it compiled it" in predictor.loaded_how


@pytest.mark.parametrize("content", [b"", b"{", b'{"key": 1}', b" " * 70_000])
def test_a_record_that_is_none_is_refused(
    content: bytes, tiny_bundle: Path, own_cache: Path
) -> None:
    record_of(own_cache, "openvino-fp32").write_bytes(content)
    with open_fp32(tiny_bundle, own_cache) as predictor:
        assert not predictor.facts.prepared


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_folder_others_may_enter_is_not_used(tiny_bundle: Path, own_cache: Path) -> None:
    assert own_cache.stat().st_mode & 0o777 == 0o700
    own_cache.chmod(0o755)
    with open_fp32(tiny_bundle, own_cache) as predictor:
        assert not predictor.facts.prepared
        assert "chmod 700" in predictor.loaded_how
    with Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as bundle:
        key = key_of(bundle, bundle.variant("openvino-fp32"), 1, load_preparer("openvino"))
        facts = open_fp32(tiny_bundle, own_cache).facts
    with pytest.raises(IntegrityError, match="open to others"):
        PreparedStore(own_cache).keep(key, b"compiled", facts)


def test_a_file_in_the_folders_place_is_said(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as bundle,
        pytest.raises(OutputError, match="file"),
    ):
        list(prepare_bundle(bundle, tmp_path / "file", engine="openvino", threads=1))


def test_keeping_leaves_one_compiled_form(tiny_bundle: Path, own_cache: Path) -> None:
    before = sorted(path.name for path in own_cache.iterdir())
    with Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as bundle:
        key = key_of(bundle, bundle.variant("openvino-fp32"), 1, load_preparer("openvino"))
    store = PreparedStore(own_cache)
    found = store.find(key)
    assert found is not None
    store.keep(key, b"another", found[0].facts)
    again = store.find(key)
    assert again is not None
    assert again[1] == b"another"
    assert len(list(own_cache.iterdir())) == len(before)


def test_an_openvino_ir_is_prepared_and_read_from_verified_bytes(
    tiny_irs: dict[str, Ir],
    tiny_bundle: Path,
    tmp_path: Path,
    eye: NDArray[np.uint8],
) -> None:
    ir = tiny_irs["fp32"]
    with Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as source:
        said = source.manifest
    point: OperatingPoint = said.variants[0].operating_point
    path = write_bundle(
        tmp_path / "ir",
        files={"models/a.xml": ir.content, "models/a.bin": ir.weights},
        model=said.model,
        labels=said.labels,
        preprocess=said.preprocess,
        provenance=said.provenance,
        variants=[
            Variant(
                "openvino-fp32", "openvino", "fp32", "fp32", "models/a.xml", point, "2025.0",
                weights="models/a.bin",
            )
        ],
    )  # fmt: skip
    with open_fp32(tiny_bundle, tmp_path / "none") as predictor:
        expected = predictor.predict(eye).probabilities
    cache = tmp_path / "cache"
    with Bundle.open(path, trust=ANY_BUNDLE) as bundle:
        (answer,) = prepare_bundle(bundle, cache, threads=1)
    assert answer.state == "prepared"
    for folder in (tmp_path / "none", cache):
        with open_fp32(path, folder) as predictor:
            assert predictor.predict(eye).probabilities == pytest.approx(expected, abs=1e-5)
    with Bundle.open(path, trust=ANY_BUNDLE) as bundle:
        flip_a_byte(path / "models" / "a.bin")
        with pytest.raises(IntegrityError, match=r"models/a\.bin"):
            Predictor.open(bundle, cache=tmp_path / "none")


def test_an_engine_that_keeps_nothing_cannot_be_asked_to(tiny_bundle: Path, cache: Path) -> None:
    with (
        Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as bundle,
        pytest.raises(UsageError, match="openvino can be prepared"),
    ):
        list(prepare_bundle(bundle, cache, engine="onnxruntime", threads=1))


@pytest.mark.skipif(os.name != "posix", reason="XDG is for POSIX systems")
def test_the_users_cache_is_where_xdg_says(tmp_path: Path) -> None:
    assert user_cache({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "realmnet" / "prepared"
    for ignored in ({}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "relative"}):
        assert user_cache(ignored).is_relative_to(Path.home())
