"""Devices over ssh whose connection, worker, disk or network goes away in the middle."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgekit.errors import CrashError, EdgekitError, OutputError
from edgekit_benchmarks.open_link import open_link as connect
from edgekit_benchmarks.ssh_link import SshLink
from edgekit_benchmarks.target import Target, TargetError

if TYPE_CHECKING:
    from tests.sshd import Device

IS_ROOT = os.getuid() == 0


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


def noisy(tmp_path: Path, noise: str) -> str:
    script = tmp_path / "noisy-shell"
    script.write_text(f'#!/bin/sh\n{noise}\nexec sh "$@"\n')
    script.chmod(0o755)
    return str(script)


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
    with link, pytest.raises(CrashError, match="pi: the connection broke off.*; is the device up"):
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
        "from edgekit_benchmarks.open_link import open_link as connect\n"
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
