"""Functions of the user's as data."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.data import Dataset, open_data
from edgekit.data_function import is_batch, is_function
from edgekit.errors import DataError
from edgekit.tensors import TensorSpec

ONE = [TensorSpec(name="x", shape=(None, 3), dtype="float32")]
TWO = [
    TensorSpec(name="a", shape=(None, 3), dtype="float32"),
    TensorSpec(name="b", shape=(None, 2), dtype="float32"),
]
Open = Callable[..., Dataset]


@pytest.fixture
def open_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Write a module with this body of ``samples``, in a fresh current folder; open it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)

    def open_it(body: str, inputs: list[TensorSpec] = ONE, text: str = "mine:samples") -> Dataset:
        sys.modules.pop("mine", None)
        lines = "\n".join("    " + line for line in body.splitlines())
        Path("mine.py").write_text(f"import numpy as np\n\ndef samples():\n{lines}\n")
        return open_data(text, inputs)

    return open_it


@pytest.mark.parametrize(
    "body",
    [
        "return np.ones((6, 3))",
        "return (np.ones((6, 3)),)",
        "return {'x': np.ones((6, 3))}",
        "return [np.ones(3)] * 6",
        "return [[1, 1, 1]] * 6",
        "for _ in range(6): yield np.ones(3)",
        "for _ in range(2): yield np.ones((3, 3))",
        "for _ in range(6): yield [np.ones((1, 3))]",
        "for _ in range(6): yield {'x': np.ones(3)}",
        "yield np.ones((4, 3)); yield np.ones((2, 3))",
    ],
)
def test_samples_come_in_many_forms(open_function: Open, body: str) -> None:
    data = open_function(body)
    assert len(data) == 6
    assert data.labels is None
    assert np.array_equal(data.batch(range(6))["x"], np.ones((6, 3), np.float32))


@pytest.mark.parametrize(
    "body",
    [
        "return np.ones((6, 3)), np.arange(6)",
        "return {'x': np.ones((6, 3))}, np.arange(6)",
        "for i in range(6): yield np.ones(3), i",
        "for i in range(6): yield {'x': np.ones(3)}, np.int64(i)",
        "for i in range(3): yield np.ones((2, 3)), [2 * i, 2 * i + 1]",
        "for i in range(3): yield np.ones((2, 3)), [2 * i, 2 * i + 1], [1.0, 1.0]",
        "for i in range(6): yield [np.ones((1, 3))], [[i]]",
    ],
)
def test_labels_come_with_samples(open_function: Open, body: str) -> None:
    data = open_function(body)
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "body",
    [
        "return {'a': np.zeros((4, 3)), 'b': np.ones((4, 2))}",
        "for _ in range(4): yield {'a': np.zeros(3), 'b': np.ones(2), 'c': 'more'}",
        "for _ in range(4): yield [np.zeros((1, 3)), np.ones((1, 2))]",
        "for _ in range(4): yield (np.zeros(3), np.ones(2)), 1",
        "return {'a': np.zeros((4, 3)), 'b': np.ones((4, 2))}, np.ones(4)",
    ],
)
def test_several_inputs_are_served(open_function: Open, body: str) -> None:
    batch = open_function(body, TWO).batch(range(4))
    assert batch["a"].sum() == 0
    assert batch["b"].sum() == 8


def test_what_has_a_numpy_iterator_is_a_tf_dataset(open_function: Open) -> None:
    data = open_function(
        "class Set:\n"
        "    def as_numpy_iterator(self): yield np.ones((2, 3), 'f4'), np.array([0, 1])\n"
        "return Set()"
    )
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1]


def test_a_sequence_that_never_ends_by_itself_ends_at_its_length(open_function: Open) -> None:
    data = open_function(
        "class Batches:\n"
        "    def __len__(self): return 3\n"
        "    def __getitem__(self, i): return np.ones((2, 3)), [0, 1]\n"
        "return Batches()"
    )
    assert len(data) == 6


def test_a_function_in_a_class_is_found(open_function: Open) -> None:
    with pytest.raises(DataError, match="mine has no 'Data.train'; there are: "):
        open_function("return np.ones((6, 3))", text="mine:Data.train")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no_such_module:f", "no module 'no_such_module'; check the name"),
        ("mine.sub:f", "no module 'mine.sub'"),
        ("mine:nothing", "mine has no 'nothing'; there are: np, samples"),
        ("mine.py:samples", "write mine:samples"),
        ("mine:np", "is module, not a function"),
    ],
)
def test_a_function_that_does_not_exist_is_refused(
    open_function: Open, text: str, told: str
) -> None:
    with pytest.raises(DataError, match=f"^{text}: .*{told}"):
        open_function("return np.ones((6, 3))", text=text)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise ValueError('no disk')", r"raises ValueError \(no disk\) at mine\.py:4"),
        ("yield np.ones(3); 1 / 0", r"raises ZeroDivisionError \(division by zero\) at mine"),
        ("import sys; sys.exit(3)", "raises SystemExit"),
        ("import no_such_package_here", "raises ModuleNotFoundError"),
        ("return None", "returns nothing"),
        ("return []", "yields nothing"),
        ("if False: yield", "yields nothing"),
        ("return 3", "returns int, which holds no samples"),
        ("return np.float32(3)", "returns float32|single number"),
        ("return {'z': np.ones((6, 3))}", r"nothing for x \(it gives: z\)"),
        ("return np.array(['a', 'b'])", "<U1 for 'x'; give numbers"),
        ("yield np.ones(3); yield np.ones(4)", r"different shapes for 'x': \(3,\) and \(4,\)"),
        ("yield np.ones(3), 1; yield np.ones(3)", "labels with some of its samples only"),
        ("return np.ones((6, 5))", r"are \(5,\), the model takes \(3,\)"),
        ("return np.ones((6, 3)), np.ones(4)", "different numbers of samples"),
        ("yield [np.ones(3), np.ones(3)]", "gives 2 arrays together, the model has 1 inputs"),
        ("yield [[1, 2], [3]]", "no array"),
    ],
)
def test_a_function_that_gives_nothing_usable_is_refused(
    open_function: Open, body: str, told: str
) -> None:
    with pytest.raises(DataError, match=f"^mine:samples: .*({told})"):
        open_function(body)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("yield np.ones(3)", "single arrays, the model has the inputs a, b"),
        ("yield np.ones(3), np.ones(2)", r"gives \(x, y\), the model has the inputs a, b"),
        ("yield {'a': np.ones(3)}", r"nothing for b \(it gives: a\)"),
    ],
)
def test_samples_for_one_of_two_inputs_are_refused(
    open_function: Open, body: str, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        open_function(body, TWO)


def test_a_module_that_cannot_be_imported_is_refused(open_function: Open) -> None:
    Path("broken.py").write_text("def f(:\n")
    with pytest.raises(DataError, match=r"broken:f: raises SyntaxError"):
        open_function("pass", text="broken:f")


def test_a_function_without_end_is_stopped(
    open_function: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.data_function.physical_memory_bytes", lambda: 4 << 20)
    with pytest.raises(DataError, match="or never ends; give fewer samples"):
        open_function("while True: yield np.ones(3)")


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("a:b", True),
        ("package.module:Class.method", True),
        ("a.npz:train", True),
        ("folder/a:b", False),
        ("a:b:c", False),
        ("a", False),
        ("c:\\data", False),
    ],
)
def test_the_form_of_a_function_is_known(text: str, is_one: bool) -> None:
    assert is_function(text) == is_one


@pytest.mark.parametrize(
    ("array", "spec", "batched"),
    [
        ((8, 8, 1), (None, 8, 8, 1), False),
        ((8, 8), (None, 8, 8, 1), False),
        ((5, 8, 8), (None, 8, 8, 1), True),
        ((5, 8, 8, 1), (None, 8, 8, 1), True),
        ((20, 30, 3), (None, 8, 8, 3), False),
        ((3,), (None, 3), False),
        ((5, 3), (None, 3), True),
        ((5,), (None, 1), True),
        ((), (None, 1), False),
        ((7,), (None, None), False),
    ],
)
def test_batches_and_samples_are_told_apart(
    array: tuple[int, ...], spec: tuple[int | None, ...], batched: bool
) -> None:
    assert is_batch(np.zeros(array), spec) == batched


@pytest.mark.slow
def test_a_real_tf_dataset_is_read(open_function: Open) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    data = open_function(
        "import tensorflow as tf\n"
        "x = np.ones((5, 3), 'f4')\n"
        "return tf.data.Dataset.from_tensor_slices((x, np.arange(5))).batch(2)"
    )
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 2, 3, 4]
