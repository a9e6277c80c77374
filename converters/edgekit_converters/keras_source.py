"""Load a trained model: Keras 3, Keras 2, a SavedModel folder, or an object already in memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgekit import keras_file, source_kind
from edgekit._lazy import need
from edgekit.errors import EdgekitError, MissingDependencyError, SourceError, UsageError
from edgekit.keras_file import KerasFacts
from edgekit.tensors import TensorSpec
from edgekit_converters import keras_wrappers
from edgekit_converters.custom_objects import classes_in
from edgekit_converters.tensorflow_setup import tensorflow

Framework = Literal["keras", "tf_keras", "savedmodel"]

_CURES = ("--custom-objects", "--trust-model", "save it as .h5 or as a SavedModel")
"""An error that names one of these needs no second opinion from another Keras."""


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


def load(path: str, *, custom_objects: str | None = None, trust: bool = False) -> LoadedModel:
    """Load the model at `path`, in Keras' safe mode unless `trust` is set.

    Files written by Keras 3 go to keras, by Keras 2 to tf-keras; when the first refuses, the other
    is tried, and when both do, the error says what each said.

    Raises:
        SourceError: the file is not a model, or cannot be rebuilt; the message says what to give.
        MissingDependencyError: the framework that wrote the file is not installed.
    """
    kind = source_kind.sniff(Path(path))
    tensorflow()
    known = classes_in(custom_objects)
    if kind == "savedmodel":
        return _load_savedmodel(path)
    if kind not in {"keras", "h5"}:
        message = f"{path}: a {kind} file, not a Keras model; give a .keras, .h5 or SavedModel"
        raise SourceError(message)
    facts = keras_file.read(Path(path))
    if facts.has_lambda and not trust:
        message = (
            f"{path}: contains a Lambda layer, that is, arbitrary Python code; "
            "add --trust-model if you trust whoever made the file"
        )
        raise SourceError(message)
    return _load_either(path, facts, known, trust=trust)


def from_object(model: Any) -> LoadedModel:
    """Wrap a Keras 3 or tf_keras model that is already in memory.

    Raises:
        SourceError: it is neither, or it was never built.
    """
    module = type(model).__module__
    ancestors = {base.__module__.partition(".")[0] for base in type(model).__mro__}
    name = str(getattr(model, "name", "model"))
    if "keras" in ancestors:
        import keras

        if keras.backend.backend() != "tensorflow":
            message = (
                f"{name}: runs on Keras' {keras.backend.backend()} backend here; "
                "save it with model.save('model.keras') and convert the file"
            )
            raise UsageError(message)
        return _wrap(name, "keras", model)
    if "tf_keras" in ancestors:
        return _wrap(name, "tf_keras", model)
    message = (
        f"{type(model).__name__} from {module}: neither a Keras model nor a path; "
        "give a Keras model object or the path of a file"
    )
    raise UsageError(message)


def _load_either(
    path: str, facts: KerasFacts, known: dict[str, Any], *, trust: bool
) -> LoadedModel:
    version = facts.keras_version
    first_old = (version or "3").startswith(("1.", "2."))
    order: tuple[Framework, ...] = ("tf_keras", "keras") if first_old else ("keras", "tf_keras")
    said: list[str] = []
    for framework in order:
        try:
            model = _loaded(framework, path, facts, known, trust=trust)
        except MissingDependencyError as error:
            if not said and first_old:
                message = f"{path}: written by Keras {version}; {error}"
                raise MissingDependencyError(message) from error
            said.append(f"tf-keras: {error}")
        except SourceError as error:
            if not said and any(cure in str(error) for cure in _CURES):
                raise  # known cause, known cure: the other loader would only blur it
            said.append(str(error).removeprefix(f"{path}: "))
        else:
            return _wrap(path, framework, model)
    writer = f"Keras {version or 'unknown'}{_newer(version)}"
    message = f"{path}: cannot be rebuilt (written by {writer}): {'; '.join(said)}"
    raise SourceError(message)


def _newer(version: str | None) -> str:
    import keras

    theirs, ours = (
        [int(part) for part in (text or "").split(".")[:2] if part.isdigit()]
        for text in (version, keras.__version__)
    )
    return f", newer than the installed {keras.__version__}: upgrade it" if theirs > ours else ""


def _loaded(
    framework: Framework, path: str, facts: KerasFacts, known: dict[str, Any], *, trust: bool
) -> Any:
    library = need(framework, extra="keras2" if framework == "tf_keras" else "convert")
    old = framework == "tf_keras"
    try:
        with keras_wrappers.known_wrappers(facts.custom_classes if old else ()):
            return library.models.load_model(
                path, custom_objects=known or None, compile=False, safe_mode=not trust
            )
    except EdgekitError:
        raise
    except Exception as error:  # Keras raises whatever its layers raise
        if old and keras_wrappers.trained_with_quantization(facts.custom_classes):
            message = (
                f"{path}: tf-keras cannot load a model of quantization-aware training from this "
                f"file ({str(error).splitlines()[0][:120]}); {_CURES[-1]}"
            )
            raise SourceError(message) from error
        who = framework.replace("_", "-")
        raise SourceError(_why_not_loaded(who, library, path, error)) from error


def _why_not_loaded(who: str, library: Any, path: str, error: Exception) -> str:
    text = " ".join(str(error).split())
    for marker in (
        "Could not locate class '",
        "Unknown layer: '",
        "Unknown object: '",
        "Could not locate function '",
    ):
        if marker in text:
            unknown = text.partition(marker)[2].partition("'")[0]
            return (
                f"{path}: {unknown!r} is not a class that {who} knows; "
                "give its code with --custom-objects FILE.py"
            )
    if "ambda" in text and ("safe_mode" in text or "unsafe" in text):
        return (
            f"{path}: contains a Lambda layer, that is, arbitrary Python code; "
            "add --trust-model if you trust whoever made the file"
        )
    return f"{who} {library.__version__} says: {type(error).__name__}: {text[:240]}"


# ---- how each kind is called ------------------------------------------------------------------


def _wrap(name: str, framework: Framework, model: Any) -> LoadedModel:
    if not getattr(model, "built", True):
        message = (
            f"{name}: the model was never built, so its inputs are unknown; "
            "call it once on data (or model.build(shape)) before saving"
        )
        raise SourceError(message)
    warnings = _compute_in_float32(name, model)
    declared = getattr(model, "inputs", None)
    wrap = _wrap_functional if declared else _wrap_subclassed
    return replace(wrap(name, framework, model), warnings=warnings)


@contextmanager
def policies_kept(model: Any) -> Iterator[None]:
    """Give every layer of a model object its dtype policy back at the end."""
    before = [(layer, _policy(layer)) for layer in half_precision_layers(model)]
    try:
        yield
    finally:
        for layer, policy in before:
            _set_policy(layer, policy)


def half_precision_layers(model: Any) -> list[Any]:
    """Layers with float32 weights that compute in 16 bits: those of a mixed precision policy."""
    flatten = getattr(model, "_flatten_layers", None)
    return [
        layer
        for layer in (flatten() if flatten else [])
        if str(getattr(_policy(layer), "name", "")).startswith("mixed_")
    ]


def _policy(layer: Any) -> Any:
    return getattr(layer, "dtype_policy", None) or getattr(layer, "_dtype_policy", None)


def _set_policy(layer: Any, policy: Any) -> None:
    if hasattr(layer, "_set_dtype_policy"):
        layer._set_dtype_policy(policy)  # Keras 2 has no other way
    else:
        layer.dtype_policy = policy


def _compute_in_float32(name: str, model: Any) -> tuple[str, ...]:
    """Exporters have no 16-bit convolutions, and the weights are float32 anyway."""
    layers = half_precision_layers(model)
    if not layers:
        return ()
    policy = _policy(layers[0]).name
    for layer in layers:
        _set_policy(layer, "float32")
    return (f"{name}: trained with {policy}; converted, and compared, computing in float32",)


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


def _load_savedmodel(path: str) -> LoadedModel:
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
