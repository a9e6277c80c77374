"""What goes wrong while ``edgekit convert`` works: interrupts, crashes, limits, others."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifact import Conversion
from edgekit.child import Child, Limits
from edgekit.progress import Progress
from edgekit.request import ConvertRequest
from edgekit.sessions import open_session
from edgekit_converters.convert import convert
from edgekit_converters.workers import Workers

Running = Any


def wait_for_line(running: Running, part: str, *, time_s: float = 120) -> list[str]:
    """Read what a command says until a line holds `part`; those lines."""
    lines: list[str] = []
    end = time.monotonic() + time_s
    while time.monotonic() < end:
        line = running.stderr.readline()
        lines.append(line)
        if part in line or not line:
            break
    assert part in lines[-1], lines
    return lines


def wait_for_child(edgekit: Any, module: str, *, time_s: float = 60) -> int:
    """Wait until a process of the command serves `module`; its id."""
    end = time.monotonic() + time_s
    while not edgekit.children(module):
        assert time.monotonic() < end, f"no {module} was started"
        time.sleep(0.02)
    first: int = edgekit.children(module)[0]
    return first


def ended(running: Running) -> tuple[int, str]:
    """Exit code and stderr; 0 where all was done and told, and only Python's own end was met."""
    out, err = running.communicate(timeout=60)
    code = running.returncode
    if out and code in (-signal.SIGINT, -signal.SIGTERM):
        code = 0
    assert (out == "") == (code != 0)
    assert "Traceback" not in err, err
    return code, err


# ---- interrupted ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("delay_s", [0.0, 0.3, 0.6])
def test_a_float_file_that_is_interrupted_leaves_nothing(
    edgekit: Any, float_tflite: Path, rows: Path, number: signal.Signals, delay_s: float
) -> None:
    running = edgekit.start(
        "convert", float_tflite, "-q", "dynamic,int8,int16x8", "--calibrate", rows, "-o", "out"
    )
    wait_for_child(edgekit, "quantize_worker")
    time.sleep(delay_s)
    running.send_signal(number)
    code, err = ended(running)
    if code != 0:  # it may have been quicker
        assert code == 130
        assert err.splitlines()[-1].startswith("Interrupted: stopped")
        assert edgekit.left() == []
        left = list(edgekit.folder.glob("out/*"))
        assert all(path.suffix == ".tflite" and not path.name.startswith(".") for path in left)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "step"),
    [(signal.SIGINT, "load cnn"), (signal.SIGINT, "export onnx"), (signal.SIGTERM, "quantize")],
    ids=["SIGINT-load", "SIGINT-export", "SIGTERM-quantize"],
)
def test_a_keras_model_that_is_interrupted_leaves_nothing(
    edgekit: Any, zoo: Path, number: signal.Signals, step: str
) -> None:
    running = edgekit.start(
        *("convert", zoo / "cnn.keras", "--to", "tflite,onnx", "-q", "int8,int16x8"),
        *("--calibrate", zoo / "cnn.npz"),
    )
    wait_for_line(running, step)
    wait_for_child(edgekit, "keras_worker")
    running.send_signal(number)
    code, err = ended(running)
    assert code == 130
    assert err.splitlines()[-1].startswith("Interrupted: stopped")
    assert edgekit.left() == []
    assert not [path for path in edgekit.folder.iterdir() if path.name.startswith(".")]


def test_impatient_people_leave_nothing_either(
    edgekit: Any, float_tflite: Path, rows: Path
) -> None:
    running = edgekit.start("convert", float_tflite, "-q", "int8", "--calibrate", rows)
    wait_for_child(edgekit, "quantize_worker")
    for _ in range(5):
        running.send_signal(signal.SIGINT)
        time.sleep(0.05)
    code, _ = ended(running)
    assert code == 130
    assert list(edgekit.folder.iterdir()) == []


def test_children_of_a_parent_that_was_killed_end_too(
    edgekit: Any, float_tflite: Path, rows: Path
) -> None:
    running = edgekit.start("convert", float_tflite, "-q", "int8", "--calibrate", rows)
    wait_for_child(edgekit, "quantize_worker")
    running.kill()
    running.communicate()
    end = time.monotonic() + 5
    while edgekit.children() and time.monotonic() < end:
        time.sleep(0.05)
    assert edgekit.children() == []
    for path in edgekit.temporary.iterdir():  # nobody was left to remove these
        subprocess.run(["rm", "-r", str(path)], check=True)


# ---- limits -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_step_that_takes_too_much_memory_is_stopped(edgekit: Any, zoo: Path) -> None:
    done = edgekit("convert", zoo / "cnn.keras", "--memory-limit", "0.25")
    assert done.returncode == 1
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert "out of memory (0." in told
    assert "limit 0.2 GiB" in told
    assert "raise --memory-limit" in told
    assert list(edgekit.folder.iterdir()) == []


def test_a_step_that_takes_too_long_is_stopped(edgekit: Any, float_tflite: Path) -> None:
    done = edgekit("convert", float_tflite, "-q", "dynamic", "--time-limit", "0.05")
    assert done.returncode == 1
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert "no end after 0.05 s, stopped; raise --time-limit" in told
    assert list(edgekit.folder.iterdir()) == []


# ---- children that die ------------------------------------------------------------------------


class Killer:
    """Workers whose quantizer, or another child, dies while it does what is to be spoiled."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number
        self.workers = Workers(Limits(time_s=200), verbose=False, on_event=self.hear)
        self.event = "never"
        self.killed = 0

    def hear(self, event: str) -> None:
        """Called in the middle of a call to the quantizer or the Keras child."""
        if event.startswith(self.event) and not self.killed:
            self.killed += 1
            self.kill(self.workers.quantizer)

    def kill(self, child: Child) -> None:
        process = child._process
        assert process is not None
        process.send_signal(self.number)


class Steps(Progress):
    """Does something when a step begins."""

    def __init__(self, step: str, action: Callable[[], None]) -> None:
        super().__init__(total=1, enabled=False)
        self._step, self._action = step, action

    def step(self, text: str) -> None:
        super().step(text)
        if self._step in text:
            self._step = "once only"
            self._action()


@pytest.fixture(params=[signal.SIGSEGV, signal.SIGABRT], ids=["SIGSEGV", "SIGABRT"])
def killer(request: pytest.FixtureRequest) -> Iterator[Killer]:
    made = Killer(request.param)
    with made.workers:
        yield made


def in_a_moment(child: Child, number: signal.Signals) -> None:
    """Kill `child` as soon as it is in the middle of a call."""

    def work() -> None:
        end = time.monotonic() + 30
        while not child._busy and time.monotonic() < end:
            time.sleep(0.001)
        process = child._process
        assert process is not None
        process.send_signal(number)

    threading.Thread(target=work).start()


def made_of(conversion: Conversion) -> list[str]:
    return sorted(f"{one.format} {one.precision}" for one in conversion.artifacts)


def test_a_quantizer_that_crashes_takes_only_its_own_file_along(
    killer: Killer, float_onnx: Path, rows: Path, tmp_path: Path
) -> None:
    killer.event = "calibrating"
    request = ConvertRequest(
        source=float_onnx,
        out=tmp_path / "out",
        formats=("onnx",),
        precisions=("float32", "int8", "float16", "dynamic"),
        calibrate=str(rows),
    )
    made = convert(request, Progress(total=1, enabled=False), workers=killer.workers)
    assert killer.killed == 1
    (failure,) = made.failures
    assert failure.precision == "int8"
    assert f"the child process died of {killer.number.name}" in failure.error
    assert made_of(made) == ["onnx dynamic", "onnx float16", "onnx float32"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "dense.dynamic.onnx",
        "dense.float16.onnx",
        "dense.float32.onnx",
    ]
    for path in (tmp_path / "out").iterdir():
        with open_session(path) as session:
            assert session.inputs[0].name == "row"


def test_a_runtime_that_crashes_takes_only_the_file_it_checked_along(
    killer: Killer, float_onnx: Path, rows: Path, tmp_path: Path
) -> None:
    request = ConvertRequest(
        source=float_onnx,
        out=tmp_path / "out",
        formats=("onnx",),
        precisions=("float32", "float16"),
        calibrate=str(rows),
    )
    steps = Steps("verify dense.float16", lambda: in_a_moment(checker, killer.number))
    checker = killer.workers.checker
    made = convert(request, steps, workers=killer.workers)
    assert len(made.artifacts) + len(made.failures) == 2
    for failure in made.failures:
        assert f"died of {killer.number.name}" in failure.error
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == sorted(one.path.name for one in made.artifacts)


@pytest.mark.slow
def test_an_exporter_that_crashes_leaves_the_other_format(zoo: Path, tmp_path: Path) -> None:
    with Workers(Limits(time_s=200), verbose=False, on_event=lambda _: None) as workers:
        request = ConvertRequest(
            source=zoo / "gru.keras",
            out=tmp_path / "out",
            formats=("onnx", "tflite"),
            precisions=("float32", "int8"),
            calibrate=str(zoo / "gru.npz"),
        )
        steps = Steps("export onnx", lambda: in_a_moment(workers.keras, signal.SIGSEGV))
        made = convert(request, steps, workers=workers)
    assert (made.failures[0].format, made.failures[0].precision) == ("onnx", "float32")
    assert "to_onnx: the child process died of SIGSEGV" in made.failures[0].error
    assert {"tflite float32", "tflite int8"} <= set(made_of(made))
    assert all(one.verification.status == "passed" for one in made.artifacts)


@pytest.mark.slow
def test_formats_that_are_finished_at_once_keep_out_of_each_others_files(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_verified = threading.Barrier(2, timeout=120)
    call = Child.call

    def in_step(child: Child, function: str, **arguments: Any) -> Any:
        if function == "golden":
            both_verified.wait()
        return call(child, function, **arguments)

    monkeypatch.setattr(Child, "call", in_step)
    request = ConvertRequest(
        source=zoo / "lstm.keras",
        out=tmp_path / "out",
        formats=("onnx", "tflite"),
        precisions=("float32",),
        calibrate=str(zoo / "lstm.npz"),
    )
    made = convert(request, Progress(total=1, enabled=False))
    assert made.failures == ()
    assert made_of(made) == ["onnx float32", "tflite float32"]


@pytest.mark.slow
def test_a_model_that_kills_keras_is_one_line(edgekit: Any, zoo: Path) -> None:
    deadly = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    (edgekit.folder / "deadly.py").write_text(deadly)
    done = edgekit("convert", zoo / "custom.keras", "--custom-objects", "deadly.py")
    assert done.returncode == 1
    (told,) = [line for line in done.stderr.splitlines() if not line.startswith("[")]
    assert told.startswith("Error: ")
    assert "died of SIGSEGV" in told
    assert [path.name for path in edgekit.folder.iterdir()] == ["deadly.py"]


@pytest.mark.slow
def test_code_that_never_ends_is_stopped(edgekit: Any, zoo: Path) -> None:
    (edgekit.folder / "endless.py").write_text("while True:\n    pass\n")
    done = edgekit(
        *("convert", zoo / "custom.keras", "--custom-objects", "endless.py", "--time-limit", "8")
    )
    assert done.returncode == 1
    assert "no end after 8 s, stopped" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("verbose", [False, True])
def test_what_code_prints_is_shown_when_asked_for_and_never_among_the_results(
    edgekit: Any, zoo: Path, verbose: bool
) -> None:
    noisy = (zoo / "layers.py").read_text() + "\nprint('{\"noise\": 1}')\n"
    (edgekit.folder / "noisy.py").write_text(noisy)
    options = ["--custom-objects", "noisy.py", "--json", *(["--verbose"] if verbose else [])]
    done = edgekit("convert", zoo / "custom.keras", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["artifacts"][0]["format"] == "tflite"
    assert ("noise" in done.stderr) == verbose


# ---- two at once ------------------------------------------------------------------------------


@pytest.mark.parametrize("force", [False, True], ids=["plain", "force"])
def test_two_conversions_into_one_folder_at_once(
    edgekit: Any, float_tflite: Path, rows: Path, force: bool
) -> None:
    arguments = ["convert", float_tflite, "-q", "int8", "--calibrate", rows, "-o", "out"]
    both = [edgekit.start(*arguments, *(["--force"] if force else [])) for _ in range(2)]
    results = [(*running.communicate(timeout=120), running.returncode) for running in both]
    codes = sorted(code for _, _, code in results)
    assert codes == ([0, 0] if force else [0, 1])
    if not force:
        (refused,) = [err for _, err, code in results if code]
        assert "dense.int8.tflite: exists already" in refused
    assert [path.name for path in (edgekit.folder / "out").iterdir()] == ["dense.int8.tflite"]
    with open_session(edgekit.folder / "out" / "dense.int8.tflite") as session:
        assert session.manifest["verification"]["status"] == "passed"


def test_a_reader_that_goes_away_ends_nothing_badly(edgekit: Any, float_tflite: Path) -> None:
    running = edgekit.start("convert", float_tflite, "-q", "dynamic")
    running.stderr.close()
    running.stdout.close()
    assert running.wait(timeout=60) in {0, 1}
    assert [path.name for path in edgekit.folder.iterdir()] == ["dense.dynamic.tflite"]


def test_environment_variables_do_not_change_the_answer(
    edgekit: Any, float_tflite: Path, rows: Path, tmp_path: Path
) -> None:
    contents = []
    for name, environment in (("a", {}), ("b", {"PYTHONHASHSEED": "77", "LANG": "C"})):
        done = edgekit(
            *("convert", float_tflite, "-q", "int8", "--calibrate", rows, "-o", tmp_path / name),
            environment=environment,
        )
        assert done.returncode == 0
        contents.append((tmp_path / name / "dense.int8.tflite").read_bytes())
    assert contents[0] == contents[1]
