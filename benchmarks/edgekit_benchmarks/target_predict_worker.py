"""Predictions over data on targets, for `edgekit.evaluate`; served in a child process here.

Data is read and outputs are scored here; only the file runs there.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.child_main import tell
from edgekit.manifest import read_manifest
from edgekit.predict import Question
from edgekit.predict import predict as run_over_data
from edgekit_benchmarks.on_target import is_emulated, open_target
from edgekit_benchmarks.target_session import TargetSession

if TYPE_CHECKING:
    from edgekit_benchmarks.link import Link

_open = ExitStack()
_links: dict[str, Link] = {}


def describe(path: str) -> dict[str, Any]:
    """What the manifest of a file says: ``preprocess``, ``labels``.

    Raises:
        SourceError: the file is damaged.
    """
    manifest = read_manifest(path) or {}
    return {
        "preprocess": manifest.get("preprocess") or {},
        "labels": manifest.get("labels") or [],
    }


def predict(
    *,
    path: str,
    question: dict[str, Any],
    out: str,
    first: str,
    is_first: bool,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Run the file over the data on the target ``options["target"]``.

    Samples go in one by one unless the file fixes another number; see `edgekit.predict.predict`.

    Raises:
        EdgekitError: as `edgekit_benchmarks.on_target.predict_on`.
    """
    link = _link(options["target"])
    session = TargetSession(link, Path(path), limit_s=options["limit_s"], tell=tell)
    facts = run_over_data(
        session,
        Question.from_dict(question),
        at_once=1,
        out=Path(out),
        first=Path(first),
        is_first=is_first,
    )
    return facts | {"runtime": session.runtime, "emulated": is_emulated(link)}


def close() -> None:
    """Leave all targets."""
    _links.clear()
    _open.close()


def _link(name: str) -> Link:
    if name not in _links:
        tell(f"{name}: connect")
        _links[name] = _open.enter_context(open_target(name))
    return _links[name]
