from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from edgekit.compare import Comparison, OutputComparison
from edgekit.tolerance import TOLERANCES
from edgekit_converters.repair import Operator, find_culprits

_INT8 = TOLERANCES["int8"]


def _operators(count: int, cost_bytes: int = 10) -> list[Operator]:
    return [Operator(identifier=f"op{i}", kind="MUL", cost_bytes=cost_bytes) for i in range(count)]


def _attempt(culprits: set[str]) -> Callable[[frozenset[str]], Comparison]:
    """Each culprit that stays quantized adds an error of 0.4; everything else 0.01 in all."""

    def attempt(keep: frozenset[str]) -> Comparison:
        error = 0.01 + 0.4 * len(culprits - keep)
        output = OutputComparison(
            name="y", kind="values", samples=16, max_abs_error=error, relative_error=error,
            cosine=1.0, argmax_agreement=None, flips=None, weighted_flips=None, nan_count=0,
            inf_count=0, reference_nan_count=0, is_constant=False, mismatch="",
        )  # fmt: skip
        return Comparison(outputs=(output,))

    return attempt


@given(count=st.integers(1, 80), data=st.data())
def test_one_culprit_is_found_wherever_it_is(count: int, data: st.DataObject) -> None:
    culprit = f"op{data.draw(st.integers(0, count - 1))}"
    found = find_culprits(
        _operators(count), _attempt({culprit}), tolerance=_INT8, budget_bytes=100, time_s=60
    )
    assert found is not None
    assert [op.identifier for op in found] == [culprit]


@given(count=st.integers(2, 60), data=st.data())
def test_two_culprits_are_found(count: int, data: st.DataObject) -> None:
    indices = data.draw(st.sets(st.integers(0, count - 1), min_size=2, max_size=2))
    culprits = {f"op{i}" for i in indices}
    found = find_culprits(
        _operators(count), _attempt(culprits), tolerance=_INT8, budget_bytes=100, time_s=60
    )
    assert found is not None
    assert {op.identifier for op in found} == culprits


def test_three_culprits_are_too_many() -> None:
    attempt = _attempt({"op1", "op5", "op9"})
    assert (
        find_culprits(_operators(12), attempt, tolerance=_INT8, budget_bytes=100, time_s=60) is None
    )


def test_a_culprit_that_costs_too_much_stays_quantized() -> None:
    operators = _operators(9, cost_bytes=1000)
    assert (
        find_culprits(operators, _attempt({"op3"}), tolerance=_INT8, budget_bytes=100, time_s=60)
        is None
    )


def test_no_time_means_no_repair() -> None:
    assert (
        find_culprits(_operators(9), _attempt({"op3"}), tolerance=_INT8, budget_bytes=100, time_s=0)
        is None
    )


def test_one_culprit_among_many_takes_few_attempts() -> None:
    calls = 0
    attempt = _attempt({"op7"})

    def counted(keep: frozenset[str]) -> Comparison:
        nonlocal calls
        calls += 1
        return attempt(keep)

    find_culprits(_operators(100), counted, tolerance=_INT8, budget_bytes=100, time_s=60)
    assert calls <= 1 + 10 + 10
