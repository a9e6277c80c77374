"""How much to cut for a target: told at once, or found by making files and measuring them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.child import Child
from edgekit.errors import UsageError
from edgekit.progress import Progress
from edgekit.prune_choices import Target
from edgekit.prune_request import PruneRequest
from edgekit.request import ConvertRequest
from edgekit_converters.convert import convert
from edgekit_converters.pruning.channels.stage import Kind
from edgekit_converters.pruning.reach import reach
from edgekit_converters.pruning.verdict.latency import measure
from edgekit_converters.pruning.verdict.verdict import Quiet
from edgekit_converters.workers import Workers

_SECONDS = 1.0
"""Of samples for each file, at each try."""
_VARIES_BYTES = 192
"""The trained model's file may take so many more than the one that was tried: the numbers in its
manifest are others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is to be cut, and what is known of the target."""

    target: Target
    kind: Kind
    amount: float
    """As `edgekit_converters.pruning.channels.choose.Target` wants it."""
    asked: float
    reached: float
    original: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSearch:
    """Finds how much to cut from the model that `child` has opened."""

    request: PruneRequest
    child: Child
    workers: Workers
    workspace: Path
    original: Path
    calibrate: str | None
    """Samples for int8; random ones without."""
    prepared: tuple[str, ...]
    """That they need no preprocessing any more."""
    shapes: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    """Of inputs that leave axes free: those of the files."""
    story: str
    """JSON of how the model is made, which its files carry."""
    progress: Progress
    tried: list[float] = field(default_factory=list)
    """Shares that files were made with."""

    def choose(self, macs: int) -> Chosen:
        """How much, for a model of so many multiply-adds.

        Raises:
            UsageError: the target cannot be met.
            EdgekitError: the files cannot be made or measured.
        """
        request = self.request
        if request.sparsity is not None:
            return Chosen(
                target="sparsity",
                kind="sparsity",
                amount=request.sparsity,
                asked=request.sparsity,
                reached=0.0,
            )
        if request.macs is not None:
            asked = request.macs.of(macs)
            if asked >= macs:
                self._prunes_nothing(f"the model has {macs:,} multiply-adds")
            return Chosen(
                target="macs",
                kind="macs",
                amount=request.macs.share or max(1.5, float(asked)),  # 1 is a share
                asked=asked,
                reached=macs,
                original=macs,
            )
        if request.size is not None:
            return self._by_size()
        return self._by_latency()

    def _by_size(self) -> Chosen:
        assert self.request.size is not None
        whole = self._file(self.original, "original").stat().st_size
        asked = self.request.size.of(whole)
        if asked >= whole:
            self._prunes_nothing(f"the TFLite file of the model has {whole:,} bytes")

        def size_of(share: float) -> float:
            return float(self._attempt("parameters", share).stat().st_size)

        least = self.child.call("least_share", kind="parameters")
        found = reach(max(1, asked - _VARIES_BYTES), size_of, whole=whole, least=least)
        if not found.met:
            more = f", and {_VARIES_BYTES} more when it is trained" if found.value <= asked else ""
            self._refuse(f"{found.value:,.0f} bytes{more}", "a larger file")
        return Chosen(
            target="size",
            kind="parameters",
            amount=found.amount,
            asked=asked,
            reached=found.value,
            original=whole,
        )

    def _by_latency(self) -> Chosen:
        assert self.request.latency is not None
        original = self._file(self.original, "original")

        def ratio_of(share: float) -> float:
            made = self._attempt("macs", share)
            times = measure(
                [original, made], Quiet(self.progress), on=self.request.on, seconds=_SECONDS
            )
            ratio, reason = times.ratio(made, original)
            if ratio is None:
                message = f"--latency {self.request.latency:g}x: cannot be measured: {reason}"
                raise UsageError(message)
            self.progress.record(f"{share:.0%} of the multiply-adds: {ratio.value:.3f}x")
            return ratio.value

        least = self.child.call("least_share", kind="macs")
        found = reach(self.request.latency, ratio_of, whole=1.0, least=least)
        if not found.met:
            nearest = f"{found.value:.3f}x, with {found.amount:.0%} of the multiply-adds"
            self._refuse(nearest, "a larger ratio")
        return Chosen(
            target="latency",
            kind="macs",
            amount=found.amount,
            asked=self.request.latency,
            reached=found.value,
        )

    def _prunes_nothing(self, fact: str) -> None:
        message = f"{self.request.target_asked}: prunes nothing: {fact}; ask for less"
        raise UsageError(message)

    def _refuse(self, reached: str, advice: str) -> None:
        asked = self.request.target_asked
        message = f"{asked}: the nearest that was reached is {reached}; ask for {advice}"
        raise UsageError(message)

    def _attempt(self, kind: Kind, share: float) -> Path:
        """The TFLite file of the model with `share` left, not trained."""
        self.tried.append(share)
        self.progress.step(f"try {share:.0%} of the {'weights' if kind != 'macs' else 'work'}")
        tried = self.workspace / f"tried-{kind}-{share:.6f}.keras"  # children keep models by path
        self.child.call("attempt", kind=kind, amount=share, out=str(tried), story=self.story)
        return self._file(tried, tried.stem)

    def _file(self, model: Path, name: str) -> Path:
        out = self.workspace / "tries" / name
        request = ConvertRequest(
            source=model,
            out=out,
            precisions=(self.request.measure,),
            calibrate=self.calibrate or "random",
            preprocess=self.prepared if self.calibrate else (),
            shapes=self.shapes,
            custom_objects=self.request.custom_objects,
            trust=self.request.trust,
            tolerances=("relative_error=1e9", "flips=1"),  # not trained, it is no good yet
            limits=self.request.limits,
            verbose=self.request.verbose,
            force=True,
        )
        made: Any = convert(request, Quiet(self.progress), workers=self.workers)
        if made.failures:
            message = f"{self.original.name}: {made.failures[0].error}"
            raise UsageError(message)
        path: Path = made.artifacts[0].path
        return path
