"""A device to measure on: this machine, one that ``ssh`` reaches, or an emulated board."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.errors import EdgekitError, UsageError
from edgekit_benchmarks.board import find_board

LOCAL = "local"
"""Name and URL of this machine."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_USER = r"(?P<user>[A-Za-z0-9_][A-Za-z0-9_.+-]*\$?)"
_HOST = r"(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[(?P<ipv6>[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?)\])"
_URL = re.compile(rf"ssh://(?:{_USER}@)?{_HOST}(?::(?P<port>[0-9]{{1,5}}))?/?")
_PYTHON = re.compile(r"(~/|/)?[\w.+@ -]+(/[\w.+@ -]+)*")
_EMULATED = "emulated://"
_FORM = "write ssh://user@host or ssh://user@host:port"


class TargetError(EdgekitError):
    """The device cannot be used: unreachable, key refused, no Python, no space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where it is, and which Python measures there."""

    name: str
    url: str
    python: str | None = None
    """A command or path on the device, perhaps from ``~/`` on; None: the one of ``targets setup``,
    or else ``python3``."""

    def __post_init__(self) -> None:
        """Refuse what cannot be a target.

        Raises:
            UsageError: the URL has another form, or the Python is no path.
        """
        python = self.python
        if self.board is not None:
            find_board(self.board)
            if python is not None:
                message = f"{self.name}: is emulated, with its own Python; leave --python out"
                raise UsageError(message)
        elif self.url != LOCAL:
            _check_url(self.url)
        if python is not None and (not _PYTHON.fullmatch(python) or python.startswith("-")):
            message = (
                f"{self.name}: {python!r} is no path of a Python; write e.g. ~/venv/bin/python, "
                "without quotes and shell characters"
            )
            raise UsageError(message)

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return self.url == LOCAL

    @property
    def is_emulated(self) -> bool:
        """Whether it is a board that QEMU stands for here: right, and without a meaningful time."""
        return self.board is not None

    @property
    def is_remote(self) -> bool:
        """Whether ``ssh`` reaches it."""
        return not self.is_local and not self.is_emulated

    @property
    def board(self) -> str | None:
        """The name of the emulated board.

        >>> Target(name="lab", url="emulated://pi4").board
        'pi4'
        """
        return self.url.removeprefix(_EMULATED) if self.url.startswith(_EMULATED) else None

    @property
    def host(self) -> str:
        """A host name, an address, or an alias of the user's ssh configuration."""
        found = _parts(self.url)
        return found["ipv6"] or found["host"] or ""

    @property
    def user(self) -> str | None:
        """Who logs in there; None leaves it to the ssh configuration."""
        return _parts(self.url)["user"]

    @property
    def port(self) -> int | None:
        """None leaves it to the ssh configuration."""
        text = _parts(self.url)["port"]
        return int(text) if text else None

    @property
    def ssh_words(self) -> tuple[str, ...]:
        """What follows ``ssh`` and its options to name the device; no word can be an option.

        >>> Target(name="pi5", url="ssh://pi@pi5.local:2222").ssh_words
        ('-p', '2222', '-l', 'pi', '--', 'pi5.local')
        """
        port = ("-p", str(self.port)) if self.port else ()
        user = ("-l", self.user) if self.user else ()
        return (*port, *user, "--", self.host)


def from_url(url: str) -> Target:
    """A target that stands in no file, named by its URL.

    >>> from_url("ssh://pi@10.0.0.7").host
    '10.0.0.7'

    Raises:
        UsageError: it is no URL of a target.
    """
    return Target(name=url, url=url)


def check_name(name: str) -> str:
    """The name, if it can be one.

    Raises:
        UsageError: it is `local`, or holds other characters than letters, digits, ``-_.``.
    """
    if name == LOCAL:
        message = f"{LOCAL}: is this machine; choose another name"
        raise UsageError(message)
    if not _NAME.fullmatch(name):
        message = (
            f"{name!r}: is no name of a target; use up to 64 letters, digits, '-', '_' and '.', "
            "beginning with a letter or digit"
        )
        raise UsageError(message)
    return name


def _check_url(url: str) -> None:
    shown = re.sub(r":[^@/]*@", ":…@", url)
    if shown != url:
        message = f"{shown!r}: a password has no place in a URL; use a key: ssh-copy-id"
        raise UsageError(message)
    found = _URL.fullmatch(url)
    if not found:
        message = f"{url!r}: is no URL of a target; {_FORM}"
        raise UsageError(message)
    port = found["port"]
    if port and not 1 <= int(port) <= 65535:
        message = f"{url!r}: there is no port {port}; {_FORM}"
        raise UsageError(message)


def _parts(url: str) -> dict[str, str | None]:
    found = _URL.fullmatch(url)
    assert found, "checked when the target was made"
    return found.groupdict()
