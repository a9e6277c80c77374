"""Keras models, as the reference: a tf.function of the model, traced at the first call."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .errors import Refused
from .inputs import Input

if TYPE_CHECKING:
    from collections.abc import Callable


class Keras:
    """A .keras file, run by TensorFlow."""

    package = "keras"
    call: Callable[[Any], Any]
    """One inference, on tensors made before; the results become arrays."""
    _threads: ClassVar[set[int]] = set()

    def __init__(self) -> None:
        """Import the framework."""
        os.environ["KERAS_BACKEND"] = "tensorflow"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras
        import tensorflow

        self._keras: Any = keras
        self._tensorflow: Any = tensorflow

    def load(self, path: str, threads: int) -> None:
        """Rebuild the model; safe mode is on, so no code in the file is run.

        Raises:
            Refused: TensorFlow is at work already with another number of threads; UsageError. Or
                Keras cannot rebuild the model; VerificationError.
        """
        if not self._threads:
            self._tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
            self._tensorflow.config.threading.set_inter_op_parallelism_threads(1)
        self._threads.add(threads)
        if self._threads != {threads}:
            message = "keras: a process has one number of threads; measure the others in another"
            raise Refused(message, "UsageError")
        try:
            self._model = self._keras.models.load_model(path, compile=False)
        except (TypeError, ValueError, KeyError, AttributeError, OSError, RuntimeError) as error:
            message = (
                f"{os.path.basename(path)}: Keras {self._keras.__version__} cannot rebuild the "  # noqa: PTH119
                f"model ({why_not_rebuilt(error)}); measure the files it was converted to, "
                "without it"
            )
            raise Refused(message, "VerificationError") from error

    def inputs(self) -> list[Input]:
        """As the model lists them."""
        return [
            Input(
                one.name.partition(":")[0],
                tuple(None if size is None else int(size) for size in one.shape),
                np.dtype(getattr(one.dtype, "name", one.dtype)).type,
            )
            for one in self._model.inputs
        ]

    def prepare(self, rows: list[list[Any]]) -> list[Any]:
        """Make `call`; returns what to call it with, one a row."""
        tensorflow, model = self._tensorflow, self._model
        structure = getattr(model, "_inputs_struct", None)  # inputs may be a dictionary

        def infer(*tensors: Any) -> Any:
            given = tensors[0] if len(tensors) == 1 else list(tensors)
            if isinstance(structure, dict):
                given = tensorflow.nest.pack_sequence_as(structure, tensors)
            return tensorflow.nest.flatten(model(given, training=False))

        function = tensorflow.function(infer, autograph=False)

        def call(tensors: Any) -> Any:
            return [result.numpy() for result in function(*tensors)]

        self.call = call
        return [[tensorflow.constant(array) for array in row] for row in rows]


def why_not_rebuilt(error: BaseException) -> str:
    """One clause of the pages that Keras prints: the innermost reason, without configurations."""
    text = str(error).rpartition("Exception encountered:")[2]
    unknown = re.search(r"(?:locate class|deserialize|Unknown layer:|object:) '([^']+)'", text)
    if unknown:
        return f"it does not know {unknown[1].rpartition('.')[2]!r}"
    if "ambda" in text:
        return "it has a Lambda layer, that is, code"
    what = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if "objects could not be loaded" in what:
        name = re.search(r"object <(\w+) name=([^,>]+)", what)
        return f"the weights do not fit{f' {name[1]} {name[2]!r}' if name else ''}"
    what = re.sub(r"<class '(?:[\w]+\.)*(\w+)'>", r"\1", what)
    return f"{type(error).__name__}: {re.split(r'[.] |[.]$', what)[0][:160]}".rstrip(": ")
