"""Keras 2 models rebuilt of Keras 3 layers."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import SourceError
from edgekit_converters.pruning.translation.check import check_same
from edgekit_converters.pruning.translation.translate import to_keras3
from edgekit_converters.tensorflow_setup import tensorflow

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def keras() -> Any:
    tensorflow()
    made = pytest.importorskip("tf_keras", reason="tf-keras is not installed")
    made.utils.set_random_seed(0)
    return made


def images(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((12, 12, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="block/conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.LeakyReLU(0.2)(x)
    y = layers.SeparableConv2D(8, 3, padding="same", activation="relu")(x)
    x = layers.SpatialDropout2D(0.1)(layers.add([x, y]))
    x = layers.Conv2DTranspose(4, 2, strides=2)(x)
    x = x * 0.5 + layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(x))


def texts(keras: Any) -> Any:
    layers = keras.layers
    words = layers.Input((10,), dtype="int32", name="words")
    x = layers.Embedding(30, 8, mask_zero=True)(words)
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(x)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    x = layers.LayerNormalization()(x)
    return keras.Model(words, layers.Dense(2)(layers.GRU(5)(x)))


def twins(keras: Any) -> Any:
    """Two inputs through one nested model, outputs by name."""
    layers = keras.layers
    inner = keras.Sequential([layers.Input((6,)), layers.Dense(4, activation="tanh")], name="inner")
    left, right = layers.Input((6,), name="left"), layers.Input((6,), name="right")
    joined = layers.concatenate([inner(left), inner(right)])
    outputs = {"sum": layers.Dense(1)(joined), "parts": joined}
    return keras.Model({"left": left, "right": right}, outputs)


@pytest.mark.parametrize("build", [images, texts, twins])
def test_a_model_computes_the_same_in_keras_3(keras: Any, build: Any) -> None:
    model = build(keras)
    made = to_keras3(model)  # checks it on random inputs
    assert type(made).__module__.startswith("keras.")
    assert made.count_params() == model.count_params()


def test_what_is_shared_and_named_stays_so(keras: Any) -> None:
    made = to_keras3(twins(keras))
    assert [layer.name for layer in made.layers].count("inner") == 1
    assert set(made.output) == {"sum", "parts"}
    assert set(made.input) == {"left", "right"}


def test_names_without_slashes_and_frozen_layers_stay(keras: Any) -> None:
    model = images(keras)
    model.get_layer("norm").trainable = False
    made = to_keras3(model)
    assert not made.get_layer("norm").trainable
    assert made.get_layer("block_conv").trainable


def test_a_compiled_model_is_compiled_again(keras: Any) -> None:
    model = images(keras)
    model.compile(
        keras.optimizers.SGD(0.02), keras.losses.SparseCategoricalCrossentropy(), ["accuracy"]
    )
    made = to_keras3(model)
    assert type(made.optimizer).__name__ == "SGD"
    assert float(made.optimizer.learning_rate) == pytest.approx(0.02)
    images_, labels = np.zeros((2, 12, 12, 3), np.float32), np.zeros(2)
    assert np.isfinite(made.evaluate(images_, labels, verbose=0)).all()


def test_layers_that_keras_3_does_not_have_are_named(keras: Any) -> None:
    layers = keras.layers

    class Own(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return inputs

    image = layers.Input((8, 8, 1))
    for layer, wanted in (
        (layers.Conv2D(2, 3, activation="hard_sigmoid", name="gate"), "'gate'.*hard_sigmoid"),
        (layers.LocallyConnected2D(2, 3, name="local"), "'local'.*no such layer"),
        (layers.Lambda(lambda x: x * 2, name="code"), "'code'.*Python code"),
        (Own(name="mine"), "'mine' .Own.*class of its own"),
    ):
        with pytest.raises(SourceError, match=wanted):
            to_keras3(keras.Model(image, layer(image)))
    with pytest.raises(SourceError, match="TensorFlow function 'math.reduce_max'"):
        to_keras3(keras.Model(image, importlib.import_module("tensorflow").reduce_max(image, 1)))


def test_other_outputs_are_refused_with_the_layer_where_they_begin(keras: Any) -> None:
    model = images(keras)
    made = to_keras3(model)
    made.get_layer("norm").gamma.assign(np.full(8, 1.1, np.float32))
    with pytest.raises(SourceError, match=r"from layer 'norm' \(BatchNormalization\) on"):
        check_same(model, made, "model")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_saved_model_is_compiled_again(keras: Any, tmp_path: Path, suffix: str) -> None:
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rows, labels = np.ones((8, 4), np.float32), np.arange(8) % 3
    model.fit(rows, labels, verbose=0)
    path = tmp_path / f"net{suffix}"
    model.save(path)
    made = to_keras3(keras.models.load_model(path), name=path.name)
    assert made.compiled
    before = model.evaluate(rows, labels, verbose=0)
    np.testing.assert_allclose(made.evaluate(rows, labels, verbose=0), before, rtol=1e-5)


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x + 0.0,
        lambda x: 0.0 + x,
        lambda x: x - 0.0,
        lambda x: 0.0 - x,
        lambda x: x * 0.0,
        lambda x: x / 4.0,
    ],
)
def test_zero_is_a_number_as_any_other(keras: Any, compute: Any) -> None:
    given = keras.layers.Input((4,))
    model = keras.Model(given, keras.layers.Dense(2)(compute(keras.layers.Dense(3)(given))))
    assert to_keras3(model).count_params() == model.count_params()


def test_a_division_by_zero_is_refused_by_name(keras: Any) -> None:
    given = keras.layers.Input((4,))
    with pytest.raises(SourceError, match="truediv.*cannot be translated.*it divides by 0; prune"):
        to_keras3(keras.Model(given, given / 0.0))


@pytest.mark.parametrize("legacy", [False, True])
def test_an_optimizer_keeps_its_settings(keras: Any, legacy: bool) -> None:
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    optimizers = keras.optimizers.legacy if legacy else keras.optimizers
    model.compile(optimizers.SGD(0.02, momentum=0.9, nesterov=True, clipnorm=1.5), "mse")
    made = to_keras3(model).optimizer.get_config()
    assert made["learning_rate"] == pytest.approx(0.02)
    assert made["momentum"] == pytest.approx(0.9)
    assert (made["nesterov"], made["clipnorm"]) == (True, 1.5)
    model.compile(optimizers.Adam(beta_1=0.8, amsgrad=True, epsilon=1e-3), "mse")
    made = to_keras3(model).optimizer.get_config()
    assert made["beta_1"] == pytest.approx(0.8)
    assert (made["amsgrad"], made["epsilon"]) == (True, 1e-3)


def test_what_an_optimizer_cannot_keep_is_told(keras: Any) -> None:
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.legacy.SGD(0.02, decay=0.1), "mse")
    notes: list[str] = []
    assert to_keras3(model, note=notes.append).compiled
    assert notes == ["SGD of Keras 3 has no decay, which was 0.1, and does not count"]

    def own(wanted: Any, made: Any) -> Any:
        return made - wanted

    model.compile("adam", own)
    assert not to_keras3(model, note=notes.append).compiled
    assert "are not those of Keras 3" in notes[1]


def test_what_is_called_with_training_off_does_not_move_in_training(keras: Any) -> None:
    layers = keras.layers
    given = layers.Input((4,))
    inner = keras.Model(given, layers.BatchNormalization(name="norm")(layers.Dense(8)(given)))
    outer = layers.Input((4,))
    scores = layers.Dense(2)(layers.BatchNormalization(name="free")(inner(outer, training=False)))
    model = keras.Model(outer, scores)
    model.compile("sgd", "mse")
    notes: list[str] = []
    made = to_keras3(model, note=notes.append)
    x = np.random.default_rng(0).normal(3, 5, (64, 4)).astype(np.float32)
    before = [variable.numpy() for variable in made.layers[1].get_layer("norm").weights]
    made.fit(x, np.zeros((64, 2)), verbose=0)
    after = [variable.numpy() for variable in made.layers[1].get_layer("norm").weights]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    assert made.get_layer("free").moving_mean.numpy().any()
    assert "not trained: norm" in notes[0]


def test_words_may_be_floating_point_numbers_as_is_the_default_of_keras_2(keras: Any) -> None:
    layers = keras.layers
    model = keras.Sequential(
        [layers.Embedding(30, 8, input_length=10), layers.GRU(6), layers.Dense(2)]
    )
    model.build((None, 10))
    assert to_keras3(model).inputs[0].dtype == "float32"
