"""Rules that random graphs do not reach: masks, states, scalars, layer normalisation, barriers."""

from typing import Any

import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # TensorFlow with NumPy 2
]


@pytest.fixture(scope="module")
def keras() -> Any:
    from edgekit_converters.tensorflow_setup import tensorflow

    tensorflow()
    import keras

    return keras


def halved(model: Any) -> tuple[Any, Any, Any]:
    """The graph, every second channel of each group, and the model without them."""
    from edgekit_converters.pruning.cut import cut
    from edgekit_converters.pruning.trace import trace

    graph = trace(model)
    removed = graph.nothing_removed()
    for group in graph.groups:
        removed[group.channels[1::2]] = True
    return graph, removed, cut(model, graph, removed)


def test_a_mask_is_no_state_of_a_recurrent_layer(keras: Any) -> None:
    given = keras.Input((5, 3))
    x = keras.layers.Masking()(given)
    x = keras.layers.Bidirectional(keras.layers.LSTM(6, return_sequences=True))(x)
    x = keras.layers.GRU(4)(x)
    model = keras.Model(given, keras.layers.Dense(2)(x))
    loaded = keras.Model.from_config(model.get_config())  # now the masks stand in the graph
    graph, _, made = halved(loaded)
    assert [group.layers for group in graph.groups][-1] == ("gru",)
    assert made(np.ones((2, 5, 3), np.float32)).shape == (2, 2)


def test_a_stateful_layer_is_cut_with_its_state(keras: Any) -> None:
    given = keras.Input(batch_shape=(2, 5, 3))
    model = keras.Model(given, keras.layers.Dense(2)(keras.layers.LSTM(6, stateful=True)(given)))
    _, _, made = halved(model)
    assert made.layers[1].states[0].shape == (2, 3)
    assert made(np.ones((2, 5, 3), np.float32)).shape == (2, 2)


def test_an_output_without_axes_stays(keras: Any) -> None:
    given = keras.Input((3,))
    x = keras.layers.Dense(1)(keras.layers.Dense(8)(given))
    graph, _, made = halved(keras.Model(given, keras.layers.Reshape(())(x)))
    assert len(graph.groups) == 1
    assert made(np.ones((2, 3), np.float32)).shape == (2,)


def test_layer_normalization_takes_the_statistics_of_what_stays(keras: Any) -> None:
    given = keras.Input((8,))
    x = keras.layers.Dense(8)(given)
    model = keras.Model(given, keras.layers.Dense(2)(keras.layers.LayerNormalization()(x)))
    _, removed, made = halved(model)
    kernel, bias, gamma, beta, last, offset = (np.asarray(each) for each in model.variables)
    sample = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    x = (sample @ kernel + bias)[:, ~removed]
    x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-3)
    x = x * gamma[~removed] + beta[~removed]
    expected = x @ last[~removed] + offset
    np.testing.assert_allclose(np.asarray(made(sample)), expected, atol=1e-4)


def test_a_layer_of_ones_own_keeps_its_channels_and_is_listed(keras: Any) -> None:
    class Doubled(keras.layers.Layer):  # type: ignore[misc]  # of a module without types
        def call(self, x: Any) -> Any:
            return x * 2

    given = keras.Input((4,))
    x = keras.layers.Dense(6, name="before")(keras.layers.Dense(8, name="cut")(given))
    model = keras.Model(given, keras.layers.Dense(2)(Doubled(name="own")(x)))
    graph, _, made = halved(model)
    assert [group.name for group in graph.groups] == ["cut"]
    assert {left.layer: left.reason for left in graph.left}["own"].startswith("a layer of your own")
    assert made.get_layer("before").units == 6


def test_settings_names_and_frozen_layers_are_kept(keras: Any) -> None:
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(6, name="a"), keras.layers.Dense(2, name="b")]
    )
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    _, _, made = halved(model)
    assert made.name == model.name
    assert [layer.trainable for layer in made.layers] == [False, True]
    assert made.loss == "mse"
