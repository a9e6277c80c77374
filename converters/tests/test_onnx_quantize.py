"""Compressed ONNX files, made from tiny float models and run by ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.errors import ConversionError, DataError, SourceError, UsageError
from edgekit_converters.onnx_quantize import calibrate, io_quantization, operators, quantize

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

PRECISIONS = ("float16", "dynamic", "int8", "int16x8")
BOUNDS = {"float16": 0.001, "dynamic": 0.02, "int8": 0.05, "int16x8": 0.02, "int4": 0.2}


def node(op_type: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    return onnx.helper.make_node(
        op_type,
        inputs.split(),
        outputs.split(),
        name=outputs.split(maxsplit=1)[0] + "_op",
        **attributes,
    )


def save(
    path: Path,
    nodes: list[Any],
    weights: dict[str, NDArray[Any]],
    inputs: dict[str, list[Any]],
    outputs: list[str],
    *,
    integer_inputs: tuple[str, ...] = (),
) -> Path:
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(
                name, kinds.INT32 if name in integer_inputs else kinds.FLOAT, shape
            )
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info(name, kinds.FLOAT, None) for name in outputs],
        [
            onnx.numpy_helper.from_array(v.astype(np.float32) if v.dtype.kind == "f" else v, name)
            for name, v in weights.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def normal(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
    """The same values for the same shape, whatever test asks."""
    return (np.random.default_rng(shape).standard_normal(shape) * scale).astype(np.float32)


def run(path: Path, feeds: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    results: list[NDArray[Any]] = session.run(None, feeds)
    return results


def difference(given: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Relative RMS error."""
    return float(np.sqrt(np.mean((given - wanted) ** 2) / np.mean(wanted**2)))


def op_types(path: Path) -> list[str]:
    return [one.op_type for one in onnx.load(str(path)).graph.node]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Convolutions with a residual connection, a pool, and a dense layer with softmax."""
    return save(
        tmp_path / "images.onnx",
        [
            node("Conv", "image w1 b1", "c1", pads=[1, 1, 1, 1]),
            node("Relu", "c1", "r1"),
            node("Conv", "r1 w2 b2", "c2", pads=[1, 1, 1, 1]),
            node("Add", "c2 r1", "sum"),
            node("Relu", "sum", "r2"),
            node("GlobalAveragePool", "r2", "pooled"),
            node("Flatten", "pooled", "flat"),
            node("Gemm", "flat w3 b3", "logits"),
            node("Softmax", "logits", "scores"),
        ],
        {
            "w1": normal(32, 3, 3, 3, scale=0.3),
            "b1": normal(32),
            "w2": normal(32, 32, 3, 3, scale=0.1),
            "b2": normal(32),
            "w3": normal(32, 100, scale=0.05),
            "b3": normal(100),
        },
        {"image": ["N", 3, 8, 8]},
        ["scores"],
    )


def image_samples(count: int = 16) -> dict[str, NDArray[Any]]:
    return {"image": np.random.default_rng(7).uniform(0, 1, (count, 1, 3, 8, 8)).astype(np.float32)}


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Token ids, an embedding, an LSTM, a dense layer."""
    return save(
        tmp_path / "words.onnx",
        [
            node("Gather", "table ids", "looked_up"),
            node("Transpose", "looked_up", "sequence", perm=[1, 0, 2]),
            node("LSTM", "sequence W R B", "states last", hidden_size=32),
            node("Squeeze", "last axes", "state"),
            node("MatMul", "state dense", "scores"),
        ],
        {
            "table": normal(500, 16),
            "W": normal(1, 128, 16, scale=0.2),
            "R": normal(1, 128, 32, scale=0.2),
            "B": normal(1, 256, scale=0.1),
            "axes": np.array([0]),
            "dense": normal(32, 20),
        },
        {"ids": [1, 9]},
        ["scores"],
        integer_inputs=("ids",),
    )


def word_samples() -> dict[str, NDArray[Any]]:
    return {"ids": np.random.default_rng(7).integers(0, 500, (12, 1, 9)).astype(np.int32)}


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    """Two dense layers, large enough for integer products."""
    return save(
        tmp_path / "dense.onnx",
        [node("Gemm", "x w1 b1", "h"), node("Relu", "h", "r"), node("MatMul", "r w2", "y")],
        {"w1": normal(256, 256, scale=0.1), "b1": normal(256), "w2": normal(256, 10)},
        {"x": ["N", 256]},
        ["y"],
    )


# ---- every precision ------------------------------------------------------------------------


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_image_model_is_smaller_and_still_agrees(
    images: Path, tmp_path: Path, precision: Any
) -> None:
    samples = image_samples()
    out = tmp_path / "out.onnx"
    quantize(images, out, precision, samples=samples)
    feeds = {"image": samples["image"][3]}
    assert out.stat().st_size < images.stat().st_size * (0.6 if precision == "float16" else 0.45)
    assert difference(run(out, feeds)[0], run(images, feeds)[0]) < BOUNDS[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_lstm_behind_an_embedding_is_smaller_and_still_agrees(
    words: Path, tmp_path: Path, precision: Any
) -> None:
    samples = word_samples()
    out = tmp_path / "out.onnx"
    quantize(words, out, precision, samples=samples)
    feeds = {"ids": samples["ids"][3]}
    assert out.stat().st_size < words.stat().st_size * (0.6 if precision == "float16" else 0.45)
    assert difference(run(out, feeds)[0], run(words, feeds)[0]) < BOUNDS[precision]


@pytest.mark.parametrize("precision", [*PRECISIONS, "int4"])
def test_the_same_inputs_give_the_same_bytes(dense: Path, tmp_path: Path, precision: Any) -> None:
    samples = {"x": normal(8, 1, 256)}
    for name in ("a.onnx", "b.onnx"):
        quantize(dense, tmp_path / name, precision, samples=samples)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


@pytest.mark.parametrize("precision", [*PRECISIONS, "int4"])
def test_only_the_result_is_written(dense: Path, tmp_path: Path, precision: Any) -> None:
    quantize(dense, tmp_path / "out.onnx", precision, samples={"x": normal(8, 1, 256)})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dense.onnx", "out.onnx"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_model_without_weights_is_refused_and_leaves_no_file(
    tmp_path: Path, precision: Any
) -> None:
    source = save(tmp_path / "m.onnx", [node("Relu", "x", "y")], {}, {"x": [1, 4]}, ["y"])
    with pytest.raises(ConversionError, match=r"keep float32|use dynamic"):
        quantize(source, tmp_path / "out.onnx", precision, samples={"x": normal(2, 1, 4)})
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_integer_activations_need_samples(dense: Path, tmp_path: Path, precision: Any) -> None:
    with pytest.raises(UsageError, match="use dynamic"):
        quantize(dense, tmp_path / "out.onnx", precision)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x08\x01 this is not a model")
    with pytest.raises(SourceError, match="export it again"):
        quantize(tmp_path / "m.onnx", tmp_path / "out.onnx", "dynamic")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="missing"):
        operators(tmp_path / "none.onnx")


def test_a_loop_body_that_reads_outer_weights_still_agrees(tmp_path: Path) -> None:
    helper, kinds = onnx.helper, onnx.TensorProto
    body = helper.make_graph(
        [
            node("MatMul", "state outer", "product"),
            node("Tanh", "product", "next"),
            node("Identity", "go", "on"),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", kinds.INT64, []),
            helper.make_tensor_value_info("go", kinds.BOOL, []),
            helper.make_tensor_value_info("state", kinds.FLOAT, [1, 64]),
        ],
        [
            helper.make_tensor_value_info("on", kinds.BOOL, []),
            helper.make_tensor_value_info("next", kinds.FLOAT, [1, 64]),
        ],
    )
    source = save(
        tmp_path / "loop.onnx",
        [
            node("Gemm", "x first", "start"),
            onnx.helper.make_node("Loop", ["trips", "", "start"], ["y"], body=body),
        ],
        {
            "outer": normal(64, 64, scale=0.1),
            "first": normal(64, 64, scale=0.1),
            "trips": np.array(3),
        },
        {"x": [1, 64]},
        ["y"],
    )
    samples = {"x": normal(8, 1, 64)}
    wanted = run(source, {"x": samples["x"][0]})[0]
    for precision in PRECISIONS:
        out = tmp_path / f"{precision}.onnx"
        quantize(source, out, precision, samples=samples)  # type: ignore[arg-type]
        assert difference(run(out, {"x": samples["x"][0]})[0], wanted) < BOUNDS[precision]


def test_a_loop_that_reads_a_dequantized_transpose_does_not_abort(tmp_path: Path) -> None:
    helper, kinds = onnx.helper, onnx.TensorProto
    body = helper.make_graph(
        [
            node("Gather", "steps i", "row"),
            node("Add", "state row", "next"),
            node("Identity", "go", "on"),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", kinds.INT64, []),
            helper.make_tensor_value_info("go", kinds.BOOL, []),
            helper.make_tensor_value_info("state", kinds.FLOAT, [1, 32, 9]),
        ],
        [
            helper.make_tensor_value_info("on", kinds.BOOL, []),
            helper.make_tensor_value_info("next", kinds.FLOAT, [1, 32, 9]),
        ],
    )
    source = save(
        tmp_path / "m.onnx",
        [
            node("Conv", "x w", "c"),
            node("Transpose", "c", "steps", perm=[2, 0, 1, 3]),
            onnx.helper.make_node("Loop", ["trips", "", "start"], ["y"], body=body),
        ],
        {
            "w": normal(32, 16, 3, 3, scale=0.1),
            "trips": np.array(9),
            "start": np.zeros((1, 32, 9)),
        },
        {"x": [1, 16, 11, 11]},
        ["y"],
    )
    samples = {"x": normal(8, 1, 16, 11, 11)}
    out = tmp_path / "out.onnx"
    quantize(source, out, "int8", samples=samples)
    assert "Max" in op_types(out)  # what keeps the next line from ending this process
    feeds = {"x": samples["x"][0]}
    assert difference(run(out, feeds)[0], run(source, feeds)[0]) < BOUNDS["int8"]


# ---- float16, dynamic, int4 -----------------------------------------------------------------


def test_weights_beyond_float16_stay_float32(tmp_path: Path) -> None:
    source = save(
        tmp_path / "m.onnx",
        [node("MatMul", "x w", "h"), node("MatMul", "h v", "y")],
        {"w": normal(64, 64), "v": normal(64, 64) * 1e6},
        {"x": [1, 64]},
        ["y"],
    )
    quantize(source, tmp_path / "out.onnx", "float16")
    feeds = {"x": normal(1, 64)}
    assert difference(run(tmp_path / "out.onnx", feeds)[0], run(source, feeds)[0]) < 0.001


def test_large_products_are_integer_products_in_dynamic(dense: Path, tmp_path: Path) -> None:
    quantize(dense, tmp_path / "out.onnx", "dynamic")
    assert op_types(tmp_path / "out.onnx").count("MatMulInteger") == 1


def test_no_weight_is_dequantized_at_each_call_in_dynamic(images: Path, tmp_path: Path) -> None:
    quantize(images, tmp_path / "out.onnx", "dynamic")
    options = runtime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    options.log_severity_level = 3
    runtime.InferenceSession(str(tmp_path / "out.onnx"), options)
    loaded = op_types(tmp_path / "loaded.onnx")
    assert {"Cast", "Mul", "DequantizeLinear"}.isdisjoint(loaded)


def test_int4_is_smaller_than_dynamic_and_still_agrees(dense: Path, tmp_path: Path) -> None:
    for precision in ("dynamic", "int4"):
        quantize(dense, tmp_path / f"{precision}.onnx", precision)
    small, smaller = (tmp_path / f"{p}.onnx" for p in ("dynamic", "int4"))
    feeds = {"x": normal(4, 256)}
    assert smaller.stat().st_size < 0.7 * small.stat().st_size
    assert difference(run(smaller, feeds)[0], run(dense, feeds)[0]) < BOUNDS["int4"]


def test_int4_of_convolutions_only_names_the_way_out(tmp_path: Path) -> None:
    source = save(
        tmp_path / "m.onnx",
        [node("Conv", "x w", "y")],
        {"w": normal(16, 16, 3, 3)},
        {"x": [1, 16, 8, 8]},
        ["y"],
    )
    with pytest.raises(ConversionError, match="use dynamic"):
        quantize(source, tmp_path / "out.onnx", "int4")


def test_a_matrix_used_many_times_is_stored_once(tmp_path: Path) -> None:
    nodes = [node("MatMul", f"h{i} w", f"h{i + 1}") for i in range(6)]
    source = save(
        tmp_path / "m.onnx", nodes, {"w": normal(256, 256, scale=0.06)}, {"h0": [1, 256]}, ["h6"]
    )
    for precision, share in (("dynamic", 0.3), ("int8", 0.3), ("int4", 0.2)):
        out = tmp_path / f"{precision}.onnx"
        quantize(source, out, precision, samples={"h0": normal(8, 1, 256)})  # type: ignore[arg-type]
        assert out.stat().st_size < share * source.stat().st_size


# ---- int8: what computes on integers --------------------------------------------------------


def test_everything_between_convolutions_computes_on_integers(images: Path, tmp_path: Path) -> None:
    quantize(images, tmp_path / "out.onnx", "int8", samples=image_samples())
    options = runtime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    options.log_severity_level = 3
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    runtime.InferenceSession(str(tmp_path / "out.onnx"), options)
    loaded = op_types(tmp_path / "loaded.onnx")
    assert loaded.count("QLinearConv") == 2
    assert {"QLinearAdd", "QLinearGlobalAveragePool", "QGemm"} <= set(loaded)
    assert {"Conv", "Relu", "Add", "DequantizeLinear"}.isdisjoint(loaded)


def test_what_follows_the_last_product_stays_float(images: Path, tmp_path: Path) -> None:
    quantize(images, tmp_path / "out.onnx", "int8", samples=image_samples())
    graph = onnx.load(str(tmp_path / "out.onnx")).graph
    (softmax,) = (one for one in graph.node if one.op_type == "Softmax")
    (maker,) = (one for one in graph.node if softmax.input[0] in one.output)
    assert maker.op_type == "Gemm"
    assert list(softmax.output) == ["scores"]


def test_an_operator_kept_in_float_keeps_its_weights(images: Path, tmp_path: Path) -> None:
    known = calibrate(images, image_samples())
    (second,) = (one for one in operators(images) if one.weight_bytes == 4 * (32 * 32 * 9 + 32))
    all_integer, one_float = tmp_path / "a.onnx", tmp_path / "b.onnx"
    known.quantize(all_integer)
    left = known.quantize(one_float, keep_float=frozenset({second.identifier}))
    assert [(one.identifier, one.reason) for one in left] == [(second.identifier, "asked for")]
    grown = one_float.stat().st_size - all_integer.stat().st_size
    assert grown > 0.6 * second.weight_bytes
    weights = [t.data_type for t in onnx.load(str(one_float)).graph.initializer if len(t.dims) > 2]
    assert onnx.TensorProto.FLOAT in weights


def test_a_calibration_can_be_used_again_and_again(images: Path, tmp_path: Path) -> None:
    known = calibrate(images, image_samples())
    known.quantize(tmp_path / "a.onnx")
    known.quantize(tmp_path / "b.onnx", keep_float=frozenset({operators(images)[0].identifier}))
    quantize(images, tmp_path / "c.onnx", "int8", samples=known)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "c.onnx").read_bytes()
    assert (tmp_path / "a.onnx").read_bytes() != (tmp_path / "b.onnx").read_bytes()


def test_constants_of_very_different_channels_are_not_given_one_scale(tmp_path: Path) -> None:
    """A batch normalisation behind a Relu multiplies near-dead channels by a thousand."""
    factors = np.ones((16, 1, 1), np.float32)
    factors[3] = 1000
    w1 = normal(16, 3, 3, 3)
    w1[3] /= 1000
    source = save(
        tmp_path / "m.onnx",
        [
            node("Conv", "x w1", "c1"),
            node("Relu", "c1", "r1"),
            node("Add", "r1 shift", "a1"),
            node("Mul", "a1 factors", "m1"),
            node("Conv", "m1 w2", "y"),
        ],
        {
            "w1": w1,
            "w2": normal(16, 16, 3, 3),
            "factors": factors,
            "shift": normal(16, 1, 1) / 1000,
        },
        {"x": [1, 3, 12, 12]},
        ["y"],
    )
    samples = {"x": normal(12, 1, 3, 12, 12)}
    quantize(source, tmp_path / "out.onnx", "int8", samples=samples)
    feeds = {"x": samples["x"][0]}
    kept = onnx.load(str(tmp_path / "out.onnx")).graph.initializer
    assert any(t.name == "factors" and t.data_type == onnx.TensorProto.FLOAT for t in kept)
    assert run(tmp_path / "out.onnx", feeds)[0].shape == run(source, feeds)[0].shape


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_the_bias_of_dead_channels_survives(tmp_path: Path, precision: Any) -> None:
    weight, bias = normal(16, 16, 3, 3), normal(16)
    weight[:4] = 0
    weight[4:8] *= 1e-7
    source = save(
        tmp_path / "m.onnx",
        [node("Conv", "x w b", "y")],
        {"w": weight, "b": bias},
        {"x": [1, 16, 8, 8]},
        ["y"],
    )
    samples = {"x": normal(8, 1, 16, 8, 8) * 1e-3}
    quantize(source, tmp_path / "out.onnx", precision, samples=samples)
    feeds = {"x": samples["x"][0]}
    assert difference(run(tmp_path / "out.onnx", feeds)[0], run(source, feeds)[0]) < 0.01


def test_an_output_that_is_also_read_inside_keeps_its_name_and_values(tmp_path: Path) -> None:
    source = save(
        tmp_path / "m.onnx",
        [node("Conv", "x w", "first"), node("Relu", "first", "r"), node("Conv", "r v", "second")],
        {"w": normal(16, 8, 3, 3), "v": normal(16, 16, 3, 3)},
        {"x": [1, 8, 9, 9]},
        ["first", "r", "second"],
    )
    samples = {"x": normal(8, 1, 8, 9, 9)}
    quantize(source, tmp_path / "out.onnx", "int8", samples=samples)
    feeds = {"x": samples["x"][0]}
    for given, wanted in zip(run(tmp_path / "out.onnx", feeds), run(source, feeds), strict=True):
        assert difference(given, wanted) < 0.05


def test_masked_attention_scores_stay_float(tmp_path: Path) -> None:
    mask = np.zeros((1, 8, 8), np.float32)
    mask[:, :, 5:] = -1e9
    source = save(
        tmp_path / "m.onnx",
        [
            node("MatMul", "x wq", "q"),
            node("Transpose", "q", "k", perm=[0, 2, 1]),
            node("MatMul", "q k", "s"),
            node("Add", "s mask", "masked"),
            node("Softmax", "masked", "p"),
            node("MatMul", "p q", "y"),
        ],
        {"wq": normal(64, 64, scale=0.1), "mask": mask},
        {"x": [1, 8, 64]},
        ["y"],
    )
    samples = {"x": normal(8, 1, 8, 64)}
    quantize(source, tmp_path / "out.onnx", "int8", samples=samples)
    feeds = {"x": samples["x"][0]}
    assert difference(run(tmp_path / "out.onnx", feeds)[0], run(source, feeds)[0]) < 0.05


# ---- calibration data -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ({"x": np.full((4, 1, 256), np.nan, np.float32)}, "NaN or infinite"),
        ({"z": np.zeros((4, 1, 256), np.float32)}, "the model takes x"),
        ({"x": np.zeros((0, 1, 256), np.float32)}, "give every input the same number"),
        ({"x": np.zeros((4, 1, 255), np.float32)}, "does not fit the model"),
        ({"x": np.zeros((4, 1, 256), np.int32)}, "does not fit the model"),
    ],
)
def test_samples_that_do_not_fit_are_refused(
    dense: Path, samples: dict[str, NDArray[Any]], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        calibrate(dense, samples)


def test_every_sample_counts_and_the_next_may_go_further(dense: Path) -> None:
    values = normal(6, 1, 256)
    values[5, 0, 0] = 50
    low, high = values.min(), values.max()
    ranges = calibrate(dense, {"x": values}).ranges
    margin = 0.1 * (high - low)  # at most a tenth, with so few samples
    assert ranges["x"] == pytest.approx((low - margin, high + margin))


def test_limits_that_several_samples_share_are_taken_as_they_are(dense: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (6, 1, 256)).astype(np.float32)
    values[:, 0, 0], values[:, 0, 1] = 0, 255
    assert calibrate(dense, {"x": values}).ranges["x"] == (0, 255)


def test_a_clamp_that_one_sample_reaches_is_not_widened_and_disappears(tmp_path: Path) -> None:
    source = save(
        tmp_path / "m.onnx",
        [node("Conv", "x w", "c"), node("Clip", "c zero six", "r"), node("Conv", "r v", "y")],
        {
            "w": normal(8, 4, 3, 3, scale=0.1),
            "v": normal(8, 8, 3, 3),
            "zero": np.array(0.0),
            "six": np.array(6.0),
        },
        {"x": [1, 4, 9, 9]},
        ["y"],
    )
    values = normal(6, 1, 4, 9, 9)
    values[3] *= 100
    known = calibrate(source, {"x": values})
    known.quantize(tmp_path / "out.onnx")
    assert known.ranges["r"] == (0, 6)
    assert "Clip" not in op_types(tmp_path / "out.onnx")


# ---- integer inputs and outputs -------------------------------------------------------------


@pytest.mark.parametrize(("kind", "offset"), [("int8", -128), ("uint8", 0)])
def test_integer_images_in_give_integer_scores_out(
    images: Path, tmp_path: Path, kind: Any, offset: int
) -> None:
    samples = image_samples()
    out = tmp_path / "out.onnx"
    quantize(images, out, "int8", samples=samples, io=kind)
    known = io_quantization(out)
    assert known["image"].zero_point == (offset,)
    assert known["scores"].scale[0] == pytest.approx(1 / 255)
    image = samples["image"][0]
    stored = np.rint(image / known["image"].scale[0]) + known["image"].zero_point[0]
    (scores,) = run(out, {"image": stored.astype(kind)})
    assert scores.dtype == kind
    real = known["scores"].scale[0] * (scores.astype(float) - known["scores"].zero_point[0])
    assert np.abs(real - run(images, {"image": image})[0]).max() < 0.02


def test_token_ids_stay_integers_and_float_files_have_no_scales(
    words: Path, tmp_path: Path
) -> None:
    quantize(words, tmp_path / "out.onnx", "int8", samples=word_samples(), io="int8")
    assert set(io_quantization(tmp_path / "out.onnx")) == {"scores"}
    assert io_quantization(words) == {}


def test_integer_inputs_of_other_precisions_are_refused(dense: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only int8 models"):
        quantize(dense, tmp_path / "out.onnx", "dynamic", io="int8")


# ---- operators ------------------------------------------------------------------------------


def test_operators_come_in_execution_order_with_their_weights(images: Path) -> None:
    found = operators(images)
    assert [one.operator for one in found] == ["Conv", "Conv", "Add", "GlobalAveragePool", "Gemm"]
    assert found[0].weight_bytes == 4 * (32 * 27 + 32)


def test_operators_have_the_same_names_each_time(images: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(images.read_bytes())
    assert operators(images) == operators(copy)
