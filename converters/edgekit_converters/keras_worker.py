"""Served in the one child process that imports TensorFlow: load, reference, trace, float files.

Calls name everything they need, and what was loaded is kept between them: a child started anew
after a crash answers the next call as the old one would have.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.child_main import tell
from edgekit.errors import SourceError
from edgekit.keras_ranges import read_ranges
from edgekit.tensors import TensorSpec
from edgekit_converters import (
    keras_onnx,
    keras_precision,
    keras_ranges,
    keras_source,
    keras_tflite,
    keras_trace,
    samples,
)
from edgekit_converters.keras_trace import Traced
from edgekit_converters.loaded_model import LoadedModel
from edgekit_converters.no_bytecode import no_bytecode
from edgekit_converters.tensorflow_setup import tensorflow

_CHUNK = 16

_models: dict[tuple[Any, ...], LoadedModel] = {}
_traced: dict[str, Traced] = {}


def warm_up() -> dict[str, str]:
    """Import the framework, and say its versions."""
    tell("importing TensorFlow")
    tf = tensorflow()
    import keras

    return {"tensorflow": tf.__version__, "keras": keras.__version__}


def prepare(
    *,
    source: dict[str, Any],
    workspace: str,
    batch: int | None,
    shapes: dict[str, list[int | None]],
    data: str | None,
    count: int,
    preprocess: list[str],
) -> dict[str, Any]:
    """Load the model, write samples, reference outputs and the SavedModel; say what it is.

    `source` has ``path``, ``custom_objects`` and ``trust``. In the folder `workspace` this makes
    ``samples.npz``, ``verify.npz`` (the first of them), ``reference.npz`` and ``rolled/``; and
    ``learned.npz``, where the model file has ranges that were learned in training.
    """
    folder = Path(workspace)
    made = _prepared(
        _model(source),
        folder,
        batch=batch,
        shapes=shapes,
        data=data,
        count=count,
        preprocess=preprocess,
    )
    ranges = {} if Path(source["path"]).is_dir() else read_ranges(source["path"])
    if ranges:
        first = samples.load(folder / "samples.npz")
        keras_ranges.learned(_model(source), ranges, first).save(folder / "learned.npz")
    return made | {"has_learned_ranges": bool(ranges)}


def describe(model: LoadedModel, inputs: tuple[TensorSpec, ...], folder: Path) -> dict[str, Any]:
    """Trace and save `model`, write its reference outputs; needs ``samples.npz`` in `folder`."""
    traced = keras_trace.trace(model, inputs)
    keras_trace.save(traced, folder / "rolled")
    _traced[str(folder / "rolled")] = traced
    write_reference(model, traced, folder)
    tf = tensorflow()
    return {
        "framework": model.framework,
        "framework_version": _framework_version(model, tf),
        "inputs": [spec.to_dict() for spec in traced.inputs],
        "outputs": [spec.to_dict() for spec in traced.outputs],
        "states": [list(pair) for pair in traced.states],
        "recurrent": bool(keras_trace.recurrent_layers(model)),
    }


def write_reference(model: LoadedModel, traced: Traced, folder: Path) -> None:
    """Write what the original model gives for the first samples to ``reference.npz``.

    A stateful model is stepped through the samples from its initial state; the states it went
    through become inputs of the samples, so that one call of the converted file is one step.
    """
    first = samples.load(folder / "verify.npz")
    if traced.states:
        for file in ("samples.npz", "verify.npz"):
            given = samples.load(folder / file)
            states, outputs = _run_through_states(model, traced, given)
            samples.save(given | states, folder / file)
    elif _batches_freely(model, first):
        outputs = _run_batched(model, first)
    else:
        outputs = _run_singly(model, first)
    names = [spec.name for spec in traced.outputs]
    samples.save({name: outputs[name] for name in names}, folder / "reference.npz")


def prepare_object(
    model: Any,
    *,
    unroll: bool,
    workspace: str,
    batch: int | None,
    shapes: dict[str, list[int | None]],
    data: str | None,
    count: int,
    preprocess: list[str],
) -> dict[str, Any]:
    """`prepare` for a model object, in the process that holds it.

    With `unroll` and recurrent layers it also makes ``unrolled/``: no other process can.
    """
    folder = Path(workspace)
    with keras_precision.policies_kept(model), no_bytecode():
        loaded = keras_source.from_object(model)
        made = _prepared(
            loaded,
            folder,
            batch=batch,
            shapes=shapes,
            data=data,
            count=count,
            preprocess=preprocess,
        )
        if unroll and made["recurrent"]:
            _unroll(loaded, made["inputs"], made["states"], folder / "unrolled")
    _traced.clear()
    return made


def unroll(
    *, source: dict[str, Any], inputs: list[dict[str, Any]], states: list[list[str]], out: str
) -> None:
    """Save the model with its recurrent layers unrolled as the SavedModel folder `out`."""
    tell("unrolling")
    _unroll(_model(source), inputs, states, Path(out))


def to_tflite(*, saved: str, out: str, allow_flex: bool) -> None:
    """Make the float32 TFLite file `out`."""
    keras_tflite.to_tflite(Path(saved), Path(out), allow_flex=allow_flex)


def to_quantized_tflite(*, saved: str, out: str, precision: Any, data: str) -> None:
    """Make the int8 or int16x8 TFLite file `out` with TensorFlow's own quantizer."""
    keras_tflite.to_quantized_tflite(Path(saved), Path(out), precision, samples.load(Path(data)))


def to_onnx(*, saved: str, out: str) -> None:
    """Make the float32 ONNX file `out`."""
    keras_onnx.to_onnx(_concrete(saved), Path(out))


def to_savedmodel(*, saved: str, out: str) -> None:
    """Copy the SavedModel folder `saved` to `out`."""
    shutil.copytree(saved, out)


def run_savedmodel(*, saved: str, data: str, out: str) -> None:
    """Load the SavedModel folder `saved` afresh and write its outputs for the samples `data`."""
    function = tensorflow().saved_model.load(saved).signatures["serving_default"]
    given = samples.load(Path(data))
    count = len(next(iter(given.values())))
    steps = [function(**_tensors({n: a[i] for n, a in given.items()})) for i in range(count)]
    samples.save({n: np.stack([s[n].numpy() for s in steps]) for n in steps[0]}, Path(out))


# ---- the model, kept between calls --------------------------------------------------------------


def _prepared(
    model: LoadedModel,
    folder: Path,
    *,
    batch: int | None,
    shapes: dict[str, list[int | None]],
    data: str | None,
    count: int,
    preprocess: list[str],
) -> dict[str, Any]:
    inputs = keras_trace.fixed_shapes(
        model, batch=batch, shapes={n: tuple(s) for n, s in shapes.items()}
    )
    tell("reading samples")
    made = samples.prepare(
        data,
        inputs,
        folder,
        count=count,
        preprocess=preprocess,
        pixel_range=_pixel_range(model),
        integer_bounds=_integer_bounds(model, inputs),
    )
    tell("tracing")
    return describe(model, inputs, folder) | {
        "samples": made.count,
        "unseen": made.unseen,
        "random": made.is_random,
        "warnings": [*model.warnings, *made.warnings],
        "preprocess": {name: steps.to_dict() for name, steps in made.preprocess.items()},
    }


def _unroll(
    model: LoadedModel, inputs: list[dict[str, Any]], states: list[list[str]], out: Path
) -> None:
    carried = {given for given, _ in states}
    own = tuple(TensorSpec.from_dict(spec) for spec in inputs if spec["name"] not in carried)
    traced = keras_trace.trace(model, own, unroll=True)
    keras_trace.save(traced, out)
    _traced[str(out)] = traced


def _model(source: dict[str, Any]) -> LoadedModel:
    key = (source["path"], source["custom_objects"], source["trust"])
    if key not in _models:
        tell("importing TensorFlow")
        tensorflow()
        tell("loading the model")
        _models[key] = keras_source.load(
            source["path"], custom_objects=source["custom_objects"], trust=source["trust"]
        )
    return _models[key]


def _concrete(saved: str) -> Any:
    traced, copy = _traced.get(saved), keras_trace.inlinable(Path(saved))
    if traced is None or copy is not None:  # a child started anew, or a better form
        module = tensorflow().saved_model.load(str(copy or saved))
        function = module.signatures["serving_default"]
        function.kept = module
        return function
    tf = tensorflow()
    return traced.function.get_concrete_function(
        **{s.name: tf.TensorSpec(s.shape, s.dtype, name=s.name) for s in traced.inputs}
    )


def _framework_version(model: LoadedModel, tf: Any) -> str:
    if model.framework == "savedmodel":
        return str(tf.__version__)
    import importlib

    return str(importlib.import_module(model.framework).__version__)


# ---- what the model gives -----------------------------------------------------------------------


def _tensors(arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    tf = tensorflow()
    return {name: tf.constant(array) for name, array in arrays.items()}


def _batches_freely(model: LoadedModel, given: dict[str, NDArray[Any]]) -> bool:
    """Whether many samples go in at once: every input has a free batch in the original model."""
    return all(spec.shape and spec.shape[0] is None for spec in model.inputs) and all(
        array.shape[1] == 1 for array in given.values()
    )


def _run_batched(model: LoadedModel, given: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    count = len(next(iter(given.values())))
    parts = []
    for start in range(0, count, _CHUNK):
        chunk = {n: a[start : start + _CHUNK, 0] for n, a in given.items()}
        parts.append({n: v.numpy() for n, v in model.call(_tensors(chunk)).items()})
    joined = {n: np.concatenate([part[n] for part in parts]) for n in parts[0]}
    for name, array in joined.items():
        if len(array) != count:
            message = (
                f"{model.name}: output {name!r} has no batch dimension ({array.shape}), so "
                "samples cannot be told apart; return one row a sample"
            )
            raise SourceError(message)
    return {n: a[:, np.newaxis] for n, a in joined.items()}


def _run_singly(model: LoadedModel, given: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    count = len(next(iter(given.values())))
    calls = [model.call(_tensors({n: a[i] for n, a in given.items()})) for i in range(count)]
    return {n: np.stack([call[n].numpy() for call in calls]) for n in calls[0]}


def _run_through_states(
    model: LoadedModel, traced: Traced, given: dict[str, NDArray[Any]]
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """The states the original model goes through from its initial one, and what it gives there."""
    for layer in keras_trace.stateful_layers(model):
        (getattr(layer, "reset_state", None) or layer.reset_states)()
    variables = keras_trace.state_variables(model)
    count = len(next(iter(given.values())))
    along = [[np.array(variable) for variable in variables]]
    calls = []
    for i in range(count):
        calls.append(model.call(_tensors({n: a[i] for n, a in given.items()})))
        along.append([np.array(variable) for variable in variables])
    trail = [np.stack([step[k] for step in along]) for k in range(len(variables))]
    states = {pair[0]: trail[k][:-1] for k, pair in enumerate(traced.states)}
    outputs = {n: np.stack([call[n].numpy() for call in calls]) for n in calls[0]}
    outputs |= {pair[1]: trail[k][1:] for k, pair in enumerate(traced.states)}
    return states, outputs


# ---- what the inputs look like ------------------------------------------------------------------


def _pixel_range(model: LoadedModel) -> str | None:
    """What pixel values the model wants: ``0..255`` when it rescales them itself."""
    layers = model.layers()
    if not layers:
        return None
    scales = [np.asarray(layer.scale) for layer in layers if type(layer).__name__ == "Rescaling"]
    if any(float(np.abs(scale).max()) <= 1 / 64 for scale in scales):
        return "0..255"
    means = [np.asarray(layer.mean) for layer in layers if type(layer).__name__ == "Normalization"]
    if any(float(np.abs(mean).max()) > 2 for mean in means):
        return "0..255"
    return None if scales or means else "0..1"


def _integer_bounds(model: LoadedModel, inputs: tuple[TensorSpec, ...]) -> dict[str, int]:
    """Exclusive upper bounds for random integers, from the smallest embedding of the model."""
    sizes = [
        int(size)
        for layer in model.layers()
        for size in (getattr(layer, "input_dim", None), getattr(layer, "num_tokens", None))
        if isinstance(size, int)
    ]
    high = min(sizes, default=2)
    return {spec.name: high for spec in inputs if "int" in spec.dtype}
