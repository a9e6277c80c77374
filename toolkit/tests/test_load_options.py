import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import DataError, UsageError

Build = Callable[..., Path]
ROW = np.array([[1.0, 2.0]], np.float32)
MANY: Any = np.broadcast_to(np.float32(0), (2**44, 2))


@pytest.fixture(params=["tflite", "onnx"])
def path(request: Any) -> Path:
    made: Path = request.getfixturevalue(f"tiny_{request.param}")()
    return made


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"threads": 1.0}, r"threads=1\.0: not a whole number; give 1"),
        ({"threads": "2"}, "threads='2': not a whole number"),
        ({"threads": None}, "threads=None: not a whole number"),
        ({"threads": True}, "threads=True: not a whole number"),
        ({"threads": 0}, "threads=0: not a number of threads"),
        ({"instances": 65}, "instances=65: not a number of instances; give 1 to 64"),
        ({"instances": 0}, "instances=0: not a number of instances; give 1 to 64"),
        ({"instances": "2"}, "instances='2': not a number"),
        ({"backend": None}, "backend=None: cannot be meant; give a name"),
        ({"providers": None}, "providers=None: cannot be meant; give names"),
        ({"providers": [5]}, r"providers=\[5\]: cannot be meant"),
        ({"signature": 5}, "signature=5: cannot be meant"),
        ({"preprocess": 5}, "preprocess=5: cannot be meant; give steps as a text"),
        ({"preprocess": [5]}, r"preprocess=\[5\]: cannot be meant"),
        ({"preprocess": {"image": 5}}, "preprocess={'image': 5}: cannot be meant"),
        ({"preprocess": "x"}, "^preprocess x: no step 'x'"),
        ({"labels": 5}, "labels=5: cannot be meant; give the names"),
        ({"labels": ["a", None]}, "labels: None among them is no text"),
        ({"labels": ""}, "labels='': cannot be meant"),
        ({"public_key": 5}, "public_key=5: cannot be meant"),
    ],
)
def test_an_option_of_the_wrong_type_is_told(path: Path, option: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        edgekit.load(path, **option)


@pytest.mark.parametrize("source", [None, 5, [], io.BytesIO(b"TFL3"), np.zeros(3)])
def test_what_is_neither_path_nor_bytes_is_told(path: Path, source: Any) -> None:
    told = r"source: .*; give the path of a \.tflite or \.onnx file, or its bytes"
    with pytest.raises(UsageError, match=told):
        edgekit.load(source)
    with edgekit.load(path) as model, pytest.raises(UsageError, match=told):
        model.swap(source)


@pytest.mark.parametrize("source", ["", Path()])
def test_an_empty_path_is_called_so(path: Path, source: Any) -> None:
    told = r"^source: an empty path; give the path of a \.tflite or \.onnx file, or its bytes$"
    with pytest.raises(UsageError, match=told):
        edgekit.load(source)
    with edgekit.load(path) as model, pytest.raises(UsageError, match=told):
        model.swap(source)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_buffers_are_loaded_as_they_were(path: Path, kind: Any) -> None:
    content = bytearray(path.read_bytes())
    with edgekit.load(kind(content)) as model:
        content[:] = bytes(len(content))
        model.swap(kind(path.read_bytes()))
        assert model.path is None
        assert model(ROW).shape == (1, 3)


def test_numbers_of_numpy_are_numbers(path: Path) -> None:
    given: Any = {"threads": np.int64(2), "instances": np.int32(2)}
    with edgekit.load(path, **given) as model:
        assert model.instances == 2


def test_preprocess_may_be_a_list(path: Path) -> None:
    with edgekit.load(path, preprocess=["image:scale=2"]) as model:
        assert str(model.preprocess["image"]) == "scale=2"
        again = edgekit.load(path, preprocess=model.preprocess)  # type: ignore[arg-type]
        assert again.preprocess == model.preprocess
        again.close()


@pytest.mark.parametrize("top", ["3", None, 1.5, 0, True])
def test_classes_are_counted_in_whole_numbers(path: Path, top: Any) -> None:
    with edgekit.load(path) as model, pytest.raises(UsageError, match="top=.*give 1 or more"):
        model.classify(np.zeros((1, 1), np.uint8), top=top)


@pytest.mark.parametrize("hop", [1.5, 2.0, "x", 0, True])
def test_a_hop_is_a_whole_number(path: Path, hop: Any) -> None:
    with edgekit.load(path) as model, pytest.raises(UsageError, match="hop=.*not a number of"):
        model.stream(hop=hop)


@pytest.mark.parametrize("window", ["x", 2.0, 1.5])
def test_a_window_is_a_whole_number(path: Path, window: Any) -> None:
    with edgekit.load(path) as model, pytest.raises(UsageError, match="window=.*takes 2 samples"):
        model.stream(window=window)


def test_rows_whose_results_nothing_could_hold_are_refused(path: Path) -> None:
    with edgekit.load(path) as model:
        with pytest.raises(
            DataError, match="results of .* rows do not fit into memory; give fewer"
        ):
            model(MANY)
        assert model(ROW).shape == (1, 3)


def test_inputs_of_a_free_batch_that_nothing_could_hold_are_refused(
    tiny_tflite: Build, tiny_onnx: Build
) -> None:
    for path in (tiny_tflite(batch=-1), tiny_onnx(batch="n"), tiny_onnx(batch="n", io="int8")):
        with edgekit.load(path) as model:
            with pytest.raises(DataError, match="^inputs: too large for the memory there is; "):
                model(MANY)
            with pytest.raises(DataError, match="give fewer rows at a time$"):
                model.run({"image": MANY})
            assert model(ROW).shape == (1, 3)
            assert model(np.repeat(ROW, 3, axis=0)).shape == (3, 3)


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_loaded_model_is_not_copied(path: Path, take: Callable[[Any], Any]) -> None:
    with edgekit.load(path) as model, pytest.raises(TypeError, match="load it in each process"):
        take(model)
