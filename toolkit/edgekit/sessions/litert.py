"""TFLite files, run by LiteRT, or by tflite-runtime where that is what the board has."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit import tflite_metadata
from edgekit._lazy import need
from edgekit.errors import (
    DataError,
    EdgekitError,
    MissingDependencyError,
    UsageError,
)
from edgekit.mapped_file import file_name, map_file
from edgekit.seal import MANIFEST_KEY
from edgekit.sessions.runtime_session import RuntimeSession, closed, with_version
from edgekit.tensors import Quantization, TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST_SIZE = 2**31 - 1
"""Of a dimension: NumPy 1 would make another number of a greater one."""
_OUTSIDE = frozenset({"VAR_HANDLE", "CALL_ONCE"})
"""Operators of variables that live outside the graph."""
_REMEMBER = _OUTSIDE | {
    "BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN", "LSTM", "RNN", "SVDF",
    "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN",
}  # fmt: skip


class LiteRTSession(RuntimeSession):
    """A .tflite file in an interpreter.

    Tensors are set and read by index. The signature gives only their names: while a signature
    runner is alive, the interpreter refuses to run. The calls go to the interpreter's native
    part, which both runtimes have alike and which also reaches the graphs of other signatures.
    """

    failures = (ValueError, RuntimeError)

    def __init__(
        self,
        path: str,
        *,
        content: bytes | None = None,
        threads: int = 1,
        backend: str = "auto",
        signature: str | None = None,
    ) -> None:
        """Load the file and prepare its operators.

        Args:
            path: the file; only a name where `content` is given.
            content: what is in the file.
            threads: for one inference.
            backend: ``litert``, ``tflite-runtime``, or ``auto`` for whichever is installed.
            signature: which one to run.

        Raises:
            SourceError: the file is truncated or damaged.
            VerificationError: an operator is unknown to the runtime, or too new for it.
            MissingDependencyError: neither ai-edge-litert nor tflite-runtime is installed.
            UsageError: no such signature.
        """
        data = map_file(path) if content is None else memoryview(content)
        self._stored = tflite_metadata.find(data, MANIFEST_KEY, path)
        self._name = file_name(path)
        self._path, self._content, self._threads, self._backend = path, content, threads, backend
        self._signature = signature
        self._open()

    @cached_property
    def manifest(self) -> dict[str, Any]:  # type: ignore[override]
        """What edgekit wrote into the file, read when first asked for."""
        from edgekit.manifest import parse_manifest

        return parse_manifest(self._path, self._stored) or {}

    def tells(self, key: str) -> bool:
        """Whether the manifest may list `key`; cheaper than to look it up."""
        stored = self._stored or b""
        return f'"{key}"'.encode() in stored and f'"{key}":[]'.encode() not in stored

    def _open(self, *, is_first: bool = True) -> None:
        """Load the file; where free sizes need a real call to be known, leave it at that."""
        path = self._path
        self._interpreter, self._package = _opened(
            path, self._content, self._threads, self._backend
        )
        native: Any = self._interpreter._interpreter
        listed: dict[str, dict[str, dict[str, int]]] = native.GetSignatureDefs() or {}
        self.signatures = tuple(sorted(listed))
        chosen = _chosen(path, self._signature, self.signatures)
        self._graph = native.GetSubgraphIndexFromSignature(chosen) if chosen else 0
        self._native = native
        names = listed[chosen] if chosen else {}
        if self._graph:
            inputs = [self._detail(index) for index in names["inputs"].values()]
            outputs = [self._detail(index) for index in names["outputs"].values()]
        else:
            inputs = self._interpreter.get_input_details()
            outputs = self._interpreter.get_output_details()
        self._input_index = _named(names.get("inputs"), inputs)
        self._output_index = _named(names.get("outputs"), outputs)
        of = {d["index"]: d for d in (*inputs, *outputs)}
        self.inputs = tuple(_spec(n, of[i]) for n, i in self._input_index.items())
        self.outputs = tuple(_spec(n, of[i]) for n, i in self._output_index.items())
        self._shapes: list[tuple[int, ...] | None] = [
            tuple(map(int, of[i]["shape"])) for i in self._input_index.values()
        ]
        self._operators = [native.NodeName(node) for node in range(native.NumNodes())]
        self.has_variables = not _REMEMBER.isdisjoint(self._operators)
        self.quantizes_inputs = self._quantized()
        view = native.tensor
        self.input_views = [
            partial(view, native, i, self._graph) for i in self._input_index.values()
        ]
        write = native.SetTensor if not self._graph else self._write_to_graph
        self.input_writers = [(write, index) for index in self._input_index.values()]
        self.output_views, self.output_copies = [], []
        for spec, index in zip(self.outputs, self._output_index.values(), strict=True):
            if None in spec.shape or 0 in spec.shape:
                self.output_views.append(partial(_view, native, index, self._graph))
                self.output_copies.append(partial(_copied, native, index, self._graph))
            else:
                self.output_views.append(partial(view, native, index, self._graph))
                self.output_copies.append(partial(native.GetTensor, index, self._graph))
        self.execute = partial(native.Invoke, self._graph)
        self._has_views = not any(
            spec.dtype == "string" or spec.shape == () for spec in (*self.inputs, *self.outputs)
        )
        is_free = [None in spec.shape for spec in self.inputs]
        if not is_first:
            pairs = zip(is_free, self._shapes, strict=True)
            self._shapes = [None if free else shape for free, shape in pairs]
        elif not self._allocate(path, may_fail=any(is_free)):
            self._open(is_first=False)  # what failed to allocate tells it again with later errors

    @property
    def runtime(self) -> str:
        """Package and version."""
        return with_version(self._package)

    def _write_to_graph(self, index: int, values: NDArray[Any]) -> None:
        self._native.SetTensor(index, values, self._graph)

    def _detail(self, index: int) -> dict[str, Any]:
        found: dict[str, Any] = self._interpreter._get_tensor_details(index, self._graph)
        return found

    def _allocate(self, path: str, *, may_fail: bool) -> bool:
        """Prepare all operators; False where the 1 that stands for a free size does not do."""
        try:
            self._native.AllocateTensors(self._graph)
        except (ValueError, RuntimeError) as error:
            from edgekit.sessions import litert_errors

            if may_fail and litert_errors.is_of_shapes(error):
                return False
            raise litert_errors.refused(path, error, self._operators) from error
        return True

    def _quantized(self) -> frozenset[str]:
        """The float inputs that an operator of the main graph reads to make integers of them."""
        if self._graph:
            return frozenset()
        names = {index: name for name, index in self._input_index.items()}
        return frozenset(
            names[index]
            for node, operator in enumerate(self._operators)
            if operator == "QUANTIZE"
            for index in self._native.NodeInputs(node)
            if index in names
        )

    def close(self) -> None:
        """Free the interpreter."""
        self._interpreter = self._native = self._content = None
        self.input_views = self.output_views = self.input_writers = self.output_copies = ()
        self.execute = closed

    def reset_variables(self) -> None:
        """Set internal variables to what they are after loading.

        Variables that live outside the graph (VAR_HANDLE) begin anew only with the interpreter.
        """
        if _OUTSIDE.intersection(self._operators):
            self._restore(self._shapes)
        else:
            self._native.ResetVariableTensors()

    def prepare(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Resize the inputs that have another shape now; see `RuntimeSession.prepare`."""
        changed = [n for n, shape in enumerate(shapes) if shape != self._shapes[n]]
        if changed:
            if max(max(shape, default=0) for shape in shapes) > _LARGEST_SIZE:
                raise MemoryError
            indices = list(self._input_index.values())
            native = self._native
            before = list(self._shapes)
            try:
                for number in changed:
                    size = np.asarray(shapes[number], np.int32)
                    native.ResizeInputTensor(indices[number], size, False, self._graph)
                    self._shapes[number] = shapes[number]
                native.AllocateTensors(self._graph)
            except (ValueError, RuntimeError) as error:
                from edgekit.sessions.litert_errors import reason

                told = dict(zip(self._input_index, self._shapes, strict=True))
                self._restore(before)
                message = (
                    f"{self._name}: cannot run with shapes {told}: {reason(error)}; "
                    "use the shapes it was made with"
                )
                raise DataError(message) from error
        return self._has_views

    def _restore(self, shapes: Sequence[tuple[int, ...] | None]) -> None:
        """Begin anew with a fresh interpreter, made ready for `shapes` as the one before was."""
        self._open()
        known = [shape for shape in shapes if shape is not None]
        if len(known) == len(shapes):
            self.prepare(known)

    def failed(self, error: Exception) -> EdgekitError:
        """The interpreter's reason, in one line."""
        from edgekit.sessions import litert_errors

        return litert_errors.failed(self._name, error, self.inputs)

    def _invoke(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        native, graph = self._native, self._graph
        arrays = [inputs[name] for name in self._input_index]
        self.prepare([array.shape for array in arrays])
        try:
            for index, array in zip(self._input_index.values(), arrays, strict=True):
                native.SetTensor(index, array, graph)
            native.Invoke(graph)
            return {name: _copied(native, i, graph) for name, i in self._output_index.items()}
        except (ValueError, RuntimeError) as error:
            raise self.failed(error) from error


def _view(native: Any, index: int, graph: int) -> NDArray[Any]:
    """The interpreter's memory of an output whose shape depends on values, and may be empty."""
    try:
        return native.tensor(native, index, graph)  # type: ignore[no-any-return]
    except ValueError as error:
        return _empty(native, index, graph, error)


def _copied(native: Any, index: int, graph: int) -> NDArray[Any]:
    """A copy of an output; of a scalar, the interpreter gives a number and no array."""
    try:
        return np.asarray(native.GetTensor(index, graph))
    except ValueError as error:
        return _empty(native, index, graph, error)


def _empty(native: Any, index: int, graph: int, error: ValueError) -> NDArray[Any]:
    """An output without values, which the interpreter does not hand out; else raise `error`."""
    shape = native.TensorSize(index, graph)
    if 0 not in shape:
        raise error
    return np.empty(shape, native.TensorType(index, graph))


def _chosen(path: str, asked: str | None, signatures: tuple[str, ...]) -> str | None:
    """The signature asked for; else the default one, the only one, or none."""
    if asked is not None and asked not in signatures:
        there = f"has the signatures {', '.join(signatures)}" if signatures else "has no signatures"
        message = (
            f"signature={asked!r}: {file_name(path)} {there}; choose one of them, or leave it out"
        )
        raise UsageError(message)
    if asked is not None:
        return asked
    if "serving_default" in signatures:
        return "serving_default"
    return signatures[0] if signatures else None


def find_runtime(backend: str) -> tuple[Any, str]:
    """The interpreter module and the package it is from."""
    if backend in {"auto", "litert"}:
        try:
            return need("ai_edge_litert.interpreter", extra="litert"), "ai-edge-litert"
        except MissingDependencyError:
            if backend == "litert":
                raise
    try:
        return need("tflite_runtime.interpreter", extra="tflite-runtime"), "tflite-runtime"
    except MissingDependencyError:
        if backend == "tflite-runtime":
            raise
        message = (
            "ai-edge-litert: not installed; run: pip install '.[litert]' in the edgekit "
            "checkout ('.[tflite-runtime]' on 32-bit ARM)"
        )
        raise MissingDependencyError(message) from None


def _opened(path: str, content: bytes | None, threads: int, backend: str) -> tuple[Any, str]:
    module, package = find_runtime(backend)
    if package == "tflite-runtime":
        if "tensorflow" in sys.modules:
            message = (
                "tflite-runtime: cannot run in a process that has imported tensorflow; "
                "use ai-edge-litert, or another process"
            )
            raise MissingDependencyError(message)
        if int(np.__version__.partition(".")[0]) >= 2:
            message = (
                f"tflite-runtime: does not work with numpy {np.__version__}; "
                "run: pip install 'numpy<2'"
            )
            raise MissingDependencyError(message)
    given = {"model_path": path} if content is None else {"model_content": content}
    try:
        interpreter = module.Interpreter(**given, num_threads=threads)
    except (ValueError, RuntimeError) as error:
        from edgekit.sessions import litert_errors

        raise litert_errors.refused(path, error, ()) from error
    return interpreter, package


def _named(names: dict[str, int] | None, details: list[dict[str, Any]]) -> dict[str, int]:
    """Name to index of each tensor, in the graph's order; its own name without a signature."""
    called = {index: name for name, index in (names or {}).items()}
    found: dict[str, int] = {}
    for detail in details:
        index = int(detail["index"])
        name = called.get(index) or str(detail["name"]) or f"tensor_{index}"
        if found.get(name, index) != index:  # another tensor has the same name
            name = f"{name}_{index}"
        found[name] = index
    if names and len(found) < len(names):  # one tensor is two outputs
        found |= {name: index for name, index in names.items() if name not in found}
    return found


def _spec(name: str, detail: dict[str, Any]) -> TensorSpec:
    parameters = detail["quantization_parameters"]
    scales = tuple(float(scale) for scale in parameters["scales"])
    dtype = np.dtype(detail["dtype"])
    signature = detail.get("shape_signature", detail["shape"])
    if len(signature) != len(detail["shape"]):
        signature = detail["shape"]
    return TensorSpec(
        name=name,
        shape=tuple(None if size < 0 else int(size) for size in signature),
        dtype="string" if dtype.kind in "SUO" else dtype.name,
        quantization=Quantization(
            scale=scales,
            zero_point=tuple(int(point) for point in parameters["zero_points"]),
            axis=int(parameters["quantized_dimension"]) if len(scales) > 1 else None,
        )
        if scales and dtype.kind in "iu"
        else None,
    )
