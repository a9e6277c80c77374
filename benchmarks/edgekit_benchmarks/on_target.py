"""Predictions of a model file on a target, by the runtime that is there.

predict_on("pi5", "mnist.int8.tflite", [{"image": image}]).outputs[0]["scores"]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit_benchmarks.open_link import open_link
from edgekit_benchmarks.target import Target
from edgekit_benchmarks.target_file import find_target
from edgekit_benchmarks.target_session import TargetSession

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit_benchmarks.link import Link

_ASK_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What a file gave on a target."""

    outputs: tuple[dict[str, NDArray[Any]], ...]
    """Real numbers by the output's name, for each call."""
    runtime: str
    """Package and version there."""
    emulated: bool
    """Whether the target is an emulated board."""


def open_target(target: str | Target) -> Link:
    """A link to a target, to be closed.

    Args:
        target: or its name, as for ``--on``.

    Raises:
        UsageError: there is no such target.
        TargetError: no connection, no Python there, or no space.
    """
    return open_link(find_target(target) if isinstance(target, str) else target)


def is_emulated(link: Link) -> bool:
    """Whether the target says that it is an emulated board."""
    return bool(link.request("facts", timeout_s=_ASK_S).get("emulated"))


def predict_on(
    target: str | Target,
    file: str | os.PathLike[str],
    calls: Iterable[Mapping[str, NDArray[Any]]],
    *,
    threads: int = 1,
    backend: str = "auto",
    limit_s: float = 3600.0,
    tell: Callable[[str], None] | None = None,
) -> Predictions:
    """Run a file there, each call by itself: real numbers in, real numbers out.

    Quantized inputs and outputs are turned into integers and back here, as `edgekit.load` does.

    Args:
        target: or its name, as for ``--on``.
        file: a ``.tflite`` or ``.onnx`` file.
        calls: an array for each input by its name, ``(batch, …)``.
        threads: of the runtime.
        backend: the runtime there; ``auto`` takes the first that is installed.
        limit_s: how long a request may take, at most.
        tell: told about the progress.

    Raises:
        UsageError: there is no such target, or a file that targets do not run.
        TargetError: no connection, no Python there, or no space.
        SourceError: the file is damaged.
        DataError: an array does not fit its input.
        VerificationError: the runtime there refuses the file, or fails.
        MissingDependencyError: there is no runtime for it there.
        CrashError: the runtime there died, or the link broke.
    """
    with open_target(target) as link:
        session = TargetSession(
            link, Path(file), threads=threads, backend=backend, limit_s=limit_s, tell=tell
        )
        made = session.run_each(list(calls))
        return Predictions(outputs=tuple(made), runtime=session.runtime, emulated=is_emulated(link))
