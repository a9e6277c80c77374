"""Which runtime fits a device, and its packages for that device, fetched here.

What is published, as of November 2026: ai-edge-litert for Python 3.10 to 3.14 and glibc 2.27 on
x86-64 and aarch64; tflite-runtime for Python up to 3.11, on ARM for glibc 2.34, and the only one
for 32 bits; onnxruntime for glibc 2.28.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import MissingDependencyError
from edgekit_benchmarks.target import TargetError

CHOICES = ("auto", "litert", "tflite-runtime", "onnx", "all")
"""``auto`` is LiteRT where it fits, else tflite-runtime, else ONNX Runtime; ``all`` adds ONNX."""

Version = tuple[int, int]
_OLDEST_MINOR = {"x86_64": 5, "i686": 5}
_ALIASES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What decides which packages a device can use."""

    machine: str
    """As packages call it: ``x86_64``, ``aarch64``, ``armv7l``; of the programs, not the kernel."""
    glibc: Version | None
    """None: another C library, or another system than Linux."""
    python: Version

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Platform:
        """From what a worker tells; a 32-bit system may run on a 64-bit kernel."""
        machine = str(facts["machine"])
        if facts["bits"] == 32:
            names = {"aarch64": "armv7l", "armv8l": "armv7l", "x86_64": "i686"}
            machine = names.get(machine, machine)
        glibc = re.match(r"glibc (\d+)\.(\d+)", str(facts["libc"]))
        python = re.match(r"(\d+)\.(\d+)", str(facts["python"]))
        assert python, facts
        return cls(
            machine=machine,
            glibc=(int(glibc[1]), int(glibc[2])) if glibc else None,
            python=(int(python[1]), int(python[2])),
        )

    @property
    def tags(self) -> list[str]:
        """Every platform tag of a package that runs there, the newest first.

        >>> Platform(machine="aarch64", glibc=(2, 18), python=(3, 11)).tags
        ['manylinux_2_18_aarch64', 'manylinux_2_17_aarch64', 'manylinux2014_aarch64']
        """
        if self.glibc is None:
            return []
        found = []
        for minor in range(self.glibc[1], _OLDEST_MINOR.get(self.machine, 17) - 1, -1):
            found.append(f"manylinux_{self.glibc[0]}_{minor}_{self.machine}")
            if minor in _ALIASES:
                found.append(f"{_ALIASES[minor]}_{self.machine}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A release of a runtime, and what it runs on."""

    name: str
    package: str
    version: str
    module: str
    pythons: tuple[Version, Version]
    """The oldest and the newest."""
    glibc: Mapping[str, Version]
    """The oldest one by machine; a machine that is not there has no package."""
    needs: tuple[str, ...]
    """All packages it takes along: pip asks this machine instead of the device when a dependency
    has a condition."""
    size_bytes: int
    """Room it takes with all it needs, about."""

    @property
    def requirements(self) -> tuple[str, ...]:
        """For pip."""
        return (f"{self.package}=={self.version}", *self.needs)

    def unfit(self, platform: Platform) -> str | None:
        """Why it does not run there, in words; None if it does."""
        oldest, newest = self.pythons
        what = f"{self.package} {self.version}"
        if platform.machine not in self.glibc:
            return f"{what} is not made for {platform.machine}"
        if not oldest <= platform.python <= newest:
            return f"{what} takes Python {_dots(oldest)} to {_dots(newest)}"
        if platform.glibc is None:
            return f"{what} takes Linux with glibc"
        if platform.glibc < self.glibc[platform.machine]:
            return f"{what} takes glibc {_dots(self.glibc[platform.machine])} or newer"
        return None


_BOTH = ("x86_64", "aarch64")
_ONNX_NEEDS = ("numpy", "flatbuffers", "packaging", "protobuf")
_OLD_ONNX_NEEDS = (*_ONNX_NEEDS, "coloredlogs", "humanfriendly", "sympy", "mpmath")
LITERT = Runtime(
    name="litert",
    package="ai-edge-litert",
    version="2.3.0",
    module="ai_edge_litert.interpreter",
    pythons=((3, 10), (3, 14)),
    glibc=dict.fromkeys(_BOTH, (2, 27)),
    needs=(
        *("numpy", "backports-strenum", "flatbuffers", "ml-dtypes", "protobuf", "tqdm"),
        "typing-extensions",
    ),
    size_bytes=150_000_000,
)
TFLITE_RUNTIME = Runtime(
    name="tflite-runtime",
    package="tflite-runtime",
    version="2.14.0",
    module="tflite_runtime.interpreter",
    pythons=((3, 9), (3, 11)),
    glibc={"x86_64": (2, 17), "aarch64": (2, 34), "armv7l": (2, 34)},
    needs=("numpy<2",),
    size_bytes=90_000_000,
)


def _onnx(version: str, pythons: tuple[Version, Version], needs: tuple[str, ...]) -> Runtime:
    return Runtime(
        name="onnx",
        package="onnxruntime",
        version=version,
        module="onnxruntime",
        pythons=pythons,
        glibc=dict.fromkeys(_BOTH, (2, 28)),
        needs=needs,
        size_bytes=150_000_000,
    )


ONNX = (
    _onnx("1.32.0", ((3, 11), (3, 14)), _ONNX_NEEDS),
    _onnx("1.23.2", ((3, 10), (3, 10)), _OLD_ONNX_NEEDS),
    _onnx("1.19.2", ((3, 9), (3, 9)), _OLD_ONNX_NEEDS),
)


def fitting(platform: Platform) -> dict[str, Runtime]:
    """The runtimes that run there, by name."""
    found: dict[str, Runtime] = {}
    for runtime in (LITERT, TFLITE_RUNTIME, *ONNX):
        if runtime.unfit(platform) is None:
            found.setdefault(runtime.name, runtime)
    return found


def unfit(platform: Platform) -> str:
    """Why none runs there, or not all: each with its reason."""
    runtimes = (LITERT, TFLITE_RUNTIME, _onnx_for(platform))
    return "; ".join(filter(None, (runtime.unfit(platform) for runtime in runtimes)))


def choose(choice: str, platform: Platform) -> tuple[Runtime, ...]:
    """What to install there.

    Args:
        choice: one of `CHOICES`.
        platform: of the device.

    Raises:
        TargetError: it does not run there.
    """
    fit = fitting(platform)
    tflite = fit.get("litert") or fit.get("tflite-runtime")
    onnx = fit.get("onnx")
    wanted = {
        "auto": (tflite or onnx,),
        "all": (tflite, onnx),
    }.get(choice, (fit.get(choice),))
    found = tuple(runtime for runtime in wanted if runtime is not None)
    if found:
        return found
    has = (
        f"{platform.machine}, Python {_dots(platform.python)}, "
        f"{f'glibc {_dots(platform.glibc)}' if platform.glibc else 'no glibc'}"
    )
    known = {"litert": LITERT, "tflite-runtime": TFLITE_RUNTIME, "onnx": _onnx_for(platform)}
    reason = known[choice].unfit(platform) if choice in known else unfit(platform)
    advice = f"use --runtime {' or '.join(fit)}" if fit else "use another Python or system there"
    message = f"no runtime for this device ({has}): {reason}; {advice}"
    raise TargetError(message)


def download(
    platform: Platform,
    requirements: Sequence[str],
    folder: Path,
    *,
    alone: bool = False,
    say: Callable[[str], None] = lambda _text: None,
) -> list[Path]:
    """Fetch packages that run on the device, with pip as it is configured here.

    Args:
        platform: of the device.
        requirements: for pip; with all that they need.
        folder: for the files.
        alone: nothing besides the requirements.
        say: told what pip does.

    Returns:
        The files, by name.

    Raises:
        MissingDependencyError: there is no pip here.
        TargetError: a package cannot be had for the device.
    """
    try:  # find_spec would have setuptools warn of a distutils that was imported before
        importlib.metadata.distribution("pip")
    except importlib.metadata.PackageNotFoundError:
        message = "pip: not installed here; run: python -m ensurepip"
        raise MissingDependencyError(message) from None
    version = f"{platform.python[0]}{platform.python[1]}"
    command = [
        *(sys.executable, "-m", "pip", "download", "--dest", str(folder)),
        *("--disable-pip-version-check", "--no-input", "--progress-bar", "off"),
        *("--only-binary", ":all:", "--implementation", "cp", "--python-version", version),
        *(word for abi in (f"cp{version}", "abi3", "none") for word in ("--abi", abi)),
        *(word for tag in platform.tags for word in ("--platform", tag)),
        *(["--no-deps"] if alone else []),
        *requirements,
    ]
    last = ""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                text = line.decode(errors="replace").strip()
                if text.startswith("ERROR:"):
                    last = text.removeprefix("ERROR:").strip()
                elif text:
                    say(text)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        message = (
            f"packages for the device cannot be fetched here (pip said: {last[:300]}); check pip's "
            "configuration and the network"
        )
        raise TargetError(message)
    return sorted(folder.glob("*.whl"))


def _onnx_for(platform: Platform) -> Runtime:
    """The newest one whose Python is not too new for the device, or the oldest."""
    return next((one for one in ONNX if platform.python >= one.pythons[0]), ONNX[-1])


def _dots(version: Version) -> str:
    return ".".join(map(str, version))
