import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit import multiply_adds, support, tflite_file, weights
from edgekit.errors import SourceError
from edgekit.graph import Graph
from edgekit.tensors import Quantization, TensorSpec

Build = Callable[..., Path]
IDENTIFIER_AT = 4


def schema() -> Any:
    return pytest.importorskip(
        "ai_edge_litert.schema_py_generated", reason="LiteRT is not installed"
    )


def write(path: Path, model: Any) -> Path:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def unpacked(path: Path) -> Any:
    return schema().ModelT.InitFromPackedBuf(path.read_bytes(), 0)


def look_through(path: Path) -> Graph:
    """Read a file and everything that is derived from it."""
    graph = tflite_file.read(path)
    multiply_adds.count(graph)
    weights.weigh(graph)
    for target in support.TARGETS:
        support.obstacles(graph, target)
    return graph


def test_inputs_and_outputs_have_the_names_of_the_signature(tiny_tflite: Build) -> None:
    graph = tflite_file.read(tiny_tflite())
    assert graph.inputs == (TensorSpec(name="image", shape=(1, 2), dtype="float32"),)
    assert graph.outputs == (TensorSpec(name="scores", shape=(1, 3), dtype="float32"),)


def test_without_a_signature_they_have_the_names_of_their_tensors(tiny_tflite: Build) -> None:
    graph = tflite_file.read(tiny_tflite(signature=False))
    assert [graph.inputs[0].name, graph.outputs[0].name] == ["raw_image:0", "raw_scores:0"]


def test_a_free_dimension_is_none(tiny_tflite: Build) -> None:
    graph = tflite_file.read(tiny_tflite(batch=-1))
    assert graph.inputs[0].shape == (None, 2)
    assert graph.outputs[0].shape == (None, 3)


def test_quantization_is_told(tiny_tflite: Build) -> None:
    graph = tflite_file.read(tiny_tflite(io="int8"))
    scale = float(np.float32(0.05))
    assert graph.inputs[0].dtype == "int8"
    assert graph.inputs[0].quantization == Quantization(scale=(scale,), zero_point=(10,))


def test_weights_are_views_of_the_stored_bytes(tiny_tflite: Build) -> None:
    graph = tflite_file.read(tiny_tflite())
    stored = graph.tensors["0:1"].constant
    assert stored is not None
    expected = np.array([[1.0, 0.5], [-1.0, 1.0], [0.5, -1.0]], np.float32)
    assert np.array_equal(np.frombuffer(stored, np.float32).reshape(3, 2), expected)
    assert graph.tensors["0:0"].constant is None


def test_operators_have_names_versions_and_tensors(tiny_tflite: Build) -> None:
    (operator,) = tflite_file.read(tiny_tflite(version=7)).operators
    assert (operator.name, operator.version, operator.is_custom) == ("FULLY_CONNECTED", 7, False)
    assert operator.inputs == ("0:0", "0:1", None)
    assert operator.outputs == ("0:2",)


def test_custom_operators_have_their_own_names(tiny_tflite: Build) -> None:
    (operator,) = tflite_file.read(tiny_tflite(custom="FlexErf")).operators
    assert (operator.name, operator.is_custom) == ("FlexErf", True)


def test_metadata_and_description_are_read(tiny_tflite: Build) -> None:
    path = tiny_tflite()
    model = unpacked(path)
    entry, buffer = schema().MetadataT(), schema().BufferT()
    buffer.data = np.frombuffer(b'{"a": 1}', np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = b"edgekit.manifest", len(model.buffers) - 1
    model.metadata, model.description = [entry], b"made by hand"
    graph = tflite_file.read(write(path, model))
    assert graph.metadata == {"edgekit.manifest": b'{"a": 1}'}
    assert graph.description == "made by hand"
    assert graph.versions == {"schema": "3"}


def test_scales_of_each_channel_are_read(tiny_tflite: Build) -> None:
    path = tiny_tflite(io="int8")
    model = unpacked(path)
    parameters = model.subgraphs[0].tensors[1].quantization
    parameters.scale = np.array([0.5, 0.25, 0.125], np.float32)
    parameters.zeroPoint = np.array([0, 0, 0], np.int64)
    parameters.quantizedDimension = 0
    graph = tflite_file.read(write(path, model))
    assert graph.tensors["0:1"].quantization == Quantization(
        scale=(0.5, 0.25, 0.125), zero_point=(0, 0, 0), axis=0
    )


def test_weights_behind_the_flatbuffer_are_read(tiny_tflite: Build) -> None:
    path = tiny_tflite()
    model = unpacked(path)
    stored = bytes(model.buffers[1].data)
    model.buffers[1].data = None
    for _ in range(2):  # the offset itself takes room
        model.buffers[1].offset = path.stat().st_size
        model.buffers[1].size = len(stored)
        write(path, model)
    path.write_bytes(path.read_bytes() + stored)
    constant = tflite_file.read(path).tensors["0:1"].constant
    assert constant is not None
    assert bytes(constant) == stored


def test_operators_of_all_subgraphs_are_listed_with_who_calls_whom(tiny_tflite: Build) -> None:
    path = tiny_tflite()
    model = unpacked(path)
    body, code, loop = schema().SubGraphT(), schema().OperatorCodeT(), schema().OperatorT()
    body.tensors = [model.subgraphs[0].tensors[0]]
    body.inputs = body.outputs = np.array([0], np.int32)
    body.operators = []
    code.builtinCode = code.deprecatedBuiltinCode = schema().BuiltinOperator.WHILE
    loop.opcodeIndex = 1
    loop.inputs = loop.outputs = np.array([0], np.int32)
    loop.builtinOptionsType = schema().BuiltinOptions.WhileOptions
    loop.builtinOptions = schema().WhileOptionsT()
    loop.builtinOptions.condSubgraphIndex, loop.builtinOptions.bodySubgraphIndex = 1, 2
    model.operatorCodes.append(code)
    model.subgraphs[0].operators.insert(0, loop)
    model.subgraphs += [body, body]
    first = tflite_file.read(write(path, model)).operators[0]
    assert (first.name, first.calls, first.is_loop) == ("WHILE", (1, 2), True)
    loop.builtinOptions.bodySubgraphIndex = 3
    with pytest.raises(SourceError, match="WHILE runs graph 3 of 3"):
        tflite_file.read(write(path, model))


@pytest.mark.parametrize("change", ["tensor", "code", "buffer", "no graph"])
def test_numbers_that_lead_nowhere_are_refused(tiny_tflite: Build, change: str) -> None:
    path = tiny_tflite()
    model = unpacked(path)
    graph = model.subgraphs[0]
    if change == "tensor":
        graph.operators[0].inputs = np.array([0, 99, -1], np.int32)
    elif change == "code":
        graph.operators[0].opcodeIndex = 9
    elif change == "buffer":
        graph.tensors[0].buffer = 77
    else:
        model.subgraphs, model.signatureDefs = [], []
    with pytest.raises(SourceError, match="truncated or damaged"):
        tflite_file.read(write(path, model))


def test_a_text_file_is_not_tflite(tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    path.write_text("hello")
    with pytest.raises(SourceError, match="x.tflite: not a TFLite file"):
        tflite_file.read(path)


def test_an_empty_or_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    with pytest.raises(SourceError, match="no such file"):
        tflite_file.read(path)
    path.touch()
    with pytest.raises(SourceError, match="the file is empty"):
        tflite_file.read(path)


def test_truncated_files_are_refused_in_one_line(tiny_tflite: Build) -> None:
    path = tiny_tflite()
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(SourceError, match=r"^[^\n]+$"):
            tflite_file.read(path)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Bits flipped, bytes set to the edges, numbers made huge, parts cut out."""
    made = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8])):
        at = chance.randrange(IDENTIFIER_AT + 4, len(made))
        match chance.randrange(4):
            case 0:
                made[at] ^= 1 << chance.randrange(8)
            case 1:
                made[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF])
            case 2:
                edges = (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\1\0\0\0")
                made[at : at + 4] = chance.choice(edges)
            case _:
                del made[at : at + chance.randrange(1, 40)]
    return bytes(made)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_refused_in_one_line_or_read(tiny_tflite: Build, seed: int) -> None:
    chance = random.Random(seed)
    path = tiny_tflite(io=chance.choice(["float32", "int8"]))
    whole = path.read_bytes()
    refused = 0
    for _ in range(500):
        path.write_bytes(mutated(whole, chance))
        try:
            look_through(path)
        except SourceError as error:
            refused += "\n" not in str(error)
    assert 100 < refused < 500


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.binary(max_size=300))
def test_any_bytes_behind_the_identifier_are_refused_or_read(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(data[:4].ljust(4, b"\0") + b"TFL3" + data[4:])
    try:
        look_through(path)
    except SourceError:
        return


def same_as_schema(path: Path) -> int:
    """Compare with what LiteRT's own schema classes read; returns the number of operators."""
    names = {number: name for name, number in vars(schema().BuiltinOperator).items()}
    graph, model, whole = tflite_file.read(path), unpacked(path), path.read_bytes()
    operators = []
    for number, subgraph in enumerate(model.subgraphs):
        for index, tensor in enumerate(subgraph.tensors):
            mine = graph.tensors[f"{number}:{index}"]
            assert mine.name == tensor.name.decode()
            sizes = [] if tensor.shape is None else tensor.shape.tolist()
            free = sizes if tensor.shapeSignature is None else tensor.shapeSignature.tolist()
            assert mine.shape == tuple(
                None if sign == -1 else size for size, sign in zip(sizes, free, strict=True)
            )
            buffer = model.buffers[tensor.buffer]
            stored = b"" if buffer.data is None else bytes(buffer.data)
            if buffer.offset > 1:
                stored = whole[buffer.offset : buffer.offset + buffer.size]
            assert bytes(mine.constant or b"") == stored
            scale = tensor.quantization.scale if tensor.quantization else None
            assert (mine.quantization is None) == (scale is None or not len(scale))
        for operator in subgraph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            number_ = max(code.builtinCode, code.deprecatedBuiltinCode)
            name = code.customCode.decode() if code.customCode else names[number_]
            operators.append((name, code.version, len(operator.inputs), len(operator.outputs)))
    assert operators == [
        (it.name, it.version, len(it.inputs), len(it.outputs)) for it in graph.operators
    ]
    return len(operators)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # TensorFlow warns of what it does itself
def test_converted_models_read_as_the_schema_reads_them(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    import keras
    import tensorflow as tf

    from edgekit.inspection import inspect

    layers = keras.layers
    cnn = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(8, 3, strides=2)])
    cnn.add(layers.DepthwiseConv2D(3))
    cnn.add(layers.Conv2DTranspose(4, 3))
    cnn.add(layers.Flatten())
    cnn.add(layers.Dense(5))
    rnn = keras.Sequential([keras.Input((6, 4)), layers.LSTM(8), layers.Dense(3)])

    def samples() -> Any:
        return ([np.random.default_rng(i).random((1, 16, 16, 3), np.float32)] for i in range(4))

    for name in ("float", "dynamic", "int8"):
        converter = tf.lite.TFLiteConverter.from_keras_model(cnn)
        if name != "float":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if name == "int8":
            converter.representative_dataset = samples
            converter.inference_input_type = tf.int8
        (tmp_path / f"{name}.tflite").write_bytes(converter.convert())
    spec = keras.InputSpec(shape=(1, 6, 4), dtype="float32")
    rnn.export(tmp_path / "rnn.tflite", format="litert", input_signature=[spec], verbose=False)
    counts = {path.stem: same_as_schema(path) for path in sorted(tmp_path.glob("*.tflite"))}
    assert set(counts) == {"float", "dynamic", "int8", "rnn"}
    assert min(counts.values()) > 4
    found = inspect(tmp_path / "float.tflite")
    # 7x7x8 outputs of 3x3x3, 5x5x8 of 3x3, 5x5x8 inputs into 3x3x4, 7*7*4 into 5
    expected = 7 * 7 * 8 * 27 + 5 * 5 * 8 * 9 + 5 * 5 * 8 * 36 + 7 * 7 * 4 * 5
    assert found.compute is not None
    assert found.compute.multiply_adds == expected
    looped = inspect(tmp_path / "rnn.tflite")
    assert looped.compute is not None
    assert looped.compute.multiply_adds == 8 * 3
    assert looped.compute.multiply_adds_per_loop_step == 4 * 8 * (4 + 8)
