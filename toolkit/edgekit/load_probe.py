"""Load a model file and run it once in a child process, which may die of it.

Checks of the file's structure cannot foresee all that a runtime does with it: an operator of
somebody's own, a loop that never ends. Here only the child pays for that.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.child import Child, Limits
from edgekit.errors import CrashError, DataError, OutputError
from edgekit.mapped_file import file_name
from edgekit.sessions import CPU, Backend, Providers, open_session
from edgekit.tensors import TensorSpec

PROBE_LIMITS = Limits(time_s=120.0)
"""Loading and one inference take seconds even on a small board."""


def probe(
    source: str | os.PathLike[str] | bytes,
    *,
    threads: int = 1,
    backend: Backend = "auto",
    providers: Providers = CPU,
    signature: str | None = None,
    limits: Limits = PROBE_LIMITS,
    name: str | None = None,
) -> None:
    """See in a child process whether a file can be loaded and run, on inputs of zeros.

    Args:
        source: the file, or its content.
        threads: as `open_session`, like the next three.
        backend: the runtime.
        providers: ONNX Runtime's execution providers.
        signature: which of a TFLite file's signatures to run.
        limits: how long the child may take, and how much memory.
        name: what messages call it; the file's name if None.

    Raises:
        CrashError: the child crashed, hung, or used too much memory.
        SourceError: the file is damaged.
        VerificationError: the runtime refuses it, or fails.
        UsageError, MissingDependencyError: as `open_session`.
        OutputError: there is no space for a copy of `source`, where it is bytes.
    """
    shown = name or ("model" if isinstance(source, bytes) else file_name(source))
    with _on_disk(source) as path, Child("edgekit.load_probe", limits=limits) as child:
        try:
            child.call(
                "try_once",
                path=path,
                is_content=isinstance(source, bytes),
                threads=threads,
                backend=backend,
                providers=list(providers),
                signature=signature,
                name=shown,
            )
        except CrashError as error:
            happened = str(error).removeprefix("try_once: ").partition("; ")[0]
            message = (
                f"{shown}: not loaded, since trying it came to a bad end ({happened}); "
                "make or copy the file again, or try another backend"
            )
            raise CrashError(message) from error


def try_once(
    *,
    path: str,
    is_content: bool,
    threads: int,
    backend: Backend,
    providers: list[str | list[Any]],
    signature: str | None,
    name: str,
) -> None:
    """Load the file and run it on zeros; a free dimension is 1. This is the child's side.

    Where `is_content`, the file is opened as bytes, as the parent has it.

    Raises:
        SourceError, VerificationError, UsageError, MissingDependencyError: as `open_session`.
    """
    with open_session(
        Path(path).read_bytes() if is_content else path,
        threads=threads,
        backend=backend,
        providers=[item if isinstance(item, str) else (item[0], item[1]) for item in providers],
        signature=signature,
        name=name,
    ) as session:
        inputs = {spec.name: _zeros(spec) for spec in session.inputs}
        # A free dimension may have to be more than 1; the caller will know.
        with contextlib.suppress(DataError):
            session.run(inputs)


def _zeros(spec: TensorSpec) -> Any:
    import numpy as np

    shape = tuple(1 if size is None else size for size in spec.shape)
    if spec.dtype == "string":
        return np.full(shape, "", object)
    return np.zeros(shape, spec.dtype)


@contextlib.contextmanager
def _on_disk(source: str | os.PathLike[str] | bytes) -> Iterator[str]:
    """Where the child finds the file."""
    if not isinstance(source, bytes):
        yield os.fspath(source)
        return
    try:
        with tempfile.NamedTemporaryFile(prefix="edgekit-") as file:
            file.write(source)
            file.flush()
            yield file.name
    except OSError as error:
        message = f"temporary files: {error.strerror}; free some space, or set TMPDIR elsewhere"
        raise OutputError(message) from error
