"""What is known of a target, and how it was measured, as pairs of a heading and a text."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from edgekit_benchmarks.percentile import CONFIDENCE
from edgekit_benchmarks.report_numbers import confidence_text, duration, is_number, size
from edgekit_benchmarks.result import BenchmarkResult, TargetRecord

Pairs = list[tuple[str, str]]
UNKNOWN = "unknown"
_TOLD_ELSEWHERE = ("tries", "processes", "operators")
_FEATURES = (
    "neon", "asimd", "asimdhp", "asimddp", "vfpv4", "i8mm", "bf16", "sve", "sve2", "sme", "sme2",
    "sse4_2", "fma", "f16c", "avx", "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16",
    "amx_int8", "amx_bf16",
)  # fmt: skip
"""What the kernels of the runtimes ask for."""


def environment(target: TargetRecord) -> Pairs:
    """What a latency depends on; "unknown" where the target does not tell."""
    facts = target.facts
    pairs = [
        ("address", target.url),
        ("machine", _text(facts.get("model"))),
        ("processor", _text(facts.get("cpu"))),
        ("features", _features(facts.get("features"))),
        ("cores", _cores(facts)),
        ("frequency", _frequency(facts)),
        ("governor", _text(facts.get("governor"))),
        ("turbo", _text(facts.get("turbo"))),
        ("hyper-threading", _text(facts.get("smt"))),
        ("temperature before", _celsius(facts.get("temperature_c"))),
        ("throttled", _throttled(facts.get("throttled"))),
        ("memory", _bytes(facts.get("memory_bytes"))),
        ("swap", _bytes(facts.get("swap"))),
        ("load before", _text(facts.get("load"))),
        ("system", _text(facts.get("system"))),
        ("kernel", _text(facts.get("kernel"))),
        ("architecture", f"{_text(facts.get('machine'))}, {_text(facts.get('bits'))} bit"),
        ("C library", _text(facts.get("libc"))),
        ("address randomization", _text(facts.get("aslr"))),
        ("virtual machine", _text(facts.get("virtual_machine"))),
        ("container", _text(facts.get("container"))),
        ("Python", _text(facts.get("python"))),
        ("packages", _text(facts.get("runtimes"))),
        ("smallest step of the clock", _duration(target.timer_ns)),
        ("timing nothing takes", _duration(target.empty_call_ns)),
        ("worker", target.worker_sha256[:12] or UNKNOWN),
    ]
    if target.emulated:
        by = f", by QEMU {facts['qemu']}" if facts.get("qemu") else ""
        pairs.insert(0, ("emulated", f"yes{by}: its times say nothing about a board"))
    return pairs


def how(result: BenchmarkResult) -> Pairs:
    """How the numbers came about."""
    rows = result.rows
    processes = sorted({row.processes for row in rows})
    counts = sorted(row.sample_count for row in rows)
    inputs = dict.fromkeys(
        f"{row.input.source}{' (made up)' if row.input.random else ''}" for row in rows
    )
    repeats = sorted({row.repeats for row in rows if row.repeats > 1})
    pairs = [
        ("command", command(result)),
        ("edgekit", result.edgekit),
        ("started", result.started),
        ("finished", result.finished),
        ("inputs", ", ".join(inputs)),
        ("runtimes", ", ".join(dict.fromkeys(row.runtime for row in rows))),
        ("memory read from", ", ".join(dict.fromkeys(row.memory_read_from for row in rows))),
    ]
    if rows:
        pairs.append(("processes for each row", _range(processes)))
    if any(counts):
        pairs.append(("samples for each row", _range(counts)))
    if repeats:
        pairs.append(("inferences for a sample", f"up to {repeats[-1]}, as the clock needs"))
    pairs += [
        (name.replace("_", " "), _text(value))
        for name, value in result.settings.items()
        if name not in _TOLD_ELSEWHERE and value not in (None, "", [], ())
    ]
    return [(heading, text) for heading, text in pairs if text]


def confidence(result: BenchmarkResult) -> str:
    """Of the intervals of p50: ``95 %`` if there were processes enough, else less."""
    least = min(_confidences(result), default=CONFIDENCE)
    return "95 %" if least >= CONFIDENCE else f"only {100 * least:.0f} %, of few processes,"


def interval_heading(result: BenchmarkResult) -> str:
    """What the column of the medians calls their intervals: ``[95 %]``, or what they have."""
    return confidence_text(_confidences(result))


def _confidences(result: BenchmarkResult) -> list[float]:
    found = [row.of_percentile(50) for row in result.rows]
    return [one.confidence for one in found if one is not None]


def command(result: BenchmarkResult) -> str:
    """What to type to measure this again."""
    if not result.command:
        return ""
    program, *others = result.command
    return shlex.join([PurePath(program).name, *others])


def _range(values: list[int]) -> str:
    ends = dict.fromkeys((values[0], values[-1]))
    return " to ".join(f"{end:,}" for end in ends)


def _text(value: Any) -> str:
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(key)} {_text(one)}" for key, one in value.items()) or UNKNOWN
    if isinstance(value, list | tuple):
        return " ".join(map(_text, value)) or UNKNOWN
    return str(value)


def _words(key: object) -> str:
    return str(key).removesuffix("_bytes").replace("_", " ")


def _cores(facts: Mapping[str, Any]) -> str:
    online, physical = _text(facts.get("cores_online")), _text(facts.get("cores_physical"))
    affinity = facts.get("affinity")
    used = f", {len(affinity)} of them usable" if isinstance(affinity, list | tuple) else ""
    return f"{online} online, {physical} physical{used}"


def _frequency(facts: Mapping[str, Any]) -> str:
    given = facts.get("frequency_khz")
    if not isinstance(given, Mapping) or not any(map(is_number, given.values())):
        return UNKNOWN
    told = [
        f"{name} {value / 1000:,.0f} MHz" if is_number(value) else f"{name} {UNKNOWN}"
        for name, value in given.items()
    ]
    return ", ".join(told)


def _features(given: Any) -> str:
    if not isinstance(given, list | tuple):
        return UNKNOWN
    return " ".join(str(one) for one in given if one in _FEATURES) or "none that matters"


def _celsius(value: Any) -> str:
    return f"{value:.0f} °C" if is_number(value) else UNKNOWN


def _duration(value: float | None) -> str:
    return UNKNOWN if value is None else duration(value)


def _bytes(given: Any) -> str:
    if not isinstance(given, Mapping):
        return UNKNOWN
    told = [
        f"{_words(name)} {size(value) if is_number(value) else UNKNOWN}"
        for name, value in given.items()
    ]
    return ", ".join(told) or UNKNOWN


def _throttled(given: Any) -> str:
    if not isinstance(given, Mapping):
        return UNKNOWN
    now, since = _text(given.get("now")), _text(given.get("since_boot"))
    told = (
        f"{'no' if one == UNKNOWN else one} {when}"
        for one, when in ((now, "now"), (since, "since boot"))
    )
    return ", ".join(told)
