import gzip
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgekit import seal
from edgekit.cli import main
from edgekit.cli.inspect import lines
from edgekit.errors import SourceError, UsageError
from edgekit.inspection import inspect
from edgekit.manifest import read_manifest
from edgekit.preprocess import Preprocess

Build = Callable[..., Path]
MANIFEST = {
    "schema_version": 1,
    "edgekit": "0.1.0",
    "source": {
        "name": "digits.keras",
        "sha256": "ab" * 32,
        "framework": "keras",
        "framework_version": "3.15.1",
    },
    "recipe": {"precision": "int8", "calibration": {"samples": 64, "random": False}},
    "inputs": [],
    "outputs": [],
    "labels": ["zero", "one", "two"],
    "verification": {
        "status": "passed",
        "samples": 64,
        "random": False,
        "relative_error": 0.0123,
        "runtime": "ai-edge-litert 2.3.0",
    },
}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["inspect", *map(str, arguments)])


def with_manifest(path: Path, manifest: bytes) -> Path:
    """Put `manifest` into a .tflite file."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(manifest, np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = b"edgekit.manifest", len(model.buffers) - 1
    model.metadata = [entry]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def test_a_tflite_file_is_told_in_full(tiny_tflite: Build) -> None:
    path = tiny_tflite(io="int8")
    found = inspect(path, targets=("litert",))
    assert (found.kind, found.path, found.size_bytes) == ("tflite", path, path.stat().st_size)
    assert found.inputs[0].quantization is not None
    assert found.weights is not None
    assert found.compute is not None
    assert (found.weights.parameters, found.weights.by_dtype) == (6, {"int8": 6})
    assert (found.compute.multiply_adds, found.compute.arithmetic) == (6, {"int8 x int8": 1})
    assert found.operators == {"FULLY_CONNECTED": 1}
    assert found.targets == {"litert": ()}
    assert found.manifest is None


def test_the_gzipped_size_is_that_of_gzip(tiny_tflite: Build) -> None:
    path = tiny_tflite()
    packed = gzip.compress(path.read_bytes(), compresslevel=6)
    assert inspect(path).gzip_bytes == len(packed)


def test_integer_onnx_inputs_get_their_scale_from_the_manifest(tiny_onnx: Build) -> None:
    found = inspect(tiny_onnx(io="int8"))
    quantization = found.inputs[0].quantization
    assert quantization is not None
    assert (quantization.scale, quantization.zero_point) == ((0.05,), (10,))
    assert found.outputs[0].quantization is not None


def test_a_keras_file_is_told_without_keras(tmp_path: Path) -> None:
    import zipfile

    config = {
        "class_name": "Sequential",
        "config": {
            "layers": [
                {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 4]}},
                {
                    "class_name": "Mine",
                    "module": None,
                    "registered_name": "mine>Mine",
                    "config": {"name": "m"},
                },
            ]
        },
    }
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", '{"keras_version": "3.15.1"}')
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n")
    found = inspect(tmp_path / "m.keras", targets=("litert",))
    assert (found.kind, found.class_name, found.weights) == ("keras", "Sequential", None)
    assert (found.layers, found.custom_classes) == ({"Mine": 1}, ("mine>Mine",))
    assert "edgekit convert" in found.targets["litert"][0].reason
    shown = run(tmp_path / "m.keras").output
    assert "Keras archive (Sequential) written by Keras 3.15.1" in shown
    assert "needs code  mine>Mine (--custom-objects)" in shown


def test_an_unknown_target_names_those_there_are(tiny_tflite: Build) -> None:
    with pytest.raises(UsageError, match="--target esp32: not known; there are: tflite-micro, "):
        inspect(tiny_tflite(), targets=("esp32",))  # type: ignore[arg-type]
    result = run(tiny_tflite(), "--target", "esp32")
    assert result.exit_code == 2


def test_the_manifest_is_read_from_both_formats(tiny_tflite: Build, tiny_onnx: Build) -> None:
    path = with_manifest(tiny_tflite(), json.dumps(MANIFEST).encode())
    assert read_manifest(path) == MANIFEST
    assert set(read_manifest(tiny_onnx(io="int8")) or {}) == {"inputs", "outputs"}
    assert read_manifest(tiny_tflite("other.tflite")) is None


@pytest.mark.parametrize("manifest", [b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_manifest_is_refused(tiny_tflite: Build, manifest: bytes) -> None:
    path = with_manifest(tiny_tflite(), manifest)
    with pytest.raises(SourceError, match="its edgekit manifest is"):
        read_manifest(path)


def saved_model(folder: Path, manifest: bytes | None = None) -> Path:
    """Write a SavedModel without operations, and `manifest` where `edgekit convert` puts it."""
    (folder / "assets.extra").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"\x08\x01\x12\x00")
    if manifest is not None:
        (folder / "assets.extra" / "edgekit.manifest.json").write_bytes(manifest)
    return folder


def test_a_keras_file_has_no_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("config.json", "metadata.json"):
            archive.writestr(name, "{}")
    with pytest.raises(SourceError, match="a keras model, which carries no manifest"):
        read_manifest(path)


def test_the_manifest_of_a_saved_model_is_read(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "m", json.dumps(MANIFEST).encode())
    assert read_manifest(folder) == MANIFEST
    assert json.loads(run(folder, "--json").output)["manifest"] == MANIFEST
    assert "digits.keras (keras 3.15.1, sha256 abababababab…)" in run(folder).output


def test_a_saved_model_of_another_tool_has_no_manifest(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "m")
    assert read_manifest(folder) is None
    (folder / "assets.extra").rmdir()
    (folder / "assets.extra").write_text("a file")
    assert inspect(folder).manifest is None


@pytest.mark.parametrize("manifest", [b"", b"{", b"[1]", b"\xff\xfe", b" " * (16 << 20) + b"{}"])
def test_a_damaged_manifest_of_a_saved_model_is_one_line(tmp_path: Path, manifest: bytes) -> None:
    result = run(saved_model(tmp_path / "m", manifest))
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "its edgekit manifest is damaged" in result.output


def test_a_pipe_in_place_of_the_manifest_is_not_waited_for(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "m")
    os.mkfifo(folder / "assets.extra" / "edgekit.manifest.json")
    with pytest.raises(SourceError, match="damaged .no regular file"):
        read_manifest(folder)


def told_of(folder: Path, **parts: object) -> str:
    """What the command prints for a manifest with other `parts`."""
    result = run(saved_model(folder, json.dumps(MANIFEST | parts).encode()))
    assert result.exit_code == 0, result.output
    return result.output


def test_the_stored_preprocessing_is_a_line_for_each_input(tmp_path: Path) -> None:
    steps = {"image": Preprocess.parse("scale=1/255").to_dict(), "mask": {"steps": []}}
    told = told_of(tmp_path / "m", preprocess=steps)
    assert "prepared by  image: scale=1/255\n               mask: none\n" in told


def test_damaged_preprocessing_is_told_and_the_rest_is_shown(tmp_path: Path) -> None:
    huge = {"steps": [{"name": "scale", "values": [10**400]}]}
    told = told_of(
        tmp_path / "m", preprocess={"a": {"steps": [{"name": "blur"}]}, "b": 3, "c": huge}
    )
    assert "prepared by  a: damaged (" in told
    assert "c: damaged (" in told
    assert "b: damaged\n" in told
    assert "3: zero, one, two" in told


def test_states_say_which_output_to_feed_back(tmp_path: Path) -> None:
    told = told_of(tmp_path / "m", states=[{"input": "state_0", "output": "state_0_next"}, 3])
    assert "state_0_next becomes the next state_0; start with zeros" in told


def test_an_unverified_file_says_why(tmp_path: Path) -> None:
    verification = {"status": "unverified", "reason": "--no-verify was given", "samples": 0}
    told = told_of(tmp_path / "m", verification=verification)
    assert "not verified (--no-verify was given)\n" in told


def test_samples_that_did_not_calibrate_are_counted(tmp_path: Path) -> None:
    verification = {"status": "passed", "samples": 256, "unseen": 244, "runtime": "x 1"}
    told = told_of(tmp_path / "m", verification=verification)
    assert "passed on 256 samples, 244 not calibrated on, by x 1\n" in told
    told = told_of(tmp_path / "n", verification=verification, recipe={"calibration": None})
    assert "passed on 256 samples, by x 1\n" in told


def test_one_more_kind_of_operator_is_singular(tmp_path: Path) -> None:
    found = inspect(saved_model(tmp_path / "m"))
    for count, told in ((12, "1 op11"), (13, "and 1 more kind"), (14, "and 2 more kinds")):
        shown = lines(replace(found, operators={f"op{n}": 1 for n in range(count)}))
        assert any(line.endswith(told) for line in shown)


def test_the_command_prints_one_fact_a_line(tiny_tflite: Build) -> None:
    path = with_manifest(tiny_tflite(io="int8"), json.dumps(MANIFEST).encode())
    result = run(path, "--target", "tflite-micro", "--target", "onnxruntime")
    assert result.exit_code == 0
    first, *rest = result.output.splitlines()
    assert first.startswith(f"{path}: TFLite, ")
    assert [line.split("  ")[1] for line in rest] == [
        "inputs",
        "outputs",
        "weights",
        "compute",
        "arithmetic",
        "operators",
        "made from",
        "recipe",
        "checked",
        "labels",
        "tflite-micro",
        "onnxruntime",
    ]
    assert "image  int8  (1, 2)  real = 0.05 * (stored - 10)" in rest[0]
    assert "6 parameters, all int8; 6 B; 0.0% are zero" in rest[2]
    assert "digits.keras (keras 3.15.1, sha256 abababababab…)" in result.output
    assert "int8, by edgekit 0.1.0, calibrated on 64 samples" in result.output
    assert "passed on 64 samples, relative error 0.0123, by ai-edge-litert 2.3.0" in result.output
    assert "3: zero, one, two" in result.output


def test_json_is_one_document_with_all_facts(tiny_onnx: Build) -> None:
    path = tiny_onnx(batch="n")
    result = run(path, "--json", "--target", "litert")
    document: dict[str, Any] = json.loads(result.output)
    assert document["schema_version"] == 1
    assert (document["path"], document["kind"]) == (str(path), "onnx")
    assert document["inputs"] == [
        {"name": "image", "shape": [None, 2], "dtype": "float32", "quantization": None}
    ]
    assert document["parameters"] == 6
    assert document["compute"]["multiply_adds"] == 6
    assert document["weights"]["sparsity"] == 0.0
    assert document["targets"]["litert"]["obstacles"][0]["operator"] == ""


def test_a_manifest_of_odd_parts_is_shown_as_far_as_it_goes(tiny_tflite: Build) -> None:
    odd = {"source": 3, "recipe": {"calibration": []}, "inputs": [{"name": 1}], "labels": {}}
    odd |= {"verification": {"relative_error": "much", "status": None}}
    result = run(with_manifest(tiny_tflite(), json.dumps(odd).encode()))
    assert result.exit_code == 0, result.output


def test_flex_operators_are_noted(tiny_tflite: Build) -> None:
    result = run(tiny_tflite(custom="FlexErf"))
    assert "uses TensorFlow operators (Flex), which no runtime for devices has" in result.output


def test_what_is_no_model_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "x.tflite").write_text("hello")
    result = run(tmp_path / "x.tflite")
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "x.tflite: a text file, beginning 'hello', not a model" in result.output
    assert run(tmp_path / "none.tflite").exit_code == 1


def test_an_empty_path_is_called_so_with_exit_code_2() -> None:
    result = CliRunner().invoke(main, ["inspect", ""])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: Invalid value for 'FILE': the path is empty; see ")
    assert result.stderr.count("\n") == 1


def test_control_characters_of_a_file_do_not_reach_the_terminal(tiny_tflite: Build) -> None:
    path = tiny_tflite(custom="Evil\x1b[2JName")
    result = CliRunner().invoke(main, ["inspect", str(path)], color=True)
    assert "1 Evil?[2JName" in result.output


def test_inspecting_tflite_imports_neither_numpy_nor_a_framework(tiny_tflite: Build) -> None:
    code = (
        "import sys; before = set(sys.modules)  # measuring coverage imports some, too\n"
        "from edgekit.cli import main\n"
        "try: main(['inspect', sys.argv[1]])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'PIL', 'flatbuffers', 'google', 'onnx', 'h5py', 'ai_edge_litert'}\n"
        "heavy |= {'tensorflow', 'json', 'zipfile', 'subprocess', 'asyncio', 'multiprocessing'}\n"
        "print(sorted((heavy & set(sys.modules)) - before))"
    )
    command = [sys.executable, "-c", code, str(tiny_tflite())]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "[]"


def test_a_file_that_is_not_what_it_was_when_sealed_is_shown_with_exit_code_1(
    tiny_tflite: Build,
) -> None:
    manifest = json.dumps({**MANIFEST, "seal": seal.PLACEHOLDER}, separators=(",", ":"))
    path = with_manifest(tiny_tflite(), manifest.encode())
    seal.seal(path)
    assert run(path).exit_code == 0
    path.write_bytes(path.read_bytes().replace(b'"two"', b'"Two"'))
    result = run(path)
    assert result.exit_code == 1
    assert "DAMAGED" in result.stdout


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_damaged_golden_cases_are_told_with_exit_code_1(
    tiny_tflite: Build, options: list[str]
) -> None:
    path = with_manifest(tiny_tflite(), json.dumps({**MANIFEST, "golden": 5}).encode())
    result = CliRunner().invoke(main, ["inspect", str(path), *options])
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {path}: the golden cases of its self-test are damaged; convert it again\n"
    )
    if options:
        assert json.loads(result.stdout)["golden_cases"] is None
    else:
        assert "self-test   damaged" in result.stdout
