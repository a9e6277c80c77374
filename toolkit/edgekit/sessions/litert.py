"""TFLite files, run by LiteRT, or by tflite-runtime where that is what the board has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import tflite_file
from edgekit._lazy import need
from edgekit.errors import DataError, MissingDependencyError, SourceError, VerificationError
from edgekit.manifest import manifest_of
from edgekit.sessions.session import Session
from edgekit.tensors import Quantization, TensorSpec


class LiteRTSession(Session):
    """A .tflite file in an interpreter.

    Tensors are set and read by index. The signature gives only their names: while a signature
    runner is alive, the interpreter refuses to run.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Load the file and prepare its operators.

        Raises:
            SourceError: the file is truncated or damaged.
            VerificationError: an operator is unknown to the runtime, or too new for it.
            MissingDependencyError: neither ai-edge-litert nor tflite-runtime is installed.
        """
        self._path = path
        self.manifest = manifest_of(tflite_file.read(path), path) or {}
        self._interpreter: Any = _open(path, threads)
        _prepare(path, self._interpreter)
        inputs = {d["index"]: d for d in self._interpreter.get_input_details()}
        outputs = {d["index"]: d for d in self._interpreter.get_output_details()}
        names = _signature(self._interpreter)
        self._input_index = _named(names.get("inputs"), inputs)
        self._output_index = _named(names.get("outputs"), outputs)
        self.inputs = tuple(_spec(n, inputs[i]) for n, i in self._input_index.items())
        self.outputs = tuple(_spec(n, outputs[i]) for n, i in self._output_index.items())
        self._shapes = {
            n: tuple(map(int, inputs[i]["shape"])) for n, i in self._input_index.items()
        }

    def close(self) -> None:
        """Free the interpreter."""
        self._interpreter = None

    def _invoke(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        interpreter = self._interpreter
        changed = [name for name, array in inputs.items() if array.shape != self._shapes[name]]
        try:
            for name in changed:
                interpreter.resize_tensor_input(self._input_index[name], inputs[name].shape)
                self._shapes[name] = inputs[name].shape
            if changed:
                interpreter.allocate_tensors()
            for name, array in inputs.items():
                interpreter.set_tensor(self._input_index[name], array)
            interpreter.invoke()
            return {name: interpreter.get_tensor(i) for name, i in self._output_index.items()}
        except (ValueError, RuntimeError) as error:
            if changed:
                message = (
                    f"{self._path.name}: cannot run with shapes {self._shapes}: {_first(error)}; "
                    "use the shapes it was made with"
                )
                raise DataError(message) from error
            message = f"{self._path.name}: {_first(error)}; make it in another precision"
            raise VerificationError(message) from error


def _open(path: Path, threads: int) -> Any:
    try:
        module = need("ai_edge_litert.interpreter", extra="litert")
    except MissingDependencyError:
        try:
            module = need("tflite_runtime.interpreter", extra="tflite-runtime")
        except MissingDependencyError:
            message = (
                "ai-edge-litert: not installed; run: pip install '.[litert]' in the edgekit "
                "checkout ('.[tflite-runtime]' on 32-bit ARM)"
            )
            raise MissingDependencyError(message) from None
    try:
        return module.Interpreter(model_path=str(path), num_threads=threads)
    except (SystemError, AttributeError, ImportError) as error:
        if int(np.__version__.partition(".")[0]) < 2 or "tflite_runtime" not in module.__name__:
            raise
        message = (
            f"tflite-runtime: does not work with numpy {np.__version__}; run: pip install 'numpy<2'"
        )
        raise MissingDependencyError(message) from error
    except (ValueError, RuntimeError) as error:
        raise _refused(path, error, ()) from error


def _prepare(path: Path, interpreter: Any) -> None:
    try:
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        operators = [str(d["op_name"]) for d in interpreter._get_ops_details()]
        raise _refused(path, error, operators) from error


def _refused(
    path: Path, error: Exception, operators: tuple[str, ...] | list[str]
) -> SourceError | VerificationError:
    """The interpreter's reason, in one line that names the operator."""
    said = str(error)
    if "Select TensorFlow op" in said:
        flex = sorted({name for name in operators if name.startswith("Flex")})
        return VerificationError(
            f"{path.name}: needs TensorFlow's own operators ({', '.join(flex) or 'Flex'}), which "
            "no device runtime has; convert again without allowing Flex"
        )
    version = re.search(r"builtin opcode '(\w+)' version '(\d+)'", said)
    if version:
        return VerificationError(
            f"{path.name}: this runtime is too old for operator {version[1]} version {version[2]}; "
            "use a current ai-edge-litert, or make the file in another precision"
        )
    custom = re.search(r"unresolved custom op: ?([\w.:>-]*)", said)
    if custom:
        return VerificationError(
            f"{path.name}: operator {custom[1].rstrip('.') or '?'} is unknown to this runtime; "
            "replace the layer that makes it"
        )
    node = re.search(r"Node number (\d+) \((\w+)\)", said)
    if node:
        return VerificationError(
            f"{path.name}: operator {node[2]} (number {node[1]}) cannot run: {_first(error)}; "
            "make the file in another precision"
        )
    return SourceError(f"{path}: not a usable TFLite file ({_first(error)}); make it again")


def _signature(interpreter: Any) -> dict[str, dict[str, int]]:
    """Names to tensor indices, of the default signature or the first; empty if there is none."""
    signatures: dict[str, dict[str, dict[str, int]]] = interpreter._get_full_signature_list()
    if not signatures:
        return {}
    return signatures.get("serving_default") or next(iter(signatures.values()))


def _named(names: dict[str, int] | None, details: dict[int, Any]) -> dict[str, int]:
    """Name to index for every tensor in `details`; tensor names where the signature has none."""
    if names and set(details) <= set(names.values()):
        return {name: index for name, index in names.items() if index in details}
    return {str(detail["name"]): index for index, detail in details.items()}


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


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:200]
