"""One call of convert: every format with every precision, from one load of the model.

The Keras child makes float files one after the other; as soon as one is there, two lanes quantize,
verify and finish what is made from it. A combination that fails does not stop the others.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit import source_kind
from edgekit.artifact import Artifact, Conversion, Failure
from edgekit.errors import (
    ConversionError,
    CrashError,
    EdgekitError,
    OutputError,
    SourceError,
    UsageError,
)
from edgekit.progress import Progress
from edgekit.recipe import CALIBRATED, SUFFIX, Format, Precision
from edgekit.request import ConvertRequest
from edgekit_converters.finish import Finisher, Made
from edgekit_converters.origin import Origin, float_file, open_origin
from edgekit_converters.tflite_quantize import IS_QUANTIZED
from edgekit_converters.workers import Workers
from edgekit_converters.workspace import workspace

_LANES = 2


def convert(
    request: ConvertRequest, progress: Progress, *, workers: Workers | None = None
) -> Conversion:
    """Make everything `request` asks for; failures of single combinations are in the result.

    Child processes given as `workers` are used, with their own limits, and left running for the
    next model: TensorFlow is then imported once for many.

    Raises:
        EdgekitError: the model or the data cannot be used, or a target cannot be written.
    """
    if isinstance(request.source, str | os.PathLike):
        source_kind.sniff(request.source)  # what is no model is refused before anything starts
    targets = request.outputs()
    with ExitStack() as stack:
        folder = stack.enter_context(workspace())
        if workers is None:  # they end before the folder they write to is removed
            own = Workers(request.limits, verbose=request.verbose, on_event=progress.detail)
            workers = stack.enter_context(own)
        progress.step(f"load {request.stem}")
        origin = open_origin(request, workers, folder)
        for warning in origin.warnings:
            progress.note(f"WARNING {warning}")
        _check_labels(request, origin)
        if origin.random and request.verify:
            progress.note(_on_noise(request))
        job = _Job(request=request, origin=origin, workers=workers, progress=progress)
        results = job.run(targets)
    return Conversion(
        source={
            "path": str(request.source) if origin.sha256 else origin.name,
            "sha256": origin.sha256,
            "framework": origin.framework,
        },
        artifacts=tuple(one for one in results if isinstance(one, Artifact)),
        failures=tuple(one for one in results if isinstance(one, Failure)),
        warnings=tuple(origin.warnings),
    )


def _on_noise(request: ConvertRequest) -> str:
    if request.calibrate is None:
        return "no --calibrate data: verified on seeded random inputs only"
    if CALIBRATED & set(request.precisions):
        return (
            f"WARNING --calibrate {request.calibrate}: the ranges of activations are those of "
            "noise; the files run, and will not be accurate on real inputs"
        )
    return f"--calibrate {request.calibrate}: verified on seeded random inputs only"


def _check_labels(request: ConvertRequest, origin: Origin) -> None:
    """Refuse labels that no output has a score for.

    Raises:
        UsageError: their number fits no output.
    """
    count = len(request.labels)
    scores = {spec["name"]: spec["shape"][-1] for spec in origin.outputs if spec["shape"]}
    fits = count in scores.values() or (count == 2 and 1 in scores.values())  # one sigmoid score
    if count and not fits and None not in scores.values():
        found = ", ".join(f"{name!r} has {size} scores" for name, size in scores.items())
        message = f"--labels: {count} names, but output {found}; give one name for each score"
        raise UsageError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    request: ConvertRequest
    origin: Origin
    workers: Workers
    progress: Progress

    def run(self, targets: dict[tuple[Format, Precision], Path]) -> list[Artifact | Failure]:
        """All combinations, in the order asked for."""
        sources: dict[tuple[Format, bool], Future[Path]] = {}
        keras_lane = ThreadPoolExecutor(1, "keras")
        lanes = ThreadPoolExecutor(_LANES, "finish")
        try:
            for format_, precision in sorted(targets, key=lambda c: self._unrolled(*c)):
                key = (format_, self._unrolled(format_, precision))
                if key not in sources:
                    sources[key] = keras_lane.submit(self._float_file, *key)
            futures = {
                (format_, precision): lanes.submit(
                    self._one,
                    format_,
                    precision,
                    target,
                    sources[format_, self._unrolled(format_, precision)],
                )
                for (format_, precision), target in self._float_first(targets)
            }
            return [futures[combination].result() for combination in targets]
        except BaseException:
            self.workers.stop()  # what is running ends now
            raise
        finally:
            keras_lane.shutdown(cancel_futures=True)
            lanes.shutdown(cancel_futures=True)

    def _float_first(
        self, targets: dict[tuple[Format, Precision], Path]
    ) -> list[tuple[tuple[Format, Precision], Path]]:
        """In the order in which the float files appear, so that no lane waits for a late one."""
        order = list(dict.fromkeys(format_ for format_, _ in targets))
        return sorted(
            targets.items(), key=lambda item: (self._unrolled(*item[0]), order.index(item[0][0]))
        )

    def _unrolled(self, format_: Format, precision: Precision) -> bool:
        """Integer activations need recurrent layers unrolled: no quantizer sees into a loop.

        ONNX has operators for recurrent layers; they stay in float, with their weights in int8.
        """
        return self.origin.recurrent and precision in CALIBRATED and format_ == "tflite"

    def _float_file(self, format_: Format, unrolled: bool) -> Path:
        self.progress.step(f"export {format_}{' (unrolled)' if unrolled else ''}")
        return float_file(self.origin, self.workers, self.request, format_, unrolled=unrolled)

    def _one(
        self, format_: Format, precision: Precision, target: Path, source: Future[Path]
    ) -> Artifact | Failure:
        try:
            made = self._made(format_, precision, target, source.result())
            self.progress.step(f"verify {target.name}")
            finisher = Finisher(
                request=self.request,
                origin=self.origin,
                workers=self.workers,
                progress=self.progress,
            )
            return finisher.finish(made)
        except EdgekitError as error:
            return Failure(format=format_, precision=precision, error=self._told(error))
        except OSError as error:
            message = f"{error.filename or 'temporary folder'}: {error.strerror}; free some space"
            return Failure(format=format_, precision=precision, error=str(OutputError(message)))

    def _made(self, format_: Format, precision: Precision, target: Path, source: Path) -> Made:
        notes: tuple[str, ...] = ()
        if source.stem == "unrolled":
            notes = ("recurrent layers unrolled over the time steps",)
        made = Made(
            path=source,
            source=source,
            target=target,
            format=format_,
            precision=precision,
            notes=notes,
        )
        return made if precision == "float32" else self._quantized(made)

    def _quantized(self, made: Made) -> Made:
        self.progress.step(f"quantize {made.target.name}")
        out = self.origin.workspace / f"{made.format}.{made.precision}{SUFFIX[made.format]}"
        try:
            left = self.workers.quantizer.call(
                "quantize",
                format=made.format,
                source=str(made.source),
                out=str(out),
                precision=made.precision,
                data=self.origin.calibration,
                io=self.request.io,
                keep_float=[],
                learned=self.origin.learned,
            )
        except (ConversionError, CrashError, SourceError) as error:
            if not self._may_fall_back(made.format, made.precision):
                raise
            return self._by_tensorflow(made, out, error)
        rolled = self.origin.workspace / f"rolled.{made.format}"  # what users have in float32
        before = (rolled if rolled.exists() else made.source).stat().st_size
        size = out.stat().st_size
        if size >= before:
            left = [
                *left,
                f"not smaller than float32 ({size:,} and {before:,} bytes, manifests aside)",
            ]
        return replace(made, path=out, notes=(*made.notes, *left))

    def _may_fall_back(self, format_: Format, precision: Precision) -> bool:
        return (
            format_ == "tflite"
            and precision in CALIBRATED
            and self.request.io == "float32"
            and self.origin.float_file is None
        )

    def _by_tensorflow(self, made: Made, out: Path, first: EdgekitError) -> Made:
        """TensorFlow's own quantizer, where ai-edge-quantizer refuses.

        Raises:
            ConversionError: both refuse; the message says what each said.
        """
        name = "unrolled" if self._unrolled(made.format, made.precision) else "rolled"
        why = self._told(first)
        self.progress.note(f"{made.target.name}: {why}; trying TensorFlow's quantizer")
        try:
            self.workers.keras.call(
                "to_quantized_tflite",
                saved=str(self.origin.workspace / name),
                out=str(out),
                precision=made.precision,
                data=self.origin.calibration,
            )
        except EdgekitError as second:
            message = f"{why} (TensorFlow's own quantizer: {self._told(second)})"
            raise ConversionError(message) from second
        note = f"quantized by TensorFlow's converter, since: {why}"
        if IS_QUANTIZED in why and self.origin.framework == "tf_keras":
            note = "with the ranges that were learned in training, by TensorFlow's converter"
        notes = [*made.notes, note]
        if self.origin.learned is not None:
            notes.append("the ranges learned in training are not used by it")
        return replace(made, path=out, notes=tuple(notes), repairable=False)

    def _told(self, error: EdgekitError) -> str:
        """What went wrong, without the name of a file in the workspace, which nobody knows."""
        subject, colon, text = str(error).partition(": ")
        inside = Path(subject).name == subject and Path(subject).suffix in SUFFIX.values()
        return text if colon and inside and self.origin.float_file is None else str(error)
