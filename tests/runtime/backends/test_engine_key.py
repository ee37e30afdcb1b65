"""An engine is loaded under its own key only, and never without one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_runtime.backends._engine_key import (
    ANY_GPU,
    EngineKey,
    EngineRecord,
    differences,
    engine_folder,
    engine_name,
    find_engine,
    key_path,
    read_engine,
    read_record,
    require_same_key,
    write_engine,
)
from realmnet_runtime.errors import IncompatibleError, IntegrityError
from realmnet_runtime.files import path_fault, sha256_of

PLAN = bytes(range(256)) * 4
HERE = EngineKey(
    built_with="tensorrt",
    built_with_version="10.9.0",
    gpu="NVIDIA GeForce RTX 4090",
    compute_capability="8.9",
    driver="12.8",
    onnx_sha256="a" * 64,
)
OTHERS = {
    "built_with": "tensorrt-rtx",
    "built_with_version": "11.1.0",
    "gpu": "NVIDIA L4",
    "compute_capability": "12.0",
    "driver": "13.0",
    "onnx_sha256": "b" * 64,
}
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=30)
KEYS = st.builds(
    EngineKey,
    built_with=st.sampled_from(["tensorrt", "tensorrt-rtx"]),
    built_with_version=WORDS,
    gpu=WORDS | st.just(ANY_GPU),
    compute_capability=st.from_regex(r"\A[0-9]{1,2}\.[0-9]\Z"),
    driver=WORDS | st.none(),
    onnx_sha256=st.from_regex(r"\A[0-9a-f]{64}\Z"),
)


def record_of(key: EngineKey, plan: bytes = PLAN) -> EngineRecord:
    return EngineRecord(
        key=key,
        engine_sha256=sha256_of(plan),
        engine_bytes=len(plan),
        precision="fp16",
        products={"fp16": 3},
        build_seconds=1.5,
    )


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    path = tmp_path / engine_name(HERE)
    write_engine(path, PLAN, record_of(HERE))
    return path


def test_an_engine_comes_back_with_its_record(engine: Path) -> None:
    assert read_engine(engine, HERE) == (PLAN, record_of(HERE))
    assert find_engine(engine.parent, HERE) == (PLAN, record_of(HERE))


@pytest.mark.parametrize("field", sorted(OTHERS))
def test_whatever_differs_is_refused_and_named(engine: Path, field: str) -> None:
    here = msgspec.structs.replace(HERE, **{field: OTHERS[field]})

    with pytest.raises(IncompatibleError) as caught:
        read_engine(engine, here)

    assert caught.value.exit_code == 6
    words = str(caught.value)
    assert f"{field.replace('_', ' ')} {getattr(HERE, field)}, here {OTHERS[field]}" in words
    assert "build it again on this machine" in words


def test_all_differences_are_named_at_once() -> None:
    with pytest.raises(IncompatibleError) as caught:
        require_same_key(HERE, EngineKey(**OTHERS))  # type: ignore[arg-type]

    assert all(str(value) in str(caught.value) for value in OTHERS.values())


def test_an_engine_for_any_gpu_of_a_capability_asks_neither_name_nor_driver() -> None:
    ahead = msgspec.structs.replace(HERE, gpu=ANY_GPU, driver=None)

    require_same_key(ahead, HERE)
    other = msgspec.structs.replace(HERE, compute_capability="12.0")
    with pytest.raises(IncompatibleError, match="compute capability"):
        require_same_key(ahead, other)


def test_a_driver_that_is_not_known_here_is_another_driver() -> None:
    with pytest.raises(IncompatibleError, match="driver"):
        require_same_key(HERE, msgspec.structs.replace(HERE, driver=None))


@given(KEYS, KEYS)
def test_laws_of_keys(one: EngineKey, other: EngineKey) -> None:
    require_same_key(one, one)
    assert msgspec.json.decode(msgspec.json.encode(one), type=EngineKey) == one
    exact = ANY_GPU not in {one.gpu, other.gpu} and None not in {one.driver, other.driver}
    if exact:
        assert len(differences(one, other)) == len(differences(other, one))
        assert bool(differences(one, other)) == (one != other)
    assert path_fault(engine_name(one)) is None


def test_an_engine_without_a_key_is_refused(engine: Path) -> None:
    key_path(engine).unlink()

    for read in (lambda: read_record(engine), lambda: find_engine(engine.parent, HERE)):
        with pytest.raises(IntegrityError, match="has no key") as caught:
            read()
        assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{}",
        b"no json",
        b"\xff\xfe",
        b"[" * 2000,
        b"x" * (1 << 17),
        b'{"key": {}, "more": 1}',
    ],
)
def test_a_damaged_key_is_refused(engine: Path, damage: bytes) -> None:
    key_path(engine).write_bytes(damage)

    with pytest.raises(IntegrityError) as caught:
        read_engine(engine, HERE)

    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["compute_capability", "onnx_sha256", "built_with"])
def test_a_key_with_an_impossible_value_is_damaged(engine: Path, field: str) -> None:
    content = msgspec.json.decode(key_path(engine).read_bytes())
    content["key"][field] = "sm89"
    key_path(engine).write_bytes(msgspec.json.encode(content))

    with pytest.raises(IntegrityError, match=field):
        read_engine(engine, HERE)


@pytest.mark.parametrize("content", [PLAN[:-1], PLAN + b"\0", PLAN[::-1]])
def test_bytes_that_were_not_built_are_refused(engine: Path, content: bytes) -> None:
    engine.write_bytes(content)

    with pytest.raises(IntegrityError, match="is not the file its key was written for"):
        read_engine(engine, HERE)


def test_the_engine_of_this_machine_is_found_among_others(engine: Path) -> None:
    for field in ("gpu", "onnx_sha256", "driver"):
        key = msgspec.structs.replace(HERE, **{field: OTHERS[field]})
        plan = field.encode()
        write_engine(engine.parent / engine_name(key), plan, record_of(key, plan))

    assert find_engine(engine.parent, HERE)[0] == PLAN
    other = msgspec.structs.replace(HERE, onnx_sha256="b" * 64)
    assert find_engine(engine.parent, other)[0] == b"onnx_sha256"
    with pytest.raises(IncompatibleError, match="compute capability"):
        find_engine(engine.parent, msgspec.structs.replace(HERE, compute_capability="8.6"))


def test_a_folder_without_an_engine_of_the_file_says_how_to_build_one(engine: Path) -> None:
    unknown = msgspec.structs.replace(HERE, onnx_sha256="c" * 64)

    for folder in (engine.parent, engine.parent / "absent"):
        with pytest.raises(IncompatibleError, match="build_tensorrt") as caught:
            find_engine(folder, unknown)
        assert caught.value.exit_code == 6


def test_engines_are_kept_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert engine_folder() == tmp_path / "realmnet" / "engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert engine_folder() == Path.home() / ".cache" / "realmnet" / "engines"
