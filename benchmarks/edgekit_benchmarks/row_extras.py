"""What rows have besides latencies: accuracy, and the whole way from a picture to its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.child import Child
from edgekit.errors import EdgekitError
from edgekit.scoring import evaluate
from edgekit_benchmarks.input_rows import Feed
from edgekit_benchmarks.model_file import ModelFile
from edgekit_benchmarks.telling import Report

_SECONDS = 1.0


def accuracies(
    files: Sequence[ModelFile], data: str, preprocess: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Score files on labelled samples, on this machine.

    Args:
        files: each is scored.
        data: a data source as on the command line.
        preprocess: texts as on the command line.

    Returns:
        By path: ``metric``, ``value``, ``low`` and ``high`` (the 95 % interval), ``samples``,
        ``data``. Files that give no classes, or cannot be scored, have none.

    Raises:
        EdgekitError: the first file cannot be scored.
    """
    found = evaluate([file.path for file in files], data=data, preprocess=preprocess)
    told = {}
    for file, score in zip(files, found.files, strict=True):
        if score.accuracy is not None:
            told[str(file.path)] = {
                "metric": "accuracy",
                **score.accuracy.to_dict(),
                "data": data,
            }
    return told


def whole_ways(
    files: Sequence[ModelFile], feeds: Mapping[str, Feed], threads: Sequence[int], report: Report
) -> dict[tuple[str, int], dict[str, float]]:
    """Preparation and the whole way on this machine, by path and threads.

    Only where the inputs are pictures in files; what cannot be measured is noted, and left out.
    """
    told: dict[tuple[str, int], dict[str, float]] = {}
    for file in files:
        feed = feeds[file.sha256]
        if file.kind == "keras" or not feed.pictures:
            continue
        with Child("edgekit_benchmarks.whole_way", advice="try another runtime") as child:
            for count in dict.fromkeys(threads):
                report.detail(f"{file.path.name} from pictures to classes")
                try:
                    told[str(file.path), count] = child.call(
                        "measure",
                        path=str(file.path),
                        pictures=[str(path.resolve()) for path in feed.pictures],
                        steps=dict(feed.steps),
                        threads=count,
                        seconds=_SECONDS,
                    )
                except EdgekitError as error:
                    report.note(f"the way from pictures to classes was not timed: {error}")
    return told
