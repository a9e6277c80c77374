import inspect
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit import pruning
from edgekit.errors import UsageError
from edgekit.prune_options import WORDS, from_words


def test_words_are_the_options_of_the_command() -> None:
    request = from_words("macs=50% epochs=3 data='my train.npz' learning-rate=1e-4", "a.keras")
    assert (request.target_text, request.epochs, request.data) == ("macs 50%", 3, "my train.npz")
    assert request.learning_rate == 1e-4


def test_dashes_may_be_left_on() -> None:
    assert from_words("--macs=50% --multiple-of=4", "a.keras").multiple_of == 4


def test_flags_need_no_value() -> None:
    request = from_words("qat teacher data=t.npz", "a.keras")
    assert request.qat
    assert request.teacher == "original"


def test_a_flag_may_be_denied() -> None:
    assert not from_words("macs=0.5 qat=no", "a.keras").qat


def test_an_unknown_word_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match="--prune mcas=50%: no option of prune; there are: batch-"):
        from_words("mcas=50%", "a.keras")


def test_a_word_without_its_value_says_how_to_write_it() -> None:
    with pytest.raises(UsageError, match="--prune macs: has no value; write macs=VALUE"):
        from_words("macs", "a.keras")


def test_a_word_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="--prune macs=20%: macs is given twice"):
        from_words("macs=50% macs=20%", "a.keras")


def test_an_open_quotation_mark_is_told() -> None:
    with pytest.raises(UsageError, match="no closing quotation; close the quotation marks"):
        from_words("data='a.npz", "a.keras")


def test_what_the_conversion_was_given_holds_unless_the_words_say_otherwise() -> None:
    request = from_words("macs=0.5 data=t.npz preprocess=none", "a.keras", preprocess="scale=1/255")
    assert request.preprocess == ("none",)
    request = from_words("macs=0.5 data=t.npz", "a.keras", preprocess="scale=1/255")
    assert request.preprocess == ("scale=1/255",)


def test_the_preprocessing_of_a_conversion_is_no_error_without_data() -> None:
    assert from_words("macs=0.5", "a.keras", preprocess="scale=1/255").preprocess == ()


def test_every_option_of_the_python_function_can_be_a_word() -> None:
    elsewhere = {"source", "out", "custom_objects", "trust_model", "force", "limits"}
    assert set(inspect.signature(pruning.prune).parameters) - elsewhere == WORDS


def test_the_python_function_checks_before_it_looks_for_a_pruner() -> None:
    with pytest.raises(UsageError, match="nothing to do"):
        pruning.prune("a.keras")


@pytest.mark.parametrize("number", ["inf", "-inf", "nan", "1e999"])
@pytest.mark.parametrize("option", ["epochs", "multiple-of", "batch-size", "cluster"])
def test_what_is_not_finite_is_no_whole_number(option: str, number: str) -> None:
    with pytest.raises(UsageError, match=f"--{option} {number}: not a whole number; give one"):
        from_words(f"macs=50% {option}={number}", "a.keras")


def test_a_count_that_no_integer_of_numpy_holds_is_refused() -> None:
    with pytest.raises(UsageError, match="--epochs 1e30: beyond what can be counted"):
        from_words("macs=50% data=t.npz epochs=1e30", "a.keras")


def test_values_that_are_infinite_numbers_are_refused_too() -> None:
    with pytest.raises(UsageError, match="--batch-size inf: not a whole number"):
        pruning.prune("a.keras", macs=0.5, batch_size=float("inf"))  # type: ignore[arg-type]


ARRAY = np.zeros((4, 2))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"data": (ARRAY, ARRAY)},
            "data: is of type tuple, not the name of data; save arrays with numpy.s",
        ),
        (
            {"data": "t.npz", "test": ARRAY},
            'test: is of type ndarray, .*, x=x, y=y. and give "test.npz"',
        ),
        (
            {"data": "t.npz", "teacher": 5},
            "teacher: is of type int, not a path; give that of a file; model.save",
        ),
        ({"custom_objects": 5}, "custom_objects: is of type int, not a path; give the .py file"),
        ({"out": 5}, "out: is of type int, not a path; give the file to make"),
        ({"skip": 5}, "skip: 5 is no text; give one, or a list of them"),
        ({"skip": ["a", 5]}, "skip: .* is no text"),
    ],
)
def test_what_python_gives_and_has_no_name_is_refused_with_what_to_do(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        pruning.prune("a.keras", sparsity=0.5, **given)


def test_arrays_are_refused_alike_wherever_data_are_named() -> None:
    with pytest.raises(UsageError, match="calibrate: is of type ndarray, not the name of data"):
        edgekit.convert("a.keras", quantize="int8", calibrate=ARRAY)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="data: is of type ndarray, not the name of data"):
        edgekit.evaluate("a.tflite", data=ARRAY)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="input: is of type ndarray, not the name of data"):
        edgekit.bench("a.tflite", input=ARRAY)  # type: ignore[arg-type]
