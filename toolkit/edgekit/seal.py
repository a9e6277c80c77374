"""The seal of a model file: its own checksums inside its manifest, with room for a signature.

The manifest holds ``"seal":"edgekit-seal:DIGEST SIGNATURE CHECK:edgekit-seal"`` (without the
spaces): 64, 128 and 8 hexadecimal digits. DIGEST is the SHA-256 of the whole file with these 200
digits replaced by ``0``; SIGNATURE is for `edgekit.signing`, all ``0`` until then; CHECK is the
CRC-32 of the whole file with its own 8 digits replaced by ``0``. There is a tag on both sides, so
that damage to one of them does not pass for a file without a seal.

Every load looks at the CRC-32: it tells damage as SHA-256 does, is as fast on a board without
instructions for SHA, and needs no OpenSSL, which takes 4 MB and longer to load than a small model.
"""

import os
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from edgekit.errors import OutputError, SourceError
from edgekit.mapped_file import map_file

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST_KEY = "edgekit.manifest"
"""Name of the TFLite metadata entry, and of the ONNX metadata property, that is the manifest."""

_TAG = b"edgekit-seal"
_HEAD = b'"seal":"' + _TAG + b":"  # no string within JSON holds this: its quotes are escaped
_TAIL = b":" + _TAG + b'"'
_DIGEST = 64
_SIGNATURE = 128
_CHECK = 8
_DIGITS = _DIGEST + _SIGNATURE + _CHECK
_WINDOW_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16

PLACEHOLDER = f"{_TAG.decode()}:{'0' * _DIGITS}:{_TAG.decode()}"
"""What the manifest's ``seal`` is before `seal` fills it in."""
UNSIGNED = "0" * _SIGNATURE


class Seal(NamedTuple):
    """The seal of a file that is what it was when it was sealed."""

    offset: int
    """Where its digits begin in the file."""
    digest: str
    """SHA-256 of the content, as 64 hexadecimal digits."""
    signature: str
    """128 hexadecimal digits; `UNSIGNED` until it is signed."""

    @property
    def is_signed(self) -> bool:
        """Whether there is a signature; whether it is right, only a public key tells."""
        return self.signature != UNSIGNED


def read(data: memoryview | bytes, name: str) -> Seal | None:
    """The seal in the content of a file, once the content was found to be as sealed.

    Args:
        data: the whole file; nothing of its size is copied.
        name: of the file, for messages.

    Returns:
        None where the file has no seal.

    Raises:
        SourceError: a byte of it is not what it was when the file was sealed.
    """
    view = memoryview(data).cast("B")
    offset = place(view, name)
    if offset is None:
        return None
    if not is_intact(view, offset):
        raise damaged(name)
    told = bytes(view[offset : offset + _DIGEST + _SIGNATURE]).decode("ascii", "replace")
    digest, signature = told[:_DIGEST], told[_DIGEST:]
    if digest != _content_digest(view, offset):
        raise damaged(name)
    return Seal(offset=offset, digest=digest, signature=signature)


def check(data: memoryview | bytes, name: str) -> bool:
    """Whether a file is sealed, and as it was then; False where it has no seal.

    Looks at the CRC-32 alone, which sees all accidents; `read` also looks at the SHA-256.

    Args:
        data: the whole file.
        name: of the file, for messages.

    Raises:
        SourceError: a byte of it is not what it was when the file was sealed.
    """
    view = memoryview(data).cast("B")
    offset = place(view, name)
    if offset is not None and not is_intact(view, offset):
        raise damaged(name)
    return offset is not None


def seal(path: str | os.PathLike[str]) -> str:
    """Fill in the seal of a file whose manifest holds `PLACEHOLDER`, in place.

    The same content gives the same bytes. An earlier seal is replaced, a signature removed.

    Returns:
        The SHA-256 of the content, as it now stands in the file.

    Raises:
        SourceError: the file cannot be read, or does not hold exactly one seal.
        OutputError: the file cannot be written.
    """
    from pathlib import Path

    path = Path(path)
    view = map_file(path)
    places = _pairs(view, 0, len(view))
    if len(places) != 1:
        message = (
            f"{path}: has {len(places)} places for a seal, and needs one; convert the model again"
        )
        raise SourceError(message)
    made = Seal(offset=places[0], digest=_content_digest(view, places[0]), signature=UNSIGNED)
    view.release()
    write(path, made)
    return made.digest


def write(path: "Path", made: Seal) -> None:
    """Write the digits of a seal to their place in a file.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with path.open("r+b") as file:
            told = (made.digest + made.signature).encode()
            with map_file(path) as view:
                check = _check(view, made.offset, told)
            file.seek(made.offset)
            file.write(told + check)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror}); choose another place with -o"
        raise OutputError(message) from error


def is_intact(data: memoryview | bytes, offset: int) -> bool:
    """Whether the CRC-32 in the seal at `offset` is right; most of the time, the GIL is free."""
    view = memoryview(data).cast("B")
    digits = bytes(view[offset : offset + _DIGITS])
    return _check(view, offset, digits[:-_CHECK]) == digits[-_CHECK:]


def _check(view: memoryview, offset: int, told: bytes) -> bytes:
    """The digits behind the `told` ones, those of the digest and of the signature."""
    crc = zlib.crc32(told + b"0" * _CHECK, zlib.crc32(view[:offset]))
    return b"%08x" % zlib.crc32(view[offset + _DIGITS :], crc)


def _content_digest(view: memoryview, offset: int) -> str:
    import hashlib  # here, because it loads OpenSSL

    digest = hashlib.sha256(view[:offset])
    digest.update(b"0" * _DIGITS)
    digest.update(view[offset + _DIGITS :])
    return digest.hexdigest()


def place(data: memoryview | bytes, name: str) -> int | None:
    """Where the digits of the seal are; None where there is no seal.

    Raises:
        SourceError: there is half of one.
    """
    view = memoryview(data).cast("B")
    size = len(view)
    # TFLite has its manifest in front, ONNX behind; then anywhere
    for start, stop in ((0, _WINDOW_BYTES), (max(0, size - _WINDOW_BYTES), size)):
        places = _pairs(view, start, min(stop, size))
        if places:
            return places[0]
    heads, tails = _ends(view, 0, size)
    for head in heads:
        if head + _DIGITS in tails:
            return head
    if heads or tails:
        raise damaged(name)
    return None


def _pairs(view: memoryview, start: int, stop: int) -> list[int]:
    """Where the digits between a tag and its counterpart begin."""
    heads, tails = _ends(view, start, stop)
    return [head for head in heads if head + _DIGITS in tails]


def _ends(view: memoryview, start: int, stop: int) -> tuple[list[int], set[int]]:
    """Where digits begin, by the tags in front of them, and end, by the tags behind them."""
    heads, tails = [], set()
    for at in _tags(view, start, stop):
        head = at - len(_HEAD) + len(_TAG) + 1
        if head >= 0 and view[head : head + len(_HEAD)] == _HEAD:
            heads.append(head + len(_HEAD))
        if at and view[at - 1 : at - 1 + len(_TAIL)] == _TAIL:
            tails.add(at - 1)
    return heads, tails


def _tags(view: memoryview, start: int, stop: int) -> Iterator[int]:
    for begin in range(start, stop, _CHUNK_BYTES):
        part = bytes(view[begin : min(begin + _CHUNK_BYTES + len(_TAG) - 1, stop)])
        at = part.find(_TAG)
        while at >= 0:
            yield begin + at
            at = part.find(_TAG, at + 1)


def damaged(name: str) -> SourceError:
    """The error for a file that is not what it was when it was sealed."""
    message = f"{name}: damaged: it is not what it was when it was sealed; copy or convert it again"
    return SourceError(message)
