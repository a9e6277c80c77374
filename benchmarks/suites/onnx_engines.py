#!/usr/bin/env python3
"""The ways to compress an ONNX file, compared: size, error and time against float32.

    python benchmarks/suites/onnx_engines.py --work /tmp/engines

Builds architectures of the corpus, converts each to float32 ONNX with edgekit, and makes every
compressed variant of it, those of edgekit and those of ONNX Runtime's own tools. Each model is
measured in a process of its own without TensorFlow, on one thread: rounds alternate between
the variants, times are process CPU time, so that other work on the machine matters little. Prints
two Markdown tables, which docs/quantization-onnx.md quotes. What is in the work folder already is
not built again. Exit code 3: nothing could be measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MODELS = (
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "separable_conv",
    "grouped_conv",
    "batch_norm_behind_relu",
    "unet",
    "conv1d",
    "temporal_convolution",
    "lstm",
    "gru",
    "transformer_exact_gelu",
    "text_transformer",
    "vision_transformer",
    "mlp_mixer",
    "text_embedding",
    "wide_and_deep",
    "multi_output",
    "dense_large",
)
ROUNDS = 9
_ROUND_S = 0.03
_ROOT = Path(__file__).resolve().parents[2]
Feeds = dict[str, NDArray[Any]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="keep models here (default: a temporary folder)")
    parser.add_argument("--models", nargs="+", default=list(MODELS), metavar="NAME")
    parser.add_argument("--measure", type=Path, metavar="FLOAT.onnx", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return 0
    with contextlib.ExitStack() as stack:
        folder = arguments.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        build(folder, arguments.models)
        results = {}
        for path in sorted(folder.glob("*.float32.onnx")):
            if path.name.partition(".")[0] not in arguments.models:
                continue
            command = [sys.executable, __file__, "--measure", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{path.name}: {done.stderr[-300:]}", file=sys.stderr)
                continue
            results[path.name.partition(".")[0]] = json.loads(done.stdout.splitlines()[-1])
            print(path.name, file=sys.stderr)
    if not results:
        return 3
    print_tables(results)
    return 0


# ---- models ---------------------------------------------------------------------------------


def build(folder: Path, names: list[str]) -> None:
    """Float32 ONNX files and samples of the architectures `names`, where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    if "dense_large" in names and not (folder / "dense_large.float32.onnx").exists():
        _dense(folder / "dense_large")
    missing = [n for n in names if not (folder / f"{n}.float32.onnx").exists()]
    if not missing:
        return
    command = [sys.executable, "-m", "scripts.corpus.build", str(folder), "--only", *missing]
    subprocess.run(command, cwd=_ROOT, check=True, stdout=sys.stderr)
    from edgekit.child import Limits
    from edgekit.progress import Progress
    from edgekit.request import ConvertRequest
    from edgekit_converters.convert import convert
    from edgekit_converters.workers import Workers

    with Workers(Limits(time_s=600), verbose=False, on_event=lambda _: None) as workers:
        for name in missing:
            request = ConvertRequest(
                source=folder / f"{name}.keras",
                out=folder,
                formats=("onnx",),
                calibrate=str(folder / f"{name}.npz"),
                preprocess=("none",),
            )
            convert(request, Progress(total=1, enabled=False), workers=workers)


def _dense(stem: Path) -> None:
    """Three dense layers of 512: matrices that do not fit the first cache."""
    import onnx

    random, helper = np.random.default_rng(1), onnx.helper
    weights, nodes, name = [], [], "x"
    for layer in range(3):
        values = random.standard_normal((512, 512)) / 16
        weights += [
            onnx.numpy_helper.from_array(values.astype(np.float32), f"w{layer}"),
            onnx.numpy_helper.from_array(random.random(512).astype(np.float32), f"b{layer}"),
        ]
        nodes += [
            helper.make_node("Gemm", [name, f"w{layer}", f"b{layer}"], [f"g{layer}"]),
            helper.make_node("Relu", [f"g{layer}"], [f"r{layer}"]),
        ]
        name = f"r{layer}"
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", kind, [1, 512])],
        [helper.make_tensor_value_info(name, kind, [1, 512])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, f"{stem}.float32.onnx")
    for suffix, count in (("npz", 32), ("held_out.npz", 16)):
        values = random.standard_normal((count, 512)).astype(np.float32)
        np.savez(f"{stem}.{suffix}", x=values)


# ---- variants -------------------------------------------------------------------------------


def variants(source: Path, samples: Feeds) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Each name with what writes the file."""
    from edgekit_converters import onnx_quantize as ours

    known = ours.calibrate(source, samples)

    def edgekit(precision: Any) -> Callable[[Path], None]:
        return lambda out: _ignore(ours.quantize(source, out, precision, samples=known))

    yield "float16, stored", edgekit("float16")
    yield "float16, computed (ORT)", lambda out: _half(source, out)
    yield "dynamic", edgekit("dynamic")
    yield "dynamic, DequantizeLinear", lambda out: _dequantized(source, out)
    yield "dynamic (ORT)", lambda out: _ort_dynamic(source, out)
    yield "int8", edgekit("int8")
    yield "int8, uint8 x int8 (ORT)", lambda out: _ort_static(source, out, samples, "QUInt8")
    yield "int8, int8 x int8 (ORT)", lambda out: _ort_static(source, out, samples, "QInt8")
    yield "int16x8", edgekit("int16x8")
    yield "int4", edgekit("int4")


def _ignore(_: object) -> None:
    """Drop a result."""


def _half(source: Path, out: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(str(source)), keep_io_types=True), str(out))


def _dequantized(source: Path, out: Path) -> None:
    """int8 weights behind DequantizeLinear, one scale for each output channel."""
    import onnx

    from edgekit_converters.onnx_prepare import prepare

    model = prepare(source)
    readers = {name: n for n in model.graph.node for name in n.input}
    axes = {"Conv": 0, "Gather": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": -1}
    made = []
    for tensor in list(model.graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        reader = readers.get(tensor.name)
        if values.dtype != np.float32 or values.ndim < 2 or values.size < 300 or reader is None:
            continue
        if reader.op_type not in axes:
            continue
        axis = axes[reader.op_type] % values.ndim
        others = tuple(a for a in range(values.ndim) if a != axis)
        scale = np.maximum(np.abs(values).max(axis=others, keepdims=True) / 127, 1e-30)
        name = tensor.name
        stored = np.rint(values / scale).astype(np.int8)
        tensor.CopyFrom(onnx.numpy_helper.from_array(stored, name + "_q"))
        flat = scale.reshape(-1).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(flat, name + "_s"))
        inputs = [name + "_q", name + "_s"]
        made.append(onnx.helper.make_node("DequantizeLinear", inputs, [name], axis=axis))
    nodes = [*made, *model.graph.node]
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    onnx.save(model, str(out))


def _ort_dynamic(source: Path, out: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(source, out, weight_type=QuantType.QInt8, per_channel=True)


def _ort_static(source: Path, out: Path, samples: Feeds, activation: str) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            count = len(next(iter(samples.values())))
            self.feeds = iter([{n: v[i] for n, v in samples.items()} for i in range(count)])

        def get_next(self) -> Feeds | None:
            return next(self.feeds, None)

    prepared = out.with_suffix(".prepared")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    kinds = {"activation_type": QuantType[activation], "weight_type": QuantType.QInt8}
    quantize_static(str(prepared), str(out), Reader(), per_channel=True, **kinds)
    prepared.unlink()


# ---- measuring ------------------------------------------------------------------------------


def measure(source: Path) -> dict[str, Any]:
    """Size, relative RMS error and CPU time of every variant of one float model."""
    logging.disable(logging.WARNING)
    stem = source.name.partition(".")[0]
    reference = session(source)
    samples = _samples(source.with_name(f"{stem}.npz"), reference)
    held_out = _samples(source.with_name(f"{stem}.held_out.npz"), reference)
    feeds = [{n: v[i] for n, v in held_out.items()} for i in range(len(_first(held_out)))]
    wanted = [reference.run(None, one) for one in feeds]
    sessions = {"float32": reference}
    facts: dict[str, dict[str, Any]] = {"float32": {"bytes": source.stat().st_size}}
    with tempfile.TemporaryDirectory() as folder:
        for name, write in variants(source, samples):
            out = Path(folder) / "variant.onnx"
            out.unlink(missing_ok=True)
            try:
                write(out)
                sessions[name] = session(out)
                given = [sessions[name].run(None, one) for one in feeds]
            except Exception as error:  # a tool that fails is a result
                sessions.pop(name, None)
                facts[name] = {"failed": f"{type(error).__name__}: {str(error)[:120]}"}
                continue
            facts[name] = {"bytes": out.stat().st_size, "error": _error(given, wanted)}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(ROUNDS):
        for name, one in sessions.items():
            times[name].append(_cpu_ns(one, feeds[0]))
    for name, values in times.items():
        facts[name]["cpu_ns"] = statistics.median(values)
    return facts


def session(path: Path) -> Any:
    """An ONNX Runtime session on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _samples(path: Path, model: Any) -> Feeds:
    kinds = {"float": np.float32, "int32": np.int32, "int64": np.int64, "uint8": np.uint8}
    with np.load(path) as arrays:
        return {
            one.name: arrays[one.name].astype(kinds[one.type[7:-1]])[:, None]
            for one in model.get_inputs()
        }


def _first(arrays: Feeds) -> NDArray[Any]:
    return next(iter(arrays.values()))


def _error(given: list[list[NDArray[Any]]], wanted: list[list[NDArray[Any]]]) -> float:
    """The worst output's RMS difference, relative to the RMS of what float32 gives."""
    worst = 0.0
    for index in range(len(wanted[0])):
        was = np.concatenate([one[index] for one in wanted]).astype(np.float64)
        now = np.concatenate([one[index] for one in given]).astype(np.float64)
        worst = max(worst, float(np.sqrt(np.mean((was - now) ** 2) / np.mean(was**2))))
    return worst


def _cpu_ns(model: Any, feeds: Feeds) -> float:
    """Median CPU time of one call."""
    model.run(None, feeds)
    values: list[int] = []
    end = time.perf_counter() + _ROUND_S
    while time.perf_counter() < end or len(values) < 3:
        start = time.thread_time_ns()
        model.run(None, feeds)
        values.append(time.thread_time_ns() - start)
    return statistics.median(values)


# ---- telling --------------------------------------------------------------------------------


def print_tables(results: dict[str, dict[str, Any]]) -> None:
    """Medians over the models, then every model with every variant, as Markdown."""
    names = list(dict.fromkeys(name for facts in results.values() for name in facts))[1:]
    print(
        "| variant | size / float32 | relative RMS error | time / float32 | worst time | failed |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for name in names:
        rows = [(f["float32"], f[name]) for f in results.values() if "bytes" in f.get(name, {})]
        failed = len(results) - len(rows)
        if not rows:
            print(f"| {name} | | | | | {failed} |")
            continue
        size, error, times = (
            [one["bytes"] / base["bytes"] for base, one in rows],
            [one["error"] for _, one in rows],
            [one["cpu_ns"] / base["cpu_ns"] for base, one in rows],
        )
        print(
            f"| {name} | {statistics.median(size):.2f} | {statistics.median(error):.4f} "
            f"| {statistics.median(times):.2f} | {max(times):.2f} | {failed or ''} |"
        )
    print("\n| model | KiB, us | " + " | ".join(names) + " |")
    print("| --- " * (len(names) + 2) + "|")
    for model, facts in results.items():
        base = facts["float32"]
        cells = [f"{base['bytes'] / 1024:.0f}, {base['cpu_ns'] / 1000:.0f}"]
        for name in names:
            one = facts.get(name, {})
            cells.append(
                f"{one['bytes'] / base['bytes']:.2f} {one['error']:.4f} "
                f"{one['cpu_ns'] / base['cpu_ns']:.2f}"
                if "bytes" in one
                else "-"
            )
        print(f"| {model} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    sys.exit(main())
