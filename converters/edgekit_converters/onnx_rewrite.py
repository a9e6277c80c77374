"""Repair float ONNX models as the TensorFlow exporter leaves them, and put the manifest inside."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from edgekit._lazy import need
from edgekit.errors import ConversionError
from edgekit.seal import MANIFEST_KEY
from edgekit_converters.onnx_edit import fresh, graphs, set_nodes, tensor_names, tidy
from edgekit_converters.onnx_files import read, write
from edgekit_converters.onnx_hard_sigmoid import join_hard_sigmoids
from edgekit_converters.onnx_layer_norm import join_layer_normalizations
from edgekit_converters.onnx_names import renumber
from edgekit_converters.onnx_recurrent import replace_loops

_ERF_NAMES = ("/one", "/erf", "/root")
_FLOAT32_ROUNDING = 1e-6


def repair(model: Any, *, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> Any:
    """A copy of `model` without the known faults of the exporter, with other names outside.

    What runs much faster said otherwise is said otherwise: recurrent layers, layer
    normalisations, hard sigmoids.

    Args:
        model: an ``onnx.ModelProto``; it is not changed.
        inputs: new name of each graph input, by its old one.
        outputs: new name of each graph output, by its old one.

    Raises:
        ConversionError: an input would have to be fed that the original model does not have.
    """
    repaired = type(model)()
    repaired.CopyFrom(model)
    replace_erfc(repaired)
    drop_stray_inputs(repaired, wanted=inputs)
    rename_io(repaired, inputs, outputs)
    replace_loops(repaired)
    join_hard_sigmoids(repaired)
    join_layer_normalizations(repaired)
    renumber(repaired)
    tidy(repaired)
    return repaired


def replace_erfc(model: Any) -> None:
    """Say ``Erfc(x)``, which ONNX does not have, as ``1 - Erf(x)``; in place.

    An exact GELU is exported as ``0.5 x Erfc(-x / sqrt(2))``. It becomes
    ``0.5 x (Erf(x / sqrt(2)) + 1)``, which ONNX Runtime knows for a GELU and computes in one pass.
    """
    onnx = need("onnx", extra="convert")
    make = onnx.helper.make_node
    taken = tensor_names(model)
    for graph in graphs(model.graph):
        makers = {name: node for node in graph.node for name in node.output}
        nodes = []
        for node in graph.node:
            if node.op_type != "Erfc" or node.domain:
                nodes.append(node)
                continue
            one, error, root = (fresh(node.output[0] + what, taken) for what in _ERF_NAMES)
            graph.initializer.append(onnx.numpy_helper.from_array(np.array(1, np.float32), one))
            data = _x_of_gelu(graph, makers, node.input[0])
            if data is None:
                nodes.append(make("Erf", [node.input[0]], [error], name=node.name + "/Erf"))
                nodes.append(make("Sub", [one, error], [node.output[0]], name=node.name))
                continue
            sqrt_2 = np.array(np.sqrt(2), np.float32)
            graph.initializer.append(onnx.numpy_helper.from_array(sqrt_2, root + "_2"))
            nodes += [
                make("Div", [data, root + "_2"], [root], name=node.name + "/Div"),
                make("Erf", [root], [error], name=node.name + "/Erf"),
                make("Add", [error, one], [node.output[0]], name=node.name),
            ]
        set_nodes(graph, nodes)
        _drop_unread(graph)


def _x_of_gelu(graph: Any, makers: Mapping[str, Any], name: str) -> str | None:
    """The x of which `name` is -x / sqrt(2), if it is that."""
    onnx = need("onnx", extra="convert")
    scaled = makers.get(name)
    if scaled is None or scaled.op_type != "Mul":
        return None
    constants = {t.name: t for t in graph.initializer if not t.dims}
    for data, other in (scaled.input, reversed(scaled.input)):
        negated = makers.get(data)
        if other in constants and negated is not None and negated.op_type == "Neg":
            factor = float(onnx.numpy_helper.to_array(constants[other]).item())
            if abs(factor - np.sqrt(0.5)) < _FLOAT32_ROUNDING:
                found: str = negated.input[0]
                return found
    return None


def _drop_unread(graph: Any) -> None:
    """Remove nodes whose outputs nobody reads any more."""
    while True:
        read = {name for inner in graphs(graph) for node in inner.node for name in node.input}
        read |= {value.name for inner in graphs(graph) for value in inner.output}
        kept = [node for node in graph.node if not read.isdisjoint(node.output)]
        if len(kept) == len(graph.node):
            return
        set_nodes(graph, kept)


def drop_stray_inputs(model: Any, *, wanted: Mapping[str, str]) -> None:
    """Remove graph inputs that the original model does not have; in place.

    The exporter lists constants which the traced function captured (the statistics of a
    Normalization layer) as inputs, and folds their values into the graph as well: nothing reads
    them. Their names are paths of operators (``normalization/Sub/y:0``), those of real inputs are
    not. Inputs that have an initializer are constants, too.

    Raises:
        ConversionError: a stray input is read, so that its value is unknown.
    """
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    used = {name for inner in graphs(graph) for node in inner.node for name in node.input}
    used |= {value.name for value in graph.output}
    kept = []
    for value in graph.input:
        stray = value.name not in wanted or "/" in value.name
        if value.name in constants or (stray and value.name not in used):
            continue
        if value.name not in wanted:
            message = (
                f"onnx: the exporter made the constant {value.name!r} an input; "
                "make it a weight of its layer, or use --to tflite"
            )
            raise ConversionError(message)
        kept.append(type(value).FromString(value.SerializeToString()))
    del graph.input[:]
    graph.input.extend(kept)


def rename_io(model: Any, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Give graph inputs and outputs new names, everywhere they are read; in place.

    A value inside the graph that has a new name already steps aside. An output that would be
    called like an input gets ``_output`` behind its name, since ONNX has one space for both.
    """
    onnx = need("onnx", extra="convert")
    graph = model.graph
    taken = tensor_names(model) | set(inputs.values()) | set(outputs.values())
    names_in = {value.name for value in graph.input}
    extra = []
    for value in graph.output:
        if value.name in names_in:  # an input handed through needs a node between its two names
            name = fresh(value.name + "/output", taken)
            extra.append(onnx.helper.make_node("Identity", [value.name], [name], name=name))
            outputs = {**outputs, name: outputs.get(value.name, name)}
            value.name = name
    graph.node.extend(extra)
    mapping = {old: inputs[old] for old in names_in if old in inputs}
    given = set(mapping.values()) | (names_in - set(mapping))
    for value in graph.output:
        wanted = outputs.get(value.name, value.name)
        while wanted in given:
            wanted += "_output"
        given.add(wanted)
        mapping[value.name] = wanted
    for name in sorted(tensor_names(model) & set(mapping.values())):
        if name not in mapping:
            mapping[name] = fresh(name + "/inner", taken)
    for inner in graphs(graph):
        _rename(inner, mapping)


def unsupported_ops(model: Any) -> tuple[str, ...]:
    """Operators that ONNX Runtime does not know, with the count of each: ``Erfc (2)``."""
    known = _known_operators()
    counts: dict[str, int] = {}
    for graph in graphs(model.graph):
        for node in graph.node:
            domain = "" if node.domain == "ai.onnx" else node.domain
            if (domain, node.op_type) not in known:
                label = f"{domain}.{node.op_type}" if domain else node.op_type
                counts[label] = counts.get(label, 0) + 1
    return tuple(f"{name} ({count})" for name, count in sorted(counts.items()))


def embed_manifest(path: Path, out: Path, manifest: bytes) -> None:
    """Write the model `path` with `manifest` (UTF-8 text) inside to `out`, replacing an older one.

    Raises:
        SourceError: `path` is not an ONNX model.
        ConversionError: with it the model exceeds 2 GB.
        OutputError: `out` cannot be written.
    """
    model = read(path)
    properties = {prop.key: prop.value for prop in model.metadata_props}
    properties[MANIFEST_KEY] = manifest.decode()
    del model.metadata_props[:]
    for key, value in sorted(properties.items()):
        model.metadata_props.add(key=key, value=value)
    write(model, out)


@lru_cache(maxsize=1)
def _known_operators() -> frozenset[tuple[str, str]]:
    state = need("onnxruntime.capi.onnxruntime_pybind11_state", extra="convert")
    return frozenset((schema.domain, schema.name) for schema in state.get_all_operator_schema())


def _rename(graph: Any, mapping: Mapping[str, str]) -> None:
    for values in (graph.input, graph.output, graph.value_info, graph.initializer):
        for value in values:
            value.name = mapping.get(value.name, value.name)
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                names[index] = mapping.get(name, name)
