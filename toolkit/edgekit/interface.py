"""Whether one file can take another's place: what callers give and get must be the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.errors import VerificationError
from edgekit.lane import result_dtype

if TYPE_CHECKING:
    from edgekit.serving import Serving
    from edgekit.tensors import TensorSpec


def check_replaceable(old: Serving, new: Serving) -> None:
    """Do nothing if callers of `old` can call `new`.

    Raises:
        VerificationError: they cannot; the message says what differs.
    """
    for what, before, after in (
        ("takes", old.inputs, new.inputs),
        ("gives", old.outputs, new.outputs),
    ):
        was, now = _shown(before), _shown(after)
        if was != now:
            message = (
                f"{new.name}: {what} {now}, the model in service {what} {was}; "
                "load it as a model of its own"
            )
            raise VerificationError(message)


def _shown(specs: tuple[TensorSpec, ...]) -> str:
    """Names, kinds and shapes; all real numbers are alike, however they are stored."""
    shown = []
    for spec in specs:
        dtype = result_dtype(spec)
        kind = "numbers" if dtype.kind == "f" else str(dtype)
        sizes = ", ".join("any" if size is None else str(size) for size in spec.shape)
        shown.append(f"{spec.name}: {kind} ({sizes})")
    return "; ".join(shown)
