"""What a model file is: what it takes, gives, weighs and computes, and what could stop it.

No framework is imported. TFLite and ONNX files, Keras archives and SavedModels are read with the
standard library; only `.h5` files, and the weights within `.keras` files, need h5py.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgekit.errors import SourceError, UsageError
from edgekit.graph import Graph
from edgekit.manifest import manifest_of, manifest_of_folder
from edgekit.mapped_file import map_file, unreadable
from edgekit.source_kind import SourceKind, sniff
from edgekit.support import TARGETS, Obstacle, Target, obstacles
from edgekit.tensors import Quantization, TensorSpec

SealState = Literal["intact", "signed", "damaged"]
"""``signed``: intact, and with a signature, which only a public key can judge."""
_CHUNK_BYTES = 1 << 20
_GZIP_LEVEL = 6
"""zlib's default. For weights it costs 5 to 25 % more time than level 1, and saves 0.5 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The numbers a model was trained to; see `edgekit.weights.WeightFacts`."""

    parameters: int
    size_bytes: int
    by_dtype: dict[str, int]
    per_channel: tuple[str, ...]
    sparsity: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """Multiply-adds of one inference; a free dimension counts as 1. See `edgekit.multiply_adds`."""

    multiply_adds: int
    multiply_adds_per_loop_step: int
    uncounted_operators: dict[str, int]
    arithmetic: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Everything `inspect` found out. What a format does not tell is None or empty."""

    path: Path
    kind: SourceKind
    size_bytes: int
    gzip_bytes: int
    versions: dict[str, str]
    """Of the format, of what wrote it: ``schema``, ``ir``, ``opset ai.onnx``, ``keras``, …."""
    class_name: str | None
    """Keras: ``Sequential``, ``Functional``, or the model's own class."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    weights: Weights | None
    compute: Compute | None
    operators: dict[str, int]
    """Counts by name, of all subgraphs; of a SavedModel, TensorFlow's operations."""
    custom_operators: tuple[str, ...]
    layers: dict[str, int]
    """Keras layers by class; ``Bidirectional(LSTM)`` is a wrapped one."""
    custom_classes: tuple[str, ...]
    lambda_layers: tuple[str, ...]
    manifest: dict[str, Any] | None
    pruned: dict[str, Any] | None = None
    """How `edgekit prune` made the file, or what it was converted from; None if it did not."""
    seal: SealState | None
    """None where the file has none; see `edgekit.seal`."""
    golden_cases: int | None
    """How many cases the self-test on the device runs; None where they are damaged."""
    targets: dict[Target, tuple[Obstacle, ...]]
    """What would stop it on each target asked about; empty when nothing is known to."""
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as ``edgekit inspect --json`` prints it."""
        weights, compute = self.weights, self.compute
        return {
            "schema_version": 1,
            "path": str(self.path),
            "kind": self.kind,
            "size_bytes": self.size_bytes,
            "gzip_bytes": self.gzip_bytes,
            "versions": self.versions,
            "class_name": self.class_name,
            "inputs": [spec.to_dict() for spec in self.inputs],
            "outputs": [spec.to_dict() for spec in self.outputs],
            "parameters": weights and weights.parameters,
            "weights": weights
            and {
                "size_bytes": weights.size_bytes,
                "parameters_by_dtype": weights.by_dtype,
                "per_channel": list(weights.per_channel),
                "sparsity": weights.sparsity,
            },
            "compute": compute
            and {
                "multiply_adds": compute.multiply_adds,
                "multiply_adds_per_loop_step": compute.multiply_adds_per_loop_step,
                "uncounted_operators": compute.uncounted_operators,
                "arithmetic": compute.arithmetic,
            },
            "operators": self.operators,
            "custom_operators": list(self.custom_operators),
            "layers": self.layers,
            "custom_classes": list(self.custom_classes),
            "lambda_layers": list(self.lambda_layers),
            "manifest": self.manifest,
            "pruned": self.pruned,
            "seal": self.seal,
            "golden_cases": self.golden_cases,
            "targets": {
                target: {
                    "obstacles": [
                        {"operator": it.operator, "count": it.count, "reason": it.reason}
                        for it in found
                    ]
                }
                for target, found in self.targets.items()
            },
            "notes": list(self.notes),
        }


def inspect(path: str | os.PathLike[str], *, targets: tuple[Target, ...] = ()) -> Inspection:
    """Find out what the model at `path` is.

    Args:
        path: a `.tflite`, `.onnx`, `.keras` or `.h5` file, or a SavedModel folder; its content
            decides, not its name.
        targets: runtimes to hold its operators against, out of `edgekit.support.TARGETS`.

    Raises:
        SourceError: missing, unreadable, damaged, or no model.
        UsageError: an unknown target.
        MissingDependencyError: a `.h5` file, and h5py is not installed.
        CrashError: libhdf5 died reading a `.h5` file.
    """
    for target in targets:
        if target not in TARGETS:
            message = f"--target {target}: not known; there are: {', '.join(TARGETS)}"
            raise UsageError(message)
    path = Path(path)
    kind = sniff(path)
    weighing = _Weighing(path)
    weighing.start()
    found = _inspect_graph(path, kind, targets) if kind in {"tflite", "onnx"} else None
    if found is None:
        found = _inspect_keras(path, kind, targets)
    size_bytes, gzip_bytes = weighing.result()
    return replace(found, size_bytes=size_bytes, gzip_bytes=gzip_bytes)


class _Weighing(threading.Thread):
    """Compresses the file while the rest looks into it; zlib leaves Python free meanwhile."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._sizes = (0, 0)
        self._error: OSError | None = None

    def run(self) -> None:
        try:
            self._sizes = _weigh(self._path)
        except OSError as error:
            self._error = error

    def result(self) -> tuple[int, int]:
        self.join()
        if self._error is not None:
            raise unreadable(self._path, self._error)
        return self._sizes


def _weigh(path: Path) -> tuple[int, int]:
    """Bytes on disk, and bytes after gzip of each file; of a folder, of all files in it."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    size = packed = 0
    for file in files:
        packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
        for chunk in _chunks(file):
            size += len(chunk)
            packed += len(packer.compress(chunk))
        packed += len(packer.flush())
    return size, packed


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _inspect_graph(path: Path, kind: SourceKind, targets: tuple[Target, ...]) -> Inspection:
    from edgekit import multiply_adds, weights

    graph = _read(path, kind)
    manifest = manifest_of(graph, path)
    stored, compute = weights.weigh(graph), multiply_adds.count(graph)
    return Inspection(
        path=path,
        kind=kind,
        size_bytes=0,
        gzip_bytes=0,
        versions=dict(graph.versions),
        class_name=None,
        inputs=_with_quantization(graph.inputs, manifest, "inputs"),
        outputs=_with_quantization(graph.outputs, manifest, "outputs"),
        weights=Weights(
            parameters=stored.parameters,
            size_bytes=stored.bytes,
            by_dtype=stored.by_dtype,
            per_channel=tuple(sorted(stored.per_channel)),
            sparsity=stored.sparsity,
        ),
        compute=Compute(
            multiply_adds=compute.total,
            multiply_adds_per_loop_step=compute.per_step,
            uncounted_operators=compute.uncounted,
            arithmetic=compute.kinds,
        ),
        operators=dict(Counter(operator.name for operator in graph.operators).most_common()),
        custom_operators=tuple(sorted({it.name for it in graph.operators if it.is_custom})),
        layers={},
        custom_classes=(),
        lambda_layers=(),
        manifest=manifest,
        pruned=_pruned(manifest),
        seal=_seal(path) if manifest else None,
        golden_cases=_golden_cases(manifest, path),
        targets={target: obstacles(graph, target) for target in targets},
        notes=_graph_notes(graph),
    )


def _pruned(manifest: dict[str, Any] | None) -> dict[str, Any] | None:
    found = (manifest or {}).get("pruned")
    return found if isinstance(found, dict) else None


def _seal(path: Path) -> SealState | None:
    from edgekit import seal

    try:
        found = seal.read(map_file(path), str(path))
    except SourceError:
        return "damaged"
    if found is None:
        return None
    return "signed" if found.is_signed else "intact"


def _golden_cases(manifest: dict[str, Any] | None, path: Path) -> int | None:
    if not manifest or "golden" not in manifest:
        return 0
    from edgekit import golden  # imports numpy, which few files are worth

    try:
        return len(golden.cases(manifest, str(path)))
    except SourceError:
        return None


def _read(path: Path, kind: SourceKind) -> Graph:
    if kind == "tflite":
        from edgekit import tflite_file

        return tflite_file.read(path)
    from edgekit import onnx_file

    return onnx_file.read(path)


def _with_quantization(
    specs: tuple[TensorSpec, ...], manifest: dict[str, Any] | None, side: str
) -> tuple[TensorSpec, ...]:
    """ONNX does not say what integer inputs and outputs stand for; the manifest does."""
    told: dict[str, Quantization] = {}
    try:
        for data in (manifest or {}).get(side, ()):
            spec = TensorSpec.from_dict(data)
            if spec.quantization is not None:
                told[spec.name] = spec.quantization
    except (KeyError, TypeError, ValueError, AttributeError):
        return specs
    return tuple(
        spec._replace(quantization=spec.quantization or told.get(spec.name)) for spec in specs
    )


def _graph_notes(graph: Graph) -> tuple[str, ...]:
    notes = []
    if any(operator.name.startswith("Flex") for operator in graph.operators if operator.is_custom):
        notes.append("uses TensorFlow operators (Flex), which no runtime for devices has")
    if any(tensor.is_sparse for tensor in graph.tensors.values()):
        notes.append("some weights are stored in a sparse encoding")
    return tuple(notes)


def _inspect_keras(path: Path, kind: SourceKind, targets: tuple[Target, ...]) -> Inspection:
    from edgekit import keras_file

    facts = keras_file.read(path, count_parameters=True)
    notes = list(facts.notes)
    if not facts.inputs and kind != "savedmodel":
        notes.append("inputs and outputs are not known before Keras builds the model")
    elif not facts.outputs and kind != "savedmodel":
        notes.append("output shapes are not known before Keras builds the model")
    weights = None
    if facts.parameters is not None:
        weights = Weights(
            parameters=facts.parameters, size_bytes=0, by_dtype={}, per_channel=(), sparsity=None
        )
    reason = "it runs converted files; run: edgekit convert"
    return Inspection(
        path=path,
        kind=kind,
        size_bytes=0,
        gzip_bytes=0,
        versions={"keras": facts.keras_version} if facts.keras_version else {},
        class_name=facts.class_name,
        inputs=facts.inputs,
        outputs=facts.outputs,
        weights=weights,
        compute=None,
        operators=facts.operator_counts,
        custom_operators=(),
        layers=facts.layer_counts,
        custom_classes=facts.custom_classes,
        lambda_layers=facts.lambda_layers,
        manifest=manifest_of_folder(path) if kind == "savedmodel" else None,
        pruned=facts.pruned,
        seal=None,
        golden_cases=0,
        targets={it: (Obstacle(operator="", count=1, reason=reason),) for it in targets},
        notes=tuple(notes),
    )
