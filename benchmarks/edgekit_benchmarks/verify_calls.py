"""What ``edgekit verify`` runs files on: their golden cases, data, or numbers made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data import open_data
from edgekit.data_random import FREE_SIZE
from edgekit.errors import SourceError
from edgekit.golden import Golden
from edgekit.inspection import inspect
from edgekit.lane import result_dtype
from edgekit.preprocess import Preprocess, for_inputs
from edgekit.sessions.decode import limits
from edgekit.tensors import TensorSpec
from edgekit_benchmarks.model_file import ModelFile

Array = NDArray[Any]
Call = dict[str, Array]


def golden_calls(file: ModelFile, cases: Sequence[Golden]) -> list[Call]:
    """The inputs of golden cases, real numbers.

    Raises:
        SourceError: the cases are damaged.
    """
    try:
        return [{name: one.values() for name, one in case.inputs.items()} for case in cases]
    except ValueError as error:
        message = f"{file.path}: its golden cases are damaged ({error}); convert it again"
        raise SourceError(message) from None


def data_calls(file: ModelFile, data: str, preprocess: tuple[str, ...], count: int) -> list[Call]:
    """`count` samples of a data source, each by itself; always the same ones.

    Raises:
        DataError: the data cannot be read, or do not fit the file.
        UsageError: data or preprocessing in no known form.
    """
    stored = file.manifest.get("preprocess") or {}
    steps = {str(name): Preprocess.from_dict(one) for name, one in stored.items()}
    if preprocess:
        steps = for_inputs(preprocess, file.inputs)
    dataset = open_data(data, file.inputs, preprocess=steps)
    chosen = np.sort(dataset.choose(count))
    return [dataset.batch([index]) | _states(file) for index in chosen]


def random_calls(file: ModelFile, golden: Sequence[Call], count: int) -> list[Call]:
    """`count` made-up samples from a fixed seed.

    Floats are as large as in the golden cases, else from 0 to 1; where integers stand for real
    numbers, these come from all of their range.
    """
    zeros = _states(file)
    random = np.random.default_rng(0)
    return [
        {spec.name: _made(spec, golden, random) for spec in file.inputs} | zeros
        for _ in range(count)
    ]


def _made(spec: TensorSpec, golden: Sequence[Call], random: np.random.Generator) -> Array:
    shape = tuple(
        FREE_SIZE if axis and size is None else size or 1 for axis, size in enumerate(spec.shape)
    )
    if spec.dtype == "string":
        return np.full(shape, "", object)
    if spec.quantization is not None:
        scale, point = spec.quantization.scale[0], spec.quantization.zero_point[0]
        low, high = (scale * (limit - point) for limit in limits(spec.dtype))
        return np.asarray(random.uniform(low, high, shape), np.float32)
    dtype = np.dtype(spec.dtype)
    if dtype.kind != "f":
        most = 256 if dtype == np.uint8 else 2
        return np.asarray(random.integers(0, most, shape)).astype(dtype)
    known = [case[spec.name] for case in golden if spec.name in case]
    low = min((float(one.min()) for one in known), default=0.0)
    high = max((float(one.max()) for one in known), default=1.0)
    return np.asarray(random.uniform(low, high, shape)).astype(dtype)


def _states(file: ModelFile) -> Call:
    """Zeros for what recurrent models carry from call to call."""
    if not file.states:
        return {}
    specs = [spec for spec in inspect(file.path).inputs if spec.name in file.states]
    return {
        spec.name: np.zeros([size or 1 for size in spec.shape], result_dtype(spec))
        for spec in specs
    }
