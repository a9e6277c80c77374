"""Signed model files: an ed25519 signature in the seal says who made a file.

openssl genpkey -algorithm ed25519 -out key.pem     keep it where models are made
openssl pkey -in key.pem -pubout -out public.pem    this one goes onto the devices

edgekit sign mnist.int8.tflite --key key.pem
edgekit.load("mnist.int8.tflite", public_key="public.pem")
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import seal
from edgekit._lazy import need
from edgekit.errors import OutputError, SourceError, UsageError, VerificationError
from edgekit.mapped_file import map_file, unreadable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

CONTEXT = b"edgekit-model-v1\0"
"""In front of the 32 bytes of the digest in what is signed, so that it is nothing else's."""
_LIMIT_BYTES = 1 << 16
_RAW_BYTES = 32
_HOW_TO_MAKE = "openssl genpkey -algorithm ed25519 -out key.pem"
_HOW_TO_GET_PUBLIC = "openssl pkey -in key.pem -pubout -out public.pem"


def sign(
    path: str | os.PathLike[str],
    private_key: str | os.PathLike[str] | bytes,
    out: str | os.PathLike[str] | None = None,
) -> Path:
    """Put a signature into a sealed file: whole or not at all.

    The content, and its SHA-256 in the seal, stay as they are; an earlier signature is replaced.

    Args:
        path: a `.tflite` or `.onnx` file that `edgekit convert` made.
        private_key: an ed25519 key in PEM form: its file, or the text itself.
        out: where to write the signed file; in place when None.

    Returns:
        Where the signed file is.

    Raises:
        SourceError: the file cannot be read, is damaged, or has no seal.
        UsageError: the key cannot be read, is not an ed25519 private key without a passphrase, or
            is in the very file that would be written.
        OutputError: the signed file cannot be written.
        MissingDependencyError: cryptography is not installed.
    """
    path = Path(path)
    for place in (path, path if out is None else Path(out)):
        refuse_key(place, private_key)
    key = _private(private_key)
    found = seal.read(map_file(path), str(path))
    if found is None:
        message = f"{path}: has no seal to sign; give a .tflite or .onnx file of edgekit convert"
        raise SourceError(message)
    signature = key.sign(_signed(found)).hex()
    target = (Path(out) if out is not None else path).resolve()
    waiting = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_native_id()}.tmp")
    try:
        shutil.copyfile(path, waiting)
        shutil.copymode(path, waiting)
        seal.write(waiting, found._replace(signature=signature))
        verify(map_file(waiting), key.public_key(), str(path))
        waiting.replace(target)
    except OSError as error:
        message = f"{target}: cannot be written ({error.strerror}); choose another place with -o"
        raise OutputError(message) from error
    finally:
        waiting.unlink(missing_ok=True)
    return Path(out) if out is not None else path


def refuse_key(path: Path, private_key: str | os.PathLike[str] | bytes) -> None:
    """Make sure that a file to be read or written as a model is not that of the key.

    Raises:
        UsageError: it is, be it by another name.
    """
    if isinstance(private_key, bytes) or "-----BEGIN" in os.fspath(private_key):
        return
    try:
        is_key = path.samefile(private_key)
    except (OSError, ValueError):  # one of them is missing, which is told where it matters
        return
    if is_key:
        message = f"{path}: is the private key; name a model file, and another place to write to"
        raise UsageError(message)


def verify(
    data: memoryview | bytes,
    public_key: str | os.PathLike[str] | bytes | Ed25519PublicKey,
    name: str,
) -> None:
    """Make sure that a file is what the owner of a key signed.

    Args:
        data: the whole file.
        public_key: an ed25519 key: a PEM file, its text, or the key's 32 bytes; or the key.
        name: of the file, for messages.

    Raises:
        VerificationError: not signed, signed with another key, or changed since.
        UsageError: the key cannot be read, or is not an ed25519 public key.
        MissingDependencyError: cryptography is not installed.
    """
    key = _public(public_key)
    try:
        found = seal.read(data, name)
    except SourceError as error:
        raise VerificationError(str(error)) from error
    if found is None or not found.is_signed:
        lacks = "is not signed" if found else "has no seal, and so no signature"
        message = (
            f"{name}: {lacks}, and a public key was given; run: edgekit sign, where the "
            "private key is"
        )
        raise VerificationError(message)
    invalid = need("cryptography.exceptions", extra="sign").InvalidSignature
    try:
        signature = bytes.fromhex(found.signature)
        key.verify(signature, _signed(found))
    except (invalid, ValueError):
        message = (
            f"{name}: its signature does not belong to this public key; "
            "get the file, or the key, from where it was signed"
        )
        raise VerificationError(message) from None


def _signed(found: seal.Seal) -> bytes:
    return CONTEXT + bytes.fromhex(found.digest)


def _private(given: str | os.PathLike[str] | bytes) -> Any:
    pem, name = _pem(given, "private key")
    serialization = need("cryptography.hazmat.primitives.serialization", extra="sign")
    kind = need("cryptography.hazmat.primitives.asymmetric.ed25519", extra="sign").Ed25519PrivateKey
    if b"-----BEGIN PUBLIC KEY-----" in pem:
        message = f"{name}: the public key; sign with the private one, and leave this on devices"
        raise UsageError(message)
    if b"ENCRYPTED" in pem:
        message = (
            f"{name}: protected by a passphrase; take it off in a safe place: "
            "openssl pkey -in KEY -out key.pem"
        )
        raise UsageError(message)
    return _checked(
        lambda: serialization.load_pem_private_key(pem, None), kind, name, "private", _HOW_TO_MAKE
    )


def _public(given: Any) -> Any:
    kind = need("cryptography.hazmat.primitives.asymmetric.ed25519", extra="sign").Ed25519PublicKey
    if isinstance(given, kind):
        return given
    if isinstance(given, bytes) and len(given) == _RAW_BYTES:
        return kind.from_public_bytes(given)
    pem, name = _pem(given, "public key")
    serialization = need("cryptography.hazmat.primitives.serialization", extra="sign")
    if b"PRIVATE KEY-----" in pem:
        message = f"{name}: the private key, which no device should have; run: {_HOW_TO_GET_PUBLIC}"
        raise UsageError(message)
    return _checked(
        lambda: serialization.load_pem_public_key(pem), kind, name, "public", _HOW_TO_GET_PUBLIC
    )


def _checked(load: Any, kind: Any, name: str, side: str, how: str) -> Any:
    unsupported = need("cryptography.exceptions", extra="sign").UnsupportedAlgorithm
    try:
        key = load()
    except (ValueError, TypeError, unsupported):
        message = f"{name}: not a {side} key in PEM form; make one: {how}"
        raise UsageError(message) from None
    if not isinstance(key, kind):
        found = type(key).__name__.lstrip("_").partition("P")[0]
        message = f"{name}: a {side} key for {found}, not ed25519; make one: {how}"
        raise UsageError(message)
    return key


def _pem(given: str | os.PathLike[str] | bytes, noun: str) -> tuple[bytes, str]:
    """The text of a key, and what to call it; never what is in it."""
    if isinstance(given, bytes):
        return given, noun
    if isinstance(given, str) and "-----BEGIN" in given:
        return given.encode(), noun
    path = Path(given)
    try:
        with path.open("rb") as file:
            return file.read(_LIMIT_BYTES), str(path)
    except (OSError, ValueError) as error:
        told = unreadable(path, error) if isinstance(error, OSError) else f"{noun}: {error}"
        raise UsageError(str(told)) from None
