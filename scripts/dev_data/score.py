"""One scored file, and what its score shows about the two promises that are checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIGNIFICANCE = 0.05
ALLOWED_LOSS = 0.005
"""Half a point: what int8 may lose of the accuracy of the Keras model."""
ROUNDING = 1e-5
"""Outputs of a regression that differ less than this, relatively, are equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A file of a task, as evaluate and convert described it; the first file is the Keras model."""

    name: str
    precision: str
    """``keras`` for the original."""
    size_bytes: int
    measured: dict[str, Any]
    """What ``edgekit evaluate --json`` says of the file."""
    status: str
    """What ``edgekit convert --json`` says of its verification; empty for the original."""
    notes: tuple[str, ...]

    @property
    def loss(self) -> float | None:
        """Accuracy of the Keras model minus that of this file; None for a regression."""
        against = self.measured["against_first"]
        if against is None or self.measured["accuracy"] is None:
            return None
        return -float(against["difference"]["value"])

    @property
    def is_different(self) -> bool:
        """Whether the difference to the Keras model can be told from chance."""
        against = self.measured["against_first"]
        if against is None:
            return False
        if against["p_value"] is None:
            return bool(against["significant"])
        return bool(against["p_value"] < SIGNIFICANCE)

    @property
    def lost_too_much(self) -> bool:
        """Over half a point of accuracy lost, and not by chance."""
        return self.is_different and self.loss is not None and self.loss > ALLOWED_LOSS

    @property
    def verdict(self) -> str:
        """What the numbers show, in words."""
        against = self.measured["against_first"]
        if against is None:
            return "the original"
        changed = against["changed"]
        if changed is None and against["relative_difference"] < ROUNDING:
            return "equal"
        if changed is not None and changed["count"] == 0:
            return "equal"
        if not self.is_different:
            return "no difference shown"
        if self.lost_too_much:
            return "**worse by over half a point**"
        better = self.loss < 0 if self.loss is not None else against["difference"]["value"] < 0
        return "better" if better else "worse, within half a point" if self.loss else "worse"


def scores(conversion: dict[str, Any], evaluation: dict[str, Any]) -> list[Score]:
    """Join the two documents by path; the Keras model is first.

    Raises:
        ValueError: a file could not be scored.
    """
    made = {artifact["path"]: artifact for artifact in conversion["artifacts"]}
    joined = []
    for measured in evaluation["files"]:
        if measured["error"] is not None:
            message = f"{measured['path']}: {measured['error']}"
            raise ValueError(message)
        artifact = made.get(measured["path"])
        joined.append(
            Score(
                name=Path(measured["path"]).name,
                precision=artifact["precision"] if artifact else "keras",
                size_bytes=measured["size_bytes"],
                measured=measured,
                status=artifact["verification"]["status"] if artifact else "",
                notes=tuple(artifact["notes"]) if artifact else (),
            )
        )
    return joined
