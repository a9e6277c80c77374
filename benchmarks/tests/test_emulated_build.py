"""Building an emulated board: what is missing, what fails, and what is left then."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgekit.cli import main
from edgekit.errors import MissingDependencyError, OutputError, SourceError
from edgekit_benchmarks import sysroot
from edgekit_benchmarks.emulated import board_launcher, board_tree, boards_folder, existing_tree
from edgekit_benchmarks.target import Target, TargetError
from edgekit_benchmarks.target_file import add_target, find_target


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_TARGETS", str(tmp_path / "lab.toml"))
    return tmp_path / "lab.toml"


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/edgekit/boards"


def test_a_name_of_another_target_is_not_taken_away(file: Path, empty_cache: Path) -> None:
    add_target(Target(name="pi4", url="ssh://pi@pi4.local"))
    done = CliRunner().invoke(main, ["targets", "add-emulated", "pi4"])
    assert isinstance(done.exception, OutputError) or "already" in done.output
    assert find_target("pi4").url == "ssh://pi@pi4.local"
    assert not empty_cache.exists()


def test_missing_programs_are_told_in_one_line(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError) as caught:
        board_tree("pi4")
    assert str(caught.value) == (
        "emulated boards: qemu-aarch64, apt-get, dpkg-deb, tar, gcc not found here; "
        "run: sudo apt-get install qemu-user apt dpkg tar gcc libc6-dev"
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is not installed")
def test_no_network_is_told_in_one_line_and_leaves_nothing(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("edgekit_benchmarks.emulated.need_programs", lambda *_, **__: None)
    with pytest.raises(TargetError, match="^arm64: packages cannot be fetched .*127.0.0.1") as got:
        board_tree("pi4", sources=_nowhere(tmp_path))
    assert "\n" not in str(got.value)
    assert [path.name for path in empty_cache.iterdir()] == ["lock"]


def test_sources_that_are_not_there_are_told(empty_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no.list: not found"):
        sysroot.sources_sha256(tmp_path / "no.list")


def test_no_right_to_write_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("edgekit_benchmarks.emulated.need_programs", lambda *_, **__: None)
    with pytest.raises(OutputError, match="set XDG_CACHE_HOME"):
        board_tree("pi4")


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [1.5, 5.0])
def test_ctrl_c_leaves_nothing(after_s: float, file: Path, empty_cache: Path) -> None:
    launcher_programs()
    command = [sys.executable, "-m", "edgekit", "targets", "add-emulated", "pi4"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130, said
    assert [path.name for path in empty_cache.iterdir()] == ["lock"]
    assert not file.exists()


@pytest.mark.slow
def test_what_a_killed_build_left_is_removed(empty_cache: Path) -> None:
    launcher_programs()
    left = empty_cache / ".new-left"
    left.mkdir(parents=True)
    (left / "file").touch()
    with pytest.raises(TargetError):
        board_tree("pi4", sources=_nowhere(empty_cache))
    assert not left.exists()


@pytest.mark.slow
def test_a_board_that_is_gone_is_built_again_with_one_line(
    capfd: pytest.CaptureFixture[str],
) -> None:
    launcher_programs()
    board_launcher("zero2w")
    tree = existing_tree("zero2w")
    assert tree is not None
    shutil.rmtree(tree)
    assert board_launcher("zero2w").exists()
    assert capfd.readouterr().err == f"zero2w: is built in {boards_folder()}\n"


def launcher_programs() -> None:
    try:
        sysroot.need_programs("qemu-aarch64", building=True)
    except MissingDependencyError as error:
        pytest.skip(str(error))


def _nowhere(folder: Path) -> Path:
    sources = folder / "none.list"
    sources.write_text("deb [trusted=yes] http://127.0.0.1:9/debian bookworm main\n")
    return sources
