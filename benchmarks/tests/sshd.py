"""A real OpenSSH server on this machine as a device: own keys, own known hosts, own port.

    with Device(tmp_path) as device:
        os.environ["EDGEKIT_SSH"] = device.client
        connect(Target(name="pi", url=device.url))

What a login finds there is made up: its home, temporary folder, cache and board lie below the given
folder, so that what is left behind can be seen.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

SERVER = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
MISSING = "sshd is not installed; on Debian: apt-get install openssh-server"
_START_S = 10


class Device:
    """A server with one account: the one that runs the tests."""

    def __init__(
        self,
        folder: Path,
        *,
        shell: str | None = None,
        address: str = "127.0.0.1",
        namespace: str | None = None,
        variables: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """Make keys and configurations; nothing runs yet.

        Args:
            folder: for all of it.
            shell: takes the place of the login shell; it gets the command as ``-c COMMAND``.
            address: to listen on.
            namespace: of the network, where the server is to run.
            variables: of the environment of each login, besides HOME and TMPDIR.
            options: further lines of the server's configuration.
        """
        self.folder = folder
        self.home = folder / "home"
        self.temporary = folder / "device-tmp"
        self.address = address
        self.port = _free_port()
        self.variables = dict(variables or {})
        self.options = tuple(options)
        self.shell = shell
        self._namespace = namespace
        self._process: subprocess.Popen[bytes] | None = None
        for made in (self.home, self.temporary):
            made.mkdir(parents=True)
        self.make_key("host")
        self.make_key("user")
        (folder / "authorized_keys").write_text((folder / "user.pub").read_text())
        self.accept_host_key()
        self._write_client()

    @property
    def url(self) -> str:
        """Of the target."""
        return f"ssh://{_user()}@{self.address}:{self.port}"

    @property
    def client(self) -> str:
        """For the variable ``EDGEKIT_SSH``."""
        return shlex.join(["ssh", "-F", str(self.folder / "ssh_config")])

    @property
    def path(self) -> Path:
        """Programs that a login finds before all others."""
        return self.folder / "bin"

    def make_key(self, name: str) -> None:
        """A pair of keys, instead of an older one."""
        key = self.folder / name
        key.unlink(missing_ok=True)
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)]
        subprocess.run(words, check=True)

    def accept_host_key(self) -> None:
        """As if someone had logged in once and said yes."""
        key = (self.folder / "host.pub").read_text()
        line = f"[{self.address}]:{self.port} {key}"
        (self.folder / "known_hosts").write_text(line)

    def processes(self) -> list[int]:
        """Whatever runs there and was started by a login, servers of logins included."""
        mark = f"EDGEKIT_TEST_DEVICE={self.folder}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark in environment:
                found.append(int(entry.name))
        return sorted(found)

    def sessions(self) -> list[int]:
        """The processes of the server that each serve one connection."""
        return [] if self._process is None else _descendants(self._process.pid, name="sshd")

    def cut(self) -> None:
        """End all connections, as when the device's server dies."""
        for pid in self.sessions():
            with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
                os.kill(pid, signal.SIGKILL)

    def left(self) -> list[str]:
        """Files in the temporary folder; those that are on their way out may take a moment."""
        return sorted(str(path.relative_to(self.temporary)) for path in self.temporary.rglob("*"))

    def wait_until_idle(self, limit_s: float = 5.0) -> bool:
        """Whether nothing of a login runs any more, and nothing of it lies about."""
        end = time.monotonic() + limit_s
        while self.processes() or self.left():
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it with all its connections."""
        self.stop()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        assert SERVER, MISSING
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # its empty folder, which an init would make
        self._write_server()
        words = [SERVER, "-D", "-e", "-f", str(self.folder / "sshd_config")]
        if self._namespace:
            words = ["ip", "netns", "exec", self._namespace, *words]
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=log)
        end = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.folder / "sshd.log").read_text())
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server and what it started."""
        if self._process is None:
            return
        self.cut()
        self._process.terminate()
        self._process.wait()
        self._process = None
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.address, self.port), timeout=1) as connected:
                return connected.recv(4) == b"SSH-"
        except OSError:
            return False

    def _write_server(self) -> None:
        variables = {
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "EDGEKIT_TEST_DEVICE": str(self.folder),
            "PATH": f"{self.path}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            **self.variables,
        }
        lines = [
            *self.options,
            f"Port {self.port}",
            f"ListenAddress {self.address}",
            f"HostKey {self.folder / 'host'}",
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
            "PidFile none",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "SetEnv " + " ".join(f'"{name}={value}"' for name, value in variables.items()),
        ]
        if self.shell:
            wrapper = self.folder / "shell"
            wrapper.write_text(f'#!/bin/sh\nexec {self.shell} -c "$SSH_ORIGINAL_COMMAND"\n')
            wrapper.chmod(0o755)
            lines.append(f"ForceCommand {wrapper}")
        (self.folder / "sshd_config").write_text("\n".join([*lines, ""]))

    def _write_client(self) -> None:
        lines = [
            "Host *",
            f"  IdentityFile {self.folder / 'user'}",
            "  IdentitiesOnly yes",
            "  IdentityAgent none",
            f"  UserKnownHostsFile {self.folder / 'known_hosts'}",
            "  GlobalKnownHostsFile /dev/null",
            "Host board",
            f"  HostName {self.address}",
            f"  Port {self.port}",
            f"  User {_user()}",
        ]
        (self.folder / "ssh_config").write_text("\n".join([*lines, ""]))


def _user() -> str:
    import getpass

    return getpass.getuser()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _descendants(pid: int, *, name: str) -> list[int]:
    """Processes below `pid` called `name`."""
    parents: dict[int, list[int]] = {}
    names = {}
    for entry in Path("/proc").iterdir():
        try:
            before, _, after = (entry / "stat").read_text().rpartition(")")
        except OSError:
            continue
        number = int(before.split(" ", 1)[0])
        names[number] = before.partition("(")[2]
        parents.setdefault(int(after.split()[1]), []).append(number)
    found, waiting = [], list(parents.get(pid, []))
    while waiting:
        number = waiting.pop()
        waiting += parents.get(number, [])
        if names[number].startswith(name):
            found.append(number)
    return found
