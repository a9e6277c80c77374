"""From a file that was made to one that is in place: verify, repair, embed, seal, publish."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit import check_worker
from edgekit.artifact import Artifact, Verification
from edgekit.compare import Comparison
from edgekit.errors import CrashError, EdgekitError, VerificationError
from edgekit.progress import Progress
from edgekit.recipe import CALIBRATED, Format, Precision
from edgekit.request import ConvertRequest
from edgekit.tensors import TensorSpec
from edgekit.tolerance import judge
from edgekit_converters import manifest
from edgekit_converters.origin import Origin
from edgekit_converters.publish import publish
from edgekit_converters.workers import Workers

REPAIR_TIME_S = 60.0
_REPAIRED: frozenset[Precision] = frozenset({"int8", "int16x8", "int4", "dynamic"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A file that was just made, not yet looked at."""

    path: Path
    source: Path
    """The float file it was quantized from; itself where nothing was quantized."""
    target: Path
    format: Format
    precision: Precision
    notes: tuple[str, ...] = ()
    repairable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Finisher:
    """Finishes the artifacts of one conversion; used by several threads at once."""

    request: ConvertRequest
    origin: Origin
    workers: Workers
    progress: Progress

    def finish(self, made: Made) -> Artifact:
        """Verify a file, repair it where that is possible, and put it in place.

        Raises:
            VerificationError: it does not load, or does not do what the original does.
            OutputError: it cannot be put in place.
            CrashError: a child process died on it.
        """
        if made.format == "savedmodel":
            return self._finish_savedmodel(made)
        verification = self._verify(made)
        if verification.status in {"drifted", "failed"} and self._may_repair(made):
            made, verification = self._repaired(made, verification)
        self._say(made, verification)
        golden = self._golden(made) if verification.status != "unverified" else None
        described = self._embed(made, verification, golden)
        self.workers.checker.call("seal", path=described["file"])
        if described["flex"]:
            named = ", ".join(described["flex"])
            made = dataclasses.replace(made, notes=(*made.notes, f"Flex delegate needed: {named}"))
        if verification.status == "unverified":
            weight = self.workers.checker.call("weigh", path=described["file"])
        else:
            weight = self.workers.checker.call(
                "reload",
                path=described["file"],
                samples=self.origin.verify,
                expected_outputs=_kept(made),
            )
        publish(Path(described["file"]), made.target, force=self.request.force)
        return _artifact(made, described, verification, weight)

    def _verify(self, made: Made) -> Verification:
        described = self._embed(made, None)
        if not self.request.verify:
            return self._unverified(made, "--no-verify was given")
        if described["flex"]:
            named = ", ".join(described["flex"])
            return self._unverified(made, f"{named}: no runtime here has the Flex delegate")
        if described["custom"]:
            message = (
                f"holds operators that no runtime knows: {', '.join(described['custom'])}; "
                "change the layers that make them"
            )
            raise VerificationError(message)
        measured = self.workers.checker.call(
            "verify",
            path=described["file"],
            samples=self.origin.verify,
            reference=self.origin.reference,
            keep=_kept(made),
        )
        return self._judged(made, Comparison.from_dict(measured))

    def _judged(self, made: Made, comparison: Comparison) -> Verification:
        verdict = judge(comparison, self.request.tolerance(made.precision))
        return Verification(
            status=verdict.status,
            reason="; ".join(verdict.reasons),
            runtime=manifest.runtime_of(made.format),
            samples=comparison.samples,
            unseen=(
                min(self.origin.unseen, comparison.samples)
                if made.precision in CALIBRATED
                else comparison.samples
            ),
            random=self.origin.random,
            max_abs_error=comparison.max_abs_error,
            relative_error=comparison.relative_error,
            cosine=comparison.cosine,
            argmax_agreement=comparison.argmax_agreement,
        )

    def _unverified(self, made: Made, reason: str) -> Verification:
        return Verification(
            status="unverified",
            reason=reason,
            runtime=manifest.runtime_of(made.format),
            samples=0,
            unseen=0,
            random=self.origin.random,
            max_abs_error=None,
            relative_error=None,
            cosine=None,
            argmax_agreement=None,
        )

    def _may_repair(self, made: Made) -> bool:
        return self.request.repair and made.repairable and made.precision in _REPAIRED

    def _repaired(self, made: Made, before: Verification) -> tuple[Made, Verification]:
        """The file with one or two operators left in float, or `made` as it was."""
        tolerance = self.request.tolerance(made.precision)
        self.progress.note(
            f"{made.target.name}: {before.reason}; looking for operators to leave in float"
        )
        out = made.path.with_name(f"{made.path.stem}.repaired{made.path.suffix}")
        try:
            left = self.workers.quantizer.call(
                "repaired",
                format=made.format,
                source=str(made.source),
                out=str(out),
                precision=made.precision,
                data=self.origin.calibration,
                learned=self.origin.learned,
                io=self.request.io,
                verify=self.origin.verify,
                reference=self.origin.reference,
                bounds=[
                    [bounds.relative_error, bounds.flips]
                    for bounds in (tolerance.passed, tolerance.failed)
                ],
                time_s=min(REPAIR_TIME_S, self.request.limits.time_s / 2),
            )
        except EdgekitError as error:
            self.progress.note(f"{made.target.name}: not repaired ({error})")
            return made, before
        if not left:
            return made, before
        named = ", ".join(f"{one['identifier']} ({one['operator']})" for one in left)
        note = f"left in float, since the file drifted with them in {made.precision}: {named}"
        repaired = dataclasses.replace(made, path=out, notes=(*made.notes, note))
        after = self._verify(repaired)
        return (repaired, after) if after.status == "passed" else (made, before)

    def _say(self, made: Made, verification: Verification) -> None:
        """Refuse what failed; warn loudly of what drifted.

        Raises:
            VerificationError: the verification failed.
        """
        if verification.status == "failed":
            message = (
                f"does not match the original: {verification.reason}; {_advice(made.precision)}"
            )
            raise VerificationError(message)
        if verification.status == "drifted":
            self.progress.note(
                f"WARNING {made.target.name}: drifted from the original: {verification.reason}; "
                f"{_advice(made.precision)}"
            )

    def _golden(self, made: Made) -> dict[str, Any] | None:
        """Golden cases for the self-test on the device; None where the model allows none."""
        request: dict[str, Any] = {
            "path": str(_final(made)),
            "samples": self.origin.verify,
            "precision": made.precision,
        }
        found: dict[str, Any] | None
        try:
            found = self.workers.checker.call("golden", **request)
        except CrashError:  # other kernels than those that verified it may well do so
            found = self.workers.checker.call("golden", **request, other_kernels=False)
        return found

    def _embed(
        self,
        made: Made,
        verification: Verification | None,
        golden: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        described: dict[str, Any] = self.workers.quantizer.call(
            "describe", format=made.format, path=str(made.path)
        )
        text = manifest.build(
            self.request,
            self.origin,
            format_=made.format,
            precision=made.precision,
            described=described,
            notes=made.notes,
            verification=verification,
            golden=golden,
        )
        out = _final(made)
        self.workers.quantizer.call(
            "embed", format=made.format, path=str(made.path), out=str(out), manifest=text
        )
        return described | {"file": str(out)}

    def _finish_savedmodel(self, made: Made) -> Artifact:
        described = {"inputs": self.origin.inputs, "outputs": self.origin.outputs, "flex": []}
        verification = self._unverified(made, "--no-verify was given")
        if self.request.verify:
            out = made.path.with_name("savedmodel.outputs.npz")
            self.workers.keras.call(
                "run_savedmodel", saved=str(made.path), data=self.origin.verify, out=str(out)
            )
            measured = self.workers.checker.call(
                "compare_files", outputs=str(out), reference=self.origin.reference
            )
            verification = self._judged(made, Comparison.from_dict(measured))
        self._say(made, verification)
        text = manifest.build(
            self.request,
            self.origin,
            format_=made.format,
            precision=made.precision,
            described=described,
            notes=made.notes,
            verification=verification,
        )
        extra = made.path / "assets.extra"
        extra.mkdir(exist_ok=True)
        (extra / "edgekit.manifest.json").write_text(text, encoding="utf-8")
        (made.path / "fingerprint.pb").unlink(missing_ok=True)  # a random number is in it
        weight = check_worker.weigh(str(made.path))
        publish(made.path, made.target, force=self.request.force)
        return _artifact(made, described, verification, weight)


def _final(made: Made) -> Path:
    return made.path.with_name(f"{made.path.stem}.final{made.path.suffix}")


def _kept(made: Made) -> str:
    """Beside the file, by its whole name: rolled.tflite and rolled.onnx are looked at at once."""
    return str(made.path.with_name(f"{made.path.name}.outputs.npz"))


def _advice(precision: Precision) -> str:
    if precision in {"float32", "float16"}:
        return "the conversion changed what the model does: report the model"
    return (
        "check that --calibrate holds typical inputs, prepared as in training (--preprocess), "
        "or use --quantize dynamic or float16"
    )


def _artifact(
    made: Made,
    described: dict[str, Any],
    verification: Verification,
    weight: dict[str, Any],
) -> Artifact:
    return Artifact(
        path=made.target,
        format=made.format,
        precision=made.precision,
        size_bytes=weight["size_bytes"],
        gzip_bytes=weight["gzip_bytes"],
        sha256=weight["sha256"],
        inputs=tuple(TensorSpec.from_dict(spec) for spec in described["inputs"]),
        outputs=tuple(TensorSpec.from_dict(spec) for spec in described["outputs"]),
        verification=verification,
        notes=made.notes,
    )
