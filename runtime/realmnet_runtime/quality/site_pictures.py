"""Which pictures of a site are looked at: a folder, or a table of a data set as PSMM is laid out.

File names carry record numbers, so an error names the table and the line.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.pictures.images import list_images

TABLES: Final = "ImageSets/Main"
IMAGES: Final = "JPEGImages"
COLUMN: Final = "filename"


def site_pictures(data: Path, split: str | None = None) -> list[Path]:
    """The pictures of a folder, or of one table of a data set.

    Args:
        data: a folder of pictures; with a split, `PSMM`, `datasets`, or the folder above.
        split: name of a table, `val` for `ImageSets/Main/val.csv`; None takes the whole folder.

    Raises:
        MissingPath: no such folder, table or picture.
        ConfigurationError: a table without the column `filename`, or a name that leaves the folder.
    """
    if split is None:
        return list_images(data)
    home = _home(data)
    table = home / TABLES / f"{split}.csv"
    if Path(split).name != split or not table.is_file():
        known = ", ".join(sorted(path.stem for path in (home / TABLES).glob("*.csv"))) or "none"
        raise MissingPath(f"data set has no table '{split}'; it has {known}")
    return [_picture(home, name, split, line) for line, name in _names(table, split)]


def _home(data: Path) -> Path:
    for home in (data, data / "PSMM", data / "datasets" / "PSMM"):
        if (home / TABLES).is_dir():
            return home
    raise MissingPath(
        f"{data} holds no tables; give the folder above 'datasets/PSMM/{TABLES}', or leave "
        f"--split out for a folder of pictures"
    )


def _names(table: Path, split: str) -> list[tuple[int, str]]:
    """Line number and file name of each row."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if COLUMN not in (rows.fieldnames or ()):
                raise ConfigurationError(
                    f"table '{split}' has no column '{COLUMN}'; name the column of file names so"
                )
            return [(rows.line_num, (row[COLUMN] or "").strip()) for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"table '{split}' is no UTF-8 CSV; save it as one") from error


def _picture(home: Path, name: str, split: str, line: int) -> Path:
    if not name or Path(name).name != name or "\\" in name:
        raise ConfigurationError(
            f"table '{split}', line {line}: no plain file name; give the name alone"
        )
    path = home / IMAGES / name
    if not path.is_file():
        raise MissingPath(
            f"table '{split}', line {line}: its picture is not in '{IMAGES}'; complete the folder"
        )
    return path
