"""What edgekit's own package metadata asks for, and whether an installed version satisfies it."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass

DISTRIBUTION = "edgekit-toolkit"

_LINE = re.compile(r"(?P<name>[\w.-]+)\s*(?P<bounds>[^;]*)(?:;\s*(?P<marker>.*))?")
_EXTRA = re.compile(r"extra == ['\"](?P<extra>[\w-]+)['\"]")
_PYTHON = re.compile(r"python_version < ['\"](?P<below>[\d.]+)['\"]")
_BOUND = re.compile(r"(?P<operator>[<>=!]=|[<>])\s*(?P<version>[\w.]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One package that an extra brings, with the versions that will do.

    >>> r = Requirement.parse("onnx>=1.17,<2; extra == 'convert'")
    >>> r.name, r.extra, r.allows("1.23.2"), r.allows("1.9"), r.allows("2.0")
    ('onnx', 'convert', True, False, False)
    """

    name: str
    extra: str
    """Empty for what is always installed."""
    bounds: str
    """As pip writes them, for example ``<2.22,>=2.21``; empty when any version will do."""
    python_below: str = ""
    """The first Python version for which there is no such package; empty when there is none."""

    @classmethod
    def parse(cls, line: str) -> Requirement:
        """Read one line of ``Requires-Dist``, of the forms that edgekit's pyproject.toml uses."""
        found = _LINE.fullmatch(line.strip())
        assert found is not None, line
        marker = found["marker"] or ""
        extra, python = _EXTRA.search(marker), _PYTHON.search(marker)
        return cls(
            name=found["name"],
            extra=extra["extra"] if extra else "",
            bounds=found["bounds"].strip(),
            python_below=python["below"] if python else "",
        )

    def allows(self, version: str) -> bool:
        """Whether `version` is within the bounds; only its leading numbers are looked at."""
        have = release(version)
        return all(
            _holds(have, bound["operator"], release(bound["version"]))
            for bound in _BOUND.finditer(self.bounds)
        )


def requirements() -> tuple[Requirement, ...]:
    """All that the installed edgekit asks for, extra by extra; empty when it is not installed."""
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    parsed = (Requirement.parse(line) for line in lines if not line.startswith(DISTRIBUTION))
    return tuple(parsed)


def installed_version(name: str) -> str | None:
    """The version of the installed package `name`, without importing it; None if it is missing."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, without zeros at the end.

    >>> release("2.21.0"), release("2.22.0rc1")
    ((2, 21), (2, 22))
    """
    numbers = [int(n) for n in re.match(r"\d+(?:\.\d+)*", version)[0].split(".")]  # type: ignore[index]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _holds(have: tuple[int, ...], operator: str, limit: tuple[int, ...]) -> bool:
    return {
        "<": have < limit,
        "<=": have <= limit,
        ">": have > limit,
        ">=": have >= limit,
        "==": have == limit,
        "!=": have != limit,
    }[operator]
