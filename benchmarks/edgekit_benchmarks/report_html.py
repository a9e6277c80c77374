"""A result as one HTML page that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit_benchmarks.plot import clean
from edgekit_benchmarks.plot_bars import plot_memory, plot_phases
from edgekit_benchmarks.plot_distribution import MOST as MOST_DISTRIBUTIONS
from edgekit_benchmarks.plot_distribution import plot_distribution
from edgekit_benchmarks.plot_names import plot_rows
from edgekit_benchmarks.plot_operators import MOST as MOST_OPERATORS
from edgekit_benchmarks.plot_operators import operator_check, plot_operators
from edgekit_benchmarks.plot_timeline import MOST as MOST_TIMELINES
from edgekit_benchmarks.plot_timeline import MOST_TIMES, plot_timeline
from edgekit_benchmarks.plot_tradeoff import plot_tradeoff
from edgekit_benchmarks.plot_watch import plot_watch
from edgekit_benchmarks.report_counts import counts_table
from edgekit_benchmarks.report_environment import Pairs, command, confidence, environment, how
from edgekit_benchmarks.report_remembered import remembered
from edgekit_benchmarks.report_rows import machine, reasons, replication
from edgekit_benchmarks.report_style import STYLE
from edgekit_benchmarks.report_table import doubts, table, unbroken
from edgekit_benchmarks.report_verdict import is_trusted, sentences
from edgekit_benchmarks.result import BenchmarkResult

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MOST_REASONS = 8
_OPEN_OPERATORS = 2


def to_html(result: BenchmarkResult) -> str:
    """The outcome in sentences, a table with doubts, charts, and how and where it was measured.

    The same result gives the same page. Whatever comes from files and devices is shown as text.
    """
    return _page(remembered(result))


def _page(result: BenchmarkResult) -> str:
    told = sentences(result)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{clean(told[0])}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            *_header(result, told),
            "<main>",
            *_results(result),
            *_charts(result),
            *_method(result),
            "</main>",
            f"<footer>Made by edgekit {clean(result.edgekit)}. All raw samples are in the JSON "
            "file that this page was made from.</footer>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _header(result: BenchmarkResult, told: tuple[str, ...]) -> Iterator[str]:
    when = result.started.replace("T", " ", 1)
    files = len({row.path for row in result.rows})
    counts = f"{files} file{'' if files == 1 else 's'}, {_targets(result)}"
    if result.settings.get("sustained"):
        counts += ", sustained: heated up first"
    yield "<header>"
    yield f'<p class="kicker">edgekit bench · {clean(counts)} · {clean(when)}</p>'
    first, *others = told
    yield f"<h1{_bad(first)}>{unbroken(first)}</h1>"
    yield from (
        f'<p class="lead{" bad" if _bad(text) else ""}">{unbroken(text)}</p>' for text in others
    )
    why = reasons(result)
    if not is_trusted(result):
        yield '<div class="box" role="note">'
        yield "<p><strong>INVALID</strong>: what is marked so must not be used</p><ul>"
        yield from (f"<li>{clean(text)}</li>" for text in why[:_MOST_REASONS])
        if len(why) > _MOST_REASONS:
            yield f"<li>{len(why) - _MOST_REASONS} more, beside the rows</li>"
        yield "</ul></div>"
    if result.failures:
        yield '<div class="box" role="note"><p><strong>Not measured</strong></p><ul>'
        for failure in result.failures:
            threads = "" if failure.threads is None else f", {failure.threads} threads"
            where = f"{failure.path}{threads} on {failure.target}"
            yield f"<li>{clean(where)}: {clean(failure.error)}</li>"
        yield "</ul></div>"
    yield "</header>"


def _bad(text: str) -> str:
    return ' class="bad"' if text.startswith("INVALID") else ""


def _targets(result: BenchmarkResult) -> str:
    if len(result.targets) == 1:
        return machine(*next(iter(result.targets.items())))
    return f"{len(result.targets)} targets"


def _results(result: BenchmarkResult) -> Iterator[str]:
    if not result.rows:
        return
    yield '<section aria-labelledby="results"><h2 id="results">Results</h2>'
    if any(row.samples_ns for row in result.rows):
        yield (
            '<p class="note">p50, p90 and p99 of one inference: giving the inputs, running, taking '
            "the outputs. In brackets: what holds the true value with "
            f"{confidence(result)} confidence. load: opening the file; first: the first inference; "
            "these and the memory of the whole process are medians of other fresh processes.</p>"
        )
    yield from table(result)
    yield from doubts(result)
    yield from counts_table(result)
    tries = replication(result)
    if tries:
        yield '<h3>Measured again and again</h3><ul class="note">'
        for passed, text in tries:
            yield f"<li{'' if passed else ' class=bad'}>{clean(text)}</li>"
        yield "</ul>"
    yield "</section>"


def _charts(result: BenchmarkResult) -> Iterator[str]:
    rows = plot_rows(result)
    beyond = "" if len(rows) <= MOST_DISTRIBUTIONS else f" The first {MOST_DISTRIBUTIONS} rows."
    yield from _figure(
        "Distribution",
        plot_distribution(result),
        "How often which latency was measured, from all processes. Full dot: p50, ring: p90; the "
        f"bars through them are their intervals. An arrow: there are slower samples yet.{beyond}",
    )
    for name in result.targets:
        several = f" on {name}" if len(result.targets) > 1 else ""
        count = sum(row.row.target == name for row in rows)
        beyond = "" if count <= MOST_TIMELINES else f" The first {MOST_TIMELINES} of {count} rows."
        yield from _figure(
            f"In the order measured{several}",
            plot_timeline(result, name),
            "Each column is a fresh process. Dark: the median of a moment; light: the middle 90 % "
            "of its samples; dots: its fastest and its slowest. Grey is the warm-up, which does "
            "not count. Each row has its own scale, from its fastest sample to its p98, but no "
            f"further than {MOST_TIMES:g} medians; what is slower ends at the top.{beyond}",
        )
    yield from _figure(
        "What it costs",
        plot_tradeoff(result),
        "To the left is faster. Bars are the intervals.",
    )
    yield from _operators(result)
    for name in result.targets:
        several = f" {name}" if len(result.targets) > 1 else ""
        yield from _figure(
            f"State of the machine{several}",
            plot_watch(result, name),
            "Looked at once a second. Shaded: latencies were taken. Red: throttled.",
        )
    yield from _figure(
        "Start",
        plot_phases(result),
        "Medians of fresh processes that did nothing else; behind the bar the whole way to the "
        "first result, and the p50 of an inference once it runs.",
    )
    read_from = ", ".join(dict.fromkeys(row.row.memory_read_from for row in rows))
    yield from _figure(
        "Memory",
        plot_memory(result),
        f"Medians of the same processes{f', read from {read_from}' if read_from else ''}; none of "
        "them was timed for latency.",
    )


def _operators(result: BenchmarkResult) -> Iterator[str]:
    drawn = [(row, chart) for row in plot_rows(result) if (chart := plot_operators(row))]
    if not drawn:
        return
    yield "<section><h2>Operators</h2>"
    yield (
        '<p class="note">Timed apart from the latencies above; '
        f"the {MOST_OPERATORS} slowest by name, thin lines are their intervals.</p>"
    )
    for i, (row, chart) in enumerate(drawn):
        yield f"<details{' open' if i < _OPEN_OPERATORS else ''}>"
        yield f"<summary>{clean(row.name)}</summary><figure>"
        if told := operator_check(result, row.row):
            yield f"<figcaption>{clean(told)}</figcaption>"
        yield f'<div class="wide">{chart}</div></figure></details>'
    yield "</section>"


def _figure(title: str, drawn: str, caption: str) -> Iterator[str]:
    if drawn:
        yield f"<section><h2>{clean(title)}</h2><figure>"
        yield f"<figcaption>{clean(caption)}</figcaption>"
        yield f'<div class="wide">{drawn}</div></figure></section>'


def _method(result: BenchmarkResult) -> Iterator[str]:
    yield "<section><h2>How it was measured</h2>"
    if result.command:
        yield f'<code class="command">{clean(command(result))}</code>'
    if any(row.samples_ns for row in result.rows):
        yield (
            "<p>Several fresh processes, one after another. In each, all files and numbers of "
            "threads are loaded and take turns in short chunks, back and forth, so that what "
            "disturbs the machine disturbs all of them. Each sample is one inference, timed by "
            "itself; where that is too short for the clock, the mean of a few. No sample is left "
            "out.</p>"
            "<p>A process is one observation: the interval of a percentile lies between the second "
            "smallest and the second largest of the processes (of nine), whatever the "
            "distribution. A ratio is taken within each process, where both ran in all. Faster and "
            "slower are said only where the whole interval of the ratio is more than 1 % away from "
            "1.</p>"
        )
    if any(row.instructions for row in result.rows):
        yield (
            "<p>On emulated boards the instructions of an inference are counted, with one thread: "
            "five calls in each of two fresh processes, of which the one with the fewest is told. "
            "How long a board takes does not follow from them.</p>"
        )
    yield "<details><summary>Settings</summary>"
    yield _facts(how(result), "Settings of the measurement")
    yield "</details>"
    for name, target in result.targets.items():
        yield f"<details><summary>Environment: {clean(machine(name, target))}</summary>"
        yield _facts(environment(target), f"Environment of {name}")
        yield "</details>"
    yield "</section>"


def _facts(pairs: Pairs, label: str) -> str:
    rows = "".join(
        f'<tr><th scope="row">{clean(heading)}</th><td>{clean(text)}</td></tr>'
        for heading, text in pairs
    )
    return f'<table class="facts" aria-label="{clean(label)}"><tbody>{rows}</tbody></table>'
