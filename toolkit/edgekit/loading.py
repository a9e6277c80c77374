"""``edgekit.load``: a model file, ready to be called."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgekit.load_options import check_options, check_source

if TYPE_CHECKING:
    from edgekit.model import Model
    from edgekit.reading import Source
    from edgekit.sessions import Backend, Providers

_CPU = ("CPUExecutionProvider",)


def load(
    source: Source,
    *,
    threads: int = 1,
    backend: Backend = "auto",
    providers: Providers = _CPU,
    instances: int = 1,
    signature: str | None = None,
    preprocess: str | Sequence[str] | Mapping[str, str] | None = None,
    labels: Sequence[str] | str | os.PathLike[str] | None = None,
    self_test: bool = False,
    public_key: str | os.PathLike[str] | bytes | None = None,
    probe: bool = False,
) -> Model:
    """Load a .tflite or .onnx file, with or without edgekit's manifest.

    >>> with edgekit.load("mnist.int8.tflite") as model:        # doctest: +SKIP
    ...     scores = model(image)

    Args:
        source: the file, or its content.
        threads: how many threads one call may use.
        backend: ``litert`` or ``tflite-runtime`` for TFLite, ``onnxruntime`` for ONNX; ``auto``
            takes the first that is installed.
        providers: ONNX Runtime's execution providers, the preferred one first.
        instances: how many calls can run at the same time. Instances share the weights where the
            runtime can (ONNX Runtime does; of TFLite they share the file's bytes).
        signature: which of a TFLite file's signatures to run; its default one if None.
        preprocess: how `Model.classify` prepares pictures, instead of what the file says; as
            ``edgekit convert --preprocess`` takes it, or a text for each input.
        labels: names of the classes, or a text file with one a line, instead of the file's.
        self_test: refuse a file whose results on this device differ from those it gave where it
            was made, by more than it allows; also one that carries nothing to test that with.
        public_key: refuse a file that was not signed with the private key of this ed25519 key: a
            PEM file, its text, or its 32 bytes.
        probe: check the file closely, then load and run it in a process of its own first, which
            may crash instead of this one; for files of unknown origin. Takes about a second. A seal
            finds damage, not malice: anybody can seal a file.

    Raises:
        SourceError: missing, empty, truncated, damaged, or neither TFLite nor ONNX.
        VerificationError: the runtime refuses the file, the self-test fails, or the signature is
            not that of `public_key`.
        MissingDependencyError: the runtime is not installed; the message has the command.
        CrashError: the probe died of it.
        UsageError: an option that makes no sense, or not with this file.
        DataError: `labels` cannot be read, or are more or fewer than the scores of the output.
    """
    source = check_source(source)
    asked = check_options(
        {
            "threads": threads,
            "backend": backend,
            "providers": providers,
            "instances": instances,
            "signature": signature,
            "preprocess": preprocess,
            "labels": labels,
            "self_test": self_test,
            "public_key": public_key,
            "probe": probe,
        }
    )
    collects = gc.isenabled()
    gc.disable()  # importing makes much and drops nothing: there is no garbage to look for
    try:
        from edgekit.model import Model
        from edgekit.opening import Options

        return Model(source, Options(**asked))
    finally:
        if collects:
            gc.enable()
