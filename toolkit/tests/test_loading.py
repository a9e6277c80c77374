import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import edgekit
from edgekit.errors import SourceError

Build = Callable[..., Path]
SLOW = (
    "PIL",
    "asyncio",
    "concurrent.futures",
    "dataclasses",
    "hashlib",
    "importlib.metadata",
    "logging",
    "pathlib",
    "subprocess",
    "tempfile",
    "threading",
    "traceback",
    "zipfile",
)
"""Each takes longer to import than a small model to load. All of edgekit's share of a start is
to stay below a twentieth of what NumPy and the runtime take."""
PROGRAM = """
import sys
import numpy
import {runtime}
before = set(sys.modules)
import edgekit
model = edgekit.load(sys.argv[1])
model(numpy.zeros((1, 2), numpy.float32))
print(*sorted(set(sys.modules) - before))
"""


def imported(path: Path, runtime: str) -> set[str]:
    """What is imported to load `path` and run it once, besides NumPy and the runtime."""
    command = [sys.executable, "-c", PROGRAM.format(runtime=runtime), str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.fixture(params=["tflite", "onnx"])
def tiny(request: pytest.FixtureRequest) -> Build:
    build: Build = request.getfixturevalue(f"tiny_{request.param}")
    return build


def test_loading_a_tflite_file_imports_nothing_slow(tiny_tflite: Build, sealed: Build) -> None:
    found = imported(sealed(tiny_tflite()), "ai_edge_litert.interpreter")
    assert found & {*SLOW, "json"} == set()
    assert found & {"edgekit.preprocess", "edgekit.sessions.onnxruntime", "edgekit.state"} == set()


def test_loading_an_onnx_file_imports_nothing_slow(tiny_onnx: Build, sealed: Build) -> None:
    found = imported(sealed(tiny_onnx()), "onnxruntime")
    assert found & {*SLOW, "edgekit.preprocess", "edgekit.sessions.litert"} == set()


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_collected_behind_it_as_before(tiny: Build, collects: bool) -> None:
    was = gc.isenabled()
    try:
        (gc.enable if collects else gc.disable)()
        with edgekit.load(tiny()):
            assert gc.isenabled() is collects
        with pytest.raises(SourceError):
            edgekit.load(b"no model")
        assert gc.isenabled() is collects
    finally:
        (gc.enable if was else gc.disable)()
