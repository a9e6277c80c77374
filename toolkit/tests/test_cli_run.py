"""`edgekit run`, as its users type it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from edgekit.cli import main
from edgekit.preprocess import Preprocess

Build = Callable[..., Path]
SCALED = {"image": Preprocess.parse("scale=1/255").to_dict()}
WEIGHTS = np.array([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]], np.float32)
"""``scores = image @ WEIGHTS`` is what the tiny models compute."""


def edgekit_run(*words: object) -> Result:
    return CliRunner().invoke(main, ["run", *map(str, words)])


def document(*words: object) -> Any:
    done = edgekit_run(*words, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(params=["tflite", "onnx"])
def tiny(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    monkeypatch.chdir(tmp_path)
    build: Build = request.getfixturevalue(f"tiny_{request.param}")
    return build


@pytest.fixture
def camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (30, 20), (51, 255, 0)).save("leaf.png")
    Image.new("RGB", (9, 9), (255, 0, 51)).save("rose.png")
    return colours(tmp_path / "camera.onnx", labels=["red", "green", "blue"], preprocess=SCALED)


def colours(path: Path, **manifest: Any) -> Path:
    """A model that says how red, green and blue a picture of 4 x 4 pixels is."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ReduceMean", ["image"], ["colour"], axes=[1, 2], keepdims=0)],
        "camera",
        [onnx.helper.make_tensor_value_info("image", floats, [1, 4, 4, 3])],
        [onnx.helper.make_tensor_value_info("colour", floats, [1, 3])],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 15)], ir_version=8
    )
    onnx.helper.set_model_props(model, {"edgekit.manifest": json.dumps(manifest)})
    path.write_bytes(model.SerializeToString())
    return path


# ---- what it shows ----------------------------------------------------------


def test_the_classes_of_a_picture_are_shown(camera: Path) -> None:
    done = edgekit_run(camera, "leaf.png")
    assert done.exit_code == 0
    assert done.stdout == "green  1.0000\nred    0.2000\nblue   0.0000\n"
    assert done.stderr == ""


def test_several_pictures_make_a_table(camera: Path) -> None:
    assert edgekit_run(camera, "leaf.png", "rose.png").stdout.splitlines() == [
        "input     class   score  class 2   score",
        "leaf.png  green  1.0000  red      0.2000",
        "rose.png  red    1.0000  blue     0.2000",
    ]


def test_so_many_classes_as_asked_for(camera: Path) -> None:
    assert edgekit_run(camera, "leaf.png", "--top", 1).stdout == "green  1.0000\n"
    assert "class 3" in edgekit_run(camera, "leaf.png", "rose.png", "--top", 9).stdout


def test_other_labels_replace_those_of_the_file(camera: Path) -> None:
    Path("names.txt").write_text("rot\ngrün\nblau\n", encoding="utf-8")
    assert edgekit_run(camera, "leaf.png", "--labels", "names.txt").stdout.startswith("grün  1.0")


def test_other_steps_replace_those_of_the_file(camera: Path) -> None:
    raw = edgekit_run(camera, "leaf.png", "--preprocess", "none").stdout
    assert raw == "green  255\nred     51\nblue     0\n"
    assert edgekit_run(camera, "leaf.png", "--preprocess", "-1..1").exit_code == 0


def test_outputs_that_are_no_scores_of_classes_are_shown_as_numbers(tiny: Build) -> None:
    done = edgekit_run(tiny(), "1,2")
    assert done.stdout == "scores  float32  (1, 3)  2 1 -1.5\n"


def test_each_row_of_a_file_is_a_sample(tiny: Build) -> None:
    np.save("x.npy", np.array([[1, 2], [0, 0]], np.float32))
    assert edgekit_run(tiny(), "x.npy").stdout.splitlines() == [
        "input     output  dtype    shape   values",
        "x.npy[0]  scores  float32  (1, 3)  2 1 -1.5",
        "x.npy[1]  scores  float32  (1, 3)  0 0 0",
    ]


def test_of_a_long_file_the_first_rows_are_shown(tiny: Build) -> None:
    np.save("x.npy", np.ones((50, 2), np.float32))
    shown = edgekit_run(tiny(), "x.npy", "0,0").stdout.splitlines()
    assert len(shown) == 1 + 20 + 1 + 1
    assert shown[-1] == "… and 30 more; --json prints all"
    assert len(document(tiny(), "x.npy")["results"]) == 50


def test_classes_are_shown_when_asked_for(tiny: Build) -> None:
    assert edgekit_run(tiny(), "1,2", "--top", 2).stdout == "class 0  2\nclass 1  1\n"


def test_outputs_that_sum_to_one_are_taken_for_scores_of_classes(tiny_tflite: Build) -> None:
    weights = np.array([[0.25, 0.75], [0.5, 0.5]], np.float32)
    done = edgekit_run(tiny_tflite(weights=weights), "1,0")
    assert done.stdout == "class 1  0.7500\nclass 0  0.2500\n"


def test_many_values_are_summed_up(tiny_tflite: Build) -> None:
    path = tiny_tflite(weights=np.arange(100, dtype=np.float32).reshape(2, 50))
    assert edgekit_run(path, "1,0").stdout == (
        "scores  float32  (1, 50)  from 0 to 49, mean 24.5\n"
    )


def test_a_model_of_integers_takes_and_gives_real_numbers(tiny: Build) -> None:
    assert edgekit_run(tiny(io="int8"), "1,2").stdout == "scores  float32  (1, 3)  2 1 -1.5\n"


def test_control_characters_do_not_reach_the_terminal(camera: Path) -> None:
    Path("names.txt").write_text("a\x1b[31m\nb\x07\nc\n")
    shown = edgekit_run(camera, "leaf.png", "--labels", "names.txt").stdout
    assert "a?[31m" in shown
    assert "\x1b" not in shown


# ---- JSON and files ---------------------------------------------------------


def test_the_document_holds_all_facts(camera: Path) -> None:
    found = document(camera, "leaf.png", "--top", 1)
    assert found["schema_version"] == 1
    assert found["path"] == str(camera)
    assert found["backend"].startswith("onnxruntime ")
    assert found["failures"] == found["notes"] == []
    assert found["saved"] is None
    assert found["results"] == [
        {
            "input": "leaf.png",
            "row": None,
            "classes": [{"label": "green", "score": 1.0, "index": 1}],
            "outputs": [
                {
                    "name": "colour",
                    "dtype": "float32",
                    "shape": [1, 3],
                    "values": [[pytest.approx(0.2), 1.0, 0.0]],
                    "min": 0.0,
                    "mean": pytest.approx(0.4),
                    "max": 1.0,
                    "not_finite": 0,
                }
            ],
        }
    ]


def test_nan_is_null_in_the_document(tiny: Build) -> None:
    found = document(tiny(), "inf,1")["results"][0]["outputs"][0]
    assert found["values"] == [[None, None, None]]
    assert (found["min"], found["not_finite"]) == (None, 3)


def test_all_outputs_are_saved(tiny: Build) -> None:
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.save("x.npy", rows)
    assert edgekit_run(tiny(), "x.npy", "1,2", "--save", "out.npz").exit_code == 0
    with np.load("out.npz") as saved:
        np.testing.assert_allclose(saved["scores"][:4], rows @ WEIGHTS, rtol=1e-6)
        assert saved["scores"].shape == (5, 3)


def test_a_saved_file_is_replaced_only_when_forced(tiny: Build) -> None:
    Path("out.npz").write_text("mine")
    done = edgekit_run(tiny(), "1,2", "--save", "out.npz")
    assert done.exit_code == 1
    assert done.stderr == (
        "Error: out.npz: exists already; add --force to replace it, or choose another --save\n"
    )
    assert Path("out.npz").read_text() == "mine"
    assert edgekit_run(tiny(), "1,2", "--save", "out.npz", "--force").exit_code == 0
    assert np.load("out.npz")["scores"].shape == (1, 3)
    assert [path for path in Path().iterdir() if path.suffix == ".tmp"] == []


def test_outputs_go_into_npz_files_only(tiny: Build) -> None:
    done = edgekit_run(tiny(), "1,2", "--save", "out.npy")
    assert (done.exit_code, done.stderr) == (
        2,
        "Error: --save out.npy: outputs are saved as .npz; call it out.npz\n",
    )


def test_where_nothing_can_be_written_that_is_told(tiny: Build) -> None:
    done = edgekit_run(tiny(), "1,2", "--save", "nowhere/out.npz")
    assert done.exit_code == 1
    assert "nowhere/out.npz: cannot be written (No such file or directory)" in done.stderr


# ---- what goes wrong --------------------------------------------------------


def test_inputs_that_fail_do_not_stop_the_others(tiny: Build) -> None:
    done = edgekit_run(tiny(), "1,2", "gone.npy", "1,2,3", "--save", "out.npz")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: out.npz: not written, as gone.npy failed (gone.npy: no")
    done = edgekit_run(tiny(), "1,2", "gone.npy", "1,2,3")
    assert done.exit_code == 1
    assert "1,2    scores  float32  (1, 3)  2 1 -1.5" in done.stdout
    assert done.stderr.splitlines() == [
        "Error: gone.npy: no such file; check the path",
        "Error: 1,2,3: has 3 numbers, the input 'image' takes 2; give as many",
    ]
    found = json.loads(edgekit_run(tiny(), "1,2", "gone.npy", "--json").stdout)
    assert found["failures"] == [
        {"input": "gone.npy", "error": "gone.npy: no such file; check the path"}
    ]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["gone.tflite", "1"], 1, "gone.tflite: no such file"),
        (["MODEL", "gone.png"], 1, "gone.png: no such file; check the path"),
        (["MODEL", "nan,1", "--threads", "0"], 2, "0 is not in the range x>=1"),
        (["MODEL", "1,2", "--backend", "magic"], 2, "'magic' is not one of"),
        (["MODEL", "1,2", "--signature", "none"], 2, "signature"),
        (["MODEL", "1,2", "--preprocess", "magic"], 2, "no step 'magic'"),
        (["MODEL", "1,2", "--preprocess", "y:0..1"], 2, "no input 'y'"),
        (["MODEL", "1,2", "--preprocess", "0..1", "--preprocess", "0..1"], 2, "write it once for"),
        (["MODEL", "y=1,2"], 2, "the model has no input 'y'; there are: image"),
        (["MODEL", "1,2", "--labels", "gone.txt"], 1, "labels gone.txt: no such file"),
        (["MODEL", "1,2", "--labels", "two.txt"], 1, "has 2 labels, and output 'scores' gives 3"),
        (["MODEL", "1,2", "--public-key", "gone.pem"], None, "gone.pem"),
        (["MODEL", "1,2", "--self-test"], 1, "nothing to test itself with"),
        (["MODEL"], 2, "Missing argument 'INPUT...'"),
        (["", "1,2"], 2, "Error: Invalid value for 'FILE': the path is empty; see"),
        (["MODEL", "1,2", "--labels", ""], 2, "'--labels': the path is empty; see"),
        (["MODEL", "1,2", "--save", ""], 2, "'--save': the path is empty; see"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tiny_tflite: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int | None,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("two.txt").write_text("a\nb\n")
    done = edgekit_run(*[str(tiny_tflite()) if word == "MODEL" else word for word in words])
    assert done.exit_code in ((1, 2) if code is None else (code,))
    assert told in done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_nan_for_a_quantized_model_is_refused(tiny: Build) -> None:
    done = edgekit_run(tiny(io="int8"), "nan,1")
    assert done.exit_code == 1
    assert "NaN" in done.stderr


def test_files_that_no_device_runs_are_refused(tmp_path: Path) -> None:
    (path := tmp_path / "model.keras").write_bytes(b"PK\3\4")
    done = edgekit_run(path, "1,2")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")


def test_a_doubt_goes_to_standard_error(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((4, 4, 3), 200, np.uint8))
    done = edgekit_run(colours(tmp_path / "camera.onnx"), tmp_path / "x.npy")
    assert (done.exit_code, done.stdout) == (0, "colour  float32  (1, 3)  200 200 200\n")
    assert done.stderr.startswith("Note: input 'image': values reach 200, and the model does not")


def test_labels_of_the_file_that_do_not_fit_are_noted(camera: Path, tmp_path: Path) -> None:
    path = colours(tmp_path / "two.onnx", labels=["a", "b"], preprocess=SCALED)
    done = edgekit_run(path, "leaf.png")
    assert (done.exit_code, done.stdout) == (0, "colour  float32  (1, 3)  0.2 1 0\n")
    assert "has 2 labels, and output 'colour' gives 3 scores" in done.stderr


def test_time_that_runs_out_is_told(tiny: Build) -> None:
    done = edgekit_run(tiny(), "1,2", "--time-limit", "0.001")
    assert done.exit_code == 1
    assert "no end after 0.001 s, stopped; raise --time-limit" in done.stderr


# ---- kinds of models --------------------------------------------------------


def two_inputs(path: Path, **manifest: Any) -> Path:
    """``total = total_before + x``, for a state or for two plain inputs."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    floats = onnx.TensorProto.FLOAT
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Add", ["x", "before"], ["total"]),
            onnx.helper.make_node("Identity", ["total"], ["after"]),
        ],
        "sum",
        [info("x", floats, [1, 1]), info("before", floats, [1, 1])],
        [info("total", floats, [1, 1]), info("after", floats, [1, 1])],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 15)], ir_version=8
    )
    if manifest:
        onnx.helper.set_model_props(model, {"edgekit.manifest": json.dumps(manifest)})
    path.write_bytes(model.SerializeToString())
    return path


def test_a_model_with_several_inputs_takes_them_by_name(tmp_path: Path) -> None:
    path = two_inputs(tmp_path / "sum.onnx")
    np.save(tmp_path / "x.npy", np.array([[1.0], [2.0]]))
    done = edgekit_run(path, f"x={tmp_path / 'x.npy'}", "before=10")
    assert [line.split()[-1] for line in done.stdout.splitlines()[1:]] == ["11", "11", "12", "12"]
    done = edgekit_run(path, "x=1")
    assert (done.exit_code, done.stderr) == (
        2,
        "Error: inputs: nothing for before; add before=FILE\n",
    )


def test_the_state_of_a_model_is_zero_before_each_sample(tmp_path: Path) -> None:
    states = [{"input": "before", "output": "after"}]
    path = two_inputs(tmp_path / "sum.onnx", states=states)
    found = document(path, "1", "2", "3")
    assert [one["outputs"][0]["values"] for one in found["results"]] == [[[1]], [[2]], [[3]]]
    assert [len(one["outputs"]) for one in found["results"]] == [1, 1, 1]


def test_a_fixed_batch_is_filled(tiny: Build) -> None:
    np.save("x.npy", np.ones((5, 2), np.float32))
    found = document(tiny(batch=2), "x.npy")
    assert [one["row"] for one in found["results"]] == [0, 1, 2, 3, 4]
    assert {tuple(one["outputs"][0]["shape"]) for one in found["results"]} == {(1, 3)}


def test_numbers_may_begin_with_a_minus(tiny: Build) -> None:
    path = tiny()
    plain = edgekit_run(path, "-1,2", "--top", "1")
    assert (plain.exit_code, plain.stdout, plain.stderr) == (0, "class 1  3\n", "")
    assert edgekit_run(path, "--top", "1", "--", "-1,2").stdout == plain.stdout
    assert edgekit_run(path, "1,2", "--top", "-1").exit_code == 2


@pytest.mark.parametrize("providers", ["", ",", "CPUExecutionProvider,"])
def test_providers_without_a_name_are_a_usage_error(providers: str) -> None:
    done = edgekit_run("m.onnx", "1", "--providers", providers)
    assert done.exit_code == 2
    assert "has an empty name" in done.stderr
