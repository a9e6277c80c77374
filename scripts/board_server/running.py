"""Commands that must succeed."""

from __future__ import annotations

import subprocess


class BoardError(Exception):
    """Something a person can act on; one line."""


def run(*words: object) -> str:
    """What a command prints."""
    argv = [str(word) for word in words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{' '.join(argv[:4])} …: {done.stderr.strip() or done.returncode}"
        raise BoardError(message)
    return done.stdout
