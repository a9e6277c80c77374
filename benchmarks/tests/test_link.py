"""Links: to a real agent, and to processes that behave badly."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import CrashError, EdgekitError, OutputError, SourceError, UsageError
from edgekit_benchmarks.link import LocalLink, StreamLink
from edgekit_benchmarks.worker_file import FOLDER

Build = Callable[..., Path]


def popen(*command: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, **environment},
    )


HEAD = """
import json, os, sys, time, signal
out = sys.stdout.buffer
def read():
    while True:
        line = sys.stdin.buffer.readline()
        if not line: sys.exit(0)
        if line.strip(): return json.loads(line)
def say(message):
    out.write(json.dumps(message).encode() + b"\\n"); out.flush()
def greet():
    say({"id": read()["id"], "ok": {"pid": os.getpid()}})
"""


def scripted(body: str, **options: Any) -> StreamLink:
    """A link to a script that plays an agent."""
    return StreamLink(popen(sys.executable, "-c", HEAD + body), "pi4", **options)


def steady(path: Path, budget_s: float = 0.1) -> dict[str, Any]:
    rows = [{"key": "one", "path": str(path)}]
    times = {"warm_up_s": 0.05, "chunk_s": 0.02, "budget_s": budget_s}
    return {"mode": "steady", "rows": rows, "inputs": None, **times}


# ---- to a real agent


def test_this_machine_answers() -> None:
    with LocalLink() as link:
        assert link.hello["pid"] > 0
        assert link.request("facts", timeout_s=30)["bits"] in {32, 64}


def test_a_link_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with LocalLink() as link:
        pid = link.hello["pid"]
    assert list(tmp_path.iterdir()) == []
    assert not Path(f"/proc/{pid}").exists()


def test_a_measurement_tells_of_its_progress(tiny_tflite: Build) -> None:
    events: list[dict[str, Any]] = []
    with LocalLink() as link:
        path = link.put(tiny_tflite())
        answer = link.request(
            "run", on_event=events.append, timeout_s=60, spec=steady(Path(path)), limit_s=30
        )
    assert answer["answer"]["rows"]["one"]["samples_ns"]
    assert {"watch", "phase"} <= {event["kind"] for event in events}


def test_what_the_worker_refuses_is_the_error_it_names() -> None:
    with LocalLink("pi4") as link:
        with pytest.raises(SourceError, match=r"^pi4: /not/there: cannot be read .*; "):
            link.request("run", timeout_s=60, spec=steady(Path("/not/there")), limit_s=30)
        with pytest.raises(UsageError):
            link.request("fly", timeout_s=30)
        assert link.request("facts", timeout_s=30)


def test_a_device_that_is_in_use_is_an_error_to_act_on() -> None:
    with LocalLink("one") as one, LocalLink("two") as two:
        one.request("lock", timeout_s=30)
        with pytest.raises(EdgekitError, match="two: device: another benchmark runs on it"):
            two.request("lock", timeout_s=30, wait_s=0)


def test_files_are_not_copied_on_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(b"abc")
    with LocalLink() as link:
        assert link.put(path) == str(path.resolve())
        path.write_bytes(b"abd")
        with pytest.raises(SourceError, match="changed while it was measured"):
            link.put(path)


def test_the_board_can_be_a_made_up_one(make_board: Callable[..., Any]) -> None:
    root = str(make_board(throttled=1).root)
    with LocalLink(root=root) as link:
        assert link.request("facts", timeout_s=30)["throttled"]["now"] == ["under-voltage"]


def test_a_python_that_does_not_start_is_named() -> None:
    with pytest.raises(CrashError, match="/no/python does not start"):
        LocalLink(python="/no/python")


def test_an_agent_that_was_killed_is_told_and_cleaned_up_after(
    tiny_tflite: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))

    def kill(event: dict[str, Any]) -> None:
        if event.get("phase") == "steady":
            os.kill(link.hello["pid"], signal.SIGKILL)

    spec = steady(tiny_tflite(), budget_s=60)
    with (
        LocalLink("pi4") as link,
        pytest.raises(CrashError, match=r"^pi4: the worker died of SIGKILL.*; try again$"),
    ):
        link.request("run", on_event=kill, timeout_s=60, spec=spec, limit_s=60)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_an_interrupt_ends_the_measurement(tiny_tflite: Build) -> None:
    def interrupt(event: dict[str, Any]) -> None:
        if event.get("phase") == "steady":
            raise KeyboardInterrupt

    with LocalLink() as link:
        begin = time.monotonic()
        spec = steady(tiny_tflite(), budget_s=60)
        with pytest.raises(KeyboardInterrupt):
            link.request("run", on_event=interrupt, timeout_s=60, spec=spec, limit_s=60)
        assert time.monotonic() - begin < 30
        assert not Path(f"/proc/{link.hello['pid']}").exists()
        with pytest.raises(CrashError, match="interrupted"):
            link.request("facts", timeout_s=30)


def test_links_work_side_by_side(tiny_tflite: Build) -> None:
    path = tiny_tflite()
    answers: list[Any] = []

    def measure() -> None:
        with LocalLink() as link:
            answers.append(link.request("run", timeout_s=60, spec=steady(path), limit_s=30))

    threads = [threading.Thread(target=measure) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 3


# ---- files, over a wire


@pytest.fixture
def far(tmp_path: Path) -> StreamLink:
    """A link that knows nothing of being on the same machine."""
    (tmp_path / "far").mkdir()
    process = popen(sys.executable, str(FOLDER), "agent", TMPDIR=str(tmp_path / "far"))
    return StreamLink(process, "pi4")


def test_a_file_is_sent_once(far: StreamLink, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    content = np.random.default_rng(0).bytes(5_000_000)
    path.write_bytes(content)
    with far:
        sent = far.put(path)
        assert Path(sent).read_bytes() == content
        Path(sent).unlink()
        assert far.put(path) == sent  # nothing is sent again
        assert not Path(sent).exists()
    assert list((tmp_path / "far").iterdir()) == []


def test_no_sign_of_life_gets_among_the_bytes_of_a_file(
    far: StreamLink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit_benchmarks.stream_link._PING_S", 0.0)  # as often as can be
    with far:
        for number in range(20):
            (tmp_path / f"{number}.tflite").write_bytes(os.urandom(400_000))
            far.put(tmp_path / f"{number}.tflite")  # the agent compares its checksum


def test_files_of_one_name_do_not_replace_each_other(far: StreamLink, tmp_path: Path) -> None:
    with far:
        sent = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "m.tflite").write_text(name)
            sent.append(far.put(tmp_path / name / "m.tflite"))
        assert [Path(path).read_text() for path in sent] == ["a", "b"]


def test_a_sent_file_can_be_measured(far: StreamLink, tiny_tflite: Build) -> None:
    with far:
        spec = steady(Path(far.put(tiny_tflite())))
        answer = far.request("run", timeout_s=60, spec=spec, limit_s=30)
    assert answer["answer"]["rows"]["one"]["samples_ns"]


def test_a_file_that_is_not_there_is_refused(far: StreamLink, tmp_path: Path) -> None:
    with far:
        with pytest.raises(SourceError, match="cannot be read"):
            far.put(tmp_path / "none.tflite")
        assert far.request("facts", timeout_s=30)


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A disk of its own, as small as it is said."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk, and not everywhere")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_too_small_says_what_is_needed_and_free(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(bytes(9_000_000))
    with small_disk(tmp_path / "disk", "size=3m") as disk:
        process = popen(sys.executable, str(FOLDER), "agent", TMPDIR=str(disk))
        with StreamLink(process, "pi4") as link:
            with pytest.raises(OutputError, match=r"m.tflite: takes 9000000 bytes, and \d+ are"):
                link.put(path)
            assert link.request("facts", timeout_s=30)["disk_free_bytes"] <= 3 << 20
        assert list(disk.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_is_told_and_the_link_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(bytes(4_000_000))
    with small_disk(tmp_path / "disk", "size=6m") as disk:
        process = popen(sys.executable, str(FOLDER), "agent", TMPDIR=str(disk))
        with StreamLink(process, "pi4") as link:
            send = link._send_file

            def fill_and_send(path: Path, size: int) -> None:
                (disk / "other").write_bytes(bytes(3_000_000))
                send(path, size)

            link._send_file = fill_and_send  # type: ignore[method-assign]
            with pytest.raises(OutputError, match=r"No space left on device .*; free some space"):
                link.put(path)
            assert link.request("facts", timeout_s=30)["disk_free_bytes"] >= 2_000_000
        assert [left.name for left in disk.iterdir()] == ["other"]


def test_a_full_disk_is_the_reason_that_nothing_starts(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "nr_inodes=2") as disk:
        process = popen(sys.executable, str(FOLDER), "agent", TMPDIR=str(disk))
        with pytest.raises(CrashError, match="it said: .*; free some space, or set TMPDIR"):
            StreamLink(process, "pi4")
        assert list(disk.iterdir()) == []


# ---- what a wire may bring


def test_a_greeting_before_the_first_message_is_skipped() -> None:
    body = """
out.write("Welcome to Raspbian\\n\\xff{not json}\\n*** no newline at the end".encode("latin-1"))
greet()
read(); say({"id": 2, "ok": {"fine": True}})
"""
    with scripted(body) as link:
        assert link.request("facts", timeout_s=10) == {"fine": True}
        assert "Welcome to Raspbian" in link.said


def test_a_message_may_come_in_small_pieces() -> None:
    body = """
greet()
read()
for byte in json.dumps({"id": 2, "ok": {"text": "\\u00e4" * 50}}).encode() + b"\\n":
    out.write(bytes([byte])); out.flush(); time.sleep(0.002)
read()
"""
    with scripted(body) as link:
        assert link.request("facts", timeout_s=10) == {"text": "ä" * 50}


def test_a_message_may_be_large() -> None:
    body = """
greet()
read(); say({"id": 2, "ok": {"samples_ns": list(range(1_000_000))}})
"""
    with scripted(body) as link:
        assert link.request("run", timeout_s=60)["samples_ns"][-1] == 999_999


def test_answers_to_earlier_requests_are_ignored() -> None:
    body = """
greet()
read(); say({"id": 1, "ok": {"old": 1}}); say({"id": 2, "ok": {"new": 1}})
"""
    with scripted(body) as link:
        assert link.request("facts", timeout_s=10) == {"new": 1}


def test_an_unknown_kind_of_error_is_still_one_of_ours() -> None:
    body = """
greet()
read(); say({"id": 2, "error": {"kind": "KeyboardInterrupt", "message": "a: b; c"}})
read()
"""
    with scripted(body) as link, pytest.raises(EdgekitError, match="^pi4: a: b; c$"):
        link.request("facts", timeout_s=10)


def test_a_sign_of_life_is_sent_while_nothing_is_asked() -> None:
    body = """
greet()
begin = time.time(); line = sys.stdin.buffer.readline()
say({"id": read()["id"], "ok": {"line": line.decode(), "after_s": time.time() - begin}})
"""
    with scripted(body) as link:
        time.sleep(3)
        answer = link.request("facts", timeout_s=10)
    assert answer["line"] == "\n"
    assert answer["after_s"] < 4


# ---- how a wire may end


def test_a_broken_connection_is_told_with_what_ssh_said() -> None:
    body = """
greet()
read(); sys.stderr.write("client_loop: send disconnect: Broken pipe\\n"); sys.stderr.flush()
time.sleep(0.2); os._exit(255)
"""
    said = r"^pi4: the connection broke off \(it said: client_loop.*pipe\); try again$"
    with scripted(body) as link:
        with pytest.raises(CrashError, match=said):
            link.request("run", timeout_s=30)
        with pytest.raises(CrashError, match="the connection broke off"):
            link.request("run", timeout_s=30)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os._exit(3)", "the worker ended with exit code 3"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "the worker died of SIGTERM"),
        ('out.write(b\'{"id": 2, "ok": {\'); out.flush(); os._exit(255)', "broke off"),
    ],
)
def test_a_dead_worker_is_told(end: str, said: str) -> None:
    with scripted(f"greet()\nread(); {end}\n") as link, pytest.raises(CrashError, match=said):
        link.request("run", timeout_s=30)


def test_nothing_that_answers_is_told_with_the_reason() -> None:
    process = popen("sh", "-c", "echo 'pi@pi4: Permission denied (publickey).' >&2; exit 255")
    with pytest.raises(CrashError, match="Permission denied"):
        StreamLink(process, "pi4")


def test_a_dead_worker_is_noticed_though_another_process_holds_its_output() -> None:
    body = """
import subprocess
subprocess.Popen(["sleep", "5"])
greet()
read(); os._exit(3)
"""
    begin = time.monotonic()
    with scripted(body) as link, pytest.raises(CrashError, match="exit code 3"):
        link.request("run", timeout_s=30)
    assert time.monotonic() - begin < 4


def test_a_worker_that_hangs_is_noticed_in_seconds_and_killed() -> None:
    body = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
greet()
read(); say({"id": 2, "event": {"kind": "watch"}})
while True: time.sleep(1)
"""
    begin = time.monotonic()
    with scripted(body, silence_s=1.5) as link:
        with pytest.raises(CrashError, match=r"run: not a word for 1.5 s"):
            link.request("run", timeout_s=60)
        assert not Path(f"/proc/{link.hello['pid']}").exists()
    assert time.monotonic() - begin < 8


def test_a_stopped_agent_is_noticed_and_leaves_nothing(
    tiny_tflite: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))

    def stop(event: dict[str, Any]) -> None:
        if event.get("phase") == "steady":
            os.kill(link.hello["pid"], signal.SIGSTOP)

    spec = steady(tiny_tflite(), budget_s=60)
    with LocalLink(silence_s=2) as link, pytest.raises(CrashError, match="not a word for 2 s"):
        link.request("run", on_event=stop, timeout_s=60, spec=spec, limit_s=60)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_request_has_a_limit_however_much_is_said() -> None:
    body = """
greet()
read()
while True: say({"id": 2, "event": {"kind": "watch"}}); time.sleep(0.1)
"""
    with scripted(body) as link, pytest.raises(CrashError, match="run: no answer after 1 s"):
        link.request("run", timeout_s=1)


def test_a_worker_that_takes_no_more_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(bytes(3_000_000))
    body = """
greet()
say({"id": read()["id"], "event": {"kind": "send"}})
time.sleep(60)
"""
    with scripted(body, silence_s=1) as link, pytest.raises(CrashError, match="it hangs"):
        link.put(path)


def test_a_wire_cut_while_a_file_is_sent_is_told(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(bytes(3_000_000))
    body = """
greet()
say({"id": read()["id"], "event": {"kind": "send"}})
sys.stdin.buffer.read(100_000); os._exit(255)
"""
    with scripted(body) as link, pytest.raises(CrashError, match="the connection broke off"):
        link.put(path)


def test_closing_twice_is_fine() -> None:
    link = LocalLink()
    link.close()
    link.close()
    with pytest.raises(CrashError, match="closed"):
        link.request("facts", timeout_s=1)


def test_requests_are_one_json_line_each() -> None:
    body = """
greet()
line = sys.stdin.buffer.readline()
say({"id": 2, "ok": json.loads(line)})
"""
    with scripted(body) as link:
        answer = link.request("run", timeout_s=10, spec={"text": "two\nlines"})
    assert answer == json.loads('{"id": 2, "do": "run", "spec": {"text": "two\\nlines"}}')
