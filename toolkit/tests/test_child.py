import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.child import Child, Limits, physical_memory_bytes, resident_bytes
from edgekit.errors import (
    ConversionError,
    CrashError,
    DataError,
    EdgekitError,
    MissingDependencyError,
    UsageError,
)

HERE = str(Path(__file__).parent)


@pytest.fixture(autouse=True)
def _faults_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", HERE)


@pytest.fixture
def child() -> Iterator[Child]:
    with Child("faults", limits=Limits(time_s=20)) as started:
        yield started


def is_alive(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def wait_until(condition: object, *, time_s: float = 10) -> bool:
    assert callable(condition)
    end = time.monotonic() + time_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


def test_a_call_returns_what_the_function_returns(child: Child) -> None:
    value = {"text": "Größe\n\u2028", "numbers": [1, 2.5, None, True]}
    assert child.call("echo", value=value) == value


def test_calls_share_one_process(child: Child) -> None:
    assert [child.call("count") for _ in range(3)] == [1, 2, 3]


def test_nothing_is_started_before_the_first_call() -> None:
    with Child("no_such_module"):
        pass


def test_start_starts_the_process_ahead(child: Child) -> None:
    child.start()
    process = child._process
    assert process is not None
    assert child.call("process_id") == process.pid


def test_segfault_is_named(child: Child) -> None:
    with pytest.raises(CrashError, match=r"^segfault: the child process died of SIGSEGV.*; "):
        child.call("segfault")


def test_abort_is_named_with_what_the_library_said(child: Child) -> None:
    with pytest.raises(CrashError, match=r"SIGABRT \(it said: terminate called: the matrix is"):
        child.call("abort")


def test_a_crash_message_is_one_line(child: Child) -> None:
    with pytest.raises(CrashError) as caught:
        child.call("segfault")
    assert "\n" not in str(caught.value)


def test_a_kill_from_outside_is_taken_for_want_of_memory(child: Child) -> None:
    with pytest.raises(CrashError, match="out of memory"):
        child.call("kill_itself")


@pytest.mark.parametrize("function", ["loop", "loop_in_c", "loop_and_talk"])
def test_an_endless_call_is_stopped(function: str) -> None:
    with Child("faults", limits=Limits(time_s=1)) as child:
        start_s = time.monotonic()
        with pytest.raises(
            CrashError, match=f"^{function}: no end after 1 s, stopped; raise --time"
        ):
            child.call(function)
        assert time.monotonic() - start_s < 5


def test_a_memory_hog_is_stopped() -> None:
    limit_bytes = 300 << 20
    with (
        Child("faults", limits=Limits(time_s=60, memory_bytes=limit_bytes)) as child,
        pytest.raises(CrashError, match=r"^hog: out of memory \(.* GiB used, limit 0\.3 GiB\)"),
    ):
        child.call("hog")


def test_a_refused_allocation_is_reported_and_the_process_lives(child: Child) -> None:
    process_id = child.call("process_id")
    with pytest.raises(CrashError, match="^refuse_memory: out of memory"):
        child.call("refuse_memory")
    assert child.call("process_id") == process_id


@pytest.mark.parametrize("code", [0, 3])
def test_a_library_that_exits_is_reported(child: Child, code: int) -> None:
    with pytest.raises(CrashError, match=f"^leave: the child process ended with exit code {code}"):
        child.call("leave", code=code)


def test_a_forked_process_does_not_hide_the_death(child: Child) -> None:
    start_s = time.monotonic()
    with pytest.raises(CrashError, match="exit code 7"):
        child.call("leave_a_fork_behind")
    assert time.monotonic() - start_s < 5


def test_prints_do_not_garble_the_answer(child: Child) -> None:
    assert child.call("print_much", size_bytes=20 << 20) == "whole"
    assert child.call("echo", value=1) == 1


def test_verbose_prints_go_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    with Child("faults", verbose=True) as child:
        child.call("print_much", size_bytes=100)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "and more" in captured.err


@pytest.mark.parametrize("kind", [ConversionError, DataError, UsageError, MissingDependencyError])
def test_errors_of_edgekit_keep_class_and_message(child: Child, kind: type[EdgekitError]) -> None:
    with pytest.raises(kind, match="^model.keras: no good; give another$") as caught:
        child.call("raise_error", name=kind.__name__)
    assert type(caught.value) is kind


def test_an_unexpected_exception_is_one_line_and_the_process_lives(child: Child) -> None:
    process_id = child.call("process_id")
    with pytest.raises(CrashError, match="unexpected ZeroDivisionError: first line; ") as caught:
        child.call("raise_unexpected")
    assert "\n" not in str(caught.value)
    assert child.call("process_id") == process_id


def test_an_unexpected_exception_leaves_its_traceback_in_the_log(child: Child) -> None:
    with pytest.raises(CrashError):
        child.call("raise_unexpected")
    assert "ZeroDivisionError" in child.log_tail()


def test_an_unknown_function_is_reported(child: Child) -> None:
    with pytest.raises(CrashError, match="no_such_function"):
        child.call("no_such_function")


def test_a_module_that_does_not_import_is_reported() -> None:
    with Child("no_such_module") as child, pytest.raises(CrashError, match="no_such_module"):
        child.call("anything")


def test_a_result_that_cannot_be_sent_is_reported(child: Child) -> None:
    with pytest.raises(CrashError, match="not JSON serializable"):
        child.call("not_json")


def test_a_long_answer_arrives_whole(child: Child) -> None:
    assert len(child.call("large", size_bytes=5 << 20)) == 5 << 20


@pytest.mark.parametrize("fault", ["segfault", "abort", "kill_itself"])
def test_the_call_after_a_crash_works(child: Child, fault: str) -> None:
    child.call("count")
    with pytest.raises(CrashError):
        child.call(fault)
    assert child.call("count") == 1


def test_events_arrive_in_order_before_the_answer() -> None:
    events: list[str] = []
    with Child("faults", on_event=events.append) as child:
        assert child.call("tell_steps") == "done"
    assert events == ["one", "two"]


def test_close_ends_the_process(child: Child) -> None:
    process_id = child.call("process_id")
    child.close()
    assert not is_alive(process_id)


def test_close_twice_is_harmless(child: Child) -> None:
    child.call("count")
    child.close()
    child.close()


def test_a_closed_child_refuses_calls(child: Child) -> None:
    child.close()
    with pytest.raises(CrashError, match="stopped"):
        child.call("count")


def test_close_from_another_thread_ends_a_running_call(child: Child) -> None:
    process_id = child.call("process_id")
    timer = threading.Timer(0.3, child.close)
    timer.start()
    start_s = time.monotonic()
    with pytest.raises(CrashError, match="^faults: stopped"):
        child.call("loop")
    timer.join()
    assert time.monotonic() - start_s < 3
    assert not is_alive(process_id)


def test_close_from_an_event_ends_the_call() -> None:
    def stop(_: str) -> None:
        talker.close()

    talker = Child("faults", on_event=stop)
    with pytest.raises(CrashError, match="^faults: stopped"):
        talker.call("loop_and_talk")


def test_an_interrupted_call_leaves_no_answer_for_the_next_one() -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with Child("faults", on_event=interrupt) as child:
        with pytest.raises(KeyboardInterrupt):
            child.call("tell_steps")
        assert child.call("echo", value="mine") == "mine"


def test_an_interrupted_call_is_stopped_at_once() -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    start_s = time.monotonic()
    with (
        pytest.raises(KeyboardInterrupt),
        Child("faults", on_event=interrupt, limits=Limits(time_s=60)) as child,
    ):
        child.call("loop_and_talk")
    assert time.monotonic() - start_s < 2


def test_the_child_outlives_the_thread_that_started_it(child: Child) -> None:
    starter = threading.Thread(target=child.call, args=("count",))
    starter.start()
    starter.join()
    time.sleep(0.2)
    assert child.call("count") == 2


def test_calls_from_many_threads_take_turns(child: Child) -> None:
    counted: list[int] = []
    threads = [threading.Thread(target=lambda: counted.append(child.call("count"))) for _ in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counted) == [1, 2, 3, 4]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
@pytest.mark.parametrize("call", ["child.call('sleep', time_s=60)", "child.call('loop')"])
def test_the_child_dies_when_its_parent_is_killed(call: str) -> None:
    program = (
        "from edgekit.child import Child\n"
        "child = Child('faults')\n"
        "print(child.call('process_id'), flush=True)\n"
        f"{call}\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    process_id = int(parent.stdout.readline())
    assert is_alive(process_id)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: not is_alive(process_id))


def test_no_descriptor_is_left_open() -> None:
    def crash_and_close() -> None:
        with Child("faults") as child, pytest.raises(CrashError):
            child.call("kill_itself")

    crash_and_close()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    crash_and_close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize(
    "wrong", [{"time_s": 0}, {"time_s": -1}, {"time_s": float("nan")}, {"memory_bytes": 0}]
)
def test_limits_that_allow_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be positive"):
        Limits(**wrong)


def test_memory_is_read_from_the_system() -> None:
    assert physical_memory_bytes() > 64 << 20
    assert resident_bytes(os.getpid()) > 1 << 20
    assert resident_bytes(2**22 + 1) == 0


def test_requests_and_answers_are_plain_json() -> None:
    with Child("faults") as child:
        assert json.dumps(child.call("echo", value=[1.5, float("inf")])) == "[1.5, Infinity]"
