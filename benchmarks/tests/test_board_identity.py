"""What an emulated board says of itself, without running it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgekit.errors import UsageError
from edgekit_benchmarks.board import BOARDS, Board, find_board
from edgekit_benchmarks.board_identity import MARKER, write_identity
from edgekit_benchmarks.device_worker.board import Board as Kernel
from edgekit_benchmarks.device_worker.facts import facts
from edgekit_benchmarks.target import Target

each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))


@each_board
def test_the_facts_are_the_boards(board: Board, tmp_path: Path) -> None:
    write_identity(tmp_path, board)
    told = facts(Kernel(str(tmp_path)), str(tmp_path))
    assert told["model"] == board.model
    assert told["cpu"] == f"ARM {board.cpu.title()}"
    assert told["cores_online"] == told["cores_physical"] == 4
    assert told["frequency_khz"]["max"] == board.khz
    assert told["memory_bytes"]["total"] == board.memory_kib * 1024
    assert told["temperature_c"] == pytest.approx(48.7, abs=0.1)
    assert told["throttled"]["raw"] == 0
    assert told["emulated"] is True


@each_board
def test_dot_products_are_where_the_processor_has_them(board: Board) -> None:
    assert ("asimddp" in board.features.split()) == (board.name == "pi5")


def test_the_marker_names_the_board(tmp_path: Path) -> None:
    write_identity(tmp_path, BOARDS["pi5"])
    assert json.loads((tmp_path / MARKER).read_text()) == {"board": "pi5", "emulated": True}


def test_another_identity_leaves_the_tree_alone_that_shares_its_files(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_identity(first, BOARDS["pi4"])
    (second / "proc").mkdir(parents=True)
    (second / "proc/cpuinfo").hardlink_to(first / "proc/cpuinfo")
    write_identity(second, BOARDS["pi5"])
    assert "0xd08" in (first / "proc/cpuinfo").read_text()
    assert "0xd0b" in (second / "proc/cpuinfo").read_text()


@pytest.mark.parametrize("text", ["linux,dummy-virt\0", "QEMU Virtual Machine\0"])
def test_a_virtual_machine_is_emulated(text: str, tmp_path: Path) -> None:
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/compatible").write_text(text)
    assert facts(Kernel(str(tmp_path)), str(tmp_path))["emulated"] is True


def test_a_real_board_is_not_emulated(tmp_path: Path) -> None:
    write_identity(tmp_path, BOARDS["pi4"])
    (tmp_path / MARKER).unlink()
    assert facts(Kernel(str(tmp_path)), str(tmp_path))["emulated"] is False


def test_an_unknown_board_is_told_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="'pi6': is not emulated here; choose from: pi2, pi3"):
        find_board("pi6")


def test_a_url_names_a_board() -> None:
    target = Target(name="lab", url="emulated://zero2w")
    assert (target.board, target.is_emulated) == ("zero2w", True)
    assert not target.is_remote
    assert not target.is_local


def test_a_url_of_no_board_is_refused() -> None:
    with pytest.raises(UsageError, match="'pi6': is not emulated here"):
        Target(name="lab", url="emulated://pi6")


def test_an_emulated_board_takes_no_other_python() -> None:
    with pytest.raises(UsageError, match="leave --python out"):
        Target(name="lab", url="emulated://pi4", python="/usr/bin/python3")
