"""Tables: labels, inputs, and every way a table can be wrong."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from edgekit.data import Dataset, open_data
from edgekit.errors import DataError
from edgekit.tensors import TensorSpec


def spec(name: str, *shape: int | None, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, shape=(None, *shape), dtype=dtype)


PAIR = [spec("x", 2)]


def read(folder: Path, text: str, inputs: list[TensorSpec] = PAIR) -> Dataset:
    path = folder / "a.csv"
    path.write_text(text, encoding="utf-8")
    return open_data(str(path), inputs)


def test_columns_are_features_from_left_to_right(tmp_path: Path) -> None:
    data = read(tmp_path, "b,a\n1,2.5\n-3,4e1\n")
    assert data.batch([0, 1])["x"].tolist() == [[1, 2.5], [-3, 40]]
    assert data.labels is None


@pytest.mark.parametrize("name", ["label", "y", "target", "class", "Label"])
def test_a_column_of_labels_is_found_wherever_it_stands(tmp_path: Path, name: str) -> None:
    data = read(tmp_path, f"b,{name},a\n1,0,2\n3,1,4\n")
    assert data.batch([1])["x"].tolist() == [[3, 4]]
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1]


def test_labels_with_fractions_stay_numbers(tmp_path: Path) -> None:
    data = read(tmp_path, "a,b,y\n1,2,0.5\n3,4,1.5\n")
    assert data.labels is not None
    assert data.labels.tolist() == [0.5, 1.5]


def test_labels_that_are_names_are_counted_in_sorted_order(tmp_path: Path) -> None:
    data = read(tmp_path, "a,b,class\n1,2,wasp\n3,4,bee\n5,6,wasp\n")
    assert data.labels is not None
    assert data.labels.tolist() == [1, 0, 1]
    assert data.class_names == ("bee", "wasp")


def test_each_input_has_the_columns_of_its_name(tmp_path: Path) -> None:
    inputs = [spec("age", 1), spec("words", 3, dtype="int32")]
    text = "words_2,age,words_0,words_10,label\n3,0.5,1,9,0\n4,0.25,2,8,1\n"
    batch = read(tmp_path, text, inputs).batch([0, 1])
    assert batch["age"].tolist() == [[0.5], [0.25]]
    assert batch["words"].tolist() == [[1, 3, 9], [2, 4, 8]]


def test_rows_are_folded_to_the_shape_of_the_input(tmp_path: Path) -> None:
    text = "a,b,c,d\n1,2,3,4\n"
    data = read(tmp_path, text, [spec("x", 2, 2, 1)])
    assert data.batch([0])["x"][0, :, :, 0].tolist() == [[1, 2], [3, 4]]


def test_packed_tables_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert open_data(str(path), PAIR).batch([0])["x"].tolist() == [[1, 2]]


def test_quotes_blank_lines_and_a_byte_order_mark_do_not_disturb(tmp_path: Path) -> None:
    data = read(tmp_path, '\ufeff"a", b\r\n\r\n"1", 2\r\n\r\n')
    assert data.batch([0])["x"].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b\n1,2\n3,four\n", "line 3, column 'b' is 'four', not a number"),
        ("a,label,b\n1,0,2\n3,1,\n", "line 3, column 'b' is empty"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cells, the header 2"),
        ("a,b\n1,2,3\n", "line 2 has 3 cells, the header 2"),
        ("1,2\n3,4\n", "line 1 is numbers; put a header before it"),
        ("a,a\n1,2\n", "names the column 'a' twice"),
        ("a,y,label\n1,2,3\n", "several columns of labels: y, label"),
        ("label\n1\n", "no column but 'label'"),
        ("a,b\n", "has no samples"),
        ("\n\n", "is empty"),
        ("a,b,class\n1,2,bee\n3,4,\n", "sample 2 has no label"),
        ("a,b,c\n1,2,3\n", r"samples for input 'x' are \(3,\), the model takes \(2,\)"),
        ('a,b\n"1,2\n', "line 2 has 1 cells"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DataError, match=rf"a\.csv: .*{told}"):
        read(tmp_path, text)


def test_a_missing_column_lists_those_there_are(tmp_path: Path) -> None:
    inputs = [spec("age", 1), spec("height", 1)]
    with pytest.raises(DataError, match=r"no column for height \(it has: age, weight\)"):
        read(tmp_path, "age,weight\n1,2\n", inputs)


def test_fractions_for_an_integer_input_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fractions"):
        read(tmp_path, "a,b\n1,2.5\n", [spec("x", 2, dtype="int32")])


@pytest.mark.parametrize("content", [b"\xff\xfe\x00a", b"a,b\n1,\x80\n"])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match="no text in UTF-8"):
        open_data(str(path), PAIR)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", gzip.compress(b"a,b\n" + b"1,2\n" * 99)[:-9]])
def test_a_damaged_packed_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="truncated or damaged"):
        open_data(str(path), PAIR)


def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"1" * (17 << 20), 1))
    with pytest.raises(DataError, match="a line of more than 16 MiB"):
        open_data(str(path), PAIR)


def test_missing_values_written_as_nan_are_left_to_the_checks(tmp_path: Path) -> None:
    assert np.isnan(read(tmp_path, "a,b\n1,nan\n").batch([0])["x"][0, 1])
