"""Things that many threads use in turn, each alone for a while."""

from __future__ import annotations

from _thread import allocate_lock
from collections import deque
from time import monotonic, sleep
from typing import Generic, TypeVar

T = TypeVar("T")

_PATIENCE_S = 0.005
"""How long whoever comes first may be first. Python switches threads as often."""


class _Waiting(Generic[T]):
    """A thread that waits for an item."""

    __slots__ = ("given", "since", "wake")

    def __init__(self) -> None:
        self.since = monotonic()
        self.given: list[T] = []
        self.wake = allocate_lock()
        self.wake.acquire()


class Turns(Generic[T]):
    """A queue whose `get` never waits for long while others get and put.

    A plain queue wakes a waiting thread, but does not keep the item for it: threads that put and
    get in a tight loop are always there sooner, and may leave the others waiting for ever. Here,
    who has waited for 5 ms is handed the next item that is put. Were every item handed over so,
    each call would wait for the system to switch threads.
    """

    __slots__ = ("_get", "_items", "_put", "_waiting")

    def __init__(self) -> None:
        """Begin empty."""
        self._items: deque[T] = deque()
        self._get, self._put = self._items.popleft, self._items.append
        self._waiting: deque[_Waiting[T]] = deque()

    def get(self) -> T:
        """An item that nobody else has; waits until there is one."""
        try:
            return self._get()
        except IndexError:
            return self._wait()

    def put(self, item: T) -> None:
        """Offer `item` to whoever wants one."""
        self._put(item)
        if self._waiting:
            self._offer()

    def _wait(self) -> T:
        mine: _Waiting[T] = _Waiting()
        self._waiting.append(mine)
        try:
            while not mine.given:
                try:
                    item = self._get()  # perhaps put while nobody seemed to wait
                except IndexError:
                    mine.wake.acquire()
                    continue
                if self._leave(mine):
                    return item
                self.put(item)  # another one is just being handed over
                mine.wake.acquire()
            return mine.given.pop()
        except BaseException:  # Ctrl-C
            if not self._leave(mine):
                while not mine.given:
                    sleep(0)
                self.put(mine.given.pop())
            raise

    def _leave(self, mine: _Waiting[T]) -> bool:
        """Wait no more; False where an item has been handed over, or is about to be."""
        try:
            self._waiting.remove(mine)
        except ValueError:
            return False
        if self._waiting and self._items:
            self._offer()  # the wake-up may have been for somebody else
        return True

    def _offer(self) -> None:
        """Wake who waits longest; hand an item over if that has been long."""
        try:
            first = self._waiting[0]
            if monotonic() - first.since > _PATIENCE_S:
                item = self._get()
                try:
                    first = self._waiting.popleft()
                except IndexError:
                    self._put(item)
                    return
                first.given.append(item)
            first.wake.release()
        except (IndexError, RuntimeError):  # nobody left, no item left, or awake already
            return
