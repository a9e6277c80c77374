"""Predictions of Keras models and SavedModels; served in a child process with TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray

from edgekit.child_main import tell
from edgekit.data_checks import PixelRange
from edgekit.predict import Question
from edgekit.predict import predict as run_over_data
from edgekit.sessions.session import Session
from edgekit.tensors import TensorSpec
from edgekit_converters import keras_source, keras_worker
from edgekit_converters.loaded_model import LoadedModel
from edgekit_converters.tensorflow_setup import tensorflow

_AT_ONCE = 256


def predict(
    *,
    path: str,
    question: dict[str, Any],
    out: str,
    first: str,
    is_first: bool,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Run the model over the data; see `edgekit.predict.predict`.

    `options` are ``custom_objects`` and ``trust``, as for `keras_source.load`.

    Raises:
        SourceError: the model cannot be loaded.
        VerificationError: it fails.
        DataError: the data does not fit it.
        UsageError: no such output.
    """
    tell("importing TensorFlow")
    tensorflow()
    tell("loading")
    model = keras_source.load(path, **options)
    return run_over_data(
        KerasSession(model),
        Question.from_dict(question),
        at_once=_AT_ONCE,
        out=Path(out),
        first=Path(first),
        is_first=is_first,
    )


class KerasSession(Session):
    """A model in memory, called like the files that are made from it."""

    def __init__(self, loaded: LoadedModel) -> None:
        """Take the model; its outputs are known after the first call."""
        self._loaded: LoadedModel | None = loaded
        self._stateful = [layer for layer in loaded.layers() if getattr(layer, "stateful", False)]
        self.inputs = loaded.inputs
        self.outputs: tuple[TensorSpec, ...] = ()
        self.manifest: dict[str, Any] = {}
        self.pixel_range = cast("PixelRange | None", keras_worker._pixel_range(loaded))

    def close(self) -> None:
        """Let the model go."""
        self._loaded = None

    def _invoke(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        assert self._loaded is not None
        tf = tensorflow()
        for layer in self._stateful:
            (getattr(layer, "reset_state", None) or layer.reset_states)()
        made = self._loaded.call({name: tf.constant(array) for name, array in inputs.items()})
        outputs = {name: tensor.numpy() for name, tensor in made.items()}
        self.outputs = tuple(
            TensorSpec(name=name, shape=(None, *array.shape[1:]), dtype=array.dtype.name)
            for name, array in outputs.items()
        )
        return outputs
