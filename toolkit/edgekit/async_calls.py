"""Calls of a model from asyncio: they compute in threads of its own, and the loop goes on."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from edgekit.served_file import ServedFile

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from numpy.typing import NDArray

    from edgekit.classification import Image, Prediction
    from edgekit.opening import Options
    from edgekit.reading import Source

Array: TypeAlias = "NDArray[Any]"
_T = TypeVar("_T")


class AsyncCalls(ServedFile):
    """What `edgekit.Model` offers to coroutines; each is the method without ``_async``."""

    def __init__(self, source: Source, options: Options) -> None:
        """Begin without threads; the first call starts them."""
        super().__init__(source, options)
        self._executor: ThreadPoolExecutor | None = None
        self._start = allocate_lock()
        """Held for moments only."""

    if TYPE_CHECKING:

        def __call__(self, *arrays: Any, out: Any = None) -> Any: ...  # noqa: D102
        def run(self, inputs: Any, out: Any = None) -> dict[str, Array]: ...  # noqa: D102
        def classify(self, image: Image, top: int = 5) -> list[Prediction]: ...  # noqa: D102

    async def call_async(self, *arrays: Any, out: Any = None) -> Any:
        """Like calling it, in a thread of the model's own: the event loop goes on meanwhile."""
        return await self._away(partial(self, *arrays, out=out))

    async def run_async(
        self, inputs: Mapping[str, Any], out: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Like `run`, in a thread of the model's own."""
        return await self._away(partial(self.run, inputs, out))

    async def classify_async(self, image: Image, top: int = 5) -> list[Prediction]:
        """Like `classify`, in a thread of the model's own."""
        return await self._away(partial(self.classify, image, top))

    async def _away(self, work: Callable[[], _T]) -> _T:
        import asyncio  # these two here, because they cost more than all else that loading imports
        from concurrent.futures import ThreadPoolExecutor

        with self._start:
            if self._gone:
                raise self._closed()
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self.instances, "edgekit-model")
            task = asyncio.get_running_loop().run_in_executor(self._executor, work)
        return await task

    def _end(self, reason: str) -> None:
        """Take no more calls; those in the threads go on."""
        with self._start:
            super()._end(reason)
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)

    def _leave_to_parent(self) -> None:
        self._start = allocate_lock()
        super()._leave_to_parent()
