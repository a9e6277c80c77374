#!/usr/bin/env python3
"""What all verified files of one model cost, against one stock conversion of each format.

    python benchmarks/suites/convert_all.py

Times ``edgekit convert`` for {tflite, onnx} x {float32, float16, dynamic, int8} of a MobileNetV2,
verification included, against a plain script that imports TensorFlow, loads the same file, and does
one float TFLite conversion and one ONNX export. Rounds alternate, so that a slow minute of the
machine hits both. Then it reads the peak memory of the `edgekit` process itself, without its
children, also for a ResNet50 of 90 MB. Exit code 1: a bar is missed; 3: nothing could be measured.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

RATIO_BAR = 1.5
"""Highest allowed ratio of the medians, edgekit over the plain script."""
PARENT_BAR_BYTES = 150_000_000
"""Highest allowed peak of the parent's resident memory (VmHWM)."""
ROUNDS = 3
CALIBRATION_SAMPLES = 64
STEPS = {"mobilenet_v2": 80, "resnet50": 5}
"""Batches of 16 for training: the first is to be a model; the second is for its size alone."""
_POLL_S = 0.05

MAKE_MODEL = """
import sys
import keras, numpy as np
name, size, path, data = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
keras.utils.set_random_seed(1)
if name == "mobilenet_v2":
    model = keras.applications.MobileNetV2((size, size, 3), alpha=0.35, weights=None)
else:
    model = keras.applications.ResNet50(input_shape=(size, size, 3), weights=None)
random = np.random.default_rng(2)
patterns = random.random((10, size // 16, size // 16, 3), np.float32)
def images(labels):  # blocks of colour: plain noise would look alike to every later layer
    blocks = patterns[labels] + random.normal(0, 0.1, (len(labels), *patterns.shape[1:]))
    return np.clip(blocks, 0, 1).astype(np.float32).repeat(16, 1).repeat(16, 2)
for layer in model.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.momentum = 0.8
labels = random.integers(0, 10, 16 * int(sys.argv[6]))
# Random weights are no model: outputs vanish, and rounding errors grow from layer to layer.
model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
model.fit(images(labels), labels, batch_size=16, verbose=0)
labels = random.integers(0, 10, int(sys.argv[5]))
x = images(labels)
right = (model.predict(x, verbose=0).argmax(axis=1) == labels).mean()
assert right > 0.8 or name == "resnet50", f"only {right:.0%} right after so little training"
model.optimizer = None
model.save(path)
np.savez(data, x=x)
"""

PLAIN_SCRIPT = """
import sys
from pathlib import Path
import keras
import tensorflow as tf
model = keras.models.load_model(sys.argv[1])
converter = tf.lite.TFLiteConverter.from_keras_model(model)
Path(sys.argv[2], "plain.tflite").write_bytes(converter.convert())
model.export(str(Path(sys.argv[2], "plain.onnx")), format="onnx", verbose=False)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One timed process."""

    wall_s: float
    cpu_s: float
    """User and system time of the process and all its children."""
    parent_peak_bytes: int
    """VmHWM of the process itself, last seen at most 50 ms before its end."""


class UnmeasurableError(Exception):
    """A command failed, so that there is nothing to compare."""


def make_model(name: str, size: int, folder: Path) -> tuple[Path, Path]:
    """A random model with calibrated BatchNorm, and images to calibrate its activations with."""
    model, data = folder / f"{name}.keras", folder / f"{name}.npz"
    arguments = [name, str(size), str(model), str(data), str(CALIBRATION_SAMPLES), str(STEPS[name])]
    run([sys.executable, "-c", MAKE_MODEL, *arguments])
    return model, data


def edgekit_command(model: Path, data: Path, out: Path, precisions: str) -> list[str]:
    """`edgekit convert` of `model` to both formats, in the environment of this interpreter."""
    edgekit = [str(Path(sys.executable).with_name("edgekit")), "convert", str(model)]
    wanted = ["--to", "tflite,onnx", "--quantize", precisions, "--calibrate", str(data)]
    return [*edgekit, *wanted, "-o", str(out), "--force", "--json"]


def run(command: list[str], *, may_refuse: bool = False) -> Run:
    """Run to the end; with `may_refuse`, exit code 1 is an end like any other."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = 0
    with tempfile.TemporaryFile("w+") as printed:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, peak_bytes(process.pid))
            time.sleep(_POLL_S)
        wall_s = time.perf_counter() - started
        if process.returncode not in ((0, 1) if may_refuse else (0,)):
            printed.seek(0)
            message = f"{command[:3]} ended with {process.returncode}:\n{printed.read()[-3000:]}"
            raise UnmeasurableError(message)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall_s=wall_s, cpu_s=cpu_s, parent_peak_bytes=peak)


def peak_bytes(process: int) -> int:
    """Peak resident memory of one process without its children; 0 once it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def described(name: str, runs: list[Run]) -> str:
    """Median and spread of one arm."""
    wall = sorted(run.wall_s for run in runs)
    cpu = statistics.median(run.cpu_s for run in runs)
    middle = statistics.median(wall)
    return (
        f"{name:<22} median {middle:6.1f} s   {wall[0]:.1f} .. {wall[-1]:.1f} s   "
        f"CPU {cpu:6.1f} s   n={len(runs)}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    arguments = parser.parse_args()
    if arguments.rounds < ROUNDS:
        parser.error(f"--rounds {arguments.rounds}: too few for a median; use {ROUNDS} or more")
    try:
        with tempfile.TemporaryDirectory(prefix="edgekit-suite-") as folder:
            return measure(Path(folder), arguments.rounds, as_json=arguments.json)
    except UnmeasurableError as error:
        print(f"convert_all: {error}", file=sys.stderr)
        return 3


def measure(folder: Path, rounds: int, *, as_json: bool) -> int:
    """Run both arms `rounds` times and the big model once; print; 1 if a bar is missed."""
    out = folder / "out"
    out.mkdir()
    model, data = make_model("mobilenet_v2", 96, folder)
    edgekit = edgekit_command(model, data, out, "float32,float16,dynamic,int8")
    plain = [sys.executable, "-c", PLAIN_SCRIPT, str(model), str(out)]
    runs: dict[str, list[Run]] = {"edgekit": [], "plain": []}
    for number in range(rounds):
        order = [("edgekit", edgekit), ("plain", plain)]
        for name, command in order if number % 2 == 0 else reversed(order):
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr)
            runs[name].append(run(command))
    big, big_data = make_model("resnet50", 96, folder)
    print(f"memory: {big.stat().st_size / 1e6:.0f} MB model", file=sys.stderr)
    big_command = edgekit_command(big, big_data, out, "float32,float16,dynamic,int8")
    big_run = run([*big_command, "--no-repair"], may_refuse=True)

    medians = {name: statistics.median(r.wall_s for r in of) for name, of in runs.items()}
    ratio = medians["edgekit"] / medians["plain"]
    pairs = [a.wall_s / b.wall_s for a, b in zip(runs["edgekit"], runs["plain"], strict=True)]
    peaks = {
        "mobilenet_v2": max(r.parent_peak_bytes for r in runs["edgekit"]),
        "resnet50": big_run.parent_peak_bytes,
    }
    missed = []
    if ratio > RATIO_BAR:
        missed.append(f"ratio {ratio:.2f} is over {RATIO_BAR}")
    for name, peak in peaks.items():
        if not 0 < peak < PARENT_BAR_BYTES:
            missed.append(f"parent peak {peak / 1e6:.0f} MB for {name}, bar 150 MB")
    if as_json:
        document = {
            "schema_version": 1,
            "wall_s": {name: [r.wall_s for r in of] for name, of in runs.items()},
            "cpu_s": {name: [r.cpu_s for r in of] for name, of in runs.items()},
            "ratio": ratio,
            "ratio_of_each_round": pairs,
            "parent_peak_bytes": peaks,
            "missed": missed,
        }
        print(json.dumps(document, indent=2))
    else:
        print(described("edgekit, 8 files", runs["edgekit"]))
        print(described("plain, 2 float files", runs["plain"]))
        print(f"ratio {ratio:.2f} (rounds {min(pairs):.2f} .. {max(pairs):.2f}), bar {RATIO_BAR}")
        for name, peak in peaks.items():
            print(f"parent's peak memory {peak / 1e6:.0f} MB ({name}), bar 150 MB")
        print("missed: " + "; ".join(missed) if missed else "all bars held")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
