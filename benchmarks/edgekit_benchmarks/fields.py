"""Take typed values out of a JSON document that somebody else may have written or changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgekit.errors import UsageError

_SMALLEST, _LARGEST = 1e-18, 1e18
"""No measurement is beyond, and what is computed from numbers between stays finite."""


class Fields:
    """An object of the document; whatever is not as it should be is named by its place.

    Keys nobody asks for are left alone: a later version of edgekit may have written them.
    """

    def __init__(self, given: object, *, file: str, place: str = "") -> None:
        """Keep the object; refuse anything else."""
        self._file = file
        self._place = place
        if not isinstance(given, Mapping):
            raise self.wrong(name="", wanted="an object")
        self._given: Mapping[str, Any] = given

    def wrong(self, *, name: str, wanted: str) -> UsageError:
        """The error for a value that is not what it should be."""
        place = ".".join(part for part in (self._place, name) if part) or "the document"
        return UsageError(
            f"{self._file}: {place} is not {wanted}; give a result of edgekit bench as it was made"
        )

    def has(self, name: str) -> bool:
        """Whether the key is there, and not null."""
        return self._given.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """A string."""
        return str(self._one(name, default, lambda value: isinstance(value, str), "a text"))

    def flag(self, name: str, default: bool | None = None) -> bool:
        """True or false."""
        return bool(
            self._one(name, default, lambda value: isinstance(value, bool), "true or false")
        )

    def number(self, name: str, default: float | None = None) -> float:
        """A finite number, whole or not as it is in the document."""
        value: float = self._one(name, default, _is_number, "a number")
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        """A whole number from 0 on."""
        return int(self._one(name, default, _is_whole, "a whole number from 0 on"))

    def number_or_none(self, name: str) -> float | None:
        """A finite number, or None for null and nothing."""
        return self.number(name) if self.has(name) else None

    def whole_or_none(self, name: str) -> int | None:
        """A whole number from 0 on, or None for null and nothing."""
        return self.whole(name) if self.has(name) else None

    def texts(self, name: str) -> tuple[str, ...]:
        """Strings; none when the key is missing."""
        return tuple(self._list(name, lambda value: isinstance(value, str), "texts"))

    def numbers(self, name: str) -> tuple[float, ...]:
        """Finite numbers; none when the key is missing."""
        return tuple(self._list(name, _is_number, "numbers"))

    def wholes(self, name: str) -> tuple[int, ...]:
        """Whole numbers from 0 on; none when the key is missing."""
        return tuple(self._list(name, _is_whole, "whole numbers from 0 on"))

    def number_lists(self, name: str) -> tuple[tuple[float, ...], ...]:
        """A list of lists of finite numbers; none when the key is missing."""

        def fits(value: object) -> bool:
            return isinstance(value, list) and all(map(_is_number, value))

        return tuple(map(tuple, self._list(name, fits, "lists of numbers")))

    def mapping(self, name: str) -> dict[str, Any]:
        """An object, as it is; empty when the key is missing."""
        return dict(self._one(name, {}, lambda value: isinstance(value, Mapping), "an object"))

    def mapping_or_none(self, name: str) -> dict[str, Any] | None:
        """An object as it is, or None for null and nothing."""
        return self.mapping(name) if self.has(name) else None

    def mappings(self, name: str) -> tuple[dict[str, Any], ...]:
        """Objects as they are; none when the key is missing."""
        return tuple(self._list(name, lambda value: isinstance(value, Mapping), "objects"))

    def part(self, name: str) -> Fields:
        """An object to look into; an empty one when the key is missing."""
        return Fields(self._given.get(name) or {}, file=self._file, place=self._under(name))

    def parts(self, name: str) -> list[Fields]:
        """Objects of a list to look into."""
        return [
            Fields(one, file=self._file, place=f"{self._under(name)}[{i}]")
            for i, one in enumerate(self._list(name, lambda _value: True, "objects"))
        ]

    def named_parts(self, name: str) -> dict[str, Fields]:
        """Objects of an object to look into."""
        place = self._under(name)
        return {
            key: Fields(one, file=self._file, place=f"{place}.{key}")
            for key, one in self.mapping(name).items()
        }

    def _under(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name

    def _one(self, name: str, default: Any, fits: Callable[[Any], bool], wanted: str) -> Any:
        value = self._given.get(name)
        if value is None:
            value = default
        if value is None or not fits(value):
            raise self.wrong(name=name, wanted=wanted)
        return value

    def _list(self, name: str, fits: Callable[[Any], bool], wanted: str) -> list[Any]:
        value = self._given.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(map(fits, value)):
            raise self.wrong(name=name, wanted=f"a list of {wanted}")
        return value


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (value == 0 or _SMALLEST <= abs(value) <= _LARGEST)
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
