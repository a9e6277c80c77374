"""Members of our own in a zip archive."""

import zipfile
from pathlib import Path

import pytest

from edgekit.errors import OutputError
from edgekit_converters.pruning.member import add_members


def archive(folder: Path) -> Path:
    path = folder / "net.keras"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("config.json", "{}")
    return path


def test_several_members_are_added_at_once_and_replaced_later(tmp_path: Path) -> None:
    path = archive(tmp_path)
    add_members(path, {"a.json": "1", "b.json": "2"})
    add_members(path, {"b.json": "3"})
    with zipfile.ZipFile(path) as made:
        assert {name: made.read(name) for name in made.namelist()} == {
            "config.json": b"{}",
            "a.json": b"1",
            "b.json": b"3",
        }
        assert len(made.namelist()) == 3
    assert [one.name for one in tmp_path.iterdir()] == ["net.keras"]


def test_the_same_members_make_the_same_file(tmp_path: Path) -> None:
    path = archive(tmp_path)
    add_members(path, {"a.json": "1"})
    first = path.read_bytes()
    add_members(path, {"a.json": "1"})
    assert path.read_bytes() == first


def test_what_is_no_archive_is_told_and_left(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    path.write_bytes(b"no archive")
    with pytest.raises(OutputError, match="net.keras: cannot be written .File is not a zip file"):
        add_members(path, {"a.json": "1"})
    assert [one.name for one in tmp_path.iterdir()] == ["net.keras"]
    assert path.read_bytes() == b"no archive"
