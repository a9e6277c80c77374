#!/usr/bin/env python3
"""What quantizing and dequantizing cost: by edgekit, by plain NumPy, in the file, and not at all.

    python benchmarks/suites/quantizing.py [--work FOLDER]

First the two steps alone, on 224x224x3 (also with cold caches), 96x96x3 and 10 elements: edgekit's
encoder and decoder, NumPy as everyone writes it, a copy of the float32 bytes, ``set_tensor`` of a
float32 input, and the runtimes' own operators in a model of one. Then MobileNetV2 at 224x224
(random weights, converted here and kept in FOLDER): the int8 file by `edgekit.load`, floats in and
out, against the file that takes float32 by the raw interpreter. One thread, and its CPU time, which
other work on the machine disturbs least; arms alternate in every round, in an order that rotates;
ratios are of the same round. Exit code 1: a bar is missed; 3: nothing could be measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgekit
from edgekit.sessions.quantized import decoder, encoder
from edgekit.tensors import Quantization, TensorSpec

ROUNDS = 61
SAMPLE_S = 0.002
"""How long one arm runs for one value of the first part."""
MODEL_ROUNDS = 201
FILE_BAR = 1.05
"""Highest allowed median ratio: edgekit with the int8 file over the raw float32-I/O file."""
PLAIN_BAR = 1.1
"""Highest allowed median ratio of edgekit over plain NumPy, for each of the two steps."""
TINY_BAR_NS = 1500
"""Dequantizing 10 elements into a new array, undisturbed: the fastest round."""
SCALE, ZERO_POINT = np.float32(1 / 255), -128
_EVICTED_BYTES = 8 << 20
"""Touched before a call whose caches are to be cold, as they are when a model ran in between."""
SHAPES = {"224x224x3": (1, 224, 224, 3), "96x96x3": (1, 96, 96, 3), "10": (1, 10)}
Array = NDArray[Any]
Arms = dict[str, Callable[[], object]]

MAKE_MODEL = """
import sys
import keras, numpy as np
keras.utils.set_random_seed(1)
keras.applications.MobileNetV2((224, 224, 3), weights=None).save(sys.argv[1])
np.savez(sys.argv[2], x=np.random.default_rng(2).random((8, 224, 224, 3), np.float32))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, help="keep the models here (default: temporary)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--no-model", action="store_true", help="only the two steps alone")
    parser.add_argument("--json", action="store_true", help="one JSON document with all times")
    arguments = parser.parse_args()
    if arguments.rounds < 11:
        parser.error("--rounds must be at least 11")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.work or Path(temporary)
        try:
            if not arguments.no_model:
                convert(folder)
        except subprocess.CalledProcessError as error:
            print(f"quantizing: {error.cmd[:3]} failed: {error.stderr[-1500:]}", file=sys.stderr)
            return 3
        groups = {}
        for name, shape in SHAPES.items():
            for direction, arms in (("quantize", into(shape)), ("dequantize", back(shape))):
                groups[f"{direction} {name}"] = measure(arms, arguments.rounds, SAMPLE_S)
                if shape[1] == 224:
                    cold = measure(arms, 3 * arguments.rounds, 0, cold=True)
                    groups[f"{direction} {name}, cold"] = cold
        if not arguments.no_model:
            groups["MobileNetV2 224"] = measure(model_arms(folder), MODEL_ROUNDS, 0.0)
    missed = judge(groups)
    if arguments.json:
        print(json.dumps({"schema_version": 1, "time_ns": groups, "missed": missed}, indent=2))
    else:
        for name, times in groups.items():
            print_table(name, times)
        print("missed: " + "; ".join(missed) if missed else "all bars held")
    return 1 if missed else 0


# ---- the two steps alone --------------------------------------------------------------------


def into(shape: tuple[int, ...]) -> Arms:
    """Ways from float32 to int8."""
    random = np.random.default_rng(1)
    inside = random.random(shape, np.float32)
    beyond = (inside * np.float32(1.3) - np.float32(0.15)).astype(np.float32)
    as_double, pixels = inside.astype(np.float64), (inside * 255).astype(np.uint8)
    out, copy = np.empty(shape, np.int8), np.empty(shape, np.float32)
    encode = encoder(spec(shape))
    whole = encoder(spec(shape, scale=1.0))
    interpreter, index, _ = operator(shape)
    linear = linear_operator()
    return {
        "edgekit": lambda: encode(inside, out),
        "edgekit, saturating": lambda: encode(beyond, out),
        "edgekit, float64": lambda: encode(as_double, out),
        "edgekit, uint8 pixels at scale 1": lambda: whole(pixels, out),
        "plain NumPy": lambda: plain_quantize(inside),
        "copy of the float32": lambda: np.copyto(copy, inside),
        "set_tensor of float32": lambda: interpreter.set_tensor(index, inside),
        "LiteRT's QUANTIZE": lambda: run_operator(interpreter, index, inside),
        "ONNX Runtime's QuantizeLinear": lambda: linear(inside),
    }


def back(shape: tuple[int, ...]) -> Arms:
    """Ways from int8 to float32."""
    codes = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    out, copy = np.empty(shape, np.float32), np.empty(shape, np.float32)
    decode = decoder(spec(shape))
    symmetric = decoder(spec(shape, zero_point=0))
    return {
        "edgekit": lambda: decode(codes, out),
        "edgekit, new array": lambda: decode(codes, None),
        "edgekit, zero point 0": lambda: symmetric(codes, out),
        "plain NumPy": lambda: (codes.astype(np.float32) - np.float32(ZERO_POINT)) * SCALE,
        "copy of the float32": lambda: np.copyto(out, copy),
        "cast alone": lambda: np.copyto(out, codes),
    }


def plain_quantize(values: Array) -> Array:
    """As everyone writes it."""
    stored: Array = np.clip(np.rint(values / SCALE) + ZERO_POINT, -128, 127).astype(np.int8)
    return stored


def spec(
    shape: tuple[int, ...], *, scale: float = float(SCALE), zero_point: int = ZERO_POINT
) -> TensorSpec:
    quantization = Quantization(scale=(scale,), zero_point=(zero_point,))
    return TensorSpec(name="x", shape=shape, dtype="int8", quantization=quantization)


def operator(shape: tuple[int, ...]) -> tuple[Any, int, int]:
    """An interpreter of the operator QUANTIZE alone, with the indices of its two tensors."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    real, stored = schema.TensorT(), schema.TensorT()
    for tensor, name, kind in ((real, b"real", 0), (stored, b"stored", 9)):
        tensor.name, tensor.shape, tensor.type = name, np.array(shape, np.int32), kind
        tensor.buffer = 0
    stored.quantization = schema.QuantizationParametersT()
    stored.quantization.scale = np.array([SCALE], np.float32)
    stored.quantization.zeroPoint = np.array([ZERO_POINT], np.int64)
    one, code, graph = schema.OperatorT(), schema.OperatorCodeT(), schema.SubGraphT()
    one.inputs, one.outputs = np.array([0], np.int32), np.array([1], np.int32)
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    code.version = 1
    graph.tensors, graph.operators = [real, stored], [one]
    graph.inputs, graph.outputs = one.inputs, one.outputs
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return opened(model_content=bytes(builder.Output()))


def opened(**source: Any) -> tuple[Any, int, int]:
    """A raw interpreter on one thread, and the indices of its input and output."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(num_threads=1, **source)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    return interpreter, given["index"], made["index"]


def run_operator(interpreter: Any, index: int, values: Array) -> None:
    """In and computed; the result stays inside."""
    interpreter.set_tensor(index, values)
    interpreter.invoke()


def linear_operator() -> Callable[[Array], object]:
    """ONNX Runtime on QuantizeLinear alone."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.INT8, None)],
        [
            numpy_helper.from_array(np.array(SCALE, np.float32), "s"),
            numpy_helper.from_array(np.array(ZERO_POINT, np.int8), "z"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda values: session.run(None, {"x": values})


# ---- a whole model --------------------------------------------------------------------------


def convert(folder: Path) -> None:
    """MobileNetV2 as int8 files that take int8 and float32, where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    edgekit_command = str(Path(sys.executable).with_name("edgekit"))
    model, data = folder / "mobilenet_v2.keras", folder / "samples.npz"
    if not (model.exists() and data.exists()):
        checked([sys.executable, "-c", MAKE_MODEL, str(model), str(data)])
    for io in ("int8", "float32"):
        out = folder / f"{io}_io.tflite"
        if not out.exists():
            print(f"converting to {out.name}", file=sys.stderr)
            wanted = ["-q", "int8", "--io", io, "--calibrate", str(data), "--preprocess", "none"]
            command = [edgekit_command, "convert", str(model), *wanted, "-o", str(out)]
            checked([*command, "--no-verify", "--no-repair"])


def checked(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def model_arms(folder: Path) -> Arms:
    """One image, from float32 to float32, and what is under it."""
    with np.load(folder / "samples.npz") as samples:
        image = samples["x"][:1].copy()
    model = edgekit.load(folder / "int8_io.tflite")
    about = model.inputs[0]
    codes = np.empty(image.shape, about.dtype)
    encoder(about)(image, codes)
    encode, decode = encoder(about), decoder(model.outputs[0])
    result = np.empty(model(image).shape, np.float32)
    quantized, quantized_in, quantized_out = opened(model_path=str(folder / "int8_io.tflite"))
    real, real_in, real_out = opened(model_path=str(folder / "float32_io.tflite"))
    assert real.get_input_details()[0]["dtype"] == np.float32

    def raw(interpreter: Any, given: int, values: Array, made: int) -> Array:
        interpreter.set_tensor(given, values)
        interpreter.invoke()
        output: Array = interpreter.get_tensor(made)
        return output

    def by_hand() -> Array:
        assert about.quantization is not None
        scale, zero_point = about.quantization.scale[0], about.quantization.zero_point[0]
        stored = np.clip(np.rint(image / np.float32(scale)) + zero_point, -128, 127)
        made = raw(quantized, quantized_in, stored.astype(np.int8), quantized_out)
        return decode(made, None)

    return {
        "edgekit, int8 file": lambda: model(image),
        "edgekit, int8 file, out=": lambda: model(image, out=result),
        "raw, float32-I/O file": lambda: raw(real, real_in, image, real_out),
        "raw, int8 file, plain NumPy": by_hand,
        "raw, int8 file, int8 data": lambda: raw(quantized, quantized_in, codes, quantized_out),
        "edgekit's two steps alone": lambda: (encode(image, codes), decode(codes[0, 0, :1], None)),
    }


# ---- measuring and telling ------------------------------------------------------------------


def measure(
    arms: Arms, rounds: int, sample_s: float, *, cold: bool = False
) -> dict[str, list[float]]:
    """CPU time in ns of a call of each arm, one value a round: the mean over about `sample_s`.

    With `cold`, a value is one call, before which the caches are filled with something else.
    """
    other, copy = np.zeros(_EVICTED_BYTES // 2, np.int8), np.empty(_EVICTED_BYTES // 2, np.int8)
    repeats = {}
    for name, arm in arms.items():
        arm()
        start = time.perf_counter()
        for _ in range(5):
            arm()
        each = (time.perf_counter() - start) / 5
        repeats[name] = 1 if cold else max(1, round(sample_s / each))
    times: dict[str, list[float]] = {name: [] for name in arms}
    names = list(arms)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            arm, count = arms[name], repeats[name]
            if cold:
                np.copyto(copy, other)
            else:
                arm(), arm()  # the caches still hold another arm's data
            start_ns = time.thread_time_ns()
            for _ in range(count):
                arm()
            times[name].append((time.thread_time_ns() - start_ns) / count)
    return times


def ratios(times: dict[str, list[float]], name: str, base: str) -> list[float]:
    return [own / other for own, other in zip(times[name], times[base], strict=True)]


def judge(groups: dict[str, dict[str, list[float]]]) -> list[str]:
    """The bars that are missed."""
    missed = []
    for name, times in groups.items():
        if "plain NumPy" in times:
            ratio = statistics.median(ratios(times, "edgekit", "plain NumPy"))
            if ratio > PLAIN_BAR:
                missed.append(f"{name}: {ratio:.2f} of plain NumPy, bar {PLAIN_BAR}")
    if "MobileNetV2 224" in groups:
        times = groups["MobileNetV2 224"]
        ratio = statistics.median(ratios(times, "edgekit, int8 file", "raw, float32-I/O file"))
        if ratio > FILE_BAR:
            missed.append(f"MobileNetV2: {ratio:.3f} of the raw float32-I/O file, bar {FILE_BAR}")
    tiny = min(groups["dequantize 10"]["edgekit, new array"])
    if tiny > TINY_BAR_NS:
        missed.append(f"dequantize 10: {tiny:.0f} ns, bar {TINY_BAR_NS}")
    return missed


def print_table(name: str, times: dict[str, list[float]]) -> None:
    """Median, quartiles, and the ratio to the first arm, of every arm."""
    first = next(iter(times))
    print(f"\n| {name} | median us | half within | of {first} (half within) |")
    print("| --- | ---: | ---: | ---: |")
    for arm, values in times.items():
        low, middle, high = (v / 1000 for v in statistics.quantiles(values, n=4))
        lower, ratio, upper = statistics.quantiles(ratios(times, arm, first), n=4)
        print(
            f"| {arm} | {middle:.2f} | {low:.2f}..{high:.2f} "
            f"| {ratio:.3f} ({lower:.3f}..{upper:.3f}) |"
        )


if __name__ == "__main__":
    sys.exit(main())
