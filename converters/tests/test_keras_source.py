import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgekit
from edgekit.errors import EdgekitError, SourceError, UsageError
from edgekit_converters.workers import Workers

Load = Callable[..., dict[str, Any]]


@pytest.fixture
def load(zoo: Path, workers: Workers, tmp_path: Path) -> Load:
    """Load a model in the Keras child; says what the conversion will know of it."""

    def loaded(path: str | Path, **options: Any) -> dict[str, Any]:
        source = {"path": str(zoo / path), "custom_objects": None, "trust": False}
        settings: dict[str, Any] = {
            "batch": None,
            "shapes": {},
            "data": None,
            "count": 4,
            "preprocess": [],
        }
        for name, value in options.items():
            (source if name in source else settings)[name] = value
        result: dict[str, Any] = workers.keras.call(
            "prepare", source=source, workspace=str(tmp_path), **settings
        )
        shutil.rmtree(tmp_path / "rolled")
        return result

    return loaded


def names(specs: list[dict[str, Any]]) -> list[str]:
    return [spec["name"] for spec in specs]


def with_version(
    model: Path, out: Path, version: str, *, config: tuple[str, str] = ("", "")
) -> Path:
    """A copy of a .keras file that says it was written by another Keras."""
    with zipfile.ZipFile(model) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "metadata.json" and version:
                content = f'{{"keras_version": "{version}", "date_saved": ""}}'.encode()
            if name == "config.json" and config[0]:
                content = content.decode().replace(*config).encode()
            new.writestr(name, content)
    return out


# ---- who loads what ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "framework"),
    [
        ("cnn.keras", "keras"),
        ("cnn3.h5", "keras"),
        ("cnn2.h5", "tf_keras"),
        ("lstm2.keras", "tf_keras"),
        ("exported", "savedmodel"),
        ("aware2.h5", "tf_keras"),
    ],
)
def test_each_file_is_loaded_by_the_framework_that_wrote_it(
    load: Load, name: str, framework: str
) -> None:
    assert load(name)["framework"] == framework


@pytest.mark.slow
def test_inputs_and_outputs_are_called_what_the_author_called_them(load: Load) -> None:
    found = load("several.keras")
    assert names(found["inputs"]) == ["age", "kind", "zoom"]
    assert names(found["outputs"]) == ["scores", "value"]


@pytest.mark.slow
def test_integer_inputs_stay_integers(load: Load) -> None:
    kinds = {spec["name"]: spec["dtype"] for spec in load("several.keras")["inputs"]}
    assert kinds == {"age": "float32", "kind": "int32", "zoom": "float32"}


@pytest.mark.slow
def test_a_subclassed_model_is_called_by_the_names_in_its_code(load: Load, zoo: Path) -> None:
    found = load("subclassed.keras", custom_objects=str(zoo / "layers.py"))
    assert names(found["inputs"]) == ["x"]
    assert names(found["outputs"]) == ["scores", "value"]


# ---- custom code ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_custom_layer_is_loaded_with_its_code(load: Load, zoo: Path) -> None:
    assert load("custom.keras", custom_objects=str(zoo / "layers.py"))["framework"] == "keras"


@pytest.mark.slow
@pytest.mark.parametrize("code", [None, "other.py"])
def test_a_custom_layer_without_its_code_is_named(load: Load, zoo: Path, code: str | None) -> None:
    with pytest.raises(SourceError, match="'Scaled' is not a class that.*--custom-objects FILE.py"):
        load("custom.keras", custom_objects=code and str(zoo / code))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "said"),
    [("broken.py", "RuntimeError: half written"), ("syntax.py", "SyntaxError: invalid syntax")],
)
def test_code_that_does_not_import_is_refused_with_what_it_said(
    load: Load, zoo: Path, code: str, said: str
) -> None:
    with pytest.raises(SourceError, match=f"{code}: {said}.*must import without errors"):
        load("custom.keras", custom_objects=str(zoo / code))


@pytest.mark.slow
def test_code_that_is_not_there_is_a_usage_error(load: Load, zoo: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere.py: no such Python file"):
        load("custom.keras", custom_objects=str(zoo / "nowhere.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unsafe.keras", "unsafe2.h5"])
def test_a_lambda_layer_is_code_and_refused(load: Load, name: str) -> None:
    with pytest.raises(SourceError, match=r"Lambda layer.*--trust-model if you trust"):
        load(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unsafe.keras", "unsafe2.h5"])
def test_a_trusted_lambda_layer_is_run(load: Load, name: str) -> None:
    assert load(name, trust=True)["outputs"]


# ---- refused ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_text_input_is_refused_in_one_sentence(load: Load) -> None:
    with pytest.raises(SourceError) as caught:
        load("text.keras")
    assert "input 'text' takes text, which no mobile runtime reads" in str(caught.value)
    assert "tf-keras" not in str(caught.value)


@pytest.mark.slow
def test_free_dimensions_are_to_be_decided(load: Load) -> None:
    with pytest.raises(UsageError, match=r"free dimensions \?,\?,4; fix them with --input-shape"):
        load("free.keras")


@pytest.mark.slow
def test_a_file_of_a_future_keras_that_loads_is_loaded(
    load: Load, zoo: Path, tmp_path: Path
) -> None:
    future = with_version(zoo / "cnn.keras", tmp_path / "future.keras", "9.9.0")
    assert load(future)["framework"] == "keras"


@pytest.mark.slow
def test_a_file_of_a_future_keras_that_does_not_load_says_what_both_said(
    load: Load, zoo: Path, tmp_path: Path
) -> None:
    unknown = ('"class_name": "Sequential"', '"class_name": "Hypersequential"')
    future = with_version(zoo / "cnn.keras", tmp_path / "future.keras", "9.9.0", config=unknown)
    with pytest.raises(SourceError) as caught:
        load(future)
    assert "written by Keras 9.9.0, newer than the installed 3." in str(caught.value)
    assert "keras 3." in str(caught.value)
    assert "tf-keras" in str(caught.value)


@pytest.mark.slow
def test_a_keras_3_file_that_says_it_is_keras_2_is_loaded_all_the_same(
    load: Load, zoo: Path, tmp_path: Path
) -> None:
    old = with_version(zoo / "cnn.keras", tmp_path / "old.keras", "2.15.0")
    assert load(old)["framework"] == "keras"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn.keras", "lstm2.keras"])
def test_a_model_file_cannot_call_what_is_no_layer(
    load: Load, zoo: Path, tmp_path: Path, name: str
) -> None:
    layer = '"module": "keras.layers", "class_name": "Dense"'
    process = '"module": "subprocess", "class_name": "Popen"'
    evil = with_version(zoo / name, tmp_path / "evil.keras", "", config=(layer, process))
    with pytest.raises(SourceError):
        load(evil)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_file_is_called_so(load: Load, zoo: Path, tmp_path: Path, share: float) -> None:
    for name in ("cnn.keras", "cnn2.h5"):
        content = (zoo / name).read_bytes()
        cut = tmp_path / name
        cut.write_bytes(content[: int(share * len(content))])
        with pytest.raises(SourceError, match="truncated or damaged|truncated: "):
            load(cut)


@pytest.mark.slow
def test_damaged_weights_are_refused(load: Load, zoo: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.keras"
    with zipfile.ZipFile(zoo / "cnn.keras") as old, zipfile.ZipFile(broken, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content[:3000] if name.endswith(".h5") else content)
    with pytest.raises(
        EdgekitError, match=r"broken.keras: cannot be rebuilt|broken.keras: .*trunc"
    ):
        load(broken)


@pytest.mark.slow
def test_a_savedmodel_with_damaged_variables_is_refused(
    load: Load, zoo: Path, tmp_path: Path
) -> None:
    shutil.copytree(zoo / "exported", tmp_path / "broken")
    for file in (tmp_path / "broken" / "variables").iterdir():
        file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(SourceError, match="not a SavedModel that TensorFlow"):
        load(tmp_path / "broken")


def test_what_is_neither_model_nor_path_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="int from builtins: neither a Keras model nor a path"):
        edgekit.convert(42)
