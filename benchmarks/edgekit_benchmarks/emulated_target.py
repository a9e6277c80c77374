"""An emulated board under a name, as `edgekit targets add-emulated` makes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import EdgekitError, OutputError
from edgekit.progress import Progress
from edgekit_benchmarks.board import find_board
from edgekit_benchmarks.counter import ensure_counter
from edgekit_benchmarks.emulated import STEPS, board_tree, existing_tree
from edgekit_benchmarks.target import Target, check_name
from edgekit_benchmarks.target_file import add_target, read_targets


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatedTarget:
    """A target, and the tree that it runs in."""

    target: Target
    tree: Path
    built: bool
    """Whether it was not there before."""


def add_emulated(
    board: str,
    *,
    name: str | None = None,
    sources: Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> EmulatedTarget:
    """Build a board unless it is there, and give it a name.

    Args:
        board: of `edgekit_benchmarks.board.BOARDS`.
        name: of the target; the board's, if None.
        sources: apt's, instead of this system's.
        force: build it anew, and replace a target of the same name.
        progress: told what is done, in up to `edgekit_benchmarks.emulated.STEPS` steps.

    Raises:
        UsageError: there is no such board, or this can be no name.
        OutputError: the name is another target's, or there is no space.
        MissingDependencyError: a program is missing here.
        TargetError: a package cannot be had.
        SourceError: apt has no sources; or the file of targets cannot be read.
    """
    target = Target(name=check_name(name or board), url=f"emulated://{board}")
    other = read_targets().get(target.name)
    if other is not None and other.url != target.url and not force:
        message = f"{target.name}: is {other.url} already; choose another --name, or add --force"
        raise OutputError(message)
    progress = progress or Progress(STEPS, enabled=False)
    before = None if force else existing_tree(board)
    tree = board_tree(board, sources=sources, anew=force, progress=progress)
    try:
        ensure_counter(tree / "edgekit", find_board(board).qemu)
    except EdgekitError as error:
        progress.note(f"{board}: instructions cannot be counted: {error}")
    if other is None or other.url != target.url:
        add_target(target, force=force)
    return EmulatedTarget(target=target, tree=tree, built=tree != before)
