"""Watching what a model is asked and answers."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import edgekit
from edgekit.errors import DataError

Open = Callable[..., edgekit.Model]
ROW = np.array([[1.0, 2.0]], np.float32)


def test_an_observer_sees_inputs_outputs_and_latency(open_model: Open) -> None:
    model = open_model("dense")
    seen: list[edgekit.Observation] = []
    model.observe(seen.append)
    called = model(ROW)
    run = model.run({"image": ROW})
    assert len(seen) == 2
    for observation, output in zip(seen, (called, run["scores"]), strict=True):
        np.testing.assert_array_equal(observation.inputs["image"], ROW)
        np.testing.assert_array_equal(observation.outputs["scores"], output)
        assert 0 < observation.latency_ns < 10**10


def test_observers_are_removed_one_by_one(open_model: Open) -> None:
    model = open_model("dense")
    first: list[object] = []
    second: list[object] = []
    remove_first, remove_second = model.observe(first.append), model.observe(second.append)
    model(ROW)
    remove_first()
    model(ROW)
    remove_second()
    remove_second()
    model(ROW)
    assert (len(first), len(second)) == (1, 2)


def test_results_are_the_same_with_and_without_an_observer(open_model: Open) -> None:
    for name in ("echo.int8", "fashion.int8.io-int8", "scalar"):
        model = open_model(name)
        values = np.full([size or 1 for size in model.inputs[0].shape], 0.3, np.float32)
        before = model(values)
        remove = model.observe(lambda _: None)
        np.testing.assert_array_equal(model(values), before)
        remove()
        np.testing.assert_array_equal(model(values), before)


def test_a_refused_call_is_not_observed(open_model: Open) -> None:
    model = open_model("dense")
    seen: list[object] = []
    model.observe(seen.append)
    with pytest.raises(DataError):
        model(np.zeros((1, 3)))
    assert seen == []


def test_what_an_observer_raises_reaches_the_caller_and_the_model_works_on(
    open_model: Open,
) -> None:
    model = open_model("dense")

    def complain(_: edgekit.Observation) -> None:
        message = "full disk"
        raise OSError(message)

    remove = model.observe(complain)
    for _ in range(3):
        with pytest.raises(OSError, match="full disk"):
            model(ROW)
    remove()
    assert model(ROW).shape == (1, 3)


def test_every_call_of_many_threads_is_observed(open_model: Open) -> None:
    model = open_model("dense", instances=2)
    seen: list[edgekit.Observation] = []
    model.observe(seen.append)
    rows = np.random.default_rng(0).normal(size=(200, 1, 2)).astype(np.float32)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(model, rows))
    assert len(seen) == len(rows)
    pairs = {bytes(o.inputs["image"]): bytes(o.outputs["scores"]) for o in seen}
    assert pairs == {bytes(row): bytes(out) for row, out in zip(rows, results, strict=True)}
