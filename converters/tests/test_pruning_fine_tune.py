"""Fine-tuning of small models of either Keras on real digits."""

import importlib
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import ConversionError, DataError, UsageError
from edgekit.tensors import TensorSpec
from edgekit_converters.pruning.training.data import TrainingData
from edgekit_converters.pruning.training.fine_tune import fine_tune
from edgekit_converters.pruning.training.settings import TrainingSettings
from edgekit_converters.tensorflow_setup import tensorflow

pytestmark = pytest.mark.slow

IMAGE = (TensorSpec(name="image", shape=(None, 8, 8, 1), dtype="float32"),)


@pytest.fixture(scope="module", params=["keras", "tf_keras"])
def keras(request: pytest.FixtureRequest) -> Any:
    tensorflow()
    return importlib.import_module(request.param)


@pytest.fixture(scope="module")
def keras3() -> Any:
    tensorflow()
    return importlib.import_module("keras")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    loaded = pytest.importorskip("sklearn.datasets").load_digits()
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(path, x=loaded.images[..., np.newaxis].astype(np.float32), y=loaded.target)
    return str(path)


@pytest.fixture(scope="module")
def data(digits: str) -> TrainingData:
    return TrainingData.open(digits, IMAGE, ["scale=1/16"])


def network(keras: Any, *, units: int = 10, activation: str | None = "softmax") -> Any:
    """With all that has a state of its own: batch statistics, dropout, augmentation."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.RandomTranslation(0.05, 0.05),
            layers.Conv2D(8, 3),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.1),
            layers.Dense(units, activation=activation),
        ]
    )


def classifier(keras: Any) -> Any:
    model = network(keras)
    optimizer = keras.optimizers.Adam(0.01)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def quiet(_: str) -> None:
    """Takes what is of no interest."""


class FirstZero:
    """Holds the first filter at zero, from some step on."""

    is_settled = True

    def __init__(self, start: int = 0) -> None:
        self._start = start
        self.steps: list[int] = []
        self.finished = 0

    def begin(self, model: Any, steps: int) -> None:
        self.kernel = next(layer for layer in model.layers if "conv" in layer.name).kernel
        self.is_settled = self._start == 0
        self.total = steps

    def after_batch(self, step: int) -> None:
        self.steps.append(step)
        if step >= self._start:
            self.is_settled = True
            held = self.kernel.numpy()
            held[..., 0] = 0
            self.kernel.assign(held)

    def finish(self) -> None:
        self.finished += 1

    def progress(self) -> str:
        return "held" if self.is_settled else "free"


class Poison:
    """Makes the loss NaN from the batch of this number on."""

    def __init__(self, keras: Any, model: Any, step: int) -> None:
        self.callback = keras.callbacks.Callback()
        self._left = step
        self._kernel = model.layers[-1].kernel
        self.callback.on_train_batch_begin = self._begins

    def _begins(self, batch: int, logs: Any = None) -> None:
        self._left -= 1
        if self._left < 0:
            self._kernel.assign(np.full(self._kernel.shape, np.nan))


def test_it_learns_and_tells_a_line_for_each_epoch(keras: Any, data: TrainingData) -> None:
    model, told, projection = classifier(keras), list[str](), FirstZero()
    before = model.optimizer
    settings = TrainingSettings(epochs=3)
    history = fine_tune(
        model, data, settings, keras=keras, projections=[projection], report=told.append
    )
    assert told[0].startswith("before: validation ")
    assert told[1].startswith("epoch 1/3: loss ")
    assert "accuracy" in told[1]
    assert "%, held, " in told[1]
    assert history.epochs[-1].validation["accuracy"] > 0.85
    assert projection.steps == list(range(1, projection.total + 1))
    assert projection.finished == 1
    assert not model.layers[-7 if len(model.layers) > 7 else -6].kernel.numpy()[..., 0].any()
    assert model.optimizer is before


def test_the_best_epoch_is_what_the_model_has_in_the_end(keras3: Any, data: TrainingData) -> None:
    model = classifier(keras3)
    history = fine_tune(model, data, TrainingSettings(epochs=2), keras=keras3, report=quiet)
    losses = [history.before.validation_loss, *(e.validation_loss for e in history.epochs)]
    assert history.best == int(np.argmin(losses))
    made = model.evaluate(data.samples(data.validation)[0], data.labels[data.validation], verbose=0)
    assert made[0] == pytest.approx(min(losses), rel=1e-4)


def test_only_epochs_at_the_full_sparsity_can_be_the_best(keras3: Any, data: TrainingData) -> None:
    model = classifier(keras3)
    late = FirstZero(start=2 * 41 + 1)  # 1294 samples are 41 batches
    settings = TrainingSettings(epochs=3, learning_rate=1e-9)  # so that the mask only harms
    history = fine_tune(model, data, settings, keras=keras3, projections=[late], report=quiet)
    assert [epoch.is_settled for epoch in history.epochs] == [False, False, True]
    assert history.best == 3


def test_words_about_a_settled_state_make_no_epoch_the_best(
    keras3: Any, data: TrainingData
) -> None:
    """As of quantization-aware training, which at last holds the ranges that it learned."""

    class Ranges(FirstZero):
        def begin(self, model: Any, steps: int) -> None:
            super().begin(model, steps)
            self.last = model.layers[-1].kernel

        def after_batch(self, step: int) -> None:
            super().after_batch(step)
            if step > 2 * 41:  # in the third epoch, and much worse
                self.last.assign(-self.last.numpy())

        def progress(self) -> str:
            return f"ranges {'held' if len(self.steps) > 2 * 41 else 'learned'}"

    model = classifier(keras3)
    held = Ranges()
    history = fine_tune(
        model, data, TrainingSettings(epochs=3), keras=keras3, projections=[held], report=quiet
    )
    assert [epoch.progress for epoch in history.epochs] == [
        ("ranges learned",),
        ("ranges learned",),
        ("ranges held",),
    ]
    assert history.best == 2


def test_it_stops_when_nothing_gets_better(keras3: Any, data: TrainingData) -> None:
    model = classifier(keras3)
    fine_tune(model, data, TrainingSettings(epochs=3), keras=keras3, report=quiet)
    kept = model.get_weights()
    settings = TrainingSettings(epochs=9, learning_rate=3.0, patience=2)
    history = fine_tune(model, data, settings, keras=keras3, report=quiet)
    assert history.best == 0
    assert history.stopped == (
        "stopped after epoch 2: 2 epochs without a lower validation loss; "
        "the weights are as they were before training"
    )
    assert all(map(np.array_equal, model.get_weights(), kept))


def test_a_loss_that_is_nan_from_the_start_leaves_the_model_alone(
    keras3: Any, data: TrainingData
) -> None:
    model = classifier(keras3)
    kept = model.get_weights()
    poison = Poison(keras3, model, 5).callback
    history = fine_tune(
        model, data, TrainingSettings(epochs=2), keras=keras3, callbacks=[poison], report=quiet
    )
    assert history.stopped == (
        "stopped in epoch 1: the loss is no longer a finite number; "
        "the weights are as they were before training; try a lower --learning-rate"
    )
    assert all(map(np.array_equal, model.get_weights(), kept))


def test_a_loss_that_becomes_nan_later_leaves_the_best_epoch(
    keras3: Any, data: TrainingData
) -> None:
    model = classifier(keras3)
    poison = Poison(keras3, model, 41 + 5).callback
    history = fine_tune(
        model, data, TrainingSettings(epochs=3), keras=keras3, callbacks=[poison], report=quiet
    )
    assert (history.best, len(history.epochs)) == (1, 1)
    assert "stopped in epoch 2" in history.stopped
    assert "epoch 1 is kept" in history.stopped
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_an_interrupted_training_resumes_as_if_nothing_had_happened(
    keras: Any, data: TrainingData, tmp_path: Path
) -> None:
    settings = TrainingSettings(epochs=3)
    whole = classifier(keras)
    fine_tune(whole, data, settings, keras=keras, projections=[FirstZero()], report=quiet)

    def run(model: Any, *, digest: str = "a", **options: Any) -> list[str]:
        told: list[str] = []
        fine_tune(
            model,
            data,
            settings,
            keras=keras,
            projections=[FirstZero()],
            checkpoint=tmp_path,
            digest=digest,
            report=told.append,
            **options,
        )
        return told

    stop = keras.callbacks.Callback()
    stop.on_train_batch_end = _interrupt_at(41 + 20)
    with pytest.raises(KeyboardInterrupt):
        run(classifier(keras), callbacks=[stop])
    resumed = classifier(keras)
    with pytest.raises(UsageError, match="holds the state of another job"):
        run(resumed, resume=True, digest="b")
    assert run(resumed, resume=True)[0] == "going on after epoch 1/3"
    assert all(map(np.array_equal, resumed.get_weights(), whole.get_weights()))


def _interrupt_at(count: int) -> Callable[..., None]:
    seen = []

    def ended(batch: int, logs: Any = None) -> None:
        seen.append(batch)
        if len(seen) == count:
            raise KeyboardInterrupt

    return ended


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import numpy as np
from pathlib import Path
import keras
from {module} import IMAGE, TrainingData, TrainingSettings, classifier, fine_tune
data = TrainingData.open({digits!r}, IMAGE, ["scale=1/16"])
model, count = classifier(keras), [0]
def ended(batch, logs=None):
    count[0] += 1
    if count[0] == {kill}:
        os.kill(os.getpid(), signal.SIGKILL)
dies = keras.callbacks.Callback()
dies.on_train_batch_end = ended
fine_tune(model, data, TrainingSettings(epochs=3), keras=keras, callbacks=[dies], report=print,
          checkpoint=Path({folder!r}), digest="a")
"""


def test_a_killed_training_resumes_as_if_nothing_had_happened(
    keras3: Any, digits: str, data: TrainingData, tmp_path: Path
) -> None:
    script = SCRIPT.format(
        tests=str(Path(__file__).parent),
        module=Path(__file__).stem,
        digits=digits,
        kill=2 * 41 + 7,
        folder=str(tmp_path / "state"),
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    assert "epoch 2/3" in done.stdout
    settings = TrainingSettings(epochs=3)
    resumed, whole = classifier(keras3), classifier(keras3)
    fine_tune(
        resumed,
        data,
        settings,
        keras=keras3,
        checkpoint=tmp_path / "state",
        digest="a",
        resume=True,
        report=quiet,
    )
    fine_tune(whole, data, settings, keras=keras3, report=quiet)
    assert all(map(np.array_equal, resumed.get_weights(), whole.get_weights()))


def test_a_finished_training_is_not_trained_again(
    keras3: Any, data: TrainingData, tmp_path: Path
) -> None:
    settings = TrainingSettings(epochs=1)
    options: dict[str, Any] = {"keras": keras3, "checkpoint": tmp_path}
    first, second = classifier(keras3), classifier(keras3)
    history = fine_tune(first, data, settings, report=quiet, **options)
    again = fine_tune(second, data, settings, report=quiet, resume=True, **options)
    assert again == history
    assert all(map(np.array_equal, second.get_weights(), first.get_weights()))


def test_data_larger_than_memory_gives_the_same_weights(
    keras3: Any, data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for bound in (1 << 30, 1000):
        monkeypatch.setattr(
            "edgekit_converters.pruning.training.fine_tune.memory_bound", lambda b=bound: b
        )
        model = classifier(keras3)
        fine_tune(model, data, TrainingSettings(epochs=1), keras=keras3, report=quiet)
        made.append(model.get_weights())
    assert all(map(np.array_equal, *made))


def test_a_sample_that_cannot_be_read_is_told_in_one_line(
    keras3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).random((200, 8, 8, 1)).astype(np.float32)
    x[120] = np.nan
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(200) % 10)
    data = TrainingData.open(str(tmp_path / "x.npz"), IMAGE)
    monkeypatch.setattr("edgekit_converters.pruning.training.fine_tune.memory_bound", lambda: 1000)
    with pytest.raises(DataError, match="x.npz: input 'image' has NaN"):
        fine_tune(classifier(keras3), data, TrainingSettings(epochs=1), keras=keras3, report=quiet)


def test_labels_beyond_the_classes_are_told(keras3: Any, data: TrainingData) -> None:
    model = network(keras3, units=5)
    settings = TrainingSettings(epochs=1, loss="sparse_categorical_crossentropy")
    with pytest.raises(DataError, match="go from 0 to 9, the model knows 5 classes"):
        fine_tune(model, data, settings, keras=keras3, report=quiet)


def test_a_frozen_model_is_refused(keras: Any, data: TrainingData) -> None:
    model = classifier(keras)
    model.trainable = False
    with pytest.raises(UsageError, match="m.keras: all of its layers are frozen"):
        fine_tune(
            model, data, TrainingSettings(epochs=1), keras=keras, report=quiet, name="m.keras"
        )


def test_gradients_in_16_bits_are_scaled(keras3: Any, data: TrainingData) -> None:
    layers = keras3.layers
    half = layers.Dense(8, "relu", dtype="mixed_float16")
    ends = layers.Dense(10, "softmax", dtype="float32")
    model = keras3.Sequential([layers.Input((8, 8, 1)), layers.Flatten(), half, ends])
    model.compile("adam", "sparse_categorical_crossentropy")
    seen: list[str] = []
    looking = keras3.callbacks.Callback()
    looking.on_train_begin = lambda _: seen.append(type(looking.model.optimizer).__name__)
    settings = TrainingSettings(epochs=1)
    fine_tune(model, data, settings, keras=keras3, report=quiet, callbacks=[looking])
    assert seen == ["LossScaleOptimizer"]


@pytest.mark.parametrize("metric", ["precision", "f1_score", "mean"])
def test_a_metric_that_does_not_fit_is_told_in_one_line(
    keras: Any, data: TrainingData, metric: str
) -> None:
    settings = TrainingSettings(epochs=1, metrics=(metric,))
    with pytest.raises(ConversionError, match=r"m.keras: .* cannot be computed .*; give others .*"):
        fine_tune(classifier(keras), data, settings, keras=keras, report=quiet, name="m.keras")


def test_an_optimizer_of_the_older_kind_trains_too(data: TrainingData) -> None:
    keras = pytest.importorskip("tf_keras")
    model = network(keras)
    model.compile(keras.optimizers.legacy.Adam(0.01), "sparse_categorical_crossentropy")
    history = fine_tune(model, data, TrainingSettings(epochs=2), keras=keras, report=quiet)
    assert history.best > 0


@pytest.mark.parametrize(
    ("loss", "activation"),
    [("categorical_crossentropy", None), ("sparse_categorical_crossentropy", "softmax")],
)
def test_a_teacher_is_learned_from(
    keras: Any, data: TrainingData, loss: str, activation: str | None
) -> None:
    teacher, student = classifier(keras), network(keras, activation=activation)
    student.set_weights([np.array(weight) for weight in student.get_weights()])
    fine_tune(teacher, data, TrainingSettings(epochs=2), keras=keras, report=quiet)
    settings = TrainingSettings(
        epochs=2, loss=loss, optimizer="adam", learning_rate=0.01, alpha=1.0
    )  # nothing but the teacher: labels would hide an error in its part
    fine_tune(student, data, settings, keras=keras, teacher=teacher, report=quiet)
    samples = data.samples(data.validation)[0]
    same = np.argmax(student.predict(samples, verbose=0), 1) == np.argmax(
        teacher.predict(samples, verbose=0), 1
    )
    assert same.mean() > 0.8


def test_a_teacher_of_other_classes_is_refused(keras3: Any, data: TrainingData) -> None:
    with pytest.raises(
        UsageError, match=r"--teacher: gives \(5,\) for each sample, the model \(10"
    ):
        fine_tune(
            classifier(keras3),
            data,
            TrainingSettings(epochs=1),
            keras=keras3,
            teacher=network(keras3, units=5),
            report=quiet,
        )


def two_inputs(keras: Any, folder: Path) -> tuple[Any, TrainingData]:
    keras.utils.set_random_seed(3)
    layers, random = keras.layers, np.random.default_rng(0)
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    model = keras.Model({"a": a, "b": b}, layers.Dense(1)(layers.Concatenate()([a, b])))
    model.compile(keras.optimizers.Adam(0.1), "mse")
    x, y = random.random((200, 3)), random.random((200, 2))
    np.savez(folder / "two.npz", a=x, b=y, y=x[:, 0] - y[:, 1])
    specs = [TensorSpec("a", (None, 3), "float32"), TensorSpec("b", (None, 2), "float32")]
    return model, TrainingData.open(str(folder / "two.npz"), specs)


def test_inputs_are_given_by_name_and_numbers_are_learned(keras: Any, tmp_path: Path) -> None:
    model, data = two_inputs(keras, tmp_path)
    history = fine_tune(model, data, TrainingSettings(epochs=12), keras=keras, report=quiet)
    assert history.epochs[-1].validation_loss < 0.02


def test_numbers_are_learned_from_a_teacher(keras3: Any, tmp_path: Path) -> None:
    teacher, data = two_inputs(keras3, tmp_path)
    fine_tune(teacher, data, TrainingSettings(epochs=6), keras=keras3, report=quiet)
    student, _ = two_inputs(keras3, tmp_path)
    settings = TrainingSettings(epochs=12, alpha=1.0)
    fine_tune(student, data, settings, keras=keras3, teacher=teacher, report=quiet)
    given = dict(zip("ab", data.samples(data.test), strict=True))
    gap = student.predict(given, verbose=0) - teacher.predict(given, verbose=0)
    assert np.abs(gap).mean() < 0.15


def test_one_of_two_outputs_is_trained(keras3: Any, data: TrainingData) -> None:
    layers = keras3.layers
    x = keras3.Input((8, 8, 1))
    flat = layers.Flatten()(x)
    heads = [layers.Dense(2, name="other")(flat), layers.Dense(10, "softmax", name="digit")(flat)]
    model = keras3.Model(x, heads)
    model.compile("adam", {"other": None, "digit": "sparse_categorical_crossentropy"})
    other = model.get_layer("other").get_weights()[0]
    history = fine_tune(model, data, TrainingSettings(epochs=1), keras=keras3, report=quiet)
    assert history.best == 1
    assert np.array_equal(model.get_layer("other").get_weights()[0], other)
