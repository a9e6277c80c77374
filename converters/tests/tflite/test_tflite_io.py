from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit_converters.tflite_graph import operator_name, read_model, schema, text, walk
from edgekit_converters.tflite_io import set_io
from edgekit_converters.tflite_quantize import calibrate, quantize


def _details(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path)).get_signature_runner()
    return runner.get_input_details(), runner.get_output_details()


def _stored(values: Any, detail: Any) -> Any:
    scale, zero_point = detail["quantization"]
    if not scale:
        return values
    limits = np.iinfo(detail["dtype"])
    stored = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max)
    return stored.astype(detail["dtype"])


def _real(values: Any, detail: Any) -> Any:
    scale, zero_point = detail["quantization"]
    return (values.astype(np.float32) - zero_point) * scale if scale else values


@pytest.fixture
def two_and_two(tiny_graph: Any, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """An image, token ids and a float vector in; scores and a sum out."""
    graph = tiny_graph()
    image, tokens = graph.input("image", (1, 8)), graph.input("tokens", (4,), "int32")
    extra = graph.input("extra", (1, 4))
    table = graph.weights(300, 8)
    rows = graph.add("GATHER", [table, tokens], (4, 8), options="GatherOptions")
    mean = graph.add(
        "MEAN", [rows, graph.constant(np.array([0]))], (1, 8), options="ReducerOptions",
        keepDims=True,
    )  # fmt: skip
    total = graph.add("ADD", [image, mean], (1, 8), options="AddOptions")
    joined = graph.add(
        "CONCATENATION", [total, extra], (1, 12), options="ConcatenationOptions", axis=1
    )
    path = graph.save(
        tmp_path / "two.tflite", scores=graph.dense(joined, 5), total=graph.dense(total, 3)
    )
    rng = np.random.default_rng(0)
    samples = {
        "image": rng.normal(size=(16, 1, 8)).astype(np.float32),
        "tokens": rng.integers(0, 300, (16, 4)).astype(np.int32),
        "extra": rng.normal(size=(16, 1, 4)).astype(np.float32) * 3,
    }
    return path, samples


@pytest.mark.parametrize(("io", "dtype"), [("int8", np.int8), ("uint8", np.uint8)])
def test_only_float_inputs_and_outputs_become_integers(
    two_and_two: tuple[Path, dict[str, Any]], tmp_path: Path, io: Any, dtype: Any
) -> None:
    source, samples = two_and_two
    out = tmp_path / "out.tflite"
    quantize(source, out, "int8", samples=samples, io=io)
    inputs, outputs = _details(out)
    assert {name: d["dtype"] for name, d in inputs.items()} == {
        "image": dtype, "tokens": np.int32, "extra": dtype,
    }  # fmt: skip
    assert {name: d["dtype"] for name, d in outputs.items()} == {"scores": dtype, "total": dtype}


@pytest.mark.parametrize("io", ["int8", "uint8"])
def test_integers_in_and_out_say_what_floats_in_and_out_say(
    two_and_two: tuple[Path, dict[str, Any]], tmp_path: Path, io: Any, run_tflite: Any
) -> None:
    source, samples = two_and_two
    floats, integers = tmp_path / "float.tflite", tmp_path / "integer.tflite"
    ranges = calibrate(source, samples)
    quantize(source, floats, "int8", samples=ranges)
    quantize(source, integers, "int8", samples=ranges, io=io)
    inputs, outputs = _details(integers)
    stored = {name: _stored(values, inputs[name]) for name, values in samples.items()}
    expected, given = run_tflite(floats, samples), run_tflite(integers, stored)
    for name, detail in outputs.items():
        # Rounding outside and inside the graph may differ by one step at a tie.
        step = detail["quantization"][0]
        assert np.abs(_real(given[name], detail) - expected[name]).max() <= 1.01 * step


def test_uint8_is_int8_moved_by_128(classifier: Path, images: Any, tmp_path: Path) -> None:
    ranges = calibrate(classifier, images)
    found = {}
    for io in ("int8", "uint8"):
        out = tmp_path / f"{io}.tflite"
        quantize(classifier, out, "int8", samples=ranges, io=io)
        found[io] = np.array([d["quantization"] for side in _details(out) for d in side.values()])
    assert found["uint8"] == pytest.approx(found["int8"] + [0, 128])


def test_tensor_names_stay(classifier: Path, images: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.tflite"
    quantize(classifier, out, "int8", samples=images, io="uint8")
    main = read_model(out).subgraphs[0]
    assert text(main.tensors[main.inputs[0]].name) == "serving_image"
    assert text(main.tensors[main.outputs[0]].name) == "softmax"


def test_int8_ends_need_no_casts_at_all(classifier: Path, images: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.tflite"
    quantize(classifier, out, "int8", samples=images, io="int8")
    names = [name for _, _, name in walk(read_model(out))]
    assert names == ["CONV_2D", "LEAKY_RELU", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]


def test_an_output_of_a_float_operator_stays_float_and_is_named(
    classifier: Path, images: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out.tflite"
    quantize(classifier, out, "int8", samples=images, keep_float=frozenset({"softmax"}))
    model = read_model(out)
    assert set_io(model, "int8") == ("softmax",)
    assert model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].type == schema().TensorType.INT8


def test_an_input_that_is_read_as_float_too_is_expanded_for_it(
    tiny_graph: Any, tmp_path: Path, run_tflite: Any
) -> None:
    graph = tiny_graph()
    x = graph.input("x", (1, 8))
    sine = graph.add("SIN", [x], (1, 8))  # has no integer form
    path = graph.save(tmp_path / "x.tflite", y=graph.dense(x, 4), z=sine)
    samples = {"x": np.random.default_rng(0).normal(size=(8, 1, 8)).astype(np.float32)}
    out = tmp_path / "out.tflite"
    quantize(path, out, "int8", samples=samples, io="int8")
    inputs, outputs = _details(out)
    assert (inputs["x"]["dtype"], outputs["z"]["dtype"]) == (np.int8, np.float32)
    given = run_tflite(out, {"x": _stored(samples["x"], inputs["x"])})
    assert np.abs(given["z"] - np.sin(samples["x"])).max() < inputs["x"]["quantization"][0]


def test_float32_changes_nothing(classifier: Path) -> None:
    model = read_model(classifier)
    assert set_io(model, "float32") == ()
    assert operator_name(model, model.subgraphs[0].operators[0]) == "CONV_2D"
