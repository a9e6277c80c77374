"""Plans on graphs made by hand and at random: targets are met, and harder ones take more."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import UsageError
from edgekit_converters.pruning.channels.choose import (
    Plan,
    Ranking,
    Target,
    choose,
    least_share,
    plan,
    rank,
)
from edgekit_converters.pruning.channels.costs import cost
from edgekit_converters.pruning.channels.graph import ChannelGraph, Group, Left, Weight
from edgekit_converters.pruning.channels.ratios import allowed, uniform_counts
from edgekit_converters.pruning.channels.sensitivity import Curve

Kind = Literal["sparsity", "macs", "parameters"]


def chain(*widths: int, pixels: float = 10.0, inputs: int = 3, outputs: int = 10) -> ChannelGraph:
    """Dense-like layers one behind the other; inputs and outputs stay."""
    starts = np.cumsum([0, *widths])
    channels = [np.arange(a, b) for a, b in pairwise(starts)]
    sides = [None, *channels, None]
    sizes = [inputs, *widths, outputs]
    weights = []
    for number in range(len(widths) + 1):
        pair = (sides[number], sides[number + 1])
        weights.append(
            Weight(
                path=f"layer{number}/kernel",
                shape=(sizes[number], sizes[number + 1]),
                axes=pair,
                output_axes=(1,),
                uses=pixels,
                layer=f"layer{number}",
                role="kernel",
            )
        )
        weights.append(
            Weight(
                path=f"layer{number}/bias",
                shape=(sizes[number + 1],),
                axes=(pair[1],),
                output_axes=(0,),
                layer=f"layer{number}",
                role="bias",
            )
        )
    groups = tuple(
        Group(name=f"layer{n}", layers=(f"layer{n}",), kind="units", channels=numbers)
        for n, numbers in enumerate(channels)
    )
    return ChannelGraph(
        groups=groups, weights=tuple(weights), left=(), channel_count=int(starts[-1])
    )


def ranking(
    graph: ChannelGraph, *, multiple_of: int = 8, seed: int = 0, sensitive: bool = False
) -> Ranking:
    random = np.random.default_rng(seed)
    curves = None
    if sensitive:
        curves = tuple(
            Curve(
                shares=(0.0, 0.25, 0.5, 0.75),
                rises=(0.0, *np.maximum.accumulate(random.exponential(1.0, 3))),
            )
            for _ in graph.groups
        )
    return Ranking(
        graph=graph,
        scores=random.random(graph.channel_count),
        options=tuple(allowed(len(group.channels), multiple_of) for group in graph.groups),
        curves=curves,
    )


rankings = st.builds(
    lambda widths, multiple_of, seed, sensitive: ranking(
        chain(*widths), multiple_of=multiple_of, seed=seed, sensitive=sensitive
    ),
    st.lists(st.integers(1, 70), min_size=1, max_size=5),
    st.sampled_from([1, 4, 8]),
    st.integers(0, 99),
    st.booleans(),
)
kinds: st.SearchStrategy[Kind] = st.sampled_from(["sparsity", "macs", "parameters"])


def least(graph: ChannelGraph, kind: Kind) -> float:
    """The share that stays when one channel of each group does."""
    removed = choose(graph, np.zeros(graph.channel_count), [1] * len(graph.groups))
    if kind == "macs":
        return graph.macs(removed) / graph.macs()
    if kind == "parameters":
        return graph.parameters(removed) / graph.parameters()
    return len(graph.groups) / graph.channel_count


def target(kind: Kind, stays: float) -> Target:
    return Target(kind=kind, amount=1 - stays if kind == "sparsity" else stays)


def stays(made: Plan, graph: ChannelGraph, kind: Kind) -> float:
    if kind == "macs":
        return made.macs / graph.macs()
    if kind == "parameters":
        return made.parameters / graph.parameters()
    return made.channels / graph.channel_count


@settings(deadline=None, max_examples=60)
@given(rankings, kinds, st.floats(0.01, 1.0))
def test_a_target_is_met_or_refused_with_what_is_possible(
    ranked: Ranking, kind: Kind, share: float
) -> None:
    graph = ranked.graph
    if share < least(graph, kind) - 1e-6:
        with pytest.raises(UsageError, match="one channel left everywhere"):
            plan(ranked, target(kind, share))
        return
    if share < least(graph, kind) + 1e-6:
        return  # on the edge: either is right
    made = plan(ranked, target(kind, share))
    assert stays(made, graph, kind) <= share + 1e-9


@settings(deadline=None, max_examples=60)
@given(rankings, kinds, st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_harder_target_never_leaves_more(
    ranked: Ranking, kind: Kind, one: float, other: float
) -> None:
    floor = least(ranked.graph, kind) + 1e-6
    low, high = sorted((max(one, floor), max(other, floor)))
    high = min(high, 1.0)
    if low > 1:
        return
    harder, easier = (plan(ranked, target(kind, share)) for share in (low, high))
    assert stays(harder, ranked.graph, kind) <= stays(easier, ranked.graph, kind)


@settings(deadline=None, max_examples=60)
@given(rankings, kinds, st.floats(0.01, 1.0))
def test_no_group_is_emptied_and_every_width_is_an_allowed_one(
    ranked: Ranking, kind: Kind, share: float
) -> None:
    if share < least(ranked.graph, kind) + 1e-6:
        return
    made = plan(ranked, target(kind, share))
    for group, kept, options in zip(ranked.graph.groups, made.kept, ranked.options, strict=True):
        assert kept >= 1
        assert kept in options
        assert np.count_nonzero(~made.removed[group.channels]) == kept


@settings(deadline=None, max_examples=40)
@given(rankings, st.floats(0.05, 0.95))
def test_with_any_width_allowed_macs_come_within_the_cost_of_one_channel(
    ranked: Ranking, share: float
) -> None:
    graph = ranked.graph
    if share < least(graph, "macs") + 1e-6:
        return
    ranked = ranking(graph, multiple_of=1)
    made = plan(ranked, Target(kind="macs", amount=share))
    widths = np.array([len(group.channels) for group in graph.groups], float)
    largest = max(
        cost(graph, "macs").of(widths) - cost(graph, "macs").of(widths - step)
        for step in np.eye(len(widths))
    )
    assert made.macs >= share * graph.macs() - largest - 1


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.data())
def test_the_cost_of_counts_is_that_of_masks(widths: list[int], data: st.DataObject) -> None:
    graph = chain(*widths)
    kept = [data.draw(st.integers(1, width)) for width in widths]
    removed = choose(graph, np.zeros(graph.channel_count), kept)
    counts = np.array(kept, float)
    assert cost(graph, "macs").of(counts) == pytest.approx(graph.macs(removed))
    assert cost(graph, "parameters").of(counts) == pytest.approx(graph.parameters(removed))
    assert cost(graph, "channels").of(counts) == sum(kept)


def test_uniform_sparsity_takes_at_least_the_share_of_every_group() -> None:
    made = plan(ranking(chain(64, 20, 7)), Target(kind="sparsity", amount=0.5))
    assert made.kept == (32, 8, 3)
    assert min(made.shares) >= 0.5


def test_sparsity_is_met_in_all_even_where_groups_are_too_narrow_for_it() -> None:
    made = plan(ranking(chain(1, 4)), Target(kind="sparsity", amount=0.5))
    assert made.kept == (1, 1)


def test_the_least_important_channels_go() -> None:
    graph = chain(4)
    removed = choose(graph, np.array([0.3, 0.1, 0.9, 0.2]), [2])
    assert removed.tolist() == [False, True, False, True]


def test_of_equal_channels_the_first_stay() -> None:
    assert choose(chain(3), np.ones(3), [1]).tolist() == [False, True, True]


def test_everything_may_stay() -> None:
    made = plan(ranking(chain(16, 16)), Target(kind="macs", amount=1.0))
    assert not made.removed.any()


def test_an_absolute_number_of_macs_is_met() -> None:
    graph = chain(64, 64)
    made = plan(ranking(graph, multiple_of=1), Target(kind="macs", amount=20_000))
    assert 19_000 < made.macs <= 20_000


def test_a_sensitive_group_keeps_more() -> None:
    graph = chain(64, 64, 64)
    flat = Curve(shares=(0.0, 0.5, 0.9), rises=(0.0, 0.01, 0.02))
    steep = Curve(shares=(0.0, 0.5, 0.9), rises=(0.0, 1.0, 2.0))
    ranked = Ranking(
        graph=graph,
        scores=np.ones(graph.channel_count),
        options=tuple(allowed(64) for _ in graph.groups),
        curves=(flat, steep, flat),
    )
    made = plan(ranked, Target(kind="macs", amount=0.5))
    assert made.kept[1] == 64
    assert made.kept[0] < 64


def test_curves_that_say_nothing_share_out_evenly() -> None:
    graph = chain(64, 64)
    flat = Curve(shares=(0.0, 0.5), rises=(0.0, 0.0))
    ranked = Ranking(
        graph=graph,
        scores=np.ones(graph.channel_count),
        options=(allowed(64), allowed(64)),
        curves=(flat, flat),
    )
    made = plan(ranked, Target(kind="sparsity", amount=0.5))
    assert made.kept == (32, 32)


def test_wide_layers_stay_a_multiple_and_shares_are_refused_under_one_step() -> None:
    assert uniform_counts((allowed(64), allowed(10)), 0.3).tolist() == [40, 7]
    assert uniform_counts((allowed(64), allowed(10)), 0.0).tolist() == [64, 10]
    assert uniform_counts((allowed(64), allowed(10)), 0.95).tolist() == [2, 1]


def test_an_impossible_target_says_what_remains() -> None:
    with pytest.raises(UsageError, match=r"^--macs 1%: even .* 3.34% of the multiply-adds remain"):
        plan(ranking(chain(30, inputs=10)), Target(kind="macs", amount=0.01))  # 207 / 6007


@pytest.mark.parametrize("kind", ["macs", "parameters"])
def test_the_least_share_can_be_asked_for(kind: Literal["macs", "parameters"]) -> None:
    ranked = ranking(chain(30, 24, inputs=10))
    share = least_share(ranked, kind)
    assert plan(ranked, Target(kind=kind, amount=share)).kept == (1, 1)
    with pytest.raises(UsageError, match="even with one channel left"):
        plan(ranked, Target(kind=kind, amount=share * 0.999))


def test_an_impossible_sparsity_says_what_can_go() -> None:
    with pytest.raises(UsageError, match="--sparsity 99%: even .* only 87.5% go; ask for less"):
        plan(ranking(chain(8, 8)), Target(kind="sparsity", amount=0.99))


def test_what_is_said_to_be_possible_can_be_asked_for() -> None:
    ranked = ranking(chain(24, 24))
    with pytest.raises(UsageError, match=r"only 95.83% go"):  # 46 of 48
        plan(ranked, Target(kind="sparsity", amount=0.99))
    assert plan(ranked, Target(kind="sparsity", amount=0.9583)).kept == (1, 1)


@pytest.mark.parametrize(("kind", "amount"), [("sparsity", 1.0), ("sparsity", -0.1), ("macs", 0.0)])
def test_amounts_out_of_range_are_refused(kind: Kind, amount: float) -> None:
    with pytest.raises(UsageError, match=f"--{kind}"):
        Target(kind=kind, amount=amount)


def test_nothing_to_cut_is_refused_with_the_reason() -> None:
    graph = ChannelGraph(
        groups=(),
        weights=(),
        left=(Left(layer="scores", reason="is an output"),),
        channel_count=0,
    )
    with pytest.raises(UsageError, match="no channel can be cut.*scores: is an output"):
        rank(object(), graph)
