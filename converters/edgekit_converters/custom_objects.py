"""The code of a model's own layers, from a file that its user names."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

from edgekit.errors import SourceError, UsageError
from edgekit_converters.no_bytecode import no_bytecode


def classes_in(path: str | None) -> dict[str, Any]:
    """Run the Python file at `path`; its public classes and functions by name.

    Raises:
        UsageError: there is no such file.
        SourceError: it does not import; the message says why.
    """
    if path is None:
        return {}
    file = Path(path)
    module_name = f"edgekit_custom_{file.stem}"  # never in the way of a real module
    spec = importlib.util.spec_from_file_location(module_name, file)
    if not file.is_file() or spec is None or spec.loader is None:
        message = f"{path}: no such Python file; give the .py file that defines the layers"
        raise UsageError(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        with no_bytecode():
            spec.loader.exec_module(module)
    except Exception as error:
        message = (
            f"{path}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}; "
            "the file must import without errors"
        )
        raise SourceError(message) from error
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and getattr(value, "__module__", None) == module_name
    }
