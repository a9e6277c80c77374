"""Loss, optimizer and metrics: as the model was compiled, or by name, for either Keras."""

import importlib
from typing import Any

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit_converters.pruning.training.compiled import ending, goal, optimizer
from edgekit_converters.pruning.training.settings import TrainingSettings
from edgekit_converters.tensorflow_setup import tensorflow

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["keras", "tf_keras"])
def keras(request: pytest.FixtureRequest) -> Any:
    tensorflow()
    return importlib.import_module(request.param)


@pytest.fixture(scope="module")
def keras3() -> Any:
    tensorflow()
    return importlib.import_module("keras")


def classifier(keras: Any, activation: str | None = "softmax", units: int = 3) -> Any:
    layers = keras.layers
    return keras.Sequential([layers.Input((4,)), layers.Dense(units, activation=activation)])


def settings(**given: Any) -> TrainingSettings:
    return TrainingSettings(**given)


def test_a_model_that_is_not_compiled_needs_a_loss(keras: Any) -> None:
    with pytest.raises(UsageError, match=r"small.keras: is not compiled, .* give --loss, e.g."):
        goal(classifier(keras), settings(), keras, name="small.keras")


def test_loss_and_metrics_are_those_the_model_was_compiled_with(keras: Any) -> None:
    model = classifier(keras, None)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    model.compile("adam", loss, metrics=[keras.metrics.TopKCategoricalAccuracy(2, name="top2")])
    found = goal(model, settings(), keras)
    assert (found.family, found.from_logits) == ("categorical", True)
    assert found.loss.get_config()["label_smoothing"] == 0.1
    assert [metric.name for metric in found.metrics] == ["top2"]


@pytest.mark.parametrize(("activation", "logits"), [("softmax", False), (None, True)])
def test_a_loss_by_name_looks_at_the_end_of_the_model(
    keras: Any, activation: str | None, logits: bool
) -> None:
    named = settings(loss="sparse_categorical_crossentropy")
    found = goal(classifier(keras, activation), named, keras)
    assert found.from_logits is logits
    assert found.loss.get_config()["from_logits"] is logits
    assert found.notes[0].startswith(f"loss: sparse_categorical_crossentropy, from_logits={logits}")
    assert found.metrics == ("accuracy",)


def test_a_loss_is_known_however_it_is_spelled(keras: Any) -> None:
    found = goal(classifier(keras), settings(loss="SparseCategoricalCrossentropy"), keras)
    assert found.family == "sparse"
    assert goal(classifier(keras), settings(loss="mse"), keras).family == "values"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"loss": "sparse_crossentropy"}, "--loss .*did you mean .*sparse_categorical_crossent"),
        ({"loss": "mse", "metrics": ("acuracy",)}, "--metric acuracy: .*did you mean accuracy"),
    ],
)
def test_unknown_names_are_told_with_those_that_are_near(
    keras: Any, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        goal(classifier(keras), settings(**given), keras)


def test_what_needs_settings_is_not_called_unknown(keras3: Any) -> None:
    model = classifier(keras3)
    given = settings(loss="sparse_categorical_crossentropy", metrics=("mean_io_u",))
    with pytest.raises(UsageError, match="--metric mean_io_u: needs settings; compile the model"):
        goal(model, given, keras3)
    with pytest.raises(UsageError, match="--optimizer loss_scale_optimizer: needs settings"):
        optimizer(model, settings(optimizer="loss_scale_optimizer"), 10, keras3)


def test_an_unknown_optimizer_is_told_with_those_that_are_near(keras: Any) -> None:
    with pytest.raises(UsageError, match="--optimizer adan: .*did you mean adam"):
        optimizer(classifier(keras), settings(optimizer="adan"), 10, keras)


def test_the_optimizer_keeps_its_settings_and_its_rate_falls_to_zero(keras: Any) -> None:
    model = classifier(keras)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.8), "mse")
    made, notes = optimizer(model, settings(), 100, keras)
    assert (type(made).__name__, made.momentum, notes) == ("SGD", 0.8, ())
    schedule = made._learning_rate
    rates = [float(schedule(step)) for step in (0, 50, 100)]
    assert rates == pytest.approx([0.05, 0.025, 0], abs=1e-6)


def test_of_a_schedule_the_first_rate_is_taken(keras: Any) -> None:
    model = classifier(keras)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.02, 10, 0.5)
    model.compile(keras.optimizers.Adam(schedule), "mse")
    made, _ = optimizer(model, settings(), 100, keras)
    assert float(made._learning_rate(0)) == pytest.approx(0.02)


def test_what_its_user_wrote_is_taken_as_it_is(keras: Any) -> None:
    class Smooth(keras.losses.SparseCategoricalCrossentropy):  # type: ignore[misc]
        pass

    class Right(keras.metrics.SparseCategoricalAccuracy):  # type: ignore[misc]
        pass

    class Warm(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> Any:
            tf = tensorflow()
            return 0.01 * tf.minimum(1.0, tf.cast(step, tf.float32) / 64)

        def get_config(self) -> dict[str, Any]:
            return {}

    def far(labels: Any, given: Any) -> Any:
        return (labels - given) ** 2

    scope = {kind.__name__: kind for kind in (Smooth, Right, Warm, far)}
    with keras.utils.custom_object_scope(scope):
        model = classifier(keras)
        model.compile(keras.optimizers.SGD(Warm()), Smooth(), metrics=[Right()])
        found = goal(model, settings(), keras)
        assert (type(found.loss), found.family) == (Smooth, "sparse")
        assert [type(metric) for metric in found.metrics] == [Right]
        made, notes = optimizer(model, settings(), 10, keras)
        assert float(made.get_config()["learning_rate"]["config"]["initial_learning_rate"]) == (
            pytest.approx(0.01)
        )
        assert notes == ()
        model.compile("sgd", far)
        found = goal(model, settings(), keras)
        assert (found.loss, found.family) == (far, "own")


def test_a_rate_that_is_given_wins(keras: Any) -> None:
    model = classifier(keras)
    model.compile("adam", "mse")
    made, _ = optimizer(model, settings(learning_rate=0.5, optimizer="rmsprop"), 100, keras)
    assert type(made).__name__ == "RMSprop"
    assert float(made._learning_rate(0)) == pytest.approx(0.5)


def two_heads(keras: Any) -> Any:
    layers = keras.layers
    x = keras.Input((4,))
    return keras.Model(x, [layers.Dense(2, name="one")(x), layers.Dense(3, name="two")(x)])


def test_two_outputs_are_too_many_unless_the_loss_names_one(keras: Any) -> None:
    model = two_heads(keras)
    model.compile("adam", "mse")
    with pytest.raises(UsageError, match=r"m.keras: has 2 outputs \(one, two\)"):
        goal(model, settings(), keras, name="m.keras")


def test_the_output_that_the_loss_names_is_trained(keras3: Any) -> None:
    model = two_heads(keras3)
    model.compile("adam", {"one": None, "two": "mse"}, metrics={"two": ["mae"]})
    found = goal(model, settings(), keras3)
    assert (found.output, found.family, found.metrics) == (1, "values", ("mae",))


@pytest.mark.parametrize("name", ["softmax", "sigmoid"])
def test_what_a_model_ends_with_is_found_behind_other_layers(keras: Any, name: str) -> None:
    layers = keras.layers
    last = [layers.Dense(4), layers.Activation(name), layers.Reshape((2, 2)), layers.Flatten()]
    inner = keras.Sequential([layers.Input((4,)), *last])
    x = keras.Input((4,))
    assert ending(keras.Model(x, inner(x))) == name


def test_a_model_that_ends_with_numbers_ends_with_neither(keras: Any) -> None:
    assert ending(classifier(keras, "relu")) == "other"
    assert ending(classifier(keras, None)) == "other"


def test_a_score_without_a_sigmoid_is_right_above_zero(keras3: Any) -> None:
    model = classifier(keras3, None, units=1)
    (metric,) = goal(model, settings(loss="binary_crossentropy"), keras3).metrics
    metric.update_state([[1.0], [0.0]], [[0.2], [-3.0]])
    assert float(metric.result()) == 1.0


def test_a_model_that_does_not_tell_its_end_is_looked_at(keras3: Any) -> None:
    class Silent(keras3.Model):  # type: ignore[misc]
        """Subclassed: its last layer is known to its code alone."""

    named = settings(loss="categorical_crossentropy")
    shares, scores = np.array([[0.3, 0.7]]), np.array([[-1.0, 2.0]])
    assert goal(Silent(), named, keras3, seen=shares).from_logits is False
    assert goal(Silent(), named, keras3, seen=scores).from_logits is True


@pytest.mark.parametrize(
    ("activation", "units", "loss"),
    [
        (None, 1, "mse"),
        ("sigmoid", 1, "binary_crossentropy"),
        ("softmax", 3, "sparse_categorical_crossentropy"),
    ],
)
def test_the_loss_that_is_offered_suits_the_output(
    keras: Any, activation: str | None, units: int, loss: str
) -> None:
    with pytest.raises(UsageError, match=f"give --loss, e.g. {loss}, or the code"):
        goal(classifier(keras, activation, units), settings(), keras)
