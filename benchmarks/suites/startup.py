#!/usr/bin/env python3
"""How long `edgekit --help` and `edgekit inspect` of a 4 MB file take, against a bare import.

    python benchmarks/suites/startup.py

Each round times one process of each in turn, in an order that rotates, so that a slow minute of the
machine hits all three: ``python -c "import numpy, click"``, ``edgekit --help``, and ``edgekit
inspect`` of a `.tflite` of 4 MB with 60 convolutions, which is made here. The judgement is on the
median of the rounds' ratios. Exit code 1: a bar is missed; 3: a command did not run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RATIO_BAR = 2.0
"""Highest allowed median ratio, edgekit over the bare import."""
ROUNDS = 21
WARM_UP_ROUNDS = 2
_LAYERS = 60
_CHANNELS = 128
_BARE = "import numpy, click"


def make_model(path: Path) -> None:
    """Write a float `.tflite` of 4 MB: a chain of 1x1 convolutions with random weights."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    random = np.random.default_rng(1)
    graph = schema.SubGraphT()
    buffers = [schema.BufferT()]
    graph.operators, graph.tensors = [], [_tensor(schema, "image", (1, 8, 8, _CHANNELS), 0)]
    for layer in range(_LAYERS):
        weights = random.standard_normal((_CHANNELS, 1, 1, _CHANNELS), np.float32)
        buffers.append(schema.BufferT())
        buffers[-1].data = np.frombuffer(weights.tobytes(), np.uint8)
        made = len(graph.tensors)
        graph.tensors += [
            _tensor(schema, f"kernel_{layer}", weights.shape, len(buffers) - 1),
            _tensor(schema, f"layer_{layer}", (1, 8, 8, _CHANNELS), 0),
        ]
        operator = schema.OperatorT()
        operator.inputs = np.array([made - 1 if layer else 0, made, -1], np.int32)
        operator.outputs = np.array([made + 1], np.int32)
        operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
        operator.builtinOptions = schema.Conv2DOptionsT()
        graph.operators.append(operator)
    graph.inputs = np.array([0], np.int32)
    graph.outputs = np.array([len(graph.tensors) - 1], np.int32)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = buffers
    builder = flatbuffers.Builder(1 << 22)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def _tensor(schema: Any, name: str, shape: tuple[int, ...], buffer: int) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name.encode(), np.array(shape, np.int32), buffer
    return tensor


def time_command(command: list[str]) -> float:
    """Wall seconds of one process, from start to end."""
    started = time.perf_counter()
    finished = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    elapsed = time.perf_counter() - started
    if finished.returncode:
        tail = finished.stderr.decode(errors="replace").strip().splitlines()[-1:]
        print(f"{' '.join(command)}: exit code {finished.returncode}: {tail}", file=sys.stderr)
        raise SystemExit(3)
    return elapsed


def measure(commands: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Times of each command, one a round, the order rotating from round to round."""
    names = list(commands)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(WARM_UP_ROUNDS + rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            elapsed = time_command(commands[name])
            if number >= WARM_UP_ROUNDS:
                times[name].append(elapsed)
    return times


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--model", type=Path, help="a .tflite to inspect instead of the made one")
    parser.add_argument("--json", action="store_true", help="one JSON document with all times")
    options = parser.parse_args()
    if options.rounds < 3:
        parser.error("--rounds must be at least 3")
    edgekit = str(Path(sys.executable).with_name("edgekit"))
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or Path(folder, "model.tflite")
        if options.model is None:
            make_model(model)
        size_bytes = model.stat().st_size
        commands = {
            "bare import": [sys.executable, "-c", _BARE],
            "edgekit --help": [edgekit, "--help"],
            "edgekit inspect": [edgekit, "inspect", str(model)],
        }
        times = measure(commands, options.rounds)
    base = times["bare import"]
    ratios = {
        name: [own / bare for own, bare in zip(values, base, strict=True)]
        for name, values in times.items()
        if name != "bare import"
    }
    missed = [name for name, own in ratios.items() if statistics.median(own) > RATIO_BAR]
    if options.json:
        document = {
            "schema_version": 1,
            "rounds": options.rounds,
            "model_size_bytes": size_bytes,
            "ratio_bar": RATIO_BAR,
            "wall_s": times,
            "ratios": ratios,
            "missed": missed,
        }
        print(json.dumps(document, indent=2))
        return 1 if missed else 0
    print(f"{options.rounds} rounds, interleaved; model of {size_bytes:,} bytes")
    for name, values in times.items():
        low, middle, high = _quartiles([1000 * value for value in values])
        line = f"{name:<16} median {middle:4.0f} ms, half of them within {low:4.0f}..{high:4.0f} ms"
        if name in ratios:
            low, middle, high = _quartiles(ratios[name])
            verdict = "missed" if name in missed else "met"
            line += f"; ratio {middle:.2f} ({low:.2f}..{high:.2f}), bar {RATIO_BAR:g}: {verdict}"
        print(line)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
