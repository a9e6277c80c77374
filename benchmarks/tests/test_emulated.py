"""Emulated boards that are really built and run; the trees stay in the user's cache folder."""

from __future__ import annotations

import ast
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edgekit.cli import main
from edgekit.errors import MissingDependencyError
from edgekit_benchmarks.board import BOARDS, Board
from edgekit_benchmarks.emulated import board_launcher, board_tree
from edgekit_benchmarks.open_link import open_link
from edgekit_benchmarks.target import Target, from_url
from edgekit_benchmarks.target_check import check_target
from edgekit_benchmarks.target_file import find_target
from edgekit_benchmarks.target_setup import set_up

each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
_RUNTIMES = {
    "arm64": ["ai_edge_litert.interpreter", "onnxruntime"],
    "armhf": ["tflite_runtime.interpreter"],
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_TARGETS", str(tmp_path / "lab.toml"))
    return tmp_path / "lab.toml"


def launcher(name: str) -> Path:
    try:
        return board_launcher(name)
    except MissingDependencyError as error:
        pytest.skip(str(error))


def told(name: str, code: str, **environment: str) -> Any:
    """What a program on the board prints, read as a Python literal."""
    done = subprocess.run(
        [launcher(name), "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout)


# ---- what runs there


@pytest.mark.slow
@each_board
def test_the_runtimes_and_what_edgekit_needs_import(board: Board) -> None:
    modules = [*_RUNTIMES[board.architecture], "numpy", "click", "PIL.Image"]
    assert told(board.name, f"import {', '.join(modules)}; print(1)") == 1


@pytest.mark.slow
@each_board
def test_the_machine_is_the_boards(board: Board) -> None:
    code = "import os, platform; print((platform.machine(), os.cpu_count()))"
    assert told(board.name, code) == (board.machine, board.cores)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pi2", "pi4"])
def test_numpy_computes_there(name: str) -> None:
    code = "import numpy; a = numpy.arange(12.).reshape(3, 4); print(float((a @ a.T).sum()))"
    assert told(name, code) == 1134.0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dot"), [("pi3", False), ("pi4", False), ("pi5", True)])
def test_programs_see_the_processors_abilities(name: str, dot: bool) -> None:
    code = (
        "import ctypes; get = ctypes.CDLL(None).getauxval; get.restype = ctypes.c_ulong; "
        "print(bool(get(16) >> 20 & 1))"
    )
    assert told(name, code) is dot


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pi2", "pi4"])
@pytest.mark.parametrize("program", ["sys.executable", "'python3'"])
def test_python_starts_itself_there(name: str, program: str) -> None:
    code = (
        "import subprocess, sys; "
        "inner = 'import platform; print(repr(platform.machine()))'; "
        f"print(subprocess.check_output([{program}, '-c', inner], text=True))"
    )
    assert told(name, code) == BOARDS[name].machine


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pi2", "pi4"])
def test_nothing_of_this_machines_python_is_seen(name: str) -> None:
    code = "import sys; print([path for path in sys.path if path])"
    tree = str(board_tree(name) if launcher(name) else "")
    paths = told(name, code, PYTHONPATH="/nowhere", PYTHONSTARTUP="/nowhere/x.py")
    assert all(path.startswith(tree) for path in paths)


@pytest.mark.slow
def test_more_folders_to_import_from_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "own_module.py").write_text("value = 7")
    code = "import own_module; print(own_module.value)"
    assert told("pi4", code, EDGEKIT_PYTHONPATH=str(tmp_path)) == 7


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pi2", "pi4"])
def test_what_is_written_there_is_found_here(name: str, tmp_path: Path) -> None:
    path = tmp_path / "made"
    code = (
        f"import os; open({str(path)!r}, 'w').write('text'); print(os.listdir({str(tmp_path)!r}))"
    )
    assert told(name, code) == ["made"]
    assert path.read_text() == "text"


@pytest.mark.slow
def test_python_keeps_its_compiled_modules_in_the_tree() -> None:
    code = "import wave; print(repr(wave.__cached__))"
    kept = Path(told("pi4", code, PYTHONDONTWRITEBYTECODE=""))
    assert kept.is_relative_to(board_tree("pi4"))
    assert kept.exists()


@pytest.mark.slow
def test_the_firmware_answers() -> None:
    code = (
        "import subprocess; "
        "print(repr(subprocess.check_output(['vcgencmd', 'get_throttled'], text=True)))"
    )
    assert told("pi4", code) == "throttled=0x0\n"


# ---- as a target


@pytest.mark.slow
@each_board
def test_a_link_tells_the_boards_facts(board: Board) -> None:
    launcher(board.name)
    with open_link(from_url(f"emulated://{board.name}")) as link:
        facts = link.request("facts", timeout_s=60)
    assert facts["emulated"] is True
    assert facts["model"] == board.model
    assert facts["machine"] == board.machine
    assert facts["bits"] == (64 if board.is_64_bit else 32)
    assert facts["cores_online"] == board.cores


@pytest.mark.slow
def test_a_board_does_not_wait_for_what_is_measured_elsewhere() -> None:
    launcher("pi4")
    launcher("pi5")
    with (
        open_link(from_url("local")) as here,
        open_link(from_url("emulated://pi4")) as one,
        open_link(from_url("emulated://pi5")) as other,
    ):
        for link in (here, one, other):
            link.request("lock", timeout_s=60)


@pytest.mark.slow
def test_nothing_is_left_when_a_link_closes() -> None:
    launcher("pi3")
    with open_link(from_url("emulated://pi3")) as link:
        folder = Path(link.hello["folder"])
        pid = int(link.hello["pid"])
        assert folder.exists()
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.slow
def test_a_check_says_that_its_times_mean_nothing() -> None:
    launcher("pi4")
    report = check_target(Target(name="lab", url="emulated://pi4"))
    checks = {check.name: check for check in report.checks}
    assert report.usable
    assert "how long it takes says nothing" in checks["emulated"].said
    assert not checks.keys() & {"power", "temperature", "governor", "load"}


@pytest.mark.slow
def test_setup_finds_it_ready() -> None:
    launcher("pi4")
    report = set_up(Target(name="lab", url="emulated://pi4"))
    assert not report.changed
    assert report.packages["ai-edge-litert"] == "2.3.0"


@pytest.mark.slow
def test_adding_it_twice_is_quick_and_changes_nothing(file: Path) -> None:
    launcher("pi3")
    first = CliRunner().invoke(main, ["targets", "add-emulated", "pi3", "--name", "old"])
    assert first.exit_code == 0, first.output
    assert find_target("old").url == "emulated://pi3"
    begun = time.monotonic()
    again = CliRunner().invoke(main, ["targets", "add-emulated", "pi3", "--name", "old"])
    assert again.exit_code == 0, again.output
    assert "was there already" in again.output
    assert time.monotonic() - begun < 2
