"""Where the zeros may be: anywhere, in blocks, or some in every few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.errors import UsageError
from edgekit.prune_method import Method, parse_zeros
from edgekit_converters.pruning.zeros.kernels import Array, Kernel, Layout
from edgekit_converters.pruning.zeros.masks import (
    Mask,
    Pooling,
    block_mask,
    global_masks,
    magnitude_mask,
    n_of_m_mask,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A way to choose the weights that stay; made by `pattern_of`."""

    method: Method
    scope: str = "layer"
    """``"layer"``: each kernel has the same share of zeros; ``"global"``: all together have it."""
    pooling: Pooling = "average"

    @property
    def name(self) -> str:
        """As users write it: ``2:4``."""
        return str(self.method)

    @property
    def fixed_sparsity(self) -> float | None:
        """The share of zeros where the pattern tells it."""
        return self.method.sparsity

    def takes(self, layout: Layout) -> bool:
        """Whether such a kernel can have it: a table has no inputs to count along."""
        return self.method.n_of_m is None or bool(layout.inputs)

    def masks(
        self, kernels: Sequence[Kernel], weights: Sequence[Array], sparsity: float
    ) -> list[Mask]:
        """Which of `weights` stay, for each of `kernels`."""
        if self.scope == "global":
            return global_masks(weights, sparsity)
        return [
            self._mask(numbers, sparsity, kernel.layout)
            for kernel, numbers in zip(kernels, weights, strict=True)
        ]

    def _mask(self, weights: Array, sparsity: float, layout: Layout) -> Mask:
        if self.method.n_of_m is not None:
            return n_of_m_mask(weights, *self.method.n_of_m, layout)
        if self.method.block is not None:
            return block_mask(weights, sparsity, layout, self.method.block, self.pooling)
        return magnitude_mask(weights, sparsity)


def pattern_of(method: str, scope: str = "layer", pooling: Pooling = "average") -> Pattern:
    """The pattern called ``"unstructured"``, ``"2:4"`` (2 of every 4 stay) or ``"1x4"`` (blocks).

    Raises:
        UsageError: there is no such pattern or scope, or it has no such scope.

    >>> pattern_of("1:4").fixed_sparsity
    0.75
    """
    if scope not in {"layer", "global"}:
        message = f"scope {scope!r}: there is no such scope; there are: layer, global"
        raise UsageError(message)
    parsed = parse_zeros(method, "method")
    if scope == "global" and parsed.kind != "unstructured":
        message = f"scope 'global': goes with unstructured zeros only, not {method!r}; use layer"
        raise UsageError(message)
    return Pattern(method=parsed, scope=scope, pooling=pooling)


def checked_sparsity(sparsity: float | None, pattern: Pattern, default: float = 0.8) -> float:
    """The share of zeros to reach: as asked, or what the pattern tells, or the default.

    Raises:
        UsageError: it is not between 0 and 1, or not that of the pattern.
    """
    fixed = pattern.fixed_sparsity
    if sparsity is None:
        return default if fixed is None else fixed
    if not 0 < sparsity < 1:
        message = f"sparsity {sparsity:g}: must be above 0 and below 1; try 0.8"
        raise UsageError(message)
    if fixed is not None and abs(sparsity - fixed) > 1e-6:
        message = (
            f"sparsity {sparsity:g}: {pattern.name} always makes {fixed:.4g} of the weights zero; "
            "leave the sparsity out"
        )
        raise UsageError(message)
    return float(sparsity)
