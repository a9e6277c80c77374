"""The file of the model that is to be pruned."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

from edgekit import check_worker, keras_file, source_kind
from edgekit.errors import SourceError, UsageError
from edgekit.prune_request import PruneRequest
from edgekit.quote import first_line
from edgekit_converters.keras_source import refuse_code


def original(request: PruneRequest, workspace: Path) -> Path:
    """The model's file; a model in memory is written to one first.

    Raises:
        SourceError: it holds code, or cannot be saved.
    """
    if not is_path(request.source):
        return _saved(request, workspace)
    path = Path(request.source)
    kind = source_kind.sniff(path)
    if kind == "keras":
        refuse_code(str(path), keras_file.read(path), trust=request.trust)
    return path


def digest_of(request: PruneRequest, path: Path) -> str:
    """A digest of the model at `path`: of the file, or of what is in one that was just written.

    Such a file has the time in it, by which a call that resumes would not know its model again.
    """
    if is_path(request.source):
        return check_worker.sha256(str(path))
    digest = hashlib.sha256()
    with zipfile.ZipFile(path) as archive:
        for name in sorted(set(archive.namelist()) - {"metadata.json"}):
            digest.update(name.encode() + archive.read(name))
    return digest.hexdigest()


def _saved(request: PruneRequest, workspace: Path) -> Path:
    from edgekit_converters import keras_source

    model = request.source
    save = getattr(model, "save", None)
    if save is None:
        keras_source.from_object(model)  # says what it is instead
        message = f"{type(model).__name__}: cannot be saved; give a Keras model, or its file"
        raise UsageError(message)
    path = workspace / f"{request.stem.replace('/', '_')}.keras"
    try:
        save(str(path))
    except Exception as error:  # Keras raises whatever the layers raise
        message = f"{request.stem}: cannot be saved: {first_line(error)}; give the file of it"
        raise SourceError(message) from error
    return path


def is_path(source: object) -> bool:
    """Whether it is not a model in memory."""
    return isinstance(source, str | os.PathLike)
