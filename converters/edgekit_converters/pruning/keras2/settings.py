"""What is done to a Keras 2 model, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from edgekit.errors import UsageError
from edgekit.prune_choices import Schedule, Scope
from edgekit.prune_method import parse_zeros
from edgekit.prune_request import MOST_CLUSTERS

Stage = Literal["prune", "cluster", "quantize"]


class Fit(Protocol):
    """Trains a model in place, for one stage."""

    def __call__(self, model: Any, projections: list[Any], /, *, stage: Stage) -> object:
        """Train `model`, which is compiled as the original was, if that was.

        Each of `projections` wants ``begin(model, steps)`` before, ``after_batch(step)`` after
        every step of the optimizer, and ``finish()`` at the end; ``progress()`` says how far it is.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Keras2Settings:
    """What tensorflow-model-optimization is asked for. Pruning, clustering, QAT, in this order."""

    name: str = "model"
    """What messages call the model."""
    sparsity: float | None = None
    """Share of the weights that become zero, within 0..1. None: no pruning, unless N:M."""
    method: str = "unstructured"
    """``unstructured``, N:M (``2:4``: at most 2 of 4 in a row are not zero), or ``1x4`` blocks."""
    scope: Scope = "layer"
    """Whether `sparsity` is of each layer or of all together."""
    schedule: Schedule = "polynomial"
    has_zeros: bool = False
    """Whether the model comes with zeros that are to be kept."""
    clusters: int | None = None
    """Different values that each kernel keeps."""
    quantize: bool = False
    """Quantization-aware training (QAT) at the end."""
    skip: tuple[str, ...] = ()
    """Layers to leave alone, by name, path or type, with all that is inside them."""
    steps: int = 0
    """Steps of the optimizer that one call of `Fit` takes."""

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        if self.sparsity is not None and not 0 < self.sparsity < 1:
            message = f"--sparsity {self.sparsity:g}: is not between 0 and 1; give one like 50%"
            raise UsageError(message)
        if self.clusters is not None and not 2 <= self.clusters <= MOST_CLUSTERS:
            message = f"--cluster {self.clusters}: is not within 2..{MOST_CLUSTERS}; give 16, say"
            raise UsageError(message)
        parse_zeros(self.method, "--method")
        if not (self.prunes or self.clusters or self.quantize):
            message = "nothing to do; give --sparsity, --method 2:4, --cluster or --qat"
            raise UsageError(message)

    @property
    def pattern(self) -> tuple[int, int] | None:
        """(N, M) of N:M: at most N of M in a row are not zero."""
        return parse_zeros(self.method, "--method").n_of_m

    @property
    def block(self) -> tuple[int, int] | None:
        """(height, width) of the blocks that become zero together."""
        return parse_zeros(self.method, "--method").block

    @property
    def keeps_zeros(self) -> bool:
        """Whether clustering and quantization leave zeros as they are."""
        return self.prunes or self.has_zeros

    @property
    def prunes(self) -> bool:
        """Whether weights become zero."""
        return self.sparsity is not None or self.pattern is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """A Keras 2 model without wrappers, but those of QAT."""

    model: Any
    suffix: Literal[".keras", ".h5"]
    """Of the only kind of file in which Keras 2 can save *and load* it."""
    notes: tuple[str, ...] = ()
    """What a user should know: what was left as it is, and why."""
    trained: dict[Stage, object] = field(default_factory=dict)
    """What `Fit` returned, stage by stage."""
