"""A file's bytes without a copy of them: pages come and go as they are looked at."""

from __future__ import annotations

import os

from edgekit.errors import SourceError


def map_file(path: str | os.PathLike[str]) -> memoryview:
    """The content of `path`, read-only. The mapping ends with the last view of it.

    Raises:
        SourceError: missing, unreadable or empty.
    """
    import mmap  # like `pathlib`, not at the top: loading a small model is done in milliseconds

    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError:
        message = f"{path}: the file is empty; save or copy the model again"
        raise SourceError(message) from None


def file_name(path: str | os.PathLike[str]) -> str:
    """The last part of `path`, without importing `pathlib`."""
    return os.path.basename(path)  # noqa: PTH119


def release(view: memoryview) -> None:
    """Give back the memory of the pages looked at so far; they are read again when needed.

    Nothing happens where `view` is no mapped file, or the system cannot do it.
    """
    import mmap

    mapping = view.obj
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def unreadable(path: str | os.PathLike[str], error: OSError) -> SourceError:
    """The SourceError for a path that the system would not let us read."""
    return SourceError(f"{path}: {why_unreadable(path, error)}")


def why_unreadable(path: str | os.PathLike[str], error: OSError) -> str:
    """What is wrong with a path that the system would not let us read, and what to do."""
    if isinstance(error, FileNotFoundError):
        return "no such file or folder; check the path"
    if isinstance(error, NotADirectoryError):
        return "a part of this path is a file, not a folder; check the path"
    if isinstance(error, IsADirectoryError):
        return "a folder, not a file; check the path"
    if isinstance(error, PermissionError):
        return f"permission denied; make it readable: chmod u+r {path}"
    return f"cannot be read ({error.strerror or error}); check the path"
