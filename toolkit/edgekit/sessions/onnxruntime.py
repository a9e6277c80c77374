"""ONNX files, run by ONNX Runtime, on the CPU unless other providers are asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy
from functools import cache, partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit._lazy import need
from edgekit.errors import EdgekitError, UsageError, VerificationError
from edgekit.manifest import damaged_manifest, parse_manifest
from edgekit.mapped_file import file_name
from edgekit.seal import MANIFEST_KEY
from edgekit.sessions.runtime_session import CPU, Providers, RuntimeSession, closed, with_version
from edgekit.tensors import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUIET = 4
"""What goes wrong is raised; ONNX Runtime need not print it as well."""
_BINDABLE = frozenset(
    {"bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"}
    | {"float16", "float32", "float64"}
)
_QUANTIZED = frozenset({"int8", "int16x8"})
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(string)": "string",
}


class OnnxRuntimeSession(RuntimeSession):
    """A .onnx file in an inference session.

    ONNX does not say what integer inputs and outputs stand for; the manifest that edgekit puts
    into the file does.
    """

    def __init__(
        self,
        path: str,
        *,
        content: bytes | None = None,
        threads: int = 1,
        providers: Providers = CPU,
    ) -> None:
        """Load the file and prepare its graph.

        Args:
            path: the file; only a name where `content` is given.
            content: what is in the file.
            threads: for one inference.
            providers: execution providers, the preferred one first.

        Raises:
            SourceError: the file is truncated, damaged, or no ONNX.
            VerificationError: an operator is unknown to the runtime, or the graph is invalid.
            MissingDependencyError: onnxruntime is not installed.
            UsageError: a provider is not there, or does not start.
        """
        runtime = need("onnxruntime", extra="onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _QUIET
        self._path = path
        self._name = file_name(path)
        # RuntimeError where memory is bound, UnicodeDecodeError of its own message
        self.failures = (*_error_classes(), RuntimeError, UnicodeDecodeError)
        wanted = _available(runtime, providers)
        try:
            self._session: Any = runtime.InferenceSession(
                path if content is None else content, options, providers=list(providers)
            )
        except self.failures as error:
            from edgekit.sessions import onnxruntime_errors

            raise onnxruntime_errors.refused(path, error) from error
        started = self._session.get_providers()
        if wanted[0] not in started:  # ONNX Runtime would go on with another one
            message = f"provider {wanted[0]}: does not start here; there is {', '.join(started)}"
            raise UsageError(message)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.manifest = parse_manifest(path, metadata.get(MANIFEST_KEY)) or {}
        self._describe()

    def _describe(self) -> None:
        specs = _described(self._path, self.manifest)
        given, made = self._session.get_inputs(), self._session.get_outputs()
        self.inputs = tuple(_spec(node, specs) for node in given)
        self.outputs = tuple(_spec(node, specs) for node in made)
        _refuse_no_tensors(self._name, self.inputs, self.outputs)
        self._names = [spec.name for spec in self.outputs]
        if (self.manifest.get("recipe") or {}).get("precision") in _QUANTIZED:
            floats = (spec.name for spec in self.inputs if spec.dtype == "float32")
            self.quantizes_inputs = frozenset(floats)
        self._free = _sizes_follow([node.shape for node in given], [node.shape for node in made])
        self._shapes: list[tuple[int, ...]] | None = None
        passed = {spec.name for spec in self.inputs}.intersection(self._names)
        self._can_bind = (  # an input that is also an output would not be copied
            self._free
            and not passed
            and all(spec.dtype in _BINDABLE for spec in (*self.inputs, *self.outputs))
        )

    def another(self) -> OnnxRuntimeSession:
        """One more to run at the same time, with the same weights in memory."""
        twin = copy(self)
        twin._describe()
        return twin

    @property
    def runtime(self) -> str:
        """Package and version."""
        return with_version("onnxruntime")

    def close(self) -> None:
        """Free the session."""
        self._session = None
        self.input_views = self.output_views = self.input_writers = self.output_copies = ()
        self.execute = closed

    def reset_variables(self) -> None:
        """Do nothing: ONNX files have no variables."""

    def prepare(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Bind memory for inputs and outputs of these shapes; see `RuntimeSession.prepare`.

        The sizes of outputs whose free dimensions are the inputs' are learned from a first run.
        """
        if not self._can_bind:
            return False
        if self._shapes == list(shapes):
            return True
        feeds = {
            spec.name: np.zeros(shape, spec.dtype)
            for spec, shape in zip(self.inputs, shapes, strict=True)
        }
        sizes = [spec.shape for spec in self.outputs]
        if any(None in size for size in sizes):
            results = self._invoke(feeds)
            sizes = [results[name].shape for name in self._names]
        made = [
            np.zeros([one or 0 for one in size], spec.dtype)
            for spec, size in zip(self.outputs, sizes, strict=True)
        ]
        self._bind(list(feeds.values()), made)
        self._shapes = list(shapes)
        return True

    def _bind(self, given: list[NDArray[Any]], made: list[NDArray[Any]]) -> None:
        binding = self._session.io_binding()
        for spec, array in zip(self.inputs, given, strict=True):
            binding.bind_input(spec.name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for spec, array in zip(self.outputs, made, strict=True):
            binding.bind_output(spec.name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        self.input_views = [repeat(array).__next__ for array in given]
        self.output_views = [repeat(array).__next__ for array in made]
        self.input_writers = [(array.__setitem__, ...) for array in given]
        self.output_copies = [array.copy for array in made]
        native = self._session._sess.run_with_iobinding
        self.execute = partial(native, binding._iobinding, None)

    def failed(self, error: Exception) -> EdgekitError:
        """The runtime's reason, in one line."""
        from edgekit.sessions import onnxruntime_errors

        return onnxruntime_errors.failed(self._name, error, self.inputs)

    def _invoke(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        try:
            return dict(zip(self._names, self._session.run(self._names, inputs), strict=True))
        except self.failures as error:
            raise self.failed(error) from error


def _available(runtime: Any, providers: Providers) -> list[str]:
    """The names of `providers`, all of which this build of ONNX Runtime has."""
    names = [one if isinstance(one, str) else one[0] for one in providers]
    there = runtime.get_available_providers()
    missing = [name for name in names if name not in there]
    if missing or not names:
        told = f"provider {missing[0]}: not in this onnxruntime" if missing else "providers: empty"
        message = f"{told}; choose from: {', '.join(there)}"
        raise UsageError(message)
    return names


def _sizes_follow(given: list[list[Any]], made: list[list[Any]]) -> bool:
    """Whether each free size of the outputs is called as one of the inputs' is."""
    named = {size for shape in given for size in shape if isinstance(size, str)}
    return all(
        isinstance(size, int) or (isinstance(size, str) and size in named)
        for shape in made
        for size in shape
    )


@cache
def _error_classes() -> tuple[type[Exception], ...]:
    state = need("onnxruntime.capi.onnxruntime_pybind11_state", extra="onnx")
    found = (getattr(state, name) for name in dir(state))
    return tuple(c for c in found if isinstance(c, type) and issubclass(c, Exception))


def _refuse_no_tensors(
    name: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> None:
    """Raise for inputs and outputs that no array of NumPy holds: lists, maps, bfloat16."""
    for what, specs in (("input", inputs), ("output", outputs)):
        for spec in specs:
            if spec.dtype not in _BINDABLE and spec.dtype != "string":
                is_map = "map(" in spec.dtype
                hint = "without the operator ZipMap" if is_map else "with another dtype there"
                message = (
                    f"{name}: {what} {spec.name!r} is {spec.dtype}, for which NumPy has no array; "
                    f"make it {hint}"
                )
                raise VerificationError(message)


def _described(path: str, manifest: dict[str, Any]) -> dict[str, TensorSpec]:
    """The tensors the file's manifest describes; none when it has no manifest."""
    try:
        listed = [*manifest.get("inputs", ()), *manifest.get("outputs", ())]
        return {spec.name: spec for spec in map(TensorSpec.from_dict, listed)}
    except (KeyError, TypeError, ValueError) as error:
        raise damaged_manifest(path, error) from error


def _spec(node: Any, described: dict[str, TensorSpec]) -> TensorSpec:
    inner = re.sub(r"tensor\((\w+)\)", r"\1", node.type)
    dtype = _DTYPES.get(node.type, inner)
    said = described.get(node.name)
    return TensorSpec(
        name=node.name,
        shape=tuple(size if isinstance(size, int) else None for size in node.shape),
        dtype=dtype,
        quantization=said.quantization if said and dtype not in {"float32", "float16"} else None,
    )
