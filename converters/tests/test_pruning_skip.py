"""What --skip names stays as it is: layers, what is in wrappers and nested models, by any name."""

from typing import Any

import numpy as np
import pytest

from edgekit.errors import UsageError

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


@pytest.fixture(scope="module")
def wrapped(keras: Any) -> Any:
    """A Bidirectional, a TimeDistributed and a nested model."""
    layers = keras.layers
    inside = keras.Input((8,))
    inner = keras.Model(inside, layers.Dense(6, name="out")(layers.Dense(8)(inside)), name="inner")
    given = keras.Input((5, 4))
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True, name="lstm"), name="bid")(given)
    x = layers.TimeDistributed(layers.Dense(8, name="dense"), name="td")(x)
    x = inner(layers.GRU(8, name="gru")(x))
    return keras.Model(given, layers.Dense(2, name="last")(x))


ALL = {"bid/forward_lstm", "td/dense", "gru", "inner/dense_1", "inner/out"}


def cut_groups(model: Any, *skip: str) -> set[str]:
    from edgekit_converters.pruning.trace.trace import trace

    names = {group.name for group in trace(model, skip).groups}
    return {"inner/dense_1" if name.startswith("inner/dense") else name for name in names}


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("bid", {"bid/forward_lstm"}),
        ("Bidirectional", {"bid/forward_lstm"}),
        ("bid/forward_lstm", {"bid/forward_lstm"}),
        ("backward_lstm", {"bid/forward_lstm"}),
        ("td", {"td/dense"}),
        ("TimeDistributed", {"td/dense"}),
        ("td/dense", {"td/dense"}),
        ("inner/out", {"inner/out"}),
        ("inner", {"inner/dense_1", "inner/out", "gru"}),  # whose units are what it takes
        ("Functional", {"inner/dense_1", "inner/out", "gru"}),
        ("last", set()),  # whose units are the model's output
    ],
)
def test_a_skipped_layer_or_what_is_around_it_keeps_its_channels(
    wrapped: Any, name: str, left: set[str]
) -> None:
    assert cut_groups(wrapped) == ALL
    assert cut_groups(wrapped, name) == ALL - left


def test_every_name_that_a_report_prints_can_be_skipped(wrapped: Any) -> None:
    from edgekit_converters.pruning.trace.trace import trace

    graph = trace(wrapped)
    names = [layer for group in graph.groups for layer in group.layers]
    assert not trace(wrapped, [*names, *(left.layer for left in graph.left)]).groups


def test_a_skipped_layer_that_makes_no_channels_keeps_those_it_takes(keras: Any) -> None:
    from edgekit_converters.pruning.trace.trace import trace

    layers = keras.layers
    given = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="read")(layers.Conv2D(6, 3, name="first")(given))
    x = layers.DepthwiseConv2D(3, name="dw")(x)
    model = keras.Model(given, layers.Conv2D(2, 1)(x))
    graph = trace(model, ["dw"])
    assert [group.name for group in graph.groups] == ["first"]
    assert {left.layer for left in graph.left} >= {"dw", "read"}


def test_a_layer_in_two_places_is_skipped_if_one_of_them_is(keras: Any) -> None:
    from edgekit_converters.pruning.zeros.kernels import find_kernels

    shared = keras.layers.Dense(4, name="shared")
    inner = keras.Sequential([keras.Input((4,)), shared], name="inner")
    given = keras.Input((4,))
    model = keras.Model(given, keras.layers.Dense(2, name="last")(inner(shared(given))))
    assert [kernel.path for kernel in find_kernels(model, ["inner"])] == ["last/kernel"]


@pytest.mark.parametrize("name", ["inner", "inner/conv", "Sequential"])
def test_what_is_in_a_skipped_model_trains_in_float(keras: Any, name: str) -> None:
    from edgekit_converters.pruning.qat.model import qat_begin

    layers = keras.layers
    inner = keras.Sequential(
        [keras.Input((6, 6, 3)), layers.Conv2D(4, 3, name="conv"), layers.Flatten(name="flat")],
        name="inner",
    )
    given = keras.Input((6, 6, 3))
    qat = qat_begin(keras.Model(given, layers.Dense(2, name="last")(inner(given))), [name])
    assert qat.skipped >= {"conv"}
    assert type(qat.model.get_layer("conv")) is layers.Conv2D
    assert type(qat.model.get_layer("last")) is not layers.Dense
    assert "conv" not in qat.layers


def test_what_is_in_a_wrapper_keeps_its_path_through_folding(keras: Any) -> None:
    from edgekit_converters.pruning.qat.model import qat_begin
    from edgekit_converters.pruning.zeros.kernels import find_kernels

    layers = keras.layers
    inner = keras.Input((5, 3))
    dense = layers.TimeDistributed(layers.Dense(4, name="dense"), name="td")(inner)
    nested = keras.Model(inner, dense, name="nested")
    given = keras.Input((5, 3))
    x = layers.Flatten()(nested(given))
    qat = qat_begin(keras.Model(given, layers.Dense(2, name="last")(x)), ["nested/td/dense"])
    assert qat.skipped == {"td/dense"}
    paths = [kernel.path for kernel in find_kernels(qat.model, sorted(qat.skipped))]
    assert paths == ["last/kernel"]


def test_all_ways_to_compress_refuse_an_unknown_name_alike(wrapped: Any) -> None:
    from edgekit_converters.pruning.qat.model import qat_begin
    from edgekit_converters.pruning.trace.trace import trace
    from edgekit_converters.pruning.zeros.kernels import find_kernels

    for begin in (trace, find_kernels, qat_begin):
        with pytest.raises(UsageError, match=r"--skip td/dens: .* did you mean .*td/dense"):
            begin(wrapped, ["td/dens"])


def test_a_keras_2_layer_is_skipped_by_the_model_and_the_wrapper_around_it() -> None:
    keras: Any = pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    from edgekit_converters.pruning.keras2.layers import targets

    layers = keras.layers
    inner = keras.Sequential(
        [layers.Input((5, 3)), layers.TimeDistributed(layers.Dense(4, name="dense"), name="td")],
        name="inner",
    )
    given = layers.Input((5, 3))
    last = layers.Dense(2, name="last")(inner(given))
    model = keras.Model(given, last)
    assert [layer.name for layer in targets(model, ())] == ["td", "last"]
    for name in ("inner", "Sequential", "inner/td", "TimeDistributed", "inner/td/dense", "dense"):
        assert [layer.name for layer in targets(model, (name,))] == ["last"]


def test_a_cut_leaves_the_weights_of_a_skipped_model_as_they_are(keras: Any) -> None:
    from edgekit_converters.pruning.channels.cut import cut
    from edgekit_converters.pruning.trace.trace import trace

    layers = keras.layers
    inner = keras.Sequential([layers.Dense(8), layers.BatchNormalization()], name="inner")
    given = keras.Input((4,))
    x = layers.Dense(8, name="later")(inner(layers.Dense(8, name="before")(given)))
    model = keras.Model(given, layers.Dense(2)(x))
    graph = trace(model, ["inner"])
    removed = graph.nothing_removed()
    for group in graph.groups:
        removed[group.channels[1:]] = True
    made = cut(model, graph, removed)
    assert [group.name for group in graph.groups] == ["later"]
    for one, other in zip(
        made.get_layer("inner").variables, model.get_layer("inner").variables, strict=True
    ):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
