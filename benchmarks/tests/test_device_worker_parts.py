"""The worker's parts: what a board tells, clocks, inputs, the loop that measures."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit_benchmarks.device_worker import watch
from edgekit_benchmarks.device_worker.board import Board
from edgekit_benchmarks.device_worker.errors import Refused
from edgekit_benchmarks.device_worker.facts import facts
from edgekit_benchmarks.device_worker.inputs import Input, read_arrays, rows_of
from edgekit_benchmarks.device_worker.timing import empty_call_ns, timed, timer_ns

IMAGE = [Input("image", (1, 2), np.float32)]

# ---- facts


def test_a_raspberry_pi_tells_what_it_is(make_board: Callable[..., Any], tmp_path: Path) -> None:
    found = facts(Board(str(make_board().root)), str(tmp_path))
    assert found["model"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert found["cpu"] == "ARM Cortex-A72"
    assert found["features"] == ["asimd", "cpuid", "crc32", "evtstrm", "fp"]
    assert (found["cores_online"], found["cores_physical"]) == (4, 4)
    assert found["frequency_khz"] == {"min": 600000, "max": 1800000, "current": 1800000}
    assert found["governor"] == "ondemand"
    assert found["temperature_c"] == 48.3
    assert found["memory_bytes"] == {"total": 3884332 * 1024, "available": 3300000 * 1024}
    assert found["system"] == "Debian GNU/Linux 12 (bookworm)"
    assert found["kernel"] == "6.6.51+rpt-rpi-v8"


def test_throttle_bits_are_told_in_words(make_board: Callable[..., Any], tmp_path: Path) -> None:
    board = make_board(throttled=0x50005)
    assert facts(Board(str(board.root)), str(tmp_path))["throttled"] == {
        "now": ["under-voltage", "throttled"],
        "since_boot": ["under-voltage", "throttled"],
        "raw": 0x50005,
    }


def test_the_firmware_measures_the_clock_that_the_kernel_only_asked_for(
    make_board: Callable[..., Any],
) -> None:
    board = make_board()
    board.set_frequency_khz(1_800_000, measured_khz=600_062)
    assert Board(str(board.root)).frequency_khz() == 600_062


def test_what_an_empty_board_does_not_tell_is_unknown(tmp_path: Path) -> None:
    found = facts(Board(str(tmp_path)), str(tmp_path))
    unknown = {"model", "features", "governor", "turbo", "smt", "load", "aslr", "boot_id"}
    unknown |= {"temperature_c", "throttled"}
    assert {name for name in unknown if found[name] != "unknown"} == set()
    assert found["frequency_khz"] == {"min": "unknown", "max": "unknown", "current": "unknown"}
    assert found["swap"] == {"total_bytes": "unknown", "free_bytes": "unknown"}


def test_a_vcgencmd_without_rights_leaves_what_the_kernel_tells(
    make_board: Callable[..., Any],
) -> None:
    made = make_board()
    made.break_vcgencmd()
    board = Board(str(made.root))
    assert board.throttled() is None
    assert board.temperature_c() == 48.3
    assert board.frequency_khz() == 1_800_000


def test_a_vcgencmd_that_hangs_is_asked_only_once(make_board: Callable[..., Any]) -> None:
    made = make_board()
    made.break_vcgencmd(hangs=True)
    board = Board(str(made.root))
    begin = time.monotonic()
    assert board.throttled() is None
    assert board.throttled() is None
    assert 1 < time.monotonic() - begin < 4


def test_without_vcgencmd_the_kernel_tells_of_throttling(make_board: Callable[..., Any]) -> None:
    made = make_board()
    made.remove_vcgencmd()
    firmware = made.root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    firmware.parent.mkdir(parents=True)
    firmware.write_text("50000\n")
    assert Board(str(made.root)).throttled() == 0x50000


def test_a_sensor_of_the_supply_tells_of_under_voltage(tmp_path: Path) -> None:
    alarm = tmp_path / "sys/class/hwmon/hwmon1/in0_lcrit_alarm"
    alarm.parent.mkdir(parents=True)
    alarm.write_text("1\n")
    assert Board(str(tmp_path)).throttled() == 1


def test_a_containers_limits_are_those_of_its_groups(tmp_path: Path) -> None:
    for name, text in {
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/memory.max": "536870912\n",
        "sys/fs/cgroup/a/b/memory.max": "max\n",
        "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n",
        ".dockerenv": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = facts(Board(str(tmp_path)), str(tmp_path))["container"]
    assert found == {"inside": True, "memory_bytes": 512 << 20, "cpus": 1.5}


# ---- clocks


class _Clocks:
    def __init__(self, *readings: tuple[int, int, int]) -> None:
        self.readings = list(readings)

    def __call__(self) -> tuple[int, int, int]:
        return self.readings.pop(0)


@pytest.mark.parametrize(
    ("reading", "what"),
    [
        ((10**9, 0, 0), []),
        ((10**9, 5 * 10**9, 0), ["suspended"]),
        ((10**9, 0, -3600 * 10**9), ["clock set"]),
        ((30 * 10**9, 0, 0), ["stopped"]),
    ],
)
def test_jumps_of_the_clocks_are_noted(
    reading: tuple[int, int, int], what: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch.ClockWatch, "read", staticmethod(_Clocks((0, 0, 0), reading)))
    clocks = watch.ClockWatch()
    assert [jump["what"] for jump in clocks.jumps(1.0)] == what


def test_clocks_that_go_on_make_no_jump() -> None:
    assert watch.ClockWatch().jumps(1.0) == []


# ---- inputs


def test_rows_of_an_array_with_a_batch_are_cut() -> None:
    rows = rows_of({"x": np.arange(6, dtype=np.float32).reshape(3, 2)}, IMAGE)
    assert [row[0].tolist() for row in rows] == [[[0, 1]], [[2, 3]], [[4, 5]]]


def test_rows_of_whole_inputs_are_taken_as_they_are() -> None:
    rows = rows_of({"image": np.zeros((4, 1, 2), np.float32)}, IMAGE)
    assert [row[0].shape for row in rows] == [(1, 2)] * 4


def test_a_batch_fixed_in_the_file_is_filled_with_rows() -> None:
    rows = rows_of({"x": np.zeros((7, 2), np.float32)}, [Input("x", (3, 2), np.float32)])
    assert [row[0].shape for row in rows] == [(3, 2)] * 2


def test_free_sizes_become_one_without_data() -> None:
    (row,) = rows_of({}, [Input("x", (None, None, 4), np.float32)])
    assert row[0].shape == (1, 1, 4)


def test_free_sizes_are_those_of_the_data() -> None:
    data = {"x": np.zeros((5, 9, 4), np.float32)}
    assert rows_of(data, [Input("x", (None, None, 4), np.float32)])[0][0].shape == (1, 9, 4)


def test_real_numbers_are_quantized_for_an_integer_input() -> None:
    wanted = [Input("x", (1, 4), np.int8, 0.5, 10)]
    (row,) = rows_of({"x": np.array([[0, 0.75, 1000, -1000]], np.float32)}, wanted)
    assert row[0].tolist() == [[10, 12, 127, -128]]
    assert row[0].dtype == np.int8


def test_stored_integers_pass_unchanged() -> None:
    stored = np.array([[1, 2]], np.int8)
    (row,) = rows_of({"x": stored}, [Input("x", (1, 2), np.int8, 0.5, 10)])
    assert row[0].tolist() == [[1, 2]]


def test_made_up_numbers_are_the_same_every_time() -> None:
    first, again = rows_of({}, IMAGE), rows_of({}, IMAGE)
    assert np.array_equal(first[0][0], again[0][0])
    assert first[0][0].std() > 0


def test_made_up_indices_are_zero() -> None:
    (row,) = rows_of({}, [Input("tokens", (1, 8), np.int32)])
    assert not row[0].any()


def test_states_start_at_zero() -> None:
    inputs = [*IMAGE, Input("state", (1, 3), np.int8, 0.1, -7)]
    (row,) = rows_of({"image": np.ones((1, 2), np.float32)}, inputs, zeros=("state",))
    assert row[1].tolist() == [[-7, -7, -7]]


def test_a_scalar_input_takes_the_elements() -> None:
    rows = rows_of({"x": np.array([1, 2, 3], np.float32)}, [Input("x", (), np.float32)])
    assert [float(row[0]) for row in rows] == [1, 2, 3]
    assert rows[0][0].shape == ()


@pytest.mark.parametrize(
    ("arrays", "inputs", "said"),
    [
        ({"a": np.zeros((1, 2)), "b": np.zeros((1, 2))}, IMAGE, "no array 'image'"),
        ({"image": np.zeros((3, 5))}, IMAGE, r"no rows of shape \(1, 2\)"),
        ({"image": np.zeros((0, 2))}, IMAGE, "no rows"),
        ({"x": np.full((1, 2), 0.5)}, [Input("x", (1, 2), np.int32)], "takes int32"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    arrays: dict[str, Any], inputs: list[Input], said: str
) -> None:
    with pytest.raises(Refused, match=said) as caught:
        rows_of(arrays, inputs)
    assert caught.value.kind == "DataError"


def test_a_pickle_is_no_data(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.array([{}], dtype=object))
    with pytest.raises(Refused, match="not a readable .npz"):
        read_arrays(str(path))


# ---- timing


def test_each_sample_is_the_time_of_its_own_input() -> None:
    samples, at = timed(time.sleep, [0.001, 0.003], 0, 1, 20_000_000)
    assert at == len(samples)
    assert all(sample >= 1_000_000 for sample in samples)
    assert all(sample >= 3_000_000 for sample in samples[1::2])


def test_a_call_longer_than_the_chunk_is_timed_once() -> None:
    samples, _ = timed(lambda _: time.sleep(0.01), [None], 0, 1, 0)
    assert len(samples) == 1


def test_repeats_are_divided_out() -> None:
    samples, at = timed(lambda _: time.sleep(0.002), [None], 0, 3, 1)
    assert at == 3
    assert 2_000_000 <= samples[0] < 50_000_000


def test_an_empty_call_costs_less_than_a_microsecond() -> None:
    assert empty_call_ns() < 1000


def test_the_timer_has_a_resolution() -> None:
    assert 1 <= timer_ns() < 1_000_000
