"""Tests that are collected here and run elsewhere: over ssh, with a server on this machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parents[2]
PARTS = ("pyproject.toml", "README.md", "LICENSE", "toolkit", "converters", "benchmarks")
CONFTEST = """
from pathlib import Path

def pytest_addoption(parser):
    for name in ("--target", "--models", "--wheels"):
        parser.addoption(name)

def pytest_configure(config):
    name = config.getoption("--target")
    if name:
        from edgekit_benchmarks.pytest_on_target import OnTarget
        config.pluginmanager.register(OnTarget(config, name, lambda: Path("models")))
"""
TESTS = """
import os
import time
from pathlib import Path

import pytest

import edgekit

def test_passes():
    assert edgekit.__file__.startswith(os.environ["TMPDIR"].rpartition("/")[0])
    assert list(Path("wheels").glob("*.whl"))
    assert Path("models/one.txt").read_text() == "1"

def test_fails():
    here = 3
    assert here == 4

def test_skips():
    pytest.skip("the moon is full")

@pytest.mark.xfail(reason="known")
def test_is_expected_to_fail():
    raise OSError

@pytest.fixture
def broken():
    yield
    raise RuntimeError("left open")

def test_ends_badly(broken):
    pass

@pytest.mark.parametrize("how", ["abort", "exit"])
def test_takes_the_process_down(how):
    os.abort() if how == "abort" else os._exit(3)

def test_comes_after_that():
    pass

def test_takes_long():
    Path(os.environ["EDGEKIT_TEST_BEGUN"]).touch()
    time.sleep(60)
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Edgekit's own, with other tests."""
    folder = tmp_path / "repository"
    for name in ("device_tests", "examples", "models"):
        (folder / name).mkdir(parents=True)
    for part in PARTS:
        (folder / part).symlink_to(REPOSITORY / part)
    (folder / "models/one.txt").write_text("1")
    (folder / "device_tests/conftest.py").write_text(CONFTEST)
    (folder / "device_tests/test_odd.py").write_text(TESTS)
    return folder


@pytest.fixture
def target(start_device: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A device that is this machine, with the Python of this environment."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    device = start_device(variables={"EDGEKIT_TEST_BEGUN": str(tmp_path / "begun")})
    file = tmp_path / "targets.toml"
    file.write_text(f'[targets.pi]\nurl = "{device.url}"\npython = "{sys.executable}"\n')
    monkeypatch.setenv("EDGEKIT_TARGETS", str(file))
    return device


def _command(*arguments: str) -> list[str]:
    words = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--color=no", "--target", "pi"]
    return [sys.executable, "-m", "pytest", "device_tests", *words, *arguments]


def _run(repository: Path, arguments: Sequence[str]) -> tuple[int, str]:
    done = subprocess.run(
        _command(*arguments),
        cwd=repository,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def _line(text: str) -> int:
    return TESTS[: TESTS.index(text)].count("\n") + 1


def test_every_outcome_is_told_as_if_the_test_had_run_here(
    repository: Path, target: Any, tmp_path: Path
) -> None:
    report = tmp_path / "report.xml"
    options = ["-k", "not long", "-v", "--durations=3", f"--junit-xml={report}"]
    code, said = _run(repository, options)
    assert code == 1, said
    assert "3 failed, 3 passed, 1 skipped, 1 deselected, 1 xfailed, 1 error" in said
    assert "target: pi (" in said
    assert "device_tests/test_odd.py::test_passes PASSED" in said
    assert "assert 3 == 4" in said
    assert f"device_tests/test_odd.py:{_line('here == 4')}: AssertionError" in said
    assert f"SKIPPED [1] device_tests/test_odd.py:{_line('the moon')}: the moon is full" in said
    assert "RuntimeError: left open" in said
    assert "died of SIGABRT there while this test ran" in said
    assert "exit code 3 there while this test ran" in said
    assert "test_comes_after_that PASSED" in said
    assert "[100%]" in said
    assert 'errors="1" failures="3"' in report.read_text()
    assert target.wait_until_idle()


def test_the_first_failure_ends_it_where_that_is_asked_for(repository: Path, target: Any) -> None:
    code, said = _run(repository, ["-x"])
    assert code == 1
    assert "1 failed, 1 passed in" in said
    assert "stopping after 1 failures" in said
    assert target.wait_until_idle()


def test_ctrl_c_leaves_nothing_running_or_lying_about(
    repository: Path, target: Any, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        _command("-k", "long"),
        cwd=repository,
        env={**os.environ, "TMPDIR": str(tmp_path / "here")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    (tmp_path / "here").mkdir()
    end = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < end:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 2, said
    assert "KeyboardInterrupt" in said
    assert target.wait_until_idle()
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("", "no target 'pi'"),
        ('[targets.pi]\nurl = "ssh://127.0.0.1:9"\n', "pi: nothing listens on port 9"),
        ('[targets.pi]\nurl = "local"\npython = "/no/python"\n', "/no/python does not start"),
    ],
)
def test_a_target_that_cannot_be_used_is_one_line(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, reason: str
) -> None:
    file = tmp_path / "targets.toml"
    file.write_text(lines)
    monkeypatch.setenv("EDGEKIT_TARGETS", str(file))
    code, said = _run(repository, [])
    assert code == 4
    (line,) = said.split("\n\n")[0].strip().splitlines()
    assert line.startswith("ERROR: ")
    assert reason in line


def test_a_python_without_a_runtime_is_told_what_to_do(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare/bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    file = tmp_path / "targets.toml"
    file.write_text(f'[targets.pi]\nurl = "local"\npython = "{bare}"\n')
    monkeypatch.setenv("EDGEKIT_TARGETS", str(file))
    code, said = _run(repository, [])
    assert code == 4
    assert "ERROR: pi: has no NumPy for its Python 3" in said


def test_other_tests_than_those_of_devices_are_refused(repository: Path, target: Any) -> None:
    (repository / "test_elsewhere.py").write_text("def test_it(): pass\n")
    code, said = _run(repository, ["test_elsewhere.py"])
    assert code == 4, said
    assert "test_elsewhere.py::test_it: does not run on a target; name device_tests alone" in said
    assert target.wait_until_idle()
