"""Rules that random graphs do not reach: masks, states, scalars, layer normalisation, barriers."""

from typing import Any

import numpy as np
import pytest

from edgekit.errors import SourceError

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
    from edgekit_converters.pruning.channels.cut import cut
    from edgekit_converters.pruning.trace.trace import trace

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


def same_as_zeroed(keras: Any, model: Any) -> Any:
    """The graph of `model` with random weights; its cut half says what it says with zeros."""
    from edgekit_converters.pruning.channels.graph import variables_by_path

    random = np.random.default_rng(0)
    for variable in model.variables:
        variable.assign(random.normal(size=variable.shape, scale=0.4))
    given = [random.normal(size=(3, *each.shape[1:])).astype(np.float32) for each in model.inputs]
    samples = given if len(given) > 1 else given[0]
    graph, removed, made = halved(model)
    found = keras.tree.flatten(made(samples))
    variables = variables_by_path(model)
    for weight in graph.weights:
        values = np.array(variables[weight.path])
        for axis, numbers in enumerate(weight.axes):
            if numbers is not None:
                values[(slice(None),) * axis + ((numbers >= 0) & removed[numbers],)] = 0
        variables[weight.path].assign(values)
    for ours, theirs in zip(found, keras.tree.flatten(model(samples)), strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=1e-4)
    return graph


@pytest.mark.parametrize("order", [(3, 1, 2), (1, 2, 3)])
def test_a_flatten_of_channels_that_come_first_follows_its_rows(
    keras: Any, order: tuple[int, ...]
) -> None:
    layers = keras.layers
    given = keras.Input((6, 5, 3))
    x = layers.Permute(order)(layers.Conv2D(8, 3, padding="same", name="conv")(given))
    x = layers.Flatten(data_format="channels_first")(x)
    graph = same_as_zeroed(keras, keras.Model(given, layers.Dense(2)(x)))
    assert [group.name for group in graph.groups] == ["conv"]


def test_a_flatten_follows_the_image_format_of_the_keras_config(keras: Any) -> None:
    layers = keras.layers
    keras.config.set_image_data_format("channels_first")
    try:
        given = keras.Input((4, 5))
        x = layers.Flatten()(layers.Dense(8)(given))
        same_as_zeroed(keras, keras.Model(given, layers.Dense(2)(x)))
    finally:
        keras.config.set_image_data_format("channels_last")


def test_attention_of_two_tensors_of_one_shape_is_cut_in_heads(keras: Any) -> None:
    layers = keras.layers
    given = keras.Input((5, 4))
    mha = layers.MultiHeadAttention(4, 3, name="mha")
    x, y, z = (layers.Dense(8)(given) for _ in range(3))
    x = mha(mha(x, y), z, key=y)
    graph = same_as_zeroed(keras, keras.Model(given, layers.Dense(2)(x)))
    assert ("mha",) in [group.layers for group in graph.groups if group.kind == "heads"]


def test_a_reshape_called_twice_counts_what_both_calls_have(keras: Any) -> None:
    layers = keras.layers
    given = keras.Input((4,))
    shared = layers.Reshape((2, 4))
    x, y = (shared(layers.Dense(8)(given)) for _ in range(2))
    outputs = [layers.Dense(2)(x), layers.Dense(2)(y)]
    (group,) = same_as_zeroed(keras, keras.Model(given, outputs)).groups
    assert len(group.layers) == 2


def test_a_reshape_called_for_channels_and_for_an_input_keeps_its_count(keras: Any) -> None:
    layers = keras.layers
    given, other = keras.Input((4,)), keras.Input((8,))
    shared = layers.Reshape((2, 4))
    x, y = shared(layers.Dense(8)(given)), shared(other)
    outputs = [layers.Dense(2)(x), layers.Dense(2)(y)]
    assert not same_as_zeroed(keras, keras.Model([given, other], outputs)).groups


def test_a_normalization_of_groups_called_twice_counts_what_both_calls_have(keras: Any) -> None:
    layers = keras.layers
    given = keras.Input((4, 4, 3))
    shared = layers.GroupNormalization(8, scale=False, center=False)
    x, y = (shared(layers.Conv2D(8, side)(given)) for side in (3, 1))
    outputs = [layers.Conv2D(2, 1)(x), layers.Conv2D(2, 1)(y)]
    (group,) = same_as_zeroed(keras, keras.Model(given, outputs)).groups
    assert len(group.layers) == 2


def test_a_letter_that_passes_through_an_einstein_sum_is_counted_anew(keras: Any) -> None:
    layers = keras.layers
    given = keras.Input((5, 4))
    x = layers.Permute((2, 1))(layers.Dense(8, name="dense")(given))
    x = layers.EinsumDense("abc,cd->abd", (8, 6), name="sum")(x)
    x = layers.EinsumDense("abc,bd->adc", (3, 6))(x)
    graph = same_as_zeroed(keras, keras.Model(given, layers.Dense(2)(layers.Flatten()(x))))
    assert [group.name for group in graph.groups] == ["dense", "sum"]


def test_a_sum_with_a_bias_that_is_not_along_the_last_axis_keeps_its_channels(keras: Any) -> None:
    layers = keras.layers
    given = keras.Input((6, 4))  # as many steps as units: Keras takes the column for a row
    x = layers.EinsumDense("abc,cd->adb", (6, 6), bias_axes="d", name="stays")(given)
    x = layers.Flatten()(layers.Permute((2, 1))(x))
    graph = same_as_zeroed(keras, keras.Model(given, layers.Dense(2)(layers.Dense(4)(x))))
    assert "stays" not in [group.name for group in graph.groups]


def test_channels_added_to_an_unknown_number_of_others_stay(keras: Any) -> None:
    given, other = keras.Input((4,)), keras.Input((None,))
    x = keras.layers.Dense(8)(given) + other
    graph, _, made = halved(keras.Model([given, other], keras.layers.Dense(2)(x)))
    assert not graph.groups
    assert made([np.ones((2, 4)), np.ones((2, 8))]).shape == (2, 2)


def test_a_dropout_whose_noise_counts_the_channels_keeps_them(keras: Any) -> None:
    layers = keras.layers
    given = keras.Input((4, 6))
    x = layers.Dropout(0.5, noise_shape=(None, 1, 8))(layers.Dense(8, name="stays")(given))
    x = layers.Dropout(0.5, noise_shape=(None, 4, 1))(layers.Dense(8, name="cut")(x))
    graph, _, made = halved(keras.Model(given, layers.Dense(2)(x)))
    assert [group.name for group in graph.groups] == ["cut"]
    assert made(np.ones((2, 4, 6), np.float32), training=True).shape == (2, 4, 2)


def test_an_operation_that_cannot_be_made_again_is_named(keras: Any) -> None:
    given = keras.Input((4,))
    x = keras.layers.Dense(8)(given)
    x = keras.ops.clip(x, np.zeros(8, np.float32), np.ones(8, np.float32))
    with pytest.raises(
        SourceError, match=r"clip\S* \(Clip\): cannot be .* \(it has none .*unstructured"
    ):
        halved(keras.Model(given, keras.layers.Dense(2)(x)))


def test_a_layer_that_another_holds_keeps_its_channels(keras: Any) -> None:
    class Around(keras.layers.Wrapper):  # type: ignore[misc]  # of a module without types
        def call(self, x: Any) -> Any:
            return self.layer(x)

    from edgekit_converters.pruning.trace.trace import trace

    given = keras.Input((4,))
    dense = keras.layers.Dense(4, name="held")
    x = Around(dense)(keras.layers.Dense(4, name="before")(dense(given)))
    model = keras.Model(given, keras.layers.Dense(2)(keras.layers.Dense(6, name="cut")(x)))
    assert [group.name for group in trace(model).groups] == ["cut"]


def test_a_layer_in_a_wrapper_and_beside_it_is_refused_and_both_places_named(keras: Any) -> None:
    layers = keras.layers
    steps, step = keras.Input((5, 4)), keras.Input((4,))
    shared = layers.Dense(8, name="shared")
    x, y = layers.TimeDistributed(shared, name="td")(steps), shared(step)
    model = keras.Model([steps, step], [layers.Dense(2)(x), layers.Dense(2)(y)])
    with pytest.raises(SourceError, match="td/shared and shared are one layer|shared and td/share"):
        halved(model)


def test_a_nested_model_that_is_called_by_name_gets_each_tensor_where_it_belongs(
    keras: Any,
) -> None:
    layers = keras.layers
    one, other = keras.Input((8,), name="later"), keras.Input((8,), name="first")
    outputs = [layers.Dense(2)(one), layers.Dense(3)(other)]
    inner = keras.Model([one, other], outputs, name="inner")
    given = keras.Input((4,))
    kept, cut = layers.Dense(8, name="kept")(given), layers.Dense(8, name="cut")(given)
    made = inner({"first": kept, "later": cut})
    graph = same_as_zeroed(keras, keras.Model(given, [*made, kept]))
    assert [group.name for group in graph.groups] == ["cut"]


def test_an_activation_over_channels_that_pass_through_a_sum_keeps_them(keras: Any) -> None:
    layers = keras.layers
    given = keras.Input((5, 4))
    x = layers.Permute((2, 1))(layers.Dense(8, name="stays")(given))
    x = layers.EinsumDense("abc,cd->adb", (6, 8), activation="softmax")(x)
    x = layers.Dense(6, name="cut")(layers.Flatten()(x))
    graph = same_as_zeroed(keras, keras.Model(given, layers.Dense(2)(x)))
    assert [group.name for group in graph.groups] == ["cut"]


def test_an_activation_of_ones_own_keeps_all_channels_that_it_sees(keras: Any) -> None:
    def shared(x: Any) -> Any:
        return x / (1 + keras.ops.sum(x * x, axis=(1, 2), keepdims=True))

    layers = keras.layers
    given = keras.Input((5, 4))
    x = layers.Permute((2, 1))(layers.Dense(8, name="stays")(given))
    x = layers.Flatten()(layers.Dense(6, activation=shared, name="own")(x))
    graph = same_as_zeroed(keras, keras.Model(given, layers.Dense(2)(x)))
    assert not graph.groups
    reasons = {left.layer: left.reason for left in graph.left}
    assert reasons["own"] == "the activation 'shared' of 'own' is none that edgekit knows"


@pytest.mark.parametrize("sizes", [(3, 4), [6], 6])
def test_attention_with_an_output_shape_is_cut_if_it_has_one_axis(keras: Any, sizes: Any) -> None:
    layers = keras.layers
    given = keras.Input((5, 4))
    x = layers.Dense(8, name="dense")(given)
    x = layers.MultiHeadAttention(4, 3, output_shape=sizes, name="mha")(x, x)
    graph = same_as_zeroed(keras, keras.Model(given, layers.Dense(2)(x)))
    names = [group.name for group in graph.groups]
    assert names == ([] if sizes == (3, 4) else ["dense", "mha", "mha:features"])


@pytest.mark.parametrize(("heads", "cut"), [(4, ["dense"]), (1, ["dense", "mha"])])
def test_attention_with_a_mask_for_each_head_keeps_its_heads(
    keras: Any, heads: int, cut: list[str]
) -> None:
    layers = keras.layers
    given, mask = keras.Input((5, 4)), keras.Input((heads, 5, 5))
    x = layers.Dense(8, name="dense")(given)
    x = layers.MultiHeadAttention(4, 3, name="mha")(x, x, attention_mask=mask)
    graph = same_as_zeroed(keras, keras.Model([given, mask], layers.Dense(2)(x)))
    assert [group.name for group in graph.groups] == cut


def test_attention_whose_tensors_are_given_by_name_is_cut(keras: Any) -> None:
    layers = keras.layers
    given = keras.Input((5, 4))
    x = layers.Attention()(inputs=[layers.Dense(6)(given), layers.Dense(6)(given)])
    (group,) = same_as_zeroed(keras, keras.Model(given, layers.Dense(2)(x))).groups
    assert len(group.layers) == 2


def test_a_recurrent_layer_takes_its_sequence_by_name(keras: Any) -> None:
    layers = keras.layers
    given = keras.Input((5, 4))
    state = layers.Dense(6)(layers.GlobalMaxPooling1D()(given))
    x = layers.GRU(6, name="gru")(sequences=layers.Dense(8)(given), initial_state=state)
    graph = same_as_zeroed(keras, keras.Model(given, layers.Dense(2)(x)))
    assert sorted(len(group.layers) for group in graph.groups) == [1, 2]


def test_states_of_a_convolutional_lstm_are_cut_with_it(keras: Any) -> None:
    layers = keras.layers
    given = keras.Input((3, 5, 5, 2))
    _, *states = layers.ConvLSTM2D(4, 3, padding="same", return_state=True, name="one")(given)
    x = layers.ConvLSTM2D(4, 3, padding="same", name="two")(given, initial_state=states)
    graph = same_as_zeroed(keras, keras.Model(given, layers.Dense(2)(layers.Flatten()(x))))
    assert [group.layers for group in graph.groups] == [("one", "two")]


def test_channels_that_come_first_are_no_samples(keras: Any) -> None:
    layers, ops = keras.layers, keras.ops
    given = keras.Input((5, 4))
    x = layers.Permute((2, 1))(layers.Dense(8, name="stays")(given))
    x = ops.swapaxes(layers.Dense(6, name="cut")(ops.swapaxes(x, 0, 1)), 0, 1)
    graph = same_as_zeroed(keras, keras.Model(given, layers.Dense(2)(layers.Flatten()(x))))
    assert [group.name for group in graph.groups] == ["cut"]


def test_a_product_keeps_track_of_channels_that_come_first(keras: Any) -> None:
    layers, ops = keras.layers, keras.ops
    given = keras.Input(batch_shape=(3, 5, 4))
    x = layers.Permute((2, 1))(layers.Dense(8, name="cut")(given))
    x, y = ops.swapaxes(x, 0, 1), ops.swapaxes(layers.Permute((2, 1))(layers.Dense(8)(given)), 0, 1)
    x = ops.swapaxes(ops.matmul(x, ops.swapaxes(y, 1, 2)), 0, 1)
    (group,) = same_as_zeroed(
        keras, keras.Model(given, layers.Dense(2)(layers.Flatten()(x)))
    ).groups
    assert len(group.layers) == 2


def test_a_product_of_two_vectors_counts_its_multiply_adds(keras: Any) -> None:
    layers = keras.layers
    given = keras.Input((4,))
    x = layers.Dot(1)([layers.Dense(6)(given), layers.Dense(6)(given)])
    graph, removed, _ = halved(keras.Model(given, x))
    assert (graph.macs(), graph.macs(removed)) == (4 * 6 * 2 + 6, 4 * 3 * 2 + 3)


def test_layers_whose_multiply_adds_are_not_known_are_told(keras: Any) -> None:
    layers, ops = keras.layers, keras.ops
    given = keras.Input((5, 4))
    x = layers.RNN(layers.GRUCell(6), return_sequences=True, name="cells")(given)
    x = ops.einsum("abc,adc->abd", x, x)
    x = layers.LayerNormalization()(layers.Lambda(lambda x: 2 * x)(x))
    graph, _, _ = halved(keras.Model(given, layers.Dense(2)(layers.Dense(8)(x))))
    assert graph.uncounted == ("cells", "einsum")
