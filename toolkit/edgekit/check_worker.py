"""Run and check model files; served in a child process that never imports TensorFlow.

What is checked here sees what the device will see: the file, its runtime, and nothing else. Arrays
come and go as .npz files; the samples of an input have shape ``(n, *input shape, batch included)``.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import golden_record
from edgekit import seal as seals
from edgekit.child_main import tell
from edgekit.compare import compare
from edgekit.errors import DataError, VerificationError
from edgekit.golden import self_test
from edgekit.mapped_file import map_file
from edgekit.recipe import Precision
from edgekit.sessions import Session, open_session

_CHUNK_BYTES = 1 << 20
_GZIP_FRAME_BYTES = 18
_RELOADED = 2
"""So many samples are run again when a file was loaded a second time."""


def verify(
    path: str, samples: str, reference: str, keep: str | None = None, threads: int = 1
) -> dict[str, Any]:
    """Load the file, run it on `samples`, and compare with what the original gave.

    Args:
        path: the .tflite or .onnx file.
        samples: .npz, an array for each input, shape ``(n, *input shape)``.
        reference: .npz, an array for each output, shape ``(n, *output shape)``.
        keep: where to write the outputs of the first samples, for `reload`.
        threads: for the runtime.

    Returns:
        `Comparison.to_dict()`, with ``size_bytes``, ``gzip_bytes`` and ``sha256`` of the file.

    Raises:
        SourceError: the file is damaged.
        VerificationError: the runtime refuses the file or fails.
        DataError: the samples do not fit the file's inputs.
    """
    outputs = outputs_of(path, samples, threads=threads)
    comparison = compare(merge_batch(_arrays(reference)), merge_batch(outputs))
    if keep is not None:
        save_arrays(keep, {name: array[:_RELOADED] for name, array in outputs.items()})
    _assert_no_tensorflow()
    return {**comparison.to_dict(), **weigh(path)}


def compare_files(outputs: str, reference: str) -> dict[str, Any]:
    """Compare two .npz of outputs, shape ``(n, *output shape)``: `Comparison.to_dict()`."""
    return compare(merge_batch(_arrays(reference)), merge_batch(_arrays(outputs))).to_dict()


def not_finite(path: str) -> dict[str, int]:
    """How many rows of each array of an .npz, shape ``(n, …)``, hold NaN or infinity."""
    rows = {
        name: int((~np.isfinite(array.reshape(len(array), -1))).any(axis=1).sum())
        for name, array in _arrays(path).items()
        if array.dtype.kind == "f"
    }
    return {name: count for name, count in rows.items() if count}


def outputs_of(path: str, samples: str, *, threads: int = 1) -> dict[str, NDArray[Any]]:
    """Load the file and run it on each sample: outputs of shape ``(n, *output shape)``.

    Raises:
        SourceError: the file is damaged.
        VerificationError: the runtime refuses the file or fails.
        DataError: the samples do not fit the file's inputs.
    """
    with open_session(path, threads=threads) as session:
        return _run_each(session, _arrays(samples))


def run(path: str, samples: str, out: str, threads: int = 1) -> dict[str, Any]:
    """Run the file on `samples` and write its outputs, as real numbers, to the .npz `out`.

    Returns:
        ``inputs`` and ``outputs``: `TensorSpec.to_dict()` of each.

    Raises:
        SourceError: the file is damaged.
        VerificationError: the runtime refuses the file or fails.
        DataError: the samples do not fit the file's inputs.
    """
    with open_session(path, threads=threads) as session:
        outputs = _run_each(session, _arrays(samples))
        specs = {
            "inputs": [spec.to_dict() for spec in session.inputs],
            "outputs": [spec.to_dict() for spec in session.outputs],
        }
    save_arrays(out, outputs)
    _assert_no_tensorflow()
    return specs


def reload(path: str, samples: str, expected_outputs: str, threads: int = 1) -> dict[str, Any]:
    """Load the file once more, as it will be: no bit of its outputs may differ.

    The first samples are run again, as many as there are expected outputs: what `verify` kept. So
    are its golden cases, and its seal is looked at.

    Returns:
        ``size_bytes``, ``gzip_bytes`` and ``sha256`` of the file.

    Raises:
        SourceError: the file is damaged.
        VerificationError: it does not load, or an output differs, or a golden case does.
    """
    expected = _arrays(expected_outputs)
    count = min(len(array) for array in expected.values())
    given = {name: array[:count] for name, array in _arrays(samples).items()}
    seals.check(map_file(Path(path)), Path(path).name)
    with open_session(path, threads=threads) as session:
        outputs = _run_each(session, given)
        self_test(session, Path(path).name)
    for name, array in expected.items():
        if not _is_same(array, outputs.get(name)):
            message = (
                f"{Path(path).name}: output {name!r} changed when the manifest was embedded, "
                f"{_difference(array, outputs.get(name))}; report this as a bug"
            )
            raise VerificationError(message)
    _assert_no_tensorflow()
    return weigh(path)


def golden(
    path: str, samples: str, precision: Precision, other_kernels: bool = True
) -> dict[str, Any] | None:
    """Make golden cases out of some of the samples; see `edgekit.golden_record.record`.

    Raises:
        SourceError: the file is damaged.
        VerificationError: the runtime refuses the file or fails.
        DataError: the samples do not fit the file's inputs.
    """
    made = golden_record.record(
        Path(path), _arrays(samples), precision, other_kernels=other_kernels
    )
    _assert_no_tensorflow()
    return made


def seal(path: str) -> str:
    """Fill in the seal of a file; the SHA-256 in it. See `edgekit.seal.seal`.

    Raises:
        SourceError: the file cannot be read, or does not hold exactly one seal.
        OutputError: the file cannot be written.
    """
    return seals.seal(path)


def weigh(path: str) -> dict[str, Any]:
    """Bytes on disk, bytes after gzip (level 6), and SHA-256 of a file.

    A folder weighs what its files do; its SHA-256 is over their names and SHA-256, sorted.
    """
    files = _files(Path(path))
    return {
        "size_bytes": sum(file.stat().st_size for file in files),
        "gzip_bytes": sum(_gzip_bytes(file) for file in files),
        "sha256": sha256(path),
    }


def sha256(path: str) -> str:
    """SHA-256 of a file; of a folder, over the names and SHA-256 of its files, sorted."""
    root = Path(path)
    if not root.is_dir():
        with root.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in _files(root):
        digest.update(f"{file.relative_to(root).as_posix()} {sha256(str(file))}\n".encode())
    return digest.hexdigest()


def _is_same(expected: NDArray[Any], given: NDArray[Any] | None) -> bool:
    return (
        given is not None
        and given.dtype == expected.dtype
        and given.tobytes() == expected.tobytes()
    )


def _difference(expected: NDArray[Any], given: NDArray[Any] | None) -> str:
    if given is None or given.dtype != expected.dtype or given.shape != expected.shape:
        return "and is of another kind"
    if expected.dtype.kind not in "fiu":
        return "and holds something else"
    most = np.abs(given.astype(np.float64) - expected.astype(np.float64)).max(initial=0)
    return f"by up to {most:.3g}"


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _gzip_bytes(path: Path) -> int:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = _GZIP_FRAME_BYTES
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            packed += len(packer.compress(chunk))
    return packed + len(packer.flush())


def save_arrays(path: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an .npz that `numpy.load` reads; names may be anything, ``file`` too."""
    with zipfile.ZipFile(path, "w") as archive:  # numpy.savez has parameters of its own
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def _arrays(path: str) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _run_each(session: Session, samples: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Outputs stacked on a new first axis, a run for each sample."""
    if len(samples) == len(session.inputs) == 1:  # a single input needs no name
        samples = {session.inputs[0].name: next(iter(samples.values()))}
    counts = {len(array) for array in samples.values()}
    if len(counts) != 1 or 0 in counts:
        message = f"samples: {sorted(counts)} of the inputs; each input needs as many, at least one"
        raise DataError(message)
    quantized = {spec.name for spec in session.inputs if spec.quantization}
    rows: list[dict[str, NDArray[Any]]] = []
    count = counts.pop()
    for index in range(count):
        tell(f"sample {index + 1} of {count}")
        row = {
            # Samples are real numbers; only ids and other integers go in as they are.
            name: array[index].astype(np.float32) if name in quantized else array[index]
            for name, array in samples.items()
        }
        rows.append(session.run_real(row))
    try:
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    except ValueError:
        message = "outputs: their shape depends on the values; such a model cannot be compared"
        raise VerificationError(message) from None


def merge_batch(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """(n, batch, …) to (n * batch, …): every row of every sample is compared."""
    return {
        name: array.reshape(-1, *array.shape[2:]) if array.ndim >= 2 else array
        for name, array in arrays.items()
    }


def _assert_no_tensorflow() -> None:
    assert "tensorflow" not in sys.modules, "the checking process must not import TensorFlow"
