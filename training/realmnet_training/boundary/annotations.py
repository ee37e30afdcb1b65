"""Annotated apertures: pictures, their masks, whose they are, and the kind of border.

    FOLDER/annotations.csv   columns file, mask, patient, border, in any order
    FOLDER/images/<file>     any picture the runtime reads
    FOLDER/masks/<mask>      PNG, one channel of the picture's size: 0 outside the aperture,
                             one other value (1 or 255) inside

`border` is `black` (the aperture lies in a black surround; the paper's set has 303) or `device`
(lids, lashes and the instrument frame it; 109). The aperture includes what covers a part of it from
in front, as a lid does (see the phantoms' `window`). File names and identifiers are personal data:
messages give the line, `repr` counts.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_benchmarks.phantoms import HOSPITALS, BorderKind
from realmnet_runtime.errors import ConfigurationError, ImageRefused, MissingPath, UnreadableImage
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.suggestions import nearest

TABLE: Final = "annotations.csv"
IMAGES: Final = "images"
MASKS: Final = "masks"
COLUMNS: Final = ("file", "mask", "patient", "border")
BORDERS: Final[tuple[BorderKind, ...]] = get_args(BorderKind)

_MASK_VALUES: Final = (1, 255)


@dataclass(frozen=True, repr=False)
class Annotations:
    """A table of annotated pictures, or a part of one.

    Attributes:
        root: the folder.
        files, masks: (N,) plain file names below `images` and `masks`.
        patients: (N,) patient identifiers.
        borders: (N,) `black` or `device`.
        lines: (N,) line of each row in the table, from 2.
    """

    root: Path
    files: tuple[str, ...]
    masks: tuple[str, ...]
    patients: tuple[str, ...]
    borders: tuple[BorderKind, ...]
    lines: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.borders.count(kind)} {kind}" for kind in BORDERS)
        return f"Annotations({len(self)} pictures of {len(set(self.patients))} patients: {counts})"

    @property
    def digest(self) -> str:
        """SHA-256 of the rows; their order does not matter."""
        rows = sorted(zip(self.files, self.masks, self.patients, self.borders, strict=True))
        return hashlib.sha256("\n".join("\t".join(row) for row in rows).encode()).hexdigest()

    @property
    def synthetic(self) -> bool:
        """Whether every picture is a phantom."""
        hospitals = {hospital.name for hospital in HOSPITALS}
        return all(patient.partition("-")[0] in hospitals for patient in self.patients)

    def select(self, rows: Iterable[int]) -> Annotations:
        """The table with these rows only, in this order."""
        kept = list(rows)
        return Annotations(
            self.root,
            tuple(self.files[row] for row in kept),
            tuple(self.masks[row] for row in kept),
            tuple(self.patients[row] for row in kept),
            tuple(self.borders[row] for row in kept),
            tuple(self.lines[row] for row in kept),
        )

    def read(self, row: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read one picture and its mask.

        Returns:
            (H, W, 3) uint8 RGB, upright, and (H, W) bool, true inside the aperture.

        Raises:
            MissingPath: one of the two files is not there.
            UnreadableImage: a file is no picture, or the mask is none of this picture.
        """
        place = f"{self.root / TABLE}, line {self.lines[row]}"
        path = self.root / IMAGES / self.files[row]
        if not path.is_file():
            raise MissingPath(f"{place}: its picture is not in {path.parent}; complete the folder")
        try:
            picture = read_image(path)
        except ImageRefused as error:
            reason = str(error).replace(str(path), "it").replace(path.name, "it")
            raise UnreadableImage(f"{place}: the picture cannot be used: {reason}") from None
        return picture, _read_mask(self.root / MASKS / self.masks[row], picture.shape[:2], place)


def read_annotations(root: Path | str) -> Annotations:
    """Read the table of an annotated folder; the pictures are looked for when they are read.

    Raises:
        MissingPath: no table.
        ConfigurationError: no UTF-8, a column that is missing, unknown or there twice, a row of
            another width, a name that is no plain file name or occurs twice, an unknown border,
            an empty patient, or no row at all.
    """
    folder = Path(root)
    table = folder / TABLE
    header, rows = _rows(table)
    _refuse_columns(table, header)
    cells = {
        name: tuple(row[header.index(name)].strip() for row in rows.values()) for name in COLUMNS
    }
    lines = tuple(rows)
    for name in ("file", "mask"):
        _refuse_names(table, name, cells[name], lines)
    for line, patient in zip(lines, cells["patient"], strict=True):
        if not patient:
            raise ConfigurationError(
                f"{table}, line {line}: 'patient' is empty; every picture needs its patient"
            )
    borders: tuple[BorderKind, ...] = tuple(
        _border(table, line, text) for line, text in zip(lines, cells["border"], strict=True)
    )
    return Annotations(folder, cells["file"], cells["mask"], cells["patient"], borders, lines)


def _rows(table: Path) -> tuple[list[str], dict[int, list[str]]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            # a cell with a line break moves the numbers on, so the reader says them
            numbered = [(reader.line_num, row) for row in reader if row]
    except (FileNotFoundError, NotADirectoryError):
        raise MissingPath(
            f"{table} is not there; give a folder with {TABLE} (columns {', '.join(COLUMNS)}), "
            f"{IMAGES}/ and {MASKS}/"
        ) from None
    except (UnicodeDecodeError, csv.Error):
        raise ConfigurationError(f"{table} is not a CSV table in UTF-8; export it again") from None
    rows = dict(numbered)
    if not rows:
        raise ConfigurationError(f"{table} has no row; at least one annotated picture is needed")
    for line, row in rows.items():
        if len(row) != len(header):
            raise ConfigurationError(
                f"{table}, line {line}: {len(row)} cells under {len(header)} columns; repair it"
            )
    return [column.strip() for column in header], rows


def _refuse_columns(table: Path, header: Sequence[str]) -> None:
    missing = [column for column in COLUMNS if column not in header]
    unknown = [column for column in header if column not in COLUMNS]
    if unknown:
        raise ConfigurationError(
            f"{table}: unknown column '{unknown[0]}'; expected {', '.join(COLUMNS)}"
            f"{nearest(unknown[0], COLUMNS)}"
        )
    if missing or len(header) != len(COLUMNS):
        fault = f"column {', '.join(missing)} is missing" if missing else "a column occurs twice"
        raise ConfigurationError(f"{table}: {fault}; expected {', '.join(COLUMNS)}, once each")


def _refuse_names(table: Path, column: str, names: Sequence[str], lines: Sequence[int]) -> None:
    first: dict[str, int] = {}
    for name, line in zip(names, lines, strict=True):
        if not name or name in {".", ".."} or any(sign in name for sign in "/\\\0"):
            raise ConfigurationError(
                f"{table}, line {line}: '{column}' is no plain file name; remove its folder"
            )
        if name in first:
            raise ConfigurationError(
                f"{table}, line {line}: repeats the {column} of line {first[name]}; keep one"
            )
        first[name] = line


def _border(table: Path, line: int, text: str) -> BorderKind:
    for kind in BORDERS:
        if text == kind:
            return kind
    raise ConfigurationError(
        f"{table}, line {line}: border '{text}'; choose from {', '.join(BORDERS)}"
        f"{nearest(text, BORDERS)}"
    )


def _read_mask(path: Path, size: tuple[int, ...], place: str) -> NDArray[np.bool_]:
    if not path.is_file():
        raise MissingPath(f"{place}: its mask is not in {path.parent}; complete the folder")
    data = np.fromfile(path, np.uint8)
    values = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if values is None or values.ndim != 2:
        raise UnreadableImage(
            f"{place}: the mask is no picture of one channel; save it as a grey PNG"
        )
    if values.shape != size:
        raise UnreadableImage(
            f"{place}: the mask has {values.shape} rows and columns and the picture {size}; "
            "draw it on the picture as it is shown upright"
        )
    present = [int(value) for value in np.unique(values) if value]
    if len(present) != 1 or present[0] not in _MASK_VALUES:
        raise UnreadableImage(
            f"{place}: the mask holds {len(present)} values besides 0; it must hold one, "
            f"{' or '.join(map(str, _MASK_VALUES))}, for the aperture"
        )
    return np.asarray(values != 0)
