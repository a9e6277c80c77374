import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit import large_bytes, reading
from edgekit.errors import SourceError
from edgekit.reading import Reading

Build = Callable[..., Path]
LARGE = np.ones((2, 150_000), np.float32)


@pytest.fixture(params=["small", "large"])
def path(request: pytest.FixtureRequest, tiny_tflite: Build, sealed: Build) -> Path:
    return sealed(tiny_tflite(weights=LARGE) if request.param == "large" else tiny_tflite())


def test_what_was_read_is_the_file(path: Path) -> None:
    read = Reading(path)
    assert (read.kind, read.name, read.is_sealed) == ("tflite", path.name, True)
    assert read.content == path.read_bytes()


def test_bytes_are_taken_as_they_are(path: Path) -> None:
    content = path.read_bytes()
    read = Reading(content)
    assert read.content is content
    assert read.is_sealed


def test_damage_is_told(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match="damaged: it is not what it was when it was sealed"):
        edgekit.load(path)
    with pytest.raises(SourceError, match="damaged: it is not what it was when it was sealed"):
        edgekit.load(bytes(content))


@pytest.mark.parametrize("size", [0, 1, 5000, 1 << 20])
def test_room_for_a_large_file_holds_what_is_written_to_it(size: int) -> None:
    content, place = large_bytes.make(size)
    written = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    place.raw = written
    assert content == written
    assert hash(content) == hash(written)


def test_a_file_that_is_shorter_than_was_told_is_read_as_it_is(path: Path) -> None:
    with path.open("rb") as file:
        assert reading._read(file.fileno(), path.stat().st_size + 3) == path.read_bytes()


def test_a_system_that_gives_a_little_at_a_time_gives_all() -> None:
    content = os.urandom(1 << 20)
    for head in (content, content[: 1 << 18]):  # read in large pages, and as it comes
        out, into = os.pipe()  # which holds 64 KiB
        writer = threading.Thread(target=_write, args=(into, head))
        writer.start()
        assert reading._read(out, len(head)) == head
        writer.join()
        os.close(out)


def test_a_file_that_ends_before_it_should_is_read_as_it_is() -> None:
    content = os.urandom(1 << 20)
    for size in (len(content) + 5, 2 * len(content)):
        out, into = os.pipe()
        writer = threading.Thread(target=_write, args=(into, content))
        writer.start()
        assert reading._read(out, size) == content
        writer.join()
        os.close(out)


def _write(into: int, content: bytes) -> None:
    with open(into, "wb") as file:
        file.write(content)


def test_a_python_without_ctypes_reads_large_files(tmp_path: Path) -> None:
    (path := tmp_path / "large").write_bytes(os.urandom(1 << 20))
    code = (
        "import sys, os; sys.modules['_ctypes'] = None\n"
        "from edgekit import reading; path = sys.argv[1]\n"
        "assert reading._content(path) == open(path, 'rb').read()"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_a_file_larger_than_memory_is_one_line(tmp_path: Path) -> None:
    with (path := tmp_path / "large.tflite").open("wb") as file:
        file.write(b"\x1c\0\0\0TFL3")
        file.truncate(1 << 34)  # of holes
    code = (
        "import sys, resource, edgekit\n"
        "from edgekit.reading import Reading\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 33, 1 << 33))\n"
        "try: Reading(sys.argv[1])\n"
        "except edgekit.SourceError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told == f"{path}: larger than the memory there is; use a smaller model\n"


def test_a_size_beyond_all_addresses_is_too_much_memory() -> None:
    with pytest.raises(MemoryError):
        reading._read(0, sys.maxsize + 1)


def test_what_others_do_with_the_same_function_of_python_stays_theirs() -> None:
    function = ctypes.pythonapi.PyBytes_FromStringAndSize
    before = function.restype, function.argtypes
    large_bytes.make(1 << 20)
    assert (function.restype, function.argtypes) == before


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tflite")
    with pytest.raises(SourceError, match="not a regular file"):
        Reading(tmp_path / "pipe.tflite")


def test_a_file_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        Reading(tmp_path / "nothing.tflite")


def test_an_onnx_file_is_not_held_in_memory(tiny_onnx: Build) -> None:
    read = Reading(tiny_onnx())
    assert (read.kind, read.content, read.is_sealed) == ("onnx", None, False)


def test_a_sealed_file_serves_from_its_manifest(path: Path) -> None:
    with edgekit.load(path) as model:
        assert model.labels == ("a",)
        assert model.preprocess == {}
        assert model.manifest["states"] == []
