#!/usr/bin/env python3
"""What edgekit and each runtime take on a device: disk, start and memory, as rows for the README.

    python benchmarks/suites/footprint.py

For each extra a fresh virtual environment is made, and edgekit is installed from this checkout by
pip. Disk is what is in its site-packages, without pip. Start and memory are medians of fresh
processes: `import edgekit`; from there to the first result of the demo model (int8); and what the
process then has in memory (VmRSS). The demo model is converted by the Python that runs this.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import edgekit

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "toolkit" / "edgekit" / "demo_files"
ROUNDS = 15
EXTRAS = {"": "", "litert": "tflite", "onnx": "onnx", "tflite-runtime": "tflite"}
"""What is installed, and the file that it runs; the first is edgekit without a runtime."""
_PACKAGES = {"litert": "ai_edge_litert", "onnx": "onnxruntime", "tflite-runtime": "tflite_runtime"}
_NOT_OURS = ("pip", "setuptools", "wheel", "_distutils_hack", "distutils-precedence.pth")
_PROGRAM = """
import sys, time
started = time.perf_counter()
import edgekit
imported = time.perf_counter()
import numpy
if len(sys.argv) > 1:
    model = edgekit.load(sys.argv[1])
    model(numpy.zeros(model.inputs[0].shape, numpy.float32))
ended = time.perf_counter()
lines = dict(line.split(":") for line in open("/proc/self/status"))
print(imported - started, ended - started, int(lines["VmRSS"].split()[0]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One environment."""

    extra: str
    python: str
    total_mb: float
    edgekit_mb: float
    runtime_mb: float
    import_ms: float
    result_ms: float
    memory_mb: float

    def markdown(self) -> str:
        """A line of the table."""
        what = f"`'.[{self.extra}]'`" if self.extra else "`.`, no runtime"
        runtime = f"{self.runtime_mb:.1f}" if self.extra else ""
        result = f"{self.result_ms:.0f} ms" if self.extra else ""
        return (
            f"| {what} | {self.total_mb:.0f} MB | {self.edgekit_mb:.1f} | {runtime} | "
            f"{self.import_ms:.1f} ms | {result} | {self.memory_mb:.0f} MB |"
        )


def convert(folder: Path) -> dict[str, Path]:
    """The demo model as int8, for both kinds of runtime."""
    made = edgekit.convert(
        DEMO / "fashion.keras",
        folder,
        to=("tflite", "onnx"),
        quantize="int8",
        calibrate=f"{DEMO / 'fashion.npz'}:calibrate",
        preprocess="scale=1/255",
        force=True,
    )
    return {artifact.format: Path(artifact.path) for artifact in made}


def size_mb(*places: Path) -> float:
    """What the files in these places hold, without counting one twice."""
    files = {
        file.resolve(): file.stat().st_size
        for place in places
        for file in (place.rglob("*") if place.is_dir() else [place])
        if file.is_file()
    }
    return sum(files.values()) / 1e6


def install(folder: Path, extra: str) -> Path:
    """A fresh environment with edgekit; its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    wanted = f"{ROOT}[{extra}]" if extra else str(ROOT)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [str(python), "-m", "pip", "install", "--quiet", wanted]
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr)
    return python


def measure(python: Path, extra: str, model: Path | None, rounds: int) -> Row:
    """Weigh an environment, and start it again and again."""
    site = next((python.parents[1] / "lib").glob("python*")) / "site-packages"
    places = [place for place in site.iterdir() if not place.name.startswith(_NOT_OURS)]
    ours = [place for place in places if place.name.startswith("edgekit")]
    of_runtime = [place for place in places if place.name == _PACKAGES.get(extra)]
    command = [str(python), "-I", "-c", _PROGRAM, *([str(model)] if model else [])]
    values = []
    for number in range(rounds + 2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        if number >= 2:
            values.append([float(value) for value in done.stdout.split()])
    imported, ended, memory = (statistics.median(column) for column in zip(*values, strict=True))
    return Row(
        extra=extra,
        python=platform.python_version(),
        total_mb=size_mb(*places),
        edgekit_mb=size_mb(*ours),
        runtime_mb=size_mb(*of_runtime),
        import_ms=imported * 1000,
        result_ms=ended * 1000,
        memory_mb=memory * 1024 / 1e6,
    )


def main() -> int:
    """Install, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--only", nargs="+", choices=tuple(EXTRAS), metavar="EXTRA")
    parser.add_argument("--models", type=Path, help="fashion.int8.tflite and .onnx made before")
    options = parser.parse_args()
    if sys.version_info[:2] != (3, 11):
        print("Python 3.11 is needed: there is no newer tflite-runtime", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.models is None:
            models = convert(folder)
        else:
            kinds = ("tflite", "onnx")
            models = {kind: options.models / f"fashion.int8.{kind}" for kind in kinds}
        rows = []
        for extra in options.only or EXTRAS:
            python = install(folder / f"env-{extra or 'base'}", extra)
            model = models.get(EXTRAS[extra])
            rows.append(measure(python, extra, model, options.rounds))
            print(f"{extra or 'base'}: measured", file=sys.stderr)
        print(
            f"{platform.machine()}, Python {platform.python_version()}; medians of "
            f"{options.rounds} processes; 1 MB = 1,000,000 bytes\n"
        )
        print("| `pip install` | on disk | edgekit | runtime | import | first result | memory |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for row in rows:
            print(row.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
