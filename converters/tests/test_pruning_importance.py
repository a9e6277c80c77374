"""Importance and sensitivity on traced Keras models: numbers that follow from the formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.prune_options import from_words
from edgekit_converters.pruning.channels.choose import Target, plan, rank
from edgekit_converters.pruning.channels.graph import ChannelGraph, variables_by_path
from edgekit_converters.pruning.channels.importance import batch_norm, magnitude, taylor
from edgekit_converters.pruning.channels.sensitivity import sensitivity
from edgekit_converters.pruning.training.task_loss import Batch, mean_loss, task_loss

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # TensorFlow with NumPy 2
]
UNITS = 6


@pytest.fixture(scope="module")
def model() -> Any:
    """Dense, batch normalisation, ReLU, dense; random."""
    from edgekit_converters.tensorflow_setup import tensorflow

    tensorflow()
    import keras

    keras.utils.set_random_seed(1)
    made = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(UNITS, name="first"),
            keras.layers.BatchNormalization(name="normalisation"),
            keras.layers.ReLU(),
            keras.layers.Dense(3, activation="softmax", name="last"),
        ]
    )
    random = np.random.default_rng(1)
    for variable in made.variables:
        if "variance" in variable.path:
            variable.assign(random.uniform(0.5, 2.0, variable.shape))
        else:
            variable.assign(random.normal(size=variable.shape))
    made.compile(loss="sparse_categorical_crossentropy")
    return made


@pytest.fixture(scope="module")
def graph(model: Any) -> ChannelGraph:
    from edgekit_converters.pruning.trace.trace import trace

    return trace(model)


def batches(count: int = 2) -> list[Batch]:
    random = np.random.default_rng(2)
    return [
        (random.normal(size=(8, 5)).astype(np.float32), random.integers(0, 3, 8))
        for _ in range(count)
    ]


def variable_of(model: Any, path: str) -> Any:
    (found,) = [v for name, v in variables_by_path(model).items() if name.endswith(path)]
    return found


def values(model: Any, path: str) -> NDArray[Any]:
    return np.array(variable_of(model, path).numpy())


def channels(graph: ChannelGraph) -> Any:
    assert [group.name for group in graph.groups] == ["first"]
    return graph.groups[0].channels


def test_magnitude_is_the_norm_of_what_makes_a_unit_and_of_what_reads_it(
    model: Any, graph: ChannelGraph
) -> None:
    makes = np.linalg.norm(values(model, "first/kernel"), axis=0)
    reads = np.linalg.norm(values(model, "last/kernel"), axis=1)
    expected = (makes / makes.mean() + reads / reads.mean()) / 2
    np.testing.assert_allclose(magnitude(model, graph)[channels(graph)], expected, rtol=1e-6)


def test_batch_norm_importance_is_the_size_of_gamma(model: Any, graph: ChannelGraph) -> None:
    gamma = np.abs(values(model, "normalisation/gamma"))
    expected = gamma / gamma.mean()
    np.testing.assert_allclose(batch_norm(model, graph)[channels(graph)], expected, rtol=1e-6)


@pytest.mark.parametrize("activation", ["ReLU", "PReLU"])
def test_without_a_normalisation_batch_norm_importance_is_magnitude(activation: str) -> None:
    import keras

    from edgekit_converters.pruning.trace.trace import trace

    layers = keras.layers
    slope = getattr(layers, activation)()
    plain = keras.Sequential([keras.Input((4,)), layers.Dense(5), slope, layers.Dense(2)])
    for variable in slope.variables:
        variable.assign(np.linspace(0.1, 0.9, 5))
    graph = trace(plain)
    np.testing.assert_array_equal(batch_norm(plain, graph), magnitude(plain, graph))


def test_taylor_is_small_for_a_unit_that_nobody_reads(model: Any, graph: ChannelGraph) -> None:
    kernel = variable_of(model, "last/kernel")
    before = kernel.numpy()
    changed = before.copy()
    changed[2] = 0
    kernel.assign(changed)
    try:
        scores = taylor(model, graph, batches())[channels(graph)]
    finally:
        kernel.assign(before)
    assert scores[2] == 0
    assert np.all(np.delete(scores, 2) > 0)


def gate_derivatives(
    begin: Any, end: Any, count: int, data: list[Batch], loss: str
) -> NDArray[np.float64]:
    """Mean over `data` of the squared derivatives by `count` gates on what `begin` gives `end`."""
    import keras
    import tensorflow as tf

    gates = tf.Variable(tf.ones(count))
    total = np.zeros(count)
    for x, labels in data:
        with tf.GradientTape() as tape:
            passed = [each * gates for each in keras.tree.flatten(begin(x))]
            said = end(passed if len(passed) > 1 else passed[0])
            value = tf.reduce_mean(keras.losses.get(loss)(labels, said))
        total += np.asarray(tape.gradient(value, gates), np.float64) ** 2
    mean: NDArray[np.float64] = total / total.mean()
    return mean


def with_random_weights(made: Any) -> Any:
    random = np.random.default_rng(5)
    for variable in made.variables:
        values = random.normal(size=variable.shape, scale=0.6)
        variable.assign(np.abs(values) + 0.1 if "variance" in variable.path else values)
    return made


def test_taylor_is_the_squared_derivative_of_the_loss_by_a_gate_before_the_readers() -> None:
    import keras

    from edgekit_converters.pruning.trace.trace import trace

    layers = keras.layers
    given = keras.Input((6, 6, 2))
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, name="gated")(given))
    between = layers.ReLU()(x)
    y = layers.SeparableConv2D(6, 3, padding="same", depth_multiplier=2)(between)
    z = layers.Conv2D(6, 1)(layers.DepthwiseConv2D(1, use_bias=False)(between))
    y = layers.ReLU()(layers.Add()([y, z]))
    y = layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(y))
    made = with_random_weights(keras.Model(given, y))
    loss, random = "sparse_categorical_crossentropy", np.random.default_rng(6)
    data: list[Batch] = [
        (random.normal(size=(8, 6, 6, 2)).astype(np.float32), random.integers(0, 3, 8))
        for _ in range(2)
    ]
    graph = trace(made)
    (group,) = [group for group in graph.groups if group.name == "gated"]
    ours = taylor(made, graph, data, loss)[group.channels]
    begin, end = keras.Model(given, between), keras.Model(between, y)
    np.testing.assert_allclose(ours, gate_derivatives(begin, end, 8, data, loss), rtol=1e-3)


def test_taylor_of_channels_that_no_kernel_reads_is_by_a_gate_on_what_makes_them() -> None:
    import keras

    from edgekit_converters.pruning.trace.trace import trace

    layers = keras.layers
    given = keras.Input((4, 3))
    query, key = layers.Dense(5, name="query")(given), layers.Dense(5, name="key")(given)
    value = layers.Dense(2, name="value")(given)
    y = layers.Dense(1)(layers.Flatten()(layers.Attention()([query, value, key])))
    made = with_random_weights(keras.Model(given, y))
    random = np.random.default_rng(7)
    x, labels = random.normal(size=(8, 4, 3)).astype(np.float32), random.normal(size=(8, 1))
    graph = trace(made)
    (group,) = [group for group in graph.groups if "query" in group.layers]
    ours = taylor(made, graph, [(x, labels)], "mse")[group.channels]
    begin, rest = keras.Model(given, [query, key]), keras.Model([query, key, value], y)
    values = keras.Model(given, value)(x)
    expected = gate_derivatives(begin, lambda both: rest([*both, values]), 5, [(x, labels)], "mse")
    np.testing.assert_allclose(ours, expected, rtol=1e-3)


def test_taylor_of_frozen_layers_is_that_of_trained_ones(model: Any, graph: ChannelGraph) -> None:
    free = taylor(model, graph, batches())
    model.get_layer("first").trainable = False
    try:
        frozen = taylor(model, graph, batches())
    finally:
        model.get_layer("first").trainable = True
    np.testing.assert_allclose(frozen, free, rtol=1e-5)


def test_taylor_reports_each_batch(model: Any, graph: ChannelGraph) -> None:
    told: list[str] = []
    taylor(model, graph, batches(3), report=told.append)
    assert told[-1] == "importance: batch 3 of 3"


def test_taylor_without_data_is_refused(model: Any, graph: ChannelGraph) -> None:
    with pytest.raises(UsageError, match="--importance taylor: needs data with labels"):
        taylor(model, graph, [])


def test_taylor_of_a_loss_that_is_not_a_number_is_refused(model: Any, graph: ChannelGraph) -> None:
    broken = [(np.full((8, 5), np.nan, np.float32), np.zeros(8, np.int64))]
    with pytest.raises(UsageError, match="not all finite"):
        taylor(model, graph, broken)


def test_a_model_without_a_loss_is_refused() -> None:
    import keras

    bare = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    with pytest.raises(UsageError, match="is not compiled, so its loss is unknown"):
        task_loss(bare)


def test_the_loss_is_that_of_evaluate(model: Any) -> None:
    data = batches(3)
    ours = mean_loss(task_loss(model), data)()
    x = np.concatenate([np.asarray(batch[0]) for batch in data])
    labels = np.concatenate([np.asarray(batch[1]) for batch in data])
    assert ours == pytest.approx(model.evaluate(x, labels, verbose=0), rel=1e-5)


def test_losses_of_several_outputs_add_up() -> None:
    import keras

    x = keras.Input((4,))
    one = keras.layers.Dense(1, name="one")(x)
    two = keras.layers.Dense(3, name="two", activation="softmax")(x)
    made = keras.Model(x, {"one": one, "two": two})
    made.compile(loss={"one": "mse", "two": "categorical_crossentropy"})
    random = np.random.default_rng(3)
    data = random.normal(size=(8, 4)).astype(np.float32)
    labels: dict[str, NDArray[Any]] = {
        "one": random.normal(size=8).astype(np.float32),
        "two": np.eye(3)[np.arange(8) % 3],
    }
    expected = made.evaluate(data, labels, verbose=0, return_dict=True)["loss"]
    assert mean_loss(task_loss(made), [(data, labels)])() == pytest.approx(expected, rel=1e-5)


def test_sensitivity_is_the_loss_of_the_model_that_was_cut(model: Any, graph: ChannelGraph) -> None:
    from edgekit_converters.pruning.channels.cut import cut

    scores = magnitude(model, graph)
    data = batches()
    (curve,) = sensitivity(model, graph, scores, data)
    made = plan(rank(model, graph), Target(kind="sparsity", amount=0.5))
    smaller = cut(model, graph, made.removed)
    loss = "sparse_categorical_crossentropy"
    rise = mean_loss(task_loss(smaller, loss), data)() - mean_loss(task_loss(model, loss), data)()
    before = [r for share, r in zip(curve.shares, curve.rises, strict=True) if share < 0.5]
    assert float(curve.at(np.array(0.5))) == pytest.approx(max(0.0, rise, *before), abs=1e-5)


def test_sensitivity_leaves_the_model_as_it_was(model: Any, graph: ChannelGraph) -> None:
    before = [variable.numpy().copy() for variable in model.variables]
    sensitivity(model, graph, magnitude(model, graph), batches())
    for variable, was in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), was)


def test_a_curve_starts_at_zero_and_never_falls(model: Any, graph: ChannelGraph) -> None:
    (curve,) = sensitivity(model, graph, magnitude(model, graph), batches())
    assert curve.shares[0] == curve.rises[0] == 0
    assert curve.shares[-1] == pytest.approx(1 - 1 / UNITS)
    assert list(curve.rises) == sorted(curve.rises)


def test_sensitivity_without_data_is_refused(model: Any, graph: ChannelGraph) -> None:
    with pytest.raises(UsageError, match="--ratios sensitivity: needs data with labels"):
        rank(model, graph, ratios="sensitivity")


def test_a_plan_tells_what_the_cut_model_has(model: Any, graph: ChannelGraph) -> None:
    from edgekit_converters.pruning.channels.cut import cut

    ranking = rank(model, graph, importance="taylor", ratios="sensitivity", batches=batches())
    made = plan(ranking, Target(kind="parameters", amount=0.6))
    assert cut(model, graph, made.removed).count_params() == made.parameters
    assert made.parameters <= 0.6 * model.count_params()


def test_channels_are_ranked_by_the_loss_of_the_output_that_is_trained(tmp_path: Path) -> None:
    import keras

    from edgekit_converters.pruning.channels.stage import ChannelStage
    from edgekit_converters.pruning.job import Job
    from edgekit_converters.pruning.trace.trace import trace

    layers = keras.layers
    given = keras.Input((5,))
    body = layers.Dense(8, "relu", name="body")(given)
    outputs = [layers.Dense(3, name="other")(body), layers.Dense(3, "softmax", name="main")(body)]
    made = with_random_weights(keras.Model(given, outputs))
    loss = "sparse_categorical_crossentropy"
    made.compile("adam", {"main": loss})
    made.optimizer.build(made.trainable_variables)
    made.save(tmp_path / "two.keras")
    random = np.random.default_rng(8)
    x, y = random.normal(size=(64, 5)).astype(np.float32), np.arange(64) % 3
    np.savez(tmp_path / "data.npz", x=x, y=y)
    words = f"macs=50% importance=taylor data={tmp_path / 'data.npz'}"
    plain = from_words(words, tmp_path / "two.keras").to_plain()
    job = Job.open(plain, tmp_path / "two.keras", tmp_path)
    stage = ChannelStage.open(job)
    stage.plan("macs", 0.5)
    assert stage.ranking is not None
    assert job.data is not None
    kept = np.random.default_rng(0).permutation(job.data.train)
    rows = [np.sort(kept[start : start + 32]) for start in range(0, len(kept), 32)]
    alone = keras.Model(given, outputs[1])
    expected = taylor(alone, trace(alone), [(x[part], y[part]) for part in rows], loss)
    np.testing.assert_allclose(stage.ranking.scores, expected, rtol=1e-4)
