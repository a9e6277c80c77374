"""Models that remember: explicit states, variables inside the file, and streams."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import DataError, EdgekitError, UsageError

Open = Callable[..., edgekit.Model]
Find = Callable[[str], Any]
NAMES = ("filter", "sum", "recurrent")

pytestmark = pytest.mark.board


def _play(model: edgekit.Model, case: Any) -> None:
    """Run all calls of a case, from the beginning."""
    for inputs, expected in case.calls():
        given = model.run(inputs)
        assert set(given) == set(expected)
        for name, wanted in expected.items():
            np.testing.assert_allclose(given[name], wanted, atol=case.tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_reset_begins_anew(open_model: Open, find: Find, name: str) -> None:
    model, case = open_model(name), find(name)
    for _ in range(3):
        _play(model, case)
        model.reset()
    model.run(next(case.calls())[0])
    model.reset()
    model.reset()
    _play(model, case)


@pytest.mark.parametrize("name", NAMES)
def test_two_models_of_one_file_do_not_share_what_they_remember(
    open_model: Open, find: Find, name: str
) -> None:
    case = find(name)
    one, two = open_model(name), open_model(name)
    _play(one, case)
    _play(two, case)


@pytest.mark.parametrize("name", NAMES)
def test_calling_and_running_remember_alike(open_model: Open, find: Find, name: str) -> None:
    model, case = open_model(name), find(name)
    for number, (inputs, expected) in enumerate(case.calls()):
        (array,) = inputs.values()
        (wanted,) = expected.values()
        given = model(array) if number % 2 else model.run(inputs)[next(iter(expected))]
        np.testing.assert_allclose(given, wanted, atol=case.tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_a_refused_input_changes_nothing_that_is_remembered(
    open_model: Open, find: Find, name: str
) -> None:
    model, case = open_model(name), find(name)
    for inputs, expected in case.calls():
        with pytest.raises(DataError):
            model(np.zeros((1, 3, 5, 7), np.float32))
        for key, wanted in expected.items():
            np.testing.assert_allclose(model.run(inputs)[key], wanted, atol=case.tolerance)


def test_explicit_states_are_not_among_inputs_and_outputs(open_model: Open) -> None:
    model = open_model("recurrent")
    assert [spec.name for spec in model.inputs] == ["frames"]
    assert [spec.name for spec in model.outputs] == ["word"]


def test_explicit_states_may_be_carried_by_the_caller(open_model: Open, find: Find) -> None:
    model, case = open_model("recurrent"), find("recurrent")
    pairs = {pair["input"]: pair["output"] for pair in model.manifest["states"]}
    states = {name: np.zeros((1, 5), np.float32) for name in pairs}
    for inputs, expected in case.calls():
        given = model.run({**inputs, **states})
        np.testing.assert_allclose(given["word"], expected["word"], atol=case.tolerance)
        states = {name: given[after] for name, after in pairs.items()}
    _play(model, case)  # the model's own states are still those of the beginning


def test_out_takes_results_of_a_model_that_remembers(open_model: Open, find: Find) -> None:
    model, case = open_model("recurrent"), find("recurrent")
    out = np.zeros((1, 2), np.float32)
    for inputs, expected in case.calls():
        assert model(inputs["frames"], out=out) is out
        np.testing.assert_allclose(out, expected["word"], atol=case.tolerance)


def test_several_instances_cannot_share_what_is_remembered(find: Find) -> None:
    for name in NAMES:
        with pytest.raises(UsageError, match="instances=2"):
            edgekit.load(find(name).path, instances=2)


def test_a_stream_feeds_windows_whatever_the_chunks(open_model: Open, find: Find) -> None:
    model, case = open_model("recurrent"), find("recurrent")
    calls = list(case.calls())
    signal = np.concatenate([inputs["frames"][0] for inputs, _ in calls])
    for sizes in ([len(signal)], [1] * len(signal), [2, 5, 1, 7, 3]):
        stream, at, outputs = model.stream(), 0, []
        for size in sizes:
            outputs += [window.output for window in stream.feed(signal[at : at + size])]
            at += size
        assert len(outputs) == len(calls)
        for output, (_, expected) in zip(outputs, calls, strict=True):
            np.testing.assert_allclose(output, expected["word"], atol=case.tolerance)


def test_windows_of_a_stream_overlap_as_asked(open_model: Open) -> None:
    model = open_model("sequence")
    signal = np.random.default_rng(3).random((40, 4), np.float32)
    stream = model.stream(window=8, hop=3)
    seen = [window for at in range(0, 40, 5) for window in stream.feed(signal[at : at + 5])]
    assert [window.start for window in seen] == list(range(0, 33, 3))
    for window in seen:
        alone = model(signal[window.start : window.start + 8][None])
        np.testing.assert_array_equal(window.output, alone)


def test_what_is_left_in_a_stream_is_flushed(open_model: Open) -> None:
    model = open_model("sequence")
    stream = model.stream(window=8)
    signal = np.random.default_rng(4).random((11, 4), np.float32)
    assert len(stream.feed(signal)) == 1
    (last,) = stream.flush()
    padded = np.concatenate([signal[8:], np.zeros((5, 4), np.float32)])
    np.testing.assert_array_equal(last.output, model(padded[None]))
    assert stream.flush() == []


def test_a_stream_says_what_does_not_fit(open_model: Open) -> None:
    model = open_model("sequence")
    for options in ({}, {"window": 0}, {"window": 4, "hop": 0}):
        with pytest.raises(UsageError):
            model.stream(**options)
    stream = model.stream(window=4)
    for chunk in (np.zeros((3, 5), np.float32), [["a"]], [[1.0], [1.0, 2.0]]):
        with pytest.raises(DataError, match="chunk"):
            stream.feed(chunk)
    assert len(stream.feed(np.zeros((4, 4), np.float32))) == 1


def test_a_model_of_several_inputs_cannot_be_streamed(open_model: Open) -> None:
    with pytest.raises(EdgekitError, match="stream"):
        open_model("pair").stream()
