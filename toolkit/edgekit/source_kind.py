"""What kind of model a path holds, judged by its content, not by its name."""

from __future__ import annotations

import os
import stat
from typing import Literal, get_args

from edgekit.errors import SourceError
from edgekit.mapped_file import map_file, unreadable

AnyPath = str | os.PathLike[str]
SourceKind = Literal["keras", "h5", "savedmodel", "tflite", "onnx"]
SOURCE_KINDS: tuple[SourceKind, ...] = get_args(SourceKind)

READABLE = "a .keras, .h5, .tflite or .onnx file, or a SavedModel folder"
"""What messages ask for."""
_HEAD_BYTES = 4096
_CHUNK_BYTES = 1 << 20
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_ZIP_MAGIC = b"PK\x03\x04"
_FULL_MODEL = "save the whole model with model.save('model.keras')"
_TORCH = (
    "a PyTorch file, which edgekit does not read; "
    "export it with torch.onnx.export and give the .onnx file"
)
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs.github.com/spec/",
        "a git-lfs pointer, the model itself is not here; run: git lfs pull",
    ),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", _TORCH),
    (b"\x1f\x8b", "gzip-compressed; unpack it and give what is inside"),
    (b"\xfd7zXZ\0", "xz-compressed; unpack it and give what is inside"),
    (b"\x93NUMPY", "a NumPy array, not a model; give " + READABLE),
    (b"<!DOCTYPE", "a web page, not a model: the download went wrong; download it again"),
    (b"<!doctype", "a web page, not a model: the download went wrong; download it again"),
    (b"<html", "a web page, not a model: the download went wrong; download it again"),
    (b"PK\x05\x06", "an empty zip archive; " + _FULL_MODEL),
)


def sniff(path: AnyPath) -> SourceKind:
    """Say which kind of model is at `path`, from its first bytes and its structure.

    Nothing is imported, unpacked or executed; a bad file is told apart as far as bytes can tell.

    Raises:
        SourceError: there is no file, it may not be read, or it is no model edgekit reads.
    """
    if not os.fspath(path):
        raise _refused(repr(path), f"an empty path; give {READABLE}")
    try:
        status = os.stat(path)  # noqa: PTH116 - importing pathlib takes longer than a small model
        if stat.S_ISDIR(status.st_mode):
            return _sniff_folder(path)
        if not stat.S_ISREG(status.st_mode):
            raise _refused(path, f"not a regular file; give {READABLE}")
        with open(path, "rb") as file:  # noqa: PTH123
            if file.read(8)[4:] == b"TFL3":
                return "tflite"
        return _sniff_file(path, map_file(path))
    except OSError as error:
        raise unreadable(path, error) from None
    except ValueError as error:  # an embedded NUL in the path; a file that shrinks meanwhile
        raise _refused(repr(str(path)), f"cannot be read ({error}); check the path") from None


def sniff_bytes(content: bytes, name: str) -> SourceKind:
    """Say which kind of model `content` is; `name` is for messages.

    Raises:
        SourceError: it is neither TFLite nor ONNX, or empty.
    """
    if not content:
        raise _refused(name, "no bytes at all; read the file again")
    if content[4:8] == b"TFL3":
        return "tflite"
    if content.startswith((_ZIP_MAGIC, _HDF5_MAGIC)):
        raise _refused(name, "neither TFLite nor ONNX; run: edgekit convert")
    return _sniff_file(name, memoryview(content))


def _refused(path: AnyPath, told: str) -> SourceError:
    return SourceError(f"{path}: {told}")


def _sniff_folder(path: AnyPath) -> SourceKind:
    from pathlib import Path

    path = Path(path)
    names = sorted(inside.name for inside in path.iterdir())
    if "saved_model.pb" in names:
        return "savedmodel"
    versions = [name for name in names if (path / name / "saved_model.pb").is_file()]
    if versions:
        hint = f"did you mean {path / versions[-1]}?"
    elif {"config.json", "metadata.json"} <= set(names):
        hint = "this looks like an unpacked .keras file: give the .keras file itself"
    else:
        hint = f"give {READABLE}"
    what = "an empty path, or the working folder," if str(path) == "." else "a folder"
    raise _refused(path, f"{what} without saved_model.pb; {hint}")


def _sniff_file(path: AnyPath, view: memoryview) -> SourceKind:
    head = bytes(view[:_HEAD_BYTES])
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.startswith(_ZIP_MAGIC):
        return _sniff_zip(path)
    for offset in (0, 512, 1024, 2048):  # HDF5 allows a user block before its own
        if head[offset : offset + 8] == _HDF5_MAGIC:
            return _sniff_hdf5(path, view, offset)
    for magic, told in _FOREIGN:
        if head.startswith(magic):
            raise _refused(path, told)
    if head[0] == 0x80 and head[1:2] <= b"\x05":
        told = "a Python pickle, which is never opened: it could run any code"
        raise _refused(path, f"{told}; {_FULL_MODEL}")
    if not any(view[: min(len(view), 65536)]):
        told = "holds nothing but zeros: the copy went wrong; copy it again"
        raise _refused(path, told)
    if _is_text(head):
        raise _refused(path, _about_text(head))
    return _sniff_protobuf(path, view)


def _sniff_zip(path: AnyPath) -> SourceKind:
    import zipfile  # here, because it costs more to import than a small file to inspect

    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError):
        told = "the zip archive is truncated or damaged"
        raise _refused(path, f"{told}; save or copy the model again") from None
    if {"config.json", "metadata.json"} <= names:
        return "keras"
    last = {name.rpartition("/")[2] for name in names}
    if "data.pkl" in last:
        raise _refused(path, _TORCH)
    if names and all(name.endswith(".npy") for name in names):
        raise _refused(path, f"a NumPy archive, not a model; give {READABLE}")
    if "saved_model.pb" in last:
        raise _refused(path, "a zipped SavedModel; unpack it and give the folder")
    told = "a zip archive without config.json and metadata.json, so not a .keras file"
    raise _refused(path, f"{told}; {_FULL_MODEL}")


def _sniff_hdf5(path: AnyPath, view: memoryview, base: int) -> SourceKind:
    if len(view) < base + 64:
        raise _refused(path, "the HDF5 file is truncated; save or copy the model again")
    version = view[base + 8]
    width_at, end_at = (base + 13, base + 40) if version < 2 else (base + 9, base + 28)
    if version == 1:
        end_at += 4
    width = view[width_at]
    if width == 8:
        end = base + int.from_bytes(view[end_at : end_at + 8], "little")
        if len(view) < end:
            told = f"the HDF5 file is truncated: {len(view)} of {end} bytes are here"
            raise _refused(path, f"{told}; save or copy the model again")
    if not _contains(path, b"model_config"):
        told = "an HDF5 file without a model in it (weights only: no model_config)"
        raise _refused(path, f"{told}; {_FULL_MODEL}")
    return "h5"


def _contains(path: AnyPath, wanted: bytes) -> bool:
    """Whether a file has these bytes; read in parts, since a mapping would count as memory."""
    tail = b""
    with open(path, "rb") as file:  # noqa: PTH123
        while part := file.read(_CHUNK_BYTES):
            if wanted in tail + part:
                return True
            tail = part[-len(wanted) :]
    return False


def _sniff_protobuf(path: AnyPath, view: memoryview) -> SourceKind:
    """ONNX has no magic number: its fields must be a ModelProto's, with a version and a graph."""
    from edgekit import protobuf

    wire_types = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
    seen: set[int] = set()
    found: str | None = None
    try:
        for number, wire_type, _, _ in protobuf.fields(view):
            if wire_types.get(number) != wire_type:
                break
            seen.add(number)
        else:
            found = "onnx" if {1, 7} <= seen else None
    except protobuf.WireError as error:
        if 1 in seen:
            found = f"the ONNX file is truncated or damaged ({error})"
    if found == "onnx":
        return "onnx"
    if found:
        raise _refused(path, f"{found}; export or copy the model again")
    from pathlib import Path

    path = Path(path)
    if path.name in {"saved_model.pb", "keras_metadata.pb"}:
        told = f"a part of a SavedModel; give its folder: {path.parent}"
        raise _refused(path, told)
    if path.suffix == ".pb":
        told = "a .pb file that is not ONNX (a frozen TensorFlow graph?)"
        raise _refused(path, f"{told}; give a SavedModel folder instead")
    raise _refused(path, f"no model that edgekit knows; give {READABLE}")


def _is_text(head: bytes) -> bool:
    try:
        shown = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return False
        shown = head[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\r\n\t\f\ufeff" for letter in shown)


def _about_text(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"{") and (b'"class_name"' in head or b'"modelTopology"' in head):
        return f"JSON that describes layers, without their weights; {_FULL_MODEL}"
    shown = start[:40].decode("utf-8", "replace").splitlines()
    begins = f", beginning {shown[0]!r}" if shown else ""
    return f"a text file{begins}, not a model; give {READABLE}"
