#!/usr/bin/env python3
"""What `edgekit.load(..., instances=N)` gives when N threads call one model object.

    python benchmarks/suites/runtime_pool.py

One thread for each call. In each round, in turn: one thread and one instance; N threads and N
instances of the pool; N threads with an interpreter or session of their own, as raw code would have
it. Throughput is calls a second of a fixed time; what counts is the ratio within a round, and the
interval holds its true median in 95 of 100 cases. Bar: the pool gives at least 0.9 N times what one
instance gives, or where the machine has no N cores of its own (two hyperthreads are one core), at
least 0.95 times what raw code in N threads gives. Memory is that of fresh processes behind the
first calls. Exit code 1: a bar is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgekit
from edgekit_benchmarks.paired import Median, ratios
from edgekit_benchmarks.runtime_models import ensure, path_of, sample

ROUNDS = 15
SHARE_BAR = 0.9
RAW_BAR = 0.95
_ROUND_S = 0.8
_FILES = (("mobilenet_v2", "float32"), ("mobilenet_v2", "int8"))

Array = NDArray[Any]
Call = Callable[[], object]

_MEMORY = """
import sys
import numpy
import edgekit
model = edgekit.load(sys.argv[1], instances=int(sys.argv[2]))
values = numpy.zeros(model.inputs[0].shape, numpy.float32)
for lane in model._serving.lanes:
    lane.call((values,), None)
lines = dict(line.split(":") for line in open("/proc/self/status"))
print(int(lines["VmRSS"].split()[0]))
"""


def raw_call(path: Path, array: Array) -> Call:
    """One call of an interpreter or session of its own."""
    if path.suffix == ".tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        given = interpreter.get_input_details()[0]["index"]
        made = interpreter.get_output_details()[0]["index"]

        def tflite() -> object:
            interpreter.set_tensor(given, array)
            interpreter.invoke()
            return interpreter.get_tensor(made)

        return tflite
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: array})


def throughput(calls: Sequence[Call], seconds: float) -> float:
    """Calls a second of as many threads as there are `calls`, each making its own."""
    begin = threading.Barrier(len(calls) + 1)
    stop = False
    done = [0] * len(calls)
    ended = [0.0] * len(calls)

    def work(number: int) -> None:
        call, count = calls[number], 0
        begin.wait()
        while not stop:
            call()
            count += 1
        done[number], ended[number] = count, time.perf_counter()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    begin.wait()
    started = time.perf_counter()
    time.sleep(seconds)
    stop = True
    for thread in threads:
        thread.join()
    return sum(
        count / (end - started) for count, end in zip(done, ended, strict=True) if end > started
    )


def measure(path: Path, count: int, rounds: int) -> dict[str, list[float]]:
    """Calls a second of each way, once a round, in an order that rotates."""
    (array,) = sample(path.name.split(".")[0])
    with edgekit.load(path) as one, edgekit.load(path, instances=count) as pool:
        raw = [raw_call(path, array) for _ in range(count)]
        ways: dict[str, list[Call]] = {
            "one": [lambda: one(array)],
            "pool": [lambda: pool(array)] * count,
            "raw": raw,
        }
        names = list(ways)
        found: dict[str, list[float]] = {name: [] for name in names}
        for calls in ways.values():
            throughput(calls, _ROUND_S / 4)
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                found[name].append(throughput(ways[name], _ROUND_S))
    return found


def memory_mb(path: Path, instances: int) -> float:
    """Resident memory of a fresh process, behind a call of each instance."""
    command = [sys.executable, "-c", _MEMORY, str(path), str(instances)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024


def report(path: Path, count: int, rounds: int) -> list[str]:
    """Measure a file and print it; the bars it missed."""
    found = measure(path, count, rounds)
    share = ratios(found["pool"], found["one"])
    to_raw = ratios(found["pool"], found["raw"])
    limit = ratios(found["raw"], found["one"])
    one, more = memory_mb(path, 1), memory_mb(path, count)
    holds = share.value >= SHARE_BAR * count
    holds_raw = to_raw.value >= RAW_BAR
    print(f"\n{path.name}, {path.stat().st_size / 1e6:.1f} MB")
    for name, told in (
        ("one", "one thread, one instance"),
        ("pool", f"{count} threads, {count} instances"),
        ("raw", f"{count} threads, raw"),
    ):
        print(f"  {told:<26} {Median.of(found[name]).value:9.1f} calls a second")
    print(f"  pool / one  {share.value:.3f} [{share.low:.3f}, {share.high:.3f}]")
    print(f"  raw / one   {limit.value:.3f} [{limit.low:.3f}, {limit.high:.3f}]")
    print(f"  pool / raw  {to_raw.value:.3f} [{to_raw.low:.3f}, {to_raw.high:.3f}]")
    print(
        f"  memory {one:.1f} MB with one instance, "
        f"{(more - one) / (count - 1):+.1f} MB for each more"
    )
    verdict = "met" if holds else "met by what raw code gives here" if holds_raw else "MISSED"
    print(f"  - bar: at least {SHARE_BAR * count:g} x one, or {RAW_BAR:g} x raw: {verdict}")
    sys.stdout.flush()
    return [] if holds or holds_raw else [f"{path.name}: {share.value:.2f} x one"]


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="models made before; kept")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--instances", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    parser.add_argument("--match", default="", help="only files whose name has this")
    options = parser.parse_args()
    if options.instances < 2:
        parser.error("one CPU only: there is nothing to share out")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        ensure(folder)
        print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, ")
        print(f"NumPy {np.__version__}; {options.rounds} rounds of {_ROUND_S:g} s")
        missed = []
        for kind in ("tflite", "onnx"):
            for model, precision in _FILES:
                path = path_of(folder, model, precision, kind)
                if options.match in path.name:
                    missed += report(path, options.instances, options.rounds)
    print("\n" + ("\n".join(["missed:", *missed]) if missed else "all bars met"))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
