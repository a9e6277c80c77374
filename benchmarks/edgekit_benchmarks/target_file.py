"""The file of the user's own devices: names, URLs, and which Python to use there.

    [targets.pi5]
    url = "ssh://pi@pi5.local"
    python = "~/venv/bin/python"

It is ``$XDG_CONFIG_HOME/edgekit/targets.toml``, or the file that ``EDGEKIT_TARGETS`` names. Changes
are made in its text, so that comments, and all that is not ours, stay as they are.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgekit.errors import OutputError, SourceError, UsageError
from edgekit_benchmarks.target import LOCAL, Target, check_name, from_url
from edgekit_benchmarks.text_file import write_text

_KEYS = {"url", "python"}


def targets_file() -> Path:
    """Where the file is, or would be."""
    named = os.environ.get("EDGEKIT_TARGETS")
    if named:
        return Path(named).expanduser()
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "edgekit" / "targets.toml"


def read_targets(file: Path | None = None) -> dict[str, Target]:
    """All targets of the file by name, in its order; none if there is no file.

    Raises:
        SourceError: it cannot be read, is no TOML, or an entry makes no sense.
    """
    file = file or targets_file()
    return {name: _target(file, name, entry) for name, entry in _entries(_text(file), file).items()}


def find_target(text: str, file: Path | None = None) -> Target:
    """The target that `text` means: ``local``, a URL, or a name of the file.

    Raises:
        UsageError: no target has this name.
        SourceError: the file cannot be read, is no TOML, or its entry makes no sense.
    """
    if text == LOCAL:
        return Target(name=LOCAL, url=LOCAL)
    if "://" in text:
        return from_url(text)
    file = file or targets_file()
    entries = _entries(_text(file), file)
    if text not in entries:
        known = ", ".join([LOCAL, *entries])
        message = f"no target {text!r}; write ssh://{text}"
        if "@" not in text:
            message = (
                f"no target {text!r}; there are: {known}; add it: edgekit targets add "
                f"{check_name(text)} ssh://USER@HOST"
            )
        raise UsageError(message)
    return _target(file, text, entries[text])


def add_target(target: Target, *, force: bool = False, file: Path | None = None) -> None:
    """Write a target at the end of the file, which is made if need be.

    Args:
        target: under its name.
        force: replace one of the same name.
        file: instead of `targets_file()`.

    Raises:
        UsageError: the name can be none.
        OutputError: the name is taken, or the file cannot be written, or not without harm to what
            stands there.
        SourceError: the file is no TOML.
    """
    check_name(target.name)
    file = file or targets_file()
    with _changing(file) as text:
        entries = _entries(text, file)
        if target.name in entries and not force:
            url = entries[target.name].get("url")
            message = f"{target.name}: is {url} already; add --force to replace it"
            raise OutputError(message)
        kept = _without(text, target.name) if target.name in entries else text
        gap = "\n" if kept.strip() else ""
        wanted = {**entries, target.name: _entry(target)}
        _write(file, text, f"{kept.rstrip()}{gap and chr(10)}{gap}{_section(target)}", wanted)


def remove_target(name: str, *, file: Path | None = None) -> None:
    """Take a target out of the file.

    Raises:
        UsageError: there is none of this name.
        OutputError: the file cannot be written, or not without harm to what stands there.
        SourceError: the file is no TOML.
    """
    file = file or targets_file()
    with _changing(file) as text:
        entries = _entries(text, file)
        if name not in entries:
            known = ", ".join(entries) or "none"
            message = f"no target {name!r} in {file}; there are: {known}"
            raise UsageError(message)
        wanted = {other: entry for other, entry in entries.items() if other != name}
        _write(file, text, _without(text, name), wanted)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        message = (
            f"{file}: cannot be read ({reason}); mend it, or set EDGEKIT_TARGETS to another file"
        )
        raise SourceError(message) from error


def _parsed(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"{file}: is no TOML ({str(error)[0].lower()}{str(error)[1:]}); mend it"
        raise SourceError(message) from error


def _entries(text: str, file: Path) -> dict[str, dict[str, Any]]:
    entries = _parsed(text, file).get("targets", {})
    if not isinstance(entries, dict) or not all(isinstance(one, dict) for one in entries.values()):
        message = f'{file}: holds no tables of targets; write [targets.NAME] and url = "ssh://…"'
        raise SourceError(message)
    return entries


def _target(file: Path, name: str, entry: Mapping[str, Any]) -> Target:
    unknown = sorted(entry.keys() - _KEYS)
    if unknown:
        message = f"{file}: {name} has the unknown key {unknown[0]!r}; there are: python, url"
        raise SourceError(message)
    if not all(isinstance(value, str) for value in entry.values()) or "url" not in entry:
        message = f'{file}: {name} has no url that is text; write e.g. url = "ssh://pi@{name}"'
        raise SourceError(message)
    try:
        return Target(name=check_name(name), url=entry["url"], python=entry.get("python"))
    except UsageError as error:
        message = f"{file}: {error}"
        raise SourceError(message) from error


def _entry(target: Target) -> dict[str, str]:
    return {"url": target.url, **({"python": target.python} if target.python else {})}


def _section(target: Target) -> str:
    """As TOML; what stands in a target needs no escapes but quotes.

    >>> print(_section(Target(name="pi5", url="ssh://pi5")), end="")
    [targets.pi5]
    url = "ssh://pi5"
    """
    name = target.name if re.fullmatch(r"[\w-]+", target.name) else f'"{target.name}"'
    lines = [f'{key} = "{value}"' for key, value in _entry(target).items()]
    return "\n".join([f"[targets.{name}]", *lines, ""])


def _without(text: str, name: str) -> str:
    """The text without one table: from its header to the next, whose comments above it stay."""
    quoted = re.escape(name)
    header = rf"""^[ \t]*\[[ \t]*targets[ \t]*\.[ \t]*(?:{quoted}|"{quoted}"|'{quoted}')[ \t]*\]"""
    start = re.search(header, text, re.MULTILINE)
    if not start:
        return text
    following = re.compile(r"^(?:[ \t]*#.*\n|[ \t]*\n)*[ \t]*\[", re.MULTILINE)
    after = following.search(text, start.end())
    return text[: start.start()] + (text[after.start() :].lstrip("\n") if after else "")


def _write(file: Path, before: str, after: str, wanted: Mapping[str, Any]) -> None:
    """Only if nothing but `wanted` changed; text that is written in another way may fool us."""
    expected = _parsed(before, file)
    expected.pop("targets", None)
    try:
        found = tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        found = None
    if found is None or found.pop("targets", {}) != wanted or found != expected:
        message = f"{file}: is written in a way that edgekit cannot change; change it by hand"
        raise OutputError(message)
    write_text(file.resolve(), after, force=True)


@contextlib.contextmanager
def _changing(file: Path) -> Iterator[str]:
    """Its text, while nobody else changes it."""
    folder = file.resolve().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        message = (
            f"{file}: cannot be written ({error.strerror}); set EDGEKIT_TARGETS to another file"
        )
        raise OutputError(message) from error
    try:
        with contextlib.suppress(OSError):  # a network file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield _text(file)
    finally:
        os.close(descriptor)
