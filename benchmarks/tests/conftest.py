"""Tiny models, shared with the toolkit's tests, a made-up board, and a device to log in to."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
Build = Callable[..., Path]


@cache
def _module(path: Path) -> Any:
    """Test folders are no packages, hence this."""
    name = f"{path.parents[1].name}_{path.stem}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def make_board(tmp_path: Path) -> Callable[..., Any]:
    """Makes a `board_tree.Board`; parameters as of `board_tree.make_board`."""
    make = _module(HERE / "board_tree.py").make_board
    return lambda **options: make(tmp_path / "board", **options)


@pytest.fixture
def start_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Starts an `sshd.Device`, with its parameters, which our ssh knows, and which ends with us."""
    sshd = _module(HERE / "sshd.py")
    if sshd.SERVER is None:
        pytest.skip(sshd.MISSING)
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> Any:
            device = sshd.Device(tmp_path / "device", **options)
            monkeypatch.setenv("EDGEKIT_SSH", device.client)
            return stack.enter_context(device)

        yield start


@pytest.fixture
def device(start_device: Callable[..., Any]) -> Any:
    """An `sshd.Device` without peculiarities."""
    return start_device()


@pytest.fixture(scope="session")
def start_ssh_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Starts an `ssh_board.SshBoard`, with its parameters, which ends with us at the latest."""
    made = _module(HERE / "ssh_board.py").SshBoard
    if os.getuid() != 0:
        pytest.skip("a board to log in to takes root")
    with contextlib.ExitStack() as stack:

        def start(name: str, *options: str) -> Any:
            board = made(tmp_path_factory.mktemp(name), name, *options)
            stack.callback(board.stop)
            try:
                board.start()
            except RuntimeError as error:
                if re.search("not installed|are missing|not allowed", str(error)):
                    pytest.skip(str(error))
                raise
            return board

        yield start


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    if os.getuid() != 0:
        pytest.skip("mounting a small file system takes root")
    folder = tmp_path / "small"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def tiny_tflite(tmp_path: Path) -> Build:
    """Writes ``scores = image @ weights`` for two numbers and returns the path."""
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    make = _module(HERE.parents[1] / "toolkit/tests/conftest.py").dense_tflite
    return lambda name="tiny.tflite", **options: make(tmp_path / name, **options)


@pytest.fixture
def tiny_onnx(tmp_path: Path) -> Build:
    """The same as ONNX."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    make = _module(HERE.parents[1] / "toolkit/tests/conftest.py").dense_onnx
    return lambda name="tiny.onnx", **options: make(tmp_path / name, **options)


@pytest.fixture
def dense_chain(tmp_path: Path) -> Build:
    """Writes dense layers of these sizes as ``tflite`` or ``onnx``; see `dense_chain.py`."""
    make = _module(HERE / "dense_chain.py").dense_chain
    needed = {"tflite": "ai_edge_litert", "onnx": "onnx"}

    def build(kind: str, sizes: Any, **options: Any) -> Path:
        pytest.importorskip(needed[kind], reason=f"{needed[kind]} is not installed")
        return make(tmp_path / f"chain.{kind}", sizes, **options)

    return build
