"""Look into Keras HDF5 files; served by a child process, since libhdf5 trusts what it reads."""

from __future__ import annotations

import io
import mmap
from pathlib import Path
from typing import Any

from edgekit._lazy import need
from edgekit.errors import SourceError

_STATE = ("optimizer", "optimizer_weights", "metrics", "compile_metrics", "loss_tracker")
"""Top-level groups that belong to training, not to the model."""
_LONGEST_CONFIG = 32 << 20
PRUNED_ATTRIBUTE = "edgekit_pruned"
"""How edgekit pruned a model, within its `.h5` file; Keras ignores it."""


class _Window(io.RawIOBase):
    """A part of a file, as a file: how an uncompressed zip member is read without a copy."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._view)}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        part = self._view[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


def attributes(path: str) -> dict[str, str | None]:
    """The root attributes of a whole-model .h5: ``model_config``, ``keras_version``, ``backend``.

    Also ``edgekit_pruned``, of a file that `edgekit prune` made.

    Raises:
        SourceError: not readable as HDF5, or without ``model_config``.
    """
    h5py = need("h5py", extra="convert")
    try:
        with h5py.File(path, "r") as file:
            found = {
                name: _text(file.attrs[name]) if name in file.attrs else None
                for name in ("model_config", "keras_version", "backend", PRUNED_ATTRIBUTE)
            }
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise _damaged(path, error) from None
    if found["model_config"] is None:
        message = (
            f"{path}: an HDF5 file without a model in it (weights only: no model_config); "
            "save the whole model with model.save('model.keras')"
        )
        raise SourceError(message)
    return found


def parameters(path: str, offset: int = 0, length: int | None = None) -> int:
    """Count the numbers in all weights of the HDF5 file that is `length` bytes of `path`.

    Raises:
        SourceError: not readable as HDF5.
    """
    h5py = need("h5py", extra="convert")
    try:
        with (
            Path(path).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole,
            memoryview(whole) as view,
            view[offset : None if length is None else offset + length] as part,
            h5py.File(io.BufferedReader(_Window(part)), "r") as weights,
        ):
            total = 0

            def count(name: str, item: Any) -> None:
                nonlocal total
                parts = name.split("/")
                if isinstance(item, h5py.Dataset) and parts[0] not in _STATE:
                    total += int(item.size or 0) if "seed_generator" not in name else 0

            weights.visititems(count)
            return total
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise _damaged(path, error) from None


def _text(value: Any) -> str:
    found = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return found[:_LONGEST_CONFIG]


def _damaged(path: str, error: Exception) -> SourceError:
    told = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return SourceError(f"{path}: the HDF5 data is damaged ({told}); save or copy the model again")
