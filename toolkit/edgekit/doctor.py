"""What is installed, which runtimes really run a model here, what is missing or at odds.

    report = diagnose()
    report.healthy, [runtime.name for runtime in report.runtimes if runtime.works]

Nothing heavy is imported: versions are read from package metadata, and each runtime runs its
probe in a process of its own.
"""

from __future__ import annotations

import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import edgekit
from edgekit import probe
from edgekit.child import Child, Limits, physical_memory_bytes
from edgekit.errors import EdgekitError
from edgekit.requirement import Requirement, installed_version, release, requirements

RUNTIMES = {"ai-edge-litert": "litert", "onnxruntime": "onnx", "tflite-runtime": "tflite-runtime"}
"""Package name of each runtime and the extra that brings it."""

_RIVALS = (
    ("tensorflow", "tensorflow-cpu"),
    ("tensorflow", "tensorflow-intel"),
    ("onnxruntime", "onnxruntime-gpu"),
    ("onnxruntime", "onnxruntime-openvino"),
)
"""Packages that write the same files: the later install breaks the earlier."""

_TIME_LIMIT_S = 60.0
_SMALL_MEMORY_BYTES = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One optional package; `version` is None where it is missing."""

    name: str
    extra: str
    version: str | None
    needs: str
    install: str
    """The command that adds it; empty where there is nothing to do or nothing that helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeCheck:
    """One runtime, and whether it loaded and ran a model here."""

    name: str
    version: str | None
    works: bool
    reason: str
    """Why it does not work; empty when it does."""
    time_ms: int
    """Wall time of starting a process, importing the runtime, and running the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something at odds, and what to do about it. A warning leaves the installation usable."""

    level: Literal["error", "warning"]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything `diagnose` found."""

    edgekit: str
    python: str
    system: str
    machine: str
    libc: str
    cores: int
    memory_bytes: int
    memory_available_bytes: int
    runtimes: tuple[RuntimeCheck, ...]
    packages: tuple[Package, ...]
    problems: tuple[Problem, ...]

    @property
    def healthy(self) -> bool:
        """At least one runtime works, and nothing is broken."""
        return any(runtime.works for runtime in self.runtimes) and not any(
            problem.level == "error" for problem in self.problems
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as ``--json`` prints it."""
        return {"schema_version": 1, "healthy": self.healthy, **asdict(self)}


def diagnose(*, time_limit_s: float = _TIME_LIMIT_S) -> Report:
    """Look at this installation and try each runtime.

    Args:
        time_limit_s: wall-clock limit for each runtime's trial.
    """
    with ThreadPoolExecutor(len(RUNTIMES)) as pool:
        trials = pool.map(lambda name: try_runtime(name, time_limit_s=time_limit_s), RUNTIMES)
        wanted = tuple(one for one in requirements() if one.extra not in {"all", "dev"})
        packages = tuple(_package(one) for one in wanted if one.extra)
        problems = _version_problems(wanted) + _combination_problems()
        runtimes = tuple(trials)
    explained = {problem.message.partition(" ")[0] for problem in problems}
    broken = tuple(
        Problem(level="error", message=f"{r.name} {r.version}: does not run a model: {r.reason}")
        for r in runtimes
        if r.version is not None and not r.works and r.name not in explained
    )
    if all(runtime.version is None for runtime in runtimes):
        message = f"runtimes: none is installed; run: {install_command('litert,onnx')}"
        broken += (Problem(level="error", message=message),)
    libc_name, libc_version = platform.libc_ver()
    return Report(
        edgekit=edgekit.__version__,
        python=platform.python_version(),
        system=platform.system(),
        machine=platform.machine(),
        libc=f"{libc_name} {libc_version}".strip(),
        cores=usable_cores(),
        memory_bytes=physical_memory_bytes(),
        memory_available_bytes=_available_memory_bytes(),
        runtimes=runtimes,
        packages=packages,
        problems=broken + problems,
    )


def try_runtime(name: str, *, time_limit_s: float = _TIME_LIMIT_S) -> RuntimeCheck:
    """Let the runtime `name` add two vectors in a process of its own, and check the sums."""
    version = installed_version(name)
    if version is None:
        return RuntimeCheck(name=name, version=None, works=False, reason="missing", time_ms=0)
    start_ns = time.monotonic_ns()
    try:
        with Child("edgekit.probe", limits=Limits(time_s=time_limit_s)) as child:
            sums = child.call(name.replace("-", "_"))
        reason = "" if sums == probe.EXPECTED else f"it adds wrongly: {sums}"
    except EdgekitError as error:
        reason = str(error).partition("; ")[0]
    return RuntimeCheck(
        name=name,
        version=version,
        works=not reason,
        reason=reason,
        time_ms=(time.monotonic_ns() - start_ns) // 1_000_000,
    )


def install_command(extra: str) -> str:
    """The command, given in the edgekit checkout, that adds `extra`."""
    return f"pip install '.[{extra}]'"


def usable_cores() -> int:
    """Processor cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _available_memory_bytes() -> int:
    """Memory that could be had now; all of it where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return physical_memory_bytes()
    kibibytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return min(int(kibibytes) * 1024, physical_memory_bytes())


def _package(wanted: Requirement) -> Package:
    version = installed_version(wanted.name)
    too_new = bool(wanted.python_below) and release(platform.python_version()) >= release(
        wanted.python_below
    )
    fine = too_new or (version is not None and wanted.allows(version))
    return Package(
        name=wanted.name,
        extra=wanted.extra,
        version=version,
        needs=wanted.bounds,
        install="" if fine else install_command(wanted.extra),
    )


def _version_problems(wanted: tuple[Requirement, ...]) -> tuple[Problem, ...]:
    """Installed packages outside the bounds; the optional runtime's own numpy is judged below."""
    found = {}
    for one in wanted:
        version = installed_version(one.name)
        if one.extra == "tflite-runtime" or version is None or one.allows(version):
            continue
        what = f" (extra {one.extra!r})" if one.extra else ""
        remedy = install_command(one.extra) if one.extra else "pip install ."
        message = f"{one.name} {version}: edgekit{what} needs {one.bounds}; run: {remedy}"
        found[one.name] = Problem(level="error", message=message)
    return tuple(found.values())


def _combination_problems() -> tuple[Problem, ...]:
    found = []
    versions = {
        name: installed_version(name)
        for name in ("numpy", "tensorflow", "tf-keras", "tflite-runtime")
    }
    numpy, tensorflow = versions["numpy"], versions["tensorflow"]
    if versions["tflite-runtime"] and numpy and release(numpy) >= (2,):
        message = (
            f"tflite-runtime {versions['tflite-runtime']} with numpy {numpy}: it was built for "
            "numpy 1 and fails; give it an environment of its own with numpy<2, or uninstall it"
        )
        found.append(Problem(level="error", message=message))
    for first, second in _RIVALS:
        if installed_version(first) and installed_version(second):
            message = (
                f"{first} and {second}: both are installed, over each other's files; "
                f"run: pip uninstall {first} {second}, then {install_command('convert')}"
            )
            found.append(Problem(level="error", message=message))
    keras2 = versions["tf-keras"]
    if tensorflow and keras2 and release(tensorflow)[:2] != release(keras2)[:2]:
        message = (
            f"tf-keras {keras2} with tensorflow {tensorflow}: their versions must be equal; "
            f"run: {install_command('convert,keras2')}"
        )
        found.append(Problem(level="error", message=message))
    if tensorflow and physical_memory_bytes() < _SMALL_MEMORY_BYTES:
        message = (
            f"memory: {physical_memory_bytes() / 2**30:.1f} GiB; converting large models wants "
            "4 GiB or more; convert on a larger machine if it fails"
        )
        found.append(Problem(level="warning", message=message))
    return tuple(found)
