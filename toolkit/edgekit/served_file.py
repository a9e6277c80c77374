"""A file that is served: what it is, and how it is replaced and let go while calls go on."""

from __future__ import annotations

import os
from _thread import allocate_lock
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from edgekit.errors import ClosedError
from edgekit.lane import Lane
from edgekit.opening import Options, open_serving
from edgekit.serving import Serving
from edgekit.tensors import TensorSpec
from edgekit.turns import Turns

if TYPE_CHECKING:
    from edgekit.preprocess import Preprocess
    from edgekit.reading import Source
    from edgekit.state import State


class ServedFile:
    """What `edgekit.Model` is but for the calls: a file, opened, until it is closed."""

    _gone = ""
    """Why it can be called no more; empty while it can."""

    def __init__(self, source: Source, options: Options) -> None:
        """Open `source`; see `edgekit.load`."""
        self._source = source
        self._options = options
        self._serving = open_serving(source, options)
        self._change = allocate_lock()
        """Held for as long as a swap takes."""
        self._state = _state(self._serving)
        _loaded.add(self)

    @property
    def path(self) -> str | None:
        """Where the file is; None for a model loaded from bytes."""
        return None if isinstance(self._source, bytes) else os.fspath(self._source)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What `run` takes, as the file stores it; without inputs that only carry state."""
        return self._serving.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What `run` gives, as the file stores it; without outputs that only carry state."""
        return self._serving.outputs

    @property
    def manifest(self) -> dict[str, Any]:
        """What edgekit wrote into the file; empty where it wrote nothing."""
        return self._serving.manifest

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes; empty where the file has none and none were given."""
        return self._serving.labels

    @property
    def preprocess(self) -> Mapping[str, Preprocess]:
        """How pictures are prepared for each input; nobody said so for one that is missing."""
        return self._serving.preprocess

    @property
    def backend(self) -> str:
        """The runtime and its version, as ``ai-edge-litert 2.3.0``."""
        return self._serving.lanes[0].session.runtime

    @property
    def signatures(self) -> tuple[str, ...]:
        """The signatures of a TFLite file."""
        return self._serving.lanes[0].session.signatures

    @property
    def instances(self) -> int:
        """How many calls can run at the same time."""
        return len(self._serving.lanes)

    @property
    def closed(self) -> bool:
        """Whether it can be called no more."""
        return bool(self._gone)

    def __repr__(self) -> str:
        state = f" ({self._gone})" if self._gone else ""
        return f"<edgekit.{type(self).__name__} {self._serving.name}{state}>"

    def _next(self, retired: Serving) -> tuple[Serving, Lane]:
        """A lane after `retired` had no more: of what took its place, if anything did."""
        while True:
            retired.idle.put(None)  # for the next in line
            serving = self._serving
            if self._gone or serving is retired:
                raise self._closed()
            lane = serving.idle.get()
            if lane is not None:
                return serving, lane
            retired = serving

    def _closed(self) -> ClosedError:
        return ClosedError(
            f"model {self._serving.name}: {self._gone or 'is closed'}; load it again"
        )

    def reset(self) -> None:
        """Forget what earlier calls left: states are zero again, variables as after loading."""
        with self._change:  # two that collect lanes would wait for each other
            if self._gone:
                raise self._closed()
            serving = self._serving
            lanes: list[Lane] = []
            try:
                while len(lanes) < len(serving.lanes):
                    lane = serving.idle.get()
                    assert lane is not None, "retired by a change, of which there is only one"
                    lanes.append(lane)
                for lane in lanes:
                    lane.reset()
                if self._state is not None:
                    self._state.begin(serving)
            finally:
                for lane in lanes:
                    serving.idle.put(lane)

    def self_test(self) -> int:
        """Run the samples that the file carries, and compare with what it gave where it was made.

        Returns:
            How many were run; 0 where the file has none.

        Raises:
            VerificationError: the results differ by more than the file allows.
        """
        from edgekit import golden

        serving = self._serving
        lane = serving.idle.get()
        if lane is None:
            serving, lane = self._next(serving)
        try:
            return golden.self_test(lane.session, serving.name)
        finally:
            serving.idle.put(lane)

    def swap(self, source: Source) -> None:
        """Replace the file that is served, while calls go on.

        The new file is loaded and checked as the first one was, and tests itself if it carries
        samples for that. Calls under way end on the old file, later ones run on the new one; none
        is lost. States begin anew. Whatever goes wrong leaves the old file serving.

        Raises:
            VerificationError: the new file takes or gives something else than the old one.
            SourceError, MissingDependencyError, UsageError, CrashError: as `edgekit.load`.
            ClosedError: the model was closed.
        """
        from edgekit import golden, interface
        from edgekit.load_options import check_source

        source = check_source(source)
        with self._change:
            if self._gone:
                raise self._closed()
            new = open_serving(source, self._options)
            try:
                interface.check_replaceable(self._serving, new)
                if not self._options.self_test:
                    golden.self_test(new.lanes[0].session, new.name)
            except BaseException:
                new.retire()
                raise
            old = self._serving
            self._state = self._state or _state(new)
            self._serving, self._source = new, source
        old.retire()

    def close(self) -> None:
        """Let the model go, after the calls under way; safe to call twice."""
        with self._change:
            if self._gone:
                return
            self._end("is closed")
        self._serving.retire()

    def _end(self, reason: str) -> None:
        """Take no more calls."""
        self._gone = reason

    def _leave_to_parent(self) -> None:
        """In the child after a fork: the runtime's threads did not come along."""
        self._change = allocate_lock()
        if not self._gone:
            self._gone = "was loaded before this process forked"
            idle: Turns[Lane | None] = Turns()
            idle.put(None)
            self._serving.idle = idle

    def __reduce__(self) -> str:
        """Refuse copies: the runtime's memory cannot be taken along."""
        message = "a loaded model cannot be pickled or copied; load it in each process"
        raise TypeError(message)


def _state(serving: Serving) -> State | None:
    if not serving.states:
        return None
    from edgekit.state import State

    return State(serving)


_loaded: WeakSet[ServedFile] = WeakSet()


def _after_fork() -> None:
    for served in list(_loaded):
        served._leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
