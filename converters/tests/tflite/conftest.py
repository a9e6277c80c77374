"""Tiny float TFLite files, built operator by operator and without TensorFlow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from edgekit_converters.tflite_graph import schema, write_model

_TYPES = {"float32": 0, "float16": 1, "int32": 2, "int8": 9}


class TinyGraph:
    """A graph with one signature; tensors are known by their index."""

    def __init__(self) -> None:
        fb = schema()
        self.fb = fb
        self.model = fb.ModelT()
        self.model.version = 3
        self.model.description = b"tiny"
        self.model.operatorCodes = []
        self.model.buffers = [fb.BufferT()]
        self.graph = fb.SubGraphT()
        self.graph.name = b"main"
        self.graph.tensors, self.graph.operators = [], []
        self.graph.inputs, self.graph.outputs = [], []
        self.model.subgraphs = [self.graph]
        self.inputs: dict[str, int] = {}
        self.rng = np.random.default_rng(0)

    def tensor(
        self, name: str, shape: tuple[int, ...], kind: str = "float32", buffer: int = 0
    ) -> int:
        tensor = self.fb.TensorT()
        tensor.name = name.encode()
        tensor.shape = [abs(size) for size in shape]
        if min(shape, default=1) < 0:
            tensor.shapeSignature = list(shape)
        tensor.type = _TYPES[kind]
        tensor.buffer = buffer
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def input(self, name: str, shape: tuple[int, ...], kind: str = "float32") -> int:
        index = self.tensor(f"serving_{name}", shape, kind)
        self.graph.inputs.append(index)
        self.inputs[name] = index
        return index

    def constant(self, values: ArrayLike, name: str = "") -> int:
        array = np.asarray(values)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array.astype(np.int32)
        buffer = self.fb.BufferT()
        buffer.data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.model.buffers.append(buffer)
        name = name or f"constant_{len(self.graph.tensors)}"
        return self.tensor(name, array.shape, array.dtype.name, len(self.model.buffers) - 1)

    def weights(self, *shape: int) -> int:
        return self.constant(self.rng.normal(size=shape) / np.sqrt(np.prod(shape[1:])))

    def add(
        self,
        kind: str,
        inputs: list[int],
        shape: tuple[int, ...],
        *,
        name: str = "",
        outputs: int = 1,
        options: str = "",
        **fields: Any,
    ) -> int:
        """Add an operator; the index of its first output. `options` names its options table."""
        operator = self.fb.OperatorT()
        operator.opcodeIndex = self._opcode(kind)
        operator.inputs = inputs
        name = name or f"{kind.lower()}_{len(self.graph.operators)}"
        operator.outputs = [
            self.tensor(f"{name}:{i}" if i else name, shape) for i in range(outputs)
        ]
        if options:
            operator.builtinOptionsType = getattr(self.fb.BuiltinOptions, options)
            operator.builtinOptions = getattr(self.fb, f"{options}T")()
            for field, value in fields.items():
                setattr(operator.builtinOptions, field, value)
        self.graph.operators.append(operator)
        return int(operator.outputs[0])

    def dense(self, x: int, units: int, *, name: str = "", bias: float = 0.1) -> int:
        rows, size = self.graph.tensors[x].shape
        weights, biases = self.weights(units, size), self.constant(np.full(units, bias, np.float32))
        return self.add(
            "FULLY_CONNECTED", [x, weights, biases], (rows, units), name=name,
            options="FullyConnectedOptions",
        )  # fmt: skip

    def conv(self, x: int, filters: int, *, name: str = "") -> int:
        batch, height, width, channels = self.graph.tensors[x].shape
        weights, bias = self.weights(filters, 3, 3, channels), self.constant(np.zeros(filters))
        return self.add(
            "CONV_2D", [x, weights, bias], (batch, height, width, filters), name=name,
            options="Conv2DOptions", strideH=1, strideW=1,
        )  # fmt: skip

    def save(self, path: Path, **outputs: int) -> Path:
        """Write the file; `outputs` are the names in the signature."""
        self.graph.outputs = list(outputs.values())
        signature = self.fb.SignatureDefT()
        signature.signatureKey = b"serving_default"
        signature.subgraphIndex = 0
        signature.inputs = [self._entry(*item) for item in self.inputs.items()]
        signature.outputs = [self._entry(*item) for item in outputs.items()]
        self.model.signatureDefs = [signature]
        path.write_bytes(write_model(self.model))
        return path

    def _entry(self, name: str, index: int) -> Any:
        entry = self.fb.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), index
        return entry

    def _opcode(self, kind: str) -> int:
        number = getattr(self.fb.BuiltinOperator, kind)
        for index, code in enumerate(self.model.operatorCodes):
            if code.builtinCode == number:
                return index
        code = self.fb.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        code.version = 1
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1


@pytest.fixture
def tiny_graph() -> Callable[[], TinyGraph]:
    return TinyGraph


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """image (1, 8, 8, 2) ─ CONV_2D ─ LEAKY_RELU ─ RESHAPE ─ FULLY_CONNECTED ─ SOFTMAX ─ scores."""
    graph = TinyGraph()
    image = graph.input("image", (1, 8, 8, 2))
    features = graph.conv(image, 8, name="conv")
    features = graph.add(
        "LEAKY_RELU", [features], (1, 8, 8, 8), name="leaky", options="LeakyReluOptions", alpha=0.3
    )
    shape = graph.constant(np.array([1, 512]))
    flat = graph.add("RESHAPE", [features, shape], (1, 512), name="flat", options="ReshapeOptions")
    logits = graph.dense(flat, 10, name="dense")
    scores = graph.add(
        "SOFTMAX", [logits], (1, 10), name="softmax", options="SoftmaxOptions", beta=1.0
    )
    return graph.save(tmp_path / "classifier.tflite", scores=scores)


@pytest.fixture
def images() -> dict[str, NDArray[np.float32]]:
    """32 samples for `classifier`, in the form `calibrate` takes."""
    rng = np.random.default_rng(1)
    return {"image": rng.normal(size=(32, 1, 8, 8, 2)).astype(np.float32)}


@pytest.fixture
def run_tflite() -> Callable[[Path, dict[str, NDArray[Any]]], dict[str, NDArray[Any]]]:
    """Run a file's signature on samples; outputs by name, stacked."""

    def run(path: Path, samples: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        from ai_edge_litert.interpreter import Interpreter

        runner = Interpreter(str(path), num_threads=1).get_signature_runner()
        count = len(next(iter(samples.values())))
        found = [
            {k: v.copy() for k, v in runner(**{k: v[i] for k, v in samples.items()}).items()}
            for i in range(count)
        ]
        return {name: np.stack([one[name] for one in found]) for name in found[0]}

    return run
