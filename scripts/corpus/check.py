"""Check converted files against Keras' answers, with none of edgekit's own code.

    python -m scripts.corpus.check FACTS.json FILE…

Prints one JSON line a file, as soon as it is done: a runtime that crashes takes only its own file
with it. Held-out samples come first, then the calibration samples, until a time budget is spent.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scripts.corpus.registry import Array

_BUDGET_S = 15.0
_LEAST_SAMPLES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """An opened file: what it takes and gives, and a function from named arrays to named arrays."""

    shapes: dict[str, tuple[Any, ...]]
    outputs: list[str]
    run: Callable[[dict[str, Array]], dict[str, Array]]

    @property
    def batch(self) -> int:
        """Samples in a call: the fixed first dimension, 1 where it is free."""
        sizes = [shape[0] for shape in self.shapes.values() if shape]
        return max((size for size in sizes if isinstance(size, int)), default=1)

    @property
    def states(self) -> list[str]:
        """Inputs that carry state from the call before."""
        return [name for name in self.shapes if name.startswith("state_")]


class MismatchError(Exception):
    """The file does not do what it must; the message says how."""


def main() -> int:
    """Check each file; always 0, the verdicts are on stdout."""
    facts_path, *files = (Path(argument) for argument in sys.argv[1:])
    facts = json.loads(facts_path.read_text())
    for file in files:
        try:
            found: dict[str, Any] = check(facts, facts_path.parent, file)
        except MismatchError as error:
            found = {"problem": str(error)}
        except Exception as error:  # whatever a runtime raises is the verdict on the file
            found = {"problem": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"}
        print(json.dumps({"file": str(file), **found}), flush=True)
    return 0


def check(facts: dict[str, Any], folder: Path, file: Path) -> dict[str, Any]:
    """Run `file` on the stored samples and measure the distance to the stored answers.

    Raises:
        MismatchError: names, shapes or values are not what the model's are.
    """
    session = _open(file)
    given, expected = _samples(facts, folder)
    if facts["stateful_steps"]:
        produced, count = _step(session, given, facts["stateful_steps"])
    else:
        produced, count = _run(session, given)
    return _distance(facts, _pair(expected, produced, count), count)


def _samples(facts: dict[str, Any], folder: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    parts = [np.load(folder / f"{facts['name']}{part}.npz") for part in (".held_out", "")]
    if facts["stateful_steps"]:
        parts = parts[1:]
    names = parts[0].files
    joined = {name: np.concatenate([part[name] for part in parts]) for name in names}
    inputs = {name: joined[name] for name in facts["inputs"]}
    return inputs, {name: joined[f"expected_{name}"] for name in facts["outputs"]}


def _open(file: Path) -> Session:
    if file.suffix == ".tflite":
        return _open_tflite(file)
    if file.suffix == ".onnx":
        return _open_onnx(file)
    return _open_saved_model(file)


def _open_tflite(file: Path) -> Session:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(file), num_threads=1)
    interpreter.allocate_tensors()
    signatures = interpreter.get_signature_list()
    if len(signatures) != 1:
        message = f"has {len(signatures)} signatures: {sorted(signatures)}"
        raise MismatchError(message)
    runner = interpreter.get_signature_runner()
    ins, outs = runner.get_input_details(), runner.get_output_details()

    def run(samples: dict[str, Array]) -> dict[str, Array]:
        answers = runner(**{name: _store(each, ins[name]) for name, each in samples.items()})
        return {name: _real(np.array(each), outs[name]) for name, each in answers.items()}

    shapes = {name: tuple(int(side) for side in each["shape"]) for name, each in ins.items()}
    return Session(shapes=shapes, outputs=list(outs), run=run)


def _store(values: Array, detail: dict[str, Any]) -> Array:
    scales = detail["quantization_parameters"]["scales"]
    wanted = np.dtype(detail["dtype"])
    if values.dtype.kind == "f" and wanted.kind in "iu" and len(scales):
        zero = detail["quantization_parameters"]["zero_points"][0]
        limits = np.iinfo(wanted)
        values = np.clip(np.round(values / scales[0]) + zero, limits.min, limits.max)
    return np.ascontiguousarray(values.astype(wanted))


def _real(values: Array, detail: dict[str, Any]) -> Array:
    scales = detail["quantization_parameters"]["scales"]
    if values.dtype.kind in "iu" and len(scales):
        zero = int(detail["quantization_parameters"]["zero_points"][0])
        return np.asarray((values.astype(np.float64) - zero) * scales[0])
    return values


def _open_onnx(file: Path) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    kinds = {"float16": "float16", "float": "float32", "double": "float64", "bool": "bool"}
    ins = {each.name: kinds.get(each.type[7:-1], each.type[7:-1]) for each in session.get_inputs()}
    outs = [each.name for each in session.get_outputs()]

    def run(samples: dict[str, Array]) -> dict[str, Array]:
        feed = {
            name: np.ascontiguousarray(each.astype(ins[name])) for name, each in samples.items()
        }
        return dict(zip(outs, session.run(None, feed), strict=True))

    shapes = {each.name: tuple(each.shape) for each in session.get_inputs()}
    return Session(shapes=shapes, outputs=outs, run=run)


def _open_saved_model(file: Path) -> Session:
    import tensorflow

    loaded = tensorflow.saved_model.load(str(file))
    function = loaded.signatures["serving_default"]
    ins = function.structured_input_signature[1]

    def run(samples: dict[str, Array]) -> dict[str, Array]:
        _ = loaded  # its variables live as long as it does
        feed = {n: tensorflow.constant(each, ins[n].dtype) for n, each in samples.items()}
        return {name: each.numpy() for name, each in function(**feed).items()}

    shapes = {name: tuple(each.shape) for name, each in ins.items()}
    return Session(shapes=shapes, outputs=list(function.structured_outputs), run=run)


def _names(session: Session, given: dict[str, Array]) -> dict[str, str]:
    """Ours to the file's, for the inputs that are no state."""
    takes = [name for name in session.shapes if name not in session.states]
    if set(takes) == set(given):
        return {name: name for name in given}
    if len(takes) == len(given) == 1:
        return {next(iter(given)): takes[0]}
    message = f"takes {takes}, the model takes {list(given)}"
    raise MismatchError(message)


def _run(session: Session, given: dict[str, Array]) -> tuple[dict[str, Array], int]:
    names, batch = _names(session, given), session.batch
    total = len(next(iter(given.values()))) // batch * batch
    started, parts = time.monotonic(), []
    for start in range(0, total, batch):
        parts.append(
            session.run({names[n]: each[start : start + batch] for n, each in given.items()})
        )
        if time.monotonic() - started > _BUDGET_S and start + batch >= _LEAST_SAMPLES:
            break
    return _joined(parts), len(parts) * batch


def _step(session: Session, given: dict[str, Array], steps: int) -> tuple[dict[str, Array], int]:
    """Zeros first, then what came out goes in again."""
    states, batch = session.states, session.batch
    if not states or not {f"{name}_next" for name in states} <= set(session.outputs):
        message = f"a stateful model takes {list(session.shapes)} and gives {session.outputs}"
        raise MismatchError(message)
    names = _names(session, given)
    carried = {name: np.zeros(session.shapes[name], np.float32) for name in states}
    parts = []
    for start in range(0, steps * batch, batch):
        feed = {names[n]: each[start : start + batch] for n, each in given.items()}
        answers = session.run({**feed, **carried})
        carried = {name: answers.pop(f"{name}_next") for name in states}
        parts.append(answers)
    return _joined(parts), steps * batch


def _joined(parts: list[dict[str, Array]]) -> dict[str, Array]:
    try:
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    except ValueError as error:
        message = f"outputs are {[each.shape for each in parts[0].values()]}: no batch axis"
        raise MismatchError(message) from error


def _pair(
    expected: dict[str, Array], produced: dict[str, Array], count: int
) -> list[tuple[str, Array, Array]]:
    """Outputs of the file beside those of the model, by name, or by their order."""
    if len(expected) != len(produced):
        message = f"gives {list(produced)}, the model gives {list(expected)}"
        raise MismatchError(message)
    if set(expected) != set(produced):
        produced = dict(zip(expected, produced.values(), strict=True))
    pairs = []
    for name, values in expected.items():
        reference, output = values[:count], produced[name]
        if reference.shape != output.shape:
            message = f"output {name!r} has shape {output.shape}, Keras gives {reference.shape}"
            raise MismatchError(message)
        if reference.dtype.kind == "f" and output.dtype.kind != "f":
            message = f"output {name!r} is {output.dtype} without a scale"
            raise MismatchError(message)
        pairs.append((name, reference.astype(np.float64), output.astype(np.float64)))
    return pairs


def _distance(
    facts: dict[str, Any], pairs: list[tuple[str, Array, Array]], count: int
) -> dict[str, Any]:
    """The worst output's numbers; `varying_cosine` leaves out what all samples share."""
    worst = {"relative_rms": 0.0, "cosine": 1.0, "varying_cosine": 1.0}
    for name, reference, output in pairs:
        if not np.isfinite(output).all():
            message = f"output {name!r} is not finite"
            raise MismatchError(message)
        size = float(np.sqrt(np.mean(reference**2))) + 1e-12
        error = float(np.sqrt(np.mean((output - reference) ** 2))) / size
        worst["relative_rms"] = max(worst["relative_rms"], error)
        worst["cosine"] = min(worst["cosine"], _cosine(reference, output))
        if not facts["constant"]:
            if float(np.abs(output - output[:1]).max()) < 1e-7 * size:
                message = f"output {name!r} is the same for every input"
                raise MismatchError(message)
            moving = (reference - reference.mean(0), output - output.mean(0))
            worst["varying_cosine"] = min(worst["varying_cosine"], _cosine(*moving))
    return {"problem": None, "samples": count, **worst}


def _cosine(left: Array, right: Array) -> float:
    sizes = np.sqrt(np.sum(left**2) * np.sum(right**2)) + 1e-24
    return float(np.sum(left * right) / sizes)


if __name__ == "__main__":
    sys.exit(main())
