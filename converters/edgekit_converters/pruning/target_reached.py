"""What became of the target of a request, as the cut and the files of the trained model tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgekit.prune_choices import Measure, Target
from edgekit.prune_request import PruneRequest
from edgekit.prune_verdict import Verdict
from edgekit.pruned import Reached
from edgekit_converters.pruning.target_search import Chosen


def reached(
    chosen: Chosen | None, shrunk: Mapping[str, Any], request: PruneRequest, judged: Verdict
) -> Reached | None:
    """Returns what the result says of it; None where no target was given.

    Args:
        chosen: of channels that were cut.
        shrunk: what the child process told of single weights.
        request: with what was asked for.
        judged: with the files of the trained model.
    """
    if chosen is not None:
        return Reached(
            name=chosen.target,
            asked=chosen.asked,
            reached=_judged(chosen.target, request.measure, judged) or chosen.reached,
            original=chosen.original,
        )
    if request.sparsity is None or shrunk["sparsity"] is None:
        return None  # a pattern alone asks for no share
    return Reached(name="sparsity", asked=request.sparsity, reached=shrunk["sparsity"])


def _judged(target: Target, measure: Measure, verdict: Verdict) -> float | None:
    """What a target that files were measured for came to in the files of the trained model."""
    pair = next(one for one in verdict.pairs if one.precision == measure)
    if target == "size" and pair.pruned is not None:
        return pair.pruned.size_bytes
    if target == "latency" and pair.latency is not None:
        return pair.latency.value
    return None


def with_cut(chosen: Chosen, cuts: Mapping[str, Any]) -> Chosen:
    """Returns what was chosen, with what the cut came to where no file is measured for it."""
    if chosen.target == "macs":
        return replace(chosen, reached=cuts["macs"])
    if chosen.target == "sparsity":
        before = sum(one["before"] for one in cuts["cuts"])
        after = sum(one["after"] for one in cuts["cuts"])
        return replace(chosen, reached=1 - after / before)
    return chosen
