"""Does this device run models at all? Run it there: ``pytest device_tests``."""

import pytest

from edgekit.doctor import RUNTIMES, try_runtime
from edgekit.requirement import installed_version

PACKAGES = {
    "litert": "ai-edge-litert",
    "tflite-runtime": "tflite-runtime",
    "onnxruntime": "onnxruntime",
}


@pytest.mark.board
def test_a_runtime_is_installed() -> None:
    installed = [name for name in RUNTIMES if installed_version(name) is not None]
    assert installed, f"none of {', '.join(RUNTIMES)}; edgekit doctor tells how to add one"


@pytest.mark.board
def test_an_installed_runtime_runs_a_model(backend: str) -> None:
    check = try_runtime(PACKAGES[backend])
    assert check.works, check.reason
