"""Another file for a model in service."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import ClosedError, EdgekitError, SourceError, VerificationError

Open = Callable[..., edgekit.Model]
Find = Callable[[str], Any]
ROW = np.array([[1.0, 2.0]], np.float32)
SCORES = np.array([[2.0, 1.0, -1.5]], np.float32)


@pytest.mark.board
def test_the_new_file_serves_after_a_swap(open_model: Open, find: Find) -> None:
    model = open_model("dense")
    np.testing.assert_allclose(model(ROW), SCORES, rtol=1e-6)
    model.swap(find("dense.doubled").path)
    np.testing.assert_allclose(model(ROW), 2 * SCORES, rtol=1e-6)
    assert model.path == str(find("dense.doubled").path)
    model.swap(find("dense").path.read_bytes())
    np.testing.assert_allclose(model(ROW), SCORES, rtol=1e-6)
    assert model.path is None


@pytest.mark.parametrize("instances", [1, 3])
def test_no_call_is_lost_or_mixed_while_files_are_swapped(
    open_model: Open, find: Find, instances: int
) -> None:
    model = open_model("dense", instances=instances)
    paths = [find("dense").path, find("dense.doubled").path]
    wanted = {array.tobytes() for array in (model(ROW), 2 * model(ROW))}
    stop = threading.Event()

    def work(_: int) -> tuple[int, int]:
        right = calls = 0
        while not stop.is_set():
            right += model(ROW).tobytes() in wanted
            calls += 1
        return right, calls

    with ThreadPoolExecutor(8) as pool:
        counts = [pool.submit(work, number) for number in range(8)]
        for number in range(30):
            model.swap(paths[(number + 1) % 2])
            time.sleep(0.005)
        stop.set()
        results = [one.result(timeout=30) for one in counts]
    assert all(right == calls and calls for right, calls in results), results
    assert model.instances == instances
    np.testing.assert_allclose(model(ROW), SCORES, rtol=1e-6)


def test_a_call_after_a_swap_is_never_answered_by_the_old_file(
    open_model: Open, find: Find
) -> None:
    model = open_model("dense", instances=2)
    stop = threading.Event()

    def load(_: int) -> None:
        while not stop.is_set():
            model(ROW)

    with ThreadPoolExecutor(4) as pool:
        busy = [pool.submit(load, number) for number in range(4)]
        try:
            for number in range(20):
                factor = 1 + (number + 1) % 2
                model.swap(find("dense.doubled" if factor == 2 else "dense").path)
                np.testing.assert_allclose(model(ROW), factor * SCORES, rtol=1e-6)
        finally:
            stop.set()
        for one in busy:
            one.result(timeout=30)


def test_swaps_from_several_threads_come_one_after_the_other(open_model: Open, find: Find) -> None:
    model = open_model("dense", instances=2)
    paths = [find(name).path for name in ("dense", "dense.doubled")]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(model.swap, paths * 8))
    model.swap(paths[1])
    np.testing.assert_allclose(model(ROW), 2 * SCORES, rtol=1e-6)


def test_a_bad_file_leaves_the_old_one_serving(
    open_model: Open, find: Find, tmp_path: Path
) -> None:
    model = open_model("dense")
    whole: Path = find("dense").path
    cut = tmp_path / "cut.bin"
    cut.write_bytes(whole.read_bytes()[:100])
    for bad in (cut, tmp_path / "missing", b"no model", find("refused.custom").path):
        with pytest.raises((SourceError, VerificationError)):
            model.swap(bad)
        np.testing.assert_allclose(model(ROW), SCORES, rtol=1e-6)
        assert model.path == str(whole)


@pytest.mark.parametrize("name", ["dense.other", "dense.batch-4", "echo.float32", "pair"])
def test_a_file_with_another_interface_is_refused(open_model: Open, find: Find, name: str) -> None:
    model = open_model("dense")
    with pytest.raises(EdgekitError, match=name):
        model.swap(find(name).path)
    np.testing.assert_allclose(model(ROW), SCORES, rtol=1e-6)


@pytest.mark.board
def test_a_quantized_file_may_take_the_place_of_a_float_one(open_model: Open, find: Find) -> None:
    model, case = open_model("fashion.float32"), find("fashion.int8.io-int8")
    model.swap(case.path)
    inputs, expected = next(case.calls())
    given = model.run(inputs)
    np.testing.assert_allclose(given["scores"], expected["scores"], atol=case.tolerance)
    assert model.outputs[0].dtype == "int8"


def test_observers_stay_and_states_begin_anew(open_model: Open, find: Find) -> None:
    model, case = open_model("recurrent"), find("recurrent")
    seen: list[edgekit.Observation] = []
    model.observe(seen.append)
    inputs, expected = next(case.calls())
    model.run(inputs)
    model.swap(case.path)
    given = model.run(inputs)
    np.testing.assert_allclose(given["word"], expected["word"], atol=case.tolerance)
    assert len(seen) == 2


def test_a_closed_model_is_not_swapped(open_model: Open, find: Find) -> None:
    model = open_model("dense")
    model.close()
    with pytest.raises(ClosedError):
        model.swap(find("dense.doubled").path)
