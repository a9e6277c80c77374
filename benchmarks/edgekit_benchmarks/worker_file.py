"""The worker as one file: what is copied to a device, and its name in results."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path

from edgekit_benchmarks.device_worker.agent import fingerprint

FOLDER = Path(__file__).with_name("device_worker")
"""The worker's sources; Python runs the folder as it stands."""
NAME = "edgekit-worker.pyz"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


@cache
def worker_bytes() -> bytes:
    """One file that any Python from 3.9 runs: ``python3 edgekit-worker.pyz agent``.

    The same sources give the same bytes.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(FOLDER.glob("*.py")):
            entry = zipfile.ZipInfo(path.name, _LONG_AGO)
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


@cache
def worker_sha256() -> str:
    """What an agent of this version says in its greeting."""
    return fingerprint(str(FOLDER))
