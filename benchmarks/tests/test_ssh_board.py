"""Emulated boards that one logs in to: the whole command, as against a Raspberry Pi."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.ssh_board import SshBoard

pytestmark = pytest.mark.slow

Start = Callable[..., "SshBoard"]

BOARDS = {
    "pi2": ("Raspberry Pi 2", "Cortex-A7", 32, "armv7l"),
    "pi3": ("Raspberry Pi 3", "Cortex-A53", 64, "aarch64"),
    "zero2w": ("Raspberry Pi Zero 2 W", "Cortex-A53", 64, "aarch64"),
    "pi4": ("Raspberry Pi 4", "Cortex-A72", 64, "aarch64"),
    "pi5": ("Raspberry Pi 5", "Cortex-A76", 64, "aarch64"),
}
PACKAGES = {
    "pi4": {"ai-edge-litert", "onnxruntime", "numpy"},
    "pi2": {"tflite-runtime", "numpy"},
}
RUNTIME = {"pi4": "all", "pi2": "auto"}


@pytest.fixture(scope="module")
def board(start_ssh_board: Start) -> SshBoard:
    """A board that nothing was done to."""
    return start_ssh_board("pi4")


@pytest.fixture(scope="module", params=["pi4", "pi2"])
def ready(request: pytest.FixtureRequest, start_ssh_board: Start) -> Iterator[SshBoard]:
    """A board after ``targets setup --offline``, 64-bit and 32-bit."""
    name = request.param
    made = start_ssh_board(name)
    made.edgekit("targets", "setup", "pi", "--offline", "--runtime", RUNTIME[name])
    yield made
    made.stop()


# ---- what a login finds


def test_a_login_lands_in_the_board(board: SshBoard) -> None:
    said = board.ssh("uname -m; id -un; pwd; hostname -s 2>/dev/null || cat /etc/hostname")
    assert said.split() == ["aarch64", "pi", "/home/pi", "raspberrypi"]


def test_only_what_runs_on_the_board_is_seen_there(board: SshBoard) -> None:
    assert len(board.ssh("ls /proc | grep -E '^[0-9]+$'").split()) < 10
    assert board.ssh("cat /proc/1/cmdline | tr '\\0' ' '").startswith("sshd")
    assert "python" in board.ssh("python3 -c 'print(open(\"/proc/self/cmdline\").read())'")


def test_exit_codes_and_files_come_through(board: SshBoard, tmp_path: Path) -> None:
    config = f"{board.folder}/ssh_config"
    assert subprocess.run(["ssh", "-F", config, "board", "exit 7"], check=False).returncode == 7
    (tmp_path / "there").write_bytes(os.urandom(3_000_000))
    scp = ["scp", "-q", "-F", config]
    subprocess.run([*scp, str(tmp_path / "there"), "board:f"], check=True)
    subprocess.run([*scp, "board:f", str(tmp_path / "back")], check=True)
    assert (tmp_path / "back").read_bytes() == (tmp_path / "there").read_bytes()


def test_the_files_of_the_tree_stay_as_they_are(board: SshBoard) -> None:
    tree = Path(json.loads((board.folder / "board.json").read_text())["tree"])
    board.ssh("echo changed > changed; echo changed > /tmp/changed; python3 -c 'import json'")
    assert board.ssh("cat changed /tmp/changed").split() == ["changed", "changed"]
    assert not list(tree.glob("home/**/changed"))
    assert not (tree / "tmp/changed").exists()
    assert "raspberrypi" not in (tree / "etc/hostname").read_text()


# ---- its facts


@pytest.mark.parametrize("name", BOARDS)
def test_the_facts_are_those_of_the_board(start_ssh_board: Start, name: str) -> None:
    model, cpu, bits, machine = BOARDS[name]
    board = start_ssh_board(name)
    facts = board.check(code=1)["facts"]  # no runtime is there yet
    board.stop()
    assert facts["model"].startswith(model)
    assert facts["cpu"] == f"ARM {cpu}"
    assert (facts["bits"], facts["machine"]) == (bits, machine)
    assert facts["governor"] == "ondemand"
    assert facts["cores_online"] == 4
    assert facts["throttled"] == {"now": [], "since_boot": [], "raw": 0}
    assert facts["memory_bytes"]["total"] < 9e9
    assert facts["emulated"] is True


@pytest.mark.parametrize(
    ("bits", "status", "said"),
    [
        ("0x50005", "fail", "under-voltage, throttled now"),
        ("0x1", "fail", "under-voltage now"),
        ("0x50000", "warn", "under-voltage, throttled since it started"),
        ("0x8", "fail", "soft temperature limit now"),
    ],
)
def test_a_board_with_too_little_power_is_told(
    start_ssh_board: Start, bits: str, status: str, said: str
) -> None:
    board = start_ssh_board("pi4", "--unmarked", "--throttled", bits)
    found = board.check(code=1)
    board.stop()
    assert found["facts"]["throttled"]["raw"] == int(bits, 16)
    assert (found["checks"]["power"]["status"], found["checks"]["power"]["said"]) == (status, said)


def test_a_hot_board_and_its_governor_are_told(start_ssh_board: Start) -> None:
    files = {
        "sys/class/thermal/thermal_zone0/temp": "83000",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "performance",
    }
    options = [word for item in files.items() for word in ("--file", "=".join(item))]
    board = start_ssh_board("pi5", "--unmarked", *options)
    checks = board.check(code=1)["checks"]
    board.stop()
    assert (checks["temperature"]["status"], checks["temperature"]["said"]) == ("fail", "83 °C")
    assert (checks["governor"]["status"], checks["governor"]["said"]) == ("ok", "performance")


# ---- setup, bench


def test_setup_makes_a_board_ready_and_only_once(ready: SshBoard) -> None:
    again = ready.edgekit("targets", "setup", "pi", "--runtime", RUNTIME[ready.name])
    assert again.stdout.startswith("pi was ready already: ")
    found = ready.check()
    assert found["usable"]
    assert set(found["facts"]["runtimes"]) == PACKAGES[ready.name]


def test_nothing_is_left_on_the_board_but_the_environment(ready: SshBoard) -> None:
    ready.check()
    assert ready.ssh("ls -A /tmp") == ""
    assert "pyz" not in ready.ssh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")


def test_check_says_that_it_is_emulated(ready: SshBoard) -> None:
    said = ready.edgekit("targets", "check", "pi").stdout
    assert said.startswith("pi: is emulated, and can be used for all but timings")


def test_no_time_of_an_emulated_board_is_told(ready: SshBoard, tiny_tflite: Any) -> None:
    done = ready.edgekit("bench", str(tiny_tflite()), "--on", "pi", code=1)
    assert done.stdout == ""
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("["))
    assert line == (
        "Error: pi: is emulated, where times mean nothing and nobody counts instructions; "
        "emulate it from here: edgekit targets add-emulated BOARD"
    )


def test_a_second_benchmark_is_seen(ready: SshBoard, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekit_benchmarks.open_link import open_link
    from edgekit_benchmarks.target import Target

    monkeypatch.setenv("EDGEKIT_SSH", ready.environment["EDGEKIT_SSH"])
    with open_link(Target(name="pi", url=ready.url)) as first:
        first.request("lock", timeout_s=60)
        checks = ready.check()["checks"]
    assert checks["benchmarks"]["status"] == "warn"
    assert "another benchmark" in checks["benchmarks"]["said"]


@pytest.fixture(scope="module")
def unmarked(start_ssh_board: Start) -> SshBoard:
    """A board that edgekit takes for a real one, which lacked power for a while."""
    made = start_ssh_board("pi4", "--unmarked", "--throttled", "0x50000")
    made.edgekit("targets", "setup", "pi", "--offline")
    return made


def test_what_is_measured_over_ssh_comes_with_the_board_and_its_troubles(
    unmarked: SshBoard, tiny_tflite: Any, tmp_path: Path
) -> None:
    saved = tmp_path / "b.json"
    words = ["bench", str(tiny_tflite()), "--on", "pi", "-o", str(saved)]
    with unmarked.begin(*words) as process:
        _, errors = process.communicate(timeout=300)
    assert process.returncode in {0, 3}, errors
    found = json.loads(saved.read_text())
    target = found["targets"]["pi"]
    assert target["facts"]["model"].startswith("Raspberry Pi 4")
    assert "before this run: under-voltage, throttled" in " ".join(target["doubts"])
    assert found["rows"][0]["runtime"].startswith("ai-edge-litert")


def test_a_benchmark_goes_on_after_a_reboot_in_the_middle(
    unmarked: SshBoard, tiny_tflite: Any
) -> None:
    words = ["bench", str(tiny_tflite()), "--on", "pi"]
    with unmarked.begin(*words) as process:
        assert process.stderr is not None
        assert any("process 2 of" in line for line in process.stderr)
        assert unmarked.script("reboot", "--down", "0").returncode == 0
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    last = errors.splitlines()[-1]
    assert "the connection broke off" in last
    assert "what is finished is kept, run again with --resume" in last
    with unmarked.begin(*words, "--resume") as process:
        out, errors = process.communicate(timeout=300)
    assert process.returncode in {0, 3}, errors
    assert "processes are of an earlier call, before a break" in out + errors
