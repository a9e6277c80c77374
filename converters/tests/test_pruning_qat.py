"""Quantization-aware training of Keras 3 models: what is trained, and what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.errors import SourceError, UsageError

pytestmark = pytest.mark.slow
Array = NDArray[Any]


def _keras() -> Any:
    keras = pytest.importorskip("keras", reason="keras is not installed")
    pytest.importorskip("tensorflow", reason="tensorflow is not installed")
    keras.utils.set_random_seed(3)
    return keras


def _trained_statistics(model: Any) -> None:
    """Batch normalisations as training leaves them."""
    random = np.random.default_rng(1)
    for layer in model._flatten_layers():
        if type(layer).__name__ == "BatchNormalization":
            shapes = [weight.shape for weight in layer.get_weights()]
            layer.set_weights([random.uniform(0.3, 2.0, shape) for shape in shapes])


def _every_product(keras: Any) -> Any:
    """A batch normalisation behind each kind of product, and the ways to join them."""
    layers = keras.layers
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, name="conv")(image)
    x = layers.BatchNormalization(name="conv_norm")(x)
    x = shortcut = layers.ReLU(6.0)(x)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(x)
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.SeparableConv2D(6, 3, padding="same", activation="relu", name="separable")(x)
    x = layers.BatchNormalization(name="behind_relu")(x)
    x = layers.Add(name="sum")([x, shortcut])
    x = layers.Activation("relu", name="clamped")(x)
    x = layers.Conv2DTranspose(4, 2, strides=2, name="transposed")(x)
    x = layers.BatchNormalization(center=False)(x)
    x = layers.Conv2D(4, 3, activation="swish", name="swish")(x)
    x = layers.AveragePooling2D(2)(x)
    x = layers.Concatenate(name="both")([x, layers.UpSampling2D(1)(x)])
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(8, name="hidden")(x)
    x = layers.BatchNormalization(name="hidden_norm")(x)
    outputs = layers.Dense(3, activation="softmax", name="scores")(layers.Dropout(0.2)(x))
    model = keras.Model(image, outputs, name="every_product")
    _trained_statistics(model)
    return model


def _images(count: int = 16, size: int = 8) -> Array:
    return np.random.default_rng(0).uniform(size=(count, size, size, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def product() -> Any:
    """The model with every kind of product."""
    return _every_product(_keras())


@pytest.fixture(scope="module")
def begun(product: Any) -> Any:
    """That model in training, its ranges known."""
    from edgekit_converters.pruning.qat.model import qat_begin

    qat = qat_begin(product)
    qat.model(_images(), training=True)  # ranges are learned
    return qat


def test_folding_changes_nothing_that_the_model_says(product: Any, begun: Any) -> None:
    images = _images()
    expected = np.asarray(product(images))
    np.testing.assert_allclose(np.asarray(begun.folded(images)), expected, atol=2e-6)


def test_no_batch_normalisation_is_left_that_multiplies(begun: Any) -> None:
    left = [one for one in begun.folded.layers if type(one).__name__ == "BatchNormalization"]
    assert [one.name for one in left] == ["behind_relu"]
    assert not left[0].scale


def test_the_model_given_is_not_changed(product: Any) -> None:
    from edgekit_converters.pruning.qat.model import qat_begin

    before = [np.array(weight) for weight in product.get_weights()]
    qat = qat_begin(product)
    qat.model.compile("sgd", "sparse_categorical_crossentropy")
    qat.model.fit(_images(), np.zeros(16, int), epochs=1, verbose=0)
    for old, new in zip(before, product.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_old_names_lead_to_the_layers_in_training(begun: Any) -> None:
    assert begun.names["conv_norm"] == ("conv",)
    assert begun.names["separable"] == ("separable_depthwise", "separable")
    assert begun.names["scores"] == ("scores_linear", "scores")
    known = {layer.name for layer in begun.model.layers}
    assert all(set(new) <= known for old, new in begun.names.items() if old != "image")


def test_ranges_stand_behind_fused_activations_not_before(begun: Any) -> None:
    assert {"conv", "sum"}.isdisjoint(begun.layers)
    assert {"image", "re_lu", "clamped", "separable_depthwise", "scores_linear"} <= set(
        begun.layers
    ) | {"re_lu"}
    assert "scores" not in begun.layers  # prescribed for a softmax


def test_kernels_in_training_have_at_most_255_values_a_channel_and_biases_any(begun: Any) -> None:
    from edgekit_converters.pruning.qat.layers import kernel_axes, rounded_kernel

    kernel = begun.model.get_layer("conv").kernel
    stored = np.asarray(rounded_kernel(kernel, kernel_axes("Conv2D", 4)))
    scale = np.abs(np.asarray(kernel)).max((0, 1, 2)) / 127
    steps = stored / scale
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert np.abs(steps).max() <= 127.001
    assert not np.array_equal(stored, np.asarray(kernel))


def test_rounding_is_that_of_the_converter() -> None:
    _keras()
    from edgekit_converters.pruning.qat.layers import rounded

    values = np.array([-9.0, -0.5, 0.0, 0.02, 0.31, 1.4, 9.0], np.float32)
    scale = (1.5 + 0.6) / 255
    zero = np.rint(-128 + 0.6 / scale)
    stored = np.clip(np.rint(values / scale) + zero, -128, 127)
    expected = (stored - zero) * scale
    np.testing.assert_allclose(np.asarray(rounded(values, -0.6, 1.5)), expected, atol=1e-6)


def test_gradients_pass_the_rounding_and_stop_where_values_are_clipped() -> None:
    _keras()
    import tensorflow as tf

    from edgekit_converters.pruning.qat.layers import rounded

    values = tf.constant([-2.0, -0.4, 0.3, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(values)
        total = tf.reduce_sum(rounded(values, -0.5, 0.5))
    np.testing.assert_array_equal(tape.gradient(total, values).numpy(), [0, 1, 1, 0])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_what_comes_out_is_an_ordinary_model_with_its_ranges(begun: Any, tmp_path: Path) -> None:
    keras = _keras()
    from edgekit_converters.pruning.qat.model import qat_finish
    from edgekit_converters.pruning.qat.ranges import read_ranges, save_ranges

    model, ranges = qat_finish(begun)
    path = tmp_path / "m.keras"
    model.save(path)
    assert "edgekit" not in str(model.get_config())
    save_ranges(path, ranges)
    save_ranges(path, ranges)  # instead of the first
    loaded = keras.models.load_model(path)
    images = _images()
    np.testing.assert_array_equal(np.asarray(loaded(images)), np.asarray(model(images)))
    assert read_ranges(path) == ranges
    assert ranges["image"] == pytest.approx((images.min(), images.max()))
    assert list(tmp_path.iterdir()) == [path]


def test_ranges_freeze_in_the_last_part_of_the_training(begun: Any) -> None:
    held = begun.projection()
    held.begin(begun.model, 8)
    layer = begun.layers["image"]
    begun.model(100 * _images(), training=True)
    moved = float(layer.largest.numpy())
    assert moved > 1.1
    for step in range(8):
        held.after_batch(step)
    begun.model(1000 * _images(), training=True)
    assert float(layer.largest.numpy()) == moved
    assert held.progress() == "ranges held"


def _train_held(model: Any, held: Any, steps: int) -> None:
    """Train on noise for `steps` batches, with `held` after each of them."""
    keras = _keras()
    held.begin(model, steps)
    ends = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: held.after_batch(batch)
    )
    random = np.random.default_rng(2)
    model.compile(keras.optimizers.Adam(0.01), "mse")
    given, wanted = random.normal(size=(8 * steps, 12)), random.normal(size=(8 * steps, 6))
    model.fit(given, wanted, batch_size=8, verbose=0, callbacks=[ends])
    held.finish()


def _small(keras: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((12,)),
            keras.layers.Dense(16, activation="relu", name="first"),
            keras.layers.Dense(6, name="second"),
        ]
    )


def test_zeros_of_a_pruned_model_are_held_in_training() -> None:
    from edgekit_converters.pruning.qat.model import qat_begin, qat_finish
    from edgekit_converters.pruning.zeros.holding import Zeros

    model = _small(_keras())
    kernel = model.get_layer("first").kernel
    mask = np.abs(kernel.numpy()) > 0.2
    kernel.assign(kernel.numpy() * mask)
    qat = qat_begin(model)
    _train_held(qat.model, Zeros(), 6)
    after = qat_finish(qat)[0].get_layer("first").kernel.numpy()
    np.testing.assert_array_equal(after == 0, ~mask)
    assert not np.array_equal(after, kernel.numpy())


def test_clusters_are_held_in_training_and_last_in_what_comes_out() -> None:
    from edgekit_converters.pruning.qat.model import qat_begin, qat_finish
    from edgekit_converters.pruning.zeros.clusters import Clusters

    qat = qat_begin(_small(_keras()))
    _train_held(qat.model, Clusters(4), 6)
    trained, _ = qat_finish(qat)
    for name in ("first", "second"):
        assert len(np.unique(trained.get_layer(name).kernel.numpy())) <= 4


def test_nested_and_shared_layers_are_trained_in_their_places() -> None:
    keras = _keras()
    from edgekit_converters.pruning.qat.model import qat_begin, qat_finish

    part = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(4, name="inner"), keras.layers.ReLU()], name="part"
    )
    left, right = keras.Input((5,), name="left"), keras.Input((5,), name="right")
    outputs = keras.layers.Subtract(name="difference")([part(left), part(right)])
    model = keras.Model({"left": left, "right": right}, outputs)
    qat = qat_begin(model)
    data = np.random.default_rng(0).normal(size=(2, 32, 5)).astype(np.float32)
    given = {"left": data[0], "right": 3 * data[1]}
    qat.model(given, training=True)
    np.testing.assert_allclose(qat.folded(given), model(given), atol=1e-6)
    trained, ranges = qat_finish(qat)
    assert qat.names["part/inner"] == ("inner",)
    first, second = (
        (ranges[f"re_lu{end}"] for end in ("", "#1"))
        if "re_lu" in ranges
        else ([pair for name, pair in ranges.items() if "re_lu" in name])
    )
    assert second[1] > first[1]
    assert [layer.name for layer in trained.layers].count("inner") == 1


def test_a_layer_left_alone_trains_in_float_and_is_named() -> None:
    keras = _keras()
    from edgekit_converters.pruning.qat.model import qat_begin

    model = _every_product(keras)
    qat = qat_begin(model, skip=["conv", "Dense"])
    assert any(note.startswith("conv: trains in float") for note in qat.notes)
    assert "hidden" not in qat.layers
    assert type(qat.model.get_layer("conv")) is keras.layers.Conv2D
    assert type(qat.model.get_layer("depthwise")) is not keras.layers.DepthwiseConv2D


def test_layers_without_an_integer_form_are_named_with_the_reason() -> None:
    keras = _keras()
    from edgekit_converters.pruning.qat.model import qat_begin

    model = keras.Sequential(
        [keras.Input((6, 3)), keras.layers.LSTM(4, name="memory"), keras.layers.Dense(2)]
    )
    (note,) = qat_begin(model).notes
    assert note == (
        "memory (LSTM): trains in float (a recurrent layer, which an int8 file computes step by "
        "step)"
    )


def test_a_model_without_kernels_is_refused_and_its_layers_named() -> None:
    keras = _keras()
    from edgekit_converters.pruning.qat.model import qat_begin

    model = keras.Sequential([keras.Input((6, 3)), keras.layers.LSTM(4, name="memory")])
    with pytest.raises(SourceError, match=r"no layer of it can train for int8: memory \(LSTM\)"):
        qat_begin(model)


def test_a_subclassed_model_is_refused() -> None:
    keras = _keras()
    from edgekit_converters.pruning.qat.model import qat_begin

    class Own(keras.Model):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(SourceError, match="a subclassed model"):
        qat_begin(Own())


def test_an_unknown_layer_to_skip_is_a_usage_error(product: Any) -> None:
    from edgekit_converters.pruning.qat.model import qat_begin

    with pytest.raises(UsageError, match="no layer of that name or type"):
        qat_begin(product, skip=["nothing"])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_model_of_mixed_precision_trains_for_int8_in_float32(policy: str) -> None:
    from edgekit_converters.pruning.qat.model import qat_begin, qat_finish

    keras = _keras()
    layers = keras.layers
    given = keras.Input((8,))
    first = layers.BatchNormalization(dtype=policy)(given)  # nothing before it to fold it into
    inner = layers.Dense(6, "relu", dtype=policy)(first)
    model = keras.Model(given, layers.Dense(2, dtype="float32")(inner))
    random = np.random.default_rng(0)
    x = random.normal(size=(64, 8)).astype(np.float32)
    qat = qat_begin(model)
    assert {str(layer.compute_dtype) for layer in qat.model.layers} == {"float32"}
    assert any("in mixed precision until now" in note for note in qat.notes)
    qat.model.compile("adam", "mse")
    before = [variable.numpy() for variable in qat.model.trainable_variables]
    qat.model.fit(x, random.normal(size=(64, 2)), epochs=2, verbose=0)
    after = [variable.numpy() for variable in qat.model.trainable_variables]
    assert all(np.isfinite(values).all() for values in after)
    assert not any(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    trained, ranges = qat_finish(qat)
    assert len(ranges) >= 3
    assert np.isfinite(trained(x).numpy()).all()
