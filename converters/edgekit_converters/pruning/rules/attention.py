"""What attention does with channels: heads are cut as a whole."""

from __future__ import annotations

from typing import Any

from edgekit_converters.pruning.channels.graph import Numbers
from edgekit_converters.pruning.rules.table import rule
from edgekit_converters.pruning.trace.call import Call
from edgekit_converters.pruning.trace.values import Value


@rule("MultiHeadAttention")
def multi_head(call: Call) -> list[Value]:
    """Kernels (features, heads, size of a head), and the output's (heads, size, features)."""
    layer = call.layer
    if layer._attention_axes not in {None, (1,), (call.value.rank - 2,)} or call.value.rank != 3:
        return call.barrier("it attends over several axes")
    query = call.argument("query", 0)
    value = call.argument("value", 1)
    key = call.kwargs.get("key", call.args[2] if len(call.args) > 2 else None)
    key = value if key is None else key
    if not all(isinstance(each, Value) for each in (query, value, key)):
        return call.barrier("its inputs are not all tensors")
    if getattr(layer, "_use_gate", False):
        return call.barrier("it has gates")
    if len(call.shape) != 3:
        return call.barrier("what it gives has several axes of features")
    heads = call.make(layer.num_heads, "heads")
    for each in call.inputs:
        if not any(each is known for known in (query, value, key)):
            call.fix_but(each)
            if each.rank == 4 and each.shape[1] != 1:
                call.fix(heads, f"the mask of {call.name!r} has one for each head")
    for part, given in (
        (layer._query_dense, query),
        (layer._key_dense, key),
        (layer._value_dense, value),
    ):
        call.fix_but(given, -1)
        uses = float(given.shape[1] or 1)
        axes = (given.numbers(-1), heads, None)
        call.weight(part.kernel, axes, "kernel", uses=uses, makes=(1,))
        call.weight(part.bias, (heads, None), "bias", makes=(0,))
    call.config("num_heads", numbers=heads)
    made = _features(call, query)
    steps = float(query.shape[1] or 1)
    output = layer._output_dense
    call.weight(output.kernel, (heads, None, made), "kernel", uses=steps, makes=(2,))
    call.weight(output.bias, (made,), "bias", makes=(0,))
    size = layer.key_dim + layer.value_dim
    call.multiply([heads], steps * float(value.shape[1] or 1) * size)
    plain = Value.plain(query.shape, query.dtype)
    scores: dict[int, Numbers | None] = {1: heads}
    return [plain.of_shape(call.shape, {-1: made})] + [
        plain.of_shape(shape, scores) for shape in call.outputs[1:]
    ]


def _features(call: Call, query: Value) -> Numbers:
    """The features that go out: as many as go in, unless the layer says how many."""
    made = call.make(call.shape[-1] or 0, "features", "output")
    wanted = call.layer.get_config()["output_shape"]
    if wanted is None:
        call.join(query.numbers(-1), made)
    else:
        way = ("output_shape",) if isinstance(wanted, int) else ("output_shape", 0)
        call.config(*way, numbers=made)
    return made


@rule("Attention", "AdditiveAttention")
def attention(call: Call) -> list[Value]:
    """Scores are sums over the features of query and key; what goes out is the value's."""
    layer = call.layer
    tensors = call.inputs[: len(call.argument("inputs", 0))]
    if len(tensors) < 2 or any(each.rank != 3 for each in tensors):
        return call.barrier("its inputs are not three-dimensional")
    query, value = tensors[:2]
    key = tensors[2] if len(tensors) > 2 else value
    for each in call.inputs:
        call.fix_but(each, -1)
    if query.axes[-1] is not None or key.axes[-1] is not None:
        call.join(query.numbers(-1), key.numbers(-1))
    features = query.numbers(-1)
    scale = getattr(layer, "scale", None)
    if scale is not None:
        call.weight(scale, (features,) if len(scale.shape) else (), "other")
    weight: Any = getattr(layer, "concat_score_weight", None)
    if weight is not None:
        call.weight(weight, (None,) * len(weight.shape), "other")
    steps = float(query.shape[1] or 1) * float(value.shape[1] or 1)
    if type(layer).__name__ == "Attention" and layer.score_mode == "dot":
        call.multiply([features], steps)
    call.multiply([value.numbers(-1)], steps)
    plain = Value.plain(query.shape, query.dtype)
    return [plain.of_shape(call.shape, {-1: value.axes[-1]})] + [
        Value.plain(shape, query.dtype) for shape in call.outputs[1:]
    ]
