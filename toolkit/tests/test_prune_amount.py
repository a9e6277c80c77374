import pytest

from edgekit.errors import UsageError
from edgekit.prune_amount import (
    BYTE_UNITS,
    COUNT_UNITS,
    Goal,
    parse_goal,
    parse_ratio,
    parse_share,
)


@pytest.mark.parametrize("given", ["50%", " 50 %", "0.5", ".5", 0.5, "50.0%", "5e-1"])
def test_a_share_may_be_written_in_several_ways(given: str | float) -> None:
    assert parse_share("--sparsity", given) == 0.5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("120%", "--sparsity 120%: more than everything; give a share between 0 % and 100 %"),
        ("50", "--sparsity 50: more than everything; .*did you mean 50%\\?$"),
        ("0%", "--sparsity 0%: prunes nothing; give a share above 0 %"),
        ("100%", "--sparsity 100%: leaves nothing; give a share below 100 %"),
        ("-5%", "--sparsity -5%: not a share; give one between 0 % and 100 %, as 50% or 0.5$"),
        ("nan", "--sparsity nan: not a share; give one between 0 % and 100 %, as 50% or 0.5$"),
        ("half", "--sparsity half: not a share; give one between 0 % and 100 %, as 50% or 0.5$"),
        ("", "--sparsity : not a share; give one between 0 % and 100 %, as 50% or 0.5$"),
        ("50kB", "--sparsity 50kB: not a share; give it as 50% or 0.5"),
    ],
)
def test_what_is_no_share_is_refused_with_what_to_do(given: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_share("--sparsity", given)


@pytest.mark.parametrize(
    ("given", "goal"),
    [
        ("50%", Goal(share=0.5)),
        (0.25, Goal(share=0.25)),
        ("12M", Goal(amount=12_000_000)),
        ("1.5g", Goal(amount=1_500_000_000)),
        (800_000, Goal(amount=800_000)),
    ],
)
def test_multiply_adds_are_a_share_or_a_number(given: str | float, goal: Goal) -> None:
    assert parse_goal("--macs", given, COUNT_UNITS) == goal


@pytest.mark.parametrize(
    ("given", "amount"),
    [
        ("200KB", 200_000),
        ("200 kb", 200_000),
        ("1.5MB", 1_500_000),
        ("204800", 204_800),
        ("64KiB", 65_536),
        ("812 B", 812),
    ],
)
def test_sizes_are_decimal_unless_they_say_otherwise(given: str, amount: int) -> None:
    assert parse_goal("--size", given, BYTE_UNITS) == Goal(amount=amount)


@pytest.mark.parametrize("given", ["0", "0%", "100%", "1", "120%", "-3", "1e30", "3 apples"])
def test_what_cannot_be_left_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match=f"--macs {given}: "):
        parse_goal("--macs", given, COUNT_UNITS)


def test_a_single_byte_is_an_amount_and_a_bare_one_is_not() -> None:
    assert parse_goal("--size", "1B", BYTE_UNITS) == Goal(amount=1)
    said = "--size 1: may mean everything, or a single one; say what is to be left, as 200KB or 50%"
    with pytest.raises(UsageError, match=said):
        parse_goal("--size", "1", BYTE_UNITS)


def test_an_unknown_unit_lists_those_there_are() -> None:
    with pytest.raises(UsageError, match="unknown unit 'q'; there are: K, M, G, T, %"):
        parse_goal("--macs", "5Q", COUNT_UNITS)


@pytest.mark.parametrize("given", ["0.6x", "0.6", "60%", 0.6])
def test_a_ratio_may_be_written_in_several_ways(given: str | float) -> None:
    assert parse_ratio("--latency", given) == 0.6


@pytest.mark.parametrize("given", ["1x", "1.5x", "0x", "20ms", "fast"])
def test_a_ratio_that_is_no_gain_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match=f"--latency {given}: .*; give "):
        parse_ratio("--latency", given)


def test_a_goal_is_told_as_it_may_be_given_again() -> None:
    for goal in (Goal(share=0.125), Goal(amount=204_800)):
        assert parse_goal("--size", str(goal), BYTE_UNITS) == goal
