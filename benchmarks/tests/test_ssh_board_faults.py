"""Emulated boards that lose their link, power or disk in the middle; and several on one machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgekit.errors import CrashError, OutputError
from edgekit_benchmarks.open_link import open_link
from edgekit_benchmarks.ssh_link import SshLink
from edgekit_benchmarks.target import Target

if TYPE_CHECKING:
    from tests.ssh_board import SshBoard

pytestmark = pytest.mark.slow

Start = Callable[..., "SshBoard"]
SCRIPT = Path(__file__).parents[2] / "scripts/ssh_board"
ENTRIES = Path("/proc/sys/fs/binfmt_misc")
PLACES = (ENTRIES, Path("/run/netns"))


@pytest.fixture
def start(start_ssh_board: Start) -> Iterator[Start]:
    """Starts boards that end with the test."""
    with contextlib.ExitStack() as stack:

        def begin(name: str, *options: str) -> SshBoard:
            board = start_ssh_board(name, *options)
            stack.callback(board.stop)
            return board

        yield begin


@pytest.fixture
def leading_to(monkeypatch: pytest.MonkeyPatch) -> Callable[[SshBoard], Target]:
    """The target of a board, for this process."""

    def target(board: SshBoard) -> Target:
        monkeypatch.setenv("EDGEKIT_SSH", board.environment["EDGEKIT_SSH"])
        return Target(name="pi", url=board.url)

    return target


def until(there: Callable[[], object], limit_s: float = 20.0) -> bool:
    end = time.monotonic() + limit_s
    while not there():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def said_by(process: subprocess.Popen[str], phrase: str) -> bool:
    """Wait until standard error tells of a step."""
    assert process.stderr is not None
    return any(phrase in line for line in process.stderr)


# ---- a cable that is cut


def test_a_cut_while_a_file_is_sent_is_told_within_seconds(
    start: Start, leading_to: Callable[[SshBoard], Target], tmp_path: Path
) -> None:
    board = start("pi4", "--cable", "--disk", "600")
    (tmp_path / "big.tflite").write_bytes(os.urandom(1 << 20) * 400)
    link = SshLink(leading_to(board), dead_s=10)
    cut = threading.Timer(0.3, board.script, ["cut"])
    cut.start()
    begun = time.monotonic()
    with link, pytest.raises(CrashError, match="pi: the connection broke off"):
        link.put(tmp_path / "big.tflite")
    assert time.monotonic() - begun < 25
    cut.join()
    board.script("mend")
    assert until(lambda: board.ssh("ls -A /tmp") == "")
    assert "edgekit" not in board.ssh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")


def test_a_cut_during_setup_leaves_nothing_and_setup_works_afterwards(start: Start) -> None:
    board = start("pi4", "--cable")
    with board.begin("targets", "setup", "pi", "--offline") as process:
        assert said_by(process, "make an environment")
        board.script("cut")
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "error: pi: " in errors.splitlines()[-1].lower()
    dead = board.edgekit("targets", "check", "pi", code=1)
    assert "does not answer" in dead.stdout
    board.script("mend")
    board.edgekit("targets", "setup", "pi", "--offline")
    assert board.check()["usable"]
    assert len(board.ssh("ls .local/share/edgekit").split()) == 2  # the environment and its name


# ---- power that goes away


def test_a_reboot_in_the_middle_is_told_and_nothing_of_it_is_left(
    start: Start, leading_to: Callable[[SshBoard], Target]
) -> None:
    board = start("pi4")
    target = leading_to(board)
    before = board.ssh("cat /proc/sys/kernel/random/boot_id")
    with open_link(target) as other:
        other.request("lock", timeout_s=60)
        link = SshLink(target)
        power = threading.Timer(0.5, board.script, ["reboot", "--down", "3"])
        power.start()
        with link, pytest.raises(CrashError, match="pi: the connection broke off"):
            link.request("lock", timeout_s=60, wait_s=50)
        off = board.edgekit("targets", "check", "pi", code=1)
        assert "nothing listens on port" in off.stdout
        power.join()
    with open_link(target) as after:
        after.request("lock", timeout_s=60)  # the lock of before does not hold
    assert board.ssh("cat /proc/sys/kernel/random/boot_id") != before
    assert board.ssh("ls -A /tmp") == ""


def test_setup_survives_a_reboot(start: Start) -> None:
    board = start("pi5")
    board.edgekit("targets", "setup", "pi", "--offline")
    assert board.script("reboot", "--down", "0").returncode == 0
    assert board.check()["usable"]


def test_a_reboot_during_setup_is_told_and_setup_works_afterwards(start: Start) -> None:
    board = start("pi2")
    with board.begin("targets", "setup", "pi", "--offline") as process:
        assert said_by(process, "make an environment")
        assert board.script("reboot", "--down", "0").returncode == 0
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the connection broke off" in errors.splitlines()[-1]
    board.edgekit("targets", "setup", "pi", "--offline")
    assert board.check()["usable"]


# ---- a full disk


def test_a_card_that_is_too_small_is_told_before_anything_is_sent(start: Start) -> None:
    board = start("pi4", "--disk", "30")
    done = board.edgekit("targets", "setup", "pi", "--offline", code=1)
    assert "takes about" in done.stderr
    assert "MB are free there; free some space" in done.stderr
    assert board.ssh("ls -A .local/share 2>/dev/null || echo none") in {"", "none"}


def test_a_model_that_fills_the_card_is_told(
    start: Start, leading_to: Callable[[SshBoard], Target], tmp_path: Path
) -> None:
    board = start("pi4", "--disk", "20")
    (tmp_path / "big.tflite").write_bytes(bytes(40 << 20))
    with open_link(leading_to(board)) as link:
        with pytest.raises(OutputError, match=r"pi: .*; free some space"):
            link.put(tmp_path / "big.tflite")
        assert link.request("facts", timeout_s=60)
    assert until(lambda: board.ssh("ls -A /tmp") == "")


def test_a_card_that_is_full_is_told_by_check(start: Start) -> None:
    board = start("pi4", "--disk", "20")
    board.ssh("head -c 19500000 /dev/zero > full")
    disk = board.check(code=1)["checks"]["disk"]
    assert disk["status"] == "fail"
    assert "free some space" in disk["advice"]


# ---- the script itself


def test_boards_side_by_side_do_not_disturb_each_other(start: Start) -> None:
    before = set(ENTRIES.iterdir())
    first, second = start("pi4"), start("pi4", "--cable")
    third = start("pi2")
    assert first.ssh("uname -m") == second.ssh("uname -m") == "aarch64"
    for board in (first, third):
        board.stop()
    assert second.ssh("uname -m") == "aarch64"
    second.stop()
    assert set(ENTRIES.iterdir()) == before


def test_a_board_whose_keeper_is_killed_ends_with_all_it_ran(start: Start) -> None:
    board = start("pi4", "--cable")
    running = board.begin("targets", "check", "pi")
    keeper = int((board.folder / "pid").read_text())
    os.kill(keeper, signal.SIGKILL)
    running.communicate(timeout=60)
    mark = os.fsencode(board.folder)
    assert until(lambda: not any(mark in words for words in command_lines()))
    board.start()
    assert board.ssh("uname -m") == "aarch64"


def command_lines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes()


def test_stop_takes_everything_back(start: Start) -> None:
    before = {path.name for folder in PLACES for path in folder.glob("edgekit-*")}
    board = start("pi4", "--cable")
    assert str(board.folder) not in Path("/proc/self/mounts").read_text()
    own = {path.name for folder in PLACES for path in folder.glob("edgekit-*")} - before
    assert len(own) == 1
    board.stop()
    board.stop()
    assert own.isdisjoint(p.name for folder in PLACES for p in folder.glob("*"))
    assert not any(os.fsencode(board.folder) in words for words in command_lines())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["start", "{running}", "pi4"], "a board runs there; first: ssh_board stop"),
        (["start", "{new}", "pi9"], "'pi9': is not emulated here; choose from: pi2, pi3"),
        (["start", "{new}", "/etc"], "/etc: holds no programs for 64-bit or 32-bit ARM"),
        (["reboot", "{new}"], "no board runs there; start it: ssh_board start"),
        (["cut", "{running}"], "has no board with a cable; start it with --cable"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    running: SshBoard, tmp_path: Path, words: list[str], said: str
) -> None:
    places = {"running": str(running.folder), "new": str(tmp_path / "new")}
    do, folder, *rest = (word.format(**places) for word in words)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), do, folder, *rest],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_it_takes_root_and_says_so() -> None:
    python = "/usr/bin/python3"  # ours may lie where only root can go
    words = ["setpriv", "--reuid", "65534", "--clear-groups", python, str(SCRIPT), "stop", "/tmp/b"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if "can't open file" in done.stderr or not Path(python).exists():
        pytest.skip("nobody but root can read the repository, or there is no other Python")
    assert done.returncode == 1
    assert done.stderr == "error: ssh_board: takes root, as it mounts and registers; use sudo\n"


@pytest.fixture(scope="module")
def running(start_ssh_board: Start) -> Any:
    return start_ssh_board("pi4")
