"""What the pieces of a TFLite graph take: graphs of the file that run a part of it each."""

from __future__ import annotations

import contextlib
import gc
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import Refused
from .inputs import read_arrays
from .loaded import Loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LEAST_ROUNDS = 2
_SLOW_NS = 50_000_000
_TELL_NS = 10**9
_COPIED_BYTES = 1 << 20


def measure(spec: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run the whole graph and passes over its parts, in turn, in a few blocks of rounds.

    Every pass is run again and again, like the model, so that caches hold what they would hold;
    only the last time counts. What counts of a block is the quickest: disturbances only add.

    Args:
        spec: ``row``, ``head`` (file that adds graphs when it is put in front of that of the row),
            ``inputs`` (path or None), ``first`` (number of the first added graph), ``parts``
            (tensors ``inputs`` and ``outputs`` of each), ``chain`` (parts that, one after another,
            do what the whole does), ``passes`` (lists of parts), ``blocks``, ``rounds`` (of a
            block, at least), ``block_s`` (at least), ``most_s`` (for all of it).
        tell: says to the agent what is done now.

    Returns:
        ``whole_ns``: of each block; ``parts_ns``: the same of each part; ``rounds``: of each
        block; ``difference``: greatest one between the outputs of the whole and of the chain, None
        where they have none in common; ``runtime``.

    Raises:
        Refused: the file does not load or run, or is no TFLite file.
    """
    with _joined(spec) as path:
        one = Loaded({**spec["row"], "path": path}, tell)
        if one.runtime.package not in {"ai-edge-litert", "tflite-runtime"}:
            message = f"{one.name}: {one.runtime.package} does not run it; name a runtime that does"
            raise Refused(message, "UsageError")
        one.told("load")
        one.load()
    one.bind(read_arrays(spec.get("inputs")))
    one.told("profile")
    with one.errors("run"):
        parts = Parts(one, spec)
        difference = parts.give_inputs(spec["chain"])
        gc.collect()
        gc.disable()
        rounds = parts.take(spec, tell)
    return {
        "runtime": one.runtime_version,
        "whole_ns": parts.whole_ns,
        "parts_ns": parts.parts_ns,
        "rounds": rounds,
        "difference": difference,
    }


@contextlib.contextmanager
def _joined(spec: dict[str, Any]) -> Iterator[str]:
    """The file with its head in front; what a runtime needs of it, it has or holds open."""
    source = Path(spec["row"]["path"])
    joined = Path.cwd() / f"{source.stem}.pieces.tflite"
    try:
        with joined.open("wb") as file:
            for path in (spec["head"], source):
                with Path(path).open("rb") as read:
                    shutil.copyfileobj(read, file, _COPIED_BYTES)
        yield str(joined)
    finally:
        with contextlib.suppress(FileNotFoundError):
            joined.unlink()


class Parts:
    """The graphs of one interpreter, called by their numbers."""

    def __init__(self, one: Loaded, spec: dict[str, Any]) -> None:
        """Run the whole once."""
        one.call(one.feeds[0])
        interpreter = one.runtime._interpreter
        self._one = one
        self._first: int = spec["first"]
        self._described: list[dict[str, list[int]]] = spec["parts"]
        self._sources = [detail["index"] for detail in interpreter.get_input_details()]
        self._sinks = [detail["index"] for detail in interpreter.get_output_details()]
        self._graphs = interpreter._interpreter  # from now on the interpreter refuses to run
        self.whole_ns: list[int] = []
        self.parts_ns: list[list[int]] = [[] for _ in self._described]

    def give_inputs(self, chain: list[int]) -> float | None:
        """Run the whole, then its parts one after another, each with what those before it gave."""
        import numpy as np

        graphs = self._graphs
        expected = {index: graphs.GetTensor(index, 0) for index in self._sinks}
        values = self._fed()
        for part in [*chain, *(p for p in range(len(self._described)) if p not in set(chain))]:
            graph = self._first + part
            told = self._described[part]
            for index in told["inputs"]:
                if tuple(graphs.TensorSize(index, graph)) != values[index].shape:
                    shape = np.array(values[index].shape, np.int32)
                    graphs.ResizeInputTensor(index, shape, False, graph)
            graphs.AllocateTensors(graph)
            for index in told["inputs"]:
                graphs.SetTensor(index, values[index], graph)
            graphs.Invoke(graph)
            if part in chain:
                values.update({index: graphs.GetTensor(index, graph) for index in told["outputs"]})
        found = [
            float(np.max(np.abs(values[index].astype(np.float64) - array), initial=0.0))
            for index, array in expected.items()
            if index in values and values[index].shape == array.shape and array.dtype.kind in "fiu"
        ]
        return max(found, default=None)

    def _fed(self) -> dict[int, Any]:
        feed = self._one.feeds[0]
        if isinstance(feed, list):
            return dict(feed)
        return {self._sources[0]: feed}

    def take(self, spec: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> list[int]:
        """Block by block; returns how many rounds each had."""
        clock = time.perf_counter_ns
        invoke = self._graphs.Invoke
        passes = [[self._first + part for part in parts] for parts in spec["passes"]]
        begun = told = clock()
        invoke(0)
        settle = 1 if clock() - begun > _SLOW_NS else 2
        end = begun + int(spec["most_s"] * 1e9)
        counts: list[int] = []
        for block in range(spec["blocks"]):
            block_begun = clock()
            block_end = block_begun + int(spec["block_s"] * 1e9)
            # the rest of the time, shared among the blocks that are left
            latest = block_begun + max(0, end - block_begun) // (spec["blocks"] - block)
            whole = 1 << 62
            best = [1 << 62] * (self._first + len(self._described))
            rounds = 0
            while rounds < _LEAST_ROUNDS or (
                clock() < latest and (rounds < spec["rounds"] or clock() < block_end)
            ):
                for _ in range(settle):
                    invoke(0)
                start = clock()
                invoke(0)
                whole = min(whole, clock() - start)
                for graphs in passes:
                    for _ in range(settle - 1):
                        for graph in graphs:
                            invoke(graph)
                    for graph in graphs:
                        start = clock()
                        invoke(graph)
                        took = clock() - start
                        best[graph] = min(best[graph], took)
                rounds += 1
                if clock() - told > _TELL_NS:
                    told = clock()
                    done = min(1.0, block / spec["blocks"])
                    tell({"event": {"kind": "progress", "done": round(done, 3)}})
            counts.append(rounds)
            self.whole_ns.append(whole)
            for part, kept in enumerate(self.parts_ns):
                kept.append(best[self._first + part])
        return counts
