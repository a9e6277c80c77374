"""Ranges of activations that were learned in training, as a ``.keras`` file carries them."""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

from edgekit.errors import SourceError
from edgekit.mapped_file import unreadable
from edgekit.source_kind import sniff

MEMBER = "edgekit_ranges.json"
"""Name of the member of the archive."""

_BYTES_LIMIT = 8 << 20
_NAMES_LIMIT = 50_000
_VALUE_LIMIT = 1e30
_ADVICE = "make it again with edgekit prune --qat"


def read_ranges(path: str | os.PathLike[str]) -> dict[str, tuple[float, float]]:
    """Smallest and largest value by name of the layer (or input) that gives them.

    ``name#1`` is what the second call of the layer gives. Empty for a file without learned ranges,
    and for what is no ``.keras`` file.

    Raises:
        SourceError: it is no model, or the ranges are damaged.
    """
    path = Path(path)
    if sniff(path) != "keras":
        return {}
    try:
        with zipfile.ZipFile(path) as archive:
            if MEMBER not in archive.namelist():
                return {}
            with archive.open(MEMBER) as member:
                content = member.read(_BYTES_LIMIT + 1)
    except OSError as error:
        raise unreadable(path, error) from None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        message = f"{path}: the zip archive is damaged ({error}); save or copy the model again"
        raise SourceError(message) from None
    if len(content) > _BYTES_LIMIT:
        raise _refused(path, f"unpacks to more than {_BYTES_LIMIT >> 20} MiB")
    try:
        stored = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _refused(path, f"is no JSON ({str(error)[:100]})") from None
    return checked(path, stored)


def checked(path: Path, stored: Any) -> dict[str, tuple[float, float]]:
    """The ranges in `stored`, the content of the member.

    Raises:
        SourceError: it is of another form, or a range is not finite or upside down.
    """
    if not isinstance(stored, dict) or set(stored) != {"format_version", "ranges"}:
        raise _refused(path, "has not the keys 'format_version' and 'ranges'")
    if stored["format_version"] != 1:
        raise _refused(path, f"has the format version {str(stored['format_version'])[:20]}, not 1")
    ranges = stored["ranges"]
    if not isinstance(ranges, dict) or len(ranges) > _NAMES_LIMIT:
        raise _refused(path, f"has not a table of at most {_NAMES_LIMIT} names")
    found = {}
    for name, pair in ranges.items():
        good = (
            isinstance(pair, list)
            and len(pair) == 2
            and all(type(value) in (int, float) for value in pair)
            and all(abs(value) <= _VALUE_LIMIT for value in pair)  # not so NaN
            and pair[0] <= pair[1]
        )
        if not good:
            raise _refused(path, f"has no range for {name[:60]!r} but {str(pair)[:60]}")
        found[name] = (float(pair[0]), float(pair[1]))
    return found


def _refused(path: Path, told: str) -> SourceError:
    return SourceError(f"{path}: its member {MEMBER} {told}; {_ADVICE}")
