"""A model file that runs on a target, called like one that runs here.

    with open_target("pi5") as link:
        there = TargetSession(link, Path("mnist.int8.tflite"))
        outputs = there.run_each([{"image": one} for one in images])

Numbers are quantized and dequantized here, by the same code as for files that run here; what
travels are the stored numbers. A call takes a while, as the runtime starts anew for it: give all
there are to `run_each`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit import guard, seal
from edgekit.errors import EdgekitError, SourceError, UsageError, VerificationError
from edgekit.inspection import inspect
from edgekit.mapped_file import file_name, map_file
from edgekit.recipe import CALIBRATED
from edgekit.sessions.runtime_session import RuntimeSession
from edgekit.source_kind import sniff
from edgekit.tflite_file import signatures
from edgekit_benchmarks.call_file import CallFile, read_outputs
from edgekit_benchmarks.sent_file import hashed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit_benchmarks.link import Link

Array = Any
_MOST_BYTES = 32 << 20
"""Of inputs that travel together, and of outputs that come back together."""
_SPARE_S = 60.0
WAIT_S = 600.0
"""How long to wait while a benchmark runs there."""


class TargetSession(RuntimeSession):
    """A .tflite or .onnx file on the other side of a link, which stays the caller's."""

    failures = ()

    def __init__(
        self,
        link: Link,
        path: Path,
        *,
        threads: int = 1,
        backend: str = "auto",
        limit_s: float = 3600.0,
        wait_s: float = WAIT_S,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Read what the file says of itself; nothing runs yet.

        Args:
            link: to the target.
            path: the file, which need not run here.
            threads: for one inference.
            backend: the runtime there; ``auto`` takes the first that is installed.
            limit_s: how long a request may take, at most.
            wait_s: how long to wait while a benchmark runs there.
            tell: told about the progress.

        Raises:
            SourceError: it is missing, damaged, or not what it was when it was sealed.
            UsageError: it is a model that must be converted first, or has several signatures.
        """
        self._link, self._path, self._threads, self._backend = link, path, threads, backend
        self._limit_s, self._wait_s = limit_s, wait_s
        self._tell = tell or (lambda _: None)
        self._name = file_name(str(path))
        self.name = link.name
        found = _inspected(path)
        self._sha256 = hashed(path)[0]
        self.inputs, self.outputs = found.inputs, found.outputs
        self.manifest = dict(found.manifest or {})
        self.input_views = self.output_views = self.input_writers = self.output_copies = ()
        self.execute = self._never
        self._runtime = ""
        if (self.manifest.get("recipe") or {}).get("precision") in CALIBRATED:
            floats = (spec.name for spec in self.inputs if spec.dtype == "float32")
            self.quantizes_inputs = frozenset(floats)
        bytes_made = sum(_size(spec.shape, spec.dtype) for spec in self.outputs)
        self.rows_at_once = max(1, _MOST_BYTES // max(1, bytes_made))

    @property
    def runtime(self) -> str:
        """Package and version there; empty before the first call."""
        return self._runtime

    def close(self) -> None:
        """Nothing to let go: files there go with the link, or as soon as they are used."""

    def prepare(self, shapes: Sequence[tuple[int, ...]]) -> bool:  # noqa: ARG002
        """There is only `run`."""
        return False

    def failed(self, error: Exception) -> EdgekitError:
        """Nothing that a runtime raises gets here."""
        raise AssertionError from error

    def reset_variables(self) -> None:
        """Every call begins anew anyway."""

    def _never(self) -> None:
        raise AssertionError

    def _invoke(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return self._invoke_all([inputs])[0]

    def run_each(
        self, calls: Sequence[Mapping[str, NDArray[Any]]]
    ) -> list[dict[str, NDArray[Any]]]:
        """`run_real` on each of `calls`, all of them sent together.

        Raises:
            DataError: as `run_real`.
            VerificationError: the runtime there refuses the file, or fails.
            MissingDependencyError: there is no runtime for it there.
            CrashError: the runtime there died, or the link broke.
        """
        return [self._as_real(raw) for raw in self.run_each_stored(calls)]

    def real(self, stored: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What `run_each_stored` gave for a call, as real numbers."""
        return self._as_real(stored)

    def check(self, call: Mapping[str, NDArray[Any]]) -> None:
        """Refuse what `run_each` would refuse before it sends anything.

        Raises:
            DataError: a name, shape or dtype that does not fit.
        """
        self._pieces(self._checked(self._as_stored(call)))

    def run_each_stored(
        self, calls: Sequence[Mapping[str, NDArray[Any]]]
    ) -> list[dict[str, NDArray[Any]]]:
        """As `run_each`, but outputs as the file stores them.

        Raises:
            EdgekitError: as `run_each`.
        """
        cut = [self._pieces(self._checked(self._as_stored(call))) for call in calls]
        made = iter(self._invoke_all([piece for pieces, _ in cut for piece in pieces]))
        return [self._joined([next(made) for _ in pieces], missing) for pieces, missing in cut]

    def _invoke_all(self, calls: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
        wait_s = self._wait_s
        self._link.request(
            "lock", wait_s=wait_s, timeout_s=wait_s + _SPARE_S, on_event=self._waiting
        )
        try:
            return self._predicted(calls)
        finally:
            with suppress(EdgekitError):
                self._link.request("unlock", timeout_s=_SPARE_S)

    def _predicted(self, calls: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
        names = [spec.name for spec in self.inputs]
        made: list[dict[str, Array]] = []
        with tempfile.TemporaryDirectory(prefix="edgekit-calls-") as folder:
            while len(made) < len(calls):
                sent = CallFile(Path(folder) / "calls.npz", calls[len(made) :], names, _MOST_BYTES)
                done = len(made)

                def progress(event: dict[str, Any], done: int = done) -> None:
                    self._on_event(event, done, len(calls))

                made += self._asked(sent, Path(folder), progress)
        return made

    def _asked(
        self, sent: CallFile, folder: Path, on_event: Callable[[dict[str, Any]], None]
    ) -> list[dict[str, Array]]:
        """All calls of one file, in as many processes there as its outputs need."""
        link = self._link
        self._tell(f"{link.name}: send {self._name}")
        model, inputs = link.put(self._path), link.put(sent.path)
        row = {"key": "", "path": model, "threads": self._threads, "sha256": self._sha256}
        spec: dict[str, Any] = {
            "mode": "predict",
            "row": row | {"runtime": self._backend},
            "inputs": inputs,
            "groups": sent.groups,
            "objects": sent.objects,
        }
        made: list[dict[str, Array]] = []
        while len(made) < sent.calls:
            answer = link.request(
                "run",
                spec=spec | {"start": len(made)},
                limit_s=self._limit_s,
                timeout_s=self._limit_s + _SPARE_S,
                on_event=on_event,
            )["answer"]
            self._runtime = str(answer["runtime"])
            back = folder / "outputs.npz"
            link.get(answer["outputs"], back)
            link.remove(answer["outputs"])
            rows = read_outputs(back, answer["groups"], answer["objects"])
            made += [self._named(row) for row in rows]
        link.remove(inputs)
        return made

    def _named(self, row: list[Array]) -> dict[str, Array]:
        if len(row) != len(self.outputs):
            message = (
                f"{self._name}: gives {len(row)} outputs on {self.name}, the file lists "
                f"{len(self.outputs)}; run it here: leave --on out"
            )
            raise VerificationError(message)
        return {spec.name: array for spec, array in zip(self.outputs, row, strict=True)}

    def _waiting(self, event: dict[str, Any]) -> None:
        if event.get("kind") == "waiting":
            self._tell(f"{self.name}: wait for {event['holder']}")

    def _on_event(self, event: dict[str, Any], done: int, total: int) -> None:
        if event.get("kind") == "phase" and event.get("phase") in {"import", "load"}:
            self._tell(f"{self.name}: {event['phase']} {self._name}")
        elif event.get("kind") == "predicted":
            self._tell(f"{self.name}: {done + event['calls']} of {total} samples")


def _inspected(path: Path) -> Any:
    kind = sniff(path)
    if kind not in {"tflite", "onnx"}:
        message = f"{path}: a {kind} model, which no target runs; run: edgekit convert"
        raise UsageError(message)
    data = map_file(str(path))
    if not seal.check(data, file_name(str(path))):
        guard.check(data, kind, file_name(str(path)))
    if kind == "tflite":
        _check_signatures(path)
    found = inspect(path)
    if not found.inputs or not found.outputs:
        message = f"{path}: has no inputs or no outputs; nothing can be run"
        raise SourceError(message)
    return found


def _check_signatures(path: Path) -> None:
    """A target runs the main graph, and knows no others."""
    found = signatures(path)
    chosen = found.get("serving_default", 0 if len(found) > 1 else next(iter(found.values()), 0))
    if chosen or (len(found) > 1 and "serving_default" not in found):
        message = (
            f"{path}: has the signatures {', '.join(sorted(found))}, and a target runs only a "
            "file's main graph; run it here, or make a file with one signature"
        )
        raise UsageError(message)


def _size(shape: tuple[int | None, ...], dtype: str) -> int:
    """Bytes of one array, with 1 for every free size; of text, a guess."""
    try:
        item = np.dtype(dtype).itemsize or 64
    except TypeError:
        item = 64
    return item * int(np.prod([1 if one is None else one for one in shape], dtype=np.int64))
