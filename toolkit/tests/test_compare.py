import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from edgekit.compare import Comparison, OutputComparison, compare

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(50, 10)).astype(np.float32)
SCORES -= SCORES.mean(axis=0)  # so that the RMS is that of the variation


def one(reference: NDArray[Any], output: NDArray[Any]) -> OutputComparison:
    return compare({"y": reference}, {"y": output}).outputs[0]


def test_equal_outputs_have_no_error() -> None:
    result = compare({"y": SCORES}, {"y": SCORES.copy()})
    assert (result.max_abs_error, result.relative_error, result.flips) == (0.0, 0.0, 0)
    assert result.cosine == pytest.approx(1.0)
    assert result.argmax_agreement == 1.0


def test_relative_error_is_rms_of_the_error_over_rms_of_the_variation() -> None:
    # the mean over the samples is 3.5, so the variation is 0.5 everywhere; the error is 1
    result = one(np.array([[3.0], [4.0]]), np.array([[4.0], [5.0]]))
    assert result.relative_error == pytest.approx(1 / 0.5)
    assert result.max_abs_error == 1.0


def test_an_output_that_hardly_varies_is_compared_with_a_tenth_of_its_size() -> None:
    reference = np.array([[100.0], [100.001]])
    assert one(reference, reference + 1.0).relative_error == pytest.approx(0.1, rel=1e-3)


def test_a_single_sample_is_compared_with_its_whole_size() -> None:
    # RMS(3, 4) = 3.5355; error 1 everywhere
    result = one(np.array([[3.0, 4.0]]), np.array([[4.0, 5.0]]))
    assert result.relative_error == pytest.approx(1 / np.sqrt(12.5))


def test_all_zero_outputs_have_a_relative_error_of_one() -> None:
    result = one(SCORES, np.zeros_like(SCORES))
    assert result.relative_error == pytest.approx(1.0)
    assert result.cosine == 0.0


def test_a_tiny_reference_is_compared_with_itself() -> None:
    assert one(SCORES * 1e-9, SCORES * 2e-9).relative_error == pytest.approx(1.0)


def test_a_zero_reference_is_compared_with_a_millionth() -> None:
    zeros = np.zeros((4, 3), np.float32)
    assert one(zeros, zeros).relative_error == 0.0
    assert one(zeros, zeros + 1e-9).relative_error == pytest.approx(1e-3)


@given(hnp.arrays(np.float32, (6, 4), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
@settings(deadline=None)
def test_any_finite_numbers_give_finite_metrics(values: NDArray[Any]) -> None:
    result = one(values, values[::-1])
    assert np.isfinite([result.max_abs_error, result.relative_error, result.cosine]).all()
    assert -1.0 <= result.cosine <= 1.0


@given(st.floats(1e-3, 1e3))
def test_relative_error_does_not_depend_on_the_unit(unit: float) -> None:
    plain = one(SCORES, SCORES + 0.1).relative_error
    assert one(SCORES * unit, (SCORES + 0.1) * unit).relative_error == pytest.approx(plain, 1e-4)


def test_a_flip_between_clear_scores_counts_fully() -> None:
    reference = np.array([[1.0, 0.0], [0.0, 1.0]])
    result = one(reference, reference[::-1])
    assert (result.flips, result.weighted_flips, result.argmax_agreement) == (2, 2.0, 0.0)


def test_a_flip_between_nearly_equal_scores_counts_little() -> None:
    reference = np.array([[0.501, 0.499], [1.0, 0.0]])
    result = one(reference, np.array([[0.499, 0.501], [1.0, 0.0]]))
    assert result.flips == 1
    assert result.weighted_flips is not None
    assert result.weighted_flips < 0.05


def test_an_exact_tie_is_no_flip() -> None:
    assert one(np.array([[1.0, 1.0]]), np.array([[0.9, 1.1]])).flips == 0


def test_integers_are_decisions_row_by_row() -> None:
    result = one(np.array([3, 1, 2, 2]), np.array([3, 1, 9, 2]))
    assert (result.kind, result.flips, result.argmax_agreement) == ("decisions", 1, 0.75)


def test_one_number_a_row_has_no_argmax() -> None:
    assert one(SCORES[:, :1], SCORES[:, :1]).argmax_agreement is None


def test_nan_and_infinity_are_counted() -> None:
    output = SCORES.copy()
    output[0, 0], output[1, 1], output[2, 2] = np.nan, np.inf, -np.inf
    result = one(SCORES, output)
    assert (result.nan_count, result.inf_count) == (1, 2)


def test_an_infinity_that_the_reference_has_too_is_no_error() -> None:
    masked = SCORES.copy()
    masked[:, 0] = -np.inf
    result = one(masked, masked)
    assert (result.inf_count, result.relative_error, result.flips) == (0, 0.0, 0)


def test_flips_count_fully_beside_a_score_that_is_masked_by_infinity() -> None:
    reference = np.array([[-np.inf, 5.0, 0.0], [-np.inf, 0.0, 5.0]])
    result = one(reference, np.array([[-np.inf, 0.0, 5.0], [-np.inf, 5.0, 0.0]]))
    assert result.weighted_flips == 2.0


def test_outputs_are_compared_piece_by_piece_without_copies_of_the_whole() -> None:
    import tracemalloc

    reference = RNG.normal(size=(64, 512, 256, 1)).astype(np.float32)  # 34 MB
    output = reference + np.float32(0.5)
    tracemalloc.start()
    result = one(reference, output)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.max_abs_error == pytest.approx(0.5, rel=1e-3)
    assert result.relative_error == pytest.approx(0.5, rel=1e-2)
    assert peak_bytes < 120e6


def test_nan_in_the_reference_is_told_apart() -> None:
    broken = np.full_like(SCORES, np.nan)
    assert one(broken, broken).reference_nan_count == broken.size


def test_an_output_that_no_longer_depends_on_the_input_is_constant() -> None:
    assert one(SCORES, np.tile(SCORES[:1], (50, 1))).is_constant


def test_an_output_that_flickers_by_one_step_is_still_constant() -> None:
    flicker = np.tile(SCORES[:1], (50, 1))
    flicker[7, 3] += 1 / 256
    assert one(SCORES, flicker).is_constant


def test_a_reference_that_does_not_vary_allows_a_constant_output() -> None:
    steady = np.tile(SCORES[:1], (50, 1))
    assert not one(steady, steady).is_constant


def test_a_single_sample_is_never_constant() -> None:
    assert not one(SCORES[:1], SCORES[:1]).is_constant


def test_another_shape_is_a_mismatch() -> None:
    assert one(SCORES, SCORES[:, :5]).mismatch == "shape (50, 5) instead of (50, 10)"


def test_integers_for_floats_are_a_mismatch_and_float16_is_not() -> None:
    assert one(SCORES, SCORES.astype(np.int8)).mismatch.startswith("dtype int8")
    assert one(SCORES, SCORES.astype(np.float16)).mismatch == ""


def test_a_missing_output_is_told() -> None:
    result = compare({"a": SCORES, "b": SCORES}, {"a": SCORES, "c": SCORES})
    assert result.missing == ("b",)


def test_a_single_output_matches_whatever_its_name_is() -> None:
    assert compare({"a": SCORES}, {"Identity:0": SCORES}).outputs[0].name == "a"


def test_the_worst_output_is_what_counts() -> None:
    result = compare({"a": SCORES, "b": SCORES}, {"a": SCORES, "b": -SCORES})
    assert result.cosine == pytest.approx(-1.0)
    assert result.relative_error == pytest.approx(2.0)


def test_a_comparison_survives_json() -> None:
    result = compare(
        {"a": SCORES, "b": SCORES, "c": SCORES[:, 0]},
        {"a": SCORES + 0.1, "b": SCORES[:1], "c": SCORES[:, 0]},
    )
    assert Comparison.from_dict(json.loads(json.dumps(result.to_dict(), allow_nan=False))) == result
