"""A few elements of a DICOM file by their stored bytes, read with pydicom.

pydicom's warnings, logs and errors quote values it does not like, and a header's values name
people. So only the elements that are asked for are kept, their bytes are interpreted here, and
what pydicom raises is neither passed on nor chained.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from realmnet_runtime.dicom.syntaxes import IMPLICIT_LITTLE_ENDIAN, coding_of
from realmnet_runtime.errors import UnreadableImage

_META_BEGINS: Final = 132
_META_GROUP: Final = 0x0002
_TRANSFER_SYNTAX: Final = 0x00020010
_PAD: Final = " \0"


@dataclass(frozen=True, slots=True, eq=False)
class Elements:
    """Some elements of one file.

    Attributes:
        transfer_syntax: UID of the coding, one of those that are read.
        dataset: the elements, as they were stored.
    """

    transfer_syntax: str
    dataset: Dataset

    def stored(self, tag: int) -> RawDataElement | DataElement | None:
        """The element as it was read: unconverted, or a sequence; None where there is none."""
        return self.dataset.get_item(tag) if tag in self.dataset else None

    def raw(self, tag: int) -> bytes:
        """The stored bytes; empty where there are none."""
        element = self.stored(tag)
        value = element.value if isinstance(element, RawDataElement) else None
        return value if isinstance(value, bytes) else b""

    def text(self, tag: int) -> str:
        """The stored characters without the padding; of those beyond ASCII a question mark."""
        return self.raw(tag).decode("ascii", "replace").strip(_PAD)

    def number(self, tag: int) -> int | None:
        """An unsigned 16-bit number; None where there is none or another value."""
        value = self.raw(tag)
        return int.from_bytes(value, "little") if len(value) == 2 else None


def read_elements(data: bytes, tags: Iterable[int]) -> Elements:
    """Read the elements of these tags.

    Args:
        data: the whole file, preamble first.
        tags: group and element in one number, such as 0x00280010.

    Raises:
        UnreadableImage: a transfer syntax that is not read, or a header that cannot be followed.
    """
    elements = None
    refusal = None
    try:
        elements = _read(data, list(tags))
    except UnreadableImage as error:
        refusal = error
    except Exception:  # noqa: BLE001, S110 - raised below, where nothing of it is chained
        pass
    if refusal is not None:
        raise refusal
    if elements is None:
        raise UnreadableImage(
            f"damaged DICOM file of {len(data)} bytes: its header cannot be read; copy or export "
            f"it again"
        )
    return elements


def _read(data: bytes, tags: list[int]) -> Elements:
    stream = BytesIO(data)
    stream.seek(_META_BEGINS)
    meta = read_dataset(
        stream,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag >> 16 != _META_GROUP,
        specific_tags=[_TRANSFER_SYNTAX],
    )
    syntax = Elements("", meta).text(_TRANSFER_SYNTAX)
    coding_of(syntax)
    dataset = read_dataset(
        stream,
        is_implicit_VR=syntax == IMPLICIT_LITTLE_ENDIAN,
        is_little_endian=True,
        specific_tags=tags,
    )
    return Elements(syntax, dataset)
