"""An emulated Raspberry Pi on this machine that one logs in to, and edgekit as a user runs it.

    board = SshBoard(tmp_path, "pi4", "--cable")
    board.start()
    print(board.edgekit("targets", "check", "pi").stdout)

The board is the target ``pi`` in a file of targets of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "scripts/ssh_board"


class SshBoard:
    """One, with the target that leads to it."""

    def __init__(self, folder: Path, name: str, *options: str) -> None:
        """Nothing runs yet; options are those of ``ssh_board start``."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder / "board"
        self.name = name
        self.url = ""
        self._options = options
        self.environment = {
            **os.environ,
            "EDGEKIT_SSH": f"ssh -F {self.folder}/ssh_config",
            "EDGEKIT_TARGETS": str(folder / "targets.toml"),
        }

    def script(self, do: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``ssh_board``."""
        return subprocess.run(
            [sys.executable, str(SCRIPT), do, str(self.folder), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,  # it may build the board
        )

    def start(self) -> None:
        """Switch it on.

        Raises:
            RuntimeError: with what was said.
        """
        done = self.script("start", self.name, *self._options)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        self.url = done.stdout.strip()
        self.edgekit("targets", "add", "pi", self.url, "--force")

    def stop(self) -> None:
        """Switch it off."""
        done = self.script("stop")
        assert done.returncode == 0, done.stderr

    def edgekit(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run edgekit's command, which must end with this code."""
        with self.begin(*words) as process:
            out, errors = process.communicate(timeout=600)
        assert process.returncode == code, f"{process.returncode}: {out}{errors}"
        return subprocess.CompletedProcess(words, process.returncode, out, errors)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """The same, while one does something else."""
        return subprocess.Popen(
            [sys.executable, "-m", "edgekit", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def ssh(self, command: str) -> str:
        """What a command there prints."""
        words = ["ssh", "-F", f"{self.folder}/ssh_config", "board", command]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def check(self, *, code: int = 0) -> dict[str, Any]:
        """What ``targets check`` tells: ``facts``, and the checks by their names."""
        said = json.loads(self.edgekit("targets", "check", "pi", "--json", code=code).stdout)
        found: dict[str, Any] = said["targets"][0]
        found["checks"] = {one["name"]: one for one in found["checks"]}
        return found
