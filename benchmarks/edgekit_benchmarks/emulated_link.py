"""An emulated board of this machine that answers as any other device does."""

from __future__ import annotations

from edgekit_benchmarks.emulated import board_launcher, scratch_folder
from edgekit_benchmarks.link import LocalLink
from edgekit_benchmarks.target import Target

_SILENCE_S = 60.0
"""Python under QEMU is slow to start, and slower when several boards share the machine."""


class EmulatedLink(LocalLink):
    """The agent, and all that it starts, run under QEMU; files are used where they are."""

    def __init__(self, target: Target, *, root: str | None = None) -> None:
        """Build the board if it is not there, with a line that says so; and start an agent on it.

        Args:
            target: an emulated one.
            root: what stands for ``/`` when the agent reads the board's facts, for tests.

        Raises:
            EdgekitError: it cannot be built; see `edgekit_benchmarks.emulated.board_tree`.
            CrashError: the agent does not start.
        """
        assert target.board is not None
        super().__init__(
            target.name,
            python=str(board_launcher(target.board)),
            root=root,
            silence_s=_SILENCE_S,
            environment={"TMPDIR": str(scratch_folder(target.board))},
        )
