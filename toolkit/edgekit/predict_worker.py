"""Predictions of .tflite and .onnx files; served in a child process without TensorFlow.

Only a data function of the user may import it there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from edgekit import seal
from edgekit.child_main import tell
from edgekit.mapped_file import file_name, map_file
from edgekit.predict import Question
from edgekit.predict import predict as run_over_data
from edgekit.sessions import RuntimeSession, open_session


def describe(path: str) -> dict[str, Any]:
    """What the manifest of a file says: ``preprocess``, ``labels``.

    Raises:
        SourceError: the file is damaged, or is not what it was when it was sealed.
        VerificationError: the runtime refuses it.
    """
    with _open(path) as session:
        manifest = session.manifest
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
    options: dict[str, Any],  # noqa: ARG001 - for plug-ins that load code
) -> dict[str, Any]:
    """Run the file over the data; see `edgekit.predict.predict`.

    Samples go in one by one unless the file fixes another number, as they do on a device: some
    files quantize by the range of all samples that come together, and would be scored wrongly.

    Raises:
        SourceError: the file is damaged, or is not what it was when it was sealed.
        VerificationError: the runtime refuses it, or it fails.
        DataError: the data does not fit it.
        UsageError: no such output.
    """
    tell("loading")
    had_tensorflow = "tensorflow" in sys.modules  # by a data function, for an earlier file
    with _open(path) as session:
        assert had_tensorflow or "tensorflow" not in sys.modules, "runtimes must not import it"
        facts = run_over_data(
            session,
            Question.from_dict(question),
            at_once=1,
            out=Path(out),
            first=Path(first),
            is_first=is_first,
        )
        return facts | {"runtime": session.runtime}


def _open(path: str) -> RuntimeSession:
    """Scores of a file that is not what it was would be taken for those of the model."""
    seal.check(map_file(path), file_name(path))
    return open_session(path)
