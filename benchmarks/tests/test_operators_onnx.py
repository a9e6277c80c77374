"""ONNX Runtime's profile: what profiling costs, and whose multiply-adds are whose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit import onnx_file
from edgekit_benchmarks.link import LocalLink
from edgekit_benchmarks.onnx_chain import chain
from edgekit_benchmarks.operators_onnx import Growing, Profiling, multiply_adds_of, of_blocks

Build = Callable[..., Path]


@pytest.mark.parametrize("inputs", [1, 8])
def test_a_chain_is_a_model_that_checks(tmp_path: Path, inputs: int) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    path = tmp_path / "chain.onnx"
    path.write_bytes(chain(64, inputs))
    onnx.checker.check_model(onnx.load(str(path)), full_check=True)
    operators = onnx_file.read(path).operators
    assert [operator.name for operator in operators] == ["Sum"] * 64
    assert {len(operator.inputs) for operator in operators} == {inputs}


def test_cost_grows_with_the_number_of_shapes() -> None:
    growing = Growing.through({2: 1000, 9: 1700})
    assert [growing.of(count) for count in (2, 5, 9)] == [1000, 1300, 1700]


def test_cost_never_falls_with_the_number_of_shapes() -> None:
    assert Growing.through({9: 900, 2: 1000}) == Growing(fixed_ns=1000, shape_ns=0)


def test_a_colder_model_is_slowed_more_by_profiling() -> None:
    profiling = Profiling(
        told=Growing(fixed_ns=1000, shape_ns=0), total=Growing(fixed_ns=4000, shape_ns=0)
    )
    assert profiling.parts([2, 2], 8000) == [1000, 1000]
    assert profiling.parts([2, 2], 10000) == [1250, 1250]
    assert profiling.parts([2, 2], -500) == [0, 0]


def test_a_disturbance_is_not_taken_for_the_cost_of_profiling() -> None:
    profiling = Profiling(
        told=Growing(fixed_ns=1000, shape_ns=0), total=Growing(fixed_ns=4000, shape_ns=0)
    )
    assert profiling.parts([2], 1e9) == [1500]


def test_only_the_quickest_of_each_block_count() -> None:
    count = 90
    whole = [2000 if at % 5 else 1000 for at in range(count)]
    answer = {
        "whole_ns": whole,
        "plain_ns": [took // 2 for took in whole],
        "operators": [{"samples_ns": [took // 4 for took in whole]}],
    }
    blocks = of_blocks(answer)
    assert len(blocks) == 9
    assert {(block.nodes, block.profiled, block.plain) for block in blocks} == {
        ((250.0,), 1000.0, 500.0)
    }


def test_fewer_inferences_than_blocks_are_as_many_blocks() -> None:
    answer = {"whole_ns": [3, 4], "plain_ns": [1, 2], "operators": [{"samples_ns": [1, 1]}]}
    assert [block.profiled for block in of_blocks(answer)] == [3, 4]


def convolution(path: Path) -> Path:
    """Write ``relu(conv(image))``, with a node called ``first`` and the output ``made``."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from onnx import helper

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "filters"], ["between"], name="first"),
            helper.make_node("Relu", ["between"], ["made"], name="second"),
        ],
        "g",
        [value("image", 1, [1, 3, 8, 8])],
        [value("made", 1, [1, 4, 6, 6])],
        [helper.make_tensor("filters", 1, [4, 3, 3, 3], [0.5] * 108)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


MULTIPLY_ADDS = 4 * 6 * 6 * 3 * 3 * 3


@pytest.mark.parametrize(
    ("name", "operator", "shape", "expected"),
    [
        ("first", "Conv", [1, 4, 6, 6], MULTIPLY_ADDS),
        ("first_token_3", "QLinearConv", [1, 6, 6, 4], MULTIPLY_ADDS),
        ("made_nchwc", "Conv", [1, 4, 6, 6], MULTIPLY_ADDS),
        ("made_nchwc", "Conv", [1, 16, 6, 6], MULTIPLY_ADDS),
        ("first", "Conv", [1, 5, 6, 6], None),
        ("second", "Relu", [1, 4, 6, 6], None),
        ("other", "Conv", [1, 4, 6, 6], None),
    ],
)
def test_nodes_of_the_runtime_are_found_in_the_file(
    tmp_path: Path, name: str, operator: str, shape: list[int], expected: int | None
) -> None:
    graph = onnx_file.read(convolution(tmp_path / "conv.onnx"))
    node = {"name": name, "operator": operator, "outputs": [shape]}
    assert multiply_adds_of(graph, [node]) == [expected]


def profile(path: Path, **told: Any) -> dict[str, Any]:
    spec = {"mode": "profile", "row": {"key": "a", "path": str(path)}, "inputs": None, **told}
    with LocalLink() as link:
        answer: dict[str, Any] = link.request("run", spec=spec, limit_s=60, timeout_s=60)["answer"]
    return answer


def test_the_profile_tells_shapes_and_times_with_and_without(dense_chain: Build) -> None:
    answer = profile(dense_chain("onnx", (8, 16, 4)), inferences=12)
    assert len(answer["whole_ns"]) == len(answer["plain_ns"]) == 12
    assert [one["outputs"] for one in answer["operators"]] == [[[1, 16]], [[1, 4]]]
    assert all(len(one["samples_ns"]) == 12 for one in answer["operators"])


def test_a_slow_model_is_let_off_with_fewer_inferences(dense_chain: Build) -> None:
    answer = profile(dense_chain("onnx", (8, 16, 4)), inferences=10**6, most_s=0.05)
    assert 0 < len(answer["plain_ns"]) < 10**6
    assert all(
        len(one["samples_ns"]) == len(answer["plain_ns"]) == len(answer["whole_ns"])
        for one in answer["operators"]
    )


def test_what_runs_within_a_loop_is_part_of_it(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from onnx import helper

    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["more"], ["still"], name="inner_identity"),
            helper.make_node("Sin", ["carried"], ["next"], name="inner_sin"),
        ],
        "body",
        [value("at", 7, []), value("more", 9, []), value("carried", 1, [4])],
        [value("still", 9, []), value("next", 1, [4])],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["count", "", "image"], ["made"], name="loop", body=body)],
        "g",
        [value("image", 1, [4])],
        [value("made", 1, [4])],
        [helper.make_tensor("count", 7, [], [50])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "loop.onnx"
    onnx.save(model, str(path))
    answer = profile(path, inferences=10)
    assert [one["operator"] for one in answer["operators"]] == ["Loop"]
