from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_runtime.errors import ConfigurationError, IncompatibleError
from realmnet_runtime.structs import convert_mapping, decode_json
from realmnet_runtime.suggestions import nearest


class Wheel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    spokes: int
    rim: str = "steel"


class Bell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pitch: str

    def __post_init__(self) -> None:
        if self.pitch == "silent":
            raise ConfigurationError("a silent bell is none")
        if self.pitch == "future":
            raise IncompatibleError("bells of the future")


class Bicycle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    wheels: tuple[Wheel, ...]
    spares: dict[str, Wheel] = {}
    bell: Bell | None = None
    rims: int = 0


def through_json(content: dict[str, Any]) -> Bicycle:
    return decode_json(msgspec.json.encode(content), Bicycle, "bicycle.json")


def through_mapping(content: dict[str, Any]) -> Bicycle:
    return convert_mapping(content, Bicycle, "bicycle.json")


either_way = pytest.mark.parametrize("read", [through_json, through_mapping])


@either_way
def test_whole_files_are_read(read: Callable[[dict[str, Any]], Bicycle]) -> None:
    content = {"wheels": [{"spokes": 36}], "spares": {"a": {"spokes": 28, "rim": "wood"}}}
    assert read(content) == Bicycle((Wheel(36),), {"a": Wheel(28, "wood")})


@either_way
@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"wheel": []}, r"unknown field `wheel`; did you mean 'wheels'\?"),
        ({"wheels": [{"spoke": 1}]}, r"`\$\.wheels\[.*\]`; did you mean 'spokes'\?"),
        # `rims` is a field of the bicycle: right word, wrong place, so the place's own is offered.
        ({"wheels": [{"spokes": 1, "rims": "x"}]}, r"did you mean 'rim'\?"),
        ({"wheels": [], "spares": {"a": {"rimm": 1}}}, r"did you mean 'rim'\?"),
        ({"wheels": [], "bell": {"pitches": "a"}}, r"`\$\.bell`; did you mean 'pitch'\?"),
        ({"wheels": [], "zzzz": 1}, "unknown field `zzzz`$"),
        ({"wheels": [{"spokes": "many"}]}, r"Expected `int`, got `str` - at `\$\.wheels"),
        ({}, "missing required field `wheels`"),
        ({"wheels": [], "bell": {"pitch": "silent"}}, "a silent bell is none"),
        ({"wheels": [], "line\nbreak": 1}, "unknown field `line break`"),
    ],
)
def test_faults_name_the_file_the_place_and_the_nearest_word(
    read: Callable[[dict[str, Any]], Bicycle], content: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        read(content)
    assert str(caught.value).startswith("bicycle.json: ")
    assert "\n" not in str(caught.value)


@either_way
def test_other_errors_of_ours_pass_unchanged(read: Callable[[dict[str, Any]], Bicycle]) -> None:
    with pytest.raises(IncompatibleError, match=r"^bells of the future$"):
        read({"wheels": [], "bell": {"pitch": "future"}})


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"wheels: []", "malformed"),
        (b'{"wheels": []} again', "malformed"),
        (b'{"wheels": [{"spokes": 1, "rim": "\xff"}]}', "save it as UTF-8"),
        (b'{"wheels": ' + b"[" * 100_000, "nested too deeply|Expected"),
        (b'{"zzzz": ' + b"[" * 100_000, "nested too deeply|unknown field"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_bytes_that_are_no_json_are_refused(raw: bytes, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        decode_json(raw, Bicycle, "bicycle.json")


@given(st.binary(max_size=60))
def test_no_bytes_raise_another_error(raw: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"^bicycle\.json: "):
        decode_json(raw, Bicycle, "bicycle.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["wheels", "spokes", "rim", "bell", "pitch"]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["wheels", "spares", "bell", "rim"]), json_values))
def test_both_ways_agree(content: dict[str, Any]) -> None:
    def outcome(read: Callable[[dict[str, Any]], Bicycle]) -> Bicycle | str:
        try:
            return read(content)
        except ConfigurationError as error:
            return str(error)

    assert outcome(through_json) == outcome(through_mapping)


def test_nearest_word() -> None:
    assert nearest("onnx", ["onnxruntime", "openvino"]) == "; did you mean 'onnxruntime'?"
    assert nearest("torch", ["onnxruntime", "openvino"]) == ""
    assert nearest("a", []) == ""
    assert nearest("o", ["onnxruntime", "openvino"]) == ""
    assert nearest("fp23", (word for word in ("fp16", "fp32"))) == "; did you mean 'fp32'?"
