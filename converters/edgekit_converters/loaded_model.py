"""A trained model in memory, whatever framework it is of, called with named tensors."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from edgekit.errors import SourceError
from edgekit.tensors import TensorSpec
from edgekit_converters.keras_precision import compute_in_float32
from edgekit_converters.tensorflow_setup import tensorflow

Framework = Literal["keras", "tf_keras", "savedmodel"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A trained model in memory, and how to call it with named tensors."""

    name: str
    """What messages call it: the file's path, or the model's own name."""
    framework: Framework
    model: Any
    inputs: tuple[TensorSpec, ...]
    """As the model declares them; shapes with None where a dimension is free, batch first."""
    call: Callable[[dict[str, Any]], dict[str, Any]]
    """Tensors by input name to tensors by output name, in inference mode."""
    warnings: tuple[str, ...] = ()
    """What a user should know about how it was loaded."""

    def layers(self) -> list[Any]:
        """Every layer, nested ones included; empty for a SavedModel."""
        if self.framework == "savedmodel":
            return []
        flatten = getattr(self.model, "_flatten_layers", None)
        return list(flatten(include_self=False, recursive=True)) if flatten else []


def wrap(name: str, framework: Framework, model: Any) -> LoadedModel:
    """A Keras 3 or tf_keras `model`; `name` is what messages call it.

    Raises:
        SourceError: it was never built, or an input cannot be given on a device.
    """
    if not getattr(model, "built", True):
        message = (
            f"{name}: the model was never built, so its inputs are unknown; "
            "call it once on data (or model.build(shape)) before saving"
        )
        raise SourceError(message)
    warnings = compute_in_float32(name, model)
    declared = getattr(model, "inputs", None)
    wrapped = _wrap_functional if declared else _wrap_subclassed
    return replace(wrapped(name, framework, model), warnings=warnings)


def _tree(framework: Framework) -> Any:
    if framework == "keras":
        import keras

        return keras.tree
    import tensorflow as tf

    class _Nest:
        flatten = staticmethod(tf.nest.flatten)
        pack_sequence_as = staticmethod(tf.nest.pack_sequence_as)

    return _Nest


def _wrap_functional(name: str, framework: Framework, model: Any) -> LoadedModel:
    tree = _tree(framework)
    structure = getattr(model, "_inputs_struct" if framework == "keras" else "_nested_inputs", None)
    if structure is None:
        structure = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    tensors = tree.flatten(structure)
    names = _unique(
        [str(key) for key in sorted(structure)]
        if isinstance(structure, dict)
        else [_layer_name(tensor, "input") for tensor in tensors]
    )
    inputs = tuple(
        TensorSpec(name=n, shape=_shape(t.shape), dtype=_dtype_name(t.dtype))
        for n, t in zip(names, tensors, strict=True)
    )
    for spec in inputs:
        if spec.dtype == "string":
            raise SourceError(_string_input(name, spec.name))
    outputs = getattr(model, "_outputs_struct" if framework == "keras" else "_nested_outputs", None)
    if outputs is None:
        outputs = model.outputs if len(model.outputs) > 1 else model.outputs[0]
    output_names = _unique(_output_names(outputs, tree), taken=names)

    def call(tensors_by_name: dict[str, Any]) -> dict[str, Any]:
        flat = [tensors_by_name[n] for n in names]
        result = model(tree.pack_sequence_as(structure, flat), training=False)
        return dict(zip(output_names, tree.flatten(result), strict=True))

    return LoadedModel(name=name, framework=framework, model=model, inputs=inputs, call=call)


def _wrap_subclassed(name: str, framework: Framework, model: Any) -> LoadedModel:
    tree = _tree(framework)
    arguments, structure = _subclassed_structure(name, framework, model)
    specs: list[TensorSpec] = []
    for argument, part in zip(arguments, structure, strict=True):
        leaves = part if isinstance(part, dict) else {argument: part}
        specs += [TensorSpec(name=n, shape=s, dtype=d) for n, (s, d) in leaves.items()]

    def call(tensors_by_name: dict[str, Any]) -> dict[str, Any]:
        given = [
            {n: tensors_by_name[n] for n in part} if isinstance(part, dict) else tensors_by_name[a]
            for a, part in zip(arguments, structure, strict=True)
        ]
        result = model(*given, training=False)
        flat = tree.flatten(result)
        if isinstance(result, dict):
            found = [str(key) for key in sorted(result)]
        else:
            found = ["output"] if len(flat) == 1 else [f"output_{i}" for i in range(len(flat))]
        return dict(zip(found, flat, strict=True))

    return LoadedModel(name=name, framework=framework, model=model, inputs=tuple(specs), call=call)


def _subclassed_structure(
    name: str, framework: Framework, model: Any
) -> tuple[list[str], list[Any]]:
    """Argument names and, for each, (shape, dtype) or a dict of them."""
    parameters = [
        p.name
        for p in inspect.signature(model.call).parameters.values()
        if p.name not in {"training", "mask", "self"} and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    if framework == "tf_keras":
        spec = getattr(model, "_saved_model_inputs_spec", None)
        if spec is None:
            message = f"{name}: the inputs of this subclassed model were not saved; call it once"
            raise SourceError(message)
        if isinstance(spec, dict):
            part = {k: (_shape(v.shape), v.dtype.name) for k, v in sorted(spec.items())}
            return parameters[:1], [part]
        return parameters[:1], [(_shape(spec.shape), spec.dtype.name)]
    shapes = getattr(model, "_build_shapes_dict", None) or {}
    dtype = str(getattr(model, "input_dtype", None) or "float32")
    found: list[Any] = []
    for value in shapes.values():
        if isinstance(value, dict):
            found.append({k: (_shape(v), dtype) for k, v in sorted(value.items())})
        elif value and isinstance(value[0], tuple | list):
            found.append({f"input_{i}": (_shape(v), dtype) for i, v in enumerate(value)})
        else:
            found.append((_shape(value), dtype))
    if not found:
        message = (
            f"{name}: the input shapes of this subclassed model were not saved; "
            "call it once on data before saving"
        )
        raise SourceError(message)
    return parameters[: len(found)], found


def load_savedmodel(path: str) -> LoadedModel:
    """The SavedModel folder `path`, called by its ``serving_default`` signature.

    Raises:
        SourceError: TensorFlow cannot load it, or it has no signature.
    """
    tf = tensorflow()
    try:
        module = tf.saved_model.load(path)
    except Exception as error:
        text = " ".join(str(error).split())[:240]
        message = f"{path}: not a SavedModel that TensorFlow {tf.__version__} can load: {text}"
        raise SourceError(message) from error
    signatures = dict(module.signatures)
    if not signatures:
        message = f"{path}: has no signatures; save it with model.export({path!r})"
        raise SourceError(message)
    key = "serving_default" if "serving_default" in signatures else min(signatures)
    function = signatures[key]
    _, keywords = function.structured_input_signature
    inputs = tuple(
        TensorSpec(name=n, shape=_shape(s.shape), dtype=_dtype_name(s.dtype))
        for n, s in sorted(keywords.items())
    )
    for spec in inputs:
        if spec.dtype == "string":
            raise SourceError(_string_input(path, spec.name))

    def call(tensors_by_name: dict[str, Any]) -> dict[str, Any]:
        return dict(function(**tensors_by_name))

    # The module is kept: its variables live as long as it does.
    return LoadedModel(name=path, framework="savedmodel", model=module, inputs=inputs, call=call)


# ---- small readings ---------------------------------------------------------------------------


def _string_input(name: str, input_name: str) -> str:
    return (
        f"{name}: input {input_name!r} takes text, which no mobile runtime reads; "
        "export the part of the model behind its TextVectorization/StringLookup layer"
    )


def _shape(shape: Any) -> tuple[int | None, ...]:
    if getattr(shape, "rank", 0) is None:
        message = "an input has no known rank; build the model with a fixed rank"
        raise SourceError(message)
    return tuple(None if size is None else int(size) for size in shape)


def _dtype_name(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype))


def _layer_name(tensor: Any, fallback: str) -> str:
    history = getattr(tensor, "_keras_history", None)
    layer = getattr(history, "operation", None) or getattr(history, "layer", None)
    return _clean(str(getattr(layer, "name", None) or getattr(tensor, "name", fallback)))


def _output_names(outputs: Any, tree: Any) -> list[str]:
    if isinstance(outputs, dict) and all(not isinstance(v, dict | list) for v in outputs.values()):
        return _unique([_clean(str(key)) for key in sorted(outputs)])
    return _unique([_layer_name(tensor, "output") for tensor in tree.flatten(outputs)])


def _clean(name: str) -> str:
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name)


def _unique(names: list[str], taken: Sequence[str] = ()) -> list[str]:
    """The same names, told apart by numbers where one occurs twice or is `taken`."""
    seen: dict[str, int] = dict.fromkeys(taken, 1)
    unique = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        unique.append(name if not count else f"{name}_{count}")
    return unique
