#!/usr/bin/env python3
"""Whether ARM gives what this machine gives: results of files here and on boards, bit by bit.

    edgekit targets add-emulated pi4
    python benchmarks/suites/parity.py FILE... --on pi4 [--on pi5] [--samples 16] [--json OUT.json]

FILES are .tflite and .onnx, or folders of them. Those that take images of the demo's size get real
ones, others random numbers from a fixed seed. The table that it prints has a line for each board,
runtime and precision: how many files, the share of numbers with the same bits, the largest
difference in quantization steps and relative to the range of the output, and how many samples keep
their class. A file that does not run in one of the places is told, and left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import edgekit
from edgekit.cli.table import aligned
from edgekit.demo import DATA
from edgekit.errors import EdgekitError

HEAD = (
    "board", "runtime there", "precision", "files", "same bits", "files all alike", "most steps",
    "most, of range", "same class",
)  # fmt: skip
Row = tuple[str, str, str]


def main() -> None:
    """Compare, and print the table."""
    given = _arguments()
    files = sorted(_models(given.files))
    found: dict[Row, list[dict[str, Any]]] = defaultdict(list)
    told = []
    for number, file in enumerate(files, 1):
        print(f"[{number}/{len(files)}] {file.name}", file=sys.stderr)
        data = f"{DATA}:test" if _is_demo(file) else None
        try:
            report = edgekit.verify(
                file, on=given.on, data=data, samples=given.samples, threads=given.threads
            ).to_dict()
        except EdgekitError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        told.append(report)
        for why in _errors(report):
            print(f"left out: {why}", file=sys.stderr)
        for row, outputs in _rows(report):
            found[row].append(_together(outputs))
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n")
    lines = [_line(row, found[row]) for row in sorted(found)]
    if given.markdown:
        for cells in (HEAD, ["---"] * len(HEAD), *lines):
            print(f"| {' | '.join(cells)} |")
    else:
        print("\n".join(aligned([HEAD, *lines], left=(0, 1, 2))))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--on", action="append", required=True)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", action="store_true")
    return parser.parse_args()


def _models(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        inside = path.iterdir() if path.is_dir() else [path]
        yield from (one for one in inside if one.suffix in {".tflite", ".onnx"})


def _is_demo(file: Path) -> bool:
    try:
        (spec,) = edgekit.inspect(file).inputs
    except (EdgekitError, ValueError):
        return False
    return spec.shape[1:] == (28, 28, 1)


def _errors(report: Mapping[str, Any]) -> list[str]:
    (file,) = report["files"]
    return [target["error"] for target in file["targets"] if target["error"]]


def _rows(report: Mapping[str, Any]) -> Iterable[tuple[Row, list[dict[str, Any]]]]:
    (file,) = report["files"]
    for target in file["targets"][1:]:
        outputs = [one for one in target["outputs"] if one["against"] == "here"]
        if outputs:
            yield (target["target"], target["runtime"], file["precision"]), outputs


def _together(outputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of all outputs of a file, the worst."""
    steps = [one["max_steps"] for one in outputs if one["max_steps"] is not None]
    classes = [one["argmax_agreement"] for one in outputs if one["argmax_agreement"] is not None]
    return {
        "equal": sum(one["equal"] for one in outputs),
        "values": sum(one["values"] for one in outputs),
        "steps": max(steps, default=None),
        "relative": max(
            float("inf") if one["relative_error"] is None else one["relative_error"]
            for one in outputs
        ),
        "class": min(classes, default=None),
    }


def _line(row: Row, files: Sequence[Mapping[str, Any]]) -> list[str]:
    equal, values = (sum(one[name] for one in files) for name in ("equal", "values"))
    steps = max((one["steps"] for one in files if one["steps"] is not None), default=None)
    classes = [one["class"] for one in files if one["class"] is not None]
    alike = sum(one["equal"] == one["values"] for one in files)
    return [
        *row,
        str(len(files)),
        f"{int(equal / values * 1000) / 10:.1f} %",
        f"{alike} of {len(files)}",
        "" if steps is None else str(steps),
        f"{max(one['relative'] for one in files):.1g}",
        f"{min(classes):.1%}" if classes else "",
    ]


if __name__ == "__main__":
    main()
