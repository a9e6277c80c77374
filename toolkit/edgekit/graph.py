"""The structure of a model file, the same for every format: tensors, operators, who calls whom."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgekit.tensors import Quantization, TensorSpec

Attribute = int | float | str | tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One value in the graph: a weight, an input, an output or something in between."""

    name: str
    shape: tuple[int | None, ...] | None
    """None where the file does not even tell the number of dimensions."""
    dtype: str
    """A NumPy dtype name, or one NumPy has not: ``string``, ``int4``, ``bfloat16``, …."""
    quantization: Quantization | None = None
    constant: memoryview | None = None
    """The stored bytes of a weight, little-endian, a view into the file; None where computed."""
    is_sparse: bool = False
    """Stored in a sparse encoding: `constant` holds less than `shape` says."""

    @property
    def element_count(self) -> int | None:
        """How many numbers it holds; None with a free dimension."""
        if self.shape is None or None in self.shape:
            return None
        return math.prod(size for size in self.shape if size is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One node of the graph. Tensors are named by their keys in `Graph.tensors`."""

    name: str
    """As the format spells it: ``CONV_2D``, ``Conv``; of a custom operator, its own name."""
    version: int
    """TFLite: the operator's version. ONNX: the version of the operator set it is from."""
    label: str = ""
    """What an ONNX file calls this very node; TFLite has no such names."""
    domain: str = ""
    """ONNX operator sets other than the standard one have a domain; empty otherwise."""
    inputs: tuple[str | None, ...]
    """Keys; None where an optional input is left out."""
    outputs: tuple[str | None, ...]
    is_custom: bool = False
    """No builtin of its format: a TFLite custom operator (Flex too), or a foreign ONNX domain."""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    """Only those that inspection needs, not all there are."""
    subgraph: int = 0
    calls: tuple[int, ...] = ()
    """Subgraphs it runs: branches, bodies."""
    is_loop: bool = False
    """It runs what it calls again and again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What a model file holds. Views in it keep the file mapped as long as they live."""

    format: Literal["tflite", "onnx"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: tuple[Operator, ...]
    """Of all subgraphs, in file order."""
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, bytes]
    versions: Mapping[str, str]
    """``schema`` (TFLite); ``ir``, ``producer`` and ``opset <domain>`` (ONNX)."""
    description: str = ""
    main_subgraph: int = 0
    """Where inference begins."""
    results: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Keys of what each subgraph gives; only ONNX files are read so far."""
