"""Masks of numpy arrays: no framework."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import UsageError
from edgekit_converters.pruning.zeros.kernels import Layout
from edgekit_converters.pruning.zeros.masks import (
    block_mask,
    global_masks,
    magnitude_mask,
    n_of_m_mask,
    share_of_zeros,
)
from edgekit_converters.pruning.zeros.pattern import checked_sparsity, pattern_of

MATRIX = Layout(inputs=(0,), outputs=(1,))
IMAGES = Layout(places=(0, 1), inputs=(2,), outputs=(3,))


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@given(st.integers(2, 500), st.floats(0.01, 0.99))
def test_the_share_of_zeros_is_that_asked_for_rounded_to_whole_weights(
    size: int, share: float
) -> None:
    mask = magnitude_mask(normal(size), share)
    assert abs((size - np.count_nonzero(mask)) - share * size) <= 0.5001 or mask.sum() == 1


def test_equal_magnitudes_stay_together() -> None:
    assert magnitude_mask(np.array([1.0, -1.0, 1.0, 0.5]), 0.5).tolist() == [True] * 3 + [False]


def test_at_least_one_weight_stays() -> None:
    assert magnitude_mask(normal(10), 0.99).sum() == 1


def test_a_global_threshold_takes_more_from_the_layer_of_small_weights() -> None:
    masks = global_masks([normal(100), normal(101) / 10], 0.5)
    assert share_of_zeros(masks) == pytest.approx(0.5, abs=0.01)
    assert masks[1].mean() < 0.2 < 0.8 < masks[0].mean()


def test_no_layer_is_emptied_by_a_global_threshold() -> None:
    masks = global_masks([normal(100), normal(9) / 1e6], 0.5)
    assert masks[1].sum() == 1


def test_two_of_four_stay_along_the_inputs_of_a_dense_layer() -> None:
    mask = n_of_m_mask(normal(16, 5), 2, 4, MATRIX)
    assert (mask.reshape(4, 4, 5).sum(axis=1) == 2).all()


def test_two_of_four_stay_along_the_input_channels_of_a_convolution() -> None:
    weights = normal(3, 3, 8, 6)
    mask = n_of_m_mask(weights, 2, 4, IMAGES)
    assert (mask.reshape(3, 3, 2, 4, 6).sum(axis=3) == 2).all()
    kept = np.abs(weights * mask).reshape(3, 3, 2, 4, 6).max(axis=3)
    assert (kept == np.abs(weights).reshape(3, 3, 2, 4, 6).max(axis=3)).all()


def test_an_incomplete_group_keeps_as_many_as_a_complete_one() -> None:
    mask = n_of_m_mask(normal(6, 7), 2, 4, MATRIX)
    assert mask[4:].all()
    assert (mask[:4].sum(axis=0) == 2).all()


def test_heads_of_attention_are_counted_as_one_row_of_inputs() -> None:
    mask = n_of_m_mask(normal(2, 6, 5), 2, 4, Layout(inputs=(0, 1), outputs=(2,)))
    assert (mask.reshape(3, 4, 5).sum(axis=1) == 2).all()


def test_blocks_are_whole() -> None:
    mask = block_mask(normal(10, 16), 0.5, MATRIX)
    blocks = mask.reshape(10, 4, 4)
    assert (blocks.all(axis=2) == blocks.any(axis=2)).all()
    assert blocks.all(axis=2).sum() == 20


def test_the_last_block_of_a_row_may_be_smaller_and_is_judged_by_what_it_has() -> None:
    weights = np.ones((1, 6), np.float32)
    weights[0, 4:] = 1.5
    assert block_mask(weights, 0.5, MATRIX).tolist() == [[False] * 4 + [True] * 2]


@pytest.mark.parametrize(("pooling", "kept"), [("average", 1), ("max", 0)])
def test_a_block_counts_as_its_average_or_its_largest(pooling: str, kept: int) -> None:
    weights = np.array([[5.0, 0, 0, 0, 2, 2, 2, 2]], np.float32)
    mask = block_mask(weights, 0.5, MATRIX, pooling=pooling)  # type: ignore[arg-type]
    assert mask.reshape(2, 4).all(axis=1).tolist() == [kept == 0, kept == 1]


def test_blocks_of_a_convolution_are_along_its_filters() -> None:
    mask = block_mask(normal(3, 3, 4, 8), 0.75, IMAGES)
    blocks = mask.reshape(3, 3, 4, 2, 4)
    assert (blocks.all(axis=4) == blocks.any(axis=4)).all()
    assert mask.mean() == 0.25


def test_a_mask_of_a_mask_is_the_same() -> None:
    weights = normal(12, 16)
    for name in ("unstructured", "2:4", "1x4"):
        pattern = pattern_of(name)
        first = pattern._mask(weights, 0.5, MATRIX)
        assert (pattern._mask(weights * first, 0.5, MATRIX) == first).all()


@pytest.mark.parametrize("method", ["magic", "4:2", "0x4", "4:4", "1x100", "structured", ""])
def test_a_pattern_that_does_not_exist_is_refused(method: str) -> None:
    with pytest.raises(UsageError, match="method"):
        pattern_of(method)


def test_global_patterns_are_refused() -> None:
    with pytest.raises(UsageError, match="goes with unstructured zeros only"):
        pattern_of("2:4", "global")


@pytest.mark.parametrize("sparsity", [0.0, 1.0, -0.1, 80, float("nan")])
def test_a_sparsity_out_of_range_is_refused(sparsity: float) -> None:
    with pytest.raises(UsageError, match="must be above 0 and below 1"):
        checked_sparsity(sparsity, pattern_of("unstructured"))


def test_a_sparsity_that_the_pattern_does_not_make_is_refused() -> None:
    with pytest.raises(UsageError, match=r"2:4 always makes 0\.5 of the weights zero"):
        checked_sparsity(0.8, pattern_of("2:4"))
