"""Files that would end the process are refused; files that run are not."""

import random
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit import guard
from edgekit.errors import SourceError

Build = Callable[..., Path]
KINDS = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "bool": 6, "int16": 7, "int8": 9}


@dataclass(kw_only=True)
class Node:
    """One tensor."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    value: NDArray[Any] | None = None
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = (0,)


@dataclass(kw_only=True)
class Step:
    """One operator, by its name in the schema; options are attributes of their class."""

    name: str
    inputs: list[int]
    outputs: list[int]
    options: str = ""
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Piece:
    """One graph."""

    nodes: list[Node]
    steps: list[Step]
    inputs: list[int]
    outputs: list[int]


def tflite(*pieces: Piece) -> bytes:
    """The file that holds these graphs, sound or not."""
    flatbuffers = pytest.importorskip("flatbuffers", reason="flatbuffers is not installed")
    schema: Any = pytest.importorskip("ai_edge_litert.schema_py_generated")
    model = schema.ModelT()
    model.version, model.subgraphs, model.operatorCodes = 3, [], []
    model.buffers = [schema.BufferT()]
    for piece in pieces:
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = [], []
        for node in piece.nodes:
            tensor = schema.TensorT()
            tensor.name, tensor.type = f"{len(graph.tensors)}".encode(), KINDS[node.dtype]
            tensor.shape = np.array(node.shape, np.int32)
            if node.scale:
                tensor.quantization = schema.QuantizationParametersT()
                tensor.quantization.scale = np.array(node.scale, np.float32)
                tensor.quantization.zeroPoint = np.array(node.zero_point, np.int64)
            if node.value is not None:
                tensor.buffer = len(model.buffers)
                model.buffers.append(schema.BufferT())
                model.buffers[-1].data = np.frombuffer(node.value.tobytes(), np.uint8)
            graph.tensors.append(tensor)
        for step in piece.steps:
            operator, code = schema.OperatorT(), schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, step.name)
            code.deprecatedBuiltinCode, code.version = code.builtinCode, 1
            operator.opcodeIndex = len(model.operatorCodes)
            model.operatorCodes.append(code)
            operator.inputs = np.array(step.inputs, np.int32)
            operator.outputs = np.array(step.outputs, np.int32)
            if step.options:
                operator.builtinOptionsType = getattr(schema.BuiltinOptions, step.options)
                operator.builtinOptions = getattr(schema, f"{step.options}T")()
                for name, value in step.values.items():
                    setattr(operator.builtinOptions, name, value)
            graph.operators.append(operator)
        graph.inputs = np.array(piece.inputs, np.int32)
        graph.outputs = np.array(piece.outputs, np.int32)
        model.subgraphs.append(graph)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def one(step: Step, *nodes: Node, inputs: tuple[int, ...] = (0,)) -> bytes:
    """A file of one operator."""
    return tflite(
        Piece(nodes=list(nodes), steps=[step], inputs=list(inputs), outputs=step.outputs[:1])
    )


def numbers(*values: int) -> Node:
    return Node(shape=(len(values),), dtype="int32", value=np.array(values, np.int32))


def number(value: float, dtype: str = "int32") -> Node:
    return Node(shape=(), dtype=dtype, value=np.array(value, dtype))


def accept(data: bytes) -> None:
    guard.check(data, "tflite", "model.tflite")


def refuse(data: bytes, because: str) -> None:
    with pytest.raises(SourceError, match=because) as caught:
        accept(data)
    assert str(caught.value).startswith("model.tflite: ")
    assert "\n" not in str(caught.value)


def convolution(**options: int) -> bytes:
    filters = Node(shape=(2, 3, 3, 1), value=np.ones((2, 3, 3, 1), np.float32))
    bias = Node(shape=(2,), value=np.zeros(2, np.float32))
    step = Step(name="CONV_2D", inputs=[0, 1, 2], outputs=[3], options="Conv2DOptions")
    step.values = {"strideW": 1, "strideH": 1, **options}
    return one(step, Node(shape=(1, 4, 4, 1)), filters, bias, Node(shape=(1, 4, 4, 2)))


def loop(
    *,
    step: float = 1,
    bound: float = 5,
    dtype: str = "int32",
    name: str = "ADD",
    first: int | None = None,
) -> bytes:
    """``for (i = 0; i < bound; i += step)``."""
    truth = Node(shape=(), dtype="bool")
    here = Node(shape=(), dtype=dtype)
    count = Step(name=name, inputs=[0, 1], outputs=[2])
    loops = Step(name="WHILE", inputs=[0], outputs=[1], options="WhileOptions")
    loops.values = {"condSubgraphIndex": 1, "bodySubgraphIndex": 2}
    return tflite(
        Piece(
            nodes=[here if first is None else number(first), here],
            steps=[loops],
            inputs=[0] if first is None else [],
            outputs=[1],
        ),
        Piece(
            nodes=[here, number(bound, dtype), truth],
            steps=[Step(name="LESS", inputs=[0, 1], outputs=[2])],
            inputs=[0],
            outputs=[2],
        ),
        Piece(nodes=[here, number(step, dtype), here], steps=[count], inputs=[0], outputs=[2]),
    )


def test_sound_files_pass(tiny_tflite: Build, tiny_onnx: Build) -> None:
    for io in ("float32", "int8"):
        accept(tiny_tflite(io=io).read_bytes())
        guard.check(memoryview(tiny_onnx(io=io).read_bytes()), "onnx", "tiny.onnx")
    accept(convolution())
    accept(loop())
    accept(loop(first=0))
    accept(loop(first=1, name="MUL", step=2))


def test_every_shorter_file_is_refused(tiny_tflite: Build, tiny_onnx: Build) -> None:
    for kind, path in (("tflite", tiny_tflite()), ("onnx", tiny_onnx())):
        whole = path.read_bytes()
        for length in range(0, len(whole) - 3 if kind == "tflite" else len(whole) // 2, 7):
            with pytest.raises(SourceError, match="truncated or damaged"):
                guard.check(whole[:length], kind, path.name)  # type: ignore[arg-type]


def test_an_offset_out_of_the_file_is_refused(tiny_tflite: Build) -> None:
    data = bytearray(tiny_tflite().read_bytes())
    struct.pack_into("<I", data, 0, len(data))
    refuse(bytes(data), "Model at offset")


def test_a_stride_of_zero_is_refused() -> None:
    refuse(convolution(strideW=0), "CONV_2D has strides")


def test_a_stride_that_cannot_give_the_shape_is_refused() -> None:
    refuse(convolution(strideW=4096), r"of shape \(1, 4, 4, 1\) with strides \(1, 4096\)")


def test_an_order_of_axes_that_is_none_is_refused() -> None:
    step = Step(name="TRANSPOSE", inputs=[0, 1], outputs=[2])
    refuse(one(step, Node(shape=(1, 4)), numbers(0, 0), Node(shape=(4, 1))), "in the order")


def test_an_unknown_padding_is_refused() -> None:
    refuse(convolution(padding=7), "padding 7")


def test_an_operator_without_the_options_it_needs_is_refused() -> None:
    bare = Step(name="MAX_POOL_2D", inputs=[0], outputs=[1])
    refuse(one(bare, Node(shape=(1, 4, 4, 1)), Node(shape=(1, 2, 2, 1))), "lacks its options")


def test_channels_that_do_not_fit_the_filter_are_refused() -> None:
    step = Step(name="CONV_2D", inputs=[0, 1, -1], outputs=[2], options="Conv2DOptions")
    step.values = {"strideW": 1, "strideH": 1}
    filters = Node(shape=(2, 1, 1, 3), value=np.ones((2, 1, 1, 3), np.float32))
    refuse(one(step, Node(shape=(1, 4, 4, 4)), filters, Node(shape=(1, 4, 4, 2))), "has weights")


def test_a_split_into_more_parts_than_it_gives_is_refused() -> None:
    step = Step(name="SPLIT", inputs=[1, 0], outputs=[2, 3], options="SplitOptions")
    step.values = {"numSplits": 3}
    nodes = [Node(shape=(1, 4)), number(1), Node(shape=(1, 2)), Node(shape=(1, 2))]
    refuse(one(step, *nodes), "SPLIT into 3 has 2 outputs")


@pytest.mark.parametrize(("index", "because"), [(9, "none of 2"), (1, "nothing has made")])
def test_an_operator_that_reads_what_is_not_there_is_refused(index: int, because: str) -> None:
    step = Step(name="RELU", inputs=[index], outputs=[1])
    refuse(one(step, Node(shape=(1, 4)), Node(shape=(1, 4))), because)


def test_an_operator_that_lacks_an_input_is_refused() -> None:
    step = Step(name="MAXIMUM", inputs=[0, -1], outputs=[1])
    refuse(one(step, Node(shape=(1, 4)), Node(shape=(1, 4))), "lacks an input")


def test_a_constant_of_another_size_than_its_shape_is_refused() -> None:
    wrong = Node(shape=(2, 4), value=np.zeros(7, np.float32))
    step = Step(name="MAXIMUM", inputs=[0, 1], outputs=[2])
    refuse(one(step, Node(shape=(2, 4)), wrong, Node(shape=(2, 4))), "32 bytes and has 28")


def test_an_empty_constant_passes() -> None:
    step = Step(name="RESHAPE", inputs=[0, 1], outputs=[2])
    accept(one(step, Node(shape=(1,)), Node(shape=(0,), dtype="int32"), Node(shape=())))


def test_a_tensor_larger_than_any_device_is_refused() -> None:
    step = Step(name="RELU", inputs=[0], outputs=[1])
    refuse(one(step, Node(shape=(1, 4)), Node(shape=(1 << 15, 1 << 15, 2))), "more than")


@pytest.mark.parametrize("scale", [0.0, -0.5, 1e-45, float("nan"), float("inf")])
def test_a_scale_that_cannot_be_is_refused(scale: float) -> None:
    step = Step(name="DEQUANTIZE", inputs=[0], outputs=[1])
    refuse(one(step, Node(shape=(1, 4), dtype="int8", scale=(scale,)), Node(shape=(1, 4))), "scale")


def test_quantized_arithmetic_without_scales_is_refused() -> None:
    step = Step(name="DEQUANTIZE", inputs=[0], outputs=[1])
    refuse(one(step, Node(shape=(1, 4), dtype="int8"), Node(shape=(1, 4))), "needs the scale")


def test_more_scales_than_there_are_channels_are_refused() -> None:
    step = Step(name="DEQUANTIZE", inputs=[0], outputs=[1])
    given = Node(shape=(3, 4), dtype="int8", scale=(1.0, 1.0), zero_point=(0, 0))
    refuse(one(step, given, Node(shape=(3, 4))), "2 scales along axis 0")


def test_a_zero_point_outside_of_the_type_is_refused() -> None:
    step = Step(name="DEQUANTIZE", inputs=[0], outputs=[1])
    given = Node(shape=(3,), dtype="int8", scale=(1.0,), zero_point=(300,))
    refuse(one(step, given, Node(shape=(3,))), "zero point")


def test_a_sum_far_larger_than_its_result_can_be_is_refused() -> None:
    terms = [Node(shape=(2,), dtype="int8", scale=(1e6,)) for _ in range(2)]
    step = Step(name="ADD", inputs=[0, 1], outputs=[2], options="AddOptions")
    made = Node(shape=(2,), dtype="int8", scale=(1e-6,))
    refuse(one(step, *terms, made, inputs=(0, 1)), "makes scale")


def test_a_result_of_absurd_size_is_refused() -> None:
    step = Step(name="TILE", inputs=[0, 1], outputs=[2])
    refuse(one(step, Node(shape=(1, 4)), numbers(1 << 20, 1 << 20), Node(shape=())), "makes shape")


def test_a_slice_outside_of_its_tensor_is_refused() -> None:
    step = Step(name="SLICE", inputs=[0, 1, 2], outputs=[3])
    nodes = [Node(shape=(1, 4)), numbers(0, 3), numbers(1, 2), Node(shape=(1, 2))]
    refuse(one(step, *nodes), r"takes \(1, 2\) at \(0, 3\)")


def test_places_outside_of_the_result_are_refused() -> None:
    step = Step(name="SPARSE_TO_DENSE", inputs=[1, 2, 0, 3], outputs=[4])
    nodes = [Node(shape=(2,)), numbers(0, 9), numbers(5), number(0, "float32"), Node(shape=(5,))]
    refuse(one(step, *nodes), "puts numbers at")


def test_an_axis_that_is_none_is_refused() -> None:
    step = Step(name="MEAN", inputs=[0, 1], outputs=[2], options="ReducerOptions")
    refuse(one(step, Node(shape=(1, 4)), numbers(7), Node(shape=(1,))), "over axes")


def test_an_input_that_is_constant_is_refused() -> None:
    step = Step(name="RELU", inputs=[0], outputs=[1])
    fixed = Node(shape=(2,), value=np.zeros(2, np.float32))
    refuse(one(step, fixed, Node(shape=(2,))), "takes a tensor that is constant")


def test_graphs_that_run_themselves_are_refused() -> None:
    step = Step(name="WHILE", inputs=[0], outputs=[1], options="WhileOptions")
    refuse(one(step, Node(shape=(1,)), Node(shape=(1,))), "without end")


@pytest.mark.parametrize(
    "changes",
    [
        {"step": 0},
        {"first": 0, "name": "MUL", "step": 3},
        {"step": -1},
        {"bound": 1 << 30},
        {"step": 1e-45, "bound": 7e-45, "dtype": "float32"},
    ],
)
def test_loops_that_never_end_are_refused(changes: dict[str, Any]) -> None:
    refuse(loop(**changes), "does not come to an end")


def test_a_name_that_is_no_text_is_refused(tiny_tflite: Build, tiny_onnx: Build) -> None:
    refuse(tiny_tflite().read_bytes().replace(b"weights", b"we\xff\xfehts"), "is no text")
    data = tiny_onnx().read_bytes().replace(b"weights", b"we\xff\xfehts")
    with pytest.raises(SourceError, match="is no text"):
        guard.check(data, "onnx", "tiny.onnx")


def test_an_input_larger_than_any_device_is_refused(tiny_onnx: Build) -> None:
    with pytest.raises(SourceError, match="more than any runtime can hold"):
        guard.check(tiny_onnx(batch=1 << 40).read_bytes(), "onnx", "tiny.onnx")


def test_names_in_any_language_pass(tiny_onnx: Build) -> None:
    guard.check(tiny_onnx().read_bytes().replace(b"weights", "äöü!".encode()), "onnx", "tiny.onnx")


TRY_ALL = """
import sys
from pathlib import Path
import edgekit
import numpy as np
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        with edgekit.load(path.read_bytes()) as model:
            model.run({spec.name: np.zeros([size or 1 for size in spec.shape], spec.dtype)
                       for spec in model.inputs})
    except edgekit.EdgekitError as error:
        assert "\\n" not in str(error), path
"""


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_damaged_files_end_no_process(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Any four bytes at any place; benchmarks/suites/mutations.py does it at length."""
    build: Build = request.getfixturevalue(f"tiny_{kind}")
    folder = tmp_path / "damaged"
    folder.mkdir()
    chance = random.Random(5)
    for io in ("float32", "int8"):
        whole = build(f"{io}.{kind}", io=io).read_bytes()
        for number in range(250):
            data = bytearray(whole)
            value = chance.choice([0, 1, 2, -1, 127, 1 << 16, (1 << 31) - 1, -(1 << 31)])
            struct.pack_into("<i", data, chance.randrange(len(data) - 4), value)
            (folder / f"{io}.{number:03}").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", TRY_ALL, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
