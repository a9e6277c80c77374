"""One model, called from many threads and from asyncio."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import ClosedError

Open = Callable[..., edgekit.Model]
Find = Callable[[str], Any]
THREADS = 16
CALLS = 1000


@pytest.mark.board
@pytest.mark.parametrize("instances", [1, 2, 4])
@pytest.mark.parametrize("name", ["dense", "echo.int8"])
def test_many_threads_give_bit_for_bit_what_one_gives(
    open_model: Open, name: str, instances: int
) -> None:
    model = open_model(name, instances=instances)
    assert model.instances == instances
    width = model.inputs[0].shape[1] or 1
    rows = np.random.default_rng(0).normal(size=(64, 1, width)).astype(np.float32)
    serial = np.stack([model(row) for row in rows])
    start = threading.Barrier(THREADS)

    def work(number: int) -> int:
        start.wait()
        wrong = 0
        for call in range(CALLS):
            at = (call * 7 + number) % len(rows)
            wrong += model(rows[at]).tobytes() != serial[at].tobytes()
        return wrong

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(work, range(THREADS))) == [0] * THREADS


@pytest.mark.board
def test_threads_with_a_batch_of_their_own_each_do_not_mix(open_model: Open) -> None:
    model = open_model("dense.batch-free", instances=2)
    random = np.random.default_rng(1)
    batches = [random.normal(size=(n, 2)).astype(np.float32) for n in (1, 2, 5, 9)]
    wanted = [model(batch) for batch in batches]

    def work(number: int) -> bool:
        pairs = zip(batches, wanted, strict=True)
        batch, right = list(pairs)[number % len(batches)]
        return all(np.array_equal(model(batch), right) for _ in range(100))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


@pytest.mark.board
def test_a_real_model_gives_the_same_in_every_instance(open_model: Open) -> None:
    model = open_model("fashion.int8.io-int8", instances=3)
    images = np.random.default_rng(2).random((12, 1, 28, 28, 1), np.float32)
    serial = [model(image) for image in images]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            for given, wanted in zip(pool.map(model, images), serial, strict=True):
                np.testing.assert_array_equal(given, wanted)


@pytest.mark.board
def test_threads_that_give_bad_input_do_not_disturb_the_others(open_model: Open) -> None:
    model = open_model("echo.int8", instances=2)
    good = np.array([[0.5, -0.5, 1.0, 2.0]], np.float32)
    bad = good.copy()
    bad[0, 1] = np.nan
    wanted = model(good)

    def work(number: int) -> bool:
        for call in range(100):
            if (number + call) % 3:
                if not np.array_equal(model(good), wanted):
                    return False
            else:
                with pytest.raises(edgekit.DataError):
                    model(bad if call % 2 else good[:, :3])
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


@pytest.mark.board
def test_asyncio_calls_give_what_plain_ones_give(open_model: Open) -> None:
    model = open_model("dense", instances=2)
    rows = np.random.default_rng(3).normal(size=(50, 1, 2)).astype(np.float32)

    async def everything() -> list[np.ndarray]:
        called = asyncio.gather(*(model.call_async(row) for row in rows))
        run = asyncio.gather(*(model.run_async({"image": row}) for row in rows))
        return [*(await called), *(one["scores"] for one in await run)]

    for given, row in zip(asyncio.run(everything()), [*rows, *rows], strict=True):
        np.testing.assert_array_equal(given, model(row))


def test_asyncio_calls_do_not_block_the_loop(open_model: Open) -> None:
    model = open_model("fashion.float32")
    images = np.zeros((300, 28, 28, 1), np.float32)
    begun = time.perf_counter()
    model(images)
    takes = time.perf_counter() - begun

    async def both() -> int:
        ticks = 0
        call = asyncio.ensure_future(model.call_async(images))
        while not call.done():
            await asyncio.sleep(takes / 50)
            ticks += 1
        await call
        return ticks

    assert asyncio.run(both()) >= 5


def test_a_swap_under_way_does_not_block_the_loop(open_model: Open, find: Find) -> None:
    model = open_model("dense", probe=True)  # which takes a while, each time
    row = np.array([[1.0, 2.0]], np.float32)

    async def longest_s() -> tuple[float, float]:
        begun = time.perf_counter()
        swap = asyncio.ensure_future(asyncio.to_thread(model.swap, find("dense.doubled").path))
        await asyncio.sleep(0.01)
        longest = 0.0
        while not swap.done():
            before = time.perf_counter()
            await model.call_async(row)
            longest = max(longest, time.perf_counter() - before)
        await swap
        return longest, time.perf_counter() - begun

    longest, swap = asyncio.run(longest_s())
    assert longest < swap / 2, (longest, swap)


def test_resets_swaps_and_calls_do_not_wait_for_each_other_for_ever(
    open_model: Open, find: Find
) -> None:
    model = open_model("dense", instances=2)
    row = np.array([[1.0, 2.0]], np.float32)
    stop = time.perf_counter() + 1

    def work(number: int) -> int:
        count = 0
        while time.perf_counter() < stop:
            if number < 3:
                model.reset()
            elif number == 3:
                model.swap(find("dense").path)
            else:
                model(row)
            count += 1
        return count

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(work, number) for number in range(6)]
        assert all(one.result(timeout=30) for one in running)


def test_asyncio_calls_that_wait_when_the_model_closes_are_told(open_model: Open) -> None:
    model = open_model("fashion.float32")
    images = np.zeros((200, 28, 28, 1), np.float32)

    async def everything() -> list[object]:
        calls = [asyncio.ensure_future(model.call_async(images)) for _ in range(4)]
        await asyncio.sleep(0.02)
        await asyncio.to_thread(model.close)
        return list(await asyncio.gather(*calls, return_exceptions=True))

    for result in asyncio.run(everything()):
        assert isinstance(result, np.ndarray | ClosedError), result


def test_an_asyncio_call_that_is_cancelled_leaves_the_model_usable(open_model: Open) -> None:
    model = open_model("fashion.float32")
    images = np.zeros((50, 28, 28, 1), np.float32)
    wanted = model(images)

    async def cancelled() -> np.ndarray:
        call = asyncio.ensure_future(model.call_async(images))
        await asyncio.sleep(0.001)
        call.cancel()
        result: np.ndarray = await model.call_async(images)
        return result

    np.testing.assert_array_equal(asyncio.run(cancelled()), wanted)


@pytest.mark.board
def test_closing_lets_calls_under_way_finish(open_model: Open) -> None:
    model = open_model("dense", instances=2)
    row = np.array([[1.0, 2.0]], np.float32)
    wanted = model(row)
    start = threading.Barrier(9)

    def work(_: int) -> bool:
        start.wait()
        try:
            while True:
                if not np.array_equal(model(row), wanted):
                    return False
        except ClosedError:
            return True

    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(work, number) for number in range(8)]
        start.wait()
        time.sleep(0.05)
        model.close()
        assert all(one.result(timeout=30) for one in done)
