"""Devices over ssh: a real server on loopback, and what can go wrong with it."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgekit.errors import CrashError, EdgekitError, MissingDependencyError, OutputError
from edgekit_benchmarks.link import LocalLink
from edgekit_benchmarks.ssh import Connection
from edgekit_benchmarks.ssh_link import SshLink, connect
from edgekit_benchmarks.target import Target, TargetError, from_url
from edgekit_benchmarks.worker_file import worker_sha256

if TYPE_CHECKING:
    from tests.sshd import Device

IS_ROOT = os.getuid() == 0


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


def wait_for_lock(link: SshLink, then: Callable[[], object]) -> None:
    """A request that lasts, as somebody else has the lock; `then` happens in the middle of it."""
    waiting = threading.Timer(0.3, then)
    waiting.start()
    try:
        link.request("lock", timeout_s=60, wait_s=50)
    finally:
        waiting.join()


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


# ---- no connection


def test_a_host_key_that_is_not_known_is_not_accepted(device: Device) -> None:
    (device.folder / "known_hosts").write_text("")
    with pytest.raises(TargetError, match="pi: its host key is not known here; run once") as caught:
        connect(target(device))
    assert f"ssh -p {device.port} " in str(caught.value)
    assert (device.folder / "known_hosts").read_text() == ""


def test_a_host_key_that_changed_is_not_accepted(device: Device) -> None:
    device.stop()
    device.make_key("host")
    device.start()
    with pytest.raises(TargetError, match="is not the one that was accepted before") as caught:
        connect(target(device))
    assert "ssh-keygen -f" in str(caught.value)


def test_a_key_that_is_refused_is_told(device: Device) -> None:
    device.make_key("user")
    with pytest.raises(TargetError, match="refuses the login with our keys; run once: ssh-copy-id"):
        connect(target(device))


def test_a_key_that_others_can_read_is_told(device: Device) -> None:
    (device.folder / "user").chmod(0o644)
    with pytest.raises(TargetError, match="can be read by others"):
        connect(target(device))


def test_a_server_that_is_not_there_is_told(device: Device) -> None:
    device.stop()
    with pytest.raises(TargetError, match=f"nothing listens on port {device.port}; turn ssh on"):
        connect(target(device))


def test_a_name_that_nobody_knows_is_told(device: Device) -> None:
    with pytest.raises(TargetError, match=r"there is no host called no-such-host\.invalid"):
        connect(from_url("ssh://pi@no-such-host.invalid"))


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
    monkeypatch.setenv("EDGEKIT_SSH", "/no/such/ssh")
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


# ---- in the middle


@pytest.fixture
def occupied(device: Device) -> Iterator[Device]:
    """A device whose lock somebody else has."""
    with connect(target(device)) as other:
        other.request("lock", timeout_s=10)
        yield device


def test_a_second_benchmark_waits_and_is_then_refused(occupied: Device) -> None:
    events: list[dict[str, Any]] = []
    with connect(target(occupied)) as link:
        with pytest.raises(EdgekitError, match="pi: device: another benchmark runs on it"):
            link.request("lock", timeout_s=30, wait_s=0.2, on_event=events.append)
        assert events[0]["kind"] == "waiting"
        assert link.request("facts", timeout_s=30)


def test_a_connection_that_is_cut_is_noticed_at_once(occupied: Device) -> None:
    link = SshLink(target(occupied))
    begun = time.monotonic()
    with link, pytest.raises(CrashError, match="pi: the connection broke off.*--resume"):
        wait_for_lock(link, occupied.cut)
    assert time.monotonic() - begun < 8
    assert occupied.wait_until_idle()


def test_a_cut_while_a_file_is_sent_leaves_no_half_of_it(device: Device, tmp_path: Path) -> None:
    (tmp_path / "big.tflite").write_bytes(os.urandom(1 << 20) * 400)
    link = SshLink(target(device))
    cut = threading.Timer(0.3, device.cut)
    cut.start()
    with link, pytest.raises(CrashError, match="the connection broke off"):
        link.put(tmp_path / "big.tflite")
    cut.join()
    assert device.wait_until_idle()


def test_a_worker_that_hangs_is_killed_and_swept_away(device: Device) -> None:
    link = SshLink(target(device), silence_s=1.5)
    link.request("lock", timeout_s=10)
    pid = int(link.hello["pid"])
    os.kill(pid, signal.SIGSTOP)
    with link, pytest.raises(CrashError, match=r"not a word for 1\.5 s"):
        link.request("facts", timeout_s=60)
    assert ended(pid)
    assert device.wait_until_idle()


def test_a_worker_that_is_killed_is_told_and_its_folder_removed(occupied: Device) -> None:
    link = SshLink(target(occupied))
    pid = int(link.hello["pid"])
    with link, pytest.raises(CrashError, match="the worker was killed there"):
        wait_for_lock(link, lambda: os.kill(pid, signal.SIGKILL))
    assert not Path(link.hello["folder"]).exists()


def test_a_measuring_process_ends_with_the_connection(device: Device, tiny_onnx: Any) -> None:
    model = tiny_onnx()
    seen = threading.Event()
    row = {"key": "a", "runtime": "auto", "threads": 1}
    spec = {"mode": "steady", "inputs": None, "warm_up_s": 0.1, "chunk_s": 0.1, "budget_s": 30.0}

    def on_event(event: dict[str, Any]) -> None:
        if event["kind"] == "watch" and not seen.is_set():
            seen.set()
            device.cut()

    with SshLink(target(device)) as link:
        rows = [{**row, "path": link.put(model)}]
        with pytest.raises(CrashError, match="the connection broke off"):
            link.request(
                "run", spec={**spec, "rows": rows}, limit_s=60, timeout_s=70, on_event=on_event
            )
    assert seen.is_set()
    assert device.wait_until_idle()


def test_nothing_is_left_when_we_are_killed(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setattr("tempfile.tempdir", str(here))
    program = (
        "import sys, time\n"
        "from edgekit_benchmarks.ssh_link import connect\n"
        "from edgekit_benchmarks.target import from_url\n"
        "link = connect(from_url(sys.argv[1]))\n"
        "print('linked', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, device.url],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(here)},
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"linked\n"
        assert device.processes()
        child.kill()
    assert device.wait_until_idle()
    (abandoned,) = here.iterdir()
    os.utime(abandoned, (0, 0))
    with connect(target(device)):
        assert not abandoned.exists()
    here.rmdir()


# ---- no space, no right to write


def test_a_home_that_cannot_be_written_does_not_matter(start_device: Callable[..., Device]) -> None:
    device = start_device(variables={"HOME": "/proc"})
    with connect(target(device)) as link:
        assert link.hello
    (kept,) = device.temporary.iterdir()
    assert kept.name == f"edgekit-{os.getuid()}"
    assert kept.stat().st_mode & 0o777 == 0o700


def test_a_cache_that_others_can_write_is_not_used(device: Device) -> None:
    folder = device.home / ".cache/edgekit"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with connect(target(device)) as link:
        assert link.hello
    assert list(folder.iterdir()) == []


def test_a_limit_on_files_is_told_as_no_space(
    start_device: Callable[..., Device], tmp_path: Path
) -> None:
    device = start_device(shell=noisy(tmp_path, "ulimit -f 4"))
    with pytest.raises(TargetError, match=r"pi: the worker cannot be put there .*File too large"):
        connect(target(device))
    assert [path for path in device.home.rglob("*") if path.is_file()] == []


def test_a_home_without_space_does_not_matter(
    start_device: Callable[..., Device], small_disk: Path
) -> None:
    device = start_device(variables={"HOME": str(small_disk)})
    (small_disk / "full").write_bytes(bytes(2 << 20))
    with connect(target(device)) as link:
        assert link.hello
    assert [path.name for path in small_disk.rglob("*") if path.is_file()] == ["full"]


def test_a_disk_that_fills_while_a_file_is_sent_is_told(
    start_device: Callable[..., Device], tmp_path: Path
) -> None:
    device = start_device(shell=noisy(tmp_path, "ulimit -f 400"))
    (tmp_path / "big.tflite").write_bytes(bytes(3_000_000))
    with connect(target(device)) as link:
        with pytest.raises(OutputError, match=r"File too large .*; free some space"):
            link.put(tmp_path / "big.tflite")
        assert link.request("facts", timeout_s=30)
    assert device.wait_until_idle()


def test_a_model_that_does_not_fit_is_told_with_sizes(
    start_device: Callable[..., Device], small_disk: Path, tmp_path: Path
) -> None:
    device = start_device(variables={"TMPDIR": str(small_disk)})
    (tmp_path / "big.tflite").write_bytes(bytes(3_000_000))
    with connect(target(device)) as link:
        with pytest.raises(OutputError, match=r"takes 3000000 bytes, and \d+ are free"):
            link.put(tmp_path / "big.tflite")
        assert link.request("facts", timeout_s=30)
    assert list(small_disk.iterdir()) == []


# ---- the network goes away


@pytest.fixture
def network() -> Iterator[str]:
    """A network of its own, whose device is 10.213.7.2."""
    name = f"edgekit{os.getpid()}"
    inside = ["ip", "-n", name]
    words = [
        ["ip", "netns", "add", name],
        ["ip", "link", "add", "edgekit0", "type", "veth", "peer", "name", "eth0", "netns", name],
        ["ip", "addr", "add", "10.213.7.1/24", "dev", "edgekit0"],
        ["ip", "link", "set", "edgekit0", "up"],
        [*inside, "addr", "add", "10.213.7.2/24", "dev", "eth0"],
        [*inside, "link", "set", "eth0", "up"],
        [*inside, "link", "set", "lo", "up"],
    ]
    if not IS_ROOT or not shutil.which("ip"):
        pytest.skip("a network of its own takes root and ip (apt-get install iproute2)")
    try:
        for command in words:
            if subprocess.run(command, check=False, capture_output=True).returncode:
                pytest.skip(f"this machine has no networks of their own: {' '.join(command)}")
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.mark.slow
def test_a_network_that_goes_away_is_noticed_within_seconds(
    start_device: Callable[..., Device], network: str
) -> None:
    device = start_device(address="10.213.7.2", namespace=network)
    down = ["ip", "-n", network, "link", "set", "eth0", "down"]
    with connect(target(device)) as other:
        other.request("lock", timeout_s=10)
        link = SshLink(target(device), dead_s=15)
        begun = time.monotonic()
        with link, pytest.raises(CrashError, match="pi: the connection broke off .*not responding"):
            wait_for_lock(link, lambda: subprocess.run(down, check=True))
        assert time.monotonic() - begun < 18
        with pytest.raises(TargetError, match="pi: does not answer"):
            connect(target(device))
        assert ended(int(link.hello["pid"]), limit_s=20)
        assert not Path(link.hello["folder"]).exists()
