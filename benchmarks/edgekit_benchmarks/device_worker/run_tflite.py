"""TFLite files, called as an expert calls them: tensors by index, methods looked up once."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import Refused
from .inputs import Input

if TYPE_CHECKING:
    from collections.abc import Callable

_OUTSIDE = frozenset({"VAR_HANDLE", "CALL_ONCE"})
"""Operators of variables that begin anew only with the interpreter."""


class TFLite:
    """A .tflite file in LiteRT's or tflite-runtime's interpreter."""

    call: Callable[[Any], Any]
    """One inference: set the inputs, invoke, get the outputs."""

    def __init__(self, package: str) -> None:
        """Import the runtime.

        Raises:
            ImportError: it is not there.
            Refused: it is there and does not work with this NumPy.
        """
        self.package = package
        if package == "tflite-runtime" and int(np.__version__.partition(".")[0]) >= 2:
            importlib.import_module("tflite_runtime")  # where it is not there, say that
            message = (
                f"tflite-runtime: does not work with numpy {np.__version__}; "
                "run: pip install 'numpy<2'"
            )
            raise Refused(message, "MissingDependencyError")
        module = package.replace("-", "_") + ".interpreter"
        self._make = importlib.import_module(module).Interpreter

    def load(self, path: str, threads: int) -> None:
        """Read the file and prepare its operators."""
        self._given = {"model_path": path, "num_threads": threads}
        self._interpreter = self._make(**self._given)
        self._is_ready = True
        try:
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError):
            if not any(None in one.shape for one in self.inputs()):
                raise
            self._is_ready = False  # the 1 that stands for a free size does not do
        self._remembers: bool | None = None

    def inputs(self) -> list[Input]:
        """In the graph's order, named as the signature names them."""
        listed: dict[str, Any] = self._interpreter._get_full_signature_list() or {}
        chosen: dict[str, Any] = listed.get("serving_default") or next(iter(listed.values()), {})
        names = {index: name for name, index in (chosen.get("inputs") or {}).items()}
        return [
            Input(
                names.get(detail["index"], detail["name"]),
                _shape(detail),
                detail["dtype"],
                float(detail["quantization"][0]) or None,
                int(detail["quantization"][1]),
            )
            for detail in self._interpreter.get_input_details()
        ]

    def prepare(self, rows: list[list[Any]]) -> list[Any]:
        """Make `call` for inputs of these shapes; returns what to call it with, one a row."""
        interpreter = self._interpreter
        given = interpreter.get_input_details()
        resized = [
            interpreter.resize_tensor_input(detail["index"], array.shape)
            for detail, array in zip(given, rows[0])  # noqa: B905
            if tuple(detail["shape"]) != array.shape
        ]
        if resized or not self._is_ready:
            interpreter.allocate_tensors()
        set_tensor, invoke = interpreter.set_tensor, interpreter.invoke
        get_tensor = interpreter.get_tensor
        sources = [detail["index"] for detail in given]
        sinks = [detail["index"] for detail in interpreter.get_output_details()]

        def call(arrays: Any) -> Any:
            for index, array in arrays:
                set_tensor(index, array)
            invoke()
            return [get_tensor(index) for index in sinks]

        def call_of_one(array: Any) -> Any:
            set_tensor(source, array)
            invoke()
            return get_tensor(sink)

        if len(sources) == len(sinks) == 1:
            source, sink = sources[0], sinks[0]
            self.call = call_of_one
            return [row[0] for row in rows]
        self.call = call
        return [list(zip(sources, row)) for row in rows]  # noqa: B905

    def predict(self, arrays: list[Any]) -> list[Any]:
        """One inference on an array for each input, in their order; nothing is remembered."""
        if self._remembers_outside():
            self._interpreter = self._make(**self._given)
            self._is_ready = False
        interpreter = self._interpreter
        details = interpreter.get_input_details()
        resized = [
            interpreter.resize_tensor_input(detail["index"], array.shape)
            for detail, array in zip(details, arrays)  # noqa: B905
            if tuple(detail["shape"]) != array.shape
        ]
        if resized or not self._is_ready:
            interpreter.allocate_tensors()
            self._is_ready = True
        interpreter.reset_all_variables()
        for detail, array in zip(details, arrays):  # noqa: B905
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        return [self._result(detail["index"]) for detail in interpreter.get_output_details()]

    def _remembers_outside(self) -> bool:
        """Whether a call leaves something that only a new interpreter forgets."""
        if self._remembers is None:
            told = self._interpreter._get_ops_details()
            self._remembers = not _OUTSIDE.isdisjoint(one["op_name"] for one in told)
        return self._remembers

    def _result(self, index: int) -> Any:
        """A copy of an output; the interpreter does not hand out empty ones."""
        try:
            return self._interpreter.get_tensor(index)
        except ValueError:
            native = self._interpreter._interpreter
            shape = native.TensorSize(index, 0)
            if 0 not in shape:
                raise
            return np.empty(shape, native.TensorType(index, 0))


def _shape(detail: dict[str, Any]) -> tuple[int | None, ...]:
    signature = detail.get("shape_signature", detail["shape"])
    if len(signature) != len(detail["shape"]):  # files without one have an empty one
        signature = detail["shape"]
    return tuple(None if size < 0 else int(size) for size in signature)
