"""A program for a device as one file: a module of ours, with the worker that it is built on."""

from __future__ import annotations

import io
import zipfile

from edgekit_benchmarks.worker_file import FOLDER

_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def program_bytes(module: str) -> bytes:
    """One file that any Python from 3.9 runs: ``python3 FILE agent``.

    Args:
        module: of this package; its function ``main`` is called with the file's path.
    """
    package = FOLDER.parent
    main = f"import sys\nfrom edgekit_benchmarks.{module} import main\nmain(sys.argv[0])\n"
    files = [package / "__init__.py", package / f"{module}.py", *FOLDER.glob("*.py")]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py", _LONG_AGO), main)
        for file in sorted(files):
            name = file.relative_to(package.parent).as_posix()
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()
