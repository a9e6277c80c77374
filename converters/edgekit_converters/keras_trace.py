"""Freeze how a loaded model is called: names, shapes, batch and state become a SavedModel.

Every target is made from this one SavedModel, so TFLite, ONNX and the reference agree on names:
inputs and outputs are called what the model's author called them. The state of stateful RNNs
becomes explicit: `state_<i>` goes in, `state_<i>_next` comes out, and the app feeds it back; so
the same file works in every runtime and can be verified as a pure function.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import ConversionError, UsageError
from edgekit.tensors import TensorSpec
from edgekit_converters.loaded_model import LoadedModel
from edgekit_converters.tensorflow_setup import tensorflow

UNROLL_LIMIT_STEPS = 256
"""Longer sequences are not unrolled: the graph would grow past what a small device can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """One concrete function and what it takes and gives."""

    function: Any
    """A tf.function with `inputs` as keyword arguments, returning a dict of `outputs`."""
    trackable: Any
    """What owns the variables."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    states: tuple[tuple[str, str], ...]
    """Names of (input, output) pairs that carry state from one call to the next."""


def fixed_shapes(
    model: LoadedModel, *, batch: int | None, shapes: Mapping[str, tuple[int | None, ...]]
) -> tuple[TensorSpec, ...]:
    """The model's inputs with the batch and all free dimensions decided.

    `batch` is a number, 0 for a free ("dynamic") batch, or None for the model's own, else 1.
    `shapes` overrides whole shapes by input name, batch included; None in one keeps a dimension
    free on purpose.

    Raises:
        UsageError: an unknown input name, a shape that contradicts the model, or a dimension that
            is free and was not decided.
    """
    unknown = sorted(set(shapes) - {spec.name for spec in model.inputs})
    if unknown:
        known = ", ".join(spec.name for spec in model.inputs)
        message = f"--input-shape {unknown[0]}: no such input; {model.name} has: {known}"
        raise UsageError(message)
    return tuple(_fixed(model.name, spec, batch, shapes.get(spec.name)) for spec in model.inputs)


def _fixed(
    model: str, spec: TensorSpec, batch: int | None, given: tuple[int | None, ...] | None
) -> TensorSpec:
    declared = spec.shape
    if given is not None:
        if len(given) == len(declared) - 1:
            given = (declared[0], *given)
        fits = len(given) == len(declared) and all(
            want is None or got is None or want == got
            for want, got in zip(declared, given, strict=False)
        )
        if not fits:
            message = (
                f"--input-shape {spec.name}={_text(given)}: the model takes {_text(declared)}; "
                "give a shape that fits it"
            )
            raise UsageError(message)
    shape = list(given or declared)
    if not shape:
        return spec
    own = declared[0]
    if batch is not None and own is not None and batch != own:
        message = (
            f"--batch {batch or 'dynamic'}: {model} was built for a batch of {own}; "
            f"leave --batch out, or say --batch {own}"
        )
        raise UsageError(message)
    if given is None or given[0] is None:
        shape[0] = own if batch is None and own else (1 if batch is None else (batch or None))
    if given is None and None in shape[1:]:
        message = (
            f"{model}: input {spec.name!r} has free dimensions {_text(declared)}; fix them with "
            f"--input-shape {spec.name}={_example(declared)} ('?' keeps one free)"
        )
        raise UsageError(message)
    return TensorSpec(name=spec.name, shape=tuple(shape), dtype=spec.dtype)


def _text(shape: tuple[int | None, ...]) -> str:
    return ",".join("?" if size is None else str(size) for size in shape)


def _example(shape: tuple[int | None, ...]) -> str:
    return ",".join("1" if i == 0 else str(size or 96) for i, size in enumerate(shape))


def trace(model: LoadedModel, inputs: tuple[TensorSpec, ...], *, unroll: bool = False) -> Traced:
    """Trace `model` for `inputs`; with `unroll`, recurrent layers become plain operators.

    Raises:
        ConversionError: the model cannot be called with these shapes, or not be unrolled.
    """
    tf = tensorflow()
    states = state_variables(model)
    state_inputs = tuple(
        TensorSpec(name=f"state_{i}", shape=tuple(v.shape), dtype=_dtype(v))
        for i, v in enumerate(states)
    )
    pairs = tuple((spec.name, f"{spec.name}_next") for spec in state_inputs)
    every = (*inputs, *state_inputs)

    def called(**tensors: Any) -> dict[str, Any]:
        given = {spec.name: tensors[spec.name] for spec in inputs}
        carried = [tensors[spec.name] for spec in state_inputs]
        outputs, following = _call(model, given, states, carried)
        after = {pair[1]: f for pair, f in zip(pairs, following, strict=True)}
        return {n: tf.identity(v) for n, v in (outputs | after).items()}

    signature = {s.name: tf.TensorSpec(s.shape, s.dtype, name=s.name) for s in every}
    with _unrolled(model, inputs) if unroll else _as_it_is():
        function = tf.function(called, autograph=False, jit_compile=False)
        try:
            concrete = function.get_concrete_function(**signature)
        except (ValueError, TypeError, tf.errors.OpError) as error:
            first = " ".join(str(error).split())[:240]
            shapes = ", ".join(f"{s.name} {_text(s.shape)}" for s in every)
            message = (
                f"{model.name}: cannot be called with {shapes}: {type(error).__name__}: {first}; "
                "check --batch and --input-shape"
            )
            raise ConversionError(message) from error
    outputs = tuple(
        TensorSpec(name=name, shape=_out_shape(spec.shape), dtype=spec.dtype.name)
        for name, spec in concrete.structured_outputs.items()
    )
    holder = tf.Module()
    own = _variables(model)
    known = {id(variable) for variable in own}
    holder.variables_held = own + [v for v in concrete.variables if id(v) not in known]
    # A whole Keras 2 model would be saved with a function for each call of each layer: slowly.
    holder.model_held = model.model if model.framework == "savedmodel" else _lookup_layers(model)
    return Traced(function=function, trackable=holder, inputs=every, outputs=outputs, states=pairs)


def save(traced: Traced, folder: Path) -> None:
    """Write `traced` as a SavedModel whose ``serving_default`` has the names of its inputs.

    The marks by which the TFLite converter fuses recurrent layers of Keras 2 are taken off: the
    fused operator computes float32 with a relative error of a hundredth, the loop is exact.

    Raises:
        ConversionError: the model holds something that TensorFlow cannot save.
    """
    tf = tensorflow()
    signature = {s.name: tf.TensorSpec(s.shape, s.dtype, name=s.name) for s in traced.inputs}
    concrete = traced.function.get_concrete_function(**signature)
    try:
        tf.saved_model.save(traced.trackable, str(folder), signatures=concrete)
        _unmark(folder, "api_implements")
    except (ValueError, AssertionError, TypeError) as error:
        first = " ".join(str(error).split())[:240]
        message = f"the model cannot be saved as a SavedModel: {first}; report the model"
        raise ConversionError(message) from error


def inlinable(folder: Path) -> Path | None:
    """A copy of the SavedModel `folder` whose functions can all be inlined; None if it is one.

    ``_XlaMustCompile`` (grouped convolutions) keeps a function from being inlined, and the ONNX
    exporter then meets a call it does not know. The TFLite converter wants the mark.
    """
    copy = folder.with_name(f"{folder.name}.inlinable")
    if not copy.exists():
        shutil.copytree(folder, copy)
        if not _unmark(copy, "_XlaMustCompile"):
            shutil.rmtree(copy)
            return None
    return copy


def _unmark(folder: Path, mark: str) -> bool:
    """Take an attribute off all functions and operators that a SavedModel holds, if any has it."""
    from tensorflow.core.protobuf import saved_model_pb2

    file = folder / "saved_model.pb"
    content = file.read_bytes()
    if mark.encode() not in content:
        return False
    document = saved_model_pb2.SavedModel.FromString(content)
    for meta in document.meta_graphs:
        for function in meta.graph_def.library.function:
            for owner in (function, *function.node_def):
                if mark in owner.attr:
                    del owner.attr[mark]
    file.write_bytes(document.SerializeToString(deterministic=True))
    return True


def recurrent_layers(model: LoadedModel) -> list[Any]:
    """Layers with an `unroll` switch, nested ones and the inside of wrappers included."""
    found: dict[int, Any] = {}
    for layer in model.layers():
        for part in (
            layer,
            *(getattr(layer, n, None) for n in ("forward_layer", "backward_layer", "layer")),
        ):
            if part is not None and hasattr(part, "unroll"):
                found[id(part)] = part
    return list(found.values())


def stateful_layers(model: LoadedModel) -> list[Any]:
    """Recurrent layers that remember from call to call."""
    return [layer for layer in recurrent_layers(model) if getattr(layer, "stateful", False)]


def state_variables(model: LoadedModel) -> list[Any]:
    """The variables that carry state from call to call, in layer order."""
    tf = tensorflow()
    return [v for layer in stateful_layers(model) for v in tf.nest.flatten(layer.states)]


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _unrolled(model: LoadedModel, inputs: tuple[TensorSpec, ...]) -> Iterator[None]:
    layers = recurrent_layers(model)
    longest = max((size or 0 for spec in inputs for size in spec.shape[1:2]), default=0)
    if not layers:
        message = (
            f"{model.name}: holds a loop that cannot be unrolled (no RNN layer with `unroll`); "
            "use --quantize dynamic or float16"
        )
        raise ConversionError(message)
    if longest > UNROLL_LIMIT_STEPS:
        message = (
            f"{model.name}: {longest} time steps are too many to unroll (at most "
            f"{UNROLL_LIMIT_STEPS}); use --quantize dynamic or float16, or a shorter --input-shape"
        )
        raise ConversionError(message)
    before = [dict(vars(layer)) for layer in layers]
    for layer in layers:
        layer.unroll = True
        if hasattr(layer, "_could_use_gpu_kernel"):
            layer._could_use_gpu_kernel = False
    try:
        yield
    finally:
        for layer, values in zip(layers, before, strict=True):
            for name in ("unroll", "_could_use_gpu_kernel"):
                if name in values:
                    setattr(layer, name, values[name])


# ---- state ------------------------------------------------------------------------------------


def _call(
    model: LoadedModel, given: dict[str, Any], states: list[Any], carried: list[Any]
) -> tuple[dict[str, Any], list[Any]]:
    """Outputs and following states, from the states `carried`; no variable is written.

    (Dropout inside recurrent layers of Keras 3 moves its seed on even in inference.)
    """
    if model.framework == "keras":
        import keras

        pairs = list(zip(states, carried, strict=True))
        with keras.StatelessScope(state_mapping=pairs) as scope:
            outputs = model.call(given)
        following = [scope.get_current_value(variable) for variable in states]
        return outputs, [c if f is None else f for f, c in zip(following, carried, strict=True)]
    with _carrying(model, carried) as cells:
        outputs = model.call(given)
    return outputs, [cell.value for cell in cells]


class _Cell:
    """Stands where a Keras 2 layer keeps a state variable: read as a tensor, written in place."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.dtype = value.dtype
        self.shape = value.shape

    def assign(self, value: Any, *_: Any, **__: Any) -> Any:
        """Keep the following state."""
        self.value = value
        return value

    def __tf_tensor__(self, dtype: Any = None, name: Any = None) -> Any:
        """TensorFlow asks for this when it needs a tensor."""
        return tensorflow().convert_to_tensor(self.value, dtype=dtype, name=name)


@contextmanager
def _carrying(model: LoadedModel, carried: list[Any]) -> Iterator[list[_Cell]]:
    tf = tensorflow()
    layers = stateful_layers(model)
    before = [layer.states for layer in layers]
    cells = [_Cell(value) for value in carried]
    rest = iter(cells)
    for layer, states in zip(layers, before, strict=True):
        layer.states = tf.nest.map_structure(lambda _: next(rest), states)
    try:
        yield cells
    finally:
        for layer, states in zip(layers, before, strict=True):
            layer.states = states


# ---- small readings ---------------------------------------------------------------------------


def _variables(model: LoadedModel) -> list[Any]:
    if model.framework != "keras":
        return list(getattr(model.model, "variables", []))
    return [getattr(variable, "_value", variable) for variable in model.model.variables]


def _lookup_layers(model: LoadedModel) -> list[Any]:
    """Layers with hash tables, which TensorFlow must find in order to save them."""
    return [layer for layer in model.layers() if hasattr(layer, "lookup_table")]


def _dtype(variable: Any) -> str:
    return str(getattr(variable.dtype, "name", variable.dtype))


def _out_shape(shape: Any) -> tuple[int | None, ...]:
    return () if shape.rank is None else tuple(None if d is None else int(d) for d in shape)
