#!/usr/bin/env python3
"""Where the runtimes' own operators round differently from edgekit; tables of docs/rounding.md.

    python benchmarks/suites/rounding.py [--other-python /venv/with/tflite-runtime/bin/python]

Quantizes and dequantizes the same float32 values by edgekit and by one-operator models in LiteRT
(with XNNPACK, built-in kernels, reference kernels), ONNX Runtime, and, in the Python named by
``--other-python``, tflite-runtime. The values: every float32 whose quotient by the scale is a tie,
both of its neighbours, and a million random ones, a sixth of them beyond the range. Prints how many
stored numbers differ from edgekit's, and which formula each runtime follows. Exit code 1: edgekit
differs from its own rule.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RANDOM = 1_000_000
SCALES = (1 / 255, 1 / 128, 0.0235, 0.1, 1.0)
TYPES = {"int8": (-128, 0, 7), "uint8": (0, 128, 7), "int16": (0,)}
"""Stored dtypes, with the zero points that are tried."""
SETS = ("ties", "neighbours", "random")
RESOLVERS = {
    "XNNPACK": "AUTO",
    "built-in kernels": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference kernels": "BUILTIN_REF",
}
RULE = "float32 quotient, ties to even"
Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One tensor's quantization, and the values that are tried on it."""

    dtype: str
    scale: np.float32
    zero_point: int
    values: Array
    parts: dict[str, slice]

    @property
    def name(self) -> str:
        """Unique, and fit for a file."""
        return f"{self.dtype}_{self.scale}_{self.zero_point}"

    @property
    def codes(self) -> Array:
        """Every number the dtype can hold."""
        info = np.iinfo(self.dtype)
        return np.arange(info.min, info.max + 1).astype(self.dtype)


def cases() -> Iterator[Case]:
    """Each scale with each dtype and zero point."""
    random = np.random.default_rng(1)
    for dtype, zero_points in TYPES.items():
        info = np.iinfo(dtype)
        for zero_point in zero_points:
            for scale in map(np.float32, SCALES):
                tied = ties(scale, int(info.min) - zero_point, int(info.max) - zero_point)
                beside = [np.nextafter(tied, np.float32(side)) for side in (-np.inf, np.inf)]
                low, high = (float(scale) * (n - zero_point) for n in (info.min, info.max))
                width = (high - low) / 10
                drawn = random.uniform(low - width, high + width, RANDOM).astype(np.float32)
                values = np.concatenate([tied, *beside, drawn])
                ends = np.cumsum([0, tied.size, 2 * tied.size, drawn.size])
                parts = {n: slice(a, b) for n, a, b in zip(SETS, ends, ends[1:], strict=False)}
                yield Case(
                    dtype=dtype, scale=scale, zero_point=zero_point, values=values, parts=parts
                )


def ties(scale: np.float32, low: int, high: int) -> Array:
    """All float32 whose float32 quotient by `scale` is halfway between two integers in range."""
    halves = np.arange(low, high) + 0.5
    near = (halves * float(scale)).astype(np.float32)
    found = []
    for _ in range(3):
        near = np.nextafter(near, np.float32(-np.inf))
    for _ in range(7):
        found.append(near[near / scale == halves.astype(np.float32)])
        near = np.nextafter(near, np.float32(np.inf))
    return np.unique(np.concatenate(found))


def formulas(case: Case) -> dict[str, Array]:
    """What may be computed, step by step; the first is what is promised."""
    info = np.iinfo(case.dtype)
    quotient = case.values / case.scale
    product = case.values * (np.float32(1) / case.scale)
    double = case.values.astype(np.float64) / float(case.scale)
    numbers = {
        RULE: np.rint(quotient),
        "product with the float32 reciprocal, ties to even": np.rint(product),
        "float32 quotient, ties away from zero": away(quotient.astype(np.float64)),
        "product with the float32 reciprocal, ties away": away(product.astype(np.float64)),
        "float64 quotient, ties to even": np.rint(double),
        "float64 quotient, ties away from zero": away(double),
    }
    return {
        name: np.clip(n.astype(np.float64) + case.zero_point, info.min, info.max).astype(case.dtype)
        for name, n in numbers.items()
    }


def away(numbers: Array) -> Array:
    """Rounded, and ties away from zero."""
    rounded: Array = np.trunc(numbers + np.copysign(0.5, numbers))
    return rounded


# ---- one-operator models --------------------------------------------------------------------


def write_tflite(path: Path, case: Case, *, quantize: bool) -> None:
    """A model of QUANTIZE, or of DEQUANTIZE, alone."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    size = case.values.size if quantize else case.codes.size
    kinds = {"float32": 0, "uint8": 3, "int16": 7, "int8": 9}
    tensors = []
    for dtype in ("float32", case.dtype) if quantize else (case.dtype, "float32"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = dtype.encode(), np.array([size], np.int32), 0
        tensor.type = kinds[dtype]
        if dtype != "float32":
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.array([case.scale], np.float32)
            tensor.quantization.zeroPoint = np.array([case.zero_point], np.int64)
        tensors.append(tensor)
    operator, code, graph = schema.OperatorT(), schema.OperatorCodeT(), schema.SubGraphT()
    operator.inputs, operator.outputs = np.array([0], np.int32), np.array([1], np.int32)
    operators = schema.BuiltinOperator
    code.builtinCode = operators.QUANTIZE if quantize else operators.DEQUANTIZE
    code.deprecatedBuiltinCode, code.version = code.builtinCode, 2
    graph.tensors, graph.operators = tensors, [operator]
    graph.inputs, graph.outputs = operator.inputs, operator.outputs
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [schema.BufferT()]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def onnx_results(case: Case) -> tuple[Array, Array]:
    """QuantizeLinear of the values, DequantizeLinear of the codes."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    kind = {"int8": TensorProto.INT8, "uint8": TensorProto.UINT8, "int16": TensorProto.INT16}
    results = []
    for operator, given in (("QuantizeLinear", case.values), ("DequantizeLinear", case.codes)):
        kinds = [TensorProto.FLOAT, kind[case.dtype]]
        if operator == "DequantizeLinear":
            kinds.reverse()
        graph = helper.make_graph(
            [helper.make_node(operator, ["x", "s", "z"], ["y"])],
            "one",
            [helper.make_tensor_value_info("x", kinds[0], [None])],
            [helper.make_tensor_value_info("y", kinds[1], [None])],
            [
                numpy_helper.from_array(np.array(case.scale, np.float32), "s"),
                numpy_helper.from_array(np.array(case.zero_point, case.dtype), "z"),
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        results.append(session.run(None, {"x": given})[0])
    return results[0], results[1]


def answer(folder: Path) -> None:
    """Run all models in `folder` with the TFLite runtime of this Python (in its own process)."""
    try:
        from ai_edge_litert import interpreter as runtime
    except ImportError:
        from tflite_runtime import interpreter as runtime
    for path in folder.glob("*.tflite"):
        given = np.load(path.with_suffix(".npy"))
        for name, resolver in RESOLVERS.items():
            one = runtime.Interpreter(
                model_path=str(path),
                num_threads=1,
                experimental_op_resolver_type=getattr(runtime.OpResolverType, resolver),
            )
            one.allocate_tensors()
            one.set_tensor(one.get_input_details()[0]["index"], given)
            one.invoke()
            result = one.get_tensor(one.get_output_details()[0]["index"])
            np.save(folder / f"{path.stem}.{name}.result.npy", result)


def tflite_results(python: str, case: Case) -> dict[str, tuple[Array, Array]]:
    """The answers of the TFLite runtime that `python` has, one for each set of kernels."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stem, given in (("quantize", case.values), ("dequantize", case.codes)):
            write_tflite(folder / f"{stem}.tflite", case, quantize=stem == "quantize")
            np.save(folder / f"{stem}.npy", given)
        command = [python, __file__, "--answer", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            message = f"{python}: {done.stderr[-500:]}"
            raise RuntimeError(message)
        return {
            kernels: (
                np.load(folder / f"quantize.{kernels}.result.npy"),
                np.load(folder / f"dequantize.{kernels}.result.npy"),
            )
            for kernels in RESOLVERS
        }


# ---- comparing ------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--other-python", help="one that has tflite-runtime")
    parser.add_argument("--answer", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        answer(arguments.answer)
        return 0
    return compare(arguments.other_python)


def compare(other_python: str | None) -> int:
    """Ask all runtimes about all cases, and print what differs."""
    from edgekit.sessions.quantized import dequantize, quantize
    from edgekit.tensors import Quantization, TensorSpec

    counts: dict[tuple[str, str], dict[str, int]] = {}
    totals: dict[str, dict[str, int]] = {}
    met: dict[str, set[str]] = {}
    own_errors = 0
    for case in cases():
        print(case.name, file=sys.stderr)
        about = Quantization(scale=(float(case.scale),), zero_point=(case.zero_point,))
        spec = TensorSpec(name="x", shape=(None,), dtype=case.dtype, quantization=about)
        own, back = quantize(case.values, spec), dequantize(case.codes, spec)
        expected = formulas(case)
        own_errors += int((own != expected[RULE]).sum())
        answers = {f"LiteRT, {n}": a for n, a in tflite_results(sys.executable, case).items()}
        if other_python:
            others = tflite_results(other_python, case)
            answers |= {f"tflite-runtime, {n}": a for n, a in others.items()}
        answers["ONNX Runtime"] = onnx_results(case)
        total = totals.setdefault(case.dtype, dict.fromkeys((*SETS, "decoded"), 0))
        for part, where in case.parts.items():
            total[part] += where.stop - where.start
        total["decoded"] += case.codes.size
        for runtime, (stored, real) in answers.items():
            count = counts.setdefault((runtime, case.dtype), dict.fromkeys(total, 0))
            for part, where in case.parts.items():
                count[part] += int((stored[where] != own[where]).sum())
            count["decoded"] += int((real != back).sum())
            fit = {name for name, numbers in expected.items() if np.array_equal(stored, numbers)}
            met[runtime] = met.get(runtime, fit) & fit
            off = np.abs(stored.astype(np.int64) - own).max()
            count["largest"] = max(count.get("largest", 0), int(off))
    print(f"edgekit against its rule: {own_errors} differences\n")
    print("| runtime | dtype | ties | neighbours | random | largest | dequantized |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for (runtime, dtype), count in sorted(counts.items()):
        total = totals[dtype]
        cells = [f"{count[p]:,} of {total[p]:,}" for p in SETS]
        decoded = f"{count['decoded']:,} of {total['decoded']:,}"
        row = [runtime, dtype, *cells, str(count["largest"]), decoded]
        print(f"| {' | '.join(row)} |")
    print("\nwhat each quantizes by, met by all values of all cases:")
    for runtime, names in sorted(met.items()):
        print(f"{runtime}: {'; '.join(sorted(names)) or 'none of the formulas tried'}")
    return 1 if own_errors else 0


if __name__ == "__main__":
    sys.exit(main())
