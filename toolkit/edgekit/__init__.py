"""Take a trained Keras model to the small device that will run it, and prove that it works there.

import edgekit
edgekit.convert("mnist.keras", to=["tflite", "onnx"], quantize="int8", calibrate="train.npz")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgekit.errors import (
    ClosedError,
    ConversionError,
    CrashError,
    DataError,
    EdgekitError,
    MissingDependencyError,
    OutputError,
    SourceError,
    UsageError,
    VerificationError,
)
from edgekit.tensors import Quantization, TensorSpec

if TYPE_CHECKING:
    from edgekit.artifact import Artifact, Failure, IncompleteConversionError, Verification
    from edgekit.benchmarking import bench
    from edgekit.child import Limits
    from edgekit.classification import Prediction
    from edgekit.conversion import convert
    from edgekit.evaluation import Evaluation
    from edgekit.inspection import inspect
    from edgekit.loading import load
    from edgekit.model import Model
    from edgekit.observation import Observation
    from edgekit.pruned import Pruned
    from edgekit.pruning import prune, pruning_callback
    from edgekit.scoring import evaluate
    from edgekit.stream import Stream
    from edgekit.verifying import verify

__version__ = "0.1.0"

_LATE = {
    "Artifact": "edgekit.artifact",
    "Evaluation": "edgekit.evaluation",
    "Failure": "edgekit.artifact",
    "IncompleteConversionError": "edgekit.artifact",
    "Limits": "edgekit.child",
    "Verification": "edgekit.artifact",
    "Model": "edgekit.model",
    "Observation": "edgekit.observation",
    "Prediction": "edgekit.classification",
    "Pruned": "edgekit.pruned",
    "Stream": "edgekit.stream",
    "bench": "edgekit.benchmarking",
    "convert": "edgekit.conversion",
    "evaluate": "edgekit.scoring",
    "inspect": "edgekit.inspection",
    "load": "edgekit.loading",
    "prune": "edgekit.pruning",
    "pruning_callback": "edgekit.pruning",
    "verify": "edgekit.verifying",
}
"""Where names live that are imported when first used. No module is called like one of them."""

__all__ = [
    "Artifact",
    "ClosedError",
    "ConversionError",
    "CrashError",
    "DataError",
    "EdgekitError",
    "Evaluation",
    "Failure",
    "IncompleteConversionError",
    "Limits",
    "MissingDependencyError",
    "Model",
    "Observation",
    "OutputError",
    "Prediction",
    "Pruned",
    "Quantization",
    "SourceError",
    "Stream",
    "TensorSpec",
    "UsageError",
    "Verification",
    "VerificationError",
    "__version__",
    "bench",
    "convert",
    "evaluate",
    "inspect",
    "load",
    "prune",
    "pruning_callback",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        message = f"module 'edgekit' has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module(_LATE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
