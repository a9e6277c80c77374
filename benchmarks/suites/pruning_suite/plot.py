"""The picture of docs/pruning.md: what is left of bytes and latency, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import bars
from .measure import CUT, Pair, Result

COLOURS = {"float32": "#1f6fb4", "int8": "#d9730d"}
APART = 0.17
"""Between the marks of a model's two files, in rows."""
INK, GRID, GOOD = "#333333", "#e3e3e3", "#eef6ee"


def plot(results: Sequence[Result], path: Path) -> None:
    """Draw one row a model: channels cut above, weights set to zero below.

    Args:
        results: of which those with half of the multiply-adds come first.
        path: of the .png.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import lines, patches, pyplot

    mpl.rcParams.update({"font.size": 9, "axes.edgecolor": "#999999", "text.color": INK})
    structured = [result for result in results if result.kind == "structured"]
    zeros = [result for result in results if result.kind not in CUT]
    heights = [len(results) for results in (structured, zeros) if results]
    figure, grid = pyplot.subplots(
        len(heights),
        3,
        figsize=(10, 1.7 + 0.34 * sum(heights) + 0.5 * len(heights)),
        height_ratios=[height + 0.6 for height in heights],
        squeeze=False,
        layout="constrained",
    )
    panels = iter(grid)
    if structured:
        axes = next(panels)
        _panel(axes[0], structured, "size", limit=100 * (1 - bars.LEAST_CUT))
        _panel(axes[1], structured, "p50", limit=100 * (1 - bars.LEAST_CUT))
        _panel(axes[2], structured, "accuracy", limit=-100 * bars.MOST_LOST)
        axes[0].set_title("--macs 50%\nbytes left, %", loc="left")
        axes[1].set_title("\np50 left, %", loc="left")
        axes[2].set_title("\naccuracy gained or lost, points", loc="left")
    if zeros:
        axes = next(panels)
        _panel(axes[0], zeros, "gzip", limit=100 * bars.MOST_GZIP)
        _panel(axes[1], zeros, "p50", limit=None)
        _panel(axes[2], zeros, "accuracy", limit=-100 * bars.MOST_LOST_WITH_ZEROS)
        axes[0].set_title("--method unstructured --sparsity 80%\ngzipped bytes left, %", loc="left")
        axes[1].set_title("\np50 left, %", loc="left")
        axes[2].set_title("\naccuracy gained or lost, points", loc="left")
    marks: list[Any] = [
        lines.Line2D([], [], marker="o", linestyle="", color=colour, label=f"{name} file")
        for name, colour in COLOURS.items()
    ]
    marks.append(patches.Rectangle((0, 0), 1, 1, color=GOOD, label="what is asked for"))
    figure.legend(handles=marks, loc="outside lower center", ncols=3, frameon=False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})
    pyplot.close(figure)


def _panel(axes: Any, results: Sequence[Result], what: str, *, limit: float | None) -> None:
    """One column: a mark and its interval for each file of each model."""
    for row, result in enumerate(results):
        for pair in result.pairs:
            middle, low, high = _numbers(pair, what)
            height = row + (APART if pair.precision == "int8" else -APART)
            colour = COLOURS[pair.precision]
            axes.plot([low, high], [height, height], color=colour, linewidth=2, alpha=0.55)
            axes.plot([middle], [height], "o", color=colour, markersize=4.5)
    shown = what == "accuracy"
    if shown:
        reach = max(abs(edge) for edge in (*axes.get_xlim(), limit or 0))
        axes.set_xlim(-1.05 * reach, 1.05 * reach)
        axes.axvline(0, color="#999999", linewidth=0.8)
    else:
        axes.set_xlim(0, max(108.0, axes.get_xlim()[1]))
        axes.axvline(100, color="#999999", linewidth=0.8)
    if limit is not None:
        left, right = axes.get_xlim()
        span = (limit, right) if shown else (left, limit)
        axes.axvspan(*span, color=GOOD, zorder=0)
        axes.axvline(limit, color="#8fbf8f", linewidth=0.8)
    axes.set_ylim(len(results) - 0.4, -0.6)
    names = [_name(result) for result in results] if what in ("size", "gzip") else []
    axes.set_yticks(range(len(results)), names or [""] * len(results))
    axes.tick_params(length=0, colors=INK)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _name(result: Result) -> str:
    return result.task if result.kind == "structured" else f"{result.task}, {result.kind}"


def _numbers(pair: Pair, what: str) -> tuple[float, float, float]:
    """The middle and both ends, in percent or points."""
    if what == "accuracy":
        spans = (pair.difference.value, pair.difference.low, pair.difference.high)
    elif what == "p50":
        spans = (pair.ratio.value, pair.ratio.low, pair.ratio.high)
    else:
        before, after = pair.size_bytes if what == "size" else pair.gzip_bytes
        spans = (after / before,) * 3
    middle, low, high = (100 * number for number in spans)
    return middle, low, high
