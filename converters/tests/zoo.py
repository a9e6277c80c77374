"""Build the tiny models of these tests, all in one process: ``python zoo.py FOLDER``.

Each is ``NAME.keras`` (or ``.h5``) with ``NAME.npz``, 24 samples by input name. Weights are seeded,
and normalisations have seen data, so that outputs are not degenerate.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

SAMPLES = 24
_random = np.random.default_rng(0)

CUSTOM_LAYERS = '''
import keras
import tensorflow as tf


class Scaled(keras.layers.Layer):
    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.factor + 0.5


@keras.saving.register_keras_serializable("zoo")
class Determinant(keras.layers.Layer):
    """No builtin TFLite operator computes this."""

    def call(self, x):
        return tf.linalg.det(x)[:, None]

    def compute_output_shape(self, shape):
        return (shape[0], 1)


@keras.saving.register_keras_serializable("zoo")
class TwoHeads(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.body = keras.layers.Dense(16, activation="relu")
        self.first = keras.layers.Dense(3)
        self.second = keras.layers.Dense(1)

    def call(self, x):
        y = self.body(x)
        return {"scores": self.first(y), "value": self.second(y)}
'''


def main(folder: Path) -> None:
    """Write everything into `folder`."""
    import keras

    (folder / "layers.py").write_text(CUSTOM_LAYERS)
    (folder / "broken.py").write_text("import keras\nraise RuntimeError('half written')\n")
    (folder / "other.py").write_text("class Unrelated:\n    pass\n")
    (folder / "syntax.py").write_text("class Scaled(:\n")
    sys.path.insert(0, str(folder))
    layers = importlib.import_module("layers")
    keras.utils.set_random_seed(0)
    _keras3(folder, keras, layers)
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    _keras2(folder, tf_keras)


def _save(folder: Path, name: str, model: Any, **samples: Any) -> None:
    model.save(folder / name)
    np.savez(folder / f"{Path(name).stem}.npz", **samples)


def _normal(*shape: int) -> Any:
    return _random.normal(size=(SAMPLES, *shape)).astype(np.float32)


def _uniform(*shape: int) -> Any:
    return _random.random((SAMPLES, *shape), np.float32)


def _cnn(keras: Any, pixels: Any) -> Any:
    k = keras.layers
    model = keras.Sequential(
        [
            keras.Input(pixels.shape[1:], name="image"),
            k.Conv2D(16, 3, padding="same", use_bias=False),
            k.BatchNormalization(momentum=0.5),
            k.ReLU(),
            k.DepthwiseConv2D(3),
            k.BatchNormalization(momentum=0.5),
            k.ReLU(),
            k.Conv2D(32, 3),
            k.GlobalAveragePooling2D(),
            k.Dense(5, activation="softmax", name="scores"),
        ]
    )
    for _ in range(8):
        model(pixels, training=True)
    head = model.layers[-1]
    head.set_weights([8 * head.get_weights()[0], head.get_weights()[1]])
    return model


def _keras3(folder: Path, keras: Any, layers: Any) -> None:
    k = keras.layers
    pixels = _uniform(8, 8, 3)
    _save(folder, "cnn.keras", _cnn(keras, pixels), image=pixels)
    _save(folder, "cnn3.h5", keras.models.load_model(folder / "cnn.keras"), image=pixels)
    keras.models.load_model(folder / "cnn.keras").export(str(folder / "exported"), verbose=False)

    row = keras.Input((8,), name="row")
    hidden = k.Dense(64, activation="relu")(k.Dense(64, activation="relu")(row))
    _save(folder, "mlp.keras", keras.Model(row, k.Dense(4, name="value")(hidden)), row=_normal(8))

    raw = keras.Input((8, 8, 3), name="image")
    x = k.Normalization(mean=[100.0, 120.0, 90.0], variance=[900.0, 1600.0, 2500.0])(raw)
    x = k.GlobalAveragePooling2D()(k.Conv2D(16, 3, activation="relu")(x))
    _save(
        folder,
        "normalization.keras",
        keras.Model(raw, k.Dense(4)(x)),
        image=255 * _uniform(8, 8, 3),
    )
    x = k.Conv2D(8, 3, activation="relu")(k.Rescaling(1 / 255)(raw))
    rescaling = keras.Model(raw, k.Dense(4)(k.GlobalAveragePooling2D()(x)))
    _save(folder, "rescaling.keras", rescaling, image=np.rint(255 * _uniform(8, 8, 3)).astype("u1"))

    series = keras.Input((10, 4), name="series")
    lstm = k.LSTM(12, return_sequences=True)(series)
    _save(
        folder,
        "lstm.keras",
        keras.Model(series, k.Dense(3)(k.LSTM(8)(lstm))),
        series=_normal(10, 4),
    )
    both = k.Bidirectional(k.GRU(8))(series)
    _save(folder, "gru.keras", keras.Model(series, k.Dense(3)(both)), series=_normal(10, 4))
    long = keras.Input((400, 4), name="series")
    _save(
        folder, "long.keras", keras.Model(long, k.Dense(2)(k.GRU(4)(long))), series=_normal(400, 4)
    )
    step = keras.Input(batch_shape=(1, 5, 4), name="series")
    stateful = keras.Model(step, k.Dense(3, name="scores")(k.LSTM(6, stateful=True)(step)))
    _save(folder, "stateful.keras", stateful, series=_normal(5, 4))

    y = k.LayerNormalization()(k.Dense(16)(series))
    y = k.Add()([y, k.MultiHeadAttention(2, 8)(y, y)])
    y = k.Dense(16)(k.Dense(32, activation="gelu")(y))
    attention = keras.Model(series, k.Dense(3)(k.GlobalAveragePooling1D()(y)))
    _save(folder, "attention.keras", attention, series=_normal(10, 4))

    named = {
        "zoom": keras.Input((8, 8, 1), name="zoom"),
        "age": keras.Input((3,), name="age"),
        "kind": keras.Input((1,), dtype="int32", name="kind"),
    }
    x = k.Concatenate()(
        [
            k.GlobalAveragePooling2D()(k.Conv2D(8, 3, activation="relu")(named["zoom"])),
            k.Dense(8, activation="relu")(named["age"]),
            k.Flatten()(k.Embedding(6, 4)(named["kind"])),
        ]
    )
    outputs = {"scores": k.Dense(4, name="scores")(x), "value": k.Dense(1, name="value")(x)}
    _save(
        folder,
        "several.keras",
        keras.Model(named, outputs),
        zoom=_uniform(8, 8, 1),
        age=_normal(3),
        kind=_random.integers(0, 6, (SAMPLES, 1)).astype(np.int32),
    )

    _save(
        folder,
        "custom.keras",
        keras.Model(row, k.Dense(3)(layers.Scaled()(k.Dense(8)(row)))),
        row=_normal(8),
    )
    heads = layers.TwoHeads()
    heads(np.zeros((1, 6), np.float32))
    _save(folder, "subclassed.keras", heads, x=_normal(6))
    _save(
        folder,
        "unsafe.keras",
        keras.Model(row, k.Dense(3)(k.Lambda(lambda each: each * each)(row))),
        row=_normal(8),
    )
    square = keras.Input((3, 3), name="square")
    _save(
        folder,
        "flex.keras",
        keras.Model(square, layers.Determinant()(square)),
        square=_normal(3, 3),
    )
    lines = keras.Input((1,), dtype="string", name="text")
    words = k.TextVectorization(vocabulary=["red", "green"], output_sequence_length=4)(lines)
    text = keras.Model(lines, k.GlobalAveragePooling1D()(k.Embedding(4, 3)(words)))
    text.save(folder / "text.keras")
    free = keras.Input((None, 4), name="series")
    _save(folder, "free.keras", keras.Model(free, k.Conv1D(4, 3)(free)), series=_normal(10, 4))
    nan = keras.Model(row, k.Dense(2)(row))
    nan.layers[-1].set_weights([np.full((8, 2), np.nan), np.zeros(2)])
    _save(folder, "nan.keras", nan, row=_normal(8))


def _keras2(folder: Path, keras: Any) -> None:
    k = keras.layers
    pixels = _uniform(8, 8, 3)
    _save(folder, "cnn2.h5", _cnn(keras, pixels), image=pixels)
    series = keras.Input((10, 4), name="series")
    fused = keras.Model(series, k.Dense(3)(k.LSTM(8)(k.LSTM(8, return_sequences=True)(series))))
    _save(folder, "lstm2.h5", fused, series=_normal(10, 4))
    _save(folder, "lstm2.keras", keras.models.clone_model(fused), series=_normal(10, 4))
    square = keras.Input((4,), name="row")
    _save(
        folder,
        "unsafe2.h5",
        keras.Model(square, k.Lambda(lambda each: each * each)(square)),
        row=_normal(4),
    )
    step = keras.Input(batch_shape=(1, 5, 4), name="series")
    stateful = keras.Model(step, k.Dense(3)(k.LSTM(6, stateful=True)(step)))
    _save(folder, "stateful2.h5", stateful, series=_normal(5, 4))
    _quantization_aware(folder, keras, pixels)


def _quantization_aware(folder: Path, keras: Any, pixels: Any) -> None:
    import tensorflow_model_optimization as tfmot

    k = keras.layers
    plain = keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            k.Conv2D(8, 3),
            k.BatchNormalization(),
            k.ReLU(),
            k.GlobalAveragePooling2D(),
            k.Dense(4),
        ]
    )
    aware = tfmot.quantization.keras.quantize_model(plain)
    aware.compile("adam", "mse")
    aware.fit(pixels, np.zeros((SAMPLES, 4)), epochs=2, verbose=0)
    _save(folder, "aware2.h5", aware, image=pixels)
    _save(folder, "aware.keras", aware, image=pixels)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
