#!/usr/bin/env python3
"""Which engine makes the better compressed TFLite file; writes a section of docs/quantization.md.

    python benchmarks/suites/tflite_engines.py --folder /tmp/engines

Builds models of the corpus (`scripts/corpus`), converts each once to float32, and compresses it by
the TensorFlow converter, by ai-edge-quantizer as it comes, and by edgekit. Error: relative RMS
against the float32 file on 16 samples that calibration has not seen. Time: one thread, process CPU
time, all files of a model in turn in one process, median of the rounds, as a ratio to float32.
Exit code 1: edgekit is clearly worse than the TensorFlow converter somewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "quantization.md"
BEGIN, END = "<!-- tflite-engines -->", "<!-- end of tflite-engines -->"
MODELS = [
    "mobilenet",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "resnet_small",
    "inception",
    "squeeze_excite",
    "separable_conv",
    "grouped_conv",
    "conv1d",
    "temporal_convolution",
    "unet",
    "autoencoder",
    "vision_transformer",
    "transformer_exact_gelu",
    "text_transformer_masked",
    "text_embedding",
    "layer_normalization",
    "batch_norm_behind_relu",
    "activations_leaky",
    "image_and_table",
    "siamese",
    "gru_unrolled",
    "regression_mlp",
]
ENGINES = {"tf": "TF converter", "aeq": "quantizer as it comes", "edgekit": "edgekit"}
PRECISIONS = ("dynamic", "int8", "int16x8", "int4")
ROUNDS = 21
_ROUND_S = 0.02
_SLACK = 1.25
_SMALL_ERROR = 0.02
"""How much larger edgekit's median error, size or time may be before the script fails; errors
below the second bound pass as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One compressed file, as ratios to the float32 file; or why there is none."""

    size: float = 0.0
    error: float = 0.0
    time: float = 0.0
    failure: str = ""


Results = dict[str, dict[str, Cell]]
"""By model, then by ``engine.precision``."""


# ---- with TensorFlow ------------------------------------------------------------------------


def convert(folder: Path, names: list[str]) -> None:
    import keras
    import tensorflow as tf

    for name in names:
        if (folder / f"{name}.float32.tflite").exists():
            continue
        model = keras.models.load_model(folder / f"{name}.keras")
        specs = [
            keras.InputSpec(shape=(1, *i.shape[1:]), dtype=i.dtype, name=i.name)
            for i in model.inputs
        ]
        exported = str(folder / f"{name}.exported")
        signature = [specs] if len(specs) > 1 else specs
        model.export(exported, input_signature=signature, verbose=False)
        float32 = tf.lite.TFLiteConverter.from_saved_model(exported).convert()
        samples = _samples(folder, name)
        for precision in ("dynamic", "int8", "int16x8"):
            converter = tf.lite.TFLiteConverter.from_saved_model(exported)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if precision != "dynamic":
                converter.representative_dataset = lambda data=samples: (
                    {key: values[i] for key, values in data.items()} for i in range(32)
                )
            if precision == "int16x8":
                kinds = tf.lite.OpsSet
                converter.target_spec.supported_ops = [
                    kinds.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
                    kinds.TFLITE_BUILTINS,
                ]
            place = folder / f"{name}.tf.{precision}.tflite"
            try:
                place.write_bytes(converter.convert())
            except (RuntimeError, ValueError) as error:
                place.with_suffix(".failed").write_text(str(error).strip().splitlines()[0][:80])
        (folder / f"{name}.float32.tflite").write_bytes(float32)
        print(f"{name}: converted", file=sys.stderr, flush=True)


# ---- without --------------------------------------------------------------------------------


def measure(folder: Path, name: str) -> dict[str, Cell]:
    source = folder / f"{name}.float32.tflite"
    samples, unseen = _samples(folder, name), _samples(folder, f"{name}.held_out")
    failures: dict[str, str] = {}
    files: dict[str, Path] = {"float32": source}
    for precision in PRECISIONS:
        for engine in ENGINES:
            key, place = f"{engine}.{precision}", folder / f"{name}.{engine}.{precision}.tflite"
            try:
                if engine == "edgekit":
                    _edgekit(source, place, precision, samples)
                elif engine == "aeq":
                    _stock_quantizer(source, place, precision, samples)
                elif not place.exists():
                    why = place.with_suffix(".failed")
                    if why.exists():
                        failures[key] = why.read_text()
                    continue
                _outputs(place, unseen)
                files[key] = place
            except Exception as error:
                failures[key] = (str(error).strip().splitlines() or [type(error).__name__])[0][:80]
    times = _times(files)
    expected = _outputs(source, unseen)
    return {key: Cell(failure=why) for key, why in failures.items()} | {
        key: Cell(
            size=place.stat().st_size / source.stat().st_size,
            error=_error(_outputs(place, unseen), expected),
            time=times[key] / times["float32"],
        )
        for key, place in files.items()
    }


def _edgekit(source: Path, out: Path, precision: Any, samples: dict[str, Any]) -> None:
    from edgekit_converters.tflite_quantize import quantize

    quantize(source, out, precision, samples=samples)


def _stock_quantizer(source: Path, out: Path, precision: str, samples: dict[str, Any]) -> None:
    from ai_edge_quantizer import quantizer, recipe

    recipes: dict[str, Callable[[], Any]] = {
        "dynamic": recipe.dynamic_wi8_afp32,
        "int8": recipe.static_wi8_ai8,
        "int16x8": recipe.static_wi8_ai16,
        "int4": recipe.weight_only_wi4_afp32,
    }
    engine = quantizer.Quantizer(str(source), recipes[precision]())
    ranges = None
    if engine.need_calibration:
        count = len(next(iter(samples.values())))
        data = [{key: values[i] for key, values in samples.items()} for i in range(count)]
        ranges = engine.calibrate({"serving_default": data}, num_threads=2)
    out.write_bytes(bytes(engine.quantize(ranges).quantized_model))


def _samples(folder: Path, name: str) -> dict[str, Any]:
    with np.load(folder / f"{name}.npz") as data:
        return {k: data[k][:, None] for k in data.files if not k.startswith("expected_")}


def _outputs(path: Path, samples: dict[str, Any]) -> dict[str, Any]:
    """Floats in and out, whatever the file takes: the stock quantizer's takes integers."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path), num_threads=1).get_signature_runner()
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
    found: dict[str, list[Any]] = {name: [] for name in outputs}
    for i in range(len(next(iter(samples.values())))):
        given = {k: _stored(values[i], inputs[k]) for k, values in samples.items()}
        for name, values in runner(**given).items():
            scale, zero = outputs[name]["quantization"]
            found[name].append((values.astype(np.float32) - zero) * scale if scale else values * 1)
    return {name: np.stack(values) for name, values in found.items()}


def _stored(values: Any, detail: dict[str, Any]) -> Any:
    scale, zero = detail["quantization"]
    if not scale:
        return values.astype(detail["dtype"])
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(detail["dtype"])


def _error(given: dict[str, Any], expected: dict[str, Any]) -> float:
    """The largest relative RMS error of an output."""
    errors = [
        np.sqrt(np.mean((given[k] - v) ** 2) / max(float(np.mean(v**2)), 1e-30))
        for k, v in expected.items()
    ]
    return float(max(errors))


def _times(files: dict[str, Path]) -> dict[str, float]:
    """Median process CPU time of one call, in seconds."""
    from ai_edge_litert.interpreter import Interpreter

    ready = {}
    for key, path in files.items():
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], np.ones(detail["shape"], detail["dtype"]))
        for _ in range(3):
            interpreter.invoke()
        start = time.perf_counter()
        interpreter.invoke()
        calls = int(_ROUND_S / max(time.perf_counter() - start, 1e-6))
        ready[key] = (interpreter, min(max(calls, 1), 2000))
    found: dict[str, list[float]] = {key: [] for key in files}
    for _ in range(ROUNDS):
        for key, (interpreter, calls) in ready.items():
            start = time.process_time()
            for _ in range(calls):
                interpreter.invoke()
            found[key].append((time.process_time() - start) / calls)
    return {key: statistics.median(values) for key, values in found.items()}


# ---- the page -------------------------------------------------------------------------------


def page(results: Results) -> str:
    lines = [
        BEGIN,
        "",
        "Measured in November 2026 on a 2-vCPU x86-64 VM (AVX-512 VNNI), LiteRT 2.3.0, "
        "ai-edge-quantizer 0.10.0,",
        "TensorFlow 2.21.0, on seeded models of the corpus with fitted heads, by",
        "",
        "    python benchmarks/suites/tflite_engines.py --folder FOLDER",
        "",
        "Each cell: size / error / time. Size and time are ratios to the float32 TFLite file, the "
        "error is the relative RMS",
        "error against it on 16 samples that calibration has not seen; 32 samples calibrate. One "
        "thread.",
    ]
    for precision in PRECISIONS:
        columns = [e for e in ENGINES if any(f"{e}.{precision}" in r for r in results.values())]
        columns = [e for e in columns if not (e == "tf" and precision == "int4")]
        lines += ["", f"### {precision}", ""]
        lines.append("| model | " + " | ".join(ENGINES[e] for e in columns) + " |")
        lines.append("| --- |" + " --- |" * len(columns))
        for name, cells in results.items():
            row = [_text(cells.get(f"{e}.{precision}", Cell(failure="none"))) for e in columns]
            lines.append(f"| {name} | " + " | ".join(row) + " |")
        medians = [_median(results, f"{e}.{precision}") for e in columns]
        lines.append("| **median** | " + " | ".join(medians) + " |")
    return "\n".join([*lines, "", END])


def _text(cell: Cell) -> str:
    if cell.failure:
        return f"fails: {cell.failure[:60].replace('|', '/')}"
    return f"{cell.size:.2f} / {cell.error:.2g} / {cell.time:.2f}"


def _median(results: Results, key: str) -> str:
    cells = [r[key] for r in results.values() if key in r and not r[key].failure]
    if not cells:
        return "none"
    of = {f: statistics.median(getattr(c, f) for c in cells) for f in ("size", "error", "time")}
    return f"**{of['size']:.2f} / {of['error']:.2g} / {of['time']:.2f}** ({len(cells)} files)"


def shortfalls(results: Results) -> list[str]:
    """Where edgekit's median is clearly worse than the TensorFlow converter's."""
    found = []
    for precision in PRECISIONS:
        pairs = [
            (r[f"tf.{precision}"], r[f"edgekit.{precision}"])
            for r in results.values()
            if {f"tf.{precision}", f"edgekit.{precision}"} <= r.keys()
        ]
        pairs = [(tf, ours) for tf, ours in pairs if not tf.failure and not ours.failure]
        for field in ("size", "error", "time") if pairs else ():
            theirs, ours = (statistics.median(getattr(p[i], field) for p in pairs) for i in (0, 1))
            if ours > _SLACK * theirs and not (field == "error" and ours < _SMALL_ERROR):
                found.append(f"{precision}: median {field} {ours:.3g}, TF converter {theirs:.3g}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="models and files; kept")
    parser.add_argument("--only", nargs="+", default=MODELS, metavar="MODEL")
    parser.add_argument("--step", choices=("convert", "measure"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    if arguments.step == "convert":
        convert(folder, arguments.only)
        return 0
    if arguments.step == "measure":
        print(json.dumps({k: asdict(c) for k, c in measure(folder, arguments.only[0]).items()}))
        return 0
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    build = [sys.executable, "-m", "scripts.corpus.build", str(folder), "--only", *arguments.only]
    subprocess.run(build, check=True, cwd=ROOT, env=environment)
    again = [sys.executable, __file__, "--folder", str(folder)]
    subprocess.run(
        [*again, "--step", "convert", "--only", *arguments.only], check=True, env=environment
    )
    results: Results = {}
    for name in arguments.only:
        command = [*again, "--step", "measure", "--only", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name}: {done.stderr.strip()[-300:]}", file=sys.stderr)
            continue
        cells = json.loads(done.stdout.strip().splitlines()[-1])
        results[name] = {key: Cell(**cell) for key, cell in cells.items()}
        print(f"{name}: measured", file=sys.stderr, flush=True)
    made = page(results)
    if arguments.only != MODELS:
        print(made)
    else:
        before = PAGE.read_text()
        PAGE.write_text(before[: before.index(BEGIN)] + made + before.split(END)[1])
    worse = shortfalls(results)
    print("\n".join(worse), file=sys.stderr)
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
