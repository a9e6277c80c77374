import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit import multiply_adds, onnx_file, support, weights
from edgekit.errors import SourceError
from edgekit.graph import Graph
from edgekit.tensors import TensorSpec

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

Build = Callable[..., Path]


def write(path: Path, nodes: list[Any], weights: dict[str, Any], **options: Any) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        options.get("inputs", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])]),
        options.get("outputs", [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]),
        [
            value if isinstance(value, TensorProto) else numpy_helper.from_array(value, name)
            for name, value in weights.items()
        ],
    )
    opsets = options.get("opsets", [helper.make_opsetid("", 17)])
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=8, functions=options.get("functions", [])
    )
    path.write_bytes(model.SerializeToString())
    return path


def look_through(path: Path) -> Graph:
    """Read a file and everything that is derived from it."""
    graph = onnx_file.read(path)
    multiply_adds.count(graph)
    weights.weigh(graph)
    for target in support.TARGETS:
        support.obstacles(graph, target)
    return graph


def test_inputs_outputs_and_free_dimensions_are_read(tiny_onnx: Build) -> None:
    graph = onnx_file.read(tiny_onnx(batch="batch"))
    assert graph.inputs == (TensorSpec(name="image", shape=(None, 2), dtype="float32"),)
    assert graph.outputs == (TensorSpec(name="scores", shape=(None, 3), dtype="float32"),)


def test_versions_and_metadata_are_read(tiny_onnx: Build) -> None:
    graph = onnx_file.read(tiny_onnx(io="int8"))
    assert graph.versions == {"ir": "8", "opset ai.onnx": "15"}
    assert graph.metadata["edgekit.manifest"].startswith(b'{"inputs": ')


def test_weights_listed_as_inputs_are_no_inputs(tmp_path: Path) -> None:
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4]),
        helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 2]),
    ]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = write(tmp_path / "m.onnx", [node], {"w": np.ones((4, 2), np.float32)}, inputs=inputs)
    assert [spec.name for spec in onnx_file.read(path).inputs] == ["x"]


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.5, -2.0], np.float32),
        np.array([1.5, -2.0], np.float16),
        np.array([1.5], np.float64),
        np.array([-3, 4], np.int8),
        np.array([3, 250], np.uint8),
        np.array([-300, 4], np.int16),
        np.array([-70000, 4], np.int32),
        np.array([-(1 << 40), 4], np.int64),
        np.array([True, False]),
    ],
)
def test_weights_read_back_stored_raw_or_one_by_one(tmp_path: Path, array: Any) -> None:
    element = helper.np_dtype_to_tensor_dtype(array.dtype)
    typed = helper.make_tensor("typed", element, array.shape, array.flatten())
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    path = write(tmp_path / "m.onnx", nodes, {"raw": array, "typed": typed})
    tensors = onnx_file.read(path).tensors
    for name in ("raw", "typed"):
        assert tensors[name].dtype == array.dtype.name
        assert tensors[name].shape == array.shape
        assert bytes(tensors[name].constant or b"") == array.tobytes()


def test_a_constant_node_is_a_weight(tmp_path: Path) -> None:
    value = numpy_helper.from_array(np.ones((4, 2), np.float32), "value")
    nodes = [
        helper.make_node("Constant", [], ["w"], value=value),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    graph = onnx_file.read(write(tmp_path / "m.onnx", nodes, {}))
    assert weights.weigh(graph).parameters == 8


def test_branches_see_the_names_around_them_and_keep_their_own_apart(tmp_path: Path) -> None:
    def branch(operator: str) -> Any:
        node = helper.make_node(operator, ["x"], ["inner"])
        made = helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1, 4])
        return helper.make_graph([node], operator, [], [made])

    nodes = [
        helper.make_node(
            "If", ["flag"], ["y"], then_branch=branch("Relu"), else_branch=branch("Neg")
        )
    ]
    graph = onnx_file.read(write(tmp_path / "m.onnx", nodes, {"flag": np.array(True)}))
    assert [it.name for it in graph.operators] == ["If", "Neg", "Relu"]  # else comes first
    assert [it.subgraph for it in graph.operators] == [0, 1, 2]
    assert graph.operators[0].calls == (1, 2)
    assert graph.operators[1].inputs == graph.operators[2].inputs == ("x",)
    assert graph.operators[1].outputs == ("1:inner",)
    assert graph.operators[2].outputs == ("2:inner",)


def test_functions_that_the_file_brings_are_no_custom_operators(tmp_path: Path) -> None:
    opset = helper.make_opsetid("", 17)
    function = helper.make_function(
        "mine", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [opset]
    )
    nodes = [
        helper.make_node("Twice", ["x"], ["t"], domain="mine"),
        helper.make_node("Other", ["t"], ["y"], domain="theirs"),
    ]
    opsets = [opset, helper.make_opsetid("mine", 1), helper.make_opsetid("theirs", 1)]
    path = write(tmp_path / "m.onnx", nodes, {}, opsets=opsets, functions=[function])
    graph = onnx_file.read(path)
    found = {it.name: it for it in graph.operators}
    assert found["Twice"].calls == (1,)
    assert found["Add"].subgraph == 1
    assert [it.name for it in graph.operators if it.is_custom] == ["Other"]


def external(path: Path, location: str, length: str | None = None) -> Path:
    tensor = TensorProto(name="w", dims=[4, 2], data_type=TensorProto.FLOAT, data_location=1)
    entries = {"location": location, "offset": "8"} | ({"length": length} if length else {})
    for name, value in entries.items():
        tensor.external_data.add(key=name, value=value)
    return write(path, [helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": tensor})


def test_weights_in_a_file_beside_are_read(tmp_path: Path) -> None:
    stored = np.arange(8, dtype=np.float32).tobytes()
    (tmp_path / "w.bin").write_bytes(bytes(8) + stored + b"more")
    graph = onnx_file.read(external(tmp_path / "m.onnx", "w.bin", "32"))
    assert bytes(graph.tensors["w"].constant or b"") == stored


def test_a_missing_or_short_file_of_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="its weights are in 'w.bin', not here; copy it beside"):
        onnx_file.read(external(tmp_path / "m.onnx", "w.bin"))
    (tmp_path / "w.bin").write_bytes(bytes(20))
    with pytest.raises(SourceError, match="'w.bin' is shorter than it should be"):
        onnx_file.read(external(tmp_path / "m.onnx", "w.bin", "32"))


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../secret", ".", ""])
def test_weights_outside_of_its_folder_are_never_read(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(64))
    (tmp_path / "models").mkdir()
    with pytest.raises(SourceError, match="outside of its folder; refused"):
        onnx_file.read(external(tmp_path / "models" / "m.onnx", location))


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(64))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "w.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(SourceError, match="outside of its folder; refused"):
        onnx_file.read(external(tmp_path / "models" / "m.onnx", "w.bin"))


def test_graphs_nested_without_end_are_refused(tmp_path: Path) -> None:
    inner = helper.make_graph([], "g", [], [])
    for _ in range(20):
        node = helper.make_node("If", ["x"], ["y"], then_branch=inner)
        inner = helper.make_graph([node], "g", [], [])
    path = tmp_path / "m.onnx"
    path.write_bytes(
        helper.make_model(inner, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    )
    with pytest.raises(SourceError, match="more than 16 deep"):
        onnx_file.read(path)


def test_a_file_of_millions_of_empty_nodes_is_refused(tmp_path: Path) -> None:
    nodes = b"\x0a\x00" * ((1 << 20) + 10)
    length = len(nodes)
    size = bytearray()
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08\x3a" + bytes([*size, length]) + nodes)
    with pytest.raises(SourceError, match="more parts than any model"):
        onnx_file.read(tmp_path / "m.onnx")


def test_a_text_file_is_not_onnx(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("hello")
    with pytest.raises(SourceError, match="m.onnx: not an ONNX file"):
        onnx_file.read(tmp_path / "m.onnx")


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_are_refused_in_one_line_or_read(tiny_onnx: Build, seed: int) -> None:
    chance = random.Random(seed)
    path = tiny_onnx(io=chance.choice(["float32", "int8"]))
    whole = path.read_bytes()
    refused = 0
    for _ in range(400):
        made = bytearray(whole)
        for _ in range(chance.choice([1, 1, 3, 10])):
            at = chance.randrange(len(made))
            if chance.random() < 0.2:
                del made[at : at + chance.randrange(1, 30)]
            else:
                made[at] = chance.choice([made[at] ^ 1 << chance.randrange(8), 0, 0x7F, 0xFF])
            if not made:
                break
        path.write_bytes(bytes(made or b"x"))
        try:
            look_through(path)
        except SourceError as error:
            refused += "\n" not in str(error)
    assert 40 < refused < 400


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"\x08\x08\x3a" + bytes([min(len(data), 127)]) + data[:127])
    try:
        look_through(path)
    except SourceError:
        return


def same_as_onnx(path: Path) -> None:
    """Compare with what the onnx package reads."""

    def nodes(graph: Any) -> Any:
        for node in graph.node:
            yield node
            for attribute in node.attribute:
                for inner in [*attribute.graphs, *([attribute.g] * attribute.HasField("g"))]:
                    yield from nodes(inner)

    def sizes(value: Any) -> tuple[int | None, ...]:
        return tuple(
            size.dim_value if size.HasField("dim_value") and size.dim_value >= 0 else None
            for size in value.type.tensor_type.shape.dim
        )

    graph, model = onnx_file.read(path), onnx.load(path, load_external_data=False)
    listed = [
        *(node for function in model.functions for node in function.node),
        *nodes(model.graph),
    ]
    assert [(it.name, len(it.inputs), len(it.outputs)) for it in graph.operators] == [
        (node.op_type, len(node.input), len(node.output)) for node in listed
    ]
    stored = {tensor.name for tensor in model.graph.initializer}
    given_ = [value for value in model.graph.input if value.name not in stored]
    for mine, theirs in ((graph.inputs, given_), (graph.outputs, model.graph.output)):
        assert [spec.name for spec in mine] == [value.name for value in theirs]
        if all(value.type.HasField("tensor_type") for value in theirs):
            assert [spec.shape for spec in mine] == [sizes(value) for value in theirs]
    for tensor in model.graph.initializer:
        mine_ = graph.tensors[tensor.name]
        array = numpy_helper.to_array(tensor)
        assert mine_.shape == tuple(tensor.dims)
        if array.dtype.name == mine_.dtype and not array.dtype.name.endswith(("int4", "int2")):
            assert bytes(mine_.constant or b"") == array.tobytes()


def test_files_of_the_onnx_package_read_as_it_reads_them() -> None:
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data"
    files = sorted(folder.glob("*/**/*.onnx"))
    if len(files) < 50:
        pytest.skip("this onnx package came without its test data")
    for path in files[::3]:
        same_as_onnx(path)
