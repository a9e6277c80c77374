"""Devices over ssh that cannot be reached, each told in words with what to do."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgekit.errors import MissingDependencyError
from edgekit_benchmarks.open_link import open_link as connect
from edgekit_benchmarks.ssh_client import copying, login
from edgekit_benchmarks.target import Target, TargetError, from_url

if TYPE_CHECKING:
    from tests.sshd import Device


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Our own temporary folder, to see what is left in it."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def target(device: Device, **more: str) -> Target:
    return Target(name="pi", url=device.url, **more)


def test_a_host_key_that_is_not_known_is_not_accepted(device: Device) -> None:
    (device.folder / "known_hosts").write_text("")
    with pytest.raises(TargetError, match="pi: its host key is not known here; run once") as caught:
        connect(target(device))
    assert str(caught.value).endswith(login(target(device)))
    assert (device.folder / "known_hosts").read_text() == ""


def test_a_host_key_that_changed_is_not_accepted(device: Device) -> None:
    device.stop()
    device.make_key("host")
    device.start()
    with pytest.raises(TargetError, match="is not the one that was accepted before") as caught:
        connect(target(device))
    assert "ssh-keygen -f" in str(caught.value)
    advised = str(caught.value).partition("run: ")[2].partition(", and then")[0]
    subprocess.run(shlex.split(advised), check=True, capture_output=True)
    with pytest.raises(TargetError, match="its host key is not known here; run once"):
        connect(target(device))


def test_a_key_that_is_refused_is_told(device: Device) -> None:
    device.make_key("user")
    with pytest.raises(TargetError, match="refuses the login with our keys; run once: ssh-copy-id"):
        connect(target(device))


def test_a_key_that_others_can_read_is_told(device: Device) -> None:
    (device.folder / "user").chmod(0o644)
    with pytest.raises(TargetError, match="can be read by others.*run: chmod 600 ") as caught:
        connect(target(device))
    subprocess.run(shlex.split(str(caught.value).partition("run: ")[2]), check=True)
    with connect(target(device)) as link:
        assert link.hello


def test_a_server_that_is_not_there_is_told(device: Device) -> None:
    device.stop()
    with pytest.raises(TargetError, match=f"nothing listens on port {device.port}; turn ssh on"):
        connect(target(device))


def test_a_name_that_nobody_knows_is_told(device: Device) -> None:
    with pytest.raises(TargetError, match=r"there is no host called no-such-host\.invalid"):
        connect(from_url("ssh://pi@no-such-host.invalid"))
    named = Target(name="pi", url="ssh://pi@no-such-host.invalid", python="py")
    said = "edgekit targets add pi ssh://USER@ADDRESS --python py --force"
    with pytest.raises(TargetError, match=said):
        connect(named)


def test_the_login_that_is_advised_works_as_it_stands_there(device: Device) -> None:
    done = subprocess.run(
        [*shlex.split(login(target(device))), "echo", "in"], capture_output=True, check=True
    )
    assert done.stdout == b"in\n"


def test_the_copying_of_a_key_that_is_advised_works_as_it_stands_there(device: Device) -> None:
    words = shlex.split(copying(target(device)))
    assert words[:2] == ["ssh-copy-id", "-F"]
    if shutil.which("ssh-copy-id") is None:
        pytest.skip("ssh-copy-id is not installed")
    environment = {**os.environ, "HOME": str(device.home), "SSH_AUTH_SOCK": ""}
    (device.home / ".ssh").mkdir(mode=0o700)
    for name in ("user", "user.pub"):
        shutil.copy(device.folder / name, device.home / ".ssh" / name.replace("user", "id_ed25519"))
    done = subprocess.run(words, capture_output=True, check=False, env=environment, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ("/nope", "/nope: does not start (No such file or directory); EDGEKIT_SSH names it"),
        ("/", "/: does not start (Permission denied); EDGEKIT_SSH names it"),
    ],
)
def test_a_client_that_does_not_start_is_told(
    monkeypatch: pytest.MonkeyPatch, client: str, said: str
) -> None:
    monkeypatch.setenv("EDGEKIT_SSH", client)
    with pytest.raises(MissingDependencyError, match=re.escape(said)):
        connect(from_url("ssh://pi@pi5"))


def test_a_host_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_SSH", "ssh -F /dev/null -o ConnectTimeout=1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(TargetError, match="does not answer .*timed out"):
            connect(from_url(f"ssh://pi@127.0.0.1:{port}"))


def test_something_else_on_the_port_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_SSH", "ssh -F /dev/null")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(TargetError, match="the connection broke off"):
            connect(from_url(f"ssh://pi@127.0.0.1:{server.getsockname()[1]}"))
        thread.join()


def test_a_wrong_ssh_configuration_is_told(device: Device) -> None:
    with (device.folder / "ssh_config").open("a") as file:
        file.write("  NoSuchOption yes\n")
    with pytest.raises(TargetError, match=r"the ssh configuration here is wrong .*nosuchoption"):
        connect(target(device))


def test_a_missing_ssh_client_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEKIT_SSH", raising=False)
    monkeypatch.setenv("PATH", "/no/such/folder")
    with pytest.raises(MissingDependencyError, match=r"not installed; .*openssh-client"):
        connect(from_url("ssh://pi@127.0.0.1"))


def test_a_failed_login_leaves_nothing_here(device: Device, here: Path) -> None:
    device.make_key("user")
    with pytest.raises(TargetError):
        connect(target(device))
    assert list(here.iterdir()) == []


def test_a_long_temporary_folder_does_not_matter(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with connect(target(device)) as link:
        assert link.hello
    assert list(folder.iterdir()) == []
