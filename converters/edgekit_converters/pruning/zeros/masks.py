"""Which weights stay, by their magnitude: each alone, in blocks, or some of every few in a row.

A mask has the shape of its kernel and is True where the weight stays. The rules are those of
tensorflow-model-optimization, rounding and ties included; where they differ, the docstring says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit_converters.pruning.zeros.kernels import Layout

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Pooling = Literal["average", "max"]


def magnitude_mask(weights: Array, sparsity: float) -> Mask:
    """Keep the ``max(1, round(size * (1 - sparsity)))`` largest magnitudes.

    Rounded in float32, half to even. All that are as large as the smallest kept one stay, so that
    ties make fewer zeros than asked for.

    >>> magnitude_mask(np.array([3.0, -1.0, 1.0, 0.5]), 0.75).tolist()
    [True, False, False, False]
    """
    magnitudes = _magnitudes(weights)
    return np.asarray(magnitudes >= _threshold(magnitudes.reshape(-1), sparsity))


def global_masks(weights: Sequence[Array], sparsity: float) -> list[Mask]:
    """One threshold for all kernels together; every kernel keeps its largest weight.

    Without that a layer could end as a constant. (tensorflow-model-optimization has no such scope.)
    """
    magnitudes = [_magnitudes(kernel) for kernel in weights]
    together = np.concatenate([kernel.reshape(-1) for kernel in magnitudes])
    threshold = _threshold(together, sparsity)
    return [np.asarray(kernel >= min(threshold, kernel.max())) for kernel in magnitudes]


def block_mask(
    weights: Array,
    sparsity: float,
    layout: Layout,
    block: tuple[int, int] = (1, 4),
    pooling: Pooling = "average",
) -> Mask:
    """Keep or drop blocks of (rows, columns) of the matrix (places and inputs, outputs).

    Unlike tensorflow-model-optimization, which takes only kernels of two axes, a convolution is
    such a matrix as well; and where the blocks do not fill the matrix, the last ones are smaller,
    and are judged by the weights they have (there: by those of a window moved by half of what is
    missing, while the mask is not moved).

    Args:
        weights: the kernel.
        sparsity: share of the blocks that become zero.
        layout: what its axes stand for.
        block: rows and columns of a block.
        pooling: a block counts as much as the average, or the largest, of its magnitudes.
    """
    order = layout.places + layout.inputs + layout.outputs
    arranged = _magnitudes(weights).transpose(order)
    columns = int(np.prod([weights.shape[axis] for axis in layout.outputs], dtype=np.int64))
    matrix = arranged.reshape(-1, columns)
    starts = [np.arange(0, size, step) for size, step in zip(matrix.shape, block, strict=True)]
    if pooling == "max":
        rows = np.maximum.reduceat(matrix, starts[0], axis=0)
        pooled = np.maximum.reduceat(rows, starts[1], axis=1)
    else:
        rows = np.add.reduceat(matrix, starts[0], axis=0)
        sums = np.add.reduceat(rows, starts[1], axis=1)
        heights, widths = (
            np.diff(np.append(first, size))
            for first, size in zip(starts, matrix.shape, strict=True)
        )
        pooled = sums / np.outer(heights, widths).astype(np.float32)
    kept = magnitude_mask(pooled, sparsity)
    spread = kept.repeat(block[0], axis=0).repeat(block[1], axis=1)
    mask = spread[: matrix.shape[0], : matrix.shape[1]].reshape(arranged.shape)
    return np.ascontiguousarray(mask.transpose(np.argsort(order)))


def n_of_m_mask(weights: Array, keep: int, of: int, layout: Layout) -> Mask:
    """Keep the `keep` largest of every `of` weights in a row along the inputs of each output.

    That is the row in which a TFLite or ONNX kernel reads them. Where the inputs are no multiple of
    `of`, the last group is filled up with zeros, so that it keeps up to `keep` of fewer. Of equal
    magnitudes the earlier stays. tensorflow-model-optimization does the same for kernels of two and
    four axes, and takes a transposed convolution's outputs for its inputs.

    >>> n_of_m_mask(np.array([[1.0], [4.0], [3.0], [2.0]]), 2, 4, Layout(inputs=(0,), outputs=(1,)))
    array([[False],
           [ True],
           [ True],
           [False]])
    """
    order = layout.outputs + layout.places + layout.inputs
    arranged = _magnitudes(weights).transpose(order)
    width = int(np.prod([weights.shape[axis] for axis in layout.inputs], dtype=np.int64))
    rows = arranged.reshape(-1, width)
    filled = np.pad(rows, ((0, 0), (0, -width % of))).reshape(-1, of)
    best = np.argsort(-filled, axis=1, kind="stable")[:, :keep]
    kept = np.zeros(filled.shape, bool)
    np.put_along_axis(kept, best, values=True, axis=1)
    mask = kept.reshape(rows.shape[0], -1)[:, :width].reshape(arranged.shape)
    return np.ascontiguousarray(mask.transpose(np.argsort(order)))


def share_of_zeros(masks: Sequence[Mask]) -> float:
    """Of all weights of all `masks`, the share that does not stay.

    >>> share_of_zeros([np.array([True, False]), np.array([False, False])])
    0.75
    """
    stay = sum(int(np.count_nonzero(mask)) for mask in masks)
    return 1 - stay / sum(mask.size for mask in masks)


def _magnitudes(weights: Array) -> NDArray[np.float32]:
    return np.abs(np.asarray(weights).astype(np.float32))


def _threshold(magnitudes: NDArray[np.float32], sparsity: float) -> np.float32:
    """The smallest of the largest ones that stay."""
    share = np.float32(1) - np.float32(sparsity)
    stay = max(1, int(np.round(np.float32(magnitudes.size) * share)))
    place = magnitudes.size - min(stay, magnitudes.size)
    return np.float32(np.partition(magnitudes, place)[place])
