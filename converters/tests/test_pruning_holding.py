"""Zeros and clusters of small Keras models hold through real training."""

import importlib
from typing import Any

import numpy as np
import pytest

from edgekit.errors import SourceError, UsageError
from edgekit_converters.pruning.zeros.clusters import Clusters, centroids, group
from edgekit_converters.pruning.zeros.holding import Masks, Zeros, one_shot
from edgekit_converters.pruning.zeros.kernels import find_kernels
from edgekit_converters.tensorflow_setup import tensorflow


@pytest.fixture(scope="module")
def keras() -> Any:
    tensorflow()
    return importlib.import_module("keras")


def classifier(keras: Any) -> Any:
    layers = keras.layers
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            layers.Input((4, 4, 4)) if keras.__name__ == "keras" else layers.InputLayer((4, 4, 4)),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="picture"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.Flatten(),
            layers.Dense(16, activation="relu", name="hidden"),
            layers.Dense(4, activation="softmax", name="classes"),
        ]
    )


def nested(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((6, 6, 3))
    inner = keras.Sequential([layers.Input((6, 6, 3)), layers.Conv2D(4, 3, name="conv")], name="in")
    rows = layers.Reshape((16, 4))(inner(image))
    rows = layers.TimeDistributed(layers.Dense(6, name="each"), name="times")(rows)
    rows = layers.MultiHeadAttention(2, 4, name="attention")(rows, rows)
    both = layers.Bidirectional(layers.LSTM(5, name="lstm"), name="both")(rows)
    return keras.Model(image, layers.Dense(3, name="classes")(both))


def samples() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    classes = random.integers(0, 4, 256)
    return random.normal(classes.reshape(-1, 1, 1, 1), size=(256, 4, 4, 4)), classes


def train(keras: Any, model: Any, optimizer: Any, projections: list[Any], epochs: int = 2) -> None:
    steps = 16 * epochs
    for projection in projections:
        projection.begin(model, steps)
    done = [0]

    def after(batch: int, logs: Any = None) -> None:
        done[0] += 1
        for projection in projections:
            projection.after_batch(done[0])

    watch = keras.callbacks.Callback()
    watch.on_train_batch_end = after
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.fit(*samples(), 16, epochs, verbose=0, callbacks=[watch])
    for projection in projections:
        projection.finish()


def zeros(model: Any) -> float:
    kernels = [kernel.read() for kernel in find_kernels(model)]
    return float(sum((k == 0).sum() for k in kernels) / sum(k.size for k in kernels))


def values(model: Any) -> int:
    return max(np.unique(kernel.read()).size for kernel in find_kernels(model))


# ---- which kernels ----------------------------------------------------------------------------


@pytest.mark.slow
def test_kernels_inside_models_wrappers_and_attention_are_found(keras: Any) -> None:
    assert [kernel.path for kernel in find_kernels(nested(keras))] == [
        "in/conv/kernel",
        "times/each/kernel",
        *(f"attention/{part}/kernel" for part in ("query", "key", "value", "attention_output")),
        *(
            f"both/{way}_lstm/lstm_cell/{part}"
            for way in ("forward", "backward")
            for part in ("kernel", "recurrent_kernel")
        ),
        "classes/kernel",
    ]


@pytest.mark.slow
def test_depthwise_kernels_and_norms_are_left_alone(keras: Any) -> None:
    paths = [kernel.path for kernel in find_kernels(classifier(keras))]
    assert paths == ["picture/kernel", "hidden/kernel", "classes/kernel"]


@pytest.mark.slow
@pytest.mark.parametrize("skip", ["in", "Conv2D", "in/conv"])
def test_a_layer_is_skipped_by_its_name_its_type_or_the_model_around_it(
    keras: Any, skip: str
) -> None:
    assert "in/conv/kernel" not in {k.path for k in find_kernels(nested(keras), [skip])}


@pytest.mark.slow
def test_a_layer_to_skip_that_is_not_there_is_refused_with_those_like_it(keras: Any) -> None:
    with pytest.raises(UsageError, match=r"skip hiden: .* did you mean hidden"):
        find_kernels(classifier(keras), ["hiden"])


@pytest.mark.slow
def test_a_model_without_kernels_is_refused(keras: Any) -> None:
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.ReLU()], name="empty")
    with pytest.raises(SourceError, match="empty: nothing to prune"):
        one_shot(model)


@pytest.mark.slow
def test_a_model_all_of_which_is_skipped_is_refused(keras: Any) -> None:
    with pytest.raises(SourceError, match="nothing to prune; .* but those to skip"):
        one_shot(classifier(keras), skip=["Conv2D", "Dense"])


# ---- zeros ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer", ["SGD", "Adam", "AdamW", "Lion", "RMSprop", "average of weights"]
)
def test_no_optimizer_brings_a_weight_back(keras: Any, optimizer: str) -> None:
    made = {
        "SGD": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        "AdamW": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
        "average of weights": lambda: keras.optimizers.Adam(0.01, use_ema=True),
    }.get(optimizer, lambda: getattr(keras.optimizers, optimizer)(0.01))()
    model = classifier(keras)
    train(keras, model, made, [Masks(0.8)])
    assert zeros(model) == pytest.approx(0.8, abs=0.003)


@pytest.mark.slow
def test_zeros_hold_in_keras_2_as_well() -> None:
    pytest.importorskip("tf_keras", reason="tf_keras is not installed")
    tensorflow()
    keras = importlib.import_module("tf_keras")
    model = classifier(keras)
    train(keras, model, keras.optimizers.legacy.Adam(0.01), [Masks(0.8)])
    train(keras, model, keras.optimizers.legacy.Adam(0.01), [Clusters(8)], epochs=1)
    assert zeros(model) >= 0.79
    assert values(model) <= 8


@pytest.mark.slow
def test_zeros_hold_in_half_precision(keras: Any) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = classifier(keras)
    finally:
        keras.config.set_dtype_policy("float32")
    train(keras, model, "adam", [Masks(0.8)], epochs=1)
    assert zeros(model) == pytest.approx(0.8, abs=0.003)


@pytest.mark.slow
def test_zeros_have_no_sign(keras: Any) -> None:
    model = classifier(keras)
    train(keras, model, "adam", [Masks(0.8)], epochs=1)
    for kernel in find_kernels(model):
        assert not np.signbit(kernel.read()[kernel.read() == 0]).any()


@pytest.mark.slow
def test_zeros_that_are_there_can_be_held(keras: Any) -> None:
    model = classifier(keras)
    one_shot(model, method="2:4")
    before = {kernel.path: kernel.read() != 0 for kernel in find_kernels(model)}
    train(keras, model, "adam", [Zeros()], epochs=1)
    for kernel in find_kernels(model):
        assert not kernel.read()[~before[kernel.path]].any()


@pytest.mark.slow
def test_sparsity_grows_and_says_when_it_is_there(keras: Any) -> None:
    masks = Masks(0.8)
    model = classifier(keras)
    masks.begin(model, 40)
    told = []
    for step in range(1, 41):
        masks.after_batch(step)
        told.append((masks.share, masks.is_settled))
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert [settled for _, settled in told].index(True) == 28  # before batch 30 of 40
    assert masks.progress() == "sparsity 80.0%"


@pytest.mark.slow
def test_masks_restored_from_their_state_are_the_same(keras: Any) -> None:
    first, second = Masks(0.8, scope="global"), Masks(0.8, scope="global")
    model = classifier(keras)
    first.begin(model, 40)
    for step in range(1, 20):
        first.after_batch(step)
    state = {key: np.array(value) for key, value in first.state().items()}
    second.begin(classifier(keras), 40)
    second.restore(state)
    assert (second.share, second.is_settled) == (first.share, first.is_settled)
    for path, mask in first.masks().items():
        assert (second.masks()[path] == mask).all()


@pytest.mark.slow
def test_masks_taken_up_half_way_are_those_of_half_way(keras: Any) -> None:
    model = classifier(keras)
    first, second = Masks(0.8), Masks(0.8)
    first.begin(model, 40)
    for step in range(1, 18):
        first.after_batch(step)
    second.begin(model, 40, done=17)
    for path, mask in first.masks().items():
        assert (second.masks()[path] == mask).all()


@pytest.mark.slow
@pytest.mark.parametrize(("method", "share"), [("unstructured", 0.8), ("1x4", 0.8), ("2:4", 0.5)])
def test_one_shot_makes_the_zeros_at_once(keras: Any, method: str, share: float) -> None:
    model = classifier(keras)
    told = one_shot(model, method=method)
    assert told == pytest.approx(share, abs=0.005)
    assert zeros(model) == told


# ---- clusters ---------------------------------------------------------------------------------


def test_groups_are_no_more_than_asked_for() -> None:
    weights = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    made = group(weights, 16)
    assert made.centroids.size <= 16
    error = np.mean((made.centroids[made.members] - weights) ** 2)
    assert error < 0.015  # 16 levels best for normal numbers give 0.0115 (Max, 1960)


def test_weights_of_few_values_are_left_exactly_as_they_are() -> None:
    weights = np.random.default_rng(0).choice([0, 0.1, -0.3, 7], 99).astype(np.float32)
    made = group(weights, 4)
    assert (made.centroids[made.members] == weights).all()


def test_zeros_stay_zeros() -> None:
    weights = np.random.default_rng(0).normal(size=999).astype(np.float32)
    weights[:800] = 0
    made = group(weights, 8)
    assert not made.centroids[made.members][:800].any()
    assert made.centroids.size <= 8


def test_clusters_are_nearer_than_even_spacing() -> None:
    weights = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    weights[::2] = 0
    grouped = group(weights, 8)
    made = grouped.centroids[grouped.members]
    even = np.linspace(weights.min(), weights.max(), 8)
    spaced = even[np.abs(weights[:, None] - even).argmin(1)]
    assert np.square(made - weights).sum() < 0.5 * np.square(spaced - weights).sum()


def test_centroids_are_the_means_of_what_is_nearest() -> None:
    made = np.random.default_rng(0).normal(size=2000)
    centres = centroids(made, 7)
    nearest = np.abs(made[:, None] - centres).argmin(axis=1)
    assert np.allclose([made[nearest == n].mean() for n in range(7)], centres)


@pytest.mark.parametrize("count", [1, 0, 5000])
def test_a_number_of_clusters_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"cluster {count}: must be from 2 to 1024"):
        Clusters(count)


@pytest.mark.slow
def test_clusters_hold_while_their_centroids_move(keras: Any) -> None:
    model = classifier(keras)
    clusters = Clusters(8)
    clusters.begin(model, 32)
    before = find_kernels(model)[0].read()
    train(keras, model, "adam", [clusters])
    after = find_kernels(model)[0].read()
    assert values(model) <= 8
    assert not np.array_equal(before, after)
    assert np.array_equal(
        np.unique(before, return_inverse=True)[1], np.unique(after, return_inverse=True)[1]
    )


@pytest.mark.slow
def test_a_centroid_moves_by_the_mean_of_its_members_updates(keras: Any) -> None:
    model = classifier(keras)
    clusters = Clusters(4)
    clusters.begin(model, 1)
    kernel = find_kernels(model)[1]
    before = kernel.read()
    update = np.random.default_rng(0).normal(size=before.shape).astype(np.float32) / 100
    kernel.variable.assign(before + update)
    clusters.after_batch(1)
    for value in np.unique(before):
        moved = kernel.read()[before == value]
        assert moved == pytest.approx(value + update[before == value].mean(), abs=1e-6)


@pytest.mark.slow
def test_clusters_keep_the_zeros_that_they_find(keras: Any) -> None:
    model = classifier(keras)
    one_shot(model, 0.5)
    train(keras, model, "adam", [Clusters(8)])
    assert values(model) <= 8
    assert zeros(model) >= 0.499


@pytest.mark.slow
def test_clusters_restored_from_their_state_are_the_same(keras: Any) -> None:
    first, second = Clusters(8), Clusters(8)
    model = classifier(keras)
    train(keras, model, "adam", [first], epochs=1)
    other = classifier(keras)
    second.begin(other, 16)
    second.restore({key: np.array(value) for key, value in first.state().items()})
    second.finish()
    for ours, theirs in zip(find_kernels(model), find_kernels(other), strict=True):
        assert np.array_equal(ours.read(), theirs.read())
