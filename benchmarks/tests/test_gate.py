from dataclasses import replace

import pytest

from edgekit.errors import UsageError
from edgekit_benchmarks.comparison import Comparison, compare
from edgekit_benchmarks.gate import Decision, decide, exit_code, limits
from edgekit_benchmarks.result import FailureRecord
from edgekit_benchmarks.simulated import Noise, Simulated, simulated

CALM = Noise(between=0.005, tail=0)
ONE = Simulated(noise=CALM)
OTHER = replace(ONE, seed=1)


def of(after: Simulated, before: Simulated = ONE) -> Comparison:
    return compare(simulated(before), simulated(after))


def decided(comparison: Comparison, *texts: str) -> list[Decision]:
    return list(decide(comparison, limits(texts)))


def outcome(after: Simulated, text: str, before: Simulated = ONE) -> str:
    return decided(of(after, before), text)[0].outcome


def with_accuracy(one: Simulated, value: float) -> Simulated:
    return replace(one, more={"accuracy": {"value": value, "samples": 1000}})


@pytest.mark.parametrize(
    ("after", "limit", "expected"),
    [
        (OTHER, "p50=5%", "passed"),
        (replace(OTHER, median_ns=1.1e6), "p50=5%", "failed"),
        (replace(OTHER, median_ns=1.1e6), "p90=5%", "failed"),
        (replace(OTHER, median_ns=1.1e6), "p50=15%", "passed"),
        (replace(OTHER, median_ns=0.5e6), "p50=5%", "passed"),
        (replace(OTHER, median_ns=1.1e6), "p99=5%", "undecided"),
        (replace(OTHER, memory_bytes=3.4e6), "memory=10%", "failed"),
        (replace(OTHER, memory_bytes=3.1e6), "memory=10%", "passed"),
        (replace(OTHER, size_bytes=110_921), "size=0%", "failed"),
        (replace(OTHER, size_bytes=110_920), "size=0%", "passed"),
        (OTHER, "load=20%", "passed"),
        (OTHER, "accuracy=1pt", "undecided"),
    ],
)
def test_a_limit_passes_fails_or_is_undecided(after: Simulated, limit: str, expected: str) -> None:
    assert outcome(after, limit) == expected


@pytest.mark.parametrize(
    ("value", "limit", "expected"),
    [
        (0.895, "0.5pt", "passed"), (0.894, "0.5pt", "failed"), (0.95, "0pt", "passed"),
        (0.9, "0pt", "passed"), (0.899, "0pt", "failed"),
    ],
)  # fmt: skip
def test_accuracy_is_decided_in_points(value: float, limit: str, expected: str) -> None:
    after = with_accuracy(OTHER, value)
    assert outcome(after, f"accuracy={limit}", with_accuracy(ONE, 0.9)) == expected


def test_above_the_limit_but_perhaps_by_chance_is_undecided() -> None:
    moody = Noise(between=0.2, tail=0)
    after = replace(OTHER, noise=moody, median_ns=1.15e6)
    found = decided(of(after, replace(ONE, noise=moody)), "p50=5%")[0]
    assert found.outcome == "undecided"
    assert "measure more processes" in found.text


def test_too_few_processes_decide_nothing() -> None:
    found = decided(
        of(replace(OTHER, processes=3, median_ns=2e6), replace(ONE, processes=3)), "p50=5%"
    )
    assert found[0].outcome == "undecided"
    assert "too few processes" in found[0].text


def test_an_invalid_measurement_decides_no_time_but_a_size() -> None:
    after = replace(OTHER, median_ns=2e6, size_bytes=10**6, more={"valid": False})
    found = decided(of(after), "p50=5%,size=1%")
    assert [one.outcome for one in found] == ["undecided", "failed"]


def test_a_row_that_vanished_is_undecided_and_one_that_broke_fails() -> None:
    lost = replace(ONE, name="lost")
    broken = FailureRecord(
        path="models/lost.int8.tflite", target="local", threads=1, error="lost: died; look"
    )
    for failures, expected in (((), "undecided"), ((broken,), "failed")):
        comparison = compare(simulated(ONE, lost), simulated(OTHER, failures=failures))
        found = decided(comparison, "p50=5%")
        assert [one.outcome for one in found] == ["passed", expected]
    assert found[1].text == "could not be measured: lost: died; look"


@pytest.mark.parametrize(
    ("after", "texts", "code"),
    [
        (OTHER, (), 0),
        (OTHER, ("p50=5%",), 0),
        (replace(OTHER, median_ns=1.2e6), (), 0),
        (replace(OTHER, median_ns=1.2e6), ("p50=5%",), 1),
        (replace(OTHER, median_ns=1.2e6), ("p50=5%,p99=5%",), 1),
        (OTHER, ("p99=5%",), 3),
        (replace(OTHER, more={"valid": False}), (), 3),
        (replace(OTHER, more={"valid": False}), ("size=0%",), 3),
        (replace(OTHER, size_bytes=10**7, more={"valid": False}), ("size=0%",), 1),
    ],
)
def test_exit_codes(after: Simulated, texts: tuple[str, ...], code: int) -> None:
    comparison = of(after)
    assert exit_code(comparison, decided(comparison, *texts)) == code


def test_limits_are_repeated_or_separated_by_commas() -> None:
    found = limits(["p50=5%, memory=.5 %", "accuracy=0.25pt"])
    assert [(one.metric, round(one.amount, 6)) for one in found] == [
        ("p50", 0.05),
        ("memory", 0.005),
        ("accuracy", 0.0025),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p50", "'' is no limit; write e.g. p50=5%"),
        ("p50=5", "'5' is no limit"),
        ("p50=-5%", "'-5%' is no limit"),
        ("p50=nan%", "is no limit"),
        ("p50=5pt", "is no limit"),
        ("accuracy=1%", "write e.g. accuracy=0.5pt"),
        ("speed=5%", "no metric 'speed'; there are: p50, p90"),
        ("", "no metric ''"),
        ("p50=5%,", "no metric ''"),
        ("p50=5%,p50=6%", "p50 has a limit already"),
    ],
)
def test_limits_that_make_no_sense_are_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        limits([text])
    assert said in str(caught.value)
    assert str(caught.value).startswith("--max-regress ")


def outcomes(noise: Noise, slower: float, count: int) -> list[str]:
    """Of so many changes that cost so much, with the limit p50=5%."""
    return [
        outcome(
            Simulated(seed=2 * i + 1, noise=noise, median_ns=1e6 * slower, samples=15, starts=0),
            "p50=5%",
            Simulated(seed=2 * i, noise=noise, samples=15, starts=0),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("noise", [Noise(), Noise(between=0.02, tail=0.2)])
def test_no_change_is_failed_in_5_of_100_at_most(noise: Noise) -> None:
    assert outcomes(noise, 1.0, 200).count("failed") <= 0.05 * 200


def test_a_tenth_slower_is_failed_in_95_of_100_and_never_passed() -> None:
    found = outcomes(Noise(between=0.015, tail=0.05), 1.10, 200)
    assert found.count("failed") >= 0.95 * 200
    assert found.count("passed") == 0


def test_what_costs_twice_the_limit_is_never_passed_however_much_noise() -> None:
    for noise in (Noise(), Noise(between=0.05, tail=0.3), Noise(between=0.15, tail=0.3)):
        assert outcomes(noise, 1.15, 100).count("passed") <= 5
