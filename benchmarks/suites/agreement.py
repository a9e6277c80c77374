#!/usr/bin/env python3
"""Whether `edgekit bench` tells what the vendor's benchmark and a bare loop tell of the same file.

    python benchmarks/suites/agreement.py [--folder DIR] [--rounds 9] [--seconds 0.5]

The ways take turns in fresh processes, A B C C B A, round after round:

- edgekit: the process that `edgekit bench` starts for latencies, by the same agent;
- vendor: `litert-benchmark` of ai-edge-litert, its own code, but not rounded to 10 µs. It times
  `CompiledModel.run_by_name` without setting inputs or getting outputs. It is judged where that
  runs the same kernels as the interpreter, which is to say that the outputs are equal to the last
  bit, and where a call takes 0.1 ms or more: on quicker files it shows that this way into the
  runtime is 1 to 3 µs longer (told as *call*: both in turn in one process);
- bare: set_tensor, invoke, get_tensor, or InferenceSession.run, in a loop of ten lines.

What counts is the ratio of the medians within a round; of all rounds the median, and the interval
that holds the true one in 95 of 100 cases. Bar: the interval reaches into 0.98 to 1.02, and the
ratio lies there. Where the machine was so busy that the interval is wider than that range, it is
undecided, which fails nothing. The same of the processor time of an inference is told, not judged:
others on the machine disturb it less.

Then come the harness's own part of a sample (bar: 1 µs), the time that the default `edgekit bench`
takes for a model of 1 to 2 ms (20 s), and how much longer it takes by SSH (5 s), where an OpenSSH
server is installed. Exit code 1: a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

import edgekit
from edgekit._lazy import need
from edgekit.demo import DATA, MODEL, PREPROCESS
from edgekit_benchmarks.link import LocalLink
from edgekit_benchmarks.percentile import Enclosed, of_medians
from edgekit_benchmarks.plan import CHUNK_S, WARM_UP_S

SSHD = Path(__file__).parents[1] / "tests/sshd.py"
LOW, HIGH = 0.98, 1.02
VENDOR_FROM_NS = 100_000
EMPTY_BAR_NS = 1000
WALL_BAR_S = 20.0
SSH_BAR_S = 5.0
SIZES = {"mobilenet_v2_035_96": (96, 0.35), "mobilenet_v2_224": (224, 1.0)}
NAMES = ("fashion", *SIZES)
PRECISIONS = ("float32", "int8")
KINDS = ("tflite", "onnx")

_LOOP = """
clock = time.perf_counter_ns
warm = clock() + int({warm} * 1e9)
while clock() < warm:
    call()
samples = []
cpu, end = time.process_time_ns(), clock() + int(float(sys.argv[2]) * 1e9)
while clock() < end:
    begin = clock()
    call()
    samples.append(clock() - begin)
cpu = time.process_time_ns() - cpu
print(json.dumps([float(numpy.median(samples)), cpu / len(samples)]))
"""
_BARE = {
    "tflite": """
import json, sys, time
import numpy
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
(given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
array = numpy.random.default_rng(0).random(given["shape"], numpy.float32)
source, sink = given["index"], made["index"]
def call():
    interpreter.set_tensor(source, array)
    interpreter.invoke()
    interpreter.get_tensor(sink)
""",
    "onnx": """
import json, sys, time
import numpy
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
(given,), (made,) = session.get_inputs(), session.get_outputs()
shape = [size if isinstance(size, int) else 1 for size in given.shape]
feed = {given.name: numpy.random.default_rng(0).random(shape, numpy.float32)}
def call():
    session.run([made.name], feed)
""",
}
_VENDOR = """
import json, logging, sys, time
from ai_edge_litert.tools import benchmark_litert_model as tool
marks = []
class Begin(logging.Handler):
    def emit(self, record):
        if record.msg.startswith("Running %d benchmark"):
            marks.append(time.process_time_ns())
tool.logger.setLevel(logging.INFO)
tool.logger.addHandler(Begin())
tool.logger.propagate = False
vars(tool)["round"] = lambda value, digits: value
vars(tool)["print"] = lambda *_: marks.append(time.process_time_ns())
found = tool.run_benchmark(tool.parse_args())["latency"]
print(json.dumps([found["median_ms"] * 1e6, (marks[1] - marks[0]) / found["num_runs"]]))
"""
_KERNELS = """
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.options import CpuOptions, Options
from edgekit_benchmarks.paired import differences, take_turns
call()
expected = interpreter.get_tensor(sink)
options = Options(cpu_options=CpuOptions(num_threads=1))
compiled = CompiledModel.from_file(sys.argv[1], options=options)
((key, names),) = compiled.get_signature_list().items()
inputs = {name: compiled.create_input_buffer_by_name(key, name) for name in names["inputs"]}
outputs = {name: compiled.create_output_buffer_by_name(key, name) for name in names["outputs"]}
next(iter(inputs.values())).write(array)
def invoke(calls):
    for _ in range(calls):
        interpreter.invoke()
def run(calls):
    for _ in range(calls):
        compiled.run_by_name(key, inputs, outputs)
run(1)
got = next(iter(outputs.values())).read(expected.size, expected.dtype.type)
taken = take_turns({"invoke": invoke, "run": run}, turns=101)
equal = bool(numpy.array_equal(numpy.ravel(got), numpy.ravel(expected)))
print(json.dumps([equal, differences(taken["run"], taken["invoke"]).value]))
"""


class Taken(NamedTuple):
    """What one process found of one file."""

    median_ns: float
    cpu_ns: float
    """Of the processor, for one inference."""
    empty_ns: int = 0


def ensure(folder: Path) -> None:
    """Make the files that are not in `folder` yet, in a process of its own."""
    if not all(path.exists() for name in NAMES for path in _files(folder, name)):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, __file__, "--make", "--folder", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)


def _files(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}.{precision}.{kind}" for kind in KINDS for precision in PRECISIONS]


def make(folder: Path) -> None:
    """Convert the demo's model, and MobileNetV2 with random weights in two sizes."""
    given: dict[str, Any] = {"to": KINDS, "quantize": PRECISIONS, "force": True, "repair": False}
    edgekit.convert(MODEL, folder, calibrate=f"{DATA}:calibrate", preprocess=PREPROCESS, **given)
    keras = need("keras", extra="convert")
    keras.utils.set_random_seed(1)
    for name, (size, alpha) in SIZES.items():
        shape = (size, size, 3)
        data, source = folder / f"{name}.npz", folder / f"{name}.keras"
        np.savez(data, image=np.random.default_rng(0).random((8, *shape), np.float32))
        image = keras.Input(shape, name="image")
        keras.applications.MobileNetV2(
            weights=None, input_tensor=image, alpha=alpha, classifier_activation=None
        ).save(source)
        free = ("relative_error=1e3:1e3", "flips=1:1")  # random weights round badly
        edgekit.convert(source, folder, calibrate=data, tolerances=free, **given)


def _python(*words: str) -> Any:
    """Run Python in a fresh process; what its last line says."""
    command = [sys.executable, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{words[2:]}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def bare(path: Path, seconds: float) -> Taken:
    """The loop of an expert who measures by hand."""
    program = _BARE[path.suffix[1:]] + _LOOP.format(warm=WARM_UP_S)
    return Taken(*_python("-c", program, str(path), str(seconds)))


def vendor(path: Path, seconds: float, typical_ns: float) -> Taken:
    """The vendor's benchmark, for about as long."""
    runs, warm_up = (max(11, round(s * 1e9 / typical_ns)) for s in (seconds, WARM_UP_S))
    options = ["--num_threads=1", f"--num_runs={runs}", f"--warmup_runs={warm_up}"]
    return Taken(*_python("-c", _VENDOR, *options, "--model", str(path)))


def ours(link: LocalLink, path: Path, seconds: float) -> Taken:
    """A process of `edgekit bench`."""
    row = {"key": "0", "path": link.put(path), "runtime": "auto", "threads": 1}
    spec = {
        "mode": "steady", "rows": [row], "inputs": None,
        "warm_up_s": WARM_UP_S, "chunk_s": CHUNK_S, "budget_s": seconds,
    }  # fmt: skip
    answer = link.request("run", spec=spec, limit_s=300, timeout_s=330)["answer"]
    found = answer["rows"]["0"]
    samples = found["samples_ns"]
    return Taken(
        median_ns=statistics.median(samples),
        cpu_ns=found["cpu_ns"] / (len(samples) * found["repeats"]),
        empty_ns=answer["empty_call_ns"],
    )


def kernels_of(path: Path) -> tuple[bool, float]:
    """Are the outputs of both ways equal; and nanoseconds by which the vendor's call is longer."""
    equal, call_ns = _python("-c", _BARE["tflite"] + _KERNELS, str(path))
    return equal, call_ns


def judge(ratio: Enclosed) -> Literal["agrees", "undecided", "MISSED"]:
    """What may be said of a ratio that should be 1; undecided is what the machine is to blame for.

    >>> judge(Enclosed(value=1.03, low=0.97, high=1.06, confidence=0.96))
    'undecided'
    """
    reaches = ratio.low <= HIGH and ratio.high >= LOW
    if reaches and ratio.high - ratio.low > HIGH - LOW:
        return "undecided"
    return "agrees" if reaches and LOW <= ratio.value <= HIGH else "MISSED"


def ratio_of(ours: list[float], theirs: list[float]) -> Enclosed:
    """Ours over theirs, each with two values a round, which are as far apart as the other's.

    The geometric mean of both: what changes steadily through a round hits both alike.
    """
    pairs = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return of_medians(
        [(first * second) ** 0.5 for first, second in zip(pairs[::2], pairs[1::2], strict=True)]
    )


def take_rounds(ways: dict[str, Callable[[], Taken]], rounds: int) -> dict[str, list[Taken]]:
    """A B C C B A, then B C A A C B, and so on: two values of each way in a round."""
    names = list(ways)
    taken: dict[str, list[Taken]] = {name: [] for name in names}
    for number in range(rounds):
        order = names[number % len(names) :] + names[: number % len(names)]
        for name in order + order[::-1]:
            taken[name].append(ways[name]())
    return taken


def _shown(ratio: Enclosed) -> str:
    return f"{ratio.value:.4f} [{ratio.low:.4f}, {ratio.high:.4f}]"


def report(
    path: Path, taken: dict[str, list[Taken]], kernels: tuple[bool, float] | None
) -> list[str]:
    """Print a file's table; the bars it missed."""
    print(f"\n{path.name}, {path.stat().st_size:,} bytes")
    if kernels:
        told = "the same kernels (equal outputs)" if kernels[0] else "other kernels"
        print(f"  vendor: {told}, call {kernels[1] / 1000:+.2f} µs to invoke")
    missed = []
    for name, found in taken.items():
        medians = of_medians([one.median_ns / 1000 for one in found])
        line = f"  {name:<8}{medians.value:10.2f} µs [{medians.low:.2f}, {medians.high:.2f}]"
        print(f"{line}   processor {statistics.median(one.cpu_ns for one in found) / 1000:.2f} µs")
    first = taken.pop("edgekit")
    for name, found in taken.items():
        wall = ratio_of([one.median_ns for one in first], [one.median_ns for one in found])
        cpu = ratio_of([one.cpu_ns for one in first], [one.cpu_ns for one in found])
        verdict: str = judge(wall)
        quick = statistics.median(one.median_ns for one in found) < VENDOR_FROM_NS
        if name == "vendor" and kernels and (quick or not kernels[0]):
            verdict = "not judged"
        line = f"edgekit / {name:<7} {_shown(wall)} {verdict:<10}"
        print(f"  {line}   processor {_shown(cpu)}")
        if verdict == "MISSED":
            missed.append(f"{path.name}: {line}")
    sys.stdout.flush()
    return missed


def bench(path: Path, target: str) -> tuple[float, float]:
    """Seconds that the command takes with its defaults, and its p50 in nanoseconds."""
    command = [sys.executable, "-m", "edgekit", "bench", str(path), "--on", target, "--json"]
    begun = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    took = time.monotonic() - begun
    if done.returncode not in {0, 3}:
        sys.exit(f"edgekit bench --on {target}: {done.stderr.strip()[-500:]}")
    return took, json.loads(done.stdout)["rows"][0]["p50_ns"]


@contextmanager
def _device(folder: Path) -> Iterator[dict[str, str]]:
    """Targets, local and by SSH: the server that the tests use; EDGEKIT_SSH is set meanwhile."""
    sshd = runpy.run_path(str(SSHD))
    if sshd["SERVER"] is None:
        print(f"\nby SSH: not measured, {sshd['MISSING']}")
        yield {"local": "local"}
        return
    with sshd["Device"](folder / "device") as device:
        os.environ["EDGEKIT_SSH"] = device.client
        yield {"local": "local", "ssh": device.url}


def wall(path: Path, runs: int) -> list[str]:
    """How long the command takes, here and by SSH in turn; the bars it missed."""
    with tempfile.TemporaryDirectory() as folder, _device(Path(folder)) as targets:
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in targets}
        for number in range(runs):
            for name in list(targets)[:: 1 if number % 2 == 0 else -1]:
                took[name].append(bench(path, targets[name]))
    print(f"\nedgekit bench {path.name}, by its defaults")
    seconds = {name: [one for one, _ in found] for name, found in took.items()}
    for name, found in took.items():
        each = (f"{one:.1f} s (p50 {p50 / 1000:.1f} µs)" for one, p50 in found)
        print(f"  {name:<6}", *each)
    here = statistics.median(seconds["local"])
    missed = [f"edgekit bench takes {here:.1f} s, bar {WALL_BAR_S:g} s"] * (here >= WALL_BAR_S)
    if "ssh" in seconds:
        more = [far - near for far, near in zip(seconds["ssh"], seconds["local"], strict=True)]
        middle = statistics.median(more)
        told = f"SSH adds {middle:+.1f} s [{min(more):+.1f}, {max(more):+.1f}], bar {SSH_BAR_S:g} s"
        print(f"  {told}")
        missed += [told] * (middle >= SSH_BAR_S)
    return missed


def compare(path: Path, link: LocalLink, rounds: int, seconds: float) -> tuple[list[str], int]:
    """Measure a file and print it; the bars it missed, and the most that an empty call took."""
    ways: dict[str, Callable[[], Taken]] = {
        "edgekit": lambda: ours(link, path, seconds),
        "bare": lambda: bare(path, seconds),
    }
    kernels = None
    if path.suffix == ".tflite":
        kernels = kernels_of(path)
        typical_ns = bare(path, 0.1).median_ns
        ways["vendor"] = lambda: vendor(path, seconds, typical_ns)
    taken = take_rounds(ways, rounds)
    empty_ns = max(one.empty_ns for one in taken["edgekit"])
    return report(path, taken, kernels), empty_ns


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="models made before; kept")
    parser.add_argument("--rounds", type=int, default=9, help="default 9; two processes each")
    parser.add_argument("--seconds", type=float, default=0.5, help="of samples in a process")
    parser.add_argument("--match", default="", help="only files whose name has this")
    parser.add_argument("--wall-runs", type=int, default=3, help="whole commands; 0 for none")
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        make(given.folder)
        return 0
    missed: list[str] = []
    empty_ns = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        ensure(folder)
        print(f"{platform.machine()}, {os.cpu_count()} CPUs; {given.rounds} rounds, 1 thread")
        with LocalLink() as link:
            for name in NAMES:
                for path in _files(folder, name):
                    if given.match in path.name:
                        found, most = compare(path, link, given.rounds, given.seconds)
                        missed += found
                        empty_ns.append(most)
        if empty_ns:
            told = f"empty call: {max(empty_ns)} ns at most, bar {EMPTY_BAR_NS} ns"
            print(f"\n{told}")
            missed += [told] * (max(empty_ns) >= EMPTY_BAR_NS)
        if given.wall_runs:
            missed += wall(folder / "mobilenet_v2_224.int8.tflite", given.wall_runs)
    print("\n" + ("\n".join(["missed:", *missed]) if missed else "no bar is missed"))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
