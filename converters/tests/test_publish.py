import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.errors import OutputError
from edgekit_converters.publish import publish


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "workspace" / "made.tflite"
    path.parent.mkdir()
    path.write_bytes(b"new")
    return path


@pytest.fixture
def made_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace" / "rolled"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"new")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("mounting a small file system takes root and the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_put_in_place_and_nothing_beside_it(made: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "model.tflite"
    publish(made, target, force=False)
    assert target.read_bytes() == b"new"
    assert names(target.parent) == ["model.tflite"]


def test_missing_folders_are_made(made: Path, tmp_path: Path) -> None:
    publish(made, tmp_path / "a" / "b" / "model.tflite", force=False)
    assert (tmp_path / "a" / "b" / "model.tflite").exists()


def test_an_existing_file_stays_byte_for_byte(made: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.tflite"
    target.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"model.tflite: exists already; add --force"):
        publish(made, target, force=False)
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["model.tflite", "workspace"]


def test_force_replaces_a_file(made: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.tflite"
    target.write_bytes(b"old")
    publish(made, target, force=True)
    assert target.read_bytes() == b"new"


def test_force_does_not_replace_a_folder_by_a_file(made: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.tflite"
    target.mkdir()
    with pytest.raises(OutputError, match=r"cannot be written \(Is a directory\)"):
        publish(made, target, force=True)
    assert target.is_dir()


def test_a_folder_is_put_in_place_whole(made_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "model.savedmodel"
    publish(made_folder, target, force=False)
    assert (target / "saved_model.pb").read_bytes() == b"new"
    assert names(target.parent) == ["model.savedmodel"]


def test_an_existing_folder_stays_as_it_is(made_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "model.savedmodel"
    target.mkdir(parents=True)
    (target / "mine").write_text("old")
    with pytest.raises(OutputError, match="exists already"):
        publish(made_folder, target, force=False)
    assert names(target) == ["mine"]
    assert names(target.parent) == ["model.savedmodel"]


def test_force_replaces_a_folder_and_all_in_it(made_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "model.savedmodel"
    target.mkdir(parents=True)
    (target / "mine").write_text("old")
    publish(made_folder, target, force=True)
    assert names(target) == ["saved_model.pb", "variables"]
    assert names(target.parent) == ["model.savedmodel"]


def test_a_file_in_the_way_of_the_folder_is_called_so(made: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="Not a directory"):
        publish(made, tmp_path / "out" / "model.tflite", force=False)
    assert (tmp_path / "out").read_text() == "mine"


def test_of_two_at_once_one_wins_and_the_other_is_told(made: Path, tmp_path: Path) -> None:
    target, refused = tmp_path / "out" / "model.tflite", []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        try:
            publish(made, target, force=False)
        except OutputError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    assert all("exists already" in text for text in refused)
    assert names(target.parent) == ["model.tflite"]


def test_a_full_disk_leaves_nothing_behind(made: Path, small_disk: Path) -> None:
    made.write_bytes(bytes(200_000))
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\)"):
        publish(made, small_disk / "model.tflite", force=False)
    assert names(small_disk) == []


def test_a_full_disk_leaves_the_old_file_alone(made: Path, small_disk: Path) -> None:
    made.write_bytes(bytes(200_000))
    (small_disk / "model.tflite").write_bytes(b"old")
    with pytest.raises(OutputError, match="No space left"):
        publish(made, small_disk / "model.tflite", force=True)
    assert (small_disk / "model.tflite").read_bytes() == b"old"
    assert names(small_disk) == ["model.tflite"]


def test_a_full_disk_leaves_no_part_of_a_folder(made_folder: Path, small_disk: Path) -> None:
    (made_folder / "variables" / "data").write_bytes(bytes(200_000))
    with pytest.raises(OutputError, match="cannot be written"):
        publish(made_folder, small_disk / "model.savedmodel", force=False)
    assert names(small_disk) == []


def test_a_read_only_disk_is_called_so(made: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OutputError, match=r"cannot be written \(Read-only file system\)"):
        publish(made, small_disk / "model.tflite", force=False)
