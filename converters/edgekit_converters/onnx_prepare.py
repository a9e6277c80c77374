"""Bring a float ONNX model into the shape in which it can be compressed.

Everything here works on copies in memory; nothing is ever written next to the source file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit._lazy import need
from edgekit.errors import ConversionError, OutputError, SourceError

SIZE_LIMIT_BYTES = 2**31 - 1
"""One ONNX file holds at most this; larger models need a second file beside it, which we refuse."""


def read(source: Path) -> Any:
    """Load an ONNX file, weights included.

    Raises:
        SourceError: the file is missing, or is not an ONNX model.
    """
    onnx = need("onnx", extra="convert")
    decode_error = need("google.protobuf.message", extra="convert").DecodeError

    try:
        model = onnx.load(str(source))
    except FileNotFoundError as error:
        message = f"{source}: a file of this model is missing ({error.filename}); check the path"
        raise SourceError(message) from error
    except (decode_error, onnx.checker.ValidationError) as error:
        message = f"{source}: not a readable ONNX model; export it again"
        raise SourceError(message) from error
    if not model.HasField("graph"):
        message = f"{source}: an ONNX file without a graph; export it again"
        raise SourceError(message)
    return model


def write(model: Any, out: Path) -> None:
    """Write `model` as one file; equal models give equal bytes.

    Raises:
        ConversionError: the model is too large for one file.
        OutputError: the file cannot be written.
    """
    if model.ByteSize() > SIZE_LIMIT_BYTES:
        message = (
            f"{out.name}: the model exceeds the 2 GB of one ONNX file; use a smaller precision"
        )
        raise ConversionError(message)
    try:
        out.write_bytes(model.SerializeToString(deterministic=True))
    except OSError as error:
        message = f"{out}: cannot be written ({error.strerror}); choose another place with -o"
        raise OutputError(message) from error


def write_smaller(model: Any, out: Path, float_bytes: int, precision: str) -> None:
    """Tidy `model`, drop what only helps tools, and write it, if it is smaller than in float.

    Raises:
        ConversionError: it is not smaller than `float_bytes`.
        OutputError: the file cannot be written.
    """
    tidy(model)
    for graph in graphs(model.graph):
        del graph.value_info[:]
    size = model.ByteSize()
    if size >= float_bytes:
        message = (
            f"{out.name}: {precision} makes this ONNX model no smaller ({size} bytes) than "
            f"float32 ({float_bytes} bytes); keep float32"
        )
        raise ConversionError(message)
    write(model, out)


def prepare(source: Path) -> Any:
    """Load, fold constants and batch normalisations, infer shapes, and give every node a name.

    The result computes the same as the source and uses standard operators only. It is a pure
    function of the file, so the node names in it can be kept and used again later.

    Raises:
        SourceError: not an ONNX model, or ONNX Runtime cannot load it.
    """
    onnx = need("onnx", extra="convert")
    original = read(source)
    model = onnx.ModelProto()
    model.ParseFromString(_optimized(original.SerializeToString(), source))
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    tidy(inferred)
    name_nodes(inferred)
    return inferred


def tidy(model: Any) -> None:
    """Drop unused operator sets and remarks, sort initializers by name; in place."""
    used = {node.domain for graph in graphs(model.graph) for node in graph.node} | {""}
    kept = sorted((o for o in model.opset_import if o.domain in used), key=lambda o: o.domain)
    versions = [(o.domain, o.version) for o in kept]
    del model.opset_import[:]
    for domain, version in versions:
        model.opset_import.add(domain=domain, version=version)
    for graph in graphs(model.graph):
        for node in graph.node:
            node.doc_string = ""
        ordered = sorted(graph.initializer, key=lambda tensor: tensor.name)
        copies = [type(tensor).FromString(tensor.SerializeToString()) for tensor in ordered]
        del graph.initializer[:]
        graph.initializer.extend(copies)
        graph.doc_string = ""
    model.doc_string = ""


def name_nodes(model: Any) -> None:
    """Give every node a name of its own; in place."""
    taken = {node.name for graph in graphs(model.graph) for node in graph.node if node.name}
    seen: set[str] = set()
    for graph in graphs(model.graph):
        for node in graph.node:
            if not node.name or node.name in seen:
                node.name = fresh(f"{node.op_type}/{node.output[0]}", taken)
            seen.add(node.name)


def graphs(graph: Any) -> Iterator[Any]:
    """`graph` and every graph inside it (bodies of loops and conditions), outermost first."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)
            for inner in attribute.graphs:
                yield from graphs(inner)


def fresh(wanted: str, taken: set[str]) -> str:
    """`wanted`, or `wanted` with a number that makes it new; recorded in `taken`."""
    name, number = wanted, len(taken)
    while name in taken:
        name, number = f"{wanted}{number}", number + 1
    taken.add(name)
    return name


def tensor_names(model: Any) -> set[str]:
    """Every name of a value or initializer anywhere in the model."""
    names: set[str] = set()
    for graph in graphs(model.graph):
        names.update(tensor.name for tensor in graph.initializer)
        names.update(value.name for value in graph.input)
        for node in graph.node:
            names.update(node.input)
            names.update(node.output)
    return names


def add_operator_set(model: Any, domain: str, version: int) -> None:
    """Declare that `model` uses operators of `domain`."""
    if all(known.domain != domain for known in model.opset_import):
        model.opset_import.add(domain=domain, version=version)


def set_nodes(graph: Any, nodes: list[Any]) -> None:
    """Make `nodes` (some may be in `graph` already) the nodes of `graph`, in this order."""
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def drop_unused_weights(model: Any) -> None:
    """Remove initializers of the main graph that nothing reads; in place."""
    used = {name for graph in graphs(model.graph) for node in graph.node for name in node.input}
    used |= {value.name for graph in graphs(model.graph) for value in graph.output}
    kept = [
        type(tensor).FromString(tensor.SerializeToString())
        for tensor in model.graph.initializer
        if tensor.name in used
    ]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _optimized(serialized: bytes, source: Path) -> bytes:
    runtime = need("onnxruntime", extra="convert")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory(prefix="edgekit-onnx-") as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        try:
            runtime.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class but this one
            said = str(error).splitlines()[0]
            message = f"{source}: ONNX Runtime cannot load it ({said}); export it again"
            raise SourceError(message) from error
        return path.read_bytes()
