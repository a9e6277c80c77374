"""The rules that say what each kind of layer does with channels, by the layer's class.

To teach it a layer, write a function in one of the modules here (they are listed in `RULES`):

    @rule("Dense")
    def dense(call: Call) -> Value:
        layer, given = call.layer, call.value
        units = call.make(layer.units, "units")      # channels it makes
        call.weight(                                 # whose the kernel's numbers are
            layer.kernel, (given.numbers(-1), units), "kernel", makes=(1,),
            uses=positions(call.shape[1:-1]),
        )
        call.weight(layer.bias, (units,), "bias", makes=(0,))
        call.config("units", numbers=units)          # the config entry that counts them
        return given.of_shape(call.shape, {-1: units})   # where they are in the output

What the rule passes on must be true: if the layer mixes channels, it says
`call.fix_but(given, axis)`, or gives up with `return call.barrier("why")`. A rule that joins axes
of two inputs calls `call.join`. Other operations of functional graphs (`keras.ops.add`) stand
under `ops.Add`. The tests build random graphs and compare each cut model with the original; give
the new layer a place there.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from edgekit_converters.pruning.trace.call import Call, Rule
from edgekit_converters.pruning.trace.values import Value

RULES = (
    "rules.dense",
    "rules.convolution",
    "rules.elementwise",
    "rules.normalization",
    "rules.merge",
    "rules.shape",
    "rules.recurrent",
    "rules.attention",
    "rules.wrapper",
    "rules.operations",
    "trace.model",
)
_TABLE: dict[str, Rule] = {}
AnyRule = TypeVar("AnyRule", bound=Rule)


def rule(*names: str) -> Callable[[AnyRule], AnyRule]:
    """Registers a rule for layer classes of Keras."""

    def register(function: AnyRule) -> AnyRule:
        _TABLE.update(dict.fromkeys(names, function))
        return function

    return register


def load_rules() -> None:
    """Fills the table."""
    for name in RULES:
        import_module(f"edgekit_converters.pruning.{name}")


def class_key(layer: Any) -> str:
    """Returns the name under which a rule for `layer` stands; "" if the class is not Keras' own."""
    import keras

    kind = type(layer)
    if kind.__module__.partition(".")[0] != "keras":
        return ""
    return kind.__name__ if isinstance(layer, keras.Layer) else f"ops.{kind.__name__}"


def visit(call: Call) -> list[Value]:
    """Applies the rule of the call's layer; a layer without one is a barrier."""
    kind = type(call.layer).__name__
    call.record.visits[call.keys] += 1
    found = _TABLE.get(class_key(call.layer))
    if found is None:
        return call.barrier(_unknown(call.layer))
    if getattr(call.layer, "lora_enabled", False) or getattr(call.layer, "quantization_mode", None):
        return call.barrier(f"a {kind} with LoRA or quantized weights is left as it is")
    if not call.inputs:
        return call.barrier("it has no input")
    if not class_key(call.layer).startswith("ops."):
        for value in call.inputs:
            call.fix(next(iter(value.axes), None), f"{call.name!r} takes them for samples")
    result = found(call)
    values = [result] if isinstance(result, Value) else result
    if call.is_skipped:
        call.keep(values)
    assert [value.shape for value in values] == call.outputs, (call.name, values, call.outputs)
    return values


def _unknown(layer: Any) -> str:
    kind = type(layer).__name__
    if kind == "Lambda":
        return "a Lambda layer, and nobody knows what its function does with channels"
    if not class_key(layer):
        return f"a layer of your own class {kind}, which edgekit does not look into"
    return f"a layer of type {kind}, which edgekit cannot cut"
