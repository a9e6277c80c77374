from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from edgekit import onnx_file, support_onnx, support_tflite, tflite_file
from edgekit.graph import Graph, Operator, Tensor
from edgekit.support import TARGETS, Target, obstacles
from edgekit.tflite_schema import OPERATORS

Build = Callable[..., Path]


def tflite(*operators: Operator, **dtypes: str) -> Graph:
    tensors = {key: Tensor(name=key, shape=(1,), dtype=dtype) for key, dtype in dtypes.items()}
    return Graph(
        format="tflite",
        inputs=(),
        outputs=(),
        operators=operators,
        tensors=tensors,
        metadata={},
        versions={"schema": "3"},
    )


def operator(name: str, *inputs: str, version: int = 1, **options: Any) -> Operator:
    return Operator(name=name, version=version, inputs=inputs, outputs=(), **options)


def onnx(*operators: Operator, **versions: str) -> Graph:
    return Graph(
        format="onnx",
        inputs=(),
        outputs=(),
        operators=operators,
        tensors={},
        metadata={},
        versions=versions,
    )


def reasons(graph: Graph, target: Target) -> list[str]:
    return [str(obstacle) for obstacle in obstacles(graph, target)]


def test_a_plain_model_meets_no_obstacle(tiny_tflite: Build, tiny_onnx: Build) -> None:
    for target in TARGETS[:3]:
        assert reasons(tflite_file.read(tiny_tflite()), target) == []
    for target in TARGETS[3:]:
        assert reasons(onnx_file.read(tiny_onnx()), target) == []


def test_the_other_format_is_an_obstacle_as_a_whole() -> None:
    assert reasons(tflite(), "onnxruntime") == ["it runs .onnx files, and this is .tflite"]
    assert reasons(onnx(), "litert") == ["it runs .tflite files, and this is .onnx"]


def test_fully_connected_12_is_too_new_for_tflite_runtime() -> None:
    graph = tflite(operator("FULLY_CONNECTED", version=12))
    assert reasons(graph, "litert") == []
    assert reasons(graph, "tflite-runtime") == [
        "FULLY_CONNECTED: version 12 is too new there, the newest known is 10"
    ]


@pytest.mark.parametrize("target", ["litert", "tflite-runtime", "tflite-micro"])
def test_flex_operators_run_nowhere(target: Target) -> None:
    flex = operator("FlexTensorListReserve", is_custom=True)
    assert reasons(tflite(flex, flex), target) == [
        "FlexTensorListReserve (2 times): "
        "a TensorFlow operator (Flex); no runtime for devices has them"
    ]


def test_custom_operators_that_a_runtime_brings_are_no_obstacle() -> None:
    detection = tflite(operator("TFLite_Detection_PostProcess", is_custom=True))
    own = tflite(operator("MyOwn", is_custom=True))
    assert reasons(detection, "litert") == reasons(detection, "tflite-micro") == []
    assert reasons(own, "litert") == ["MyOwn: a custom operator; it must be added to the build"]


def test_dynamic_range_models_do_not_run_on_microcontrollers() -> None:
    graph = tflite(operator("CONV_2D", "x", "w"), x="float32", w="int8")
    assert "dynamic range" in reasons(graph, "tflite-micro")[0]
    assert reasons(graph, "tflite-runtime") == []
    assert reasons(tflite(operator("CONV_2D", "x", "w"), x="int8", w="int8"), "tflite-micro") == []


def test_dynamic_range_transposed_convolutions_run_only_on_litert() -> None:
    graph = tflite(operator("TRANSPOSE_CONV", "s", "w", "x"), s="int32", w="int8", x="float32")
    assert "dynamic range" in reasons(graph, "tflite-runtime")[0]
    assert "dynamic range" in reasons(graph, "tflite-micro")[0]
    assert reasons(graph, "litert") == []


def test_differences_of_int16_are_squared_on_microcontrollers_only() -> None:
    graph = tflite(operator("SQUARED_DIFFERENCE", "x", "x"), x="int16")
    assert reasons(graph, "tflite-micro") == []
    for target in TARGETS[1:3]:
        assert reasons(graph, target) == ["SQUARED_DIFFERENCE: does not take int16 there"]


def test_types_that_dequantize_does_not_take() -> None:
    half = tflite(operator("DEQUANTIZE", "w"), w="float16")
    quarter = tflite(operator("DEQUANTIZE", "w"), w="int4")
    assert "float16" in reasons(half, "tflite-micro")[0]
    assert reasons(half, "tflite-runtime") == []
    assert reasons(quarter, "tflite-runtime") == ["DEQUANTIZE: does not take int4 there"]
    assert reasons(quarter, "litert") == []


def test_an_operator_onnx_has_not_is_found() -> None:
    assert reasons(onnx(operator("Erfc", version=15)), "onnxruntime") == ["Erfc: not known there"]


def test_operator_sets_begin_and_end() -> None:
    assert reasons(onnx(operator("Erf", version=8)), "onnxruntime") == [
        "Erf: operator set 8 is too old there, the oldest known is 9"
    ]
    assert reasons(onnx(operator("Upsample", version=10)), "onnxruntime-web") == [
        "Upsample: no longer in operator set 10, the last one was 9"
    ]


def test_a_file_that_is_too_new_says_so_once() -> None:
    graph = onnx(operator("Relu", version=99), ir="20", **{"opset ai.onnx": "99"})
    assert reasons(graph, "onnxruntime") == [
        "ir version 20 is too new there, the newest known is 14",
        "opset ai.onnx version 99 is too new there, the newest known is 28",
    ]


def test_foreign_domains_are_obstacles_unless_the_file_brings_them() -> None:
    foreign = operator("Twice", domain="mine")
    brought = operator("Twice", domain="mine", calls=(1,))
    assert reasons(onnx(foreign), "onnxruntime") == [
        "Twice: of the domain 'mine'; its library must be registered"
    ]
    assert reasons(onnx(brought), "onnxruntime") == []


def test_the_tables_only_hold_names_of_the_schema() -> None:
    for table in support_tflite.NEWEST.values():
        assert set(table) <= set(OPERATORS)
    assert set(support_tflite.NEWEST["tflite-runtime"]) < set(support_tflite.NEWEST["litert"])
    assert len(TARGETS) == 5


@pytest.mark.slow
def test_the_litert_table_is_what_litert_looks_up(tiny_tflite: Build) -> None:
    """Every builtin in the newest version known, and in the one after it."""
    if version("ai-edge-litert") != "2.3.0":
        pytest.skip("the table is of ai-edge-litert 2.3.0, and another one is installed")
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    model = schema.ModelT.InitFromPackedBuf(tiny_tflite().read_bytes(), 0)
    model.subgraphs[0].operators = []

    def is_found(number: int, version: int) -> bool:
        code = model.operatorCodes[0]
        code.builtinCode, code.deprecatedBuiltinCode, code.version = (
            number,
            min(number, 127),
            version,
        )
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        try:
            Interpreter(model_content=bytes(builder.Output()))
        except ValueError as error:
            return "Didn't find op" not in str(error)
        return True

    aside = {"CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES"}
    table = support_tflite.NEWEST["litert"]
    for number, name in enumerate(OPERATORS):
        if name not in aside:
            newest = table.get(name, 0)
            assert newest == 0 or is_found(number, newest), name
            assert not is_found(number, newest + 1), name


def test_the_onnx_table_has_every_kernel_that_is_registered() -> None:
    state = pytest.importorskip(
        "onnxruntime.capi.onnxruntime_pybind11_state", reason="ONNX Runtime is not installed"
    )
    if version("onnxruntime") != "1.32.0":
        pytest.skip("the table is of onnxruntime 1.32.0, and another one is installed")
    kernels: dict[tuple[str, str], int] = {}
    for kernel in state.get_all_opkernel_def():
        if kernel.provider == "CPUExecutionProvider" and not kernel.op_name.startswith("Memcpy"):
            key = (kernel.domain, kernel.op_name)
            kernels[key] = min(kernel.version_range[0], kernels.get(key, 1 << 30))
    for (domain, name), first in kernels.items():
        if domain in support_onnx.OPERATORS:
            assert support_onnx.OPERATORS[domain][name][0] <= first, name
