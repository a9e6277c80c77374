"""Functions that go wrong in every way a library can; served by the children of test_child.py."""

import ctypes
import os
import sys
import time

from edgekit import errors
from edgekit.child_main import tell

_calls = 0


def count() -> int:
    """How often this process was asked."""
    global _calls  # noqa: PLW0603
    _calls += 1
    return _calls


def process_id() -> int:
    return os.getpid()


def echo(value: object) -> object:
    return value


def segfault() -> None:
    ctypes.string_at(0)


def abort() -> None:
    sys.stderr.write("terminate called: the matrix is singular\n")
    sys.stderr.flush()
    os.abort()


def kill_itself() -> None:
    os.kill(os.getpid(), 9)


def loop() -> None:
    while True:
        pass


def loop_in_c() -> None:
    ctypes.PyDLL(None).sleep(60)  # holds the interpreter's lock


def loop_and_talk() -> None:
    while True:
        tell("still at it")


def hog() -> int:
    held = []
    while True:
        held.append(b"x" * (16 << 20))


def refuse_memory() -> None:
    raise MemoryError


def leave(code: int) -> None:
    sys.exit(code)


def leave_a_fork_behind() -> None:
    """Die while a forked process keeps every descriptor open."""
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)
    os._exit(7)


def print_much(size_bytes: int) -> str:
    """Print on both streams, as Python and as a C library does."""
    line = b'{"result": "garbled"}\n' * 1000
    for descriptor in (1, 2):
        written = 0
        while written < size_bytes:
            written += os.write(descriptor, line)
    print("and more", flush=True)
    return "whole"


def raise_error(name: str) -> None:
    raise getattr(errors, name)("model.keras: no good; give another")


def raise_unexpected() -> None:
    message = "first line\nsecond line"
    raise ZeroDivisionError(message)


def tell_steps() -> str:
    tell("one")
    tell("two")
    return "done"


def not_json() -> object:
    return object()


def large(size_bytes: int) -> str:
    return "x" * size_bytes


def sleep(time_s: float) -> str:
    time.sleep(time_s)
    return "slept"
