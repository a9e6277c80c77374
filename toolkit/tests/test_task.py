import numpy as np
import pytest

from edgekit.errors import DataError, UsageError
from edgekit.task import class_numbers, decide, match_classes

SCORES = np.zeros((4, 3), np.float32)
ONE = np.zeros((4, 1), np.float32)


def test_class_numbers_and_a_score_for_each_class_are_classification() -> None:
    assert decide(None, np.array([0, 2, 1, 1]), SCORES) == "classes"


def test_class_numbers_stored_as_floats_are_class_numbers() -> None:
    assert decide(None, np.array([0.0, 2.0, 1.0, 1.0]), SCORES) == "classes"


def test_one_hot_labels_are_classification() -> None:
    labels = np.eye(3)[[0, 2, 1, 1]]
    assert decide(None, labels, SCORES) == "classes"
    assert class_numbers(labels, 3, None).tolist() == [0, 2, 1, 1]


def test_zeros_and_ones_with_one_score_are_binary() -> None:
    assert decide(None, np.array([0, 1, 1, 0]), ONE) == "binary"
    assert decide(None, np.array([0, 1, 1, 0]), ONE[:, 0]) == "binary"


def test_other_whole_numbers_with_one_score_are_values() -> None:
    assert decide(None, np.array([31, 7, 5, 64]), ONE) == "values"


def test_fractions_are_values() -> None:
    assert decide(None, np.array([[0.5, 1.0, 2.0]] * 4), SCORES) == "values"


def test_a_model_that_gives_the_class_itself_is_classification() -> None:
    assert decide(None, np.array([0, 2, 1, 1]), np.zeros(4, np.int64)) == "decisions"


def test_what_was_asked_for_is_done() -> None:
    assert decide("regression", np.array([0, 1, 1, 0]), ONE) == "values"
    assert decide("classification", np.array([0, 1, 1, 0]), ONE) == "binary"


def test_classification_of_an_image_is_refused() -> None:
    with pytest.raises(UsageError, match="not one score for each class"):
        decide("classification", np.array([0, 1, 1, 0]), np.zeros((4, 8, 8, 3)))


def test_several_classes_at_once_are_refused() -> None:
    with pytest.raises(DataError, match="several classes at once"):
        decide(None, np.array([[1, 1, 0]] * 4), SCORES)


def test_without_labels_the_output_decides() -> None:
    assert decide(None, None, SCORES) == "classes"
    assert decide(None, None, ONE) == "values"


def test_classes_counted_from_one_are_refused_with_a_hint() -> None:
    with pytest.raises(DataError, match="count classes from 0"):
        class_numbers(np.array([1, 2, 3]), 3, None)


@pytest.mark.parametrize("labels", [[-1, 0], [0, 7], [0.5, 1.0]])
def test_labels_that_are_no_class_are_refused(labels: list[float]) -> None:
    with pytest.raises(DataError):
        class_numbers(np.array(labels), 3, None)


def test_classes_are_matched_by_name() -> None:
    order = match_classes(("Bag", "Coat"), ("coat", "shirt", "bag"))
    assert order == [2, 0]
    assert class_numbers(np.array([0, 1, 1]), 3, order).tolist() == [2, 0, 0]


def test_case_and_punctuation_of_names_do_not_matter() -> None:
    assert match_classes(("T-shirt-top", "Ankle_boot"), ("ankle boot", "t-shirt/top")) == [1, 0]


def test_names_that_have_nothing_in_common_do_not_help() -> None:
    assert match_classes(("0", "1"), ("coat", "bag")) is None
    assert match_classes(None, ("coat", "bag")) is None


def test_a_class_that_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(DataError, match="no class 'hat'"):
        match_classes(("bag", "hat"), ("coat", "bag"))
