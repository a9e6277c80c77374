"""Real numbers to stored integers and back: ``real = scale * (stored - zero_point)``.

`encoder` and `decoder` make the functions for one tensor of a model that runs again and again:
they work in blocks that stay in the cache, and allocate nothing of the tensor's size.

>>> from edgekit.tensors import Quantization
>>> spec = TensorSpec(name="x", shape=(3,), dtype="int8",
...                   quantization=Quantization(scale=(0.5,), zero_point=(10,)))
>>> quantize(np.array([1.25, -0.25, 99.0]), spec).tolist()
[12, 10, 127]

docs/rounding.md has the rule, and where the runtimes' own operators differ from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from edgekit.errors import DataError
from edgekit.sessions.decode import as_float32, storage
from edgekit.sessions.decode import make as make_decoder
from edgekit.sessions.encode import make as make_encoder
from edgekit.sessions.encode import no_number
from edgekit.tensors import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

Encode: TypeAlias = "Callable[[NDArray[Any], NDArray[Any]], None]"
Decode: TypeAlias = "Callable[[NDArray[Any], NDArray[np.float32] | None], NDArray[np.float32]]"


def quantize(values: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """What the file stores for `values`: divided, rounded half to even, clipped, then cast.

    Out-of-range values saturate; they never wrap around.

    Args:
        values: real numbers, of any numeric dtype.
        spec: a tensor with `quantization`.

    Raises:
        DataError: `values` has a NaN, which no integer stands for.
        SourceError: a scale that is no positive number.
    """
    values = np.asarray(values)
    out = np.empty(values.shape, storage(spec.dtype))
    make_encoder(spec).quantize(values, out)
    return out


def dequantize(stored: NDArray[Any], spec: TensorSpec) -> NDArray[np.float32]:
    """The real numbers that `stored` stands for, as float32 of the same shape."""
    return decoder(spec)(np.asarray(stored), None)


def stored(values: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """`values` as the file takes them.

    Data of the file's own dtype passes through; integer-quantized inputs are quantized; other
    numbers are cast, and refused where the cast would change them.

    Raises:
        DataError: NaN, fractions, or numbers too large for an integer input; text for numbers.
        SourceError: a scale that is no positive number.
    """
    values = np.asarray(values)
    if spec.dtype in (values.dtype.name, "string"):
        return values
    out = np.empty(values.shape, storage(spec.dtype))
    encoder(spec)(values, out)
    return out


def encoder(spec: TensorSpec) -> Encode:
    """Make ``encode(values, out)``, which writes into `out` what the file stores for `values`.

    `values` has any numeric dtype, `out` the file's; both have the same shape, and any strides.
    Data of the file's own dtype is copied as it is. Otherwise, with quantization:
    ``rint(value / scale)`` in float32 (half to even), plus the zero point, saturated. Without:
    numbers are cast, and refused where an integer input cannot hold them. What an error leaves in
    `out` is undefined.

    The function keeps a scratch buffer: one thread at a time.

    Raises:
        SourceError: a scale that is no positive number.
        DataError: (from `encode`) NaN, or fractions, where integers are stored; text for numbers.
    """
    return make_encoder(spec).encode if spec.quantization else _caster(spec)


def decoder(spec: TensorSpec) -> Decode:
    """Make ``decode(stored, out=None)``, which gives the real numbers as float32.

    For quantized integers, float16 and other floats. Without `out` the result is a new array; with
    it, a float32 array of the same shape, nothing is allocated. ``scale * (stored - zero_point)``
    is rounded once, to float32.
    """
    if spec.quantization is None:
        return as_float32
    return make_decoder(spec).decode


def _caster(spec: TensorSpec) -> Encode:
    wanted = np.dtype(spec.dtype)

    def encode(values: NDArray[Any], out: NDArray[Any]) -> None:
        if values.dtype.kind not in "biuf":
            raise no_number(values, spec)
        if wanted.kind in "iu" and not np.can_cast(values.dtype, wanted) and values.size:
            lowest, highest = values.min().item(), values.max().item()
            limits = np.iinfo(wanted)
            whole = values.dtype.kind in "iu" or bool((values == np.trunc(values)).all())
            if not (limits.min <= lowest and highest <= limits.max and whole):
                message = (
                    f"input {spec.name!r}: the model takes {spec.dtype}, and the data has "
                    "fractions or numbers outside its range; check --preprocess and which input it "
                    "belongs to"
                )
                raise DataError(message)
        if wanted.kind == "b" and not ((values == 0) | (values == 1)).all():
            message = (
                f"input {spec.name!r}: the model takes true or false, and the data has other "
                "numbers than 0 and 1; check which input it belongs to"
            )
            raise DataError(message)
        if values.dtype.kind == "f" and wanted.kind == "f":
            with np.errstate(over="ignore"):
                out[...] = values
        else:
            out[...] = values

    return encode
