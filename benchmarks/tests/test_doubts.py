from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit_benchmarks import doubts
from edgekit_benchmarks.doubts import INVALID, Judgement
from edgekit_benchmarks.result import InputRecord, Row, TargetRecord
from edgekit_benchmarks.simulated import FACTS, Noise, Simulated

QUIET = Simulated(noise=Noise(between=0.005, tail=0)).row()
TARGET = TargetRecord(url="local", facts=FACTS, timer_ns=41, empty_call_ns=90)


def looks(**values: list[Any]) -> list[dict[str, Any]]:
    """One look a second, all while samples were taken."""
    count = len(next(iter(values.values())))
    return [
        {"t_ns": i * 10**9, "phase": "steady", **{name: each[i] for name, each in values.items()}}
        for i in range(count)
    ]


def target(watch: list[dict[str, Any]], **more: Any) -> Judgement:
    facts = FACTS | more.pop("facts", {})
    return doubts.of_target(facts, watch, **more)


def row(**more: Any) -> Row:
    return doubts.judged(replace(QUIET, **more), TARGET)


def told(judgement: Judgement | Row, text: str) -> bool:
    """Whether one of the doubts says so."""
    return any(text in doubt for doubt in judgement.doubts)


def test_the_documented_tables_are_these() -> None:
    page = Path(__file__).parents[2] / "docs" / "comparing.md"
    told = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    lines = [line for line in (doubts.__doc__ or "").splitlines() if line.startswith("| ")]
    assert len(lines) > 25
    assert [line.replace("`sustained`", "`--sustained`") for line in lines] == told[-len(lines) :]


# ---- the machine


def test_a_calm_board_leaves_no_doubt() -> None:
    found = target(
        looks(
            frequency_khz=[1_500_000] * 5, temperature_c=[48.0] * 5, throttled=[0] * 5,
            steal_ticks=[7] * 5, busy_ticks=[100, 200, 300, 400, 500],
            own_ticks=[10, 109, 208, 307, 406], swap_in=[3] * 5, swap_out=[0] * 5,
        )
    )  # fmt: skip
    assert found == Judgement(doubts=(), valid=True)


def test_a_machine_that_tells_nothing_leaves_no_doubt() -> None:
    assert doubts.of_target({}, []) == Judgement(doubts=(), valid=True)
    nothing: list[dict[str, Any]] = [
        {"t_ns": i, "temperature_c": None, "throttled": None, "frequency_khz": "unknown"}
        for i in range(3)
    ]
    assert doubts.of_target({"throttled": "unknown"}, nothing).valid


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        (0x1, "under-voltage"),
        (0x2, "frequency capped"),
        (0x4, "throttled"),
        (0x8, "soft temperature limit"),
        (0x50005, "under-voltage, throttled"),
    ],
)
def test_a_throttle_bit_while_measured_is_invalid(bits: int, said: str) -> None:
    found = target(looks(throttled=[0, bits, 0]))
    assert not found.valid
    assert f"{INVALID}while measured: {said};" in found.doubts[0]


def test_a_throttle_bit_before_the_first_look_is_invalid() -> None:
    assert not target([], facts={"throttled": {"raw": 0x4}}).valid


def test_a_bit_that_only_the_record_since_boot_shows_is_invalid() -> None:
    assert not target(looks(throttled=[0, 0, 0x40000])).valid
    assert not target(looks(throttled=[0x10000, 0x10000, 0x50000])).valid


def test_throttling_before_the_run_is_a_doubt() -> None:
    found = target(looks(throttled=[0x50000] * 3), facts={"throttled": {"raw": 0x50000}})
    assert found.valid
    assert told(found, "before this run: under-voltage, throttled")


def test_the_throttled_state_may_be_measured_on_purpose() -> None:
    watch = looks(throttled=[0x4] * 4, frequency_khz=[1_500_000, 1_500_000, 900_000, 900_000])
    found = target(watch, sustained=True)
    assert found.valid
    assert told(found, "throttled")
    assert told(found, "from 1,500 to 900 MHz")


@pytest.mark.parametrize(("last_khz", "valid"), [(1_475_000, True), (1_465_000, False)])
def test_a_frequency_drop_of_more_than_2_percent_is_invalid(last_khz: int, valid: bool) -> None:
    found = target(looks(frequency_khz=[1_500_000, 1_500_000, last_khz]))
    assert found.valid == valid


def test_where_turbo_is_on_a_single_look_does_not_count_but_a_lasting_drop_does() -> None:
    single, lasting = [4.8e6, 4.8e6, 4.5e6, 4.8e6, 4.8e6], [4.8e6] * 4 + [4.5e6] * 4
    assert target(looks(frequency_khz=single), facts={"turbo": "on"}).valid
    assert not target(looks(frequency_khz=lasting), facts={"turbo": "on"}).valid


def test_an_x86_that_does_not_tell_may_have_turbo() -> None:
    watch = looks(frequency_khz=[4.8e6, 4.8e6, 4.5e6, 4.8e6, 4.8e6])
    assert target(watch, facts={"machine": "x86_64"}).valid
    assert not target(watch, facts={"machine": "x86_64", "turbo": "off"}).valid
    assert not target(watch, facts={"machine": "aarch64"}).valid


def test_a_clock_that_rests_between_processes_is_none_that_fell() -> None:
    watch = looks(frequency_khz=[1_500_000, 600_000, 1_500_000])
    watch[1]["phase"] = "starting"
    assert target(watch) == Judgement(doubts=(), valid=True)


def test_a_clock_below_its_maximum_all_the_time_is_a_doubt() -> None:
    found = target(looks(frequency_khz=[600_000] * 3))
    assert found.valid
    assert told(found, "stayed at 600 MHz, below its 1,500 MHz")


@pytest.mark.parametrize(
    ("temperatures", "said"), [([70.0, 81.5], "82 °C hot"), ([45.0, 58.0], "warmed by 13 °C")]
)
def test_heat_is_a_doubt(temperatures: list[float], said: str) -> None:
    found = target(looks(temperature_c=temperatures))
    assert found.valid
    assert told(found, said)


@pytest.mark.parametrize(
    ("what", "valid"), [("suspended", False), ("stopped", False), ("clock set", True)]
)
def test_a_machine_that_slept_is_invalid_and_a_clock_that_was_set_is_a_doubt(
    what: str, valid: bool
) -> None:
    found = target([], clock=[{"what": what, "by_ns": 3_500_000_000, "t_ns": 5}])
    assert found.valid == valid
    assert told(found, "3.5 s")


def test_an_emulator_is_invalid_for_times() -> None:
    assert target([], emulated=True).doubts[0].startswith(f"{INVALID}this is an emulator")


def test_work_of_others_is_a_doubt() -> None:
    found = target(looks(busy_ticks=[0, 160, 320], own_ticks=[0, 100, 200]))
    assert found.valid
    assert told(found, "other programs kept 0.6 processors busy")


def test_what_happens_between_two_processes_is_not_counted() -> None:
    found = target(looks(busy_ticks=[0, 100, 250, 350], own_ticks=[0, 99, 0, 99]))
    assert found.doubts == ()


def test_stolen_time_and_swapped_pages_are_doubts() -> None:
    found = target(looks(steal_ticks=[100, 105, 110], swap_in=[0, 0, 8], swap_out=[1, 1, 1]))
    assert found.valid
    assert told(found, "stole 5.0 % of a processor")
    assert told(found, "8 pages were swapped")


def test_the_governor_powersave_is_a_doubt() -> None:
    assert told(target([], facts={"governor": "powersave"}), "set performance")


# ---- a row


def test_a_quiet_row_leaves_no_doubt() -> None:
    assert (row().doubts, row().valid) == ((), True)


def test_a_row_on_an_invalid_target_is_invalid_and_says_why() -> None:
    hot = replace(TARGET, doubts=(f"{INVALID}throttled", "warm"), valid=False)
    found = doubts.judged(QUIET, hot)
    assert (found.valid, found.doubts) == (False, (f"{INVALID}throttled",))


@pytest.mark.parametrize(("count", "valid"), [(1, False), (10, False), (11, True), (63, True)])
def test_too_few_samples(count: int, valid: bool) -> None:
    found = row(samples_ns=((1e6,) * count,))
    assert found.valid == valid
    assert told(found, f"{count} sample")
    assert told(found, "1 process is too few")


def test_a_median_nobody_knows_is_a_doubt() -> None:
    spread = tuple((1e6 * (1 + 0.2 * i),) * 20 for i in range(9))
    found = row(samples_ns=spread)
    assert found.valid
    assert told(found, "the median is not known better than by 33 %")
    assert told(found, "its slowest process took 2.6 times its fastest")


def test_scattered_samples_are_a_doubt() -> None:
    found = row(samples_ns=((1e6, 1e6, 1e6, 2e6) * 10,) * 9)
    assert found.valid
    assert told(found, "the standard deviation is 35 % of the mean")
    assert told(found, "a long tail: 25 % of the samples take over 1.5 times the median")


def test_what_is_long_is_measured_from_the_median_that_a_long_tail_leaves_where_it_is() -> None:
    """One in fifty took 40 times as long: the mean is 1.8 times what nearly all took."""
    found = row(samples_ns=((1e6,) * 49 + (40e6,),) * 9)
    assert told(found, "a long tail: 2.0 % of the samples take over 1.5 times the median")
    assert not told(found, "less than half")
    assert told(row(samples_ns=((1e6,) * 49 + (4e5,),) * 9), "2.0 % of the samples take less than")


def test_one_late_sample_in_many_is_none() -> None:
    assert row(samples_ns=((1e6,) * 999 + (5e6,),) * 9).doubts == (
        "the standard deviation is 13 % of the mean",
    )


def test_a_warm_up_that_was_too_short_is_a_doubt() -> None:
    found = row(samples_ns=((1.2e6,) * 10 + (1e6,) * 90,) * 9)
    assert told(found, "processes begin 20 % slower than they go on")


@pytest.mark.parametrize(("timer_ns", "valid"), [(5_000, True), (50_000, False)])
def test_a_clock_too_coarse_for_the_samples(timer_ns: float, valid: bool) -> None:
    found = doubts.judged(QUIET, replace(TARGET, timer_ns=timer_ns))
    assert found.valid == valid
    assert told(found, "steps of the clock")


def test_repeating_within_a_sample_makes_up_for_the_clock() -> None:
    assert doubts.judged(replace(QUIET, repeats=10), replace(TARGET, timer_ns=5_000)).doubts == ()


def test_an_empty_call_that_weighs_is_a_doubt() -> None:
    found = doubts.judged(QUIET, replace(TARGET, empty_call_ns=20_000))
    assert told(found, "timing nothing takes 20.0 µs, 2.0 % of this")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"threads": 8}, "8 threads on 4 processors"),
        ({"preempted": (5,) * 9}, "another program had its processor 45 times in 360 samples"),
        ({"major_faults": (0,) * 8 + (2,)}, "waited for the disk 2 times"),
        ({"input": InputRecord(source="random", random=True)}, "the inputs are made up (random)"),
        ({"reference_ns": ((100.0,),) * 8 + ((150.0, 140.0),)}, "the machine itself was 40 % slow"),
    ],
)
def test_other_doubts_about_a_row(more: dict[str, Any], said: str) -> None:
    found = row(**more)
    assert found.valid
    assert told(found, said), found.doubts
