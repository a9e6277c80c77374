"""``edgekit bench``: options, outputs, exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import edgekit.benchmarking
from edgekit.cli import main
from edgekit.progress import Progress

Build = Callable[..., Path]
SHORT = ("--processes", "1", "--time", "0.05")


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device's lock, its temporary files and what is kept for a break are this test's own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


@pytest.mark.slow
def test_a_table_says_what_was_measured(tiny_tflite: Build) -> None:
    done = run(tiny_tflite(), *SHORT, "--threads", "1,2")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("local: ")
    assert done.stdout.count("tiny.tflite ") >= 2
    assert "p50 [" in done.stdout
    assert "Doubts" in done.stdout
    assert "[1/6] local: start 1 of 5" in done.stderr


@pytest.mark.slow
def test_json_is_one_document_with_raw_samples(tiny_tflite: Build) -> None:
    done = run(tiny_tflite(), *SHORT, "--json")
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    row = document["rows"][0]
    names = "path target threads p50_ns p90_ns samples_ns load_ns first_inference_ns"
    names += " peak_memory_bytes model_memory_bytes doubts"
    assert set(names.split()) <= set(row)


@pytest.mark.slow
def test_outputs_are_written_and_a_baseline_is_held_against(
    tiny_tflite: Build, tmp_path: Path
) -> None:
    first = tmp_path / "first.json"
    reports = ("--csv", tmp_path / "r.csv", "--markdown", tmp_path / "r.md")
    assert run(tiny_tflite(), *SHORT, "-o", first, *reports).exit_code == 0
    assert json.loads(first.read_text())["rows"]
    assert "tiny" in (tmp_path / "r.csv").read_text()
    assert "tiny" in (tmp_path / "r.md").read_text()
    done = run(tiny_tflite(), *SHORT, "--baseline", first, "--max-regress", "size=0%,p50=5%")
    assert "size" in done.stdout
    assert done.exit_code == 3, done.output  # one process shows nothing of p50


@pytest.mark.slow
def test_a_file_that_does_not_load_is_an_error_line_and_exit_code_1(tiny_tflite: Build) -> None:
    bad = tiny_tflite("bad.tflite", custom="NoSuchOperator")
    done = run(bad, tiny_tflite(), *SHORT)
    assert done.exit_code == 1
    assert [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "tiny.tflite" in done.stdout


@pytest.mark.slow
def test_a_throttled_board_is_exit_code_3(
    tiny_tflite: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "board/usr/bin/vcgencmd"
    tool.parent.mkdir(parents=True)
    tool.write_text("#!/bin/sh\necho throttled=0x4\n")
    tool.chmod(0o755)
    monkeypatch.setenv("EDGEKIT_BOARD_ROOT", str(tmp_path / "board"))
    done = run(tiny_tflite(), *SHORT)
    assert done.exit_code == 3, done.output
    assert "INVALID" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--threads", "0"), "threads 0"),
        (("--threads", "two"), "no numbers"),
        (("--on", "pi9"), "no target 'pi9'"),
        (("--on", ""), "is no name of a target"),
        (("--on", "ssh://pi@"), "is no URL"),
        (("--time", "0"), "--time"),
        (("--max-regress", "p50=5%"), "--baseline"),
        (("--baseline", "none.json"), "none.json"),
        (("--preprocess", "scale=1/255"), "--input"),
        (("-o", "r.json", "--csv", "r.json"), "one name"),
    ],
)
def test_requests_without_sense_are_exit_code_2(
    tiny_tflite: Build, arguments: tuple[str, ...], told: str
) -> None:
    done = run(tiny_tflite(), *arguments)
    assert done.exit_code == 2, done.output
    assert told in done.output


def test_a_file_that_is_not_there_is_exit_code_1(tmp_path: Path) -> None:
    done = run(tmp_path / "none.tflite")
    assert done.exit_code == 1
    assert "none.tflite" in done.stderr


def test_an_existing_output_is_not_replaced(tiny_tflite: Build, tmp_path: Path) -> None:
    taken = tmp_path / "taken.json"
    taken.write_text("mine")
    done = run(tiny_tflite(), "-o", taken)
    assert done.exit_code == 1
    assert "--force" in done.stderr
    assert taken.read_text() == "mine"


def test_a_target_that_cannot_be_reached_is_one_line(
    tiny_tflite: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_SSH", "/nope")
    done = run(tiny_tflite(), "--on", "ssh://pi@pi5", "-o", tmp_path / "r.json")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "r.json").exists()


@pytest.mark.slow
def test_resume_says_that_there_is_nothing_to_go_on_with(tiny_tflite: Build) -> None:
    done = run(tiny_tflite(), *SHORT, "--resume")
    assert done.exit_code == 0
    told = [line for line in done.stderr.splitlines() if "beginning anew" in line]
    assert told == ["local: no finished measurements to go on with; beginning anew"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ending_it_is_exit_code_130_and_nothing_is_written(
    tiny_tflite: Build, tmp_path: Path, number: signal.Signals
) -> None:
    words = [sys.executable, "-m", "edgekit", "bench", str(tiny_tflite()), "--time", "60"]
    words += ["-o", str(tmp_path / "r.json")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "start 2 of" in line:
                process.send_signal(number)
                break
        told = process.stderr.read()
    assert process.returncode == 130
    assert told.endswith("Interrupted: stopped; nothing half-made is left\n")
    assert "kept; go on with --resume" in told
    assert not (tmp_path / "r.json").exists()


@pytest.mark.slow
def test_an_output_that_appeared_while_the_device_was_waited_for_is_kept(
    tiny_tflite: Build, tmp_path: Path
) -> None:
    from edgekit_benchmarks.bench import bench
    from edgekit_benchmarks.bench_outputs import Outputs
    from edgekit_benchmarks.bench_request import BenchRequest
    from edgekit_benchmarks.link import LocalLink

    path = tmp_path / "r.json"
    request = BenchRequest(files=(tiny_tflite(),), processes=1, seconds=0.05)

    def late(_: object) -> LocalLink:
        path.write_text("mine")
        return LocalLink()

    with Outputs({"json": path}, request, force=False) as files, Progress(1, False) as report:
        result = bench(request, report, connect=late, check=files.check, save=files.write)
    assert not result.rows
    assert "r.json: exists already" in result.failures[0].error
    assert path.read_text() == "mine"


@pytest.mark.slow
def test_the_library_measures_too(tiny_tflite: Build) -> None:
    result: Any = edgekit.benchmarking.bench(tiny_tflite(), processes=1, seconds=0.05)
    assert result.rows[0].p50_ns > 0
    assert result.to_dict()["settings"]["seconds"] == 0.05


def test_help_costs_no_benchmark_import() -> None:
    code = (
        "import sys; from edgekit.cli import main\n"
        "try: main(['bench', '--help'])\n"
        "except SystemExit: pass\n"
        "print('numpy' in sys.modules, 'edgekit_benchmarks' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
