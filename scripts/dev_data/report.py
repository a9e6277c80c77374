"""docs/accuracy.md, from the scores of all tasks."""

from __future__ import annotations

import platform
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from dev_data.score import Score
from dev_data.task import Task

_PACKAGES = (
    "tensorflow",
    "keras",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "onnxruntime",
    "tf2onnx",
)

_LEGEND = """
Every file is scored by the runtime of the device (LiteRT, ONNX Runtime) on the same test samples as
the Keras model. Intervals of accuracies are Wilson's, those of errors are bootstrapped. *Changed*
counts predictions that differ from those of the Keras model. *p* is McNemar's, exact: how often
chance alone would make two equally good models differ this much. At its threshold of 0.05, one of
twenty equal files looks different: judge a single *worse* by its size, too. *Check* is what
`edgekit convert` found on its own, on a few calibration samples and without labels.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Everything about one task."""

    task: Task
    samples: int
    """Test samples."""
    scores: Sequence[Score]
    refused: Sequence[Mapping[str, str]]
    """What convert would not make: ``format``, ``precision``, ``error``."""


def promises(results: Sequence[Result]) -> tuple[list[str], bool]:
    """Whether float files equal Keras, and int8 keeps within half a point; and whether all hold."""
    classified = [r for r in results if r.task.kind == "classification"]
    float32 = [s for r in classified for s in r.scores if s.precision == "float32"]
    int8 = [s for r in classified for s in r.scores if s.precision == "int8"]
    others = [s for r in classified for s in r.scores if s.precision in ("float16", "dynamic")]
    unequal = [s for s in float32 if s.verdict != "equal"]
    lost = [s for s in int8 if s.lost_too_much]
    silent = [s for s in lost if s.status == "passed"]
    lines = [
        _promise(
            f"Float files equal Keras: all predictions of {len(float32)} float32 files",
            [
                f"{s.name} changes {s.measured['against_first']['changed']['count']}"
                for s in unequal
            ],
        ),
        _promise(
            "int8 is within 0.5 point of Keras wherever the difference can be told from chance: "
            f"{len(int8)} int8 files",
            [f"{s.name} loses {100 * (s.loss or 0):.2f} points, p {_p(s)}" for s in lost],
        ),
        _promise(
            "Where int8 is not, `edgekit convert` says so itself: "
            + (f"{len(lost)} such files" if lost else "no such file"),
            [f"{s.name} is called {s.status}" for s in silent],
        ),
        _promise(
            f"The same of float16 and dynamic: {len(others)} files within 0.5 point",
            [
                f"{s.name} loses {100 * (s.loss or 0):.2f} points, p {_p(s)}, is called {s.status}"
                for s in others
                if s.lost_too_much
            ],
        ),
    ]
    return lines, not unequal and not silent


def text(results: Sequence[Result], command: str) -> str:
    """The whole page."""
    lines, _ = promises(results)
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return "\n".join(
        [
            "# Accuracy on the development data sets",
            "",
            *_wrapped(
                f"Written by `{command}`; do not edit. Small models on small real data sets: "
                "they show what conversion does to trained models, and are no benchmark of them."
            ),
            *_wrapped(f"{machine}; {versions}."),
            *lines,
            "",
            *_wrapped(_LEGEND),
            *(line for result in results for line in _section(result)),
        ]
    )


def _section(result: Result) -> list[str]:
    task = result.task
    rows = _classified(result) if task.kind == "classification" else _regressed(result)
    notes = [f"- `{s.name}`: {note}" for s in result.scores for note in s.notes]
    refused = [
        f"- {failure['format']} {failure['precision']} was refused: {failure['error']}"
        for failure in result.refused
    ]
    title = f"{task.name}: {task.about}; {result.samples:,} test samples"
    return [f"## {title}", "", *rows, "", *notes, *refused, *([""] if notes or refused else [])]


def _classified(result: Result) -> list[str]:
    rows = [
        "| file | bytes | accuracy, 95 % | points vs Keras | changed | p | check | shown |",
        "| --- | ---: | --- | ---: | ---: | ---: | --- | --- |",
    ]
    for score in result.scores:
        against = score.measured["against_first"]
        compared = (
            f"{-100 * (score.loss or 0):+.2f} | {against['changed']['count']} | {_p(score)}"
            if against
            else " | | "
        )
        rows.append(
            f"| {score.name} | {score.size_bytes:,} | {_share(score.measured['accuracy'])} "
            f"| {compared} | {score.status} | {score.verdict} |"
        )
    return rows


def _regressed(result: Result) -> list[str]:
    rows = [
        "| file | bytes | MAE, 95 % | RMSE, 95 % | MAE vs Keras | check | shown |",
        "| --- | ---: | --- | --- | ---: | --- | --- |",
    ]
    for score in result.scores:
        against = score.measured["against_first"]
        difference = f"{against['difference']['value']:+.2g}" if against else ""
        rows.append(
            f"| {score.name} | {score.size_bytes:,} | {_error(score.measured['mae'])} "
            f"| {_error(score.measured['rmse'])} | {difference} | {score.status} "
            f"| {score.verdict} |"
        )
    return rows


def _wrapped(prose: str) -> list[str]:
    return [*textwrap.wrap(prose.strip(), 120), ""]


def _promise(claim: str, broken: Sequence[str]) -> str:
    return f"- {claim}: **no**: {'; '.join(broken)}." if broken else f"- {claim}: **yes**."


def _p(score: Score) -> str:
    p = score.measured["against_first"]["p_value"]
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def _share(value: Mapping[str, Any]) -> str:
    return f"{value['value']:.2%} [{value['low']:.2%}, {value['high']:.2%}]"


def _error(value: Mapping[str, Any]) -> str:
    return f"{value['value']:.4g} [{value['low']:.4g}, {value['high']:.4g}]"
