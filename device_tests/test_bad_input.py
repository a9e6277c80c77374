"""Whatever goes wrong is one clear error, and the model works on."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import ClosedError, DataError

Open = Callable[..., edgekit.Model]
Find = Callable[[str], Any]
ROW = np.array([[1.0, 2.0]], np.float32)
SCORES = np.array([[2.0, 1.0, -1.5]], np.float32)
BAD = {
    "wrong size": np.zeros((1, 3), np.float32),
    "rank too low": np.zeros(2, np.float32),
    "rank too high": np.zeros((1, 1, 2), np.float32),
    "nothing": None,
    "text": "image.png",
    "array of text": np.array([["a", "b"]]),
    "bytes": b"\x00\x01",
    "complex numbers": np.zeros((1, 2), complex),
    "dates": np.zeros((1, 2), "datetime64[s]"),
    "records": np.zeros((1, 2), [("x", "f4")]),
    "objects": np.array([[object(), 1.0]], dtype=object),
    "ragged rows": [[1.0, 2.0], [3.0]],
    "ragged depth": [[1.0, [2.0]]],
    "dict": {"image": [[1.0, 2.0]]},
    "set": {1.0, 2.0},
    "a function": max,
    "no rows": np.zeros((0, 2), np.float32),
    "a scalar": 1.0,
}


@pytest.mark.board
@pytest.mark.parametrize("name", ["dense", "dense.batch-free", "dense.batch-4"])
@pytest.mark.parametrize("bad", BAD)
def test_bad_input_is_one_error_and_the_model_works_on(
    open_model: Open, name: str, bad: str
) -> None:
    model = open_model(name)
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(DataError, match="'image'") as refused:
                model(BAD[bad])
            with pytest.raises(DataError, match="'image'"):
                model.run({"image": BAD[bad]})
        said = str(refused.value)
        assert "; " in said, said
        assert "\n" not in said, said
        np.testing.assert_allclose(model(ROW), SCORES, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("echo.int32", np.array([[0.5, 1, 2, 3]])),
        ("echo.int32", np.array([[2.0**40, 1, 2, 3]])),
        ("echo.int32", np.array([[np.nan, 1, 2, 3]])),
        ("echo.int32", np.array([[np.inf, 1, 2, 3]], np.float32)),
        ("echo.int32", np.array([[2**31, 1, 2, 3]])),
        ("echo.int64", np.array([[0.5, 1, 2, 3]], np.float32)),
        ("echo.int64", np.array([[2**63, 1, 2, 3]], np.uint64)),
        ("echo.bool", np.array([[0.5, 1, 0, 1]])),
        ("echo.bool", np.array([[2, 1, 0, 1]])),
    ],
)
def test_numbers_that_an_integer_input_cannot_hold_are_refused(
    open_model: Open, name: str, bad: Any
) -> None:
    model = open_model(name)
    with pytest.raises(DataError, match="'values'"):
        model(bad)
    good = np.array([[0, 1, 0, 1]])
    np.testing.assert_array_equal(model(good), good)


def test_ids_beyond_the_vocabulary_are_refused(open_model: Open, capfd: Any) -> None:
    model = open_model("pair")
    image = np.zeros((1, 8, 8, 1), np.float32)
    good = model.run({"image": image, "ids": np.zeros((1, 5), np.int32)})
    capfd.readouterr()
    for _ in range(3):
        with pytest.raises(DataError, match=r"pair.*out of") as refused:
            model.run({"image": image, "ids": np.full((1, 5), 99, np.int32)})
        assert str(refused.value).lower().count("gather") <= 2  # not those of the calls before
        again = model.run({"image": image, "ids": np.zeros((1, 5), np.int32)})
        np.testing.assert_array_equal(again["scores"], good["scores"])
    assert capfd.readouterr() == ("", "")


def test_too_few_and_too_many_arrays_are_refused(open_model: Open) -> None:
    model = open_model("pair")
    image, ids = np.zeros((1, 8, 8, 1), np.float32), np.zeros((1, 5), np.int32)
    for arrays in ((), (image,), (image, ids, ids)):
        with pytest.raises(DataError, match="image"):
            model(*arrays)
    assert set(model.run({"image": image, "ids": ids})) == {"scores", "age"}


def test_arrays_in_the_wrong_order_are_refused(open_model: Open) -> None:
    model = open_model("pair")
    arrays = {"image": np.zeros((1, 8, 8, 1), np.float32), "ids": np.zeros((1, 5), np.int32)}
    with pytest.raises(DataError, match="shape"):
        model(*(arrays[spec.name] for spec in reversed(model.inputs)))


def test_names_that_are_missing_or_unknown_are_refused(open_model: Open) -> None:
    model = open_model("dense")
    for inputs in ({}, {"picture": ROW}, {"image": ROW, "more": ROW}):
        with pytest.raises(DataError, match=r"\['image'\]"):
            model.run(inputs)


def test_what_is_no_mapping_is_refused(open_model: Open) -> None:
    model = open_model("dense")
    for inputs in (ROW, [ROW], None, "image"):
        with pytest.raises(DataError, match="name"):
            model.run(inputs)  # type: ignore[arg-type]


def test_a_closed_model_says_so(open_model: Open) -> None:
    model = open_model("dense")
    stream = model.stream()
    model.close()
    model.close()
    assert model.closed
    assert model.inputs[0].name == "image"
    for call in (
        lambda: model(ROW),
        lambda: model.run({"image": ROW}),
        model.reset,
        model.self_test,
        lambda: stream.feed(ROW[0]),
    ):
        with pytest.raises(ClosedError, match="closed; load it again"):
            call()


FORK = """
import os, sys
import numpy as np
import edgekit
from edgekit.errors import ClosedError

row = np.array([[1.0, 2.0]], np.float32)
options = {"backend": sys.argv[2], "instances": int(sys.argv[3]), "threads": 2}
model = edgekit.load(sys.argv[1], **options)
wanted = model(row)
child = os.fork()
if child == 0:
    try:
        model(row)
    except ClosedError as error:
        print(error, flush=True)
        with edgekit.load(sys.argv[1], **options) as own:
            os._exit(0 if np.array_equal(own(row), wanted) else 3)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert np.array_equal(model(row), wanted)
model.close()
print("parent fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("instances", [1, 2])
def test_after_a_fork_the_child_is_told_and_the_parent_works_on(
    find: Find, backend: str, instances: int, is_emulated: bool
) -> None:
    if is_emulated:
        pytest.skip("QEMU itself fails now and then when a process with threads forks")
    done = subprocess.run(
        [sys.executable, "-c", FORK, find("dense").path, backend, str(instances)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told, parent = done.stdout.splitlines()
    assert "forked" in told
    assert "load it again" in told
    assert parent == "parent fine"
