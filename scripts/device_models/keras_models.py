"""Files that edgekit converts from Keras models: the bundled classifier, and three of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from device_models.index import Folder
from edgekit.artifact import Artifact
from edgekit.child import Limits
from edgekit.demo import DATA, LABELS, MODEL, PREPROCESS
from edgekit.progress import Progress
from edgekit.request import ConvertRequest
from edgekit.sessions import open_session
from edgekit_converters.convert import convert
from edgekit_converters.workers import Workers

FORMATS = ("tflite", "onnx")
PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8", "int4")
OLD_RUNTIME_REFUSES = {"int4": "version"}
IMAGES = 16
MARGIN = 1.5
"""Another machine may round elsewhere; what was measured here is no bound for it."""
LEAST_TOLERANCE = 1e-4


def make(folder: Folder) -> None:
    """Convert everything with one import of TensorFlow by the converter."""
    keras.utils.set_random_seed(1)
    with Workers(Limits(), verbose=False, on_event=lambda _: None) as workers:
        _fashion(folder, workers)
        _pair(folder, workers)
        _sequence(folder, workers)
        _recurrent(folder, workers)
        _mobilenet(folder, workers)


def _fashion(folder: Folder, workers: Workers) -> None:
    with np.load(DATA) as data:
        images = data["x_test"][:IMAGES, np.newaxis].astype(np.float32) / np.float32(255)
    expected = np.asarray(keras.models.load_model(MODEL)(images[:, 0]))[:, np.newaxis]
    made = _convert(folder, workers, MODEL, FORMATS, PRECISIONS)
    for io in ("int8", "uint8"):
        for format_ in FORMATS:
            out = folder.file(f"fashion.int8.io-{io}", format_)
            made += _convert(folder, workers, MODEL, (format_,), ("int8",), io=io, out=out)
    first = made[0]
    arrays = folder.arrays(
        "fashion", {first.inputs[0].name: images}, {first.outputs[0].name: expected}
    )
    for one in made:
        name = one.path.name.removesuffix(f".{one.format}")
        folder.add(
            name,
            one.format,
            arrays=arrays,
            tolerance=_tolerance(one, {first.inputs[0].name: images}, [expected]),
            old_runtime_refuses=OLD_RUNTIME_REFUSES.get(str(one.precision), "")
            if one.format == "tflite"
            else "",
        )


def _pair(folder: Folder, workers: Workers) -> None:
    image = keras.Input((8, 8, 1), name="image")
    ids = keras.Input((5,), dtype="int32", name="ids")
    words = keras.layers.Flatten()(keras.layers.Embedding(16, 4)(ids))
    seen = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, activation="relu")(image))
    both = keras.layers.Concatenate()([seen, words])
    outputs = [keras.layers.Dense(3, name="scores")(both), keras.layers.Dense(1, name="age")(both)]
    model = keras.Model([image, ids], outputs)
    random = np.random.default_rng(2)
    inputs = {
        "image": random.random((6, 1, 8, 8, 1), np.float32),
        "ids": random.integers(0, 16, (6, 1, 5), np.int32),
    }
    _float_files(folder, workers, "pair", model, inputs)


def _sequence(folder: Folder, workers: Workers) -> None:
    steps = keras.Input((None, 4), name="steps")
    seen = keras.layers.Conv1D(6, 3, padding="same", activation="relu")(steps)
    mean = keras.layers.GlobalAveragePooling1D()(seen)
    model = keras.Model(steps, keras.layers.Dense(2, name="mean")(mean))
    inputs = {"steps": np.random.default_rng(3).random((3, 2, 7, 4), np.float32)}
    free = {"steps": (None, None, 4)}
    _float_files(folder, workers, "sequence", model, inputs, batch=0, shapes=free)


def _recurrent(folder: Folder, workers: Workers) -> None:
    frames = keras.Input(batch_shape=(1, 3, 4), name="frames")
    seen = keras.layers.LSTM(5, stateful=True, name="memory")(frames)
    model = keras.Model(frames, keras.layers.Dense(2, name="word")(seen))
    inputs = {"frames": np.random.default_rng(4).random((6, 1, 3, 4), np.float32)}
    _float_files(folder, workers, "recurrent", model, inputs)


def _mobilenet(folder: Folder, workers: Workers) -> None:
    """As large as what is run on boards; what it gives means nothing, as it was not trained."""
    path = folder.path / "mobilenet.keras"
    keras.applications.MobileNet(weights=None, input_shape=(224, 224, 3)).save(path)
    for format_ in FORMATS:
        out = folder.file("mobilenet", format_)
        _convert(folder, workers, path, (format_,), ("dynamic",), out=out)
        folder.add("mobilenet", format_)
    path.unlink()


def _float_files(
    folder: Folder,
    workers: Workers,
    name: str,
    model: keras.Model,
    inputs: dict[str, NDArray[Any]],
    *,
    batch: int | None = None,
    shapes: dict[str, tuple[int | None, ...]] | None = None,
) -> None:
    path = folder.path / f"{name}.keras"
    model.save(path)
    in_order = [inputs[tensor.name] for tensor in model.inputs]
    calls = [model(list(one) if len(one) > 1 else one[0]) for one in zip(*in_order, strict=True)]
    results = [[np.asarray(one) for one in (c if isinstance(c, list) else [c])] for c in calls]
    expected = dict(zip(model.output_names, map(np.stack, zip(*results, strict=True)), strict=True))
    arrays = folder.arrays(name, inputs, expected)
    for format_ in FORMATS:
        out = folder.file(name, format_)
        _convert(folder, workers, path, (format_,), out=out, batch=batch, shapes=shapes or {})
        folder.add(
            name,
            format_,
            arrays=arrays,
            tolerance=LEAST_TOLERANCE,
            shape_is_free=shapes is not None,
        )
    path.unlink()


def _convert(
    folder: Folder,
    workers: Workers,
    source: Path,
    formats: tuple[Any, ...],
    precisions: tuple[Any, ...] = ("float32",),
    *,
    io: Any = "float32",
    out: Path | None = None,
    batch: int | None = None,
    shapes: dict[str, tuple[int | None, ...]] | None = None,
) -> list[Artifact]:
    is_fashion = source == MODEL
    conversion = convert(
        ConvertRequest(
            source=source,
            out=out or folder.path,
            formats=formats,
            precisions=precisions,
            io=io,
            calibrate=f"{DATA}:calibrate" if is_fashion else None,
            preprocess=(PREPROCESS,) if is_fashion else (),
            labels=tuple(LABELS.read_text(encoding="utf-8").splitlines()) if is_fashion else (),
            batch=batch,
            shapes=shapes or {},
            force=True,
        ),
        Progress(total=1, enabled=False),
        workers=workers,
    )
    if conversion.failures:
        first = conversion.failures[0]
        message = f"{source.name}: {first.format} {first.precision}: {first.error}"
        raise RuntimeError(message)
    return list(conversion.artifacts)


def _tolerance(
    made: Artifact, inputs: dict[str, NDArray[Any]], expected: Sequence[NDArray[Any]]
) -> float:
    """What this file is off by here, and some more."""
    largest = 0.0
    with open_session(made.path) as session:
        count = len(next(iter(inputs.values())))
        for at in range(count):
            given = session.run_real({name: array[at] for name, array in inputs.items()})
            pairs = zip(given.values(), expected, strict=True)
            largest = max(largest, *(float(np.abs(g - e[at]).max()) for g, e in pairs))
    steps = [max(o.quantization.scale) for o in made.outputs if o.quantization]
    return MARGIN * largest + max(steps, default=LEAST_TOLERANCE)
