from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.compare import compare
from edgekit.errors import UsageError
from edgekit.recipe import PRECISIONS
from edgekit.tolerance import TOLERANCES, Bounds, Tolerance, judge, parse_tolerance

Array = NDArray[Any]
RNG = np.random.default_rng(0)
INT8, FLOAT32 = TOLERANCES["int8"], TOLERANCES["float32"]
VALUES = RNG.normal(size=(64, 1))


def scores(count: int) -> Array:
    """Confident scores: one class at 5, nine at 0, so that no small error flips them."""
    found: Array = np.eye(10)[np.arange(count) % 10] * 5
    return found


def flipped(reference: Array, count: int) -> Array:
    changed = reference.copy()
    changed[:count] = np.roll(changed[:count], 1, axis=1)
    return changed


def with_error(reference: Array, relative: float) -> Array:
    noise = RNG.choice([-1.0, 1.0], size=reference.shape)
    changed: Array = reference + noise * relative * np.sqrt(np.mean(reference**2))
    return changed


def status(reference: Array, output: Array, tolerance: Tolerance = INT8) -> str:
    return judge(compare({"y": reference}, {"y": output}), tolerance).status


def test_every_precision_has_a_tolerance() -> None:
    assert set(TOLERANCES) == set(PRECISIONS)


def test_bounds_widen_from_passed_to_failed() -> None:
    for tolerance in TOLERANCES.values():
        assert tolerance.passed.relative_error < tolerance.failed.relative_error
        assert tolerance.passed.flips < tolerance.failed.flips


@pytest.mark.parametrize(
    ("relative", "expected"),
    [(0.02, "passed"), (0.09, "passed"), (0.26, "drifted"), (0.5, "drifted"), (0.8, "failed")],
)
def test_int8_is_judged_by_its_relative_error(relative: float, expected: str) -> None:
    assert status(VALUES, with_error(VALUES, relative)) == expected


def test_full_agreement_does_not_hide_damage() -> None:
    # 12 of 12 agree, and the relative error is 0.64
    reference = scores(12)
    output = with_error(reference, 0.64)
    result = compare({"y": reference}, {"y": output})
    assert result.argmax_agreement == 1.0
    assert judge(result, INT8).status == "drifted"


@pytest.mark.parametrize("cosine", [-0.19, 0.647])
def test_garbage_fails(cosine: float) -> None:
    reference = RNG.normal(size=(200, 1))
    noise = RNG.normal(size=(200, 1))
    noise -= reference * (noise * reference).sum() / (reference**2).sum()
    noise *= np.linalg.norm(reference) / np.linalg.norm(noise)
    output = cosine * reference + np.sqrt(1 - cosine**2) * noise
    assert status(reference, output) == "failed"


def test_one_flip_of_four_does_not_condemn() -> None:
    comparison = compare({"y": scores(4)}, {"y": flipped(scores(4), 1)})
    loose = parse_tolerance("relative_error=9", INT8)
    assert judge(comparison, loose).status == "drifted"


def test_one_flip_of_forty_passes() -> None:
    comparison = compare({"y": scores(40)}, {"y": flipped(scores(40), 1)})
    loose = parse_tolerance("relative_error=9", INT8)
    assert judge(comparison, loose).status == "passed"


def test_the_same_rate_of_flips_in_many_samples_does() -> None:
    comparison = compare({"y": scores(400)}, {"y": flipped(scores(400), 100)})
    loose = parse_tolerance("relative_error=0.9", INT8)
    assert judge(comparison, loose).status == "failed"


def test_errors_and_flips_that_are_each_half_way_fail_together() -> None:
    reference = scores(400)
    output = flipped(with_error(reference, 0.4), 60)
    assert judge(compare({"y": reference}, {"y": output}), INT8).status == "failed"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_fail_whatever_the_bounds(bad: float) -> None:
    output = VALUES.copy()
    output[3] = bad
    assert status(VALUES, output, parse_tolerance("relative_error=1000", INT8)) == "failed"


def test_a_constant_output_fails_whatever_the_bounds() -> None:
    constant = np.full_like(VALUES, VALUES.mean())
    verdict = judge(
        compare({"y": VALUES}, {"y": constant}), parse_tolerance("relative_error=1000", INT8)
    )
    assert verdict.status == "failed"
    assert verdict.reasons == ("the same output whatever the input",)


def test_a_wrong_shape_fails() -> None:
    assert status(VALUES, VALUES[:, :0]) == "failed"


def test_a_missing_output_fails() -> None:
    verdict = judge(compare({"a": VALUES, "b": VALUES}, {"a": VALUES, "c": VALUES}), INT8)
    assert verdict.reasons == ("output 'b' is missing",)


def test_a_reference_with_nan_fails_and_says_whose_fault_it_is() -> None:
    broken = np.full((4, 1), np.nan)
    verdict = judge(compare({"y": broken}, {"y": broken}), FLOAT32)
    assert "original model itself" in verdict.reasons[0]


def test_class_numbers_are_judged_by_flips_not_by_distance() -> None:
    reference = np.arange(100) % 10
    output = reference.copy()
    output[0] = 9
    assert status(reference, output) == "passed"


def test_float32_must_match() -> None:
    assert status(VALUES, with_error(VALUES, 1e-6), FLOAT32) == "passed"
    assert status(VALUES, with_error(VALUES, 5e-3), FLOAT32) == "failed"


def test_reasons_name_the_output_and_the_numbers() -> None:
    verdict = judge(compare({"a": VALUES, "b": VALUES}, {"a": VALUES, "b": 1.5 * VALUES}), INT8)
    assert verdict.reasons == ("output 'b': relative error 0.5 (passes up to 0.1)",)


def test_a_single_bound_leaves_no_room_for_drift() -> None:
    tolerance = parse_tolerance("relative_error=0.2", INT8)
    assert status(VALUES, with_error(VALUES, 0.19), tolerance) == "passed"
    assert status(VALUES, with_error(VALUES, 0.21), tolerance) == "failed"


def test_several_bounds_are_read() -> None:
    tolerance = parse_tolerance("relative_error=0.1:0.2, flips=0", INT8)
    assert tolerance.passed == Bounds(relative_error=0.1, flips=0.0)
    assert tolerance.failed == Bounds(relative_error=0.2, flips=0.0)


@pytest.mark.parametrize(
    "text",
    ["", "relative_error", "relative_error=", "speed=1", "flips=2", "relative_error=nan",
     "relative_error=0.5:0.1", "relative_error=-1"],
)  # fmt: skip
def test_a_tolerance_that_makes_no_sense_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_tolerance(text, INT8)
