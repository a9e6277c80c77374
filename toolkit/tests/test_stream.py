import json
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgekit
from edgekit.errors import ClosedError, DataError, UsageError, VerificationError
from edgekit.stream import Window
from edgekit.tensors import Quantization, TensorSpec

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

Shape = tuple[int | str, ...]


def echo_onnx(shape: Shape = (1, 4, 2), *, scale: str = "", dtype: str = "float32") -> bytes:
    """Gives back what goes in, so that every result shows its window."""
    from onnx import TensorProto, helper

    element = getattr(TensorProto, {"float32": "FLOAT"}.get(dtype, dtype.upper()))
    graph = helper.make_graph(
        [helper.make_node("Identity", ["signal"], ["echo"])],
        "echo",
        [helper.make_tensor_value_info("signal", element, shape)],
        [helper.make_tensor_value_info("echo", element, shape)],
    )
    steps = {"steps": [{"name": "scale", "values": [1 / 32768]}]}
    return _serialized(graph, {"preprocess": {"signal": steps}} if scale else {})


def quantized_onnx() -> bytes:
    """``(1, 4)`` of int8 with a scale of 0.5."""
    from onnx import TensorProto, helper

    values = [
        helper.make_tensor_value_info(name, TensorProto.INT8, (1, 4)) for name in ("signal", "echo")
    ]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["signal"], ["echo"])], "quantized", values[:1], values[1:]
    )
    specs = [
        TensorSpec(
            name=value.name,
            shape=(1, 4),
            dtype="int8",
            quantization=Quantization(scale=(0.5,), zero_point=(0,)),
        ).to_dict()
        for value in values
    ]
    return _serialized(graph, {"inputs": specs[:1], "outputs": specs[1:]})


def sum_onnx(factor: float = 1.0) -> bytes:
    """``(1, 4)`` in, the sum of all windows so far out; the sum is an explicit state."""
    from onnx import TensorProto, helper

    def value(name: str, shape: Shape) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["signal", "axes"], ["part"], keepdims=1),
            helper.make_node("Mul", ["part", "factor"], ["scaled"]),
            helper.make_node("Add", ["scaled", "state_0"], ["state_0_next"]),
            helper.make_node("Identity", ["state_0_next"], ["total"]),
        ],
        "sum",
        [value("signal", (1, 4)), value("state_0", (1, 1))],
        [value("total", (1, 1)), value("state_0_next", (1, 1))],
        [
            helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
            helper.make_tensor("factor", TensorProto.FLOAT, [], [factor]),
        ],
    )
    return _serialized(graph, {"states": [{"input": "state_0", "output": "state_0_next"}]})


def _serialized(graph: Any, manifest: dict[str, Any]) -> bytes:
    from onnx import helper

    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    if manifest:
        helper.set_model_props(model, {"edgekit.manifest": json.dumps(manifest)})
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture(scope="module")
def echo() -> Iterator[edgekit.Model]:
    with edgekit.load(echo_onnx()) as model:
        yield model


@pytest.fixture(scope="module")
def free_echo() -> Iterator[edgekit.Model]:
    with edgekit.load(echo_onnx((1, "samples"))) as model:
        yield model


@pytest.fixture
def summing() -> Iterator[edgekit.Model]:
    with edgekit.load(sum_onnx()) as model:
        yield model


def pairs(count: int) -> Any:
    """`count` samples of two channels, all different."""
    return np.arange(count * 2, dtype=np.float32).reshape(count, 2)


def cut(samples: Any, sizes: list[int]) -> Iterator[Any]:
    """Pieces of these sizes, over and over, to the end."""
    at = turn = 0
    while at < len(samples):
        size = sizes[turn % len(sizes)]
        yield samples[at : at + size]
        at, turn = at + size, turn + 1


def shown(windows: list[Window]) -> list[tuple[int, list[float]]]:
    return [(window.start, np.ravel(window.output).tolist()) for window in windows]


@given(
    total=st.integers(0, 60),
    window=st.integers(1, 9),
    hop=st.integers(1, 14),
    sizes=st.lists(st.integers(0, 25), min_size=1, max_size=6).filter(any),
)
@settings(deadline=None, max_examples=150)
def test_however_a_signal_is_cut_each_window_comes_once_and_whole(
    free_echo: edgekit.Model, total: int, window: int, hop: int, sizes: list[int]
) -> None:
    signal = np.arange(1, total + 1, dtype=np.float32)
    stream = free_echo.stream(window, hop)
    made = [one for chunk in cut(signal, sizes) for one in stream.feed(chunk)]
    starts = range(0, total - window + 1, hop)
    assert shown(made) == [(at, signal[at : at + window].tolist()) for at in starts]
    covered = starts[-1] + window if starts else 0
    rest = starts[-1] + hop if starts else 0
    last = [] if covered >= total or rest >= total else [(rest, signal[rest:].tolist())]
    padded = [(at, part + [0.0] * (window - len(part))) for at, part in last]
    assert shown(stream.flush()) == padded


@given(sizes=st.lists(st.integers(1, 11), min_size=1, max_size=5))
@settings(deadline=None, max_examples=40)
def test_states_do_not_depend_on_how_a_signal_is_cut(sizes: list[int]) -> None:
    signal = np.arange(41, dtype=np.float32)
    with edgekit.load(sum_onnx()) as model:
        stream = model.stream()
        made = [one for chunk in cut(signal, sizes) for one in stream.feed(chunk)]
    assert [float(one.output[0, 0]) for one in made] == [
        signal[: end + 4].sum() for end in range(0, 40, 4)
    ]


def test_window_and_hop_are_what_the_model_takes(echo: edgekit.Model) -> None:
    stream = echo.stream()
    assert (stream.window, stream.hop) == (4, 4)
    assert echo.stream(window=4, hop=1).hop == 1


def test_a_single_array_is_run_at_once(echo: edgekit.Model) -> None:
    made = echo.stream().feed(pairs(9))
    assert [one.start for one in made] == [0, 4]
    np.testing.assert_array_equal(made[1].output[0], pairs(9)[4:8])


def test_results_are_the_callers_own(echo: edgekit.Model) -> None:
    stream, samples = echo.stream(hop=2), pairs(7)
    made = stream.feed(samples)
    before = shown(made)
    samples[:] = -1
    stream.feed(pairs(40) - 100)
    assert shown(made) == before


def test_a_chunk_that_is_changed_afterwards_does_not_change_its_window(echo: edgekit.Model) -> None:
    stream, chunk = echo.stream(), pairs(3)
    assert stream.feed(chunk) == []
    chunk[:] = -1
    assert shown(stream.feed(pairs(4)[3:])) == [(0, pairs(4).ravel().tolist())]


def test_samples_are_taken_as_the_model_takes_them() -> None:
    with edgekit.load(echo_onnx((1, 4))) as model:
        sound = np.array([0, 1, -32768, 32767], np.int16)
        np.testing.assert_array_equal(model.stream().feed(sound)[0].output, model(sound[None]))
        big = sound.astype(">i2")
        np.testing.assert_array_equal(model.stream().feed(big)[0].output, model(sound[None]))
        assert shown(model.stream().feed([1, 2, 3, 4])) == [(0, [1, 2, 3, 4])]


def test_steps_of_the_file_are_applied_to_each_window() -> None:
    with edgekit.load(echo_onnx((1, 4), scale="1/32768")) as model:
        stream = model.stream(hop=2)
        made = stream.feed(np.array([0, 16384, -32768, 8192, 0, 0], np.int16))
        assert shown(made) == [(0, [0, 0.5, -1, 0.25]), (2, [-1, 0.25, 0, 0])]


def test_steps_given_to_load_are_applied_too() -> None:
    with edgekit.load(echo_onnx((1, 2, 2)), preprocess="mean=1:2") as model:
        assert shown(model.stream().feed([[1, 2], [3, 4]])) == [(0, [0, 0, 2, 2])]


@pytest.mark.parametrize(
    ("shape", "chunk"),
    [
        ((1, 4), (4, 1)),
        ((1, 4, 1), (4,)),
        ((1, 4, 3, 1), (4, 3)),
        ((1, 4, 3), (4, 3, 1)),
        ((4,), (4,)),
        (("batch", 4), (4,)),
        ((1, 4, "channels"), (4, 5)),
    ],
)
def test_axes_of_one_may_be_left_out(shape: Shape, chunk: tuple[int, ...]) -> None:
    with edgekit.load(echo_onnx(shape)) as model:
        samples = np.arange(np.prod(chunk), dtype=np.float32).reshape(chunk)
        made = model.stream().feed(samples)
        assert shown(made) == [(0, samples.ravel().tolist())]


def test_integers_of_the_files_own_dtype_pass_through_and_numbers_are_quantized() -> None:
    with edgekit.load(quantized_onnx()) as model:
        assert shown(model.stream().feed(np.array([1, 2, 3, 4], np.int8))) == [
            (0, [0.5, 1, 1.5, 2])
        ]
        assert shown(model.stream().feed(np.array([0.5, 1, 1.6, 99]))) == [(0, [0.5, 1, 1.5, 63.5])]


def test_a_chunk_with_nan_for_a_quantized_model_is_left_out() -> None:
    with edgekit.load(quantized_onnx()) as model:
        stream = model.stream()
        stream.feed([1.0, 2.0])
        with pytest.raises(DataError, match="NaN has no value in a quantized model"):
            stream.feed([3.0, np.nan])
        assert shown(stream.feed([3.0, 4.0])) == [(0, [1, 2, 3, 4])]


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (np.zeros((3, 3)), r"shape \(3, 3\), the model takes \(samples, 2\); reshape it"),
        (np.zeros(3), r"shape \(3,\)"),
        (1.0, r"shape \(\)"),
        ([[1.0, 2.0], [3.0]], "no array .*give rows of equal length"),
        ([["a", "b"]], "the model takes numbers; convert it"),
        (np.zeros((1, 2), np.int16), "is int16, earlier ones were float32; convert it, or reset"),
        (np.zeros((1, 2), complex), "is complex128, the model takes numbers"),
    ],
)
def test_a_chunk_that_does_not_fit_is_told_and_left_out(
    echo: edgekit.Model, chunk: Any, message: str
) -> None:
    stream = echo.stream()
    stream.feed(pairs(2))
    with pytest.raises(DataError, match=message):
        stream.feed(chunk)
    assert shown(stream.feed(pairs(4)[2:])) == [(0, pairs(4).ravel().tolist())]


def test_empty_chunks_change_nothing(echo: edgekit.Model) -> None:
    stream = echo.stream()
    assert stream.feed([]) == []
    assert stream.feed(np.zeros((0, 2), np.int16)) == []
    assert len(stream.feed(pairs(4))) == 1


def test_flush_pads_the_rest_with_what_is_silence() -> None:
    with edgekit.load(echo_onnx((1, 4))) as model:
        stream = model.stream()
        stream.feed(np.array([1, 2, 3, 4, 5], np.uint8))
        assert shown(stream.flush(pad=128)) == [(4, [5, 128, 128, 128])]
        assert stream.flush() == []
        assert shown(stream.feed([6.0, 7.0, 8.0, 9.0])) == [(5, [6, 7, 8, 9])]


def test_flush_has_nothing_to_run_where_a_window_had_all(echo: edgekit.Model) -> None:
    stream = echo.stream(hop=1)
    stream.feed(pairs(6))
    assert stream.flush() == []


@pytest.mark.parametrize("pad", [0.5, 256, -1, float("nan")])
def test_flush_refuses_what_the_dtype_has_not(echo: edgekit.Model, pad: float) -> None:
    stream = echo.stream()
    stream.feed(np.ones((1, 2), np.uint8))
    with pytest.raises(DataError, match="is no uint8, as the samples are; give one that is"):
        stream.flush(pad)
    assert len(stream.flush()) == 1


def test_reset_forgets_samples_dtype_and_states(summing: edgekit.Model) -> None:
    stream = summing.stream()
    stream.feed(np.ones(7, np.float32))
    stream.reset()
    assert shown(stream.feed(np.ones(4, np.int16))) == [(0, [4])]


def test_streams_of_one_model_have_states_of_their_own(summing: edgekit.Model) -> None:
    first, second = summing.stream(), summing.stream()
    assert summing(np.full((1, 4), 100, np.float32)) == 400
    assert shown(first.feed(np.ones(8))) == [(0, [4]), (4, [8])]
    assert shown(second.feed(np.full(8, 2))) == [(0, [8]), (4, [16])]
    assert shown(first.feed(np.ones(4))) == [(8, [12])]
    assert summing(np.full((1, 4), 100, np.float32)) == 800


def test_streams_in_threads_of_their_own_do_not_disturb_each_other(summing: edgekit.Model) -> None:
    def total(step: int) -> float:
        stream = summing.stream()
        made = [stream.feed(np.full(3, step, np.float32)) for _ in range(400)]
        return float(made[-1][-1].output[0, 0])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(total, range(4))) == [1200 * step for step in range(4)]


def test_a_swapped_file_begins_with_new_states(summing: edgekit.Model) -> None:
    stream = summing.stream()
    assert shown(stream.feed(np.ones(6))) == [(0, [4])]
    summing.swap(sum_onnx(factor=10))
    assert shown(stream.feed(np.ones(6))) == [(4, [40]), (8, [80])]


def test_the_steps_of_a_swapped_file_are_taken() -> None:
    with edgekit.load(echo_onnx((1, 2))) as model:
        stream = model.stream()
        model.swap(echo_onnx((1, 2), scale="1/32768"))
        assert shown(stream.feed(np.array([16384, 0], np.int16))) == [(0, [0.5, 0])]


def test_windows_of_a_model_with_states_follow_without_a_gap(summing: edgekit.Model) -> None:
    for hop in (2, 8):
        with pytest.raises(UsageError, match=f"hop={hop}: .* carries state .*leave the hop out"):
            summing.stream(hop=hop)
    assert summing.stream(hop=4).hop == 4


@pytest.mark.parametrize(
    ("shape", "window", "hop", "message"),
    [
        ((1, 4), 5, None, "window=5: the input 'signal' takes 4 samples; give that"),
        ((1, 4), 0, None, "window=0: .* takes 4 samples"),
        ((1, "n"), None, None, "takes any number of samples; give window="),
        ((1, "n"), -1, None, "window=-1: .* takes 1 or more samples"),
        ((1, 4), None, 0, "hop=0: not a number of samples; give 1 or more"),
        ((2, 4), None, None, r"is float32 \(2, 4\), not one window .*call the model yourself"),
    ],
)
def test_what_cannot_be_streamed_is_told(
    shape: Shape, window: int | None, hop: int | None, message: str
) -> None:
    with (
        edgekit.load(echo_onnx(shape)) as model,
        pytest.raises(UsageError, match=message),
    ):
        model.stream(window, hop)


def test_after_an_error_of_a_window_the_next_sample_begins_one(echo: edgekit.Model) -> None:
    def fail(_: Any) -> None:
        message = "echo: failed; try again"
        raise VerificationError(message)

    stream = echo.stream()
    stream.feed(pairs(3))
    remove = echo.observe(fail)
    with pytest.raises(VerificationError):
        stream.feed(pairs(4))
    remove()
    assert shown(stream.feed(pairs(4))) == [(7, pairs(4).ravel().tolist())]


def test_observers_may_keep_what_they_see(echo: edgekit.Model) -> None:
    seen: list[Any] = []
    remove = echo.observe(lambda observation: seen.append(observation.inputs["signal"]))
    stream = echo.stream(hop=2)
    for chunk in cut(pairs(20), [3]):
        stream.feed(chunk)
    remove()
    assert [one[0].tolist() for one in seen] == [
        pairs(20)[at : at + 4].tolist() for at in range(0, 17, 2)
    ]


def test_a_closed_model_says_so() -> None:
    model = edgekit.load(echo_onnx())
    stream = model.stream()
    model.close()
    with pytest.raises(ClosedError, match="is closed; load it again"):
        stream.feed(pairs(4))


def test_a_tflite_file_streams_like_an_onnx_file(request: Any) -> None:
    path = request.getfixturevalue("tiny_tflite")(weights=np.eye(4, dtype=np.float32))
    with edgekit.load(path) as model:
        made = model.stream(hop=3).feed(np.arange(8, dtype=np.float32))
        assert shown(made) == [(0, [0, 1, 2, 3]), (3, [3, 4, 5, 6])]


def test_hours_of_a_signal_need_no_more_memory_than_minutes(free_echo: edgekit.Model) -> None:
    stream = free_echo.stream(400, 160)
    chunk = np.zeros(333, np.float32)
    for _ in range(50):
        stream.feed(chunk)
    tracemalloc.start()
    try:
        for _ in range(20):
            stream.feed(chunk)
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(2000):
            stream.feed(chunk)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4000
