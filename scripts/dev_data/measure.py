"""Convert a prepared task and score the files, through the command line as anyone would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from dev_data.prepare import Prepared

FORMATS = "tflite,onnx"
PRECISIONS = "float32,float16,dynamic,int8"


def convert(prepared: Prepared, out: Path, *options: str) -> dict[str, Any]:
    """What ``edgekit convert --json`` says; the files are in `out`."""
    wanted = ["--to", FORMATS, "--quantize", PRECISIONS, "--calibrate", f"{prepared.data}:train"]
    command = ["convert", str(prepared.model), *wanted, "-o", str(out), "--force", *options]
    return edgekit(*command, *_preprocess(prepared))


def evaluate(prepared: Prepared, files: list[Path]) -> dict[str, Any]:
    """What ``edgekit evaluate --json`` says of the Keras model and then of `files`."""
    every = [str(path) for path in (prepared.model, *files)]
    task = ["--task", prepared.task.kind]
    return edgekit(
        "evaluate", *every, "--data", f"{prepared.data}:test", *task, *_preprocess(prepared)
    )


def edgekit(*arguments: str) -> dict[str, Any]:
    """One JSON document; exit code 1 is an answer too, if it comes with one."""
    command = [sys.executable, "-m", "edgekit", *arguments, "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.exit(f"edgekit {' '.join(arguments)}: exit {done.returncode}\n{done.stderr[-3000:]}")
    return document


def _preprocess(prepared: Prepared) -> list[str]:
    steps = prepared.task.preprocess
    return ["--preprocess", steps] if steps else []
