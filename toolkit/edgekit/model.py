"""A model that apps call: real numbers in, real numbers out, from any thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from edgekit.async_calls import AsyncCalls
from edgekit.errors import DataError, UsageError
from edgekit.lane import Lane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit.classification import Image, Prediction
    from edgekit.observation import Observer
    from edgekit.opening import Options
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
        super().__init__(source, options)
        self._observers: tuple[Observer, ...] = ()

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
            from edgekit.observation import tell

            tell(self._observers, serving, lane, arrays, named, took)
        return named

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
