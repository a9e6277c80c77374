"""Prune by the command line, make files of both models, score and time them side by side."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .tasks import Task

PRECISIONS = ("float32", "int8")
BENCH_SECONDS = "3"
CUT = ("structured", "faster")
"""Kinds of results whose channels are cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The files of one precision: of the original, and of the pruned model."""

    precision: str
    size_bytes: tuple[int, int]
    gzip_bytes: tuple[int, int]
    p50_ns: tuple[float, float]
    ratio: Span
    """p50 of the second over that of the first, in turn."""
    accuracy: tuple[Span, Span]
    difference: Span
    """Of the accuracies, on the same samples."""
    changed: float
    """Share of the samples that get another class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One model pruned one way."""

    task: str
    about: str
    kind: str
    """``structured``, ``faster``, ``zeros``, or ``clusters``."""
    options: str
    """Of ``edgekit prune``, without the data and the training."""
    samples: int
    parameters: tuple[int, int]
    macs: tuple[int, int]
    prune_s: float
    pairs: tuple[Pair, ...]
    cpu: str
    runtime: str
    doubts: tuple[str, ...]

    def pair(self, precision: str) -> Pair:
        """The files of that precision."""
        return next(pair for pair in self.pairs if pair.precision == precision)


def result(task: Task, kind: str, options: tuple[str, ...], cache: Path, *, reuse: bool) -> Result:
    """Prune `task` with `options`, and measure; `reuse` what is there already."""
    folder = folder_of(cache, task.name, kind)
    folder.mkdir(parents=True, exist_ok=True)
    pruned = kept(folder / "prune.json", reuse, lambda: prune(task, options, folder))
    models = {"original": task.model, "pruned": Path(pruned["path"])}
    made = {}
    for name, model in models.items():
        convert = partial(files, model, task, folder / name)
        made[name] = kept(folder / f"{name}.json", reuse, convert)
    paths = [one["path"] for conversion in made.values() for one in conversion["artifacts"]]
    scores = kept(folder / "scores.json", reuse, lambda: score(paths, task))
    times = kept(folder / "times.json", reuse, lambda: bench(paths))
    return _result(task, kind, options, pruned, made, scores, times)


def forget_times(cache: Path, name: str) -> None:
    """Remove the times that were kept of all runs of a model, to be taken anew."""
    for path in (cache / "pruned").glob(f"{name}.*/times.json"):
        path.unlink()


def prune(task: Task, options: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """What ``edgekit prune --json`` says, and how long it took; the model is in `folder`."""
    started = time.monotonic()
    on_data = ["--data", f"{task.data}:train", "--test", f"{task.data}:test", *task.on_data]
    out = ["-o", str(folder / "pruned.keras"), "--force"]
    told = edgekit("prune", str(task.model), *on_data, *task.training, *options, *out)
    return told | {"seconds": time.monotonic() - started}


def files(model: Path, task: Task, folder: Path, *options: str) -> dict[str, Any]:
    """What ``edgekit convert --json`` says of the float32 and int8 TFLite files."""
    wanted = ["--to", "tflite", "--quantize", ",".join(PRECISIONS), "-o", str(folder), "--force"]
    data = ["--calibrate", f"{task.data}:train", *task.on_data]
    return edgekit("convert", str(model), *wanted, *data, *options)


def score(paths: list[str], task: Task) -> dict[str, Any]:
    """What ``edgekit evaluate --json`` says of each precision, the original's file first."""
    told = {}
    for precision in PRECISIONS:
        pair = [path for path in paths if f".{precision}." in path]
        data = ["--data", f"{task.data}:test", "--task", "classification", *task.on_data]
        told[precision] = edgekit("evaluate", *pair, *data)
    return told


def bench(paths: list[str]) -> dict[str, Any]:
    """What ``edgekit bench --json`` says, without the single samples."""
    told = edgekit("bench", *paths, "--time", BENCH_SECONDS)
    rows = [
        {name: row[name] for name in ("path", "p50_ns", "valid", "doubts", "runtime")}
        for row in told["rows"]
    ]
    machine = told["targets"]["local"]
    return {
        "rows": rows,
        "ratios": told["ratios"],
        "cpu": machine["facts"]["cpu"],
        "doubts": machine["doubts"],
    }


def edgekit(*arguments: str) -> dict[str, Any]:
    """One JSON document; another exit code than 0 is an answer too, if it comes with one."""
    command = [sys.executable, "-m", "edgekit", *arguments, "--json"]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.exit(f"edgekit {' '.join(arguments)}: exit {done.returncode}")
    return document


def folder_of(cache: Path, name: str, kind: str) -> Path:
    """Where what is made of a model that way is kept."""
    return cache / "pruned" / f"{name}.{kind}"


def kept(path: Path, reuse: bool, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What is in the file at `path`; it is made where it is missing, or not to be used again."""
    if not (reuse and path.exists()):
        path.write_text(json.dumps(make(), indent=1))
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def _result(
    task: Task,
    kind: str,
    options: tuple[str, ...],
    pruned: dict[str, Any],
    made: dict[str, dict[str, Any]],
    scores: dict[str, Any],
    times: dict[str, Any],
) -> Result:
    parameters, macs = pruned["parameters"], pruned["multiply_adds"] or pruned["parameters"]
    return Result(
        task=task.name,
        about=task.about,
        kind=kind,
        options=" ".join(options),
        samples=scores["float32"]["data"]["samples"],
        parameters=(parameters["before"], parameters["after"]),
        macs=(macs["before"], macs["after"]),
        prune_s=pruned["seconds"],
        pairs=tuple(_pair(precision, made, scores[precision], times) for precision in PRECISIONS),
        cpu=times["cpu"],
        runtime=times["rows"][0]["runtime"],
        doubts=tuple(times["doubts"]),
    )


def _pair(
    precision: str, made: dict[str, dict[str, Any]], scores: dict[str, Any], times: dict[str, Any]
) -> Pair:
    first, second = both(precision, made)
    ratio, p50_before, p50_after = ratio_of(first, second, times)
    before, after = scores["files"]
    against = after["against_first"]
    return Pair(
        precision=precision,
        size_bytes=(first["size_bytes"], second["size_bytes"]),
        gzip_bytes=(first["gzip_bytes"], second["gzip_bytes"]),
        p50_ns=(p50_before, p50_after),
        ratio=ratio,
        accuracy=(_span(before["accuracy"]), _span(after["accuracy"])),
        difference=_span(against["difference"]),
        changed=against["changed"]["value"],
    )


def both(precision: str, made: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The file of the original, and that of the other model."""
    return tuple(
        next(one for one in made[name]["artifacts"] if one["precision"] == precision)
        for name in ("original", "pruned")
    )


def ratio_of(
    first: dict[str, Any], second: dict[str, Any], times: dict[str, Any]
) -> tuple[Span, float, float]:
    """p50 of the second over that of the first, and both."""
    rows = [row["path"] for row in times["rows"]]
    at, to = rows.index(second["path"]), rows.index(first["path"])
    ratio = next(one for one in times["ratios"] if (one["row"], one["to"]) == (at, to))
    return _span(ratio), times["rows"][to]["p50_ns"], times["rows"][at]["p50_ns"]


def _span(found: dict[str, Any]) -> Span:
    return Span(value=found["value"], low=found["low"], high=found["high"])
