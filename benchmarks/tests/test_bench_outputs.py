"""Files that a call of bench writes: checked early, never lost, never another one's."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import OutputError
from edgekit_benchmarks.bench_outputs import Outputs
from edgekit_benchmarks.bench_request import BenchRequest
from edgekit_benchmarks.journal import journal_folder
from edgekit_benchmarks.result import BenchmarkResult
from edgekit_benchmarks.simulated import Noise, Simulated, simulated

RESULT = simulated(Simulated(noise=Noise(tail=0), samples=20))


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def outputs(path: Path, *, force: bool = False, **asked: Any) -> Outputs:
    request = BenchRequest(**{"files": (Path("a.tflite"),), **asked})
    return Outputs({"json": path}, request, force=force)


def refused(path: Path, **asked: Any) -> str:
    with pytest.raises(OutputError) as caught, outputs(path, **asked):
        pass
    return str(caught.value)


def leave_incomplete(path: Path, **asked: Any) -> None:
    with outputs(path, **asked) as files:
        assert files.write(RESULT, complete=False, kept=True)


def test_a_mistyped_folder_is_said_and_not_made(tmp_path: Path) -> None:
    assert "is no such folder" in refused(tmp_path / "none" / "r.json")
    assert not (tmp_path / "none").exists()


def test_a_folder_that_takes_no_files_is_said_at_once() -> None:
    assert "/proc/r.json: cannot be written" in refused(Path("/proc/r.json"))


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_said_at_once(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "cannot be written (Permission denied)" in refused(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("path", "said"),
    [("/dev/null", "no regular file"), ("/", "is a folder"), ("/dev/null/r.json", "is no folder")],
)
def test_what_is_no_place_for_a_file_is_not_replaced_even_with_force(path: str, said: str) -> None:
    assert said in refused(Path(path), force=True)


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    assert "cannot be written (File name too long)" in refused(tmp_path / ("r" * 300))


def test_nothing_lies_about_after_a_check(tmp_path: Path) -> None:
    with outputs(tmp_path / "r.json"):
        pass
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_two_calls_do_not_write_one_file(tmp_path: Path) -> None:
    with outputs(tmp_path / "r.json"):
        assert "another edgekit bench is about to write it" in refused(tmp_path / "r.json")
        with outputs(tmp_path / "r.json", force=True):
            pass
    with outputs(tmp_path / "r.json"):
        pass


def test_a_file_that_appeared_meanwhile_is_noticed_when_measuring_begins(tmp_path: Path) -> None:
    with outputs(tmp_path / "r.json") as files:
        (tmp_path / "r.json").write_text("mine")
        with pytest.raises(OutputError, match="exists already"):
            files.check()


def test_what_a_break_left_is_replaced_by_resume_and_by_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    leave_incomplete(path)
    assert "exists already; add --force" in refused(path)
    assert "is not what a broken call" in refused(path, resume=True, threads=(2,))
    with outputs(path, resume=True) as files:
        assert files.write(RESULT, complete=True, kept=True)
    assert "is not what a broken call" in refused(path, resume=True)
    assert list(journal_folder().iterdir()) == []


def test_what_the_user_changed_since_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    leave_incomplete(path)
    path.write_text(path.read_text() + " ")
    assert "is not what a broken call" in refused(path, resume=True)


def test_a_result_without_rows_is_not_written(tmp_path: Path) -> None:
    with outputs(tmp_path / "r.json") as files:
        assert files.write(replace(RESULT, rows=()), complete=False, kept=False)
    assert not (tmp_path / "r.json").exists()


def test_all_samples_can_be_written(tmp_path: Path) -> None:
    request = BenchRequest(files=(Path("a.tflite"),))
    with Outputs({"samples": tmp_path / "s.csv"}, request, force=False) as files:
        assert files.write(RESULT, complete=True, kept=True)
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[0] == "row,process,index,t_ns,sample_ns"
    assert len(lines) == 1 + sum(map(len, RESULT.rows[0].samples_ns))


def test_a_full_disk_is_said_with_the_way_out(small_disk: Path, tmp_path: Path) -> None:
    with outputs(small_disk / "r.json") as files:
        fill = f"dd if=/dev/zero of={small_disk}/fill bs=64k"
        subprocess.run(fill.split(), check=False, capture_output=True)
        assert not files.write(RESULT, complete=True, kept=True)
    (told,) = files.errors
    assert "No space left on device" in told
    assert told.endswith("run again with --resume: the measurements are kept")
    assert not (small_disk / "r.json").exists()


def test_one_output_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    wanted = {"csv": tmp_path / "gone" / "r.csv", "json": tmp_path / "r.json"}
    (tmp_path / "gone").mkdir()
    request = BenchRequest(files=(Path("a.tflite"),))
    with Outputs(wanted, request, force=False) as files:
        (tmp_path / "gone").rmdir()
        (tmp_path / "gone").write_text("")
        assert not files.write(RESULT, complete=True, kept=False)
    assert len(files.errors) == 1
    assert BenchmarkResult.read(tmp_path / "r.json").rows
