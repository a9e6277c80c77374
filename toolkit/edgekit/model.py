"""A model that apps call: real numbers in, real numbers out, from any thread."""

from __future__ import annotations

import os
import time
from _thread import allocate_lock
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakSet

from edgekit.async_calls import AsyncCalls
from edgekit.errors import ClosedError, DataError, UsageError
from edgekit.lane import Lane
from edgekit.opening import Options, open_serving
from edgekit.serving import Serving
from edgekit.tensors import TensorSpec
from edgekit.turns import Turns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit.classification import Image, Prediction
    from edgekit.observation import Observer
    from edgekit.preprocess import Preprocess
    from edgekit.reading import Source
    from edgekit.state import State
    from edgekit.stream import Stream

Array: TypeAlias = "NDArray[Any]"


class Model(AsyncCalls):
    """A loaded model; made by `edgekit.load`. Use it in ``with``, or close it.

    It may be called from many threads at once: each call has an instance of the runtime alone,
    and waits for one where all are busy.
    """

    def __init__(self, source: Source, options: Options) -> None:
        """Open `source`; see `edgekit.load`."""
        super().__init__()
        self._source = source
        self._options = options
        self._serving = open_serving(source, options)
        self._observers: tuple[Observer, ...] = ()
        self._change = allocate_lock()
        """Held for as long as a swap takes."""
        self._state = _state(self._serving)
        _loaded.add(self)

    # ---- what it is ---------------------------------------------------------

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
        return f"<edgekit.Model {self._serving.name}{state}>"

    # ---- calling it ---------------------------------------------------------

    def __call__(self, *arrays: Any, out: Array | Mapping[str, Array] | None = None) -> Any:
        """Run once on arrays in the order of `inputs`.

        Args:
            arrays: real numbers for quantized inputs too; data of the stored dtype passes through.
            out: where to put the result, an array of its shape and dtype; with several outputs,
                arrays by name.

        Returns:
            The output's array, with several outputs a dict of them by name. It is the caller's own.

        Raises:
            DataError: an array does not fit its input.
            VerificationError: the runtime fails.
            ClosedError: the model was closed, or the process forked after loading it.
        """
        serving = self._serving
        if serving.is_plain and self._observers == ():
            lane = serving.idle.get()
            if lane is None:
                serving, lane = self._next(serving)
            try:
                if len(arrays) == 1 and out.__class__ is not dict:
                    return lane.call_one(arrays[0], out)  # type: ignore[arg-type]
                return lane.call(arrays, _places(lane, out))[0]
            finally:
                serving.idle.put(lane)
        specs = serving.outputs
        if out is not None and not isinstance(out, Mapping):
            if len(specs) > 1:
                message = f"out: the model has {len(specs)} outputs; give a dict of arrays by name"
                raise DataError(message)
            out = {specs[0].name: out}
        results = self._run(arrays, out)
        return next(iter(results.values())) if len(results) == 1 else results

    def run(
        self, inputs: Mapping[str, Any], out: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Run once: names in, names out.

        A model with states keeps them between calls, unless all of them are among `inputs`: then
        nothing is kept, and the new states are among the results.

        Args:
            inputs: an array for each of `inputs`, by its name.
            out: arrays to put results into, by the output's name; as many as there should be.

        Raises:
            DataError: a name that is missing or unknown; an array that does not fit.
            VerificationError: the runtime fails.
            ClosedError: the model was closed, or the process forked after loading it.
        """
        serving = self._serving
        names = serving.input_names
        if inputs.__class__ is dict and len(inputs) == len(names):
            try:
                arrays = [inputs[name] for name in names]
            except KeyError:
                pass  # told below
            else:
                return self._run(arrays, out)
        if inputs.__class__ is not dict and not isinstance(inputs, Mapping):
            message = (
                f"inputs: is {type(inputs).__name__}, not a dict of arrays by name; call the model "
                f"itself with arrays, or name them {names}"
            )
            raise DataError(message)
        if inputs.keys() == set(names):
            return self._run([inputs[name] for name in names], out)
        if serving.states:
            every = [spec.name for spec in serving.lanes[0].session.inputs]
            if inputs.keys() == set(every):
                return self._run([inputs[name] for name in every], out, keep=False)
        message = f"inputs {sorted(map(str, inputs))}: the model takes {names}; name them so"
        raise DataError(message)

    def _run(
        self,
        arrays: Sequence[Any],
        out: Mapping[str, Array] | None,
        state: State | None = None,
        *,
        keep: bool = True,
    ) -> dict[str, Array]:
        """Run on the inputs in their order, without those that carry state if it is to be kept.

        The state, the model's own if none is given, is read and replaced while no other call can
        come between.
        """
        serving = self._serving
        lane = serving.idle.get()
        if lane is None:
            serving, lane = self._next(serving)
        try:
            begun = time.perf_counter_ns() if self._observers else 0
            carried = (state or self._state) if serving.states and keep else None
            given = arrays if carried is None else carried.join(serving, arrays)
            made = lane.call(given, _places(lane, out))
            if carried is not None:
                carried.keep(made if out is None else [array.copy() for array in made])
            took = time.perf_counter_ns() - begun if begun else 0
        finally:
            serving.idle.put(lane)
        named = dict(zip(lane.output_names, made))  # noqa: B905 - one for each
        if carried is not None:
            named = {spec.name: named[spec.name] for spec in serving.outputs}
        if begun:
            self._tell(serving, lane, arrays, named, took)
        return named

    def _tell(
        self,
        serving: Serving,
        lane: Lane,
        arrays: Sequence[Any],
        outputs: dict[str, Array],
        took: int,
    ) -> None:
        from edgekit.observation import Observation

        every = len(arrays) != len(serving.inputs)
        specs = lane.session.inputs if every else serving.inputs
        seen = Observation(
            inputs=dict(zip((spec.name for spec in specs), arrays, strict=True)),
            outputs=outputs,
            latency_ns=took,
        )
        for observer in self._observers:
            observer(seen)

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

    # ---- pictures and streams -----------------------------------------------

    def classify(self, image: Image, top: int = 5) -> list[Prediction]:
        """The likeliest classes of a picture, the likeliest first.

        The picture is prepared as it was for calibration and evaluation: the steps are in the file,
        or were given to `edgekit.load`.

        Args:
            image: a path, the bytes of an image file, a PIL image, or an array
                ``(height, width[, channels])`` of pixels.
            top: how many classes.

        Raises:
            DataError: no image, or the model takes none; nobody said how pixels become its input;
                its output is no score for each class. One score gives both classes.
        """
        from edgekit.classification import classify

        return classify(self, image, top=top)

    def stream(self, window: int | None = None, hop: int | None = None) -> Stream:
        """Feed audio or sensor data as it comes; see `edgekit.stream.Stream`.

        Args:
            window: samples the model sees at once; what its input takes if None.
            hop: samples from one window to the next; `window` if None.

        Raises:
            UsageError: the model takes no windows, or a window or hop that does not fit.
        """
        from edgekit.stream import Stream

        return Stream(self, window=window, hop=hop)

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

    # ---- while it serves ----------------------------------------------------

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Have `observer` told of every call that succeeds, in the thread of the call.

        What it raises reaches the caller. Nothing is measured or kept when nobody observes.

        Returns:
            Call it to observe no more.
        """
        if not callable(observer):
            message = f"observe: {observer!r} is no function; give one that takes an Observation"
            raise UsageError(message)
        with self._change:
            self._observers = (*self._observers, observer)

        def remove() -> None:
            with self._change:
                left = list(self._observers)
                if observer in left:
                    left.remove(observer)
                self._observers = tuple(left)

        return remove

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

    def _leave_to_parent(self) -> None:
        """In the child after a fork: the runtime's threads did not come along."""
        self._change, self._start = allocate_lock(), allocate_lock()
        if not self._gone:
            self._gone = "was loaded before this process forked"
            idle: Turns[Lane | None] = Turns()
            idle.put(None)
            self._serving.idle = idle

    def __reduce__(self) -> str:
        """Refuse copies: the runtime's memory cannot be taken along."""
        message = "a loaded model cannot be pickled or copied; load it in each process"
        raise TypeError(message)

    def __enter__(self) -> Model:
        """Close at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the model go."""
        self.close()


def _places(lane: Lane, out: Array | Mapping[str, Array] | None) -> list[Array | None] | None:
    """Where to put each output of the session: an array is for the only one."""
    if out is None:
        return None
    if not isinstance(out, Mapping):
        return [out]
    names = [spec.name for spec in lane.session.outputs]
    unknown = sorted(set(out) - set(names))
    if unknown:
        message = f"out: no output {unknown[0]!r}; there are: {', '.join(names)}"
        raise DataError(message)
    return [out.get(name) for name in names]


def _state(serving: Serving) -> State | None:
    if not serving.states:
        return None
    from edgekit.state import State

    return State(serving)


_loaded: WeakSet[Model] = WeakSet()


def _after_fork() -> None:
    for model in list(_loaded):
        model._leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
