from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import onnx_file, tflite_file
from edgekit.graph import Graph, Tensor
from edgekit.tensors import Quantization
from edgekit.weights import count_zeros, weigh

Build = Callable[..., Path]


def stored(array: Any, *, zero_point: int | None = None) -> Tensor:
    quantization = None
    if zero_point is not None:
        quantization = Quantization(scale=(0.1,), zero_point=(zero_point,))
    return Tensor(
        name="w",
        shape=array.shape,
        dtype=array.dtype.name,
        quantization=quantization,
        constant=memoryview(array.tobytes()),
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "int16", "int32"])
@given(data=st.lists(st.sampled_from([0, 0, 1, -3, 2]), min_size=1, max_size=50))
def test_zeros_are_counted_in_every_type(dtype: str, data: list[int]) -> None:
    assert count_zeros(stored(np.array(data, dtype))) == data.count(0)


def test_minus_zero_is_zero() -> None:
    for dtype in ("float16", "float32", "float64"):
        assert count_zeros(stored(np.array([-0.0, 0.0, 1.0], dtype))) == 2


def test_bytes_across_two_numbers_are_no_zero() -> None:
    array = np.frombuffer(b"\x01\x00\x00\x00\x00\x00\x00\x01", np.float32)
    assert count_zeros(stored(array)) == 0


def test_a_large_weight_is_counted_like_numpy_does() -> None:
    array = np.random.default_rng(1).standard_normal(100_000).astype(np.float32)
    array[::7] = 0
    assert count_zeros(stored(array)) == int((array == 0).sum())


def test_of_quantized_weights_the_zero_point_is_zero() -> None:
    array = np.array([3, 0, 3, 128], np.uint8)
    assert count_zeros(stored(array, zero_point=3)) == 2
    assert count_zeros(stored(array, zero_point=128)) == 1
    assert count_zeros(stored(np.array([-5, 0], np.int8), zero_point=-5)) == 1


@given(st.lists(st.integers(-8, 7), min_size=2, max_size=40).filter(lambda it: len(it) % 2 == 0))
def test_zeros_are_counted_among_packed_numbers(numbers: list[int]) -> None:
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    packed = bytes((low & 15) | (high & 15) << 4 for low, high in pairs)
    tensor = Tensor(name="w", shape=(len(numbers),), dtype="int4", constant=memoryview(packed))
    assert count_zeros(tensor) == numbers.count(0)


def test_different_zero_points_are_not_guessed() -> None:
    quantization = Quantization(scale=(0.1, 0.2), zero_point=(0, 5), axis=0)
    tensor = Tensor(
        name="w", shape=(2,), dtype="int8", quantization=quantization, constant=memoryview(b"ab")
    )
    assert count_zeros(tensor) is None


def test_a_sparse_weight_is_zero_where_nothing_is_stored() -> None:
    tensor = Tensor(
        name="w", shape=(10,), dtype="float32", constant=memoryview(bytes(12)), is_sparse=True
    )
    assert count_zeros(tensor) == 7


def test_weights_of_a_tflite_file(tiny_tflite: Build) -> None:
    facts = weigh(tflite_file.read(tiny_tflite()))
    assert (facts.parameters, facts.bytes, facts.zeros) == (6, 24, 0)
    assert facts.by_dtype == {"float32": 6}
    assert weigh(tflite_file.read(tiny_tflite(io="int8"))).by_dtype == {"int8": 6}


def test_scales_and_zero_points_are_no_weights(tiny_onnx: Build) -> None:
    facts = weigh(onnx_file.read(tiny_onnx(io="int8")))
    assert facts.by_dtype == {"float32": 6}


def onnx_weights(path: Path, nodes: list[Any], weights: dict[str, Any]) -> Any:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper = onnx.helper
    graph = helper.make_graph(
        [
            helper.make_node(name, inputs, outputs, **options)
            for name, inputs, outputs, options in nodes
        ],
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 32])],
        [helper.make_tensor_value_info("y", 1, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return weigh(onnx_file.read(path))


def test_matrices_of_four_bits_are_counted_by_their_numbers(tmp_path: Path) -> None:
    blocks = np.full((3, 1, 16), 0x88, np.uint8)  # 3 rows of 32 numbers, all in the middle
    blocks[0, 0, :] = 0x18
    options = {"domain": "com.microsoft", "K": 32, "N": 3, "bits": 4, "block_size": 32}
    facts = onnx_weights(
        tmp_path / "m.onnx",
        [("MatMulNBits", ["x", "b", "scales"], ["y"], options)],
        {"b": blocks, "scales": np.ones(3, np.float32)},
    )
    assert facts.by_dtype == {"uint4": 96}
    assert facts.zeros == 80


def test_scales_that_integer_weights_are_multiplied_by_are_no_weights(tmp_path: Path) -> None:
    facts = onnx_weights(
        tmp_path / "m.onnx",
        [
            ("Cast", ["w"], ["f"], {"to": 1}),
            ("Mul", ["f", "scales"], ["m"], {}),
            ("MatMul", ["x", "m"], ["p"], {}),
            ("Mul", ["p", "gain"], ["y"], {}),
        ],
        {
            "w": np.ones((32, 5), np.int8),
            "scales": np.ones((1, 5), np.float32),
            "gain": np.ones(5, np.float32),
        },
    )
    assert facts.by_dtype == {"int8": 160, "float32": 5}


def test_the_same_bytes_used_twice_count_once() -> None:
    array = np.ones((2, 2), np.float32)
    one = stored(array)
    graph = Graph(
        format="tflite",
        inputs=(),
        outputs=(),
        operators=(),
        tensors={"0:0": one, "0:1": one, "0:2": stored(array)},
        metadata={},
        versions={},
    )
    assert weigh(graph).parameters == 8


def test_a_model_without_weights_has_no_sparsity() -> None:
    graph = Graph(
        format="tflite",
        inputs=(),
        outputs=(),
        operators=(),
        tensors={},
        metadata={},
        versions={},
    )
    facts = weigh(graph)
    assert (facts.parameters, facts.sparsity) == (0, None)
