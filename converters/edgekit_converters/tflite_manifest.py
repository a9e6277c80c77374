"""Put the manifest into a TFLite file, as the metadata entry ``edgekit.manifest``.

A FlatBuffer points forward only, so a new root can be written in front of the old file, which
follows byte for byte: tables, weights and their alignment stay, and nothing is held in memory. The
old root and its two lists of offsets are left behind unused.

    offset                                   what
    0    root offset, "TFL3"
    8    a mark, the length of this front    recognised, and cut off, when a manifest is replaced
    24   vtable and table of the new root; its lists of metadata and buffers
         the new metadata entry, its name, the manifest
         padding to a multiple of 16
    …    the old file
"""

from __future__ import annotations

import mmap
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import ConversionError, OutputError, SourceError

NAME = b"edgekit.manifest"
_IDENTIFIER = b"TFL3"
_MARK = b"edgekit\0"
_ALIGNMENT_BYTES = 16
_SIZE_LIMIT_BYTES = 2**31 - 1
_VTABLE_BYTES = 8  # of a buffer (one field, padded) and of a metadata entry (two)
_BUFFER_BYTES = _VTABLE_BYTES + 8
_ENTRY_BYTES = _VTABLE_BYTES + 12
_FIELDS = {
    0: "version",
    1: "operator codes",
    2: "subgraphs",
    3: "description",
    4: "buffers",
    5: "metadata buffer",
    6: "metadata",
    7: "signatures",
}
"""The fields of the root table, by their place in the schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Root:
    """What the root table of a file points to: offsets from the start of the file; 0 is absent."""

    version: int
    targets: tuple[int, ...]
    """By field of `_FIELDS`; the first is not used."""
    buffers: tuple[int, ...]
    metadata: tuple[int, ...]


def embed(path: Path, out: Path, manifest: bytes) -> None:
    """Write the TFLite file `path` to `out` with `manifest` inside, replacing one that is there.

    Everything else stays as it is, and the same arguments give the same bytes. `path` and `out` may
    be the same file.

    Raises:
        SourceError: `path` cannot be read, or is not a TFLite file.
        ConversionError: the file has a form that cannot carry a manifest, or becomes too large.
        OutputError: `out` cannot be written.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size < 8:
                message = f"{path}: not a TFLite file; give a .tflite file"
                raise SourceError(message)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                start = _front_length(data)
                front = _front(data, start, manifest, path)
                if len(front) + len(data) - start > _SIZE_LIMIT_BYTES:
                    message = f"{path}: larger than 2 GB with its manifest; use a smaller precision"
                    raise ConversionError(message)
                _write(out, front, data, start)
    except (struct.error, IndexError, OverflowError) as error:
        message = f"{path}: damaged or cut off; convert it again"
        raise SourceError(message) from error
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}); check the path"
        raise SourceError(message) from error


def _write(out: Path, front: bytes, data: mmap.mmap, start: int) -> None:
    temporary = out.with_name(f"{out.name}.with-manifest")
    try:
        with temporary.open("wb") as file:
            file.write(front)
            data.seek(start)
            shutil.copyfileobj(data, file, 1 << 20)
        temporary.replace(out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        message = f"{out}: cannot be written ({error.strerror}); choose another place with -o"
        raise OutputError(message) from error


def _front_length(data: mmap.mmap) -> int:
    """How many bytes an earlier `embed` put in front of the file."""
    if data[8:16] != _MARK:
        return 0
    (length,) = struct.unpack_from("<Q", data, 16)
    return int(length) if data[length + 4 : length + 8] == _IDENTIFIER else 0


def _front(data: mmap.mmap, start: int, manifest: bytes, path: Path) -> bytes:
    root = _read_root(data, start, path)
    metadata = [at for at in root.metadata if _metadata_name(data, at) != NAME]
    position = 24
    vtable = position
    fields = sorted(set(range(len(_FIELDS))) - {5})  # 5 repeats the metadata; deprecated
    vtable_bytes = 4 + 2 * len(_FIELDS)
    position += vtable_bytes
    table = position = _aligned(position, 4)
    position += 4 + 4 * len(fields)
    buffers_at = position
    position += 4 + 4 * (len(root.buffers) + 1)
    metadata_at = position
    position += 4 + 4 * (len(metadata) + 1)
    buffer_at, position = position, position + _BUFFER_BYTES
    entry_at, position = position, position + _ENTRY_BYTES
    name_at = position
    position = _aligned(name_at + 4 + len(NAME) + 1, _ALIGNMENT_BYTES) + _ALIGNMENT_BYTES
    data_at = position - 4  # the length, then the bytes on a multiple of 16
    length = _aligned(position + len(manifest), _ALIGNMENT_BYTES)

    front = bytearray(length)
    moved = length - start  # the old file's place in the new one

    def point(at: int, to: int) -> None:
        struct.pack_into("<I", front, at, to - at)

    point(0, table)
    front[4:8] = _IDENTIFIER
    front[8:16] = _MARK
    struct.pack_into("<Q", front, 16, length)
    struct.pack_into("<HH", front, vtable, vtable_bytes, 4 + 4 * len(fields))
    struct.pack_into("<i", front, table, table - vtable)
    new = {4: buffers_at, 6: metadata_at}
    for place, field in enumerate(fields):
        at = table + 4 + 4 * place
        target = new.get(field) or (root.targets[field] and root.targets[field] + moved)
        if field == 0:
            struct.pack_into("<I", front, at, root.version)
        elif target:
            point(at, target)
        else:
            continue
        struct.pack_into("<H", front, vtable + 4 + 2 * field, at - table)
    for at, targets in (
        (buffers_at, [*(old + moved for old in root.buffers), buffer_at + _VTABLE_BYTES]),
        (metadata_at, [*(old + moved for old in metadata), entry_at + _VTABLE_BYTES]),
    ):
        struct.pack_into("<I", front, at, len(targets))
        for place, target in enumerate(targets, 1):
            point(at + 4 * place, target)
    _put_buffer(front, buffer_at, data_at, manifest)
    _put_entry(front, entry_at, name_at, len(root.buffers))
    return bytes(front)


def _put_buffer(front: bytearray, at: int, data_at: int, manifest: bytes) -> None:
    struct.pack_into("<HHHH", front, at, 6, 8, 4, 0)
    struct.pack_into("<iI", front, at + 8, 8, data_at - (at + 12))
    struct.pack_into("<I", front, data_at, len(manifest))
    front[data_at + 4 : data_at + 4 + len(manifest)] = manifest


def _put_entry(front: bytearray, at: int, name_at: int, buffer: int) -> None:
    struct.pack_into("<HHHH", front, at, 8, 12, 4, 8)
    struct.pack_into("<iII", front, at + 8, 8, name_at - (at + 12), buffer)
    struct.pack_into("<I", front, name_at, len(NAME))
    front[name_at + 4 : name_at + 4 + len(NAME)] = NAME


def _read_root(data: mmap.mmap, start: int, path: Path) -> _Root:
    if data[start + 4 : start + 8] != _IDENTIFIER:
        message = f"{path}: not a TFLite file; give a .tflite file"
        raise SourceError(message)
    table = _target(data, start)
    count = _field_count(data, table)
    unknown = [n for n in range(len(_FIELDS), count) if _field(data, table, n)]
    if unknown:
        message = f"{path}: keeps weights in other files, and cannot carry a manifest; use one file"
        raise ConversionError(message)
    targets = [0] * len(_FIELDS)
    for number in range(1, len(_FIELDS)):
        at = _field(data, table, number)
        targets[number] = _target(data, at) if at else 0
    version_at = _field(data, table, 0)
    root = _Root(
        version=struct.unpack_from("<I", data, version_at)[0] if version_at else 0,
        targets=tuple(targets),
        buffers=_list(data, targets[4]),
        metadata=_list(data, targets[6]),
    )
    if any(_outside(data, buffer) for buffer in root.buffers):
        message = (
            f"{path}: keeps weights behind its tables (the form for more than 2 GB), and cannot "
            "carry a manifest; convert it again with edgekit"
        )
        raise ConversionError(message)
    return root


def _target(data: mmap.mmap, at: int) -> int:
    return at + int(struct.unpack_from("<I", data, at)[0])


def _field_count(data: mmap.mmap, table: int) -> int:
    vtable = table - struct.unpack_from("<i", data, table)[0]
    return (int(struct.unpack_from("<H", data, vtable)[0]) - 4) // 2


def _field(data: mmap.mmap, table: int, number: int) -> int:
    """Where field `number` of the table is; 0 when it is absent."""
    if number >= _field_count(data, table):
        return 0
    vtable = table - struct.unpack_from("<i", data, table)[0]
    offset = int(struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0])
    return table + offset if offset else 0


def _aligned(position: int, multiple: int) -> int:
    return -(-position // multiple) * multiple


def _list(data: mmap.mmap, at: int) -> tuple[int, ...]:
    if not at:
        return ()
    (count,) = struct.unpack_from("<I", data, at)
    if count * 4 > len(data):
        raise struct.error
    return tuple(_target(data, at + 4 + 4 * place) for place in range(count))


def _outside(data: mmap.mmap, buffer: int) -> bool:
    """Whether a buffer's bytes lie at an absolute offset."""
    at = _field(data, buffer, 1)
    return bool(at and struct.unpack_from("<Q", data, at)[0] > 1)


def _metadata_name(data: mmap.mmap, entry: int) -> bytes:
    at = _field(data, entry, 0)
    if not at:
        return b""
    name = _target(data, at)
    (length,) = struct.unpack_from("<I", data, name)
    return bytes(data[name + 4 : name + 4 + length])
