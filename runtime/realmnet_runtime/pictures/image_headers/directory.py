"""Directories of tags, as in TIFF, BigTIFF and EXIF (TIFF 6.0, section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from realmnet_runtime.errors import UnreadableImage
from realmnet_runtime.pictures.image_headers.header import truncated, unpack

CLASSIC_LITTLE: Final = b"II\x2a\x00"
CLASSIC_BIG: Final = b"MM\x00\x2a"
BIGTIFF_LITTLE: Final = b"II\x2b\x00"
BIGTIFF_BIG: Final = b"MM\x00\x2b"
SIGNATURES: Final = (CLASSIC_LITTLE, CLASSIC_BIG, BIGTIFF_LITTLE, BIGTIFF_BIG)

# Field type -> struct code, of the unsigned integers; no tag that is read here has another type.
_UNSIGNED: Final = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MOST_VALUES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte order (`<` or `>`) and whether offsets have 64 bits."""

    order: str
    big: bool


@dataclass(frozen=True, slots=True)
class Directory:
    """The integer tags of one page and the offset of the next page's, 0 where there is none."""

    tags: dict[int, tuple[int, ...]]
    following: int


def read_preamble(data: bytes) -> tuple[Layout, int]:
    """Layout and offset of the first directory.

    Raises:
        UnreadableImage: not a TIFF, or truncated.
    """
    start = bytes(data[:4])
    if start not in SIGNATURES:
        raise UnreadableImage("no TIFF preamble")
    layout = Layout("<" if start[:1] == b"I" else ">", start in {BIGTIFF_LITTLE, BIGTIFF_BIG})
    if layout.big:
        (first,) = unpack(f"{layout.order}Q", data, 8, "TIFF")
    else:
        (first,) = unpack(f"{layout.order}I", data, 4, "TIFF")
    return layout, first


def read_directory(data: bytes, offset: int, layout: Layout) -> Directory:
    """The directory at an offset.

    Raises:
        UnreadableImage: truncated, or a tag with more values than any picture needs.
    """
    count_code, entry_bytes, link_code = ("Q", 20, "Q") if layout.big else ("H", 12, "I")
    (entries,) = unpack(layout.order + count_code, data, offset, "TIFF")
    position = offset + (8 if layout.big else 2)
    if position + entries * entry_bytes > len(data):
        raise truncated("TIFF", len(data))
    tags: dict[int, tuple[int, ...]] = {}
    for entry in range(position, position + entries * entry_bytes, entry_bytes):
        tag, values = _read_entry(data, entry, layout, link_code)
        if values is not None:
            tags[tag] = values
    position += entries * entry_bytes
    (following,) = unpack(layout.order + link_code, data, position, "TIFF")
    return Directory(tags, following)


def _read_entry(
    data: bytes, entry: int, layout: Layout, link_code: str
) -> tuple[int, tuple[int, ...] | None]:
    tag, kind, count = unpack(f"{layout.order}HH{link_code}", data, entry, "TIFF")
    code = _UNSIGNED.get(kind)
    if code is None:
        return tag, None
    if count > _MOST_VALUES:
        raise UnreadableImage(
            f"TIFF whose tag {tag} says it has {count} values; at most {_MOST_VALUES} are read; "
            "export the picture again"
        )
    inline = 8 if layout.big else 4
    position = entry + 4 + inline
    size = count * {"B": 1, "H": 2, "I": 4, "Q": 8}[code]
    if size > inline:
        (position,) = unpack(layout.order + link_code, data, position, "TIFF")
    return tag, unpack(f"{layout.order}{count}{code}", data, position, "TIFF")
