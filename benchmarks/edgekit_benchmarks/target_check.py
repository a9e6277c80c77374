"""What is wrong with a device, in words, before one measures on it.

for check in check_target(find_target("pi5")).checks:
    print(check.status, check.name, check.said)
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from edgekit.errors import EdgekitError
from edgekit_benchmarks.link import Link
from edgekit_benchmarks.open_link import open_link
from edgekit_benchmarks.ssh import Connection
from edgekit_benchmarks.ssh_client import ssh_command
from edgekit_benchmarks.ssh_link import SshLink
from edgekit_benchmarks.target import Target
from edgekit_benchmarks.wheels import Platform, fitting, unfit

Status = Literal["ok", "warn", "fail"]

_RUNTIMES = ("ai-edge-litert", "tflite-runtime", "onnxruntime")
_MIB = 1 << 20
_LITTLE_SPACE_BYTES = 100 * _MIB
_NO_SPACE_BYTES = 10 * _MIB
_LITTLE_MEMORY_BYTES = 200 * _MIB
_NO_MEMORY_BYTES = 50 * _MIB
_WARM_C = 70
_HOT_C = 80
_BUSY = 0.3
_CLOCK_S = 60
_ASK_S = 30
_EMULATED = "it computes what the board would; how long it takes says nothing about the board"
_POWER = "use the supply made for the board, a short thick cable, and a fan or heat sink"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Status
    said: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """All that was looked at; what comes after a failure may be missing."""

    target: Target
    checks: tuple[Check, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether one can measure there."""
        return all(check.status != "fail" for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.target.name,
            "url": self.target.url,
            "usable": self.usable,
            "checks": [
                {
                    "name": check.name,
                    "status": check.status,
                    "said": check.said,
                    "advice": check.advice or None,
                }
                for check in self.checks
            ],
            "facts": dict(self.facts),
        }


def check_targets(targets: Sequence[Target]) -> list[TargetReport]:
    """Look at several devices at once; see `check_target`.

    Raises:
        UsageError: EDGEKIT_SSH cannot be read.
    """
    if any(target.is_remote for target in targets):
        ssh_command()
    with ThreadPoolExecutor(max_workers=max(1, len(targets))) as pool:
        return list(pool.map(check_target, targets))


def check_target(target: Target, *, root: str | None = None) -> TargetReport:
    """Look at a device; what is wrong there is part of the answer and not raised.

    Args:
        target: this machine or a device.
        root: what stands for ``/`` there when the board's facts are read, for tests.
    """
    checks: list[Check] = []
    facts: dict[str, Any] = {}
    step = "connection"
    try:
        with contextlib.ExitStack() as stack:
            connection = None
            if target.is_remote:
                begun = time.monotonic()
                connection = stack.enter_context(Connection(target))
                took_s = time.monotonic() - begun
                checks.append(Check(name=step, status="ok", said=f"logged in after {took_s:.1f} s"))
                checks += _clock(connection)
            step = "python"
            if connection is None:
                link = stack.enter_context(open_link(target, root=root))
            else:
                link = stack.enter_context(SshLink(target, connection=connection, root=root))
            facts = link.request("facts", timeout_s=_ASK_S)
            checks += _of_facts(facts, target)
            step = "benchmarks"
            checks.append(_lock(link))
    except EdgekitError as error:
        text = str(error).removeprefix(f"{target.name}: ")
        said, _, advice = text.partition("; ")
        checks.append(Check(name=step, status="fail", said=said, advice=advice))
    return TargetReport(target=target, checks=tuple(checks), facts=facts)


def _clock(connection: Connection) -> Iterator[Check]:
    text = connection.run("date +%s", timeout_s=_ASK_S).text
    if text.isdigit():
        off_s = int(text) - time.time()
        said = f"{abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} the one here"
        if abs(off_s) > _CLOCK_S:
            yield Check(
                name="clock",
                status="warn",
                said=said,
                advice="set it, as downloads fail else: sudo timedatectl set-ntp true",
            )
        else:
            yield Check(name="clock", status="ok", said="agrees with the one here")


def _lock(link: Link) -> Check:
    name = "benchmarks"
    try:
        link.request("lock", timeout_s=_ASK_S)
    except EdgekitError as error:
        said, _, advice = str(error).removeprefix(f"{link.name}: device: ").partition("; ")
        return Check(name=name, status="warn", said=said, advice=advice)
    link.request("unlock", timeout_s=_ASK_S)
    return Check(name=name, status="ok", said="no other one runs")


def _of_facts(facts: Mapping[str, Any], target: Target) -> Iterator[Check]:
    """Everything that the device tells of itself."""
    yield Check(name="board", status="ok", said=f"{facts['model']}, {facts['cpu']}")
    yield _python(facts)
    yield _system(facts)
    yield _runtimes(facts, target)
    yield _room("disk", facts["disk_free_bytes"], _LITTLE_SPACE_BYTES, _NO_SPACE_BYTES)
    available = facts["memory_bytes"]["available"]
    if isinstance(available, int):
        yield _room("memory", available, _LITTLE_MEMORY_BYTES, _NO_MEMORY_BYTES)
    if facts.get("emulated"):
        yield Check(name="emulated", status="ok", said=_EMULATED)
        return
    yield _power(facts["throttled"])
    if isinstance(facts["temperature_c"], (int, float)):
        yield _temperature(facts["temperature_c"])
    yield _governor(facts["governor"])
    if isinstance(facts["load"], list):
        yield _load(facts["load"][0], facts["cores_online"])


def _python(facts: Mapping[str, Any]) -> Check:
    return Check(name="python", status="ok", said=f"Python {facts['python']}")


def _system(facts: Mapping[str, Any]) -> Check:
    name = "system"
    said = f"{facts['system']}, {facts['machine']}, {facts['bits']} bits, {facts['libc']}"
    fit = fitting(Platform.of(facts))
    if not fit:
        reasons = unfit(Platform.of(facts))
        return Check(
            name=name,
            status="fail",
            said=f"{said}: no runtime is made for it ({reasons})",
            advice="install a current 64-bit system, or another Python",
        )
    said += f"; fit for: {', '.join(fit)}"
    if facts["bits"] == 32:
        advice = "a 64-bit system runs more runtimes, and quicker"
        return Check(name=name, status="warn", said=said, advice=advice)
    return Check(name=name, status="ok", said=said)


def _runtimes(facts: Mapping[str, Any], target: Target) -> Check:
    name, advice = "runtimes", f"run: edgekit targets setup {target.name}"
    fit = [runtime.package for runtime in fitting(Platform.of(facts)).values()]
    if target.python is not None and fit:
        advice = f"run there: {target.python} -m pip install numpy {fit[0]}"
    elif target.is_local:
        advice = "see: edgekit doctor"
    packages: Mapping[str, str] = facts["runtimes"] if isinstance(facts["runtimes"], dict) else {}
    there = [package for package in _RUNTIMES if package in packages]
    listed = ", ".join(f"{one} {packages[one]}" for one in (*there, "numpy") if one in packages)
    if not there:
        return Check(name=name, status="fail", said="none is installed", advice=advice)
    if "numpy" not in packages:
        return Check(name=name, status="fail", said=f"{listed}, but no numpy", advice=advice)
    if "tflite-runtime" in packages and not packages["numpy"].startswith("1."):
        return Check(
            name=name,
            status="warn" if len(there) > 1 else "fail",
            said=f"{listed}: tflite-runtime does not run with numpy 2",
            advice=f"{advice}, or pip install 'numpy<2' there",
        )
    return Check(name=name, status="ok", said=listed)


def _room(name: str, free_bytes: int, little_bytes: int, none_bytes: int) -> Check:
    status: Status = "ok"
    if free_bytes < little_bytes:
        status = "fail" if free_bytes < none_bytes else "warn"
    advice = {
        "disk": "free some space, or set TMPDIR there",
        "memory": "end what else runs there",
    }[name]
    said = f"{free_bytes / 1e6:,.0f} MB free"
    return Check(name=name, status=status, said=said, advice="" if status == "ok" else advice)


def _power(throttled: Any) -> Check:
    name = "power"
    if not isinstance(throttled, dict):
        return Check(name=name, status="ok", said="the board does not tell about it")
    now, before = throttled["now"], throttled["since_boot"]
    if now:
        said = f"{', '.join(now)} now"
        return Check(name=name, status="fail", said=said, advice=_POWER)
    if before:
        said = f"{', '.join(before)} since it started"
        return Check(name=name, status="warn", said=said, advice=f"{_POWER}; then restart it")
    return Check(name=name, status="ok", said="no under-voltage, nothing throttled")


def _temperature(degrees: float) -> Check:
    status: Status = "ok"
    if degrees >= _WARM_C:
        status = "fail" if degrees >= _HOT_C else "warn"
    advice = "" if status == "ok" else "let it cool, and use a fan or heat sink"
    return Check(name="temperature", status=status, said=f"{degrees:.0f} °C", advice=advice)


def _governor(governor: str) -> Check:
    name = "governor"
    if governor == "unknown":
        return Check(name=name, status="ok", said="the frequency is not ours to see")
    if governor == "performance":
        return Check(name=name, status="ok", said=governor)
    return Check(
        name=name,
        status="warn",
        said=f"{governor}: the frequency changes while one measures",
        advice="run there: echo performance | sudo tee "
        "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
    )


def _load(load_1m: float, cores: int) -> Check:
    said = f"{load_1m:.1f} on {cores} cores in the last minute"
    if load_1m > max(_BUSY, _BUSY * cores):
        advice = "end what else runs there, or wait"
        return Check(name="load", status="warn", said=said, advice=advice)
    return Check(name="load", status="ok", said=said)
