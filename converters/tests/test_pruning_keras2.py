"""Keras 2 models through tensorflow-model-optimization, on real digits."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import ConversionError, SourceError, UsageError
from edgekit.tensors import TensorSpec
from edgekit_converters import keras_source
from edgekit_converters.pruning.keras2.compress import compress
from edgekit_converters.pruning.keras2.quantize import check_quantized
from edgekit_converters.pruning.keras2.settings import Compressed, Keras2Settings, Stage
from edgekit_converters.pruning.training.data import TrainingData
from edgekit_converters.pruning.training.fine_tune import fine_tune
from edgekit_converters.pruning.training.settings import TrainingSettings
from edgekit_converters.tensorflow_setup import tensorflow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5:UserWarning"),
]

EPOCHS = 2


@pytest.fixture(scope="module")
def keras() -> Any:
    tensorflow()
    pytest.importorskip("tensorflow_model_optimization", reason="tfmot is not installed")
    return importlib.import_module("tf_keras")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    loaded = pytest.importorskip("sklearn.datasets").load_digits()
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(path, x=loaded.images[..., np.newaxis].astype(np.float32), y=loaded.target)
    image = TensorSpec(name="image", shape=(None, 8, 8, 1), dtype="float32")
    return TrainingData.open(str(path), (image,), ["scale=1/16"])


@pytest.fixture(scope="module")
def model(keras: Any, data: TrainingData) -> Any:
    """Trained to some 95 %."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    made = keras.Sequential(
        [
            layers.Input((8, 8, 1), name="image"),
            layers.Conv2D(12, 3, name="first"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.Flatten(name="flat"),
            layers.Dense(32, activation="relu", name="hidden"),
            layers.Dense(10, activation="softmax", name="scores"),
        ],
        name="digits",
    )
    made.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    made.fit(*part(data, data.train), epochs=8, verbose=0)
    return made


def part(data: TrainingData, rows: Any) -> tuple[Any, Any]:
    return data.samples(rows)[0], data.labels[rows]


def compressed(
    keras: Any, model: Any, data: TrainingData, *, rate: float | None = None, **options: Any
) -> Compressed:
    """With `EPOCHS` of fine-tuning for each stage."""

    def fit(trained: Any, projections: list[Any], *, stage: Stage) -> object:
        return fine_tune(
            trained,
            data,
            TrainingSettings(epochs=EPOCHS, learning_rate=rate),
            keras=keras,
            projections=projections,
            report=lambda _: None,
        )

    steps = EPOCHS * -(-len(data.train) // 32)
    return compress(model, Keras2Settings(steps=steps, **options), fit)


def kernel_of(model: Any, name: str) -> Any:
    weights = model.get_layer(name).weights
    return next(v.numpy() for v in weights if v.name.endswith(f"{name}/kernel:0"))


def accuracy(model: Any, data: TrainingData) -> float:
    inputs, labels = part(data, data.validation)
    return float((model.predict(inputs, verbose=0).argmax(1) == labels).mean())


# ---- pruning ------------------------------------------------------------------------------------


def test_the_polynomial_schedule_ends_at_the_share_of_zeros_in_every_layer(
    keras: Any, model: Any, data: TrainingData
) -> None:
    before = [weight.copy() for weight in model.get_weights()]
    made = compressed(keras, model, data, sparsity=0.6)
    assert made.suffix == ".keras"
    assert [type(layer).__name__ for layer in made.model.layers] == [
        type(layer).__name__ for layer in model.layers
    ]
    for name in ("first", "hidden", "scores"):
        kernel = kernel_of(made.model, name)
        assert (kernel == 0).mean() == pytest.approx(0.6, abs=1 / kernel.size)
    assert accuracy(made.model, data) > accuracy(model, data) - 0.05
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)  # the original stays what it was


def test_two_of_four_in_a_row_stay_along_the_inputs(
    keras: Any, model: Any, data: TrainingData
) -> None:
    made = compressed(keras, model, data, method="2:4", schedule="constant", skip=("first",))
    rows = kernel_of(made.model, "hidden").T.reshape(-1, 4)
    assert ((rows != 0).sum(1) <= 2).all()
    assert (kernel_of(made.model, "first") != 0).all()


def test_blocks_become_zero_at_once_without_data_and_other_layers_are_named(model: Any) -> None:
    made = compress(model, Keras2Settings(method="1x4", sparsity=0.5))
    blocks = kernel_of(made.model, "hidden").reshape(-1, 4)
    zeros = (blocks == 0).all(1)
    assert zeros.mean() == pytest.approx(0.5, abs=0.01)
    assert (blocks[~zeros] != 0).all()
    assert "not pruned: first (Conv2D)" in made.notes[0]


@pytest.mark.parametrize("trains", [False, True])
def test_layers_of_one_name_in_two_nested_models_have_shares_of_their_own(
    keras: Any, trains: bool
) -> None:
    layers = keras.layers

    def inner(name: str, size: float) -> Any:
        given = layers.Input((16,))
        start = keras.initializers.RandomNormal(stddev=size, seed=1)
        dense = layers.Dense(16, name="dense", kernel_initializer=start)
        return keras.Model(given, dense(given), name=name)

    given = layers.Input((16,))
    model = keras.Model(given, inner("small", 0.01)(inner("large", 10.0)(given)))
    model.compile("adam", "mse")

    def fit(trained: Any, projections: list[Any], *, stage: Stage) -> object:
        x = np.random.default_rng(0).normal(size=(160, 16))
        (held,) = projections
        held.begin(trained, 20)
        for step in range(20):
            trained.train_on_batch(x[:32], x[:32])
            held.after_batch(step + 1)
        held.finish()
        return stage

    settings = Keras2Settings(scope="global", sparsity=0.5, steps=20)
    made = compress(model, settings, fit if trains else None).model
    zeros = {
        name: float((made.get_layer(name).get_layer("dense").kernel.numpy() == 0).mean())
        for name in ("large", "small")
    }
    assert zeros["large"] < 0.05
    assert zeros["small"] > 0.95


def test_a_global_share_takes_more_from_layers_of_small_weights(model: Any) -> None:
    made = compress(model, Keras2Settings(scope="global", sparsity=0.6)).model
    kernels = [kernel_of(made, name) for name in ("first", "hidden", "scores")]
    zeros = [float((kernel == 0).mean()) for kernel in kernels]
    total = sum(kernel.size for kernel in kernels)
    assert sum((k == 0).sum() for k in kernels) / total == pytest.approx(0.6, abs=0.01)
    assert max(zeros) - min(zeros) > 0.1


def test_recurrent_layers_are_pruned_too(keras: Any) -> None:
    layers = keras.layers
    made = keras.Sequential(
        [layers.Input((5, 4)), layers.Bidirectional(layers.LSTM(8), name="both"), layers.Dense(2)]
    )
    pruned = compress(made, Keras2Settings(sparsity=0.5)).model.get_layer("both")
    cells = (pruned.forward_layer.cell, pruned.backward_layer.cell)
    kernels = [k.numpy() for cell in cells for k in (cell.kernel, cell.recurrent_kernel)]
    assert [(kernel == 0).mean() for kernel in kernels] == [0.5] * 4


# ---- clusters, and quantization-aware training --------------------------------------------------


def test_clusters_are_found_without_data(model: Any) -> None:
    made = compress(model, Keras2Settings(clusters=8)).model
    for name in ("first", "hidden", "scores"):
        assert len(np.unique(kernel_of(made, name))) == 8


def test_zeros_and_clusters_survive_quantization_aware_training_and_its_file(
    keras: Any, model: Any, data: TrainingData, tmp_path: Path
) -> None:
    made = compressed(keras, model, data, sparsity=0.5, clusters=8, quantize=True)
    assert made.suffix == ".h5"
    assert list(made.trained) == ["prune", "cluster", "quantize"]
    path = tmp_path / "digits.h5"
    made.model.save(path)
    back = keras_source.load(str(path)).model
    hidden = kernel_of(back, "hidden")
    assert (hidden == 0).mean() >= 0.5
    assert len(np.unique(hidden)) <= 8
    assert accuracy(back, data) == accuracy(made.model, data)
    assert accuracy(back, data) > accuracy(model, data) - 0.05
    ranges = {v.name: float(v.numpy().max()) for v in back.get_layer("hidden").weights}
    assert ranges["hidden/post_activation_max:0"] != 6.0  # learned: it starts at 6


def test_ranges_are_learned_even_where_no_epoch_is_better(
    keras: Any, model: Any, data: TrainingData
) -> None:
    made = compressed(keras, model, data, quantize=True, rate=10.0)
    history: Any = made.trained["quantize"]
    assert min(epoch.validation_loss for epoch in history.epochs) > history.before.validation_loss
    assert history.best > 0


def test_quantization_aware_training_keeps_zeros_of_layers_that_its_scheme_does_not(
    keras: Any, data: TrainingData
) -> None:
    layers = keras.layers
    keras.utils.set_random_seed(1)
    made = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2DTranspose(8, 3, name="first"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax", name="scores"),
        ]
    )
    made.compile("adam", "sparse_categorical_crossentropy")
    pruned = compressed(keras, made, data, sparsity=0.5, quantize=True).model
    assert (kernel_of(pruned, "first") == 0).mean() == pytest.approx(0.5, abs=0.02)


# ---- refusals -----------------------------------------------------------------------------------


def test_a_layer_that_cannot_be_quantized_is_named_and_skipping_it_works(
    keras: Any, data: TrainingData
) -> None:
    layers = keras.layers
    made = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Rescaling(2.0, name="scale"),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(name="late"),
            layers.Conv2D(8, 3),
            layers.BatchNormalization(name="fine"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    made.compile("adam", "sparse_categorical_crossentropy")
    wanted = r"late \(BatchNormalization\).*--skip late --skip Rescaling|--skip Rescaling"
    with pytest.raises(SourceError, match=wanted):
        compressed(keras, made, data, quantize=True)
    done = compressed(keras, made, data, quantize=True, skip=("late", "Rescaling"))
    assert "not quantized: scale (Rescaling), late (BatchNormalization)" in done.notes[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"quantize": True, "skip": ("hiden",)},
            "--skip hiden: the model has no layer of that name",
        ),
        ({"quantize": True}, "--qat: the ranges are learned from data; give --data"),
        ({"sparsity": 1.0}, "--sparsity 1: is not between 0 and 1"),
        ({"clusters": 1}, "--cluster 1: is not within 2..1024"),
        ({"method": "4:2"}, "--method 4:2: N:M keeps N of every M weights"),
        ({}, "nothing to do"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    model: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        compress(model, Keras2Settings(**options))


def test_models_that_cannot_be_seen_into_are_refused(keras: Any, data: TrainingData) -> None:
    layers = keras.layers

    class Own(keras.Model):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(SourceError, match="subclassed Keras 2 model .Own."):
        compress(Own(), Keras2Settings(sparsity=0.5))
    inner = keras.Sequential([layers.Input((8, 8, 1)), layers.Flatten()], name="inner")
    with pytest.raises(SourceError, match="nothing to prune"):
        compress(inner, Keras2Settings(sparsity=0.5))
    image = layers.Input((8, 8, 1))
    twice = keras.Model(image, layers.add([inner(image), inner(image)]))
    with pytest.raises(SourceError, match=r"inner .*called once\); add --skip inner"):
        check_quantized(twice, Keras2Settings(quantize=True))


@pytest.mark.parametrize("skip", ["inner", "Sequential", "inner/gru"])
def test_what_is_in_a_skipped_model_is_not_quantized(keras: Any, skip: str) -> None:
    layers = keras.layers
    inner = keras.Sequential([layers.Input((6, 4)), layers.GRU(4, name="gru")], name="inner")
    given = layers.Input((6, 4))
    made = keras.Model(given, layers.Dense(2)(inner(given)))
    with pytest.raises(SourceError, match="gru"):
        check_quantized(made, Keras2Settings(quantize=True))
    check_quantized(made, Keras2Settings(quantize=True, skip=(skip,)))


def test_a_refusal_of_quantization_comes_before_the_training_of_other_stages(keras: Any) -> None:
    layers = keras.layers
    made = keras.Sequential([layers.Input((6, 4)), layers.GRU(4, name="gru"), layers.Dense(2)])

    def fit(trained: Any, projections: list[Any], *, stage: Stage) -> object:
        pytest.fail("trained")

    with pytest.raises(SourceError, match="gru .GRU.; add --skip GRU"):
        compress(made, Keras2Settings(sparsity=0.5, quantize=True), fit)


def test_what_tensorflow_says_while_it_trains_is_one_line(model: Any) -> None:
    def fit(trained: Any, projections: list[Any], *, stage: Stage) -> object:
        raise ValueError("in user code:\n    File x\n\n    ValueError: rank 3")

    with pytest.raises(ConversionError, match=r"stage 'prune'.*ValueError: rank 3\); add --skip"):
        compress(model, Keras2Settings(sparsity=0.5), fit)
