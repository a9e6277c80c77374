"""Make an emulated board ready to count instructions, and know what counts them."""

from __future__ import annotations

from edgekit_benchmarks.board import find_board
from edgekit_benchmarks.counter import ensure_counter, qemu_version
from edgekit_benchmarks.emulated import board_tree
from edgekit_benchmarks.link import Link
from edgekit_benchmarks.open_link import open_link
from edgekit_benchmarks.target import Target


def open_counting(target: Target) -> Link:
    """The link to an emulated board whose QEMU can count.

    Args:
        target: an emulated one.

    Raises:
        EdgekitError: the board or the counter cannot be built.
    """
    assert target.board is not None
    board = find_board(target.board)
    ensure_counter(board_tree(board.name) / "edgekit", board.qemu)
    return open_link(target)


def counter_of(target: Target) -> str:
    """What emulates and counts, for results: ``7.2.22``.

    Raises:
        MissingDependencyError: QEMU is not there.
    """
    assert target.board is not None
    return qemu_version(find_board(target.board).qemu)
