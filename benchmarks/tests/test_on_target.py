"""Predictions on targets: this machine by way of the worker, and a device over ssh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import (
    CrashError,
    DataError,
    EdgekitError,
    SourceError,
    UsageError,
    VerificationError,
)
from edgekit.sessions import open_session
from edgekit_benchmarks.link import LocalLink
from edgekit_benchmarks.on_target import open_target, predict_on
from edgekit_benchmarks.target import Target
from edgekit_benchmarks.target_session import TargetSession

if TYPE_CHECKING:
    from tests.sshd import Device

Build = Callable[..., Path]
ROWS = np.arange(20, dtype=np.float32).reshape(10, 2) / 7


@pytest.fixture(params=["tflite", "onnx"])
def tiny(request: pytest.FixtureRequest) -> Build:
    """Writes ``scores = image @ weights`` in one of the formats."""
    build: Build = request.getfixturevalue(f"tiny_{request.param}")
    return build


def onnx_model(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> Path:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    graph = onnx.helper.make_graph(nodes, "graph", inputs, outputs)
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.save(model, path)
    return path


def echo(path: Path, kind: str, shape: list[Any]) -> Path:
    """Gives what it gets."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    described = [
        onnx.helper.make_tensor_value_info(name, getattr(onnx.TensorProto, kind), shape)
        for name in ("given", "made")
    ]
    node = onnx.helper.make_node("Identity", ["given"], ["made"])
    return onnx_model(path, [node], described[:1], described[1:])


# ---- what comes back is what the file gives here


def test_outputs_are_those_of_the_same_file_here(tiny: Build) -> None:
    path = tiny()
    calls = [{"image": row[np.newaxis]} for row in ROWS]
    made = predict_on("local", path, calls)
    with open_session(path) as here:
        for there, call in zip(made.outputs, calls, strict=True):
            assert np.array_equal(there["scores"], here.run_real(call)["scores"])


def test_the_runtime_that_ran_is_named(tiny_tflite: Build) -> None:
    made = predict_on("local", tiny_tflite(), [{"image": ROWS[:1]}])
    assert made.runtime.startswith(("ai-edge-litert ", "tflite-runtime "))
    assert not made.emulated


def test_over_ssh_the_outputs_are_the_same(tiny_tflite: Build, device: Device) -> None:
    path = tiny_tflite()
    calls = [{"image": row[np.newaxis]} for row in ROWS]
    there = predict_on(Target(name="pi", url=device.url), path, calls)
    assert [one["scores"].tolist() for one in there.outputs] == [
        one["scores"].tolist() for one in predict_on("local", path, calls).outputs
    ]
    assert device.wait_until_idle()


def test_calls_of_different_shapes_come_back_in_their_order(tmp_path: Path) -> None:
    path = echo(tmp_path / "echo.onnx", "FLOAT", ["n", 2])
    calls = [{"given": ROWS[:n]} for n in (1, 1, 3, 2, 2, 1)]
    for made, call in zip(predict_on("local", path, calls).outputs, calls, strict=True):
        assert np.array_equal(made["made"], call["given"])


def test_what_does_not_fit_together_is_sent_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit_benchmarks.target_session._MOST_BYTES", 40)
    path = echo(tmp_path / "echo.onnx", "FLOAT", ["n", 2])
    sent: list[str] = []

    class Counting(LocalLink):
        def put(self, path: Path) -> str:
            sent.append(path.name)
            return super().put(path)

    with Counting() as link:
        made = TargetSession(link, path).run_each([{"given": row[np.newaxis]} for row in ROWS])
    assert np.array_equal(np.concatenate([one["made"] for one in made]), ROWS)
    assert sent.count("calls.npz") == 2


def test_outputs_beyond_what_one_answer_holds_come_in_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = echo(tmp_path / "echo.onnx", "FLOAT", ["n", 1 << 21])
    asked: list[str] = []

    class Counting(LocalLink):
        def get(self, path: str, to: Path) -> None:
            asked.append(path)
            super().get(path, to)

    rows = np.random.default_rng(0).random((6, 1, 1 << 21), np.float32)  # 8 MiB each
    monkeypatch.setattr("edgekit_benchmarks.target_session._MOST_BYTES", 1 << 27)
    with Counting() as link:
        made = TargetSession(link, path).run_each([{"given": row} for row in rows])
    assert all(np.array_equal(a["made"], b) for a, b in zip(made, rows, strict=True))
    assert len(asked) == 2


@pytest.mark.parametrize(
    "values",
    [
        np.array([["a", "longer"], ["", "ü"]], dtype=object),
        np.array([["a", "longer"], ["", "ü"]]),
    ],
    ids=["objects", "numpy text"],
)
def test_text_arrives_and_comes_back(tmp_path: Path, values: Any) -> None:
    path = echo(tmp_path / "echo.onnx", "STRING", ["n", 2])
    (made,) = predict_on("local", path, [{"given": values}]).outputs
    assert made["made"].tolist() == values.tolist()
    assert made["made"].dtype == object


def test_text_that_would_not_arrive_whole_is_refused(tmp_path: Path) -> None:
    path = echo(tmp_path / "echo.onnx", "STRING", [1])
    with pytest.raises(DataError, match="ends with a NUL"):
        predict_on("local", path, [{"given": np.array(["a\0"], dtype=object)}])


@pytest.mark.parametrize("dtype", ["bool", "int32", "int64", "float16", "float64", "uint8"])
def test_every_dtype_arrives_as_it_is(tmp_path: Path, dtype: str) -> None:
    kind = {"float16": "FLOAT16", "float64": "DOUBLE"}.get(dtype, dtype.upper())
    path = echo(tmp_path / "echo.onnx", kind, ["n", 3])
    values = np.array([[0, 1, 1]], dtype)
    (made,) = predict_on("local", path, [{"given": values}]).outputs
    assert made["made"].dtype == dtype
    assert np.array_equal(made["made"], values)


def test_scalars_arrive_without_dimensions(tmp_path: Path) -> None:
    path = echo(tmp_path / "echo.onnx", "FLOAT", [])
    made = predict_on("local", path, [{"given": np.array(n, np.float32)} for n in (1, 2)]).outputs
    assert [(one["made"].shape, float(one["made"])) for one in made] == [((), 1.0), ((), 2.0)]


# ---- what goes wrong


def test_a_name_that_the_file_does_not_have_is_refused_before_anything_is_sent(
    tiny_tflite: Build,
) -> None:
    with pytest.raises(DataError, match=r"the model takes \['image'\]"):
        predict_on("local", tiny_tflite(), [{"picture": ROWS[:1]}])


def test_what_the_runtime_there_refuses_is_told_with_its_version(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    info = onnx.helper.make_tensor_value_info
    float32 = onnx.TensorProto.FLOAT
    node = onnx.helper.make_node("Reshape", ["x", "to"], ["y"])
    path = onnx_model(
        tmp_path / "reshape.onnx",
        [node],
        [info("x", float32, ["n"]), info("to", onnx.TensorProto.INT64, [1])],
        [info("y", float32, ["m"])],
    )
    call = {"x": np.ones(3, np.float32), "to": np.array([7])}
    with pytest.raises(VerificationError, match=r"local: reshape.onnx: does not run with onnxrun"):
        predict_on("local", path, [call])


def test_a_damaged_file_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"\x1c\0\0\0TFL3" + b"\xff" * 200)
    with pytest.raises(SourceError):
        predict_on("local", tmp_path / "m.tflite", [{}])


def test_a_target_that_nobody_knows_is_refused(tiny_tflite: Build) -> None:
    with pytest.raises(UsageError, match="no target"):
        predict_on("nowhere", tiny_tflite(), [{"image": ROWS[:1]}])


def test_a_target_on_which_somebody_measures_is_waited_for(tiny_tflite: Build) -> None:
    told: list[str] = []
    with LocalLink() as other:
        other.request("lock", wait_s=0, timeout_s=10)
        with LocalLink() as link:
            session = TargetSession(link, tiny_tflite(), wait_s=0.2, tell=told.append)
            with pytest.raises(EdgekitError, match="another benchmark"):
                session.run_each([{"image": ROWS[:1]}])
    assert "wait for" in told[0]


def test_files_of_others_are_not_sent_back(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    with (
        LocalLink() as link,
        pytest.raises(UsageError, match="no file of this worker"),
    ):
        link.request("get", path=str(tmp_path / "secret"), timeout_s=10)


def test_a_link_that_is_cut_while_files_come_back_is_told(device: Device, tmp_path: Path) -> None:
    with open_target(Target(name="pi", url=device.url)) as link:
        path = Path(link.hello["folder"]) / "big"
        path.write_bytes(bytes(50 << 20))
        with pytest.raises(CrashError, match="pi: "):
            link.request("get", path=str(path), timeout_s=60, on_event=lambda _: device.cut())
    assert device.wait_until_idle(20)


def test_a_large_file_comes_back_whole(device: Device, tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes((5 << 20) + 1)
    with open_target(Target(name="pi", url=device.url)) as link:
        path = Path(link.hello["folder"]) / "big"
        path.write_bytes(content)
        link.get(str(path), tmp_path / "here")
        assert (tmp_path / "here").read_bytes() == content
        link.remove(str(path))
        assert not path.exists()


# ---- evaluate


def scored(files: list[Path], data: Path, **options: Any) -> dict[str, Any]:
    told: dict[str, Any] = edgekit.evaluate(files, data=data, **options).to_dict()
    return told


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    images = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=images, y=images.argmax(1))
    return tmp_path / "data.npz"


def test_evaluate_on_a_target_says_what_it_says_here(
    tiny_tflite: Build, tiny_onnx: Build, labelled: Path, device: Device
) -> None:
    files = [tiny_tflite(), tiny_onnx()]
    here = scored(files, labelled)
    there = scored(files, labelled, on=device.url)
    assert [row.pop("target") for row in there["files"]] == [device.url] * 2
    assert [row.pop("target") for row in here["files"]] == [None] * 2
    assert there == here
    assert device.wait_until_idle()


def test_with_several_targets_each_file_has_a_row_for_each(
    tiny_tflite: Build, labelled: Path
) -> None:
    rows = scored([tiny_tflite()], labelled, on=["local", "local"])["files"]
    assert [row["target"] for row in rows] == ["local"]


def test_a_target_that_is_not_there_is_the_rows_error(
    tiny_tflite: Build, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = scored([tiny_tflite()], labelled, on=["local", "ssh://nobody@127.0.0.1:1"])[
        "files"
    ]
    assert first["error"] is None
    assert "127.0.0.1" in second["error"]


def test_every_row_names_the_runtime_that_ran_it(
    tiny_tflite: Build, tiny_onnx: Build, labelled: Path
) -> None:
    rows = scored([tiny_tflite(), tiny_onnx()], labelled, on="local")["files"]
    assert [row["runtime"].partition(" ")[0] for row in rows][1] == "onnxruntime"
    assert rows[0]["runtime"] != rows[1]["runtime"]
