"""The callback in real trainings."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit_converters.pruning.callback import pruning_callback
from edgekit_converters.tensorflow_setup import tensorflow

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def keras() -> Any:
    tensorflow()
    return importlib.import_module("keras")


def compiled(keras: Any, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((8,)), layers.Dense(32, activation="relu"), layers.Dense(4)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], **options)
    return model


def samples() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    classes = random.integers(0, 4, 320)
    return random.normal(classes.reshape(-1, 1), size=(320, 8)), classes


def zeros(model: Any) -> float:
    kernels = [layer.kernel.numpy() for layer in model.layers]
    return float(sum((k == 0).sum() for k in kernels) / sum(k.size for k in kernels))


def fit(model: Any, callback: Any, **options: Any) -> Any:
    options = {"epochs": 4, "verbose": 0, "batch_size": 32, **options}
    return model.fit(*samples(), callbacks=[callback], **options)


def test_the_sparsity_of_each_epoch_is_in_the_history(keras: Any) -> None:
    model = compiled(keras)
    history = fit(model, pruning_callback(0.8), validation_split=0.1).history
    assert history["sparsity"] == sorted(history["sparsity"])
    assert history["sparsity"][-1] == zeros(model) == pytest.approx(0.8, abs=0.002)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # Keras on NumPy 2, saving
def test_what_is_saved_is_an_ordinary_model(keras: Any, tmp_path: Path) -> None:
    model = compiled(keras)
    fit(model, pruning_callback(0.8))
    model.save(tmp_path / "pruned.keras")
    script = "import sys, keras; print(len(keras.saving.load_model(sys.argv[1]).layers))"
    command = [sys.executable, "-c", script, str(tmp_path / "pruned.keras")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.stdout == "2\n", done.stderr[-2000:]


def test_epochs_tell_where_it_begins_and_ends(keras: Any) -> None:
    callback = pruning_callback("50%", begin_epoch=1, end_epoch=2.5)
    history = fit(compiled(keras), callback).history["sparsity"]
    assert history[0] == 0.0
    assert 0 < history[1] < 0.5
    assert history[2:] == pytest.approx([0.5, 0.5], abs=0.002)


def test_a_second_fit_goes_on_where_the_first_ended(keras: Any) -> None:
    model, callback = compiled(keras), pruning_callback(0.8, end_epoch=4)
    with pytest.warns(UserWarning, match="before 80.0% was reached"):
        first = fit(model, callback, epochs=2).history["sparsity"]
    second = fit(model, callback, epochs=4, initial_epoch=2).history["sparsity"]
    whole = fit(compiled(keras), pruning_callback(0.8, end_epoch=4)).history["sparsity"]
    assert first + second == pytest.approx(whole, abs=0.002)


def test_a_new_callback_goes_on_at_the_initial_epoch(keras: Any) -> None:
    model = compiled(keras)
    with pytest.warns(UserWarning, match="before 80.0% was reached"):
        fit(model, pruning_callback(0.8, end_epoch=4), epochs=2)
    second = pruning_callback(0.8, end_epoch=4)
    history = fit(model, second, epochs=4, initial_epoch=2).history["sparsity"]
    assert history[-1] == zeros(model) == pytest.approx(0.8, abs=0.002)


@pytest.mark.parametrize("options", [{"steps_per_execution": 3}, {"jit_compile": True}])
def test_several_batches_a_call_and_compiled_steps_hold_as_well(
    keras: Any, options: dict[str, Any]
) -> None:
    model = compiled(keras, **options)
    fit(model, pruning_callback(0.8))
    assert zeros(model) == pytest.approx(0.8, abs=0.002)


def test_weights_averaged_by_the_optimizer_are_sparse_in_the_end(keras: Any) -> None:
    model = compiled(keras)
    model.compile(keras.optimizers.Adam(use_ema=True), model.loss)
    fit(model, pruning_callback(0.8))
    assert zeros(model) == pytest.approx(0.8, abs=0.002)


def test_n_of_m_is_there_from_the_first_batch(keras: Any) -> None:
    assert fit(compiled(keras), pruning_callback(method="2:4")).history["sparsity"] == [0.5] * 4


@pytest.mark.filterwarnings("ignore:`build:UserWarning")  # Keras, of the layer never called
@pytest.mark.parametrize("kind", ["sequential", "subclassed"])
def test_a_model_that_its_first_batch_builds_is_pruned_from_there_on(keras: Any, kind: str) -> None:
    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = layers.Dense(32, activation="relu"), layers.Dense(4)
            self.never = layers.Conv2D(4, 3)  # built by nothing

        def call(self, inputs: Any) -> Any:
            return self.second(self.first(inputs))

    layers = keras.layers
    model = Own() if kind == "subclassed" else keras.Sequential([layers.Dense(32), layers.Dense(4)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert not model.built
    history = fit(model, pruning_callback(0.8)).history["sparsity"]
    made = [layer.kernel.numpy() for layer in model.layers if layer.built]
    assert sum((one == 0).sum() for one in made) / sum(one.size for one in made) == history[-1]
    expected = fit(compiled(keras), pruning_callback(0.8)).history["sparsity"]
    assert history == pytest.approx(expected, abs=0.002)


def test_data_of_unknown_length_need_steps(keras: Any) -> None:
    def endless() -> Any:
        while True:
            yield samples()

    with pytest.raises(UsageError, match="give steps_per_epoch to fit, or begin_step and end_step"):
        compiled(keras).fit(endless(), callbacks=[pruning_callback()], verbose=0, shuffle=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sparsity": 1.0}, "sparsity 1.*: leaves nothing; give a share below 100 %"),
        ({"method": "5x"}, "method 5x: not known; there are: unstructured, N:M"),
        ({"schedule": "cubic"}, "schedule 'cubic'"),
        ({"begin_epoch": 1, "begin_step": 3}, "begin_epoch and begin_step: say the same"),
        ({"end_epoch": -1}, "end_epoch -1: must be 0 or more; give another"),
        ({"begin_epoch": float("nan")}, "begin_epoch nan: must be 0 or more; give another"),
        ({"begin_epoch": 3, "end_epoch": 1}, "end_epoch 1: comes before begin_epoch 3"),
        ({"end_epoch": float("inf")}, "end_epoch inf: must be 0 or more; give another"),
        ({"frequency": 0}, "frequency 0"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_the_training(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        pruning_callback(**options)


def test_a_layer_to_skip_that_is_not_there_is_refused(keras: Any) -> None:
    with pytest.raises(UsageError, match="skip nowhere: "):
        fit(compiled(keras), pruning_callback(skip=["nowhere"]))
