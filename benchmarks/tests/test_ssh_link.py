"""Devices over ssh: a real server on loopback, and what can go wrong with it."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgekit.errors import CrashError
from edgekit_benchmarks.link import LocalLink
from edgekit_benchmarks.open_link import open_link as connect
from edgekit_benchmarks.ssh import Connection
from edgekit_benchmarks.ssh_link import SshLink
from edgekit_benchmarks.target import Target, TargetError, from_url
from edgekit_benchmarks.worker_file import worker_sha256

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


def ended(pid: int, limit_s: float = 5.0) -> bool:
    end = time.monotonic() + limit_s
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


# ---- as anywhere else


def test_the_agent_there_is_the_worker_of_this_edgekit(device: Device) -> None:
    with connect(target(device)) as link:
        assert link.hello["sha256"] == worker_sha256()


def test_the_facts_are_those_that_this_machine_tells_of_itself(device: Device) -> None:
    with connect(target(device)) as there, LocalLink() as here:
        told = [link.request("facts", timeout_s=30) for link in (there, here)]
    same = ("model", "cpu", "features", "kernel", "machine", "libc", "boot_id", "python")
    assert [told[0][name] for name in same] == [told[1][name] for name in same]


def test_a_file_arrives_whole(device: Device, tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    (tmp_path / "m.tflite").write_bytes(content)
    with connect(target(device)) as link:
        path = Path(link.put(tmp_path / "m.tflite"))
        assert path.is_relative_to(device.temporary)
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(content).digest()


def test_nothing_is_left_but_the_worker_for_the_next_time(device: Device, here: Path) -> None:
    with connect(target(device)):
        assert device.processes()
    assert device.wait_until_idle()
    assert [path.suffix for path in device.home.rglob("*") if path.is_file()] == [".pyz"]
    assert list(here.iterdir()) == []


def test_the_worker_is_brought_only_once(device: Device) -> None:
    times = []
    for _ in range(2):
        with connect(target(device)):
            (worker,) = (device.home / ".cache/edgekit").iterdir()
            times.append(worker.stat().st_ctime_ns and worker.stat().st_ino)
    assert times[0] == times[1]


def test_a_damaged_worker_is_brought_again(device: Device) -> None:
    with connect(target(device)):
        (worker,) = (device.home / ".cache/edgekit").iterdir()
    whole = worker.read_bytes()
    worker.write_bytes(whole[:-100] + b"import evil")
    with connect(target(device)):
        assert worker.read_bytes() == whole


def test_workers_that_nobody_used_for_long_are_removed(device: Device) -> None:
    folder = device.home / ".cache/edgekit"
    folder.mkdir(parents=True, mode=0o700)
    for name, age_days in (("worker-0123456789abcdef.pyz", 8), ("worker-00000000000000ff.pyz", 1)):
        (folder / name).write_text("old")
        then = time.time() - age_days * 86400
        os.utime(folder / name, (then, then))
    with connect(target(device)) as link:
        names = {path.name for path in folder.iterdir()}
        assert len(names) == 2
        assert "worker-0123456789abcdef.pyz" not in names
        assert link.hello


def test_an_alias_of_the_ssh_configuration_is_a_host(device: Device) -> None:
    with connect(from_url("ssh://board")) as link:
        assert link.name == "ssh://board"


def test_the_configuration_for_people_does_not_disturb(device: Device) -> None:
    config = device.folder / "ssh_config"
    disturbing = (
        "RequestTTY force",
        "RemoteCommand tmux attach",
        "LocalForward 1 localhost:1",
        "ExitOnForwardFailure yes",
        "LocalCommand touch /tmp/edgekit-was-here",
        "PermitLocalCommand yes",
        "LogLevel QUIET",
        "ControlMaster auto",
        f"ControlPath {device.folder / 'control'}",
        "VisualHostKey yes",
    )
    lines = "".join(f"  {line}\n" for line in disturbing)
    config.write_text(f"Host 127.0.0.1\n{lines}{config.read_text()}")
    with connect(target(device)) as link:
        assert link.request("facts", timeout_s=30)
    assert not (device.folder / "control").exists()


def test_a_link_over_ssh_takes_little_longer_than_one_here(device: Device) -> None:
    spent_s = []
    for where in (target(device), from_url("local")):
        begun = time.monotonic()
        with connect(where) as link:
            link.request("facts", timeout_s=30)
        spent_s.append(time.monotonic() - begun)
    assert spent_s[0] - spent_s[1] < 4


# ---- login shells


@pytest.mark.parametrize("shell", ["dash", "bash", "zsh", "tcsh", "fish", "busybox sh"])
def test_any_login_shell_will_do(start_device: Callable[..., Device], shell: str) -> None:
    program, *_ = shell.split()
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed; on Debian: apt-get install it")
    with connect(target(start_device(shell=shell))) as link:
        assert link.hello["worker_version"] == 1


def noisy(tmp_path: Path, noise: str) -> str:
    script = tmp_path / "noisy-shell"
    script.write_text(f'#!/bin/sh\n{noise}\nexec sh "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize(
    "noise",
    [
        "echo 'Welcome to Raspberry Pi OS'; echo 'edgekit-boot'; echo warning >&2",
        "printf 'no line end '",
        "printf '\\377\\376 not UTF-8\\n'",
        "yes 'a line of many' | head -n 20000",
    ],
)
def test_what_the_login_shell_prints_does_not_disturb(
    start_device: Callable[..., Device], tmp_path: Path, noise: str
) -> None:
    device = start_device(shell=noisy(tmp_path, noise))
    with connect(target(device)) as link:
        assert link.hello["worker_version"] == 1
    with Connection(target(device)) as connection:
        assert connection.run("echo hi", timeout_s=10).text == "hi"


def test_an_account_that_runs_no_commands_is_told(start_device: Callable[..., Device]) -> None:
    device = start_device(shell="/usr/sbin/nologin")
    with pytest.raises(TargetError, match=r"pi: the account runs no commands .*not available"):
        connect(target(device))


def test_what_a_device_says_does_not_steer_the_terminal(
    start_device: Callable[..., Device], tmp_path: Path
) -> None:
    device = start_device(shell=noisy(tmp_path, "printf 'no\\033[2Jway\\n'; exit 1"))
    with pytest.raises(TargetError, match=r"it said: no \[2Jway") as caught:
        connect(target(device))
    assert str(caught.value).isprintable()


def test_a_server_that_allows_one_session_will_do(start_device: Callable[..., Device]) -> None:
    device = start_device(options=("MaxSessions 1",))
    link = SshLink(target(device), silence_s=1.5)
    pid = int(link.hello["pid"])
    os.kill(pid, signal.SIGSTOP)
    with link, pytest.raises(CrashError, match="not a word"):
        link.request("facts", timeout_s=60)
    assert ended(pid)


# ---- no Python


def path_with(device: Device, **scripts: str) -> None:
    """Only these programs, and the shell's own."""
    device.path.mkdir()
    for name in ("sh", "sleep", "uname"):
        (device.path / name).symlink_to(str(shutil.which(name)))
    for name, script in scripts.items():
        (device.path / name).write_text(f"#!/bin/sh\n{script}\n")
        (device.path / name).chmod(0o755)


def test_a_device_without_python_is_told(
    start_device: Callable[..., Device], tmp_path: Path
) -> None:
    device = start_device(variables={"PATH": str(tmp_path / "device/bin")})
    path_with(device)
    with pytest.raises(TargetError, match=r"pi: has no Python 3\.9 .*\(none\); install one there"):
        connect(target(device))


def test_a_python_that_is_too_old_is_told(
    start_device: Callable[..., Device], tmp_path: Path
) -> None:
    device = start_device(variables={"PATH": str(tmp_path / "device/bin")})
    path_with(device, python3="[ $1 = -V ] && echo Python 3.7.3; exit 1")
    with pytest.raises(TargetError, match=r"pi: has no Python 3\.9 .*\(only Python 3\.7\.3\)"):
        connect(target(device))


def test_a_newer_python_beside_an_old_one_is_found(
    start_device: Callable[..., Device], tmp_path: Path
) -> None:
    device = start_device(variables={"PATH": str(tmp_path / "device/bin")})
    path_with(device, python3="exit 1")
    (device.path / "python3.11").symlink_to(sys.executable)
    with connect(target(device)) as link:
        assert link.hello


def test_a_python_that_was_named_and_is_not_there_is_told(device: Device) -> None:
    with pytest.raises(TargetError, match=r"pi: ~/my env/bin/python is no Python 3\.9"):
        connect(target(device, python="~/my env/bin/python"))


def test_the_named_python_is_used_though_its_path_has_spaces(device: Device) -> None:
    folder = device.home / "my env"
    folder.mkdir()
    script = folder / "python"
    script.write_text(f'#!/bin/sh\ntouch "{folder}/used"\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    with connect(target(device, python="~/my env/python")):
        assert (folder / "used").exists()


def test_the_environment_of_targets_setup_is_preferred(device: Device) -> None:
    folder = device.home / ".local/share/edgekit/venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    with connect(target(device)) as link:
        assert link.request("facts", timeout_s=30)["runtimes"] in ({}, "unknown")
