"""Make the model files that `device_tests` runs, and print the folder they are in.

Run: .venv/bin/python scripts/make_device_models.py [FOLDER]

Without FOLDER they go into the user's cache, and are made anew only when the code that makes them
has changed. About a minute; copy the folder to a device, and run there:
pytest device_tests --models FOLDER
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
REPOSITORY = SCRIPTS.parent
SOURCES = ("scripts/device_models", "converters/edgekit_converters", "toolkit/edgekit")
PREFIX = "device-models-"
OLD_S = 7 * 24 * 3600
sys.path.insert(0, str(SCRIPTS))


def cached() -> Path:
    """The folder in the user's cache that belongs to the code as it is now."""
    digest = hashlib.sha256()
    for source in SOURCES:
        for file in sorted((REPOSITORY / source).rglob("*.py")):
            digest.update(file.relative_to(REPOSITORY).as_posix().encode())
            digest.update(file.read_bytes())
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "edgekit" / f"{PREFIX}{digest.hexdigest()[:16]}"


def remove_old(folder: Path) -> None:
    """Remove what other versions of the code have left in the cache, after a week."""
    for other in folder.glob(f"{PREFIX}*"):
        if time.time() - other.stat().st_mtime > OLD_S:
            shutil.rmtree(other, ignore_errors=True)


def make(path: Path) -> None:
    """Fill a folder beside `path` and put it in place when it is whole."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    from device_models import dense, echoes, keras_models, memories, modules
    from device_models.index import Folder

    path.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        folder = Folder(work)
        for part in (echoes, dense, memories, modules, keras_models):
            part.make(folder)
        folder.write_index()
        if path.exists():
            shutil.rmtree(path)
        work.chmod(0o755)
        work.rename(path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main() -> None:
    """Make what is missing; only the folder's name goes to stdout."""
    path = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else cached()
    if not (path / "index.json").is_file() or len(sys.argv) > 1:
        print(f"edgekit: making model files in {path}", file=sys.stderr)
        with contextlib.redirect_stdout(sys.stderr):
            make(path)
        if len(sys.argv) == 1:
            remove_old(path.parent)
    print(path)


if __name__ == "__main__":
    main()
