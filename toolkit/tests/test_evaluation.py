import numpy as np
import pytest

from edgekit.evaluation import Decided, Share, numeric_against, numeric_scores

RNG = np.random.default_rng(0)


def test_ranks_become_top_1_and_top_k() -> None:
    kept = {"predicted": np.array([4, 1, 2, 0]), "rank": np.array([0, 1, 2, 5])}
    scores = Decided.of(kept, threshold=0.5, k=3).scores()
    assert scores["accuracy"] == Share(count=1, samples=4)
    assert scores["top_k"] == Share(count=3, samples=4)


def test_one_score_says_yes_above_the_threshold() -> None:
    kept = {"score": np.array([0.2, 0.9, 0.5]), "label": np.array([0, 1, 1])}
    decided = Decided.of(kept, threshold=0.5, k=None)
    assert decided.predicted.tolist() == [0, 1, 0]
    assert decided.scores()["accuracy"] == Share(count=2, samples=3)


def test_changes_and_differences_are_counted_sample_by_sample() -> None:
    first = Decided(predicted=np.array([0, 1, 2, 2]), right=np.array([True, True, False, True]))
    second = Decided(predicted=np.array([0, 2, 2, 1]), right=np.array([True, False, False, True]))
    against = second.against(first)
    assert against.changed == Share(count=2, samples=4)
    assert (against.only_first_right, against.only_this_right) == (1, 0)
    assert against.p_value == 1.0
    assert against.is_significant is False


def test_without_labels_only_changes_are_counted() -> None:
    first, second = (Decided(predicted=np.array(p)) for p in ([0, 1], [0, 0]))
    against = second.against(first)
    assert against.changed == Share(count=1, samples=2)
    assert against.is_significant is None


def test_errors_have_intervals_around_them() -> None:
    error = RNG.normal(0, 2, size=500)
    scores = numeric_scores({"absolute": np.abs(error), "squared": error**2})
    mae, rmse = scores["mae"], scores["rmse"]
    assert mae is not None
    assert rmse is not None
    assert mae.value == pytest.approx(np.abs(error).mean())
    assert rmse.value == pytest.approx(np.sqrt((error**2).mean()))
    assert mae.interval.low < mae.value < mae.interval.high < 2
    assert rmse.interval.low < 2 < rmse.interval.high


def test_a_small_but_steady_loss_is_significant() -> None:
    first = np.abs(RNG.normal(0, 2, size=500))
    kept = {
        "absolute": first + np.abs(RNG.normal(0.02, 0.01, size=500)),
        "gap": np.full(500, 0.01),
        "size": np.ones(500),
    }
    against = numeric_against(kept, {"absolute": first})
    assert against.is_significant
    assert against.relative_difference == pytest.approx(0.1)


def test_an_unchanged_regression_shows_no_difference() -> None:
    same = {"absolute": np.ones(9), "gap": np.zeros(9), "size": np.zeros(9)}
    against = numeric_against(same, same)
    assert against.relative_difference == 0.0
    assert against.is_significant is False


def test_a_difference_by_rounding_alone_is_not_significant() -> None:
    first = {"absolute": np.ones(500)}
    kept = {
        "absolute": np.ones(500) + 1e-9,
        "gap": np.full(500, 1e-18),
        "size": np.ones(500),
    }
    assert numeric_against(kept, first).is_significant is False
