from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit import seal
from edgekit.errors import SourceError
from edgekit_benchmarks.model_file import read_model_file

Build = Callable[..., Path]


def test_a_file_that_is_not_what_it_was_when_sealed_is_refused(tiny_tflite: Build) -> None:
    path = tiny_tflite()
    path.write_bytes(path.read_bytes() + b'{"seal":"' + seal.PLACEHOLDER.encode() + b'"}0')
    seal.seal(path)
    assert read_model_file(path).kind == "tflite"
    path.write_bytes(path.read_bytes()[:-1] + b"1")
    with pytest.raises(SourceError, match=rf"^{path.name}: damaged: it is not what it was when"):
        read_model_file(path)
