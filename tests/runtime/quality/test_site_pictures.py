"""Which files a site's data name, and that no name reaches an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.quality.site_pictures import site_pictures


@pytest.fixture
def home(tmp_path: Path) -> Path:
    root = tmp_path / "datasets" / "PSMM"
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "JPEGImages").mkdir()
    for name in ("patient4711.jpg", "b.jpg", "c.jpg"):
        (root / "JPEGImages" / name).touch()
    return root


def write(home: Path, text: str, name: str = "val.csv") -> None:
    (home / "ImageSets" / "Main" / name).write_text(text, encoding="utf-8")


def test_a_table_names_its_pictures_in_its_order(home: Path, tmp_path: Path) -> None:
    write(home, "S0,filename,ID\n1,c.jpg,7\n0,patient4711.jpg,8\n")
    for given in (tmp_path, tmp_path / "datasets", home):
        names = [path.name for path in site_pictures(given, "val")]
        assert names == ["c.jpg", "patient4711.jpg"]


def test_a_folder_is_taken_whole(home: Path) -> None:
    names = [path.name for path in site_pictures(home / "JPEGImages")]
    assert names == ["b.jpg", "c.jpg", "patient4711.jpg"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("S0,file\n1,patient4711.jpg\n", "no column 'filename'"),
        ("", "no column 'filename'"),
        ("filename\nb.jpg\n../patient4711.jpg\n", "line 3: no plain file name"),
        ("filename\n..\\patient4711.jpg\n", "line 2: no plain file name"),
        ('filename,x\n"",patient4711\n', "line 2: no plain file name"),
    ],
)
def test_a_bad_table_is_refused_without_a_name(home: Path, text: str, says: str) -> None:
    write(home, text)
    with pytest.raises(ConfigurationError, match=says) as caught:
        site_pictures(home, "val")
    assert "4711" not in str(caught.value)


def test_what_is_missing_is_said_without_a_name(home: Path, tmp_path: Path) -> None:
    write(home, "filename\nb.jpg\npatient47110.jpg\n")
    with pytest.raises(MissingPath, match="line 3: its picture is not in") as caught:
        site_pictures(home, "val")
    assert "4711" not in str(caught.value)
    with pytest.raises(MissingPath, match="no table 'test'; it has val"):
        site_pictures(home, "test")
    with pytest.raises(MissingPath, match=r"no table '\.\./val'"):
        site_pictures(home, "../val")
    with pytest.raises(MissingPath, match="leave --split out"):
        site_pictures(tmp_path / "datasets" / "PSMM" / "JPEGImages", "val")


def test_a_table_that_is_no_text_is_refused(home: Path) -> None:
    (home / "ImageSets" / "Main" / "val.csv").write_bytes(b"filename\n\xff\xfe\n")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        site_pictures(home, "val")
