import json
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import keras_file
from edgekit.cli.inspect import lines as inspect_lines
from edgekit.errors import SourceError
from edgekit.inspection import inspect
from edgekit.keras_file import KerasFacts
from edgekit.tensors import TensorSpec

CONFIG: dict[str, Any] = {
    "module": "keras",
    "class_name": "Sequential",
    "config": {
        "layers": [
            {
                "class_name": "InputLayer",
                "config": {"name": "x", "batch_shape": [None, 4], "dtype": "float32"},
            },
            {
                "class_name": "Dense",
                "config": {"name": "d", "units": 3, "trainable": True},
                "build_config": {"input_shape": [None, 4]},
            },
        ]
    },
}


def h5(path: Path, **attributes: str) -> Path:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        file["model_weights/d/kernel"] = np.ones((4, 3), np.float32)
        file["model_weights/d/bias"] = np.ones(3, np.float32)
        file["optimizer_weights/iteration"] = np.ones(1)
    return path


def archive(
    path: Path, members: dict[str, Any] | None = None, *, compression: int = zipfile.ZIP_STORED
) -> Path:
    weights = h5(path.with_suffix(".weights"))
    made = {
        "metadata.json": '{"keras_version": "3.15.1", "date_saved": "2026-11-23@14:19:54"}',
        "config.json": json.dumps(CONFIG),
        "model.weights.h5": weights.read_bytes(),
    } | (members or {})
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in made.items():
            if content is not None:
                file.writestr(name, content)
    return path


def test_an_archive_tells_version_interface_and_layers(tmp_path: Path) -> None:
    facts = keras_file.read(archive(tmp_path / "m.keras"))
    assert (facts.kind, facts.keras_version, facts.keras_major) == ("keras", "3.15.1", 3)
    assert facts.class_name == "Sequential"
    assert facts.inputs == (TensorSpec(name="x", shape=(None, 4), dtype="float32"),)
    assert facts.outputs == (TensorSpec(name="d", shape=(None, 3), dtype="float32"),)
    assert facts.layer_counts == {"Dense": 1}
    assert not facts.has_lambda
    assert facts.parameters is None


def test_parameters_are_counted_when_asked_for(tmp_path: Path) -> None:
    facts = keras_file.read(archive(tmp_path / "m.keras"), count_parameters=True)
    assert (facts.parameters, facts.notes) == (15, ())


def test_compressed_weights_are_not_unpacked_to_count_them(tmp_path: Path) -> None:
    path = archive(tmp_path / "m.keras", compression=zipfile.ZIP_DEFLATED)
    facts = keras_file.read(path, count_parameters=True)
    assert facts.parameters is None
    assert "the weights are compressed" in facts.notes[0]


def test_damaged_weights_are_a_note_not_an_error(tmp_path: Path) -> None:
    path = archive(tmp_path / "m.keras", {"model.weights.h5": b"\x89HDF\r\n\x1a\n" + bytes(99)})
    facts = keras_file.read(path, count_parameters=True)
    assert facts.parameters is None
    assert "parameters not counted" in facts.notes[0]


def test_an_archive_without_weights_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "m.keras", {"model.weights.h5": None})
    with pytest.raises(SourceError, match=r"without model\.weights\.h5; save the whole model"):
        keras_file.read(path)


def test_a_configuration_that_is_no_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="its configuration is damaged"):
        keras_file.read(archive(tmp_path / "m.keras", {"config.json": "{"}))
    deep = "[" * 100_000 + "]" * 100_000
    with pytest.raises(SourceError, match="its configuration is damaged"):
        keras_file.read(archive(tmp_path / "m.keras", {"config.json": deep}))


def test_a_zip_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    bomb = bytes(40 << 20)
    path = archive(tmp_path / "m.keras", {"config.json": bomb}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(SourceError, match="unpacks to more than 32 MiB"):
        keras_file.read(path)


def test_an_h5_file_tells_the_same(tmp_path: Path) -> None:
    path = h5(tmp_path / "m.h5", model_config=json.dumps(CONFIG), keras_version="2.15.0")
    facts = keras_file.read(path)
    assert (facts.kind, facts.keras_major, facts.parameters) == ("h5", 2, 15)
    assert facts.inputs == (TensorSpec(name="x", shape=(None, 4), dtype="float32"),)


def test_an_h5_file_that_only_mentions_a_configuration_is_refused(tmp_path: Path) -> None:
    path = h5(tmp_path / "m.h5", note="there is no model_config here")
    with pytest.raises(SourceError, match="weights only: no model_config"):
        keras_file.read(path)


def test_a_damaged_h5_file_is_refused_in_one_line(tmp_path: Path) -> None:
    path = h5(tmp_path / "m.h5", model_config=json.dumps(CONFIG))
    whole = bytearray(path.read_bytes())
    whole[96:400] = b"\xff" * 304
    path.write_bytes(bytes(whole))
    with pytest.raises(SourceError, match=r"m\.h5: the HDF5 data is damaged \([^\n]*$"):
        keras_file.read(path)


def test_a_tflite_file_is_no_keras_model(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(b"\0\0\0\0TFL3" + bytes(20))
    with pytest.raises(SourceError, match="not a Keras model but tflite"):
        keras_file.read(tmp_path / "m.keras")


@pytest.mark.parametrize("seed", range(3))
def test_damaged_archives_are_refused_in_one_line_or_read(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = archive(tmp_path / "m.keras")
    whole = path.read_bytes()
    refused = 0
    for _ in range(200):
        made = bytearray(whole)
        for _ in range(chance.choice([1, 5, 30])):
            made[chance.randrange(len(made))] = chance.choice([0, 255, chance.randrange(256)])
        path.write_bytes(bytes(made))
        try:
            keras_file.read(path)
        except SourceError as error:
            refused += "\n" not in str(error)
    assert 10 < refused < 200


# ---- SavedModel ------------------------------------------------------------------------------


def field(number: int, content: bytes | int) -> bytes:
    """One protobuf field; content of fewer than 128 bytes, or a small number."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    assert len(content) < 16384
    return bytes([number << 3 | 2, len(content) & 0x7F | 0x80, len(content) >> 7]) + content


def tensor_info(dtype: int, *shape: int) -> bytes:
    dimensions = b"".join(
        field(2, b"\x08" + (b"\xff" * 9 + b"\x01" if size < 0 else bytes([size]))) for size in shape
    )
    return field(1, b"name:0") + field(2, dtype) + field(3, dimensions)


def saved_model(folder: Path, *, signature: str = "serving_default") -> Path:
    inputs = field(1, field(1, b"image") + field(2, tensor_info(1, -1, 28)))
    outputs = field(2, field(1, b"scores") + field(2, tensor_info(1, -1, 10)))
    nodes = b"".join(
        field(1, field(1, name) + field(2, kind))
        for name, kind in ((b"a", b"MatMul"), (b"b", b"MatMul"), (b"c", b"EagerPyFunc"))
    )
    shape = field(2, field(1, 28)) + field(2, field(1, 10))
    variable = field(7, field(1, 1) + field(2, shape))
    root = field(1, field(1, 1) + field(2, b"kernel")) + field(
        1, field(1, 2) + field(2, b"optimizer")
    )
    objects = field(1, root) + field(1, variable) + field(1, variable)
    meta = (
        field(1, field(4, b"serve") + field(5, b"2.21.0"))
        + field(2, nodes)
        + field(5, field(1, signature.encode()) + field(2, inputs + outputs))
        + field(7, objects)
    )
    folder.mkdir()
    (folder / "variables").mkdir()
    (folder / "saved_model.pb").write_bytes(field(1, 1) + field(2, meta))
    return folder


def test_a_saved_model_tells_its_signature_operators_and_parameters(tmp_path: Path) -> None:
    facts = keras_file.read(saved_model(tmp_path / "m"))
    assert facts.kind == "savedmodel"
    assert facts.inputs == (TensorSpec(name="image", shape=(None, 28), dtype="float32"),)
    assert facts.outputs == (TensorSpec(name="scores", shape=(None, 10), dtype="float32"),)
    assert facts.operator_counts == {"MatMul": 2, "EagerPyFunc": 1}
    assert facts.parameters == 280  # the optimizer's variable is not the model's
    assert "calls Python code" in facts.notes[0]


def test_keras_2_says_who_it_was_beside_the_graph(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "m")
    told = json.dumps({"class_name": "Functional", "keras_version": "2.15.0"}).encode()
    node = field(3, b"root") + field(4, b"_tf_keras_network") + field(5, told)
    (folder / "keras_metadata.pb").write_bytes(field(1, node))
    facts = keras_file.read(folder)
    assert (facts.class_name, facts.keras_major) == ("Functional", 2)


def test_the_only_signature_is_taken_whatever_its_name(tmp_path: Path) -> None:
    assert keras_file.read(saved_model(tmp_path / "m", signature="predict")).inputs


def test_missing_variables_are_noted(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "m")
    (folder / "variables").rmdir()
    assert any("the weights are not here" in note for note in keras_file.read(folder).notes)


def test_a_damaged_saved_model_is_refused_in_one_line_or_read(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "m")
    whole = (folder / "saved_model.pb").read_bytes()
    chance = random.Random(1)
    refused = 0
    for _ in range(500):
        made = bytearray(whole)
        made[chance.randrange(len(made))] = chance.randrange(256)
        (folder / "saved_model.pb").write_bytes(bytes(made[: chance.randrange(1, len(made) + 1)]))
        try:
            keras_file.read(folder)
        except SourceError as error:
            refused += "\n" not in str(error)
    assert 100 < refused < 500


# ---- what Keras itself writes ---------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Keras warns of its own old formats
@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_files_of_both_keras_versions_are_read(tmp_path: Path, package: str) -> None:
    keras: Any = pytest.importorskip(package, reason=f"{package} is not installed")
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.InputLayer((12, 3), name="series"),
            layers.Bidirectional(layers.LSTM(4)),
            layers.BatchNormalization(),
            layers.Dense(2, name="scores"),
        ]
    )
    model.compile("adam", "mse")
    model.save(tmp_path / "m.keras")
    model.save(tmp_path / "m.h5")
    (model.export if package == "keras" else model.save)(str(tmp_path / "saved"))
    found: dict[str, KerasFacts] = {
        name: keras_file.read(tmp_path / name, count_parameters=True)
        for name in ("m.keras", "m.h5", "saved")
    }
    for name, facts in found.items():
        assert facts.parameters == model.count_params(), name
        assert [spec.shape for spec in facts.inputs] == [(None, 12, 3)], name
        assert not facts.has_lambda
        assert facts.custom_classes == ()
    for name in ("m.keras", "m.h5"):
        assert found[name].keras_major == (3 if package == "keras" else 2)
        assert list(found[name].layer_counts) == [
            "Bidirectional(LSTM)",
            "BatchNormalization",
            "Dense",
        ]
    assert found["m.keras"].outputs == (
        TensorSpec(name="scores", shape=(None, 2), dtype="float32"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_no_layer_of_keras_is_taken_for_a_custom_one(package: str) -> None:
    from edgekit.keras_config import read_config

    keras: Any = pytest.importorskip(package, reason=f"{package} is not installed")
    names = [name for name in dir(keras.layers) if name[0].isupper() and name != "experimental"]
    assert len(names) > 100
    layers = [{"class_name": name, "config": {"trainable": True}} for name in names]
    model = {"class_name": "Sequential", "config": {"layers": layers}}
    assert read_config(model).custom_classes == ()


def test_an_archive_tells_how_it_was_pruned(tmp_path: Path) -> None:
    story = {
        "method": "structured",
        "target": "macs 50%",
        "edgekit": "0.1.0",
        "source": {"name": "net.keras"},
    }
    path = archive(tmp_path / "m.keras", {"edgekit_pruned.json": json.dumps(story)})
    assert keras_file.read(path).pruned == story
    assert keras_file.read(archive(tmp_path / "plain.keras")).pruned is None
    (told,) = [line.split() for line in inspect_lines(inspect(path)) if "pruned" in line]
    assert " ".join(told) == "pruned structured, macs 50% (from net.keras, by edgekit 0.1.0)"


@pytest.mark.parametrize("content", ["[1]", '"x"', "{}", '{"source": 5, "sparsity": "x"}'])
def test_a_strange_account_of_pruning_is_no_harm(tmp_path: Path, content: str) -> None:
    path = archive(tmp_path / "m.keras", {"edgekit_pruned.json": content})
    assert inspect_lines(inspect(path))
