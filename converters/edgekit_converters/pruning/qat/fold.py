"""Bring a Keras 3 model into the form that is quantized: what a converter joins or parts, as such.

Batch normalisations are folded into the layer before them, separable convolutions become two
convolutions, activations that are operators of their own become layers, and nested models become
part of the model around them. The result is an ordinary model that says the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from edgekit_converters.pruning.functional_graph import functional, is_model, keras
from edgekit_converters.pruning.qat.graph import (
    PRODUCTS,
    Readers,
    calls,
    copied,
    copy_weights,
    free_name,
    maker,
    new_inputs,
    replay,
)
from edgekit_converters.pruning.qat.normalisation import (
    folded_weights,
    scale_and_shift,
    shift_weights,
)
from edgekit_converters.pruning.skipped_names import layers_within, skipped_layers

FUSED = ("linear", "relu", "relu6")
"""Activations that are part of the operator they stand behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """An ordinary functional model, and where its layers come from."""

    model: Any
    names: dict[str, tuple[str, ...]]
    """By the old name of a layer (in a nested model ``model/layer``): the new ones."""
    skipped: frozenset[str]
    """New names of the layers to leave alone; with their paths, of those in wrappers."""
    notes: tuple[str, ...]


def fold(model: Any, skip: Sequence[str] = ()) -> Folded:
    """Bring the Keras 3 `model` into the form that is quantized; it is not changed itself.

    Args:
        model: functional or sequential.
        skip: names, paths or types of layers to leave alone, with all that is inside them.

    Raises:
        SourceError: it is subclassed, or a layer cannot be made again.
        UsageError: nothing in the model has a name of `skip`.
    """
    outer = functional(model)
    flat = _Flat(skip=skipped_layers(model, skip))
    flat.taken.update(_names(outer))
    given = new_inputs(outer)
    result = flat.walk(outer, given, "", None)
    parted = _model(given, result, model.name)
    for old, new in flat.weights:
        copy_weights(old, new)
    for layer, kernels in flat.kernels:
        layer.set_weights(kernels)
    folding = _Folding(parted, frozenset(flat.skipped))
    folded = folding.run(model.name)
    names = {
        old: tuple(folding.names.get(one, one) for one in new) for old, new in flat.names.items()
    }
    if model.compiled and (settings := model.get_compile_config()):
        folded.compile_from_config(settings)
    return Folded(
        model=folded,
        names=names,
        skipped=frozenset(flat.skipped),
        notes=tuple(folding.notes),
    )


def activation_name(layer: Any) -> str:
    """What a layer does last: the name of its activation, ``linear`` where there is none."""
    function = getattr(layer, "activation", None)
    if function is None:
        return "linear"
    return str(getattr(function, "__name__", None) or getattr(function, "name", "custom"))


def _model(given: Any, result: Any, name: str) -> Any:
    return keras().Model(given, result, name=name)


def _names(model: Any) -> set[str]:
    return {operation.name for operation in model.operations}


@dataclass(slots=True)
class _Flat:
    """The model without nested ones, separable convolutions and joined activations."""

    skip: frozenset[int]
    taken: set[str] = field(default_factory=set)
    made: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    """By id of an operation: those in its place."""
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    weights: list[tuple[Any, Any]] = field(default_factory=list)
    kernels: list[tuple[Any, list[Any]]] = field(default_factory=list)

    def walk(self, model: Any, given: Any, path: str, training: bool | None) -> Any:
        def visit(node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            operation = node.operation
            if is_model(operation):
                inner = kwargs.get("training", training)
                said = args[0] if args else next(iter(kwargs.values()))
                return self.walk(functional(operation), said, f"{path}{operation.name}/", inner)
            if training is not None and getattr(operation, "_call_has_training_arg", False):
                kwargs = {"training": training, **kwargs}
            if id(operation) not in self.made:
                self.made[id(operation)] = self._made(operation, path)
            first, *others = self.made[id(operation)]
            value = first(*args, **kwargs)
            for other in others:
                value = other(value)
            return value

        return replay(model, given, visit)

    def _made(self, operation: Any, path: str) -> tuple[Any, ...]:
        kind, name = type(operation).__name__, str(operation.name)
        own = name if not path else free_name(_inner_name(path, name, self.taken), self.taken)
        new = self._parts(operation, kind, own)
        self.names[f"{path}{name}"] = tuple(one.name for one in new)
        self.names.setdefault(name, tuple(one.name for one in new))
        if id(operation) in self.skip:
            self.skipped.update(one.name for one in new)
        for inner in layers_within(operation):
            if id(inner.layer) in self.skip:
                self.skipped.add(f"{own}/{inner.path}")
        return new

    def _parts(self, layer: Any, kind: str, name: str) -> tuple[Any, ...]:
        activation = activation_name(layer)
        stands_alone = activation not in FUSED and not isinstance(
            getattr(layer, "activation", None), keras().layers.Layer
        )
        if kind in {"SeparableConv1D", "SeparableConv2D"} and stands_alone | (activation in FUSED):
            return self._separated(layer, name, stands_alone=stands_alone)
        if kind in PRODUCTS and stands_alone:
            product = copied(layer, free_name(f"{name}_linear", self.taken), activation="linear")
            self.weights.append((layer, product))
            return product, keras().layers.Activation(layer.activation, name=name)
        new = copied(layer, name)
        self.weights.append((layer, new))
        return (new,)

    def _separated(self, layer: Any, name: str, *, stands_alone: bool) -> tuple[Any, ...]:
        layers = keras().layers
        rank = kernel_rank = len(layer.kernel_size)
        depthwise = getattr(layers, f"DepthwiseConv{rank}D")(
            layer.kernel_size,
            strides=layer.strides,
            padding=layer.padding,
            depth_multiplier=layer.depth_multiplier,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
            use_bias=False,
            depthwise_regularizer=layer.depthwise_regularizer,
            name=free_name(f"{name}_depthwise", self.taken),
        )
        pointwise = getattr(layers, f"Conv{rank}D")(
            layer.filters,
            (1,) * kernel_rank,
            data_format=layer.data_format,
            use_bias=layer.use_bias,
            activation="linear" if stands_alone else layer.activation,
            kernel_regularizer=layer.pointwise_regularizer,
            bias_regularizer=layer.bias_regularizer,
            name=free_name(f"{name}_linear", self.taken) if stands_alone else name,
        )
        depthwise.trainable = pointwise.trainable = layer.trainable
        weights = layer.get_weights()
        self.kernels += [(depthwise, weights[:1]), (pointwise, weights[1:])]
        if not stands_alone:
            return depthwise, pointwise
        return depthwise, pointwise, layers.Activation(layer.activation, name=name)


def _inner_name(path: str, name: str, taken: set[str]) -> str:
    return name if name not in taken else f"{path}{name}".replace("/", "_")


class _Folding:
    """Fold the batch normalisations of a model without nested ones."""

    def __init__(self, model: Any, skipped: frozenset[str]) -> None:
        self.model = model
        self.skipped = skipped
        self.names: dict[str, str] = {}
        self.notes: list[str] = []
        self._made: dict[int, Any] = {}
        self._folded: set[int] = set()  # ids of the normalisations that go
        self._shifts: dict[int, Any] = {}  # id of one that only shifts from now on: itself
        self._into: dict[int, tuple[Any, bool]] = {}  # id of a layer: what goes into it, and if all

    def run(self, name: str) -> Any:
        readers, count = Readers(self.model), calls(self.model)
        outputs = readers.outputs
        for layer in self.model.layers:
            if type(layer).__name__ == "BatchNormalization":
                self._look_at(layer, readers, count)
        given = new_inputs(self.model)

        def visit(node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            operation = node.operation
            if id(operation) in self._folded:
                if id(node.outputs[0]) not in outputs:
                    return args[0]
                return keras().layers.Activation("linear", name=operation.name)(args[0])
            if type(operation).__name__ == "BatchNormalization":
                kwargs = {**kwargs, "training": False}  # as at inference: nothing is left to learn
            if id(operation) not in self._made:
                changes: dict[str, Any] = {"use_bias": True} if id(operation) in self._into else {}
                if id(operation) in self._shifts:
                    changes = {"scale": False, "center": True}
                self._made[id(operation)] = copied(operation, **changes)
            return self._made[id(operation)](*args, **kwargs)

        result = replay(self.model, given, visit)
        folded = _model(given, result, name)
        for old in self.model.operations:
            new = self._made.get(id(old))
            if new is not None and id(old) in self._into:
                norm, whole = self._into[id(old)]
                new.set_weights(folded_weights(old, norm, whole=whole))
            elif new is not None and id(old) in self._shifts:
                new.set_weights(shift_weights(old))
            elif new is not None:
                copy_weights(old, new)
        return folded

    def _look_at(self, norm: Any, readers: Readers, count: dict[int, int]) -> None:
        if count[id(norm)] != 1:
            self.notes.append(
                f"{norm.name}: stays a batch normalisation (it is used several times)"
            )
            return
        before = maker(norm.input)
        through = _is_relu(before) and type(before).__name__ not in PRODUCTS
        chain = [before]
        if through and count[id(before)] == 1:
            chain.append(maker(before.input))
        product = chain[-1]
        reason = self._reason(norm, chain, readers, count)
        if not reason and activation_name(product) == "linear" and not through:
            self._folded.add(id(norm))
            self._into[id(product)] = (norm, True)
            self.names[norm.name] = product.name
            return
        if not reason and (through or _is_relu(product)) and scale_and_shift(norm)[0].min() > 0:
            self._shifts[id(norm)] = norm
            self._into[id(product)] = (norm, False)
            return
        reason = reason or f"{before.name!r} before it has an activation"
        self.notes.append(f"{norm.name}: stays a batch normalisation ({reason})")

    def _reason(self, norm: Any, chain: list[Any], readers: Readers, count: dict[int, int]) -> str:
        """Why `norm` cannot go into the last of the layers before it; empty where it may."""
        product = chain[-1]
        kind = type(product).__name__
        if kind not in PRODUCTS:
            return f"behind {product.name!r} ({kind}), which multiplies by no kernel"
        if {norm.name, product.name} & self.skipped:
            return "left alone as asked for"
        for layer in chain:
            if count[id(layer)] != 1:
                return f"{layer.name!r} before it is used several times"
            if readers.only_reader(layer.output) is None:
                return f"{layer.name!r} before it is read by others too"
        rank = len(product.output.shape)
        channels_first = getattr(product, "data_format", None) == "channels_first"
        if int(norm.axis) % rank != (1 if channels_first else rank - 1):
            return "it is not along the channels"
        return ""


def _is_relu(layer: Any) -> bool:
    """Whether the layer ends in a function f with f(s x) = s f(x) for every s above 0."""
    if type(layer).__name__ == "ReLU":
        return layer.max_value is None and not float(layer.threshold)
    if type(layer).__name__ == "LeakyReLU":
        return True
    return activation_name(layer) == "relu"
