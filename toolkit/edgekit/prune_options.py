"""The options of `prune` as people write them: on the command line, in Python, in a recipe."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.data_name import data_name
from edgekit.errors import UsageError
from edgekit.prune_amount import BYTE_UNITS, COUNT_UNITS, parse_goal, parse_ratio, parse_share
from edgekit.prune_method import parse_method
from edgekit.prune_request import ORIGINAL, PruneRequest

_NAMES = {"metric": "metrics"}
"""Options whose field has another name."""
_MOST = 10**9


def request_from(
    source: Any, out: str | os.PathLike[str] | None = None, **given: Any
) -> PruneRequest:
    """Read options as people write them, or as values; those that are None are left out.

    Args:
        source: path or Keras model.
        out: a ``.keras`` file, or a folder.
        given: the options of ``edgekit prune`` with underscores, and ``limits``.

    Raises:
        UsageError: a value is wrong, or the options contradict each other.

    >>> request_from("a.keras", macs="50%").target_text
    'macs 50%'
    """
    fields: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        read = _READ.get(name)
        fields[_NAMES.get(name, name)] = value if read is None else read(value)
    if isinstance(source, str | os.PathLike):
        source = Path(source)
    place = None if out is None else _path("out", out, "the file to make, or a folder")
    return PruneRequest(source=source, out=place, **fields)


def from_words(text: str, source: Any, **given: Any) -> PruneRequest:
    """Read ``macs=50% epochs=3 data=train.npz``, as ``convert --prune`` takes it.

    Args:
        text: options of ``edgekit prune`` without their dashes, with ``=``, separated by spaces
            and quoted as in a shell; ``skip``, ``preprocess`` and ``metric`` may come again.
        source: path or Keras model.
        given: further options, as of `request_from`; those in `text` hold.

    Raises:
        UsageError: an unknown option; the message lists those there are.

    >>> request = from_words("macs=50% skip=head skip=Embedding", "a.keras")
    >>> request.target_text, request.skip
    ('macs 50%', ('head', 'Embedding'))
    """
    asked: dict[str, Any] = {}
    try:
        words = shlex.split(text)
    except ValueError as error:
        message = f"--prune {text!r}: {str(error).lower()}; close the quotation marks"
        raise UsageError(message) from None
    for word in words:
        name, equals, value = word.partition("=")
        key = name.lstrip("-").replace("-", "_")
        if key not in WORDS:
            known = ", ".join(one.replace("_", "-") for one in sorted(WORDS))
            message = f"--prune {word}: no option of prune; there are: {known}"
            raise UsageError(message)
        if key in _REPEATED:
            asked[key] = (*asked.get(key, ()), value)
            continue
        if key in asked:
            message = f"--prune {word}: {name} is given twice; give it once"
            raise UsageError(message)
        asked[key] = value if equals else _alone(word, key)
    given = {name: value for name, value in given.items() if name not in asked}
    if not {"data", "test"} & set(asked) and "preprocess" not in asked:
        given.pop("preprocess", None)  # it is for the conversion
    return request_from(source, **given, **asked)


def _alone(word: str, key: str) -> Any:
    if key in _FLAGS:
        return True
    if key == "teacher":
        return ORIGINAL
    message = f"--prune {word}: has no value; write {word}=VALUE"
    raise UsageError(message)


def _whole(option: str) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = 0.5
        if not math.isfinite(number) or number != int(number):
            message = f"--{option} {value}: not a whole number; give one, as 8"
            raise UsageError(message)
        if abs(number) > _MOST:
            message = (
                f"--{option} {value}: beyond what can be counted here; give less than a billion"
            )
            raise UsageError(message)
        return int(number)

    return read


def _real(option: str) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            message = f"--{option} {value}: not a number; give one, as 0.001"
            raise UsageError(message) from None

    return read


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("1", "yes", "true", "on"):
        return True
    if str(value).lower() in ("0", "no", "false", "off"):
        return False
    message = f"--prune {value!r}: neither yes nor no; write yes, or the option's name alone"
    raise UsageError(message)


def _several(option: str, value: str | Sequence[str]) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Iterable) or not all(isinstance(text, str) for text in texts):
        message = f"{option}: {value!r} is no text; give one, or a list of them"
        raise UsageError(message)
    return tuple(texts)


def _split(option: str, value: str | Sequence[str]) -> tuple[str, ...]:
    return tuple(part.strip() for text in _several(option, value) for part in text.split(","))


def _teacher(value: Any) -> Path | str | None:
    if isinstance(value, bool):
        return ORIGINAL if value else None
    how = "that of a file; model.save('teacher.keras') makes one of a model in memory"
    return ORIGINAL if value == ORIGINAL else _path("teacher", value, how)


def _path(option: str, value: Any, how: str) -> Path:
    try:
        return Path(value)
    except TypeError:
        message = f"{option}: is of type {type(value).__name__}, not a path; give {how}"
        raise UsageError(message) from None


_READ: Mapping[str, Callable[[Any], Any]] = {
    "sparsity": lambda value: parse_share("--sparsity", value),
    "macs": lambda value: parse_goal("--macs", value, COUNT_UNITS),
    "size": lambda value: parse_goal("--size", value, BYTE_UNITS),
    "latency": lambda value: parse_ratio("--latency", value),
    "method": parse_method,
    "multiple_of": _whole("multiple-of"),
    "cluster": _whole("cluster"),
    "epochs": _whole("epochs"),
    "batch_size": _whole("batch-size"),
    "learning_rate": _real("learning-rate"),
    "temperature": _real("temperature"),
    "skip": lambda value: _split("skip", value),
    "metric": lambda value: _split("metric", value),
    "preprocess": lambda value: _several("preprocess", value),
    "data": lambda value: data_name("data", value),
    "test": lambda value: data_name("test", value),
    "teacher": _teacher,
    "custom_objects": lambda value: _path("custom_objects", value, "the .py file"),
    "qat": _flag,
    "resume": _flag,
}
_REPEATED = frozenset({"skip", "preprocess", "metric"})
_FLAGS = frozenset({"qat", "resume"})
WORDS = frozenset(_READ) - {"custom_objects"} | {
    *("on", "measure", "scope", "schedule", "importance", "ratios", "optimizer", "loss"),
}
"""What ``convert --prune`` takes; what the model is and where files go, it says itself."""
