"""What happened to a machine while it measured: heat, clocks, and others at work on it.

`edgekit_benchmarks.doubts` has the table. Each finding is a pair: whether it ends all trust, and a
sentence.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from edgekit_benchmarks.report_numbers import percent

Facts = Mapping[str, Any]
Watch = Sequence[Mapping[str, Any]]
Found = Iterator[tuple[bool, str]]

_BITS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
_NOW = 0xF
_SINCE_BOOT = 16
_DROP = 0.02
_HOT_C = 80
_WARMED_C = 10
_TICK_S = 0.01
"""Linux counts processor time for programs in hundredths of a second, on every architecture."""
_STOLEN = 0.01
_OTHERS = 0.25


def found(
    facts: Facts,
    watch: Watch,
    *,
    clock: Sequence[Mapping[str, Any]] = (),
    emulated: bool = False,
    sustained: bool = False,
) -> Found:
    """Everything there is to say; see `edgekit_benchmarks.doubts.of_target`."""
    if emulated:
        yield True, "this is an emulator: its times say nothing about a board"
    yield from _throttled(facts, watch, sustained=sustained)
    yield from _frequency(facts, watch, sustained=sustained)
    yield from _temperature(watch)
    yield from _clock(clock)
    yield from _others(watch)
    if "powersave" in str(facts.get("governor")):
        yield False, "the governor is powersave: set performance while measuring"


def processors(facts: Facts) -> int | None:
    """How many the worker may use; None if that is not known."""
    affinity = facts.get("affinity")
    if isinstance(affinity, list) and affinity:
        return len(affinity)
    cores = facts.get("cores_online")
    return cores if isinstance(cores, int) else None


def _throttled(facts: Facts, watch: Watch, *, sustained: bool) -> Found:
    before = facts.get("throttled")
    raw = before.get("raw") if isinstance(before, Mapping) else None
    looks = [bits for bits in (raw, *_numbers(watch, "throttled")) if isinstance(bits, int)]
    if not looks:
        return
    now = 0
    for bits in looks:
        now |= bits & _NOW
    at_first = looks[0] >> _SINCE_BOOT & _NOW
    at_last = looks[-1] >> _SINCE_BOOT & _NOW
    meanwhile = now | (at_last & ~at_first)
    if meanwhile:
        yield not sustained, f"while measured: {_words(meanwhile)}; cool it, or give it power"
    if earlier := at_first & ~meanwhile:
        yield False, f"since it was started, before this run: {_words(earlier)}"


def _words(bits: int) -> str:
    return ", ".join(text for bit, text in _BITS.items() if bits >> bit & 1)


def _frequency(facts: Facts, watch: Watch, *, sustained: bool) -> Found:
    looks = _numbers(_steady(watch), "frequency_khz")
    if not looks:
        return
    turbo = _has_turbo(facts)
    highest = max(looks)
    if highest <= 0:
        return
    drop = 1 - min(looks) / highest
    smooth = [statistics.median(looks[i : i + 3]) for i in range(max(1, len(looks) - 2))]
    lasting = 1 - min(smooth) / max(smooth)
    if drop > _DROP:
        text = f"the clock fell from {_mhz(highest)} to {_mhz(min(looks))} MHz while measured"
        yield (lasting > _DROP or not turbo) and not sustained, text
    limits = facts.get("frequency_khz")
    top = limits.get("max") if isinstance(limits, Mapping) else None
    if isinstance(top, int | float) and highest < (1 - _DROP) * top and not turbo:
        yield False, f"the clock stayed at {_mhz(highest)} MHz, below its {_mhz(top)} MHz"


def _has_turbo(facts: Facts) -> bool:
    """Whether the clock moves by design, with heat and the number of cores at work."""
    is_x86 = facts.get("machine") in {"x86_64", "AMD64", "i386", "i686"}
    return facts.get("turbo") == "on" or (is_x86 and facts.get("turbo") != "off")


def _mhz(khz: float) -> str:
    return f"{khz / 1000:,.0f}"


def _steady(watch: Watch) -> Watch:
    """The looks while samples were taken; a governor may slow what waits."""
    return [look for look in watch if look.get("phase", "steady") == "steady"]


def _temperature(watch: Watch) -> Found:
    looks = _numbers(watch, "temperature_c")
    if not looks:
        return
    if max(looks) >= _HOT_C:
        yield False, f"it was {max(looks):.0f} °C hot"
    warmed = max(looks) - looks[0]
    if warmed > _WARMED_C:
        yield False, f"it warmed by {warmed:.0f} °C while measured: not yet its steady state"


def _clock(clock: Sequence[Mapping[str, Any]]) -> Found:
    words: dict[str, Callable[[float], tuple[bool, str]]] = {
        "suspended": lambda by: (True, f"the machine was suspended for {by:.1f} s"),
        "stopped": lambda by: (True, f"the measurement was stopped for {by:.1f} s"),
        "clock set": lambda by: (False, f"its wall clock was set by {by:+.1f} s"),
    }
    for what, told in words.items():
        jumps = [event.get("by_ns", 0) / 1e9 for event in clock if event.get("what") == what]
        if jumps:
            yield told(max(jumps, key=abs))


def _others(watch: Watch) -> Found:
    """What other programs and other machines took, averaged over the run."""
    stolen = busy = seconds = 0.0
    for before, after in pairwise(watch):
        elapsed = (after.get("t_ns") or 0) - (before.get("t_ns") or 0)
        own = _step(before, after, "own_ticks")
        all_busy = _step(before, after, "busy_ticks")
        if elapsed <= 0 or own is None or own < 0 or all_busy is None:
            continue  # another process came in between
        seconds += elapsed / 1e9
        busy += max(0.0, all_busy - own) * _TICK_S
    if seconds and busy / seconds > _OTHERS:
        yield False, f"other programs kept {busy / seconds:.1f} processors busy meanwhile"
    if len(watch) > 1:
        span = ((watch[-1].get("t_ns") or 0) - (watch[0].get("t_ns") or 0)) / 1e9
        stolen = (_step(watch[0], watch[-1], "steal_ticks") or 0) * _TICK_S
        if span > 0 and stolen / span > _STOLEN:
            yield False, f"other virtual machines stole {percent(stolen / span)} of a processor"
        pages = sum(_step(watch[0], watch[-1], name) or 0 for name in ("swap_in", "swap_out"))
        if pages > 0:
            yield False, f"{pages:,.0f} pages were swapped meanwhile"


def _step(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> float | None:
    ends = before.get(name), after.get(name)
    if all(isinstance(end, int | float) for end in ends):
        return float(ends[1]) - float(ends[0])  # type: ignore[arg-type]
    return None


def _numbers(watch: Watch, name: str) -> list[Any]:
    return [
        look[name]
        for look in watch
        if isinstance(look.get(name), int | float) and not isinstance(look.get(name), bool)
    ]
