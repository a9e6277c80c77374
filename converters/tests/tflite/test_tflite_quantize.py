import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import ConversionError, DataError, OutputError, SourceError, UsageError
from edgekit.recipe import Precision
from edgekit_converters.tflite_graph import read_model, schema, text, walk, write_model
from edgekit_converters.tflite_quantize import Candidate, calibrate, operators, quantize

COMPRESSED: tuple[Precision, ...] = ("float16", "dynamic", "int8", "int16x8", "int4")


def _error(given: Any, expected: Any) -> float:
    """Relative RMS error."""
    return float(np.sqrt(np.mean((given - expected) ** 2) / np.mean(expected**2)))


def _types(path: Path, *, operator: str) -> list[int]:
    """Type of the first output of each `operator`."""
    return [s.tensors[o.outputs[0]].type for s, o, n in walk(read_model(path)) if n == operator]


def _names(path: Path) -> list[str]:
    return [name for _, _, name in walk(read_model(path))]


@pytest.mark.parametrize(
    ("precision", "size", "error"),
    [
        ("float16", 0.6, 2e-3),
        ("dynamic", 0.42, 0.02),
        ("int8", 0.5, 0.05),
        ("int16x8", 0.5, 0.02),
        ("int4", 0.3, 0.25),
    ],
)
def test_each_precision_is_smaller_and_matches(
    classifier: Path,
    images: Any,
    tmp_path: Path,
    run_tflite: Any,
    precision: Precision,
    size: float,
    error: float,
) -> None:
    out = tmp_path / "out.tflite"
    assert quantize(classifier, out, precision, samples=images) == ()
    assert out.stat().st_size < size * classifier.stat().st_size
    expected = run_tflite(classifier, images)["scores"]
    assert _error(run_tflite(out, images)["scores"], expected) < error


@pytest.mark.parametrize("precision", COMPRESSED)
def test_weights_lie_inside_the_tables_on_multiples_of_16(
    classifier: Path, images: Any, tmp_path: Path, precision: Precision
) -> None:
    out = tmp_path / "out.tflite"
    quantize(classifier, out, precision, samples=images)
    content = np.fromfile(out, np.uint8)
    model = schema().Model.GetRootAs(content, 0)
    base = content.__array_interface__["data"][0]
    for buffer in map(model.Buffers, range(model.BuffersLength())):
        assert buffer.Offset() == 0
        if buffer.DataLength() > 1:
            assert (buffer.DataAsNumpy().__array_interface__["data"][0] - base) % 16 == 0


@pytest.mark.parametrize("precision", ["dynamic", "int8"])
def test_a_second_process_makes_the_same_bytes(
    classifier: Path, images: Any, tmp_path: Path, precision: Precision
) -> None:
    quantize(classifier, tmp_path / "here.tflite", precision, samples=images)
    np.save(tmp_path / "images.npy", images["image"])
    code = (
        "import sys, numpy; from pathlib import Path\n"
        "from edgekit_converters.tflite_quantize import quantize\n"
        "samples = {'image': numpy.load(sys.argv[4])}\n"
        "quantize(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], samples=samples)"
    )
    there = tmp_path / "there.tflite"
    data = tmp_path / "images.npy"
    arguments = [str(classifier), str(there), precision, str(data)]
    environment = {"PYTHONHASHSEED": "1"}
    subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, env=environment, capture_output=True
    )
    assert there.read_bytes() == (tmp_path / "here.tflite").read_bytes()


# ---- calibration -----------------------------------------------------------------------------


def test_more_samples_only_widen_the_ranges(classifier: Path, images: Any) -> None:
    few = calibrate(classifier, {"image": images["image"][:4]}).ranges
    many = calibrate(classifier, images).ranges
    assert all(many[n][0] <= few[n][0] and few[n][1] <= many[n][1] for n in few)
    assert many["serving_image"] == (images["image"].min(), images["image"].max())


def test_the_ranges_are_those_of_the_quantizers_own_min_max_calibration(
    classifier: Path, images: Any
) -> None:
    from ai_edge_quantizer import calibrator, quantizer, recipe
    from ai_edge_quantizer.utils import qsv_utils

    content = write_model(read_model(classifier))
    theirs = quantizer.Quantizer(content, recipe.static_wi8_ai8())
    with pytest.warns(UserWarning, match="preserve_all_tensors"):
        their_calibrator = calibrator.Calibrator(
            content, num_threads=1, qsv_update_func=qsv_utils.min_max_update
        )
    data = [{"image": one} for one in images["image"]]
    their_calibrator.calibrate({"serving_default": data}, theirs._recipe_manager)
    ours = calibrate(classifier, images).ranges
    known = their_calibrator.get_model_qsvs()
    assert {"serving_image", "conv", "flat", "dense", "softmax"} <= set(known)
    for name, found in known.items():
        assert (found["min"].item(), found["max"].item()) == pytest.approx(ours[name], rel=1e-6)


def test_a_calibration_serves_many_files(
    classifier: Path, images: Any, tmp_path: Path, run_tflite: Any
) -> None:
    ranges = calibrate(classifier, images)
    quantize(classifier, tmp_path / "a.tflite", "int8", samples=ranges)
    kept = frozenset({"dense"})
    quantize(classifier, tmp_path / "b.tflite", "int8", samples=ranges, keep_float=kept)
    quantize(classifier, tmp_path / "c.tflite", "int8", samples=ranges)
    assert (tmp_path / "c.tflite").read_bytes() == (tmp_path / "a.tflite").read_bytes()
    expected = run_tflite(classifier, images)["scores"]
    errors = [
        _error(run_tflite(tmp_path / f"{n}.tflite", images)["scores"], expected) for n in "ab"
    ]
    assert errors[1] < errors[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: {"picture": x["image"]}, r"\['picture'\].*takes \['image'\]"),
        (lambda x: {"image": x["image"][:0]}, "at least one"),
        (lambda x: {"image": x["image"][:, :, :4]}, r"\(1, 4, 8, 2\).*takes \(1, 8, 8, 2\)"),
        (lambda x: {"image": np.where(x["image"] > 2, np.nan, x["image"])}, "NaN or infinity"),
    ],
)
def test_samples_that_do_not_fit_are_refused(
    classifier: Path, images: Any, change: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        calibrate(classifier, change(images))


def test_a_free_batch_is_calibrated_with_the_batch_it_gets(
    tiny_graph: Any, tmp_path: Path, run_tflite: Any
) -> None:
    graph = tiny_graph()
    x = graph.input("x", (-1, 16))
    path = graph.save(tmp_path / "free.tflite", y=graph.dense(x, 8))
    samples = {"x": np.random.default_rng(0).normal(size=(4, 5, 16)).astype(np.float32)}
    out = tmp_path / "out.tflite"
    quantize(path, out, "int8", samples=samples)
    assert _error(run_tflite(out, samples)["y"], run_tflite(path, samples)["y"]) < 0.03


def test_masks_of_minus_infinity_do_not_break_the_range(tiny_graph: Any, tmp_path: Path) -> None:
    graph = tiny_graph()
    x = graph.input("x", (1, 8))
    masked = graph.add("LOG", [graph.add("RELU", [x], (1, 8))], (1, 8), name="log")
    path = graph.save(tmp_path / "mask.tflite", y=masked)
    samples = {"x": np.linspace(-1, 1, 64).reshape(8, 1, 8).T.reshape(8, 1, 8).astype(np.float32)}
    smallest, largest = calibrate(path, samples).ranges["log"]
    assert np.isfinite(smallest)
    assert largest == pytest.approx(0, abs=1e-6)


# ---- what stays in float ----------------------------------------------------------------------


def test_operators_are_listed_in_order_with_their_weights(classifier: Path) -> None:
    found = operators(classifier)
    assert [one.operator for one in found] == [
        "CONV_2D", "LEAKY_RELU", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX",
    ]  # fmt: skip
    # 8 filters of 3 x 3 x 2 and 8 biases, 4 bytes each
    assert found[0] == Candidate(identifier="conv", operator="CONV_2D", weight_bytes=608)


@pytest.mark.parametrize("precision", COMPRESSED)
def test_an_operator_can_be_left_in_float(
    classifier: Path, images: Any, tmp_path: Path, precision: Precision
) -> None:
    out = tmp_path / "out.tflite"
    quantize(classifier, out, precision, samples=images, keep_float=frozenset({"conv"}))
    (convolution,) = [
        [s.tensors[i] for i in o.inputs] for s, o, n in walk(read_model(out)) if n == "CONV_2D"
    ]
    float32 = schema().TensorType.FLOAT32
    assert [tensor.type for tensor in convolution] == [float32] * 3


def test_an_unknown_operator_to_keep_is_refused(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no operator 'nothing'"):
        quantize(classifier, tmp_path / "o", "dynamic", keep_float=frozenset({"nothing"}))


def test_operators_without_an_integer_form_are_named(
    tiny_graph: Any, tmp_path: Path, run_tflite: Any
) -> None:
    graph = tiny_graph()
    x = graph.input("x", (1, 32))
    sine = graph.add("SIN", [graph.dense(x, 32)], (1, 32), name="sine")
    path = graph.save(tmp_path / "sine.tflite", y=graph.dense(sine, 8))
    samples = {"x": np.random.default_rng(0).normal(size=(16, 1, 32)).astype(np.float32)}
    (left,) = quantize(path, tmp_path / "out.tflite", "int8", samples=samples)
    assert (left.identifier, left.operator, left.reason) == ("sine", "SIN", "no int8 form of SIN")


def test_16_bit_operators_without_a_kernel_stay_in_float(
    tiny_graph: Any, tmp_path: Path, run_tflite: Any
) -> None:
    graph = tiny_graph()
    x = graph.input("x", (1, 32))
    y = graph.dense(x, 32)
    squared = graph.add("SQUARED_DIFFERENCE", [y, graph.weights(1, 32)], (1, 32), name="squared")
    path = graph.save(tmp_path / "squared.tflite", y=graph.dense(squared, 8))
    samples = {"x": np.random.default_rng(0).normal(size=(16, 1, 32)).astype(np.float32)}
    left = quantize(path, tmp_path / "out.tflite", "int16x8", samples=samples)
    assert [one.operator for one in left] == ["SQUARED_DIFFERENCE"]
    expected = run_tflite(path, samples)["y"]
    assert _error(run_tflite(tmp_path / "out.tflite", samples)["y"], expected) < 0.02


def test_operators_the_quantizer_does_not_know_compute_on_integers(
    classifier: Path, images: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out.tflite"
    quantize(classifier, out, "int8", samples=images)
    assert _types(out, operator="LEAKY_RELU") == [schema().TensorType.INT8]
    assert _names(out).count("QUANTIZE") == _names(out).count("DEQUANTIZE") == 1


@pytest.mark.parametrize(
    ("kind", "options"), [("ELU", ""), ("ABS", "AbsOptions"), ("RELU6", ""), ("PRELU", "")]
)
def test_islands_match(
    tiny_graph: Any, tmp_path: Path, run_tflite: Any, kind: str, options: str
) -> None:
    graph = tiny_graph()
    x = graph.input("x", (1, 32))
    inputs = [graph.dense(x, 32)]
    if kind == "PRELU":
        inputs.append(graph.constant(np.linspace(0, 0.5, 32)))
    y = graph.add(kind, inputs, (1, 32), options=options)
    path = graph.save(tmp_path / "island.tflite", y=graph.dense(y, 8))
    samples = {"x": np.random.default_rng(0).normal(size=(16, 1, 32)).astype(np.float32) * 3}
    out = tmp_path / "out.tflite"
    assert quantize(path, out, "int8", samples=samples, full_integer=True) == ()
    expected = run_tflite(path, samples)["y"]
    assert _error(run_tflite(tmp_path / "out.tflite", samples)["y"], expected) < 0.04


def _normalized(tiny_graph: Any, path: Path) -> Path:
    """x ─ FULLY_CONNECTED ─ mean and variance ─ RSQRT ─ MUL ─ FULLY_CONNECTED."""
    graph = tiny_graph()
    x = graph.dense(graph.input("x", (4, 32)), 32, name="before")
    axis = graph.constant(np.array([1]))
    options = {"options": "ReducerOptions", "keepDims": True}
    mean = graph.add("MEAN", [x, axis], (4, 1), name="mean", **options)
    squares = graph.add("SQUARED_DIFFERENCE", [x, mean], (4, 32), name="squares")
    variance = graph.add("MEAN", [squares, axis], (4, 1), name="variance", **options)
    inverse = graph.add("RSQRT", [variance], (4, 1), name="inverse")
    scaled = graph.add("MUL", [x, inverse], (4, 32), name="scaled", options="MulOptions")
    return graph.save(path, y=graph.dense(scaled, 8, name="after"))  # type: ignore[no-any-return]


def test_operators_that_are_slower_in_integers_stay_in_float(
    tiny_graph: Any, tmp_path: Path, run_tflite: Any
) -> None:
    path = _normalized(tiny_graph, tmp_path / "normalized.tflite")
    samples = {"x": np.random.default_rng(0).normal(size=(16, 4, 32)).astype(np.float32)}
    out = tmp_path / "out.tflite"
    left = quantize(path, out, "int8", samples=samples)
    # MEAN between two slow ones stays float as well: that saves two casts
    assert [(one.identifier, one.reason.partition(" (")[0]) for one in left] == [
        ("mean", "stands between operators in float32"),
        ("squares", "faster in float32"),
        ("variance", "stands between operators in float32"),
        ("inverse", "faster in float32"),
    ]
    assert _error(run_tflite(out, samples)["y"], run_tflite(path, samples)["y"]) < 0.05


def test_16_bit_files_hold_no_operator_that_the_old_runtime_lacks(
    tiny_graph: Any, tmp_path: Path, run_tflite: Any
) -> None:
    path = _normalized(tiny_graph, tmp_path / "normalized.tflite")
    samples = {"x": np.random.default_rng(0).normal(size=(16, 4, 32)).astype(np.float32)}
    out = tmp_path / "out.tflite"
    left = {one.operator: one.reason for one in quantize(path, out, "int16x8", samples=samples)}
    assert left["RSQRT"] == "tflite-runtime 2.14 has no such 16-bit RSQRT"
    assert _error(run_tflite(out, samples)["y"], run_tflite(path, samples)["y"]) < 0.02


def test_integer_inputs_make_every_operator_integer(tiny_graph: Any, tmp_path: Path) -> None:
    path = _normalized(tiny_graph, tmp_path / "normalized.tflite")
    samples = {"x": np.random.default_rng(0).normal(size=(16, 4, 32)).astype(np.float32)}
    assert quantize(path, tmp_path / "out.tflite", "int8", samples=samples, io="int8") == ()
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(_names(tmp_path / "out.tflite"))


# ---- traps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_the_bias_of_a_dead_channel_survives(
    tiny_graph: Any, tmp_path: Path, run_tflite: Any, precision: Precision
) -> None:
    graph = tiny_graph()
    x = graph.input("x", (1, 32))
    weights = graph.rng.normal(size=(16, 32))
    weights[0] *= 1e-12
    bias = np.where(np.arange(16) == 0, 3.0, 0.0)
    inputs = [x, graph.constant(weights), graph.constant(bias)]
    y = graph.add("FULLY_CONNECTED", inputs, (1, 16), options="FullyConnectedOptions")
    path = graph.save(tmp_path / "dead.tflite", y=y)
    samples = {"x": np.random.default_rng(0).normal(size=(16, 1, 32)).astype(np.float32)}
    quantize(path, tmp_path / "out.tflite", precision, samples=samples)
    given = run_tflite(tmp_path / "out.tflite", samples)["y"]
    assert given[..., 0] == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
@pytest.mark.parametrize("mask", [-1e9, -2.4e38])
def test_attention_masks_do_not_take_the_range(
    tiny_graph: Any, tmp_path: Path, run_tflite: Any, precision: Precision, mask: float
) -> None:
    graph = tiny_graph()
    scores = graph.dense(graph.input("x", (1, 16)), 16)
    hidden = graph.constant(np.where(np.arange(16) > 8, mask, 0))
    masked = graph.add("ADD", [scores, hidden], (1, 16), name="masked", options="AddOptions")
    weights = graph.add(
        "SOFTMAX", [masked], (1, 16), name="weights", options="SoftmaxOptions", beta=1.0
    )
    path = graph.save(tmp_path / "masked.tflite", y=graph.dense(weights, 16))
    samples = {"x": np.random.default_rng(0).normal(size=(16, 1, 16)).astype(np.float32) * 3}
    left = quantize(path, tmp_path / "out.tflite", precision, samples=samples)
    assert {one.identifier for one in left} == {"masked", "weights"}
    assert "mask" in left[0].reason
    expected = run_tflite(path, samples)["y"]
    assert _error(run_tflite(tmp_path / "out.tflite", samples)["y"], expected) < 0.03


def test_16_bit_scales_that_happen_to_be_powers_of_two_load(
    tiny_graph: Any, tmp_path: Path
) -> None:
    graph = tiny_graph()
    x, y = graph.input("x", (1, 64)), graph.input("y", (1, 64))
    total = graph.add("ADD", [x, y], (1, 64), options="AddOptions", potScaleInt16=True)
    path = graph.save(tmp_path / "add.tflite", z=graph.dense(total, 64))
    one = np.full((1, 1, 64), 32767 / 32768, np.float32)  # a scale of 2 ** -15
    samples = {"x": one, "y": -one * 2}
    assert quantize(path, tmp_path / "out.tflite", "int16x8", samples=samples) == ()


def test_unread_parts_of_a_split_become_integers_too(tiny_graph: Any, tmp_path: Path) -> None:
    graph = tiny_graph()
    x = graph.dense(graph.input("x", (1, 32)), 32)
    part = graph.add(
        "SPLIT", [graph.constant(np.array(1)), x], (1, 16), outputs=2, options="SplitOptions",
        numSplits=2,
    )  # fmt: skip
    path = graph.save(tmp_path / "split.tflite", y=graph.dense(part, 8))
    samples = {"x": np.random.default_rng(0).normal(size=(8, 1, 32)).astype(np.float32)}
    assert quantize(path, tmp_path / "out.tflite", "int8", samples=samples) == ()


def test_dynamic_matrix_products_have_one_scale(tiny_graph: Any, tmp_path: Path) -> None:
    """With one for each channel, tflite-runtime 2.14 is silently wrong."""
    graph = tiny_graph()
    path = graph.save(
        tmp_path / "dense.tflite", y=graph.dense(graph.dense(graph.input("x", (1, 64)), 64), 64)
    )
    quantize(path, tmp_path / "out.tflite", "dynamic")
    scales = [
        len(s.tensors[o.inputs[1]].quantization.scale)
        for s, o, n in walk(read_model(tmp_path / "out.tflite"))
        if n == "FULLY_CONNECTED"
    ]
    assert scales == [1, 1]


def test_weights_too_spread_for_one_scale_are_expanded_on_loading(
    tiny_graph: Any, tmp_path: Path, run_tflite: Any
) -> None:
    graph = tiny_graph()
    weights = graph.rng.normal(size=(64, 64)) * np.where(np.arange(64) == 0, 100, 1)[:, None]
    x = graph.input("x", (1, 64))
    inputs = [x, graph.constant(weights), -1]
    y = graph.add("FULLY_CONNECTED", inputs, (1, 64), options="FullyConnectedOptions")
    path = graph.save(tmp_path / "spread.tflite", y=y)
    quantize(path, tmp_path / "out.tflite", "dynamic")
    samples = {"x": np.random.default_rng(0).normal(size=(8, 1, 64)).astype(np.float32)}
    given, expected = (run_tflite(p, samples)["y"] for p in (tmp_path / "out.tflite", path))
    assert _error(given[..., 1:], expected[..., 1:]) < 0.01


def test_int4_matrix_products_are_marked_for_old_runtimes(classifier: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tflite"
    quantize(classifier, out, "int4")
    versions = [code.version for code in read_model(out).operatorCodes if code.builtinCode == 9]
    assert versions == [12]


@pytest.mark.parametrize("outlier", [1, 1000])
def test_embeddings_shrink_in_dynamic(
    tiny_graph: Any, tmp_path: Path, run_tflite: Any, outlier: float
) -> None:
    graph = tiny_graph()
    table = graph.rng.normal(size=(500, 16))
    table[0] *= outlier  # one scale for all rows would drown the others
    tokens = graph.input("tokens", (4,), "int32")
    rows = graph.add("GATHER", [graph.constant(table), tokens], (4, 16), options="GatherOptions")
    path = graph.save(tmp_path / "embedding.tflite", y=graph.dense(rows, 8))
    out = tmp_path / "out.tflite"
    quantize(path, out, "dynamic")
    assert out.stat().st_size < 0.5 * path.stat().st_size
    samples = {"tokens": np.arange(1, 33).reshape(8, 4).astype(np.int32)}
    assert _error(run_tflite(out, samples)["y"], run_tflite(path, samples)["y"]) < 0.03


@pytest.mark.parametrize("precision", ["dynamic", "int8", "int4"])
def test_3d_convolutions_shrink(
    tiny_graph: Any, tmp_path: Path, run_tflite: Any, precision: Precision
) -> None:
    graph = tiny_graph()
    x = graph.input("x", (1, 4, 4, 4, 2))
    weights = graph.constant(graph.rng.normal(size=(3, 3, 3, 2, 32)) * np.logspace(-3, 0, 32))
    ones = {f"dilation{s}Factor": 1 for s in "DHW"} | {f"stride{s}": 1 for s in "DHW"}
    features = graph.add(
        "CONV_3D", [x, weights, graph.constant(np.zeros(32))], (1, 4, 4, 4, 32),
        options="Conv3DOptions", **ones,
    )  # fmt: skip
    axes = graph.constant(np.array([1, 2, 3]))
    mean = graph.add("MEAN", [features, axes], (1, 32), options="ReducerOptions")
    path = graph.save(tmp_path / "volume.tflite", y=graph.dense(mean, 8))
    rng = np.random.default_rng(0)
    samples = {"x": rng.normal(size=(8, 1, 4, 4, 4, 2)).astype(np.float32)}
    out = tmp_path / "out.tflite"
    left = quantize(path, out, precision, samples=samples)
    assert [one.operator for one in left] == ["CONV_3D"] * (precision == "int8")
    assert out.stat().st_size < 0.6 * path.stat().st_size
    error = 0.2 if precision == "int4" else 0.03
    assert _error(run_tflite(out, samples)["y"], run_tflite(path, samples)["y"]) < error


def test_large_values_stay_float32_in_float16(
    tiny_graph: Any, tmp_path: Path, run_tflite: Any
) -> None:
    graph = tiny_graph()
    x = graph.input("x", (1, 64))
    scaled = graph.add("MUL", [x, graph.constant(np.full(64, 1e6))], (1, 64), options="MulOptions")
    path = graph.save(tmp_path / "large.tflite", y=graph.dense(scaled, 64))
    quantize(path, tmp_path / "out.tflite", "float16")
    samples = {"x": np.random.default_rng(0).normal(size=(8, 1, 64)).astype(np.float32)}
    given, expected = (run_tflite(p, samples)["y"] for p in (tmp_path / "out.tflite", path))
    assert _error(given, expected) < 1e-3


def test_tensors_of_one_name_are_told_apart(classifier: Path, images: Any, tmp_path: Path) -> None:
    model = read_model(classifier)
    for tensor in model.subgraphs[0].tensors:
        tensor.name = b"same"
    classifier.write_bytes(write_model(model))
    quantize(classifier, tmp_path / "out.tflite", "int8", samples=images)
    assert len({one.identifier for one in operators(classifier)}) == 5


def test_a_file_without_signatures_gets_one(
    classifier: Path, images: Any, tmp_path: Path, run_tflite: Any
) -> None:
    model = read_model(classifier)
    model.signatureDefs = None
    classifier.write_bytes(write_model(model))
    named = {"serving_image": images["image"]}
    quantize(classifier, tmp_path / "out.tflite", "int8", samples=named)
    assert set(run_tflite(tmp_path / "out.tflite", named)) == {"softmax"}


def test_metadata_stay(classifier: Path, images: Any, tmp_path: Path) -> None:
    fb = schema()
    model = read_model(classifier)
    buffer, entry = fb.BufferT(), fb.MetadataT()
    buffer.data = np.frombuffer(b"1.6.0", np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = b"min_runtime_version", len(model.buffers) - 1
    model.metadata = [entry]
    classifier.write_bytes(write_model(model))
    for precision in COMPRESSED:
        quantize(classifier, tmp_path / "out.tflite", precision, samples=images)
        made = read_model(tmp_path / "out.tflite")
        assert [text(m.name) for m in made.metadata] == ["min_runtime_version"]
        assert bytes(made.buffers[made.metadata[0].buffer].data) == b"1.6.0"


# ---- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_loops_are_refused_before_anything_runs(
    classifier: Path, images: Any, tmp_path: Path, precision: Precision
) -> None:
    model = read_model(classifier)
    model.operatorCodes[0].builtinCode = schema().BuiltinOperator.WHILE
    model.operatorCodes[0].deprecatedBuiltinCode = schema().BuiltinOperator.WHILE
    classifier.write_bytes(write_model(model))
    with pytest.raises(ConversionError, match=r"WHILE \(a loop\).*; unroll the recurrent layers"):
        quantize(classifier, tmp_path / "out.tflite", precision, samples=images)


def _with_custom_operator(path: Path) -> None:
    model = read_model(path)
    custom = schema().BuiltinOperator.CUSTOM
    code = next(c for c in model.operatorCodes if c.builtinCode == 25)  # SOFTMAX
    code.builtinCode = code.deprecatedBuiltinCode = custom
    code.customCode = b"FlexSoftmax"
    path.write_bytes(write_model(model))


def test_custom_operators_cannot_be_calibrated(
    classifier: Path, images: Any, tmp_path: Path
) -> None:
    _with_custom_operator(classifier)
    with pytest.raises(ConversionError, match="FlexSoftmax is not an operator of TFLite"):
        quantize(classifier, tmp_path / "out.tflite", "int8", samples=images)


@pytest.mark.parametrize("precision", ["float16", "dynamic", "int4"])
def test_custom_operators_stay_as_they_are(
    classifier: Path, tmp_path: Path, precision: Precision
) -> None:
    _with_custom_operator(classifier)
    quantize(classifier, tmp_path / "out.tflite", precision)
    assert _names(tmp_path / "out.tflite")[-1] == "FlexSoftmax"


def test_a_sample_the_model_does_not_run_on_is_named(tiny_graph: Any, tmp_path: Path) -> None:
    graph = tiny_graph()
    tokens = graph.input("tokens", (4,), "int32")
    table = graph.weights(300, 8)
    rows = graph.add("GATHER", [table, tokens], (4, 8), options="GatherOptions")
    path = graph.save(tmp_path / "embedding.tflite", y=graph.dense(rows, 8))
    samples = {"tokens": np.array([[1, 2, 3, 4], [1, 2, 3, 300]], np.int32)}
    with pytest.raises(DataError, match=r"does not run on sample 1 \(gather index out of bounds"):
        calibrate(path, samples)


def test_variables_are_refused(classifier: Path, images: Any, tmp_path: Path) -> None:
    model = read_model(classifier)
    model.subgraphs[0].tensors[0].isVariable = True
    classifier.write_bytes(write_model(model))
    with pytest.raises(ConversionError, match="keeps state between calls"):
        quantize(classifier, tmp_path / "out.tflite", "int8", samples=images)


@pytest.mark.parametrize("precision", COMPRESSED)
def test_a_graph_without_weights_is_refused(
    tiny_graph: Any, tmp_path: Path, precision: Precision
) -> None:
    graph = tiny_graph()
    x = graph.input("x", (1, 8))
    path = graph.save(tmp_path / "sine.tflite", y=graph.add("SIN", [x], (1, 8)))
    samples = {"x": np.ones((2, 1, 8), np.float32)}
    message = r"sine\.tflite: (has nothing that|\w+ would not make it smaller)"
    with pytest.raises(ConversionError, match=message):
        quantize(path, tmp_path / "out.tflite", precision, samples=samples)
    assert not (tmp_path / "out.tflite").exists()


def test_a_quantized_file_is_refused(classifier: Path, images: Any, tmp_path: Path) -> None:
    quantize(classifier, tmp_path / "int8.tflite", "int8", samples=images)
    with pytest.raises(SourceError, match="is quantized already"):
        quantize(tmp_path / "int8.tflite", tmp_path / "out.tflite", "dynamic")


@pytest.mark.parametrize(
    ("precision", "io", "message"),
    [
        ("int8", "float32", "needs calibration data; give --calibrate"),
        ("dynamic", "uint8", "--io uint8: dynamic takes and gives float32"),
        ("float32", "float32", "nothing to quantize"),
    ],
)
def test_requests_that_make_no_sense_are_usage_errors(
    classifier: Path, tmp_path: Path, precision: Any, io: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        quantize(classifier, tmp_path / "out.tflite", precision, io=io)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x1c\0\0\0TFL3 and then nothing of use here"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.tflite"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"damaged\.tflite: "):
        operators(path)


def test_an_unwritable_place_is_one_line(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        quantize(classifier, tmp_path / "no folder" / "out.tflite", "dynamic")
