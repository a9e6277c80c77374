"""What a caller gave `edgekit.load`: of the right types, before anything is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from edgekit.errors import UsageError
from edgekit.whole import whole

MOST_INSTANCES = 64
"""Each has its own memory; nobody has more cores to keep busy on a device."""


def check_source(source: Any) -> str | os.PathLike[str] | bytes:
    """The path or content of a model file; a copy where others could change it.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(source, bytearray | memoryview):
        return bytes(source)
    if isinstance(source, bytes):
        return source
    told = f"is {type(source).__name__}"
    if isinstance(source, str | os.PathLike):
        if os.fspath(source) not in ("", ".") or source == ".":  # Path("") is "."
            return source
        told = "an empty path"
    message = f"source: {told}; give the path of a .tflite or .onnx file, or its bytes"
    raise UsageError(message)


def check_options(given: dict[str, Any]) -> dict[str, Any]:
    """The other arguments of `edgekit.load`, by name, in the form in which they are kept.

    Raises:
        UsageError: one has the wrong type, or there are too few or too many instances.
    """
    threads, instances = whole(given["threads"]), whole(given["instances"])
    if threads is None:
        message = f"threads={_shown(given['threads'])}: not a whole number; give 1 or more"
        raise UsageError(message)
    if instances is None or not 1 <= instances <= MOST_INSTANCES:
        message = (
            f"instances={_shown(given['instances'])}: not a number of instances; give 1 to "
            f"{MOST_INSTANCES}"
        )
        raise UsageError(message)
    if not isinstance(given["backend"], str):
        _refuse("backend", given["backend"], "give a name, or 'auto'")
    if not isinstance(given["signature"], str | None):
        _refuse("signature", given["signature"], "give a name, or leave it out")
    if not isinstance(given["public_key"], str | bytes | os.PathLike | None):
        _refuse("public_key", given["public_key"], "give a PEM file, its text, or its bytes")
    return given | {
        "threads": threads,
        "instances": instances,
        "providers": _providers(given["providers"]),
        "labels": _labels(given["labels"]),
        "preprocess": _preprocess(given["preprocess"]),
    }


def _providers(given: Any) -> tuple[Any, ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, list | tuple) or not all(map(_is_provider, given)):
        hint = "give names of ONNX Runtime's execution providers, as ['CPUExecutionProvider']"
        _refuse("providers", given, hint)
    return tuple(given)


def _is_provider(given: Any) -> bool:
    if isinstance(given, list | tuple) and len(given) == 2:
        return isinstance(given[0], str) and isinstance(given[1], Mapping)
    return isinstance(given, str)


def _labels(given: Any) -> Any:
    hint = "give the names of the classes as texts, or a text file with one a line"
    if given is None or isinstance(given, os.PathLike) or (isinstance(given, str) and given):
        return given
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        _refuse("labels", given, hint)
    labels = tuple(given)
    wrong = [label for label in labels if not isinstance(label, str)]
    if wrong:
        message = f"labels: {_shown(wrong[0])} among them is no text; {hint}"
        raise UsageError(message)
    return labels


def _preprocess(given: Any) -> Any:
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, list | tuple) and all(isinstance(text, str) for text in given):
        return tuple(given)
    if isinstance(given, Mapping):
        from edgekit.preprocess import Preprocess

        if all(isinstance(steps, str | Preprocess) for steps in given.values()):
            return {str(name): str(steps) for name, steps in given.items()}
    hint = "give steps as a text, as 'scale=1/255', or a dict of texts by input"
    return _refuse("preprocess", given, hint)


def _refuse(name: str, given: Any, hint: str) -> NoReturn:
    message = f"{name}={_shown(given)}: cannot be meant; {hint}"
    raise UsageError(message)


def _shown(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= 40 and "\n" not in text else type(given).__name__
