"""Measuring on targets: real workers, with what can go wrong on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import CrashError, EdgekitError
from edgekit_benchmarks.bench_request import BenchRequest
from edgekit_benchmarks.findings import Findings
from edgekit_benchmarks.input_rows import RANDOM, Feed
from edgekit_benchmarks.journal import journal_folder
from edgekit_benchmarks.link import Link, LocalLink
from edgekit_benchmarks.model_file import read_model_file
from edgekit_benchmarks.open_link import open_link as connect
from edgekit_benchmarks.plan import Plan, make_plan
from edgekit_benchmarks.runner import run_all
from edgekit_benchmarks.target import Target
from edgekit_benchmarks.target_run import TargetRun

pytestmark = pytest.mark.slow
Build = Callable[..., Path]


class Told:
    """Keeps what was reported, and can act on it."""

    def __init__(self, at: str = "", act: Callable[[], None] | None = None) -> None:
        self.steps: list[str] = []
        self.details: list[str] = []
        self.notes: list[str] = []
        self._at, self._act = at, act

    def step(self, text: str) -> None:
        self.steps.append(text)
        if self._act is not None and self._at in text:
            act, self._act = self._act, None
            act()

    def detail(self, text: str) -> None:
        self.details.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device's lock, its temporary files and the journals are this test's own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def plan(*paths: Path, target: str = "local", **asked: Any) -> Plan:
    short: dict[str, Any] = {"processes": 2, "starts": 1, "seconds": 0.1}
    request = BenchRequest(files=paths, **{**short, **asked})
    files = [read_model_file(path) for path in paths]
    feeds = {file.sha256: Feed(record=RANDOM) for file in files}
    return make_plan(request, target, files, feeds)


def target_run(
    made: Plan, told: Told | None = None, connect: Callable[[], Link] = LocalLink, **options: Any
) -> TargetRun:
    given = {"resume": False, "wait_s": 0.0, **options}
    return TargetRun(made, connect, told or Told(), **given)


def counts(found: Findings) -> dict[str, int]:
    return {key: len(taken) for key, taken in found.steady.items()}


def journals() -> list[Path]:
    return list(journal_folder().glob("*")) if journal_folder().is_dir() else []


def test_all_rows_take_turns_in_each_process(tiny_tflite: Build, tiny_onnx: Build) -> None:
    found = target_run(plan(tiny_tflite(), tiny_onnx())).measure()
    assert not found.failures
    assert counts(found) == {"0x1": 2, "1x1": 2}
    names = [[taken.process for taken in found.steady[key]] for key in ("0x1", "1x1")]
    assert names[0] == names[1]
    stamps = [found.steady[key][0].answer["stamps_ns"][0] for key in ("0x1", "1x1")]
    assert abs(stamps[0] - stamps[1]) < 1e9


def test_it_says_what_is_done_and_how_long_it_takes(tiny_tflite: Build) -> None:
    told = Told()
    target_run(plan(tiny_tflite()), told).measure()
    assert len(told.steps) == 3
    assert told.steps[0].startswith("local: start 1 of 1, tiny.tflite, 1 thread, about ")
    assert told.steps[1].startswith("local: process 1 of 2")
    assert any(text.startswith("tiny.tflite ") for text in told.details)


def test_nothing_is_left(tiny_tflite: Build, tmp_path: Path) -> None:
    run = target_run(plan(tiny_tflite()))
    run.measure()
    run.forget()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert journals() == []


def test_a_file_that_does_not_load_does_not_stop_the_others(
    tiny_tflite: Build, tmp_path: Path
) -> None:
    bad = tiny_tflite("bad.tflite", custom="NoSuchOperator")
    found = target_run(plan(bad, tiny_tflite())).measure()
    assert counts(found) == {"1x1": 2}
    (failure,) = found.failures
    assert failure.path == str(bad)
    assert failure.threads == 1
    assert "bad.tflite" in failure.error


def test_rows_that_fail_together_are_tried_apart(tiny_tflite: Build, tiny_onnx: Build) -> None:
    class Moody(LocalLink):
        """Its processes break whenever two rows share one."""

        def request(self, do: str, /, **arguments: Any) -> dict[str, Any]:
            if do == "run" and len(arguments["spec"].get("rows", [])) > 1:
                message = "local: out of memory; use fewer rows"
                raise CrashError(message)
            return super().request(do, **arguments)

    told = Told()
    found = target_run(plan(tiny_tflite(), tiny_onnx()), told, Moody).measure()
    assert counts(found) == {"0x1": 2, "1x1": 2}
    assert not found.failures
    assert any("processes of their own" in note for note in told.notes)


def test_a_process_that_dies_is_tried_once_more(tiny_tflite: Build) -> None:
    died: list[str] = []

    class Clumsy(LocalLink):
        def request(self, do: str, /, **arguments: Any) -> dict[str, Any]:
            if do == "run" and not died:
                died.append(do)
                message = "tiny.tflite: the measuring process was killed by SIGKILL; run it again"
                raise CrashError(message)
            return super().request(do, **arguments)

    found = target_run(plan(tiny_tflite()), connect=Clumsy).measure()
    assert died
    assert counts(found) == {"0x1": 2}
    assert not found.failures


def test_a_link_that_breaks_keeps_what_is_finished_and_can_be_resumed(tiny_tflite: Build) -> None:
    made = plan(tiny_tflite(), processes=3)
    links: list[LocalLink] = []

    def reach() -> Link:
        links.append(LocalLink())
        return links[-1]

    told = Told("process 3", lambda: os.kill(links[-1].hello["pid"], signal.SIGKILL))
    broken = target_run(made, told, reach)
    found = broken.measure()
    broken.forget()
    assert counts(found) == {"0x1": 2}
    (failure,) = found.failures
    assert failure.path == ""
    assert "--resume" in failure.error
    assert len(journals()) == 1

    again = Told()
    rest = target_run(made, again, reach, resume=True).measure()
    assert counts(rest) == {"0x1": 3}
    assert rest.resumed == 3
    first = [taken.answer["samples_ns"] for taken in found.steady["0x1"]]
    assert [taken.answer["samples_ns"] for taken in rest.steady["0x1"]][:2] == first


def test_a_connection_that_is_cut_keeps_what_is_finished(tiny_tflite: Build, device: Any) -> None:
    made = plan(tiny_tflite(), target="pi4")

    def reach() -> Link:
        return connect(Target(name="pi4", url=device.url))

    found = target_run(made, Told("process 2", device.cut), reach).measure()
    (failure,) = found.failures
    assert failure.target == "pi4"
    assert "--resume" in failure.error
    assert device.wait_until_idle()
    rest = target_run(made, connect=reach, resume=True).measure()
    assert not rest.failures
    assert counts(rest) == {"0x1": 2}
    assert rest.resumed == 2


def test_without_resume_all_is_measured_again(tiny_tflite: Build) -> None:
    made = plan(tiny_tflite())
    target_run(made).measure()
    assert target_run(made).measure().resumed == 0


def test_a_target_that_fails_does_not_stop_the_others(tiny_tflite: Build) -> None:
    def unreachable() -> Link:
        message = "pi4: does not answer; is it switched on?"
        raise EdgekitError(message)

    path = tiny_tflite()
    told = Told()
    found = run_all(
        [target_run(plan(path, target="pi4"), told, unreachable), target_run(plan(path), told)],
        told,
    )
    assert [one.plan.target for one in found] == ["pi4", "local"]
    assert [failure.error for failure in found[0].failures] == [
        "pi4: does not answer; is it switched on?"
    ]
    assert counts(found[1]) == {"0x1": 2}


def test_a_device_that_is_in_use_says_so(tiny_tflite: Build) -> None:
    with LocalLink() as other:
        other.request("lock", timeout_s=10)
        found = target_run(plan(tiny_tflite())).measure()
    (failure,) = found.failures
    assert "another benchmark" in failure.error


def test_a_device_that_is_in_use_is_waited_for(tiny_tflite: Build) -> None:
    with LocalLink() as other:
        other.request("lock", timeout_s=10)
        told = Told()
        run = target_run(plan(tiny_tflite()), told, wait_s=30.0)
        found = run_all([run, target_run(plan(tiny_tflite()), connect=lambda: _free(other))], told)
    assert not found[0].failures
    assert any("waiting" in text for text in told.notes)


def _free(other: LocalLink) -> Link:
    time.sleep(1.5)
    other.request("unlock", timeout_s=10)
    message = "only here to free the other one; fine"
    raise EdgekitError(message)


def test_a_cache_that_cannot_be_written_stops_nothing(
    tiny_tflite: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    told = Told()
    assert counts(target_run(plan(tiny_tflite()), told).measure()) == {"0x1": 2}
    assert any("cannot be resumed" in note for note in told.notes)


_INTERRUPTED = """
import sys, os, signal, threading, time
from pathlib import Path
from edgekit.progress import Progress
from edgekit_benchmarks.bench import bench
from edgekit_benchmarks.bench_request import BenchRequest
class Told(Progress):
    def step(self, text):
        super().step(text)
        if "process 2" in text:
            os.kill(os.getpid(), signal.SIGINT)
request = BenchRequest(files=(Path(sys.argv[1]),), processes=3, starts=1, seconds=60)
try:
    bench(request, Told(total=4))
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_leaves_nothing_running_and_keeps_what_is_finished(
    tiny_tflite: Build, tmp_path: Path
) -> None:
    script = _INTERRUPTED.replace("seconds=60", "seconds=0.3")
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_tflite())],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 130, done.stderr
    assert "2 finished processes are kept; go on with --resume" in done.stderr
    assert list((tmp_path / "tmp").iterdir()) == []
    assert len(journals()) == 1
