"""What is told to the user, and how what libraries say is shortened to it."""

from __future__ import annotations

import re


class Refused(Exception):  # noqa: N818 - it becomes the error class that `kind` names
    """A message for the user: ``subject: what is wrong; what to do``."""

    def __init__(self, message: str, kind: str) -> None:
        """Say it; `kind` names the class of edgekit.errors that it is."""
        super().__init__(message)
        self.kind = kind

    def as_dict(self) -> dict[str, str]:
        """For the wire."""
        return {"kind": self.kind, "message": str(self)}


class Gone(Exception):  # noqa: N818 - the end, not an error
    """The other side went away."""


def first_line(error: BaseException) -> str:
    """What a library says, without the rest of its book."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)[:200]
