import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from edgekit.turns import Turns


def test_items_come_out_in_the_order_they_were_put() -> None:
    turns: Turns[int] = Turns()
    for item in (1, 2, 3):
        turns.put(item)
    assert [turns.get() for _ in range(3)] == [1, 2, 3]


def test_get_waits_for_an_item() -> None:
    turns: Turns[str] = Turns()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(turns.get)
        time.sleep(0.05)
        assert not waiting.done()
        turns.put("here")
        assert waiting.result(timeout=5) == "here"


@pytest.mark.parametrize("items", [1, 2, 3])
def test_no_item_is_lost_or_given_to_two(items: int) -> None:
    turns: Turns[threading.Lock] = Turns()
    for _ in range(items):
        turns.put(threading.Lock())

    def work(number: int) -> bool:
        alone = True
        for turn in range(3000):
            item = turns.get()
            alone = item.acquire(blocking=False) and alone
            if (turn * 7 + number) % 500 == 0:
                time.sleep(0.001)
            item.release()
            turns.put(item)
        return alone

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert len({id(turns.get()) for _ in range(items)}) == items


def test_nobody_waits_for_long_while_others_get_and_put_in_a_loop() -> None:
    turns: Turns[int] = Turns()
    turns.put(1)
    stop = threading.Event()

    def greedy() -> None:
        while not stop.is_set():
            turns.put(turns.get())

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(greedy)
        begun = time.perf_counter()
        for _ in range(20):
            turns.put(turns.get())
        took_s = time.perf_counter() - begun
        stop.set()
    assert took_s < 20 * 0.25  # tens of milliseconds each, on a loaded machine; seconds otherwise


def test_an_interrupted_thread_takes_nothing_along() -> None:
    script = """
import threading, time
from edgekit.turns import Turns
turns = Turns()
print("ready", flush=True)
try:
    turns.get()
except KeyboardInterrupt:
    turns.put(1)
    print(turns.get(), turns._waiting, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "1 deque([])\n"
