"""RLE: what any encoder may write comes back, and never more than the picture has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_runtime.dicom.run_lengths import decode_run_lengths
from realmnet_runtime.errors import UnreadableImage


@given(st.binary(min_size=1, max_size=300), st.data())
def test_run_lengths_come_back(plane: bytes, data: st.DataObject) -> None:
    """An encoder that chooses literals, runs and no-operations at random."""
    coded, position = bytearray(), 0
    while position < len(plane):
        if data.draw(st.booleans()):
            coded.append(128)
        same = 1
        while (
            same < 128
            and plane[position + same : position + same + 1] == plane[position : position + 1]
        ):
            same += 1
        if same > 1 and data.draw(st.booleans()):
            coded += bytes([257 - same, plane[position]])
            position += same
        else:
            literal = plane[position : position + data.draw(st.integers(1, 128))]
            coded += bytes([len(literal) - 1]) + literal
            position += len(literal)
    header = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56)
    found = decode_run_lengths(header + coded, 1, len(plane))
    assert found.tobytes() == plane


def test_run_lengths_never_give_more_than_was_asked_for() -> None:
    header = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56)
    assert decode_run_lengths(header + b"\x81\xff" * 100_000, 1, 40).shape == (1, 40)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (b"", "has no header"),
        (bytes(64), "0 segments"),
        (b"\x01\0\0\0\x40\0\0\0" + bytes(56), "ends after 0 of 9"),
        (b"\x01\0\0\0\x40\0\0\0" + bytes(56) + b"\x05abc", "ends after 3 of 9"),
        (b"\x01\0\0\0\x20\0\0\0" + bytes(56), "out of order"),
        (b"\x01\0\0\0\xff\0\0\0" + bytes(56), "out of order"),
    ],
)
def test_damaged_run_lengths(frame: bytes, said: str) -> None:
    with pytest.raises(UnreadableImage, match=said):
        decode_run_lengths(frame, 1, 9)
