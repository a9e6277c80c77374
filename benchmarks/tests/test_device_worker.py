"""The agent and its measurements, as a device would run them: by their pipes."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit_benchmarks.worker_file import FOLDER, worker_bytes, worker_sha256

Build = Callable[..., Path]
LIMIT_S = 60


class Agent:
    """An agent that runs here, with its temporary files in a folder of the test's."""

    def __init__(
        self,
        folder: Path,
        *,
        worker: Path = FOLDER,
        python: str = sys.executable,
        environment: dict[str, str] | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [python, str(worker), "agent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(folder), **(environment or {})},
            start_new_session=True,
        )
        self.number = 0

    def send(self, do: str, **arguments: Any) -> None:
        self.number += 1
        self.write(json.dumps({"id": self.number, "do": do, **arguments}).encode() + b"\n")

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the agent ended"
        message: dict[str, Any] = json.loads(line)
        assert message["id"] == self.number
        return message

    def answer(self) -> dict[str, Any]:
        while "event" in (message := self.read()):
            pass
        return message

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        self.send(do, **arguments)
        answer = self.answer()
        assert "ok" in answer, answer
        found: dict[str, Any] = answer["ok"]
        return found

    def refusal(self, do: str, **arguments: Any) -> tuple[str, str]:
        self.send(do, **arguments)
        error = self.answer()["error"]
        return error["kind"], error["message"]

    def wait_for(self, phase: str) -> None:
        while (message := self.read()).get("event", {}).get("phase") != phase:
            assert "event" in message, message

    def end(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        code = self.process.wait(10)
        self.process.stdout.close()
        return code


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    started: list[Agent] = []

    def start(**options: Any) -> Agent:
        started.append(Agent(tmp_path / "tmp", **options))
        return started[-1]

    yield start
    for agent in started:
        agent.end()


@pytest.fixture
def agent(start_agent: Callable[..., Agent]) -> Agent:
    return start_agent()


def spec_of(path: Path, **more: Any) -> dict[str, Any]:
    rows = [{"key": "one", "path": str(path)}]
    budget = {"warm_up_s": 0.05, "chunk_s": 0.02, "budget_s": 0.1}
    return {"mode": "steady", "rows": rows, "inputs": None, **budget, **more}


def start_of(path: Path | str, **more: Any) -> dict[str, Any]:
    return {"mode": "start", "row": {"key": "one", "path": str(path)}, "inputs": None, **more}


def endless(path: Path) -> dict[str, Any]:
    return spec_of(path, budget_s=60)


def children_of(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def gone(pids: list[int]) -> bool:
    end = time.monotonic() + 5
    while any(map(_is_alive, pids)):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state != "Z"


# ---- what the worker is


def test_the_worker_needs_nothing_that_python_3_9_lacks() -> None:
    for path in FOLDER.glob("*.py"):
        ast.parse(path.read_text(), feature_version=(3, 9))


def test_the_worker_imports_nothing_of_edgekit() -> None:
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any("edgekit" in name for name in names), path


def old_python() -> str | None:
    found = [shutil.which(f"python3.{minor}") for minor in (9, 10)]
    found += map(str, sorted(Path.home().glob(".pyenv/versions/3.9*/bin/python")))
    for python in filter(None, found):  # some only stand for one that is not installed
        if not subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
            return python
    return None


def test_an_old_python_tells_its_facts_and_what_it_lacks(
    start_agent: Callable[..., Agent], tiny_tflite: Build
) -> None:
    python = old_python()
    if python is None:
        pytest.skip("there is no Python 3.9 or 3.10 here")
    agent = start_agent(python=python)
    found = agent.ask("facts")
    assert found["python"].startswith("3.")
    if "numpy" not in found["runtimes"]:
        kind, message = agent.refusal("run", spec=start_of(tiny_tflite()), limit_s=LIMIT_S)
        assert kind == "MissingDependencyError"
        assert "-m pip install " in message


def test_the_same_sources_make_the_same_file() -> None:
    first = worker_bytes()
    worker_bytes.cache_clear()
    assert worker_bytes() == first


def test_the_folder_and_the_file_made_of_it_say_the_same_name(
    start_agent: Callable[..., Agent], tmp_path: Path
) -> None:
    packed = tmp_path / "worker.pyz"
    packed.write_bytes(worker_bytes())
    assert start_agent(worker=packed).ask("hello")["sha256"] == worker_sha256()
    assert start_agent().ask("hello")["sha256"] == worker_sha256()


def test_the_one_file_measures(
    start_agent: Callable[..., Agent], tmp_path: Path, tiny_tflite: Build
) -> None:
    packed = tmp_path / "worker.pyz"
    packed.write_bytes(worker_bytes())
    answer = start_agent(worker=packed).ask("run", spec=spec_of(tiny_tflite()), limit_s=LIMIT_S)
    assert answer["answer"]["rows"]["one"]["samples_ns"]


def test_no_module_of_the_worker_hides_another() -> None:
    code = f"""
import runpy, sys
sys.argv = ["worker", "nothing"]
try:
    runpy.run_path({str(FOLDER)!r}, run_name="__main__")
except SystemExit:
    import profile
    print("device_worker" in profile.__file__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# ---- measuring


def test_an_agent_greets_and_leaves_nothing(agent: Agent, tmp_path: Path) -> None:
    hello = agent.ask("hello")
    assert hello["pid"] == agent.process.pid
    assert Path(hello["folder"]).is_dir()
    assert agent.end() == 0
    assert list((tmp_path / "tmp").iterdir()) == []


def test_requests_that_came_before_the_end_are_answered() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER), "agent"],
        input=b'{"id": 1, "do": "hello"}\n\n{"id": 2, "do": "facts"}\n',
        capture_output=True,
        check=True,
    )
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1, 2]


def test_a_steady_run_gives_the_raw_samples_in_order(agent: Agent, tiny_tflite: Build) -> None:
    answer = agent.ask("run", spec=spec_of(tiny_tflite()), limit_s=LIMIT_S)["answer"]
    row = answer["rows"]["one"]
    assert sum(row["chunks"]) == len(row["samples_ns"])
    assert len(row["stamps_ns"]) == len(row["chunks"]) >= 2
    assert row["stamps_ns"] == sorted(row["stamps_ns"])
    assert row["warm_up_ns"]
    assert row["repeats"] * np.median(row["warm_up_ns"]) > 500 * answer["timer_ns"]
    assert row["runtime"].startswith("ai-edge-litert ")
    assert answer["empty_call_ns"] < 5000


def test_files_take_turns(agent: Agent, tiny_tflite: Build, tiny_onnx: Build) -> None:
    rows = [
        {"key": "a", "path": str(tiny_tflite())},
        {"key": "b", "path": str(tiny_onnx()), "threads": 2},
    ]
    spec = {**spec_of(tiny_tflite()), "rows": rows}
    found = agent.ask("run", spec=spec, limit_s=LIMIT_S)["answer"]["rows"]
    order = sorted([(t, key) for key in "ab" for t in found[key]["stamps_ns"]])
    assert "".join(key for _, key in order[:4]) == "abba"


def test_a_start_run_tells_the_phases_and_the_memory(agent: Agent, tiny_tflite: Build) -> None:
    answer = agent.ask("run", spec=start_of(tiny_tflite()), limit_s=LIMIT_S)["answer"]
    memory = answer["memory"]
    assert min(answer[name] for name in ("import_ns", "load_ns", "first_inference_ns")) > 0
    assert memory["read_from"] == "VmHWM"
    assert 0 < memory["after_import_bytes"] <= memory["peak_bytes"]
    assert 0 <= memory["model_bytes"] < memory["peak_bytes"]


def test_memory_owed_to_a_model_grows_with_it(agent: Agent, tiny_tflite: Build) -> None:
    large = tiny_tflite("large.tflite", weights=np.ones((2048, 2048), np.float32))
    sizes = [
        agent.ask("run", spec=start_of(path), limit_s=LIMIT_S)["answer"]["memory"]["model_bytes"]
        for path in (tiny_tflite(), large)
    ]
    assert sizes[1] - sizes[0] > 2048 * 2048 * 4


def test_real_inputs_are_cycled(agent: Agent, tiny_tflite: Build, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", image=np.ones((5, 2), np.float32))
    spec = spec_of(tiny_tflite(), inputs=str(tmp_path / "in.npz"))
    row = agent.ask("run", spec=spec, limit_s=LIMIT_S)["answer"]["rows"]["one"]
    assert row["input_rows"] == 5


def test_real_numbers_are_fed_to_quantized_inputs(
    agent: Agent, tiny_tflite: Build, tiny_onnx: Build, tmp_path: Path
) -> None:
    np.savez(tmp_path / "in.npz", image=np.full((1, 2), 0.3, np.float32))
    for path in (tiny_tflite(io="int8"), tiny_onnx(io="int8")):
        spec = spec_of(path, inputs=str(tmp_path / "in.npz"))
        assert agent.ask("run", spec=spec, limit_s=LIMIT_S)["answer"]["rows"]["one"]["samples_ns"]


def test_a_free_batch_becomes_one(agent: Agent, tiny_tflite: Build, tiny_onnx: Build) -> None:
    for path in (tiny_tflite(batch=-1), tiny_onnx(batch="n")):
        assert agent.ask("run", spec=spec_of(path), limit_s=LIMIT_S)["answer"]["rows"]


def test_repeats_can_be_those_of_an_earlier_run(agent: Agent, tiny_tflite: Build) -> None:
    spec = spec_of(tiny_tflite())
    spec["rows"][0]["repeats"] = 7
    row = agent.ask("run", spec=spec, limit_s=LIMIT_S)["answer"]["rows"]["one"]
    assert row["repeats"] == 7


def test_a_run_is_pinned_where_it_is_asked_to_be(agent: Agent, tiny_tflite: Build) -> None:
    core = min(os.sched_getaffinity(0))
    agent.send("run", spec={**endless(tiny_tflite()), "affinity": [core]}, limit_s=LIMIT_S)
    agent.wait_for("steady")
    (child,) = children_of(agent.process.pid)
    assert os.sched_getaffinity(child) == {core}


def test_a_core_that_is_not_there_is_refused(agent: Agent, tiny_tflite: Build) -> None:
    spec = {**spec_of(tiny_tflite()), "affinity": [4000]}
    kind, message = agent.refusal("run", spec=spec, limit_s=LIMIT_S)
    assert kind == "UsageError"
    assert "[4000]" in message


def test_the_machine_is_watched_meanwhile(
    agent: Agent, tiny_tflite: Build, make_board: Callable[..., Any]
) -> None:
    board = make_board()
    agent.ask("hello", root=str(board.root))
    agent.send("run", spec=spec_of(tiny_tflite(), budget_s=1.5), limit_s=LIMIT_S, watch_s=0.2)
    agent.wait_for("steady")
    board.set_temperature_c(84)
    board.set_throttled(0x80008)
    board.set_frequency_khz(1_800_000, measured_khz=1_000_000)
    board.set_counters(steal=9, swap_in=3)
    looks = agent.answer()["ok"]["watch"]
    first, last = looks[0], looks[-1]
    assert (first["temperature_c"], first["throttled"]) == (48.3, 0)
    assert (last["temperature_c"], last["throttled"]) == (84.0, 0x80008)
    assert (first["frequency_khz"], last["frequency_khz"]) == (1_800_000, 1_000_000)
    assert (last["steal_ticks"], last["swap_in"], last["swap_out"]) == (9, 3, 0)
    assert last["load_1m"] == 0.1
    assert [look["t_ns"] for look in looks] == sorted(look["t_ns"] for look in looks)


def test_the_environment_can_name_the_board(
    start_agent: Callable[..., Agent], make_board: Callable[..., Any]
) -> None:
    root = str(make_board(model="Raspberry Pi 5").root)
    agent = start_agent(environment={"EDGEKIT_BOARD_ROOT": root})
    assert agent.ask("facts")["model"] == "Raspberry Pi 5"


def test_work_is_heard_of_every_second(agent: Agent, tiny_tflite: Build) -> None:
    agent.send("run", spec=endless(tiny_tflite()), limit_s=2.6)
    heard = [time.monotonic()]
    while "event" in agent.read():
        heard.append(time.monotonic())
    assert max(b - a for a, b in pairwise(heard)) < 2


def test_an_operator_profile_of_onnx(agent: Agent, tiny_onnx: Build) -> None:
    spec = {**start_of(tiny_onnx()), "mode": "profile", "inferences": 5}
    answer = agent.ask("run", spec=spec, limit_s=LIMIT_S)["answer"]
    assert [one["operator"] for one in answer["operators"]] == ["MatMul"]
    assert len(answer["operators"][0]["samples_ns"]) == len(answer["whole_ns"]) == 5


# ---- what goes wrong


@pytest.mark.parametrize(
    ("content", "kind"), [(b"\x00\x00\x00\x00TFL3junk", "VerificationError"), (None, "SourceError")]
)
def test_a_bad_file_is_refused_by_name(
    agent: Agent, tmp_path: Path, content: bytes | None, kind: str
) -> None:
    path = tmp_path / "bad.tflite"
    if content is not None:
        path.write_bytes(content)
    found, message = agent.refusal("run", spec=spec_of(path), limit_s=LIMIT_S)
    assert found == kind
    assert "bad.tflite: " in message
    assert "; " in message


def test_a_changed_file_is_refused(agent: Agent, tiny_tflite: Build) -> None:
    spec = start_of(tiny_tflite())
    spec["row"]["sha256"] = "0" * 64
    assert agent.refusal("run", spec=spec, limit_s=LIMIT_S)[0] == "SourceError"


def test_a_runtime_that_is_not_there_is_named(agent: Agent, tiny_tflite: Build) -> None:
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    spec = start_of(tiny_tflite())
    spec["row"]["runtime"] = "tflite-runtime"
    kind, message = agent.refusal("run", spec=spec, limit_s=LIMIT_S)
    assert kind == "MissingDependencyError"
    assert "tflite-runtime: does not" in message


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_killed_measurement_names_the_signal(
    agent: Agent, tiny_tflite: Build, number: signal.Signals
) -> None:
    agent.send("run", spec=endless(tiny_tflite()), limit_s=LIMIT_S)
    agent.wait_for("steady")
    (child,) = children_of(agent.process.pid)
    os.kill(child, number)
    error = agent.answer()["error"]
    assert error["kind"] == "CrashError"
    assert f"tiny.tflite: the measuring process was killed by {number.name}" in error["message"]
    assert agent.ask("hello")  # and the agent goes on


def test_a_measurement_without_end_is_stopped(agent: Agent, tiny_tflite: Build) -> None:
    kind, message = agent.refusal("run", spec=endless(tiny_tflite()), limit_s=1.5)
    assert kind == "CrashError"
    assert "no end after 1.5 s" in message
    assert children_of(agent.process.pid) == []


def test_memory_beyond_the_limit_is_refused(agent: Agent, tiny_tflite: Build) -> None:
    large = tiny_tflite("large.tflite", weights=np.ones((2048, 8192), np.float32))
    kind, message = agent.refusal(
        "run", spec=start_of(large), limit_s=LIMIT_S, memory_bytes=100 << 20
    )
    assert kind == "CrashError"
    assert "large.tflite: " in message
    assert "memory" in message


def test_a_request_that_makes_no_sense_is_answered(agent: Agent) -> None:
    agent.write(b'{"id": 1}\n')
    agent.number = 1
    assert agent.answer()["error"]["kind"] == "UsageError"
    assert agent.refusal("fly")[0] == "UsageError"
    assert agent.refusal("run", spec={"mode": "fly"}, limit_s=9)[0] == "UsageError"
    assert agent.ask("hello")


# ---- files


def put(agent: Agent, name: str, content: bytes, *, sent: bytes | None = None) -> dict[str, Any]:
    agent.send("put", name=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    message = agent.read()
    if "event" not in message:
        return message
    assert message["event"] == {"kind": "send"}
    agent.write(content if sent is None else sent)
    return agent.answer()


def test_a_file_arrives(agent: Agent) -> None:
    content = os.urandom(300_000) + b"\n{\n"
    path = Path(put(agent, "m.tflite", content)["ok"]["path"])
    assert path.name == "m.tflite"
    assert path.read_bytes() == content
    assert put(agent, "again.tflite", content)["ok"]["path"] == str(path)
    agent.ask("remove", path=str(path))
    assert not path.exists()


def test_a_file_damaged_on_the_way_is_refused(agent: Agent) -> None:
    error = put(agent, "m.tflite", b"abc", sent=b"abd")["error"]
    assert "damaged on the way" in error["message"]
    assert agent.ask("hello")


def test_a_name_cannot_lead_elsewhere(agent: Agent) -> None:
    for name in ("../x", "/etc/x", "..", ""):
        assert put(agent, name, b"abc")["error"]["kind"] == "UsageError"


def test_a_file_larger_than_the_disk_is_refused_before_it_is_sent(agent: Agent) -> None:
    kind, message = agent.refusal("put", name="m.tflite", bytes=1 << 60, sha256="0" * 64)
    assert kind == "OutputError"
    assert f"takes {1 << 60} bytes" in message
    assert "are free" in message


# ---- one at a time


def test_a_second_benchmark_is_told_about_the_first(start_agent: Callable[..., Agent]) -> None:
    first, second = start_agent(), start_agent()
    first.ask("lock")
    assert f"process {first.process.pid}, since " in second.refusal("lock")[1]
    first.ask("unlock")
    second.ask("lock")


def test_a_lock_can_be_waited_for(start_agent: Callable[..., Agent]) -> None:
    first, second = start_agent(), start_agent()
    first.ask("lock")
    second.send("lock", wait_s=20)
    assert second.read()["event"]["kind"] == "waiting"
    first.end()
    assert second.answer()["ok"] == {}


def test_a_killed_agent_holds_no_lock(start_agent: Callable[..., Agent]) -> None:
    first, second = start_agent(), start_agent()
    first.ask("lock")
    first.process.kill()
    first.process.wait()
    second.ask("lock")


# ---- nothing is left


def running(agent: Agent, path: Path) -> list[int]:
    agent.ask("lock")
    agent.send("run", spec=endless(path), limit_s=60)
    agent.wait_for("steady")
    return [agent.process.pid, *children_of(agent.process.pid)]


def test_the_end_of_input_ends_everything(agent: Agent, tiny_tflite: Build, tmp_path: Path) -> None:
    pids = running(agent, tiny_tflite())
    agent.end()
    assert gone(pids)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_everything(
    agent: Agent, tiny_tflite: Build, tmp_path: Path, number: signal.Signals
) -> None:
    pids = running(agent, tiny_tflite())
    agent.process.send_signal(number)
    assert agent.process.wait(10) == 128 + number
    assert gone(pids)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_killed_agent_takes_its_measurement_along(
    start_agent: Callable[..., Agent], tiny_tflite: Build, tmp_path: Path
) -> None:
    first = start_agent()
    pids = running(first, tiny_tflite())
    first.process.kill()
    first.process.wait()
    assert gone(pids)
    second = start_agent()  # which finds what the first could not remove
    second.ask("lock")
    second.end()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_folder_in_use_is_not_removed(start_agent: Callable[..., Agent]) -> None:
    folder = Path(start_agent().ask("hello")["folder"])
    start_agent().ask("hello")
    assert (folder / "owner").exists()


def test_an_agent_that_hears_nothing_ends(agent: Agent, tiny_tflite: Build, tmp_path: Path) -> None:
    agent.ask("hello", silence_s=3)
    pids = running(agent, tiny_tflite())
    assert agent.process.wait(10) == 0
    assert gone(pids)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_an_agent_whose_answers_nobody_reads_ends(
    agent: Agent, tiny_tflite: Build, tmp_path: Path
) -> None:
    pids = running(agent, tiny_tflite())
    assert agent.process.stdout is not None
    agent.process.stdout.close()
    assert agent.process.wait(10) == 0
    assert gone(pids)
    assert list((tmp_path / "tmp").iterdir()) == []


# ---- other runtimes


@pytest.mark.slow
def test_a_keras_file_is_measured_as_the_reference(agent: Agent) -> None:
    pytest.importorskip("keras", reason="Keras is not installed")
    demo = Path(__file__).parents[2] / "toolkit/edgekit/demo_files/fashion.keras"
    answer = agent.ask("run", spec=start_of(demo), limit_s=300)["answer"]
    assert answer["runtime"].startswith("keras ")
    assert answer["import_ns"] > answer["first_inference_ns"] > 0
    row = agent.ask("run", spec=spec_of(demo), limit_s=300)["answer"]["rows"]["one"]
    assert row["samples_ns"]


def test_tflite_runtime_measures_alike(
    start_agent: Callable[..., Agent], tiny_tflite: Build
) -> None:
    own = Path(__file__).parents[2] / ".venv-tflite-runtime/bin/python"
    python = os.environ.get("EDGEKIT_TFLITE_RUNTIME_PYTHON", str(own))
    if not Path(python).exists():
        pytest.skip("there is no environment with tflite-runtime; scripts/test makes one")
    agent = start_agent(python=python)
    for path in (tiny_tflite(), tiny_tflite("int8.tflite", io="int8")):
        row = agent.ask("run", spec=spec_of(path), limit_s=LIMIT_S)["answer"]["rows"]["one"]
        assert row["runtime"] == "tflite-runtime 2.14.0"
        assert row["samples_ns"]
        assert agent.ask("run", spec=start_of(path), limit_s=LIMIT_S)["answer"]["load_ns"] > 0
