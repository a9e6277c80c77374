#!/usr/bin/env python3
"""What `import edgekit`, loading a file and the first result take over the bare runtime.

    python benchmarks/suites/runtime_start.py

Each value is from a fresh process, the ways take turns. Time is that of the whole process, from
its start to its end; that from the first statement of the program to the first result is printed
too. Memory is what the process says of itself behind the first result: the peak (VmHWM), and what
it then has (VmRSS). All bytecode is compiled beforehand, as `pip install` does it. The intervals
hold the true median in 95 of 100 cases. Bars: at most 1.05 times the time of raw code that does
the same, and 3 MB more memory, for files as `edgekit convert` makes them. Exit code 1: a bar
is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit_benchmarks.paired import Median, differences, ratios
from edgekit_benchmarks.runtime_models import ensure, path_of

ROUNDS = 25
WARM_UP_ROUNDS = 2
RATIO_BAR = 1.05
MEMORY_BAR_MB = 3.0

_BEGIN = "import time; started = time.perf_counter_ns()\nimport sys\n"
_END = """
taken = time.perf_counter_ns() - started
lines = dict(line.split(":") for line in open("/proc/self/status"))
print(taken, *(int(lines[key].split()[0]) for key in ("VmHWM", "VmRSS")))
"""
_RAW = {
    "tflite": """
import numpy
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
interpreter.set_tensor(given["index"], numpy.zeros(given["shape"], numpy.float32))
interpreter.invoke()
interpreter.get_tensor(made["index"])
""",
    "onnx": """
import numpy
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
given = session.get_inputs()[0]
session.run(None, {given.name: numpy.zeros(given.shape, numpy.float32)})
""",
}
_EDGEKIT = """
import numpy
import edgekit
model = edgekit.load(sys.argv[1]{options})
model(numpy.zeros(model.inputs[0].shape, numpy.float32))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What one process took."""

    program_ms: float
    process_ms: float
    peak_mb: float
    after_mb: float


def run(program: str, path: Path, environment: dict[str, str]) -> Start:
    """Run `program` on the file `path` in a fresh process."""
    command = [sys.executable, "-c", _BEGIN + program + _END, str(path)]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    process_ms = (time.perf_counter() - started) * 1000
    if done.returncode:
        print(f"{path.name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        raise SystemExit(3)
    taken, peak, after = map(int, done.stdout.split()[-3:])
    return Start(
        program_ms=taken / 1e6,
        process_ms=process_ms,
        peak_mb=peak / 1024,
        after_mb=after / 1024,
    )


def without_manifest(path: Path) -> Path:
    """A copy that has no manifest and no seal to be found: as if another tool had made it."""
    content = path.read_bytes()
    for name in (b"edgekit.manifest", b"edgekit-seal"):
        assert name in content
        content = content.replace(name, b"x" * len(name))
    made = path.with_name(f"plain.{path.name}")
    made.write_bytes(content)
    return made


def cases(folder: Path) -> Iterator[tuple[Path, dict[str, tuple[str, Path]]]]:
    """For each file: programs, and the file that each loads."""
    for kind in ("tflite", "onnx"):
        for model, precision in (
            ("tiny", "float32"),
            ("mobilenet_v2", "float32"),
            ("mobilenet_v2", "int8"),
        ):
            path = path_of(folder, model, precision, kind)
            ours = _EDGEKIT.format(options="")
            yield (
                path,
                {
                    "raw": (_RAW[kind], path),
                    "edgekit": (ours, path),
                    "no manifest": (ours, without_manifest(path)),
                    "self_test=True": (_EDGEKIT.format(options=", self_test=True"), path),
                    "probe=True": (_EDGEKIT.format(options=", probe=True"), path),
                },
            )


def measure(
    programs: dict[str, tuple[str, Path]], rounds: int, environment: dict[str, str]
) -> dict[str, list[Start]]:
    """One process of each program a round, in an order that rotates."""
    names = list(programs)
    found: dict[str, list[Start]] = {name: [] for name in names}
    for number in range(WARM_UP_ROUNDS + rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            start = run(*programs[name], environment)
            if number >= WARM_UP_ROUNDS:
                found[name].append(start)
    return found


def _values(starts: list[Start], field: str) -> list[float]:
    return [getattr(start, field) for start in starts]


def report(path: Path, found: dict[str, list[Start]]) -> list[str]:
    """Print a table; the bars that were missed."""
    print(f"\n{path.name}, {path.stat().st_size:,} bytes")
    raw, missed = found["raw"], []
    for name, starts in found.items():
        process_ms = Median.of(_values(starts, "process_ms"))
        program_ms = Median.of(_values(starts, "program_ms"))
        peak_mb = Median.of(_values(starts, "peak_mb"))
        after_mb = Median.of(_values(starts, "after_mb"))
        if name == "raw":
            print(
                f"  {name:<15}{process_ms.value:7.1f} ms{'':25}  to first result "
                f"{program_ms.value:6.1f} ms{'':8}  peak {peak_mb.value:6.1f}{'':5}  "
                f"after {after_mb.value:6.1f} MB"
            )
            continue
        ratio = ratios(_values(starts, "process_ms"), _values(raw, "process_ms"))
        program = ratios(_values(starts, "program_ms"), _values(raw, "program_ms"))
        peak = differences(_values(starts, "peak_mb"), _values(raw, "peak_mb"))
        after = differences(_values(starts, "after_mb"), _values(raw, "after_mb"))
        print(
            f"  {name:<15}{process_ms.value:7.1f} ms  "
            f"x {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]  to first result "
            f"{program_ms.value:6.1f} ms x {program.value:.3f}  "
            f"peak {peak_mb.value:6.1f} {peak.value:+.1f}  "
            f"after {after_mb.value:6.1f} {after.value:+.1f} MB"
        )
        if name == "edgekit":
            bars = [
                (f"{ratio.value:.3f} x the time of raw code", ratio.value <= RATIO_BAR),
                (f"{peak.value:+.1f} MB at the peak", peak.value <= MEMORY_BAR_MB),
                (f"{after.value:+.1f} MB after", after.value <= MEMORY_BAR_MB),
            ]
            missed += [f"{path.name}: {told}" for told, holds in bars if not holds]
    sys.stdout.flush()
    return missed


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="models made before; kept")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--match", default="", help="only files whose name has this")
    parser.add_argument("--quick", action="store_true", help="only raw and edgekit")
    parser.add_argument("--json", type=Path, help="write all values to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        ensure(folder)
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(Path(temporary, "bytecode"))}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, ")
        print(f"NumPy {np.__version__}; {options.rounds} rounds, medians, ratios to raw")
        missed, document = [], {}
        for path, programs in cases(folder):
            if options.match not in path.name:
                continue
            if options.quick:
                programs = {name: programs[name] for name in ("raw", "edgekit")}  # noqa: PLW2901
            found = measure(programs, options.rounds, environment)
            document[path.name] = {
                name: [[s.program_ms, s.process_ms, s.peak_mb, s.after_mb] for s in starts]
                for name, starts in found.items()
            }
            missed += report(path, found)
        if options.json:
            values = ["program_ms", "process_ms", "peak_mb", "after_mb"]
            told = {"schema_version": 1, "values": values, "files": document}
            options.json.write_text(json.dumps(told) + "\n")
    told_missed = "\n".join(["missed:", *missed])
    print(f"\n{told_missed if missed else 'all bars met'}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
