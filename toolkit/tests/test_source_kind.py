import io
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.errors import SourceError
from edgekit.source_kind import SOURCE_KINDS, sniff

Build = Callable[..., Path]


def zipped(path: Path, **members: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_json", ".json"), content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        sniff(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_content_decides_and_not_the_name(tiny_tflite: Build, tiny_onnx: Build) -> None:
    assert sniff(tiny_tflite("model.keras")) == "tflite"
    assert sniff(tiny_onnx("model.tflite")) == "onnx"


def test_a_zip_with_a_configuration_is_keras(tmp_path: Path) -> None:
    assert sniff(zipped(tmp_path / "m.keras", config_json="{}", metadata_json="{}")) == "keras"


def test_a_folder_with_saved_model_pb_is_a_saved_model(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01")
    assert sniff(tmp_path) == "savedmodel"


def test_hdf5_with_a_model_configuration_is_h5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
    assert sniff(path) == "h5"


def test_there_are_five_kinds() -> None:
    assert SOURCE_KINDS == ("keras", "h5", "savedmodel", "tflite", "onnx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such file or folder; check the path" in refusal(tmp_path / "none.keras")


def test_a_path_through_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    assert "is a file, not a folder" in refusal(tmp_path / "a" / "b.keras")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.keras").touch()
    assert "the file is empty" in refusal(tmp_path / "m.keras")


def test_a_file_of_zeros_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(bytes(5000))
    assert "nothing but zeros" in refusal(tmp_path / "m.tflite")


def test_a_device_is_refused_without_being_read() -> None:
    assert "not a regular file" in refusal(Path("/dev/zero"))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no named pipes on Windows")
def test_a_named_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")


def test_a_file_that_may_not_be_read_says_so() -> None:
    become_nobody = "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)"
    code = (
        f"import os, sys; from edgekit.source_kind import sniff\n{become_nobody}\n"
        "try: sniff(sys.argv[1])\nexcept Exception as error: print(error)"
    )
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to everyone else
        Path(folder).chmod(0o755)
        path = Path(folder, "m.keras")
        path.write_text("x")
        path.chmod(0)
        command = [sys.executable, "-c", code, str(path)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told == f"{path}: permission denied; make it readable: chmod u+r {path}\n"


def test_a_folder_without_a_model_says_what_is_missing(tmp_path: Path) -> None:
    assert "a folder without saved_model.pb" in refusal(tmp_path)


@pytest.mark.parametrize("path", ["", Path()])
def test_an_empty_path_is_called_so(
    path: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="^[.']+: an empty path"):
        sniff(path)


def test_a_folder_of_versions_names_the_newest(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "saved_model.pb").write_bytes(b"\x08\x01")
    assert f"did you mean {tmp_path / '2'}?" in refusal(tmp_path)


def test_an_unpacked_keras_file_is_recognized(tmp_path: Path) -> None:
    for name in ("config.json", "metadata.json"):
        (tmp_path / name).write_text("{}")
    assert "unpacked .keras file" in refusal(tmp_path)


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.keras", config_json="{}" * 99, metadata_json="{}")
    path.write_bytes(path.read_bytes()[:-30])
    assert "truncated or damaged; save or copy the model again" in refusal(path)


def test_a_text_file_named_keras_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_text("hello, this is my model")
    assert "a text file, beginning 'hello, this is my model'" in refusal(tmp_path / "m.keras")


def test_a_git_lfs_pointer_says_to_pull(tmp_path: Path) -> None:
    (tmp_path / "m.h5").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    assert "run: git lfs pull" in refusal(tmp_path / "m.h5")


def test_a_web_page_is_recognized(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("<!DOCTYPE html><html>404</html>")
    assert "a web page" in refusal(tmp_path / "m.onnx")


def test_an_architecture_without_weights_is_recognized(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"class_name": "Sequential", "config": {}}')
    assert "without their weights; save the whole model" in refusal(tmp_path / "m.json")


def test_keras_weights_alone_are_refused_with_the_way_out(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.zeros(3)
    message = refusal(path)
    assert "weights only: no model_config" in message
    assert "save the whole model with model.save('model.keras')" in message


def test_truncated_hdf5_says_how_much_is_here(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
        file["w"] = np.ones(1000)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1000])
    assert f"truncated: {len(whole) - 1000} of {len(whole)} bytes are here" in refusal(path)
    path.write_bytes(whole[:20])
    assert "truncated" in refusal(path)


def test_a_pytorch_archive_is_recognized(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.pt", model__data=b"x", **{"model__data.pkl": b"x"})
    assert "a PyTorch file" in refusal(path)
    assert "torch.onnx.export" in refusal(path)


def test_an_old_pytorch_file_is_recognized(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02")
    assert "a PyTorch file" in refusal(tmp_path / "m.pt")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_never_opened(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "m.keras").write_bytes(pickle.dumps(["weights"], protocol=protocol))
    assert "a Python pickle, which is never opened" in refusal(tmp_path / "m.keras")


def test_numpy_files_are_recognized(tmp_path: Path) -> None:
    array, archive = io.BytesIO(), io.BytesIO()
    np.save(array, np.ones(3))
    np.savez(archive, x=np.ones(3))
    (tmp_path / "m.keras").write_bytes(array.getvalue())
    assert "a NumPy array" in refusal(tmp_path / "m.keras")
    (tmp_path / "m.keras").write_bytes(archive.getvalue())
    assert "a NumPy archive" in refusal(tmp_path / "m.keras")


def test_another_zip_is_refused(tmp_path: Path) -> None:
    assert "without config.json" in refusal(zipped(tmp_path / "m.keras", note_json="{}"))
    path = zipped(tmp_path / "m.zip", **{"m__saved_model.pb": b"\x08\x01"})
    assert "a zipped SavedModel" in refusal(path)


def test_an_empty_zip_and_a_gzip_are_recognized(tmp_path: Path) -> None:
    assert "an empty zip archive" in refusal(zipped(tmp_path / "m.keras"))
    (tmp_path / "m.tar.gz").write_bytes(b"\x1f\x8b\x08\x00xx")
    assert "gzip-compressed" in refusal(tmp_path / "m.tar.gz")


def test_truncated_onnx_says_where(tiny_onnx: Build) -> None:
    path = tiny_onnx()
    path.write_bytes(path.read_bytes()[:-30])
    assert "the ONNX file is truncated or damaged (field 7" in refusal(path)


def test_the_inside_of_a_saved_model_names_its_folder(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12\x02\x08\x01")
    assert f"give its folder: {tmp_path}" in refusal(tmp_path / "saved_model.pb")


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        sniff("a\0b")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_a_kind_or_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.bin"
    path.write_bytes(data)
    told = ""
    try:
        assert sniff(path) in SOURCE_KINDS
    except SourceError as error:
        told = str(error)
    assert "\n" not in told
