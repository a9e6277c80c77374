"""Import TensorFlow once, quietly, without touching its numbers."""

from __future__ import annotations

import os
import sys
from typing import Any

from edgekit._lazy import need


def tensorflow(*, threads: int | None = None) -> Any:
    """Import and return TensorFlow; call before anything else imports it.

    oneDNN stays on: switching it off changes numbers slightly and breaks channels-first pooling on
    CPUs. `threads` bounds the operator threads, None leaves TensorFlow's choice.

    Raises:
        MissingDependencyError: TensorFlow is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    if "keras" not in sys.modules:  # whatever the user trains with: exporting needs TensorFlow
        os.environ["KERAS_BACKEND"] = "tensorflow"
        os.environ["TF_USE_LEGACY_KERAS"] = "0"
    tf = need("tensorflow", extra="convert")
    if threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    return tf
