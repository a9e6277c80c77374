#!/usr/bin/env python3
"""What one call of `edgekit.load(...)` costs over the bare runtime, side by side in one process.

    python benchmarks/suites/runtime_calls.py

One thread. Raw is what an expert writes: bound methods, indices and names looked up beforehand,
and NumPy's fastest arithmetic where a file takes integers. All ways take turns of 2 ms, in an order
that rotates; what counts is the difference within a turn. The interval holds the true median in 95
of 100 cases. Bars: a call on a tiny model costs at most 2 µs more than raw and less than the
vendor's signature runner; on ONNX with `out=` less than `InferenceSession.run`; on MobileNetV2 at
most 1 % more. Exit code 1: a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgekit
from edgekit_benchmarks.paired import Block, Median, differences, ratios, take_turns
from edgekit_benchmarks.runtime_models import ensure, path_of, sample

TURNS = 301
LARGE_TURNS = 61
CALL_BAR_US = 2.0
LARGE_BAR = 1.01
_BATCH = 8

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What must hold of a way, compared with another."""

    way: str
    to: str
    at_most_us: float | None = None
    """Difference; None where the ratio counts."""
    ratio: float = 1.0

    def judge(self, taken: dict[str, list[float]]) -> tuple[str, bool]:
        """The line to print, and whether it holds."""
        if self.at_most_us is not None:
            found, unit, bar = differences(taken[self.way], taken[self.to]), 1000.0, self.at_most_us
            told = f"{self.way} is {found.value / unit:+.2f} µs to {self.to}"
            bound = f"at most {bar:+.1f} µs"
        else:
            found, unit, bar = ratios(taken[self.way], taken[self.to]), 1.0, self.ratio
            told = f"{self.way} is {found.value:.4f} x {self.to}"
            bound = f"at most {bar:g}" if bar != 1 else "less"
        holds = found.value <= bar * unit if bar != 1 else found.value < 1
        shown = found.high <= bar * unit if holds else found.low > bar * unit
        verdict = ("met" if holds else "MISSED") + ("" if shown else ", within the noise")
        digits = 2 if unit > 1 else 4
        interval = f"[{found.low / unit:.{digits}f}, {found.high / unit:.{digits}f}]"
        return f"{told} {interval}; bar: {bound}: {verdict}", holds


# ---- TensorFlow Lite ------------------------------------------------------------------------


def _interpreter(path: Path) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        from tflite_runtime.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def raw_tflite(path: Path, arrays: list[Array]) -> Block:
    """set_tensor, invoke, get_tensor, on arrays of the stored dtypes."""
    interpreter = _interpreter(path)
    indices = [detail["index"] for detail in interpreter.get_input_details()]
    if len(arrays) > 1:  # in the order of the arrays
        runner = interpreter.get_signature_runner()
        of_name = {name: detail["index"] for name, detail in runner.get_input_details().items()}
        indices = [of_name[name] for name in ("image", "sensor")]
        del runner
    out = [detail["index"] for detail in interpreter.get_output_details()]
    set_tensor, invoke, get_tensor = (
        interpreter.set_tensor,
        interpreter.invoke,
        interpreter.get_tensor,
    )
    if len(arrays) == len(out) == 1:
        (index,), (array,), (made,) = indices, arrays, out

        def one(calls: int) -> None:
            for _ in repeat(None, calls):
                set_tensor(index, array)
                invoke()
                get_tensor(made)

        return one
    (first, second), (a, b), (x, y) = indices, arrays, out

    def two(calls: int) -> None:
        for _ in repeat(None, calls):
            set_tensor(first, a)
            set_tensor(second, b)
            invoke()
            get_tensor(x)
            get_tensor(y)

    return two


def raw_tflite_real(path: Path, real: Array) -> Block:
    """The same for a file that takes and gives int8, with the arithmetic in NumPy."""
    interpreter = _interpreter(path)
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    index, out = given["index"], made["index"]
    scale, zero = (np.float32(given["quantization"][0]), np.float32(given["quantization"][1]))
    scale_out, zero_out = (np.float32(made["quantization"][0]), made["quantization"][1])
    set_tensor, invoke, get_tensor = (
        interpreter.set_tensor,
        interpreter.invoke,
        interpreter.get_tensor,
    )
    divide, rint, clip = np.divide, np.rint, np.clip
    low, high, int8, float32 = np.float32(-128), np.float32(127), np.int8, np.float32

    def block(calls: int) -> None:
        for _ in repeat(None, calls):
            stored = divide(real, scale)
            rint(stored, stored)
            stored += zero
            clip(stored, low, high, stored)
            set_tensor(index, stored.astype(int8))
            invoke()
            result = get_tensor(out).astype(float32)
            result -= zero_out
            result *= scale_out

    return block


def signature_runner(path: Path, arrays: list[Array]) -> Block:
    """The vendor's own convenience."""
    runner = _interpreter(path).get_signature_runner()
    named = dict(zip(runner.get_input_details(), arrays, strict=True))

    def block(calls: int) -> None:
        for _ in repeat(None, calls):
            runner(**named)

    return block


# ---- ONNX -----------------------------------------------------------------------------------


def _onnx(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def raw_onnx(path: Path, arrays: list[Array]) -> Block:
    """InferenceSession.run, on arrays of the stored dtypes."""
    session = _onnx(path)
    names = [node.name for node in session.get_outputs()]
    inputs = [node.name for node in session.get_inputs()]
    run = session.run
    if len(inputs) == 1:
        (name,), (array,) = inputs, arrays

        def one(calls: int) -> None:
            for _ in repeat(None, calls):
                run(names, {name: array})

        return one
    (first, second), (a, b) = ("image", "sensor"), arrays

    def two(calls: int) -> None:
        for _ in repeat(None, calls):
            run(names, {first: a, second: b})

    return two


def raw_onnx_real(path: Path, real: Array) -> Block:
    """The same for a file that takes and gives int8, with the arithmetic in NumPy."""
    session = _onnx(path)
    names, name, run = [session.get_outputs()[0].name], session.get_inputs()[0].name, session.run
    with edgekit.load(path) as model:
        given, made = model.inputs[0].quantization, model.outputs[0].quantization
    assert given is not None
    assert made is not None
    scale, zero = np.float32(given.scale[0]), np.float32(given.zero_point[0])
    scale_out, zero_out = np.float32(made.scale[0]), made.zero_point[0]
    divide, rint, clip = np.divide, np.rint, np.clip
    low, high, int8, float32 = np.float32(-128), np.float32(127), np.int8, np.float32

    def block(calls: int) -> None:
        for _ in repeat(None, calls):
            stored = divide(real, scale)
            rint(stored, stored)
            stored += zero
            clip(stored, low, high, stored)
            result = run(names, {name: stored.astype(int8)})[0].astype(float32)
            result -= zero_out
            result *= scale_out

    return block


# ---- edgekit --------------------------------------------------------------------------------


def calling(model: Any, arrays: list[Array], out: Any = None) -> Block:
    """`model(x)`, `model(a, b)`, each with `out` if it is given."""
    if len(arrays) == 1:
        (array,) = arrays
        if out is None:

            def one(calls: int) -> None:
                for _ in repeat(None, calls):
                    model(array)

            return one

        def one_out(calls: int) -> None:
            for _ in repeat(None, calls):
                model(array, out=out)

        return one_out
    a, b = arrays

    def two(calls: int) -> None:
        for _ in repeat(None, calls):
            model(a, b, out=out)

    return two


def running(model: edgekit.Model, arrays: list[Array]) -> Block:
    """`model.run({"image": x})`."""
    names, run = [spec.name for spec in model.inputs], model.run

    def block(calls: int) -> None:
        for _ in repeat(None, calls):
            run(dict(zip(names, arrays)))  # noqa: B905

    return block


def _raw(path: Path, arrays: list[Array]) -> Block:
    return (raw_tflite if path.suffix == ".tflite" else raw_onnx)(path, arrays)


def _real(path: Path, array: Array) -> Block:
    return (raw_tflite_real if path.suffix == ".tflite" else raw_onnx_real)(path, array)


def _result(model: edgekit.Model, arrays: list[Array]) -> Any:
    made = model(*arrays)
    return made.copy() if isinstance(made, np.ndarray) else {k: v.copy() for k, v in made.items()}


Case = tuple[str, dict[str, Block], list[Bar], int]


def tiny_cases(folder: Path) -> Iterator[Case]:
    """Every way of calling, on models of a few microseconds."""
    arrays: list[Array] = list(sample("tiny"))
    vendor = "signature runner"
    for kind in ("tflite", "onnx"):
        for precision in ("float32", "int8"):
            path = path_of(folder, "tiny", precision, kind)
            model = edgekit.load(path)
            watched = edgekit.load(path)
            watched.observe(lambda _: None)
            ways = {
                "raw": _raw(path, arrays),
                "model(x)": calling(model, arrays),
                "model(x, out=)": calling(model, arrays, _result(model, arrays)),
                "run({…})": running(model, arrays),
                "pool of 2": calling(edgekit.load(path, instances=2), arrays),
                "observed": calling(watched, arrays),
                "float64 in": calling(edgekit.load(path), [arrays[0].astype(np.float64)]),
            }
            bars = [Bar(way="model(x)", to="raw", at_most_us=CALL_BAR_US)]
            if kind == "tflite":
                ways[vendor] = signature_runner(path, arrays)
                bars.append(Bar(way="model(x)", to=vendor))
            elif precision == "float32":
                bars.append(Bar(way="model(x, out=)", to="raw"))
            yield f"tiny.{precision}.{kind}", ways, bars, TURNS
        yield _integers(path_of(folder, "tiny", "int8", kind, "int8"), arrays)
        yield _batch(path_of(folder, "tiny", "float32", kind), arrays[0])
        path = path_of(folder, "two", "float32", kind)
        both: list[Array] = list(sample("two"))
        raw, model = _raw(path, both), edgekit.load(path)
        if model.inputs[0].name != "image":
            both.reverse()
        ways = {
            "raw": raw,
            "model(a, b)": calling(model, both),
            "model(a, b, out=)": calling(model, both, _result(model, both)),
            "run({…})": running(model, both),
        }
        yield f"two.float32.{kind}, two inputs and outputs", ways, [], TURNS


def _integers(path: Path, arrays: list[Array]) -> Case:
    """A file that takes and gives int8."""
    model, own = edgekit.load(path), edgekit.load(path)
    stored: list[Array] = [np.full(arrays[0].shape, 3, np.int8)]
    ways = {
        "raw, no arithmetic": _raw(path, stored),
        "raw and NumPy": _real(path, arrays[0]),
        "model(x)": calling(model, arrays),
        "model(x, out=)": calling(model, arrays, _result(model, arrays)),
        "model(int8)": calling(own, stored),
    }
    bars = [
        Bar(way="model(x)", to="raw and NumPy", at_most_us=CALL_BAR_US),
        Bar(way="model(int8)", to="raw and NumPy", at_most_us=CALL_BAR_US),
    ]
    return f"{path.name}, int8 in and out", ways, bars, TURNS


def _batch(path: Path, one: Array) -> Case:
    """Eight rows at once on a file that takes one."""
    rows = np.repeat(one, _BATCH, axis=0)
    single = _raw(path, [one])
    ways = {
        f"raw, {_BATCH} times": lambda calls: single(_BATCH * calls),
        f"model({_BATCH} rows)": calling(edgekit.load(path), [rows]),
    }
    return f"{path.name}, a batch in pieces", ways, [], TURNS


def large_cases(folder: Path) -> Iterator[Case]:
    """MobileNetV2 on a picture of 224 x 224."""
    arrays: list[Array] = list(sample("mobilenet_v2"))
    for kind in ("tflite", "onnx"):
        path = path_of(folder, "mobilenet_v2", "float32", kind)
        model = edgekit.load(path)
        ways = {
            "raw": _raw(path, arrays),
            "model(x)": calling(model, arrays),
            "model(x, out=)": calling(model, arrays, _result(model, arrays)),
        }
        bars = [Bar(way="model(x)", to="raw", ratio=LARGE_BAR)]
        yield path.name, ways, bars, LARGE_TURNS
        integers = path_of(folder, "mobilenet_v2", "int8", kind, "int8")
        floats = path_of(folder, "mobilenet_v2", "int8", kind)
        ways = {
            "raw, no arithmetic": _raw(integers, [np.full(arrays[0].shape, 3, np.int8)]),
            "raw and NumPy": _real(integers, arrays[0]),
            "model(x)": calling(edgekit.load(integers), arrays),
            "raw, float I/O": _raw(floats, arrays),
            "model(x), float I/O": calling(edgekit.load(floats), arrays),
        }
        bars = [
            Bar(way="model(x)", to="raw and NumPy", ratio=LARGE_BAR),
            Bar(way="model(x), float I/O", to="raw, float I/O", ratio=LARGE_BAR),
        ]
        yield f"{integers.name}, int8 in and out", ways, bars, LARGE_TURNS


def report(case: Case) -> list[str]:
    """Measure a case and print it; the bars it missed."""
    title, ways, bars, turns = case
    taken = take_turns(ways, turns=turns, turn_s=0.002 if turns == TURNS else 0)
    base = next(iter(ways))
    print(f"\n{title}")
    for name, values in taken.items():
        median = Median.of(values)
        more = differences(values, taken[base])
        line = f"  {name:<20} {median.value / 1000:9.2f} µs"
        if name != base:
            interval = f"[{more.low / 1000:+.2f}, {more.high / 1000:+.2f}]"
            line += f"   {more.value / 1000:+8.2f} {interval}"
        print(line)
    missed = []
    for bar in bars:
        line, holds = bar.judge(taken)
        print(f"  - {line}")
        if not holds:
            missed.append(f"{title}: {line}")
    sys.stdout.flush()
    return missed


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="models made before; kept")
    parser.add_argument("--only", choices=("tiny", "large"))
    parser.add_argument("--match", default="", help="only cases whose title has this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = options.folder or Path(folder)
        ensure(place)
        print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, ")
        print(f"NumPy {np.__version__}; microseconds of one call, difference to the first way")
        missed = []
        cases = [] if options.only == "large" else [tiny_cases]
        cases += [] if options.only == "tiny" else [large_cases]
        for group in cases:
            for case in group(place):
                if options.match in case[0]:
                    missed += report(case)
    print("\n" + ("\n".join(["missed:", *missed]) if missed else "all bars met"))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
