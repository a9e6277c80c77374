"""Calls of all kinds in any order: none leaves anything behind for the next."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import DataError

Open = Callable[..., edgekit.Model]
Find = Callable[[str], Any]
WEIGHTS = np.array([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]], np.float32)
KINDS = ("float32", "float64", "float16", "int64", "uint8", "list", "strided", "big-endian")


def _as(kind: str, values: Any) -> Any:
    if kind == "list":
        return values.tolist()
    if kind == "strided":
        return np.repeat(values, 2, axis=1)[:, ::2]
    if kind == "big-endian":
        return values.astype(">f4")
    return values.astype(kind)


@pytest.mark.parametrize("name", ["dense", "dense.batch-4", "dense.batch-free"])
def test_dtypes_batches_out_and_errors_in_any_order(open_model: Open, name: str) -> None:
    model = open_model(name)
    random = np.random.default_rng(11)
    for _ in range(400):
        count = int(random.choice([1, 1, 1, 4, 4, 2, 7]))
        rows = random.integers(0, 9, (count, 2))
        wanted = rows.astype(np.float32) @ WEIGHTS
        way = random.integers(0, 10)
        given = _as(str(random.choice(KINDS)), rows)
        if way == 0:
            with pytest.raises(DataError):
                model(np.zeros((count, 3), np.float32))
        elif way == 1:
            with pytest.raises(DataError):
                model(given, out=np.zeros((count + 1, 3), np.float32))
        elif way < 5:
            out = np.full((count, 3), 99, np.float32)
            assert model(given, out=out) is out
            np.testing.assert_allclose(out, wanted, rtol=1e-5)
        elif way < 7:
            np.testing.assert_allclose(model.run({"image": given})["scores"], wanted, rtol=1e-5)
        else:
            np.testing.assert_allclose(model(given), wanted, rtol=1e-5)


def test_stored_and_real_numbers_take_turns(open_model: Open) -> None:
    model = open_model("echo.int8")
    random = np.random.default_rng(12)
    scale = np.float32(0.1)
    for _ in range(200):
        stored = random.integers(-128, 128, (1, 4), np.int8)
        real = (stored.astype(np.float32) + np.float32(3)) * scale
        kind = random.integers(0, 4)
        given = (stored, real, real.astype(np.float64), real.tolist())[kind]
        np.testing.assert_array_equal(model(given), real)


def test_several_models_do_not_disturb_each_other(open_model: Open) -> None:
    models = [open_model(name) for name in ("dense", "dense.doubled", "dense", "dense.batch-free")]
    factors = (1, 2, 1, 1)
    random = np.random.default_rng(13)
    for _ in range(100):
        row = random.normal(size=(1, 2)).astype(np.float32)
        given = [model(row) for model in models]
        for result, factor in zip(given, factors, strict=True):
            np.testing.assert_allclose(result, factor * (row @ WEIGHTS), rtol=1e-5, atol=1e-6)
    models[0].close()
    np.testing.assert_array_equal(models[2](row), given[2])


LEAK = """
import sys
from pathlib import Path
import numpy as np
import edgekit

def resident_kb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

image = np.zeros((1, 28, 28, 1), np.float32)
other = np.zeros((3, 28, 28, 1), np.float32)
model = edgekit.load(sys.argv[1], backend=sys.argv[2])
for number in range(150):
    if number == 50:
        begun = resident_kb()
    model(image), model(other)
    model.swap(sys.argv[1])
    with edgekit.load(sys.argv[1], backend=sys.argv[2], instances=2) as short:
        short(image)
    for bad in (np.zeros((1, 28, 28, 2)), "text"):
        try:
            model(bad)
        except edgekit.DataError:
            pass
print(resident_kb() - begun)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_loading_swapping_and_closing_leak_no_memory(find: Find, backend: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAK, find("fashion.int8").path, backend],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    files_kb = 100 * 3 * find("fashion.int8").path.stat().st_size / 1024
    assert int(done.stdout) < files_kb / 4, done.stdout
