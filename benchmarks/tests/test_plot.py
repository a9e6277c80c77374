import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from edgekit_benchmarks.plot import WIDTH, Axis, shortened, width_px
from edgekit_benchmarks.plot_bars import plot_memory, plot_phases
from edgekit_benchmarks.plot_distribution import plot_distribution
from edgekit_benchmarks.plot_labels import Box, Spot, placed
from edgekit_benchmarks.plot_names import plot_rows
from edgekit_benchmarks.plot_operators import operator_check, operator_times, plot_operators
from edgekit_benchmarks.plot_timeline import plot_timeline
from edgekit_benchmarks.plot_tradeoff import plot_tradeoff
from edgekit_benchmarks.plot_watch import plot_watch
from edgekit_benchmarks.result import BenchmarkResult, TargetRecord
from edgekit_benchmarks.simulated import Noise, Simulated, simulated


def result(*medians_ns: float, **more: Any) -> BenchmarkResult:
    return simulated(
        *(
            Simulated(
                name=f"m{i}", median_ns=median, seed=i, noise=Noise(tail=0), size_bytes=1000 * 3**i,
                more=more,
            )
            for i, median in enumerate(medians_ns)
        )
    )  # fmt: skip


def texts(svg: str) -> list[str]:
    return ["".join(one.itertext()) for one in ET.fromstring(svg).iter("text")]


def charts(made: BenchmarkResult) -> Iterator[str]:
    yield plot_distribution(made)
    yield plot_timeline(made, "local")
    yield plot_tradeoff(made)
    yield plot_phases(made)
    yield plot_memory(made)


# ---- axes


def test_an_axis_is_logarithmic_beyond_a_decade_only() -> None:
    assert not Axis.over(1, 9, 0, 100, can_be_log=True).is_log
    assert Axis.over(1, 11, 0, 100, can_be_log=True).is_log


@pytest.mark.parametrize(("low", "high"), [(1, 1), (0, 0), (15e3, 9e8), (1e-3, 1e15), (40, 41)])
def test_an_axis_holds_both_ends_and_has_ticks_inside(low: float, high: float) -> None:
    axis = Axis.over(low, high, 100, 900, can_be_log=True)
    assert 100 <= axis(low) <= axis(high) <= 900
    assert axis.ticks()
    assert all(100 <= axis(tick) <= 900 for tick in axis.ticks())
    assert len(axis.ticks()) <= 10


def test_what_is_beyond_an_axis_is_drawn_at_its_end() -> None:
    axis = Axis(low=0, high=10, start_px=0, end_px=100)
    assert axis(99) == 100
    assert axis(-1) == 0


def test_long_names_are_shortened_in_their_middle() -> None:
    short = shortened("a" * 60 + ".int8.tflite", 120)
    assert short.endswith(".tflite")
    assert short.startswith("a")
    assert width_px(short) <= 120


# ---- all charts


@pytest.mark.parametrize(
    "medians",
    [[15e3], [900e6], [38e3, 110e3], [15e3, 900e6, 2e6], [1e6 * 1.1**i for i in range(24)]],
)
def test_charts_are_well_formed_and_nothing_leaves_them(medians: list[float]) -> None:
    for svg in filter(None, charts(result(*medians))):
        root = ET.fromstring(svg)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        assert width == WIDTH
        for text in root.iter("text"):
            x, wide = float(text.attrib["x"]), width_px(text.text or "", 11) * 0.8
            left = {"end": x - wide, "middle": x - wide / 2}.get(
                text.attrib.get("text-anchor", ""), x
            )
            assert left >= -2
            assert left + wide <= WIDTH + 2
            assert 0 < float(text.attrib["y"]) <= height
        numbers = re.findall(r' (?:x|y|x1|y1|cx|cy|width|height)="([^"]*)"', svg)
        assert all(np.isfinite(float(number)) for number in numbers)


def test_emulated_rows_are_in_no_chart() -> None:
    made = result(1e6, 2e6)
    emulated = BenchmarkResult(
        started="", rows=made.rows, targets={"local": TargetRecord(url="", emulated=True)}
    )
    assert not any(charts(emulated))


def test_a_file_has_one_colour_whatever_the_threads() -> None:
    made = simulated(Simulated(threads=1), Simulated(threads=4), Simulated(name="other"))
    colours = [row.colour for row in plot_rows(made)]
    assert colours[0] == colours[1] != colours[2]


# ---- distribution


def test_the_slowest_sample_is_told_even_where_the_axis_ends_before() -> None:
    made = result(1e6, samples_ns=((*[1e6, 1.01e6] * 300, 77e6),))
    svg = plot_distribution(made)
    assert "slowest 77.0 ms" in texts(svg)
    assert 'class="arrow"' in svg


def test_units_are_those_of_the_chart() -> None:
    assert "latency of one inference, µs" in texts(plot_distribution(result(38e3, 110e3)))
    assert "latency of one inference, ms" in texts(plot_distribution(result(38e6, 110e6)))
    assert "latency of one inference (logarithmic)" in texts(plot_distribution(result(15e3, 9e8)))


# ---- timeline


def test_each_process_has_a_column() -> None:
    svg = plot_timeline(result(1e6), "local")
    assert svg.count('class="band"') == 9


def test_a_row_with_fewer_processes_leaves_columns_empty() -> None:
    svg = plot_timeline(simulated(Simulated(processes=2), Simulated(name="b")), "local")
    assert svg.count('class="run"') == 11


def test_the_number_of_samples_does_not_make_it_large() -> None:
    few, many = (
        plot_timeline(simulated(Simulated(samples=samples)), "local") for samples in (400, 8000)
    )
    assert len(many) < 3 * len(few)


def test_warm_up_is_drawn_apart() -> None:
    made = result(1e6, warm_up_ns=((2e6, 1.5e6),) * 9)
    assert 'class="warm middle"' in plot_timeline(made, "local")
    assert 'class="warm' not in plot_timeline(result(1e6), "local")


# ---- size, latency, accuracy


def test_one_row_has_nothing_to_be_weighed_against() -> None:
    assert plot_tradeoff(result(1e6)) == ""


def test_accuracy_is_an_axis_only_if_all_rows_have_it() -> None:
    accuracy = {"value": 0.9, "low": 0.88, "high": 0.91}
    assert "accuracy" in texts(plot_tradeoff(result(1e6, 2e6, accuracy=accuracy)))
    assert "accuracy" not in texts(plot_tradeoff(result(1e6, 2e6)))


@pytest.mark.parametrize("count", [2, 8, 16, 24])
def test_labels_do_not_cover_each_other(count: int) -> None:
    random = np.random.default_rng(count)
    spots = [
        Spot(x=float(x), y=float(y), radius=6, text="mobilenet_v2.int8")
        for x, y in zip(
            random.uniform(200, 900, count), random.uniform(40, 380, count), strict=True
        )
    ]
    frame = Box(left=80, top=20, right=1080, bottom=410)
    boxes = placed(spots, [], frame)
    assert not any(a.common(b) for a, b in itertools.combinations(boxes, 2))
    assert not any(box.beyond(frame) for box in boxes)


# ---- operators, phases, the machine


def test_operators_are_ordered_and_the_rest_is_one_bar() -> None:
    operators = tuple({"name": f"n{i}", "operator": "Conv", "ns": i} for i in range(1, 31))
    (row,) = plot_rows(result(1e6, operators=operators))
    told = [text for text in texts(plot_operators(row)) if text.startswith("Conv")]
    assert told[0] == "Conv  n30"
    assert len(told) == 15
    assert "15 others" in texts(plot_operators(row))


def test_an_operator_may_have_samples_in_place_of_a_time() -> None:
    (found,) = operator_times(({"name": "a", "samples_ns": [1, 9, 2]}, {"name": "b"}))
    assert (found.name, found.ns) == ("a", 2)


def test_noise_below_nothing_is_no_bar() -> None:
    operators = ({"name": "a", "ns": 50}, {"name": "b", "ns": -3, "interval_ns": [-9, 2]})
    (row,) = plot_rows(result(1e6, operators=operators))
    assert "0.00 ns, 0.0 %" in texts(plot_operators(row))
    assert 'width="-' not in plot_operators(row)


def test_how_well_operators_explain_the_whole_is_told() -> None:
    made = result(1e6)
    check = {
        "path": made.rows[0].path, "target": "local", "threads": 1, "ratio": 0.7,
        "whole_ns": 1e6, "method": "in pieces", "trusted": False,
    }  # fmt: skip
    told = operator_check(replace(made, settings={"operators": [7, check]}), made.rows[0])
    assert told == "In sum 0.70 of the whole, 1.00 ms (in pieces). Do not trust this profile."
    assert operator_check(made, made.rows[0]) == ""


def test_phases_end_with_what_an_inference_takes_later() -> None:
    assert any(text.endswith("then 1.00 ms") for text in texts(plot_phases(result(1e6))))


def test_rows_without_starts_have_no_bars() -> None:
    made = result(1e6, starts=())
    assert plot_phases(made) == plot_memory(made) == ""


def watched(*looks: dict[str, Any]) -> str:
    made = result(1e6)
    watch = tuple({"t_ns": i * 10**9, **look} for i, look in enumerate(looks))
    target = TargetRecord(url="pi4", watch=watch)
    return plot_watch(
        BenchmarkResult(started="", rows=made.rows, targets={"local": target}), "local"
    )


def test_a_machine_that_tells_nothing_has_no_panels() -> None:
    assert watched({"load_1m": 0.5}, {"load_1m": 0.5}) == ""


def test_throttling_is_marked_with_its_words_and_time() -> None:
    looks: list[dict[str, Any]] = [{"temperature_c": 70.0, "throttled": 0}] * 4
    looks += [{"temperature_c": 82.0, "throttled": 0x60006}] * 3
    told = texts(watched(*looks))
    assert "frequency capped, throttled, from 4 s to 6 s" in told
    assert "temperature, °C" in told


def test_what_was_throttled_before_is_not_marked() -> None:
    assert "throttle" not in watched(*[{"temperature_c": 50.0, "throttled": 0x50000}] * 4)
