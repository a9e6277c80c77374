import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.errors import SourceError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorFlow with NumPy 2

_FILE = Path(__file__).with_name("pruning_graphs.py")


def _graphs(seed: int) -> Any:
    spec = importlib.util.spec_from_file_location("pruning_graphs", _FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Graphs(seed)


def _removed(graph: Any, random: np.random.Generator) -> Any:
    removed = graph.nothing_removed()
    for group in graph.groups:
        count = int(random.integers(0, len(group.channels)))
        removed[random.permutation(group.channels)[:count]] = True
    return removed


def _zeroed(model: Any, graph: Any, removed: Any) -> None:
    """Set all numbers of the removed channels to zero, in every variable that has some."""
    from edgekit_converters.pruning.channels.graph import variables_by_path

    variables = variables_by_path(model)
    for weight in graph.weights:
        if weight.role == "statistic":
            continue
        values = np.array(variables[weight.path].numpy())
        for axis, numbers in enumerate(weight.axes):
            if numbers is not None:
                gone = (numbers >= 0) & removed[numbers]
                values[(slice(None),) * axis + (gone,)] = 0
        variables[weight.path].assign(values)


def _assert_left_alone(model: Any, made: Any, skip: list[str]) -> None:
    """Layers that were to be skipped make and give out as many channels as they did."""
    from edgekit_converters.pruning.skipped_names import layers_within, skipped_layers

    skipped = skipped_layers(model, skip)
    twins = {placed.path: placed.layer for placed in layers_within(made)}
    for placed in layers_within(model):
        theirs, ours = placed.layer, twins.get(placed.path)  # attention makes a softmax when called
        if id(theirs) in skipped and ours is not None:
            assert _counted(ours) == _counted(theirs), placed.path
            shapes = [_given_out(layer) for layer in (ours, theirs)]
            assert None in shapes or shapes[0] == shapes[1], placed.path


def _counted(layer: Any) -> list[Any]:
    """What a layer counts; of a model also the shapes of all its variables."""
    names = ("units", "filters", "num_heads", "output_dim", "partial_output_shape")
    found = [getattr(layer, name, None) for name in names]
    if hasattr(layer, "_functional") or hasattr(layer, "_nodes_by_depth"):
        found += [variable.shape for variable in layer.variables]
    return found


def _given_out(layer: Any) -> list[Any] | None:
    """Shapes of what a layer gives, if it was called once."""
    calls: Any = getattr(layer, "_inbound_nodes", ())
    return [tuple(each.shape) for each in calls[0].outputs] if len(calls) == 1 else None


def _outputs(model: Any, samples: list[Any]) -> list[Any]:
    made = model(samples if len(samples) > 1 else samples[0], training=False)
    return [np.asarray(each) for each in (made if isinstance(made, list | tuple) else [made])]


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 100_000))
def test_a_cut_model_equals_the_original_with_those_channels_zeroed(seed: int) -> None:
    from edgekit_converters.pruning.channels.cut import cut
    from edgekit_converters.pruning.trace.trace import trace

    graphs = _graphs(seed)
    model = graphs.model()
    skip = graphs.skip(model)
    graph = trace(model, skip)
    removed = _removed(graph, np.random.default_rng(seed))
    samples = graphs.samples(model)
    made = cut(model, graph, removed)
    _assert_left_alone(model, made, skip)
    assert made.count_params() == graph.parameters(removed)
    found = _outputs(made, samples)
    _zeroed(model, graph, removed)
    for ours, theirs in zip(found, _outputs(model, samples), strict=True):
        if not np.isfinite(theirs).all():
            continue
        scale = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=2e-4)


@pytest.mark.slow
def test_nothing_removed_is_the_same_model() -> None:
    from edgekit_converters.pruning.channels.cut import cut
    from edgekit_converters.pruning.trace.trace import trace

    graphs = _graphs(3)
    model = graphs.model()
    graph = trace(model)
    samples = graphs.samples(model)
    made = cut(model, graph, graph.nothing_removed())
    for ours, theirs in zip(_outputs(made, samples), _outputs(model, samples), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_multiply_adds_are_those_of_the_converted_file(tmp_path: Path) -> None:
    import keras

    import edgekit
    from edgekit_converters.pruning.trace.trace import trace

    given = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, padding="same")(given)
    x = keras.layers.BatchNormalization()(x)
    y = keras.layers.DepthwiseConv2D(3, strides=2, padding="same")(keras.layers.ReLU()(x))
    y = keras.layers.SeparableConv2D(12, 3)(y)
    y = keras.layers.Conv2DTranspose(4, 3, strides=2)(y)
    y = keras.layers.Dense(5)(keras.layers.Flatten()(y))
    model = keras.Model(given, y)
    model.save(tmp_path / "m.keras")
    (made,) = edgekit.convert(tmp_path / "m.keras", tmp_path)
    compute = edgekit.inspect(made.path).compute
    assert compute is not None
    assert trace(model).macs() == compute.multiply_adds


@pytest.mark.slow
def test_a_subclassed_model_is_refused_with_the_reason() -> None:
    import keras

    from edgekit_converters.pruning.trace.trace import trace

    class Own(keras.Model):  # type: ignore[misc]  # of a module without types
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    model = Own()
    model(np.zeros((1, 2), np.float32))
    with pytest.raises(SourceError, match="subclassed"):
        trace(model)


@pytest.mark.slow
def test_a_layer_to_skip_that_is_not_there_is_named() -> None:
    import keras

    from edgekit_converters.pruning.trace.trace import trace

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    with pytest.raises(UsageError, match="nosuch"):
        trace(model, ["nosuch"])


def _half(model: Any) -> Any:
    """The model without every second channel."""
    from edgekit_converters.pruning.channels.cut import cut
    from edgekit_converters.pruning.trace.trace import trace

    graph = trace(model)
    removed = graph.nothing_removed()
    for group in graph.groups:
        removed[group.channels[1::2]] = True
    return cut(model, graph, removed)


@pytest.mark.slow
def test_functions_and_classes_of_ones_own_are_those_of_the_original() -> None:
    import keras

    class Own(keras.regularizers.Regularizer):  # type: ignore[misc]  # of a module without types
        def __call__(self, x: Any) -> Any:
            return 0.0

        def get_config(self) -> dict[str, Any]:
            return {}

    def twice(x: Any) -> Any:
        return 2 * x

    def distance(y: Any, x: Any) -> Any:
        return keras.ops.mean(abs(x - y))

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, name="cut", kernel_regularizer=Own()),
            layers.Dense(2, activation=twice),
        ]
    )
    model.compile("sgd", distance, [distance])
    made = _half(model)
    assert made.get_layer("cut").units == 4
    assert made.layers[-1].activation is twice
    assert made.loss is distance


@pytest.mark.slow
def test_a_table_that_began_as_an_array_is_cut() -> None:
    import keras

    begin = keras.initializers.Constant(np.arange(48, dtype=np.float32).reshape(6, 8))
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Embedding(6, 8, embeddings_initializer=begin),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2),
        ]
    )
    made = _half(model)
    np.testing.assert_array_equal(made.layers[0].embeddings, model.layers[0].embeddings[:, ::2])
