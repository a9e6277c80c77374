from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.artifact import Conversion
from edgekit.errors import ConversionError, UsageError

pytestmark = pytest.mark.slow

Make = Callable[..., Conversion]


def shapes(made: Conversion) -> dict[str, tuple[int | None, ...]]:
    assert made.failures == ()
    assert made.artifacts[0].verification.status == "passed"
    return {spec.name: spec.shape for spec in made.artifacts[0].inputs}


@pytest.mark.parametrize(
    ("batch", "size"), [(None, 1), (1, 1), (4, 4), (0, None)], ids=["own", "1", "4", "dynamic"]
)
@pytest.mark.parametrize("format_", ["tflite", "onnx"])
def test_the_batch_is_what_was_asked_for(
    make: Make, format_: str, batch: int | None, size: int | None
) -> None:
    assert shapes(make("mlp.keras", to=(format_,), batch=batch)) == {"row": (size, 8)}


def test_a_fixed_batch_of_the_model_is_kept(make: Make) -> None:
    assert shapes(make("stateful.keras"))["series"] == (1, 5, 4)


@pytest.mark.parametrize("batch", [4, 0])
def test_another_batch_than_the_models_own_is_refused(make: Make, batch: int) -> None:
    with pytest.raises(UsageError, match=r"was built for a batch of 1; leave --batch out"):
        make("stateful.keras", batch=batch)


@pytest.mark.parametrize("shape", [(1, 10, 4), (10, 4)])
def test_free_dimensions_are_fixed_with_or_without_the_batch(
    make: Make, shape: tuple[int, ...]
) -> None:
    assert shapes(make("free.keras", shapes={"series": shape})) == {"series": (1, 10, 4)}


def test_a_dimension_may_stay_free_on_purpose(make: Make) -> None:
    made = make("free.keras", to=("onnx",), shapes={"series": (1, None, 4)})
    assert shapes(made) == {"series": (1, None, 4)}


@pytest.mark.parametrize("shape", [(1, 10, 5), (1, 10), (1, 1, 10, 4)])
def test_a_shape_that_contradicts_the_model_is_refused(make: Make, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"--input-shape series=.*the model takes \?,\?,4"):
        make("free.keras", shapes={"series": shape})


def test_a_shape_for_an_unknown_input_names_those_there_are(make: Make) -> None:
    with pytest.raises(
        UsageError, match=r"--input-shape image: no such input.*has: age, kind, zoom"
    ):
        make("several.keras", shapes={"image": (1, 2)})


def test_a_shape_that_is_too_short_for_the_layers_is_refused(make: Make) -> None:
    with pytest.raises(ConversionError, match="cannot be called with series 1,2,4"):
        make("free.keras", data=None, shapes={"series": (1, 2, 4)})


def test_stateful_models_of_keras_2_have_their_state_outside(make: Make) -> None:
    made = make("stateful2.h5", to=("tflite", "onnx"))
    assert [a.verification.status for a in made.artifacts] == ["passed", "passed"]
    for artifact in made.artifacts:
        assert {spec.name for spec in artifact.inputs} == {"series", "state_0", "state_1"}
        assert {spec.name for spec in artifact.outputs} >= {"state_0_next", "state_1_next"}


def test_a_savedmodel_keeps_names_and_weights(make: Make) -> None:
    made = make("several.keras", to=("savedmodel",))
    assert sorted(shapes(made)) == ["age", "kind", "zoom"]
    folder = Path(made.artifacts[0].path)
    assert {path.name for path in folder.iterdir()} >= {"saved_model.pb", "variables"}


def test_a_savedmodel_that_was_made_can_be_converted_again(make: Make, zoo: Path) -> None:
    folder = make("mlp.keras", to=("savedmodel",)).artifacts[0].path
    again = make(str(folder), data=str(zoo / "mlp.npz"), to=("tflite", "onnx"))
    assert [a.verification.status for a in again.artifacts] == ["passed", "passed"]
