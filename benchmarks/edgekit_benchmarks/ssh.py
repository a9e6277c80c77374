"""One connection to a device by the system's ``ssh``, shared by all that is done there.

    with Connection(target) as connection:
        print(connection.run("uname -m", timeout_s=10).text)

The user's configuration, keys, agent and known hosts apply, and host keys are checked. Nothing is
asked: whatever would need an answer is an error that says what to do once, by hand. The variable
``EDGEKIT_SSH`` takes the place of ``ssh``, with options: ``EDGEKIT_SSH="ssh -F lab.config"``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edgekit_benchmarks.ssh_client import login, no_client, ssh_command
from edgekit_benchmarks.ssh_words import one_line, refusal
from edgekit_benchmarks.target import Target, TargetError

CONNECT_S = 10
"""How long a device may take to answer at all."""
ALIVE_S = 3
"""A silent connection is asked for a sign of life so often; after three it counts as cut."""

_LOGIN_S = 45
_IDLE_S = 5  # as long as a connection outlives us, if we are killed
_PREFIX = "edgekit-ssh-"
_BEING_MADE_S = 60
_PARENT_BYTES = 60  # a socket's path has 104 on macOS, and ssh adds 17 while it makes the socket
_UNSAFE = frozenset("\n!\\")
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT_S),
    "ServerAliveInterval": str(ALIVE_S),
    "ServerAliveCountMax": "3",
    "LogLevel": "INFO",
    # What people have in their configuration for their own logins, and which would disturb here.
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "VisualHostKey": "no",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command on the device printed, and how it ended."""

    code: int
    text: str
    said: str
    """Standard error."""


class Connection:
    """An open connection; used in ``with``."""

    def __init__(self, target: Target) -> None:
        """Connect and log in.

        Raises:
            TargetError: no connection, in words.
            MissingDependencyError: there is no ssh here.
            UsageError: EDGEKIT_SSH cannot be read.
        """
        self.target = target
        self._ssh = ssh_command()
        self._folder = _private_folder()
        self._owned = _locked(self._folder)
        self._socket = self._folder / "s"
        self._log = self._folder / "log"
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def argv(self, script: str, *arguments: str) -> list[str]:
        """The command here that runs `script` there with ``sh``, whatever the login shell is.

        Args:
            script: for ``sh``; one line, without ``!`` and backslashes, which csh and fish read
                even between quotes.
            arguments: ``$1`` and so on, quoted; the same holds for them.
        """
        command = shlex.join(["exec", "sh", "-c", script, "sh", *arguments])
        assert not _UNSAFE & set(command), command
        return [*self._words("-o", "ControlMaster=no"), "-T", *self.target.ssh_words, command]

    def run(self, script: str, *arguments: str, data: bytes = b"", timeout_s: float) -> Answer:
        """Run a script there, and wait for its end; what the login shell prints is left out.

        Args:
            script: see `argv`.
            arguments: see `argv`.
            data: its standard input.
            timeout_s: until it has ended.

        Raises:
            TargetError: the connection broke, or the command takes too long.
        """
        mark = f"edgekit-{uuid.uuid4().hex}"
        try:
            done = subprocess.run(
                self.argv(f"echo {mark}; {script}", *arguments),
                input=data,
                capture_output=True,
                timeout=timeout_s,
                check=False,
                start_new_session=True,  # Ctrl-C reaches us alone
            )
        except subprocess.TimeoutExpired:
            message = f"{self.target.name}: no answer after {timeout_s:g} s; is it very busy?"
            raise TargetError(message) from None
        said = done.stderr.decode(errors="replace").strip()
        _, found, text = done.stdout.decode(errors="replace").partition(mark)
        if not found:
            is_cut = done.returncode == 255
            words = self.why(said) if is_cut else no_commands(self.target, done.stdout, said)
            message = f"{self.target.name}: {words}"
            raise TargetError(message)
        return Answer(code=done.returncode, text=text.strip(), said=said)

    @property
    def alive(self) -> bool:
        """Whether the connection still stands, as far as ssh has noticed."""
        return self._control("check")

    def why(self, said: str = "") -> str:
        """Why there is no connection: ``what is wrong; what to do``."""
        return refusal(self.target, f"{self._logged()}\n{said}")

    def close(self) -> None:
        """Leave; safe to call twice."""
        if self._owned is None:
            return
        if self._socket.exists():
            self._control("exit")
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._owned)
        self._owned = None

    def _open(self) -> None:
        """Start ssh in the background, where it keeps the connection for the others."""
        command = [
            *self._words("-o", "ControlMaster=yes", "-o", f"ControlPersist={_IDLE_S}"),
            *("-E", str(self._log), "-N", "-f", *self.target.ssh_words),
        ]
        said = self._folder / "said"
        try:
            with said.open("wb") as errors:  # no pipe, which would stay open in the background
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    timeout=_LOGIN_S,
                    check=False,
                    start_new_session=True,
                )
        except OSError as error:
            raise no_client(error) from error
        except subprocess.TimeoutExpired:
            message = (
                f"{self.target.name}: does not finish the login within {_LOGIN_S} s; "
                f"try: {login(self.target)}"
            )
            raise TargetError(message) from None
        if done.returncode != 0:
            told = said.read_text(errors="replace")
            message = f"{self.target.name}: {self.why(told)}"
            raise TargetError(message)

    def _words(self, *more: str) -> list[str]:
        options = [word for name, value in _OPTIONS.items() for word in ("-o", f"{name}={value}")]
        return [*self._ssh, *more, *options, "-S", str(self._socket)]

    def _control(self, order: str) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired, OSError):
            done = subprocess.run(
                [*self._ssh, "-S", str(self._socket), "-O", order, *self.target.ssh_words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=CONNECT_S,
                check=False,
            )
            return done.returncode == 0
        return False

    def _logged(self) -> str:
        with contextlib.suppress(OSError):
            return self._log.read_text(errors="replace")
        return ""


def no_commands(target: Target, printed: bytes, said: str) -> str:
    """In words: the login works, and what should run there does not."""
    told = " | ".join([*printed.decode(errors="replace").splitlines(), *said.splitlines()][-3:])
    quoted = f" (it said: {one_line(told)})" if told else ""
    return f"the account runs no commands{quoted}; try: {login(target)} uname"


def _private_folder() -> Path:
    """For the socket, whose path must be short."""
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > _PARENT_BYTES:
        parent = "/tmp"  # noqa: S108 - the folder in it is private
    _remove_abandoned(Path(parent))
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))


def _locked(folder: Path) -> int | None:
    """A descriptor that locks the folder as long as this process lives; None if another has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_abandoned(parent: Path) -> None:
    """Folders of ours whose process was killed before it could remove them."""
    for folder in parent.glob(_PREFIX + "*"):
        with contextlib.suppress(OSError):
            about = folder.lstat()
            if about.st_uid != os.getuid() or time.time() - about.st_mtime < _BEING_MADE_S:
                continue
            descriptor = _locked(folder)
            if descriptor is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)
