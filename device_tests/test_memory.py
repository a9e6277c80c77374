"""How much memory a model takes, beyond what Python and the runtime take anyway."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Find = Callable[[str], Any]
STATUS = Path("/proc/self/status")
CEILING_MB = {"litert": 32, "tflite-runtime": 32, "onnxruntime": 96}
"""For a MobileNet with weights of 8 bits, a file of 4.4 MB; twice what was measured in the first
two, and half as much again in the third, which keeps more between its layers. The emulator of a
board takes memory too, for the code that it translates: what fits there fits on the board."""
RUN = """
import sys
from pathlib import Path
import numpy as np
import edgekit

model = edgekit.load(sys.argv[1], backend=sys.argv[2])
image = np.zeros([size or 1 for size in model.inputs[0].shape], np.float32)
for _ in range(2):
    model(image)
lines = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")))
"""

pytestmark = [
    pytest.mark.board,
    pytest.mark.skipif(
        not STATUS.exists() or "VmHWM" not in STATUS.read_text(),
        reason="this system does not tell the peak of a process's memory (/proc/self/status)",
    ),
]


def _peak_mb(path: Path, backend: str) -> float:
    """Of a process that loads a model and runs it."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, path, backend],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return int(done.stdout) * 1024 / 1e6


def test_a_mobilenet_stays_below_its_ceiling(find: Find, backend: str) -> None:
    tiny = _peak_mb(find("dense").path, backend)
    taken = _peak_mb(find("mobilenet").path, backend) - tiny
    assert taken < CEILING_MB[backend], f"{taken:.1f} MB over {tiny:.1f} MB of a tiny model"
