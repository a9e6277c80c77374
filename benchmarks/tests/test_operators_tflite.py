"""TFLite graphs in pieces: what belongs together, and files with added graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import tflite_file
from edgekit.errors import SourceError, UsageError
from edgekit.graph import Graph, Operator, Tensor
from edgekit_benchmarks.link import LocalLink
from edgekit_benchmarks.operators_tflite import inside, parts_of
from edgekit_benchmarks.tflite_pieces import MOST_PIECES, Part, cut
from edgekit_benchmarks.tflite_subgraphs import TFLiteFile

Build = Callable[..., Path]


def graph_of(
    *operators: tuple[str, list[int], list[int]],
    constant: tuple[int, ...] = (),
    dtypes: dict[int, str] | None = None,
    size: int = 8,
) -> Graph:
    """A graph of operators over tensors with these numbers; 0 is its input."""
    numbers = {0, *(n for _, given, made in operators for n in (*given, *made))}
    tensors = {
        f"0:{n}": Tensor(
            name=f"t{n}",
            shape=(1, size),
            dtype=(dtypes or {}).get(n, "float32"),
            constant=memoryview(bytes(32)) if n in constant else None,
        )
        for n in numbers
    }
    return Graph(
        format="tflite",
        inputs=(),
        outputs=(),
        operators=tuple(
            Operator(
                name=name,
                version=1,
                inputs=tuple(f"0:{n}" for n in given),
                outputs=tuple(f"0:{n}" for n in made),
            )
            for name, given, made in operators
        ),
        tensors=tensors,
        metadata={},
        versions={},
    )


GIVEN, ASKED = frozenset({0}), frozenset({9})


def test_every_operator_is_a_piece() -> None:
    found = cut(graph_of(("RELU", [0], [1]), ("TANH", [1], [2]), ("NEG", [2], [9])), "a")
    assert found.pieces == ((0,), (1,), (2,))
    assert found.part([1], GIVEN, ASKED) == Part(operators=(1,), inputs=(1,), outputs=(2,))


def test_what_runs_past_a_piece_is_handed_over_too() -> None:
    graph = graph_of(("RELU", [0], [1]), ("TANH", [1], [2]), ("ADD", [1, 2], [9]))
    found = cut(graph, "a")
    assert found.part([2], GIVEN, ASKED).inputs == (1, 2)
    assert found.part([0, 1], GIVEN, ASKED) == Part(operators=(0, 1), inputs=(0,), outputs=(1, 2))


def test_what_prepares_weights_belongs_to_those_that_use_them() -> None:
    graph = graph_of(
        ("DEQUANTIZE", [5], [6]),
        ("CONV_2D", [0, 6], [1]),
        ("CONV_2D", [1, 6], [9]),
        constant=(5,),
    )
    found = cut(graph, "a")
    assert found.pieces == ((1,), (2,))
    assert found.part([0], GIVEN, ASKED) == Part(operators=(0, 1), inputs=(0,), outputs=(1,))
    assert found.part([1], GIVEN, ASKED) == Part(operators=(0, 2), inputs=(1,), outputs=(9,))
    assert found.part([0, 1], GIVEN, ASKED).operators == (0, 1, 2)


def test_weights_that_are_prepared_in_steps() -> None:
    graph = graph_of(
        ("DEQUANTIZE", [5], [6]),
        ("TRANSPOSE", [6], [7]),
        ("CONV_2D", [0, 7], [9]),
        constant=(5,),
    )
    assert cut(graph, "a").part([0], GIVEN, ASKED).operators == (0, 1, 2)


def test_a_result_that_depends_on_nothing_is_a_piece() -> None:
    graph = graph_of(("RELU", [0], [1]), ("NEG", [5], [9]), constant=(5,))
    assert cut(graph, "a").pieces == ((0,), (1,))


def test_random_numbers_are_not_prepared_weights() -> None:
    graph = graph_of(("RANDOM_UNIFORM", [5], [1]), ("ADD", [0, 1], [9]), constant=(5,))
    assert cut(graph, "a").pieces == ((0,), (1,))


def test_what_cannot_be_handed_over_stays_in_one_piece() -> None:
    graph = graph_of(
        ("RELU", [0], [1]),
        ("MAKE", [1], [2]),
        ("NEG", [1], [3]),
        ("READ", [2, 3], [4]),
        ("TANH", [4], [9]),
        dtypes={2: "variant"},
    )
    assert cut(graph, "a").pieces == ((0,), (1, 2, 3), (4,))


def test_a_variable_is_in_every_piece_that_uses_it() -> None:
    graph = graph_of(
        ("VAR_HANDLE", [], [5]),
        ("READ_VARIABLE", [5], [1]),
        ("ADD", [0, 1], [2]),
        ("ASSIGN_VARIABLE", [5, 2], []),
        ("NEG", [2], [9]),
        dtypes={5: "resource"},
    )
    found = cut(graph, "a")
    assert found.pieces == ((1,), (2,), (3,), (4,))
    assert found.part([2], GIVEN, ASKED) == Part(operators=(0, 3), inputs=(2,), outputs=())


def test_many_operators_are_timed_in_groups_of_cheap_neighbours() -> None:
    steps = [("RELU", [n], [n + 1]) for n in range(500)]
    steps[250] = ("ADD_N", [250] * 40, [251])
    found = cut(graph_of(*steps), "a")
    assert len(found.pieces) <= MOST_PIECES
    assert [place for piece in found.pieces for place in piece] == list(range(500))
    assert (250,) in found.pieces


def test_a_graph_without_operators_is_refused() -> None:
    with pytest.raises(UsageError, match="has no operators"):
        cut(graph_of(), "a.tflite")


@given(
    own=st.lists(st.floats(1, 1e6), min_size=1, max_size=20),
    data=st.data(),
    call=st.floats(0, 10),
)
def test_costs_of_cutting_cancel_out(own: list[float], data: Any, call: float) -> None:
    """A piece costs its own time, a call, and half of what each cut next to it costs."""
    count = len(own) - 1
    cuts = [call, *data.draw(st.lists(st.floats(0, 100), min_size=count, max_size=count)), call]
    alone = [time + (cuts[at] + cuts[at + 1]) / 2 for at, time in enumerate(own)]
    pairs = [own[at] + own[at + 1] + (cuts[at] + cuts[at + 2]) / 2 for at in range(len(own) - 1)]
    assert inside(alone, pairs, call) == pytest.approx(own, rel=1e-6, abs=1e-3)


# ---- files


def written(path: Path, parts: Sequence[Part], out: Path) -> int:
    """Add graphs to a file; returns the number of the first."""
    source = TFLiteFile(path)
    out.write_bytes(source.head(parts) + path.read_bytes())
    return source.graph_count


def test_an_added_graph_does_what_its_operators_did(dense_chain: Build, tmp_path: Path) -> None:
    path, out = dense_chain("tflite", (8, 16, 16, 4)), tmp_path / "out.tflite"
    source = TFLiteFile(path)
    found = cut(tflite_file.read(path), "")
    parts = parts_of(found, source.interface.inputs, source.interface.outputs)
    first = written(path, parts, out)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(out))
    interpreter.allocate_tensors()
    image = np.random.default_rng(1).random((1, 8), np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    wanted = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    graphs = interpreter._interpreter
    value = image
    for number in range(3):
        graph, part = first + number, parts[number]
        graphs.AllocateTensors(graph)
        graphs.SetTensor(part.inputs[0], value, graph)
        graphs.Invoke(graph)
        value = graphs.GetTensor(part.outputs[0], graph)
    np.testing.assert_array_equal(value, wanted)
    del graphs


def test_the_file_itself_stays_as_it_is(tiny_tflite: Build, tmp_path: Path) -> None:
    path, out = tiny_tflite(io="int8"), tmp_path / "out.tflite"
    written(path, [Part(operators=(0,), inputs=(0,), outputs=(2,)), Part(operators=())], out)
    before, after = tflite_file.read(path), tflite_file.read(out)
    assert (after.inputs, after.outputs) == (before.inputs, before.outputs)
    assert after.operators[0] == before.operators[0]
    assert [operator.subgraph for operator in after.operators] == [0, 1]


def test_tensors_that_an_added_graph_does_not_use_are_left_out(
    dense_chain: Build, tmp_path: Path
) -> None:
    path, out = dense_chain("tflite", (8, 16, 16, 4)), tmp_path / "out.tflite"
    written(path, [Part(operators=(1,), inputs=(2,), outputs=(4,))], out)
    tensors = {
        key: tensor for key, tensor in tflite_file.read(out).tensors.items() if key[0] == "1"
    }
    assert [tensors[f"1:{n}"].name for n in range(5)] == ["", "", "dense_0", "weights_1", "dense_1"]


@pytest.mark.parametrize("length", [12, 40, 200])
def test_a_truncated_file_is_refused(tiny_tflite: Build, length: int) -> None:
    path = tiny_tflite()
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SourceError, match=r"tiny\.tflite: "):
        TFLiteFile(path)


def test_a_runtime_that_is_for_other_files_is_refused(tiny_tflite: Build) -> None:
    path = str(tiny_tflite())
    row = {"key": "a", "path": path, "runtime": "onnxruntime"}
    spec = {"mode": "pieces", "row": row, "head": path}
    with LocalLink() as link, pytest.raises(UsageError, match="onnxruntime does not run it"):
        link.request("run", spec=spec, limit_s=60, timeout_s=60)
