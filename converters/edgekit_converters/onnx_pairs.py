"""Put QuantizeLinear/DequantizeLinear pairs into an ONNX model, as a `Plan` says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit_converters.onnx_calibrate import Range
from edgekit_converters.onnx_edit import (
    Wiring,
    add_operator_set,
    drop_unused_weights,
    fresh,
    set_nodes,
    settings,
    tensor_names,
)
from edgekit_converters.onnx_plan import Plan

_BIAS_LIMIT = 2**30
"""Largest 32-bit bias; half the integer range, the other half is for the products."""
_STANDARD_16_BIT_OPSET = 21


def scale_and_zero_point(seen: Range, dtype: Any) -> tuple[np.float32, int]:
    """Cover `seen` and zero with the integers of `dtype`: real = scale * (stored - zero_point)."""
    limits = np.iinfo(dtype)
    low, high = min(seen[0], 0.0), max(seen[1], 0.0)
    scale = np.float32((high - low) / (limits.max - limits.min))
    if scale < np.finfo(np.float32).tiny:
        return np.float32(1), max(limits.min, 0)
    return scale, int(np.clip(np.rint(limits.min - low / float(scale)), limits.min, limits.max))


def insert_pairs(model: Any, plan: Plan, *, activation: Any = np.uint8) -> None:
    """Quantize the weights and activations of the operators of `plan`; in place.

    Weights are symmetric int8 with a scale for each output channel, activations have one scale.

    Args:
        model: a prepared ``onnx.ModelProto``.
        plan: what to quantize.
        activation: NumPy integer type of the activations, 8 or 16 bits.
    """
    _Insertion(model, plan, activation).run()


@dataclass(slots=True)
class _Insertion:
    model: Any
    plan: Plan
    activation: Any
    taken: set[str] = field(init=False)
    wiring: Wiring = field(init=False)
    domain: str = field(init=False)
    parameters: dict[str, tuple[str, str, np.float32]] = field(default_factory=dict)
    """For each quantized tensor the names of scale and zero point, and the scale."""
    restored: dict[str, str] = field(default_factory=dict)
    """For each quantized tensor the name of what its DequantizeLinear gives."""
    weights: dict[tuple[str, int], tuple[str, NDArray[np.float32]]] = field(default_factory=dict)
    nodes: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.taken = tensor_names(self.model)
        self.wiring = Wiring(self.model)
        standard = {o.domain: o.version for o in self.model.opset_import}.get("", 0)
        wide = np.iinfo(self.activation).bits > 8
        self.domain = "com.microsoft" if wide and standard < _STANDARD_16_BIT_OPSET else ""
        if self.domain:
            add_operator_set(self.model, self.domain, 1)

    def run(self) -> None:
        """Walk the graph in execution order, rewiring as we go."""
        for name in self.plan.ranges:
            self._choose_scale(name)
        for name in self.plan.ranges:
            if name in self.wiring.inputs:
                self._pair(name, name)
        for original in list(self.model.graph.node):
            node = type(original).FromString(original.SerializeToString())
            if node.name in self.plan.removable:
                self._skip(node)
                continue
            if node.name in self.plan.integer:
                self._quantize_weights(node)
            self._rewire_inputs(node)
            self._add(node)
        set_nodes(self.model.graph, self.nodes)
        drop_unused_weights(self.model)

    def _choose_scale(self, name: str) -> None:
        source = self.plan.shared.get(name)
        if source in self.parameters:
            self.parameters[name] = self.parameters[source]
            return
        scale, zero_point = scale_and_zero_point(self.plan.ranges[name], self.activation)
        self.parameters[name] = (
            self._constant("s", np.array(scale)),
            self._constant("z", np.array(zero_point, self.activation)),
            scale,
        )

    def _pair(self, name: str, source: str) -> None:
        """Quantize `source`, and let `restored` of `name` be what comes back."""
        scale, zero_point, _ = self.parameters[name]
        stored = fresh("q", self.taken)
        back = self.restored.setdefault(name, fresh("d", self.taken))
        self._node("QuantizeLinear", [source, scale, zero_point], stored)
        self._node("DequantizeLinear", [stored, scale, zero_point], back)

    def _node(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> None:
        onnx = need("onnx", extra="convert")
        self.nodes.append(
            onnx.helper.make_node(op_type, inputs, [output], domain=self.domain, **attributes)
        )

    def _skip(self, clamp: Any) -> None:
        """Leave `clamp` out: its input goes straight to the quantization of its output."""
        source = clamp.input[0]
        self._finish(clamp.output[0], self.restored.get(source, source))

    def _finish(self, name: str, source: str) -> None:
        """Quantize what an integer operator wrote to `source` and is called `name`."""
        if name in self.wiring.outputs | self.wiring.read_inside:
            self.restored[name] = name  # what comes back has the old name, others ask for it
        self._pair(name, source)

    def _add(self, node: Any) -> None:
        integer = node.name in self.plan.integer
        raw: dict[str, str] = {}
        original = list(node.output)
        for index, name in enumerate(node.output):
            known_outside = name in self.wiring.outputs | self.wiring.read_inside
            if name in self.parameters and integer and known_outside:
                raw[name] = fresh("r", self.taken)
                node.output[index] = raw[name]
        self.nodes.append(node)
        for name in original:
            if name in self.parameters and integer:
                self._finish(name, raw.get(name, name))
            elif name in self.parameters:
                self._pair(name, name)

    def _rewire_inputs(self, node: Any) -> None:
        """Read what came back from integers, where the maker is an integer operator or we are."""
        ours = node.name in self.plan.integer
        for index, name in enumerate(node.input):
            if name not in self.restored:
                continue
            maker = self.wiring.maker.get(name)
            if ours or (maker is not None and maker.name in self.plan.integer):
                node.input[index] = self.restored[name]

    def _quantize_weights(self, node: Any) -> None:
        if len(node.input) < 2 or not self.wiring.is_constant(node.input[1]):
            return
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            return
        onnx = need("onnx", extra="convert")
        transposed = node.op_type == "Gemm" and settings(node).get("transB", 0)
        axis = 0 if node.op_type == "Conv" or transposed else 1
        floor = np.float32(0)
        bias = None
        input_scale = self.parameters[node.input[0]][2]
        if len(node.input) > 2 and node.input[2]:
            bias = onnx.numpy_helper.to_array(self.wiring.constants[node.input[2]])
            channels = self.wiring.constants[node.input[1]].dims[axis]
            bias = np.broadcast_to(bias.reshape(-1), (channels,)).astype(np.float64)
            if np.iinfo(self.activation).bits == 8:
                floor = (np.abs(bias) / (float(input_scale) * _BIAS_LIMIT)).astype(np.float32)
        node.input[1], scale = self._weight(node.input[1], axis, floor)
        if bias is not None:
            # Nothing adds 16-bit products to the bias, so that it may have a scale of its own. It
            # must not stay in float: ONNX Runtime would then quantize it, and let it overflow.
            least = (np.abs(bias) / _BIAS_LIMIT).astype(np.float32)
            node.input[2] = self._bias(bias, np.maximum(scale * input_scale, least))

    def _weight(
        self, name: str, axis: int, floor: NDArray[np.float32] | np.float32
    ) -> tuple[str, NDArray[np.float32]]:
        """int8 of the weight `name`; `floor` is the least scale under which its bias fits."""
        onnx = need("onnx", extra="convert")
        values = onnx.numpy_helper.to_array(self.wiring.constants[name])
        others = tuple(a for a in range(values.ndim) if a != axis)
        scale = np.maximum(np.abs(values).max(axis=others) / np.float32(127), floor)
        scale = np.where(scale > np.finfo(np.float32).tiny, scale, 1).astype(np.float32)
        known = self.weights.get((name, axis))
        if known is not None and np.array_equal(known[1], scale):
            return known
        shape = [-1 if a == axis else 1 for a in range(values.ndim)]
        stored = np.clip(np.rint(values / scale.reshape(shape)), -127, 127).astype(np.int8)
        back = fresh("d", self.taken)
        self._dequantized(stored, scale, back, axis)
        self.weights[name, axis] = (back, scale)
        return back, scale

    def _bias(self, values: NDArray[np.float64], scale: NDArray[np.float32]) -> str:
        stored = np.rint(values / scale.astype(np.float64)).astype(np.int32)
        back = fresh("d", self.taken)
        self._dequantized(stored, scale, back, 0)
        return back

    def _dequantized(
        self, stored: NDArray[Any], scale: NDArray[np.float32], back: str, axis: int
    ) -> None:
        zeros = np.zeros(scale.shape, stored.dtype)
        inputs = [
            self._constant("w", stored),
            self._constant("s", scale),
            self._constant("z", zeros),
        ]
        self._node("DequantizeLinear", inputs, back, axis=axis)

    def _constant(self, wanted: str, values: NDArray[Any]) -> str:
        onnx = need("onnx", extra="convert")
        name = fresh(wanted, self.taken)
        self.model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
        return name
