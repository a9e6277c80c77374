"""Measures on the device: one file that needs Python 3.9, NumPy and a runtime; it leaves nothing.

    python3 device_worker.py agent      answers requests, one JSON line each, until its input ends
    python3 device_worker.py measure    one measurement in a fresh process; the agent starts these

    $ echo '{"id": 1, "do": "facts"}' | python3 device_worker.py agent
    {"id": 1, "ok": {"model": "Raspberry Pi 4 Model B Rev 1.4", "cpu": "ARM Cortex-A72", ...}}

The file stands alone, as it is copied to devices that have nothing of edgekit. In order: errors,
the board and its facts, the watch kept while something runs, the runtimes, measuring, the agent.
"""

# Python 3.9 has neither pairwise nor a strict zip; os.path, which is there anyway, starts quicker.
# ruff: noqa: B905, RUF007, EM101, TRY301
# ruff: noqa: PTH100, PTH103, PTH107, PTH109, PTH110, PTH114, PTH116, PTH118, PTH119, PTH120
# ruff: noqa: PTH123, PTH208

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import math
import os
import platform
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

VERSION = 1
UNKNOWN = "unknown"
_SOME = 1 << 16
_MIB = 1 << 20


# ---- errors -------------------------------------------------------------------------------------


class Refused(Exception):  # noqa: N818 - it becomes the error class named by `kind`
    """A message for the user and the class of edgekit.errors it belongs to."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Gone(Exception):  # noqa: N818 - the end, not an error
    """The other side went away."""


def first_line(error: BaseException) -> str:
    """What a library says, without the rest of its book."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)[:200]


# ---- the board ----------------------------------------------------------------------------------

_PARTS = {
    "0xb76": "ARM1176", "0xc07": "Cortex-A7", "0xc08": "Cortex-A8", "0xc09": "Cortex-A9",
    "0xc0f": "Cortex-A15", "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57", "0xd08": "Cortex-A72", "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76", "0xd0c": "Neoverse-N1", "0xd40": "Neoverse-V1", "0xd41": "Cortex-A78",
    "0xd49": "Neoverse-N2", "0xd4f": "Neoverse-V2",
}  # fmt: skip
_THROTTLED = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
_PACKAGES = ("ai-edge-litert", "tflite-runtime", "onnxruntime", "tensorflow", "keras", "numpy")
_VCGENCMD_LIMIT_S = 2.0


class Board:
    """What the kernel and a Raspberry Pi's firmware tell; `root` stands for ``/`` in tests."""

    def __init__(self, root: str = "/") -> None:
        self.root = root
        found = [os.path.join(root, at) for at in ("usr/bin/vcgencmd", "opt/vc/bin/vcgencmd")]
        self._vcgencmd = next((path for path in found if os.access(path, os.X_OK)), None)

    def read(self, path: str) -> str | None:
        """The text of a small file below root, stripped; None if it cannot be read."""
        try:
            with open(os.path.join(self.root, path), "rb") as file:
                return file.read(_MIB).decode(errors="replace").strip("\0 \n\t")
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """The integer in a file."""
        return as_int(self.read(path))

    def entries(self, path: str, pattern: str) -> list[str]:
        """The entries of a folder that match, sorted, with the folder's path."""
        try:
            names = os.listdir(os.path.join(self.root, path))
        except OSError:
            return []
        return sorted(f"{path}/{name}" for name in names if re.fullmatch(pattern, name))

    def fields(self, path: str) -> dict[str, str]:
        """``name : value`` lines; of the first processor in /proc/cpuinfo, unless named once."""
        found: dict[str, str] = {}
        for line in (self.read(path) or "").splitlines():
            name, colon, value = line.partition(":")
            if colon:
                found.setdefault(name.strip(), value.strip())
        return found

    def vcgencmd(self, *words: str) -> str | None:
        """What the firmware answers after the ``=``; one that hangs is not asked again."""
        if self._vcgencmd is None:
            return None
        try:
            done = subprocess.run(
                [self._vcgencmd, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_VCGENCMD_LIMIT_S,
                close_fds=False,  # lets Python start it without copying the process
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            self._vcgencmd = None
            return None
        return done.stdout.decode(errors="replace").partition("=")[2].strip() or None

    def temperature_c(self) -> float | None:
        """Of the processor: the zone that says so, or else the first one."""
        zones = self.entries("sys/class/thermal", r"thermal_zone\d+")
        named = [z for z in zones if re.search("cpu|soc|pkg", self.read(f"{z}/type") or "")]
        for zone in (*named, *zones):
            value = self.number(f"{zone}/temp")
            if value is not None:
                return value / 1000
        said = re.match(r"-?[\d.]+", self.vcgencmd("measure_temp") or "")
        return float(said[0]) if said else None

    def throttled(self) -> int | None:
        """The firmware's bits: 0 to 3 now, 16 to 19 since the board started."""
        said = self.vcgencmd("get_throttled") or self.read(
            "sys/devices/platform/soc/soc:firmware/get_throttled"
        )
        with contextlib.suppress(TypeError, ValueError):
            return int(said, 16)  # type: ignore[arg-type]
        alarms = [
            self.number(f"{h}/in0_lcrit_alarm") for h in self.entries("sys/class/hwmon", r"\w+")
        ]
        known = [alarm for alarm in alarms if alarm is not None]
        return int(any(known)) if known else None

    def frequency_khz(self) -> int | None:
        """Of the fastest core now; the firmware's own measurement where there is one."""
        clock_hz = as_int(self.vcgencmd("measure_clock", "arm"))
        if clock_hz:
            return clock_hz // 1000
        return max(self.policies("scaling_cur_freq"), default=None)

    def policies(self, name: str) -> list[int]:
        """One frequency file of all the groups of cores."""
        groups = self.entries("sys/devices/system/cpu/cpufreq", r"policy\d+")
        return [value for g in groups if (value := self.number(f"{g}/{name}")) is not None]


def as_int(text: str | None) -> int | None:
    """The number `text` is; None if it is not one."""
    try:
        return int(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def facts(board: Board, folder: str) -> dict[str, Any]:
    """Everything about the device that a latency depends on; "unknown" where it does not tell."""
    info = board.fields("proc/cpuinfo")
    cores = _cores(board.read("sys/devices/system/cpu/online") or "")
    found: dict[str, Any] = {
        "model": board.read("proc/device-tree/model")
        or info.get("Model")
        or board.read("sys/devices/virtual/dmi/id/product_name"),
        "cpu": _cpu(info),
        "features": sorted((info.get("Features") or info.get("flags") or "").split()),
        "cores_online": len(cores) or os.cpu_count(),
        "cores_physical": _physical(board, cores),
        "affinity": _affinity(),
        "governor": _joined(board, "scaling_governor"),
        "frequency_khz": {
            "min": min(board.policies("scaling_min_freq"), default=UNKNOWN),
            "max": max(board.policies("scaling_max_freq"), default=UNKNOWN),
            "current": board.frequency_khz() or UNKNOWN,
        },
        "turbo": _turbo(board),
        "smt": {"1": "on", "0": "off"}.get(board.read("sys/devices/system/cpu/smt/active") or ""),
        "load": [float(one) for one in (board.read("proc/loadavg") or "").split()[:3]],
        "aslr": {"0": "off", "1": "partial", "2": "full"}.get(
            board.read("proc/sys/kernel/randomize_va_space") or ""
        ),
        "kernel": board.read("proc/sys/kernel/osrelease") or platform.release(),
        "boot_id": board.read("proc/sys/kernel/random/boot_id"),
        "machine": platform.machine(),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "libc": _libc(),
        "system": _system(board),
        "memory_bytes": _memory(board, total="MemTotal", available="MemAvailable"),
        "swap": _memory(board, total_bytes="SwapTotal", free_bytes="SwapFree"),
        "container": _container(board),
        "virtual_machine": "hypervisor" in (info.get("flags") or "").split(),
        "temperature_c": board.temperature_c(),
        "throttled": _throttled(board),
        "runtimes": runtimes(),
        "python": platform.python_version(),
        "disk_free_bytes": shutil.disk_usage(folder).free,
    }
    return {name: UNKNOWN if fact in (None, "", []) else fact for name, fact in found.items()}


def _cpu(info: dict[str, str]) -> str | None:
    part = info.get("CPU part", "").lower()
    if part:
        return f"ARM {_PARTS.get(part, 'part ' + part)}"
    return info.get("model name") or info.get("Processor") or platform.processor() or None


def _cores(listed: str) -> list[int]:
    """``0-2,4`` -> 0, 1, 2, 4."""
    found: list[int] = []
    for part in filter(None, listed.split(",")):
        low, _, high = part.partition("-")
        with contextlib.suppress(ValueError):
            found.extend(range(int(low), int(high or low) + 1))
    return found


def _physical(board: Board, cores: list[int]) -> int | None:
    siblings = {
        board.read(f"sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list") or str(core)
        for core in cores
    }
    return len(siblings) or None


def _affinity() -> list[int] | None:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _joined(board: Board, name: str) -> str:
    groups = board.entries("sys/devices/system/cpu/cpufreq", r"policy\d+")
    return ", ".join(sorted({text for group in groups if (text := board.read(f"{group}/{name}"))}))


def _turbo(board: Board) -> str | None:
    off = board.read("sys/devices/system/cpu/intel_pstate/no_turbo")
    on = board.read("sys/devices/system/cpu/cpufreq/boost")
    return {"0": "on", "1": "off"}.get(off or "") or {"1": "on", "0": "off"}.get(on or "")


def _libc() -> str:
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    return " ".join(platform.libc_ver()).strip()


def _system(board: Board) -> str | None:
    said = re.search(r'^PRETTY_NAME="?([^"\n]+)', board.read("etc/os-release") or "", re.MULTILINE)
    return said[1] if said else platform.system()


def _memory(board: Board, **wanted: str) -> dict[str, Any]:
    told = board.fields("proc/meminfo")
    sizes = {name: as_int(told.get(field, "").split(" ")[0]) for name, field in wanted.items()}
    return {name: UNKNOWN if kib is None else kib * 1024 for name, kib in sizes.items()}


def _container(board: Board) -> dict[str, Any]:
    """What control groups leave us: the strictest of our own group and those above it."""
    listed = (board.read("proc/self/cgroup") or "").splitlines()
    own = next((line.split(":", 2)[2] for line in listed if line.startswith("0::")), "/")
    folders = ["sys/fs/cgroup"]
    for name in filter(None, own.split("/")):
        folders.append(f"{folders[-1]}/{name}")
    memory = [board.read(f"{folder}/memory.max") for folder in folders]
    memory.append(board.read("sys/fs/cgroup/memory/memory.limit_in_bytes"))
    cpus = []
    for folder in folders:
        quota, _, period = (board.read(f"{folder}/cpu.max") or "").partition(" ")
        if quota.isdigit() and period.isdigit():
            cpus.append(int(quota) / int(period))
    sizes = [int(text) for text in memory if text and text.isdigit() and int(text) < 2**60]
    marks = ("run/.containerenv", ".dockerenv", "run/systemd/container")
    return {
        "inside": any(os.path.exists(os.path.join(board.root, mark)) for mark in marks),
        "memory_bytes": min(sizes, default="unlimited"),
        "cpus": min(cpus, default="unlimited"),
    }


def _throttled(board: Board) -> dict[str, Any] | None:
    bits = board.throttled()
    if bits is None:
        return None
    return {
        "now": [text for bit, text in _THROTTLED.items() if bits >> bit & 1],
        "since_boot": [text for bit, text in _THROTTLED.items() if bits >> (bit + 16) & 1],
        "raw": bits,
    }


def runtimes() -> dict[str, str]:
    """The packages installed for this Python; nothing is imported."""
    from importlib import metadata

    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


# ---- the watch ----------------------------------------------------------------------------------


class ClockWatch:
    """Notices that the machine slept, that its wall clock was set, or that we were stopped."""

    def __init__(self) -> None:
        self._last = self._now()

    @staticmethod
    def _now() -> tuple[int, int, int]:
        steady = time.monotonic_ns()
        boot = getattr(time, "CLOCK_BOOTTIME", None)
        asleep = 0 if boot is None else time.clock_gettime_ns(boot) - steady
        return steady, asleep, time.time_ns() - steady - asleep

    def jumps(self, expected_s: float = math.inf) -> list[dict[str, Any]]:
        """What happened since the last call, which should have been `expected_s` ago at most."""
        before, self._last = self._last, self._now()
        steady, asleep, wall = (b - a for a, b in zip(before, self._last))
        found = {
            "suspended": asleep if asleep > 10**8 else 0,
            "clock set": wall if abs(wall) > 10**9 else 0,
            "stopped": int(steady - expected_s * 1e9) if steady > (expected_s + 2) * 1e9 else 0,
        }
        at = time.perf_counter_ns()
        return [{"what": what, "by_ns": by, "t_ns": at} for what, by in found.items() if by]


def watched(board: Board, pid: int, phase: str) -> dict[str, Any]:
    """One look at the machine; numbers are None where it does not tell, counters only grow."""
    cpu = [int(one) for one in (board.read("proc/stat") or "").partition("\n")[0].split()[1:]]
    paged = dict(line.split(" ", 1) for line in (board.read("proc/vmstat") or "").splitlines())
    load = (board.read("proc/loadavg") or "").split(" ")[0]
    own = _proc(pid, "stat").rpartition(") ")[2].split()
    resident = _proc(pid, "statm").split()
    return {
        "t_ns": time.perf_counter_ns(),
        "phase": phase,
        "temperature_c": board.temperature_c(),
        "frequency_khz": board.frequency_khz(),
        "throttled": board.throttled(),
        "load_1m": float(load) if load else None,
        "steal_ticks": cpu[7] if len(cpu) > 7 else None,
        "busy_ticks": sum(cpu[:3] + cpu[5:7]) if len(cpu) > 7 else None,
        "own_ticks": int(own[11]) + int(own[12]) if len(own) > 12 else None,
        "swap_in": as_int(paged.get("pswpin")),
        "swap_out": as_int(paged.get("pswpout")),
        "resident_bytes": int(resident[1]) * os.sysconf("SC_PAGE_SIZE") if resident else None,
    }


def _proc(pid: int, name: str) -> str:
    try:
        with open(f"/proc/{pid}/{name}") as file:
            return file.read()
    except OSError:
        return ""


# ---- the runtimes -------------------------------------------------------------------------------


class Input(NamedTuple):
    """What one input takes: ``stored = round(real / scale) + zero_point`` where it has a scale."""

    name: str
    shape: tuple[int | None, ...]
    dtype: Any
    scale: float | None = None
    zero_point: int = 0


class TFLite:
    """A .tflite file, called as an expert calls it: tensors by index, methods looked up once."""

    def __init__(self, package: str) -> None:
        """Import the runtime."""
        import numpy as np

        self.package = package
        if package == "tflite-runtime" and int(np.__version__.partition(".")[0]) >= 2:
            message = (
                f"tflite-runtime: does not work with numpy {np.__version__}; "
                "run: pip install 'numpy<2'"
            )
            raise Refused("MissingDependencyError", message)
        module = package.replace("-", "_")
        self._module = __import__(f"{module}.interpreter", fromlist=["Interpreter"])

    def load(self, path: str, threads: int) -> None:
        """Read the file and prepare its operators."""
        self._interpreter = self._module.Interpreter(model_path=path, num_threads=threads)
        self._interpreter.allocate_tensors()

    def inputs(self) -> list[Input]:
        """In the graph's order, named as the signature names them."""
        listed: dict[str, Any] = self._interpreter._get_full_signature_list() or {}
        chosen: dict[str, Any] = listed.get("serving_default") or next(iter(listed.values()), {})
        names = {index: name for name, index in (chosen.get("inputs") or {}).items()}
        found = []
        for detail in self._interpreter.get_input_details():
            shape = detail.get("shape_signature", detail["shape"])
            if len(shape) != len(detail["shape"]):
                shape = detail["shape"]
            scale, zero_point = detail["quantization"]
            found.append(
                Input(
                    names.get(detail["index"], detail["name"]),
                    tuple(None if size < 0 else int(size) for size in shape),
                    detail["dtype"],
                    float(scale) or None,
                    int(zero_point),
                )
            )
        return found

    def prepare(self, rows: list[list[Any]]) -> list[Any]:
        """Bind the call to these inputs; what to call it with."""
        interpreter = self._interpreter
        given = interpreter.get_input_details()
        resized = False
        for detail, array in zip(given, rows[0]):
            if tuple(detail["shape"]) != array.shape:
                interpreter.resize_tensor_input(detail["index"], array.shape)
                resized = True
        if resized:
            interpreter.allocate_tensors()
        set_tensor, invoke = interpreter.set_tensor, interpreter.invoke
        get_tensor = interpreter.get_tensor
        indices = [detail["index"] for detail in given]
        outputs = [detail["index"] for detail in interpreter.get_output_details()]
        if len(indices) == len(outputs) == 1:
            source, sink = indices[0], outputs[0]

            def call_one(array: Any) -> Any:
                set_tensor(source, array)
                invoke()
                return get_tensor(sink)

            self.call: Callable[[Any], Any] = call_one
            return [row[0] for row in rows]

        def call(arrays: Any) -> Any:
            for index, array in arrays:
                set_tensor(index, array)
            invoke()
            return [get_tensor(index) for index in outputs]

        self.call = call
        return [list(zip(indices, row)) for row in rows]


class OnnxRuntime:
    """A .onnx file on ONNX Runtime's CPU provider."""

    package = "onnxruntime"
    profile_to: str | None = None

    def __init__(self) -> None:
        """Import the runtime."""
        import onnxruntime

        self._module = onnxruntime

    def load(self, path: str, threads: int) -> None:
        """Read the file and prepare its graph."""
        options = self._module.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if self.profile_to is not None:
            options.enable_profiling = True
            options.profile_file_prefix = self.profile_to
        self.session = self._module.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )

    def inputs(self) -> list[Input]:
        """As the graph lists them; scales are in the manifest of files that edgekit made."""
        import numpy as np

        kinds = {"float": "float32", "double": "float64", "string": "object"}
        told = self.session.get_modelmeta().custom_metadata_map.get("edgekit.manifest")
        listed = json.loads(told).get("inputs", []) if told else []
        quantized = {one["name"]: one.get("quantization") or {} for one in listed}
        found = []
        for node in self.session.get_inputs():
            kind = re.sub(r"tensor\((\w+)\)", r"\1", node.type)
            dtype = np.dtype(kinds.get(kind, kind))
            shape = tuple(size if isinstance(size, int) else None for size in node.shape)
            scales = quantized.get(node.name, {}) if dtype.kind in "iu" else {}
            scale, point = scales.get("scale") or [None], scales.get("zero_point") or [0]
            found.append(Input(node.name, shape, dtype.type, scale[0], int(point[0])))
        return found

    def prepare(self, rows: list[list[Any]]) -> list[Any]:
        """Bind the call to these inputs; what to call it with."""
        names = [node.name for node in self.session.get_outputs()]
        wanted = [node.name for node in self.session.get_inputs()]
        run = self.session.run

        def call(feed: Any) -> Any:
            return run(names, feed)

        self.call = call
        return [dict(zip(wanted, row)) for row in rows]


class Keras:
    """A .keras file, as the reference: a tf.function of the model, compiled at the first call."""

    package = "keras"
    _threads: int | None = None

    def __init__(self) -> None:
        """Import the framework."""
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras
        import tensorflow

        self._keras, self._tensorflow = keras, tensorflow

    def load(self, path: str, threads: int) -> None:
        """Rebuild the model; only data is read, no code of the file is run."""
        if Keras._threads not in {None, threads}:
            message = f"{os.path.basename(path)}: one process has one number of threads; split it"
            raise Refused("UsageError", message)
        if Keras._threads is None:
            self._tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
            self._tensorflow.config.threading.set_inter_op_parallelism_threads(1)
        Keras._threads = threads
        self._model = self._keras.models.load_model(path, compile=False)

    def inputs(self) -> list[Input]:
        """As the model lists them."""
        import numpy as np

        return [
            Input(
                one.name.partition(":")[0], tuple(one.shape), np.dtype(_keras_dtype(one.dtype)).type
            )
            for one in self._model.inputs
        ]

    def prepare(self, rows: list[list[Any]]) -> list[Any]:
        """Bind the call to these inputs; what to call it with."""
        tensorflow, model = self._tensorflow, self._model
        structure = getattr(model, "_inputs_struct", None)  # a dictionary where inputs are named

        def infer(*tensors: Any) -> Any:
            if structure is None or len(tensors) == 1:
                given = tensors[0] if len(tensors) == 1 else list(tensors)
            else:
                given = tensorflow.nest.pack_sequence_as(structure, tensors)
            return tensorflow.nest.flatten(model(given, training=False))

        function = tensorflow.function(infer, autograph=False)

        def call(arrays: Any) -> Any:
            return [tensor.numpy() for tensor in function(*arrays)]

        self.call = call
        constant = tensorflow.constant
        return [[constant(array) for array in row] for row in rows]


def _keras_dtype(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype))


_RUNTIMES = {
    "ai-edge-litert": lambda: TFLite("ai-edge-litert"),
    "litert": lambda: TFLite("ai-edge-litert"),
    "tflite-runtime": lambda: TFLite("tflite-runtime"),
    "onnxruntime": OnnxRuntime,
    "keras": Keras,
}
_OF = {
    "tflite": ("ai-edge-litert", "tflite-runtime"),
    "onnx": ("onnxruntime",),
    "keras": ("keras",),
}


def import_runtime(row: dict[str, Any]) -> Any:
    """The runtime for a file; the first installed one unless the row names one."""
    asked = str(row.get("runtime") or "auto").replace("_", "-")
    names = _OF[_kind(row["path"])] if asked == "auto" else (asked,)
    if names[0] not in _RUNTIMES:
        message = f"runtime {asked!r}: is none; choose from: auto, {', '.join(_RUNTIMES)}"
        raise Refused("UsageError", message)
    for name in names:
        try:
            return _RUNTIMES[name]()
        except ImportError as error:
            missing = error
    message = (
        f"{names[0]}: does not import in {sys.executable} ({first_line(missing)}); "
        f"run: {sys.executable} -m pip install {names[0]}, or set up the target"
    )
    raise Refused("MissingDependencyError", message) from missing


def _kind(path: str) -> str:
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}); check the path"
        raise Refused("SourceError", message) from error
    if head[4:8] == b"TFL3":
        return "tflite"
    return "keras" if head.startswith((b"PK\x03\x04", b"\x89HDF")) else "onnx"


def with_version(package: str) -> str:
    """``ai-edge-litert 2.3.0``."""
    return f"{package} {runtimes().get(package, UNKNOWN)}"


# ---- inputs -------------------------------------------------------------------------------------


def read_arrays(path: str | None) -> dict[str, Any]:
    """The arrays of an .npz file; none without a path."""
    if path is None:
        return {}
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError) as error:
        message = f"{path}: not a readable .npz ({first_line(error)}); make it again"
        raise Refused("DataError", message) from error


def rows_of(
    arrays: dict[str, Any], inputs: list[Input], zeros: Sequence[str], most: int | None = None
) -> list[list[Any]]:
    """What each inference takes: for every input an array of its stored dtype and shape.

    Args:
        arrays: shape (n, *input shape), or (n, …) where the input's first size is a batch;
            random numbers from a fixed seed, and zeros for integers, if there are none.
        inputs: of the model.
        zeros: names of inputs to fill with zeros: states, whose first value that is.
        most: rows at most.
    """
    columns = [_made(one, one.name in zeros) for one in inputs]
    wanted = [i for i, one in enumerate(inputs) if one.name not in zeros]
    if arrays:
        if len(wanted) == len(arrays) == 1:
            arrays = {inputs[wanted[0]].name: next(iter(arrays.values()))}
        missing = [inputs[i].name for i in wanted if inputs[i].name not in arrays]
        if missing:
            message = f"inputs: no array {missing[0]!r} among {sorted(arrays)}; name them so"
            raise Refused("DataError", message)
        for i in wanted:
            columns[i] = _cut(arrays[inputs[i].name], inputs[i], most)
    count = max((len(column) for column in columns), default=1)
    return [[column[i % len(column)] for column in columns] for i in range(count)]


def _made(wanted: Input, is_zero: bool) -> list[Any]:
    import numpy as np

    shape = tuple(1 if size is None else size for size in wanted.shape)
    dtype = np.dtype(wanted.dtype)
    generator = np.random.default_rng(0)
    if is_zero or dtype.kind not in "fiu" or (dtype.kind in "iu" and wanted.scale is None):
        if dtype.kind in "SUO":
            return [np.full(shape, b"")]
        return [np.full(shape, wanted.zero_point, dtype)]
    if dtype.kind == "f":
        return [generator.random(shape, np.float32).astype(dtype)]
    info = np.iinfo(dtype)
    return [generator.integers(info.min, info.max, shape, dtype, endpoint=True)]


def _cut(array: Any, wanted: Input, most: int | None) -> list[Any]:
    import numpy as np

    rank = len(wanted.shape)
    batch = (wanted.shape[0] or 1) if rank else 1
    if array.ndim == rank + 1:
        pieces = list(array[:most])
    elif array.ndim == rank and rank and len(array) >= batch:
        starts = range(0, len(array) - batch + 1, batch)
        pieces = [array[start : start + batch] for start in starts[:most]]
    else:
        pieces = []
    fits = pieces and all(
        size is None or size == got for size, got in zip(wanted.shape, pieces[0].shape)
    )
    if not fits:
        message = (
            f"input {wanted.name!r}: {array.shape} are no rows for shape {wanted.shape}; "
            "give (n, *shape)"
        )
        raise Refused("DataError", message)
    return [np.ascontiguousarray(_stored(piece, wanted)).reshape(piece.shape) for piece in pieces]


def _stored(piece: Any, wanted: Input) -> Any:
    import numpy as np

    dtype = np.dtype(wanted.dtype)
    if piece.dtype == dtype or dtype.kind in "SUO":
        return piece
    if wanted.scale is not None and piece.dtype.kind == "f":
        scaled = np.rint(piece.astype(np.float32) / np.float32(wanted.scale)) + wanted.zero_point
        return np.clip(scaled, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)
    converted = piece.astype(dtype)
    if dtype.kind != "f" and not np.array_equal(converted, piece):
        message = f"input {wanted.name!r}: takes {dtype}, the numbers do not fit; convert them"
        raise Refused("DataError", message)
    return converted


# ---- measuring, in a process of its own ---------------------------------------------------------

_SETTLE = 5
_SETTLE_NS = 5_000_000
_TICKS_A_SAMPLE = 1000


class Loaded:
    """One row of the request: a file, loaded, with its inputs bound."""

    def __init__(self, row: dict[str, Any], tell: Any) -> None:
        self.name = os.path.basename(row["path"])
        self.row = row
        self._tell = tell
        self.told("import")
        self.runtime = import_runtime(row)

    def told(self, phase: str) -> None:
        """Say what is done now, and to what."""
        self._tell({"phase": phase, "row": self.row.get("key"), "name": self.name})

    @contextlib.contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Whatever a runtime raises, as a message about this file."""
        try:
            yield
        except (Refused, MemoryError):
            raise
        except Exception as error:
            package = with_version(self.runtime.package)
            message = (
                f"{self.name}: does not {doing} with {package} ({first_line(error)}); "
                "try another runtime, or make the file in another precision"
            )
            raise Refused("VerificationError", message) from error

    def check(self) -> None:
        """Read the file once: whether it is the one that is meant, and so that no disk is timed."""
        digest = sha256_of(self.row["path"])
        if self.row.get("sha256") not in {None, digest}:
            message = f"{self.row['path']}: changed since it was listed; start again"
            raise Refused("SourceError", message)

    def load(self) -> None:
        """Let the runtime open the file."""
        with self.errors("load"):
            self.runtime.load(self.row["path"], int(self.row.get("threads", 1)))

    def bind(self, arrays: dict[str, Any], most: int | None = None) -> None:
        """Prepare the inputs once, so that no preparation is timed."""
        with self.errors("take these inputs"):
            rows = rows_of(arrays, self.runtime.inputs(), self.row.get("zeros", ()), most)
            self.feeds = self.runtime.prepare(rows)
        self.call = self.runtime.call


def sha256_of(path: str) -> str:
    """Of a file's content, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_MIB):
            digest.update(block)
    return digest.hexdigest()


def timer_ns() -> int:
    """The smallest step the clock was seen to make."""
    clock = time.perf_counter_ns
    seen = [clock() for _ in range(2000)]
    return min(b - a for a, b in zip(seen, seen[1:]) if b > a)


def timed(
    call: Any, feeds: list[Any], start: int, repeats: int, duration_ns: int
) -> tuple[list[int], int]:
    """Call for so long, at least once, each sample timed by itself.

    Returns:
        Nanoseconds of one inference, in order, and where to go on in `feeds`.
    """
    clock = time.perf_counter_ns
    samples: list[int] = []
    append = samples.append
    count = len(feeds)
    end = clock() + duration_ns
    stop = 0
    while stop < end:
        if repeats == 1:
            feed = feeds[start % count]
            begin = clock()
            call(feed)
            stop = clock()
            append(stop - begin)
        else:
            several = [feeds[(start + i) % count] for i in range(repeats)]
            begin = clock()
            for feed in several:
                call(feed)
            stop = clock()
            append(round((stop - begin) / repeats))
        start += repeats
    return samples, start


def steady(spec: dict[str, Any], tell: Any) -> dict[str, Any]:
    """All rows in this one process, taking turns A B B A, chunk by chunk."""
    clocks = ClockWatch()
    timer = timer_ns()
    arrays = read_arrays(spec.get("inputs"))
    loaded = [Loaded(row, tell) for row in spec["rows"]]
    for one in loaded:
        one.check()
        one.told("load")
        one.load()
        one.bind(arrays)
    del arrays
    gc.collect()
    gc.disable()
    turns = [Turn(one, spec, timer) for one in loaded]
    for turn in turns:
        turn.warm_up()
    tell({"phase": "steady"})
    empty, _ = timed(lambda _: None, [None], 0, 1, 2_000_000)
    told_ns = time.perf_counter_ns()
    round_number = 0
    while round_number < 2 or any(not turn.is_done for turn in turns):
        for turn in turns if round_number % 2 == 0 else reversed(turns):
            if round_number < 2 or not turn.is_done:
                turn.take(settle=len(turns) > 1)
            if time.perf_counter_ns() - told_ns > 10**9:
                told_ns = time.perf_counter_ns()
                tell({"event": {"kind": "progress", "done": min(t.progress for t in turns)}})
        round_number += 1
    return {
        "rows": {turn.loaded.row["key"]: turn.answer() for turn in turns},
        "timer_ns": timer,
        "empty_call_ns": sorted(empty)[len(empty) // 2],
        "clock_events": clocks.jumps(),
    }


class Turn:
    """One row's share of a steady run."""

    def __init__(self, loaded: Loaded, spec: dict[str, Any], timer: int) -> None:
        self.loaded = loaded
        self._timer_ns = timer
        self._warm_up_ns = int(spec.get("warm_up_s", 0.5) * 1e9)
        self._chunk_ns = int(spec.get("chunk_s", 0.05) * 1e9)
        self._budget_ns = int(spec.get("budget_s", 1) * 1e9)
        self._at = self._spent_ns = self._cpu_ns = self._preempted = self._faults = 0
        self._repeats = 1
        self._warm_up: list[int] = []
        self._samples: list[int] = []
        self._stamps: list[int] = []
        self._chunks: list[int] = []

    @property
    def progress(self) -> float:
        """0 to 1."""
        return min(1.0, self._spent_ns / self._budget_ns) if self._budget_ns else 1.0

    @property
    def is_done(self) -> bool:
        """Whether the budget is spent."""
        return self._spent_ns >= self._budget_ns

    def warm_up(self) -> None:
        """For a fixed time, and kept; then so many inferences a sample as the timer needs."""
        self.loaded.told("warm-up")
        with self.loaded.errors("run"):
            self._warm_up, self._at = timed(
                self.loaded.call, self.loaded.feeds, 0, 1, self._warm_up_ns
            )
        late = sorted(self._warm_up[len(self._warm_up) // 2 :])
        self._typical_ns = max(1, late[len(late) // 2])
        self._repeats = max(1, math.ceil(_TICKS_A_SAMPLE * self._timer_ns / self._typical_ns))

    def take(self, *, settle: bool) -> None:
        """One chunk; before it a few that do not count, as the caches hold another's weights."""
        loaded = self.loaded
        begun = time.perf_counter_ns()
        with loaded.errors("run"):
            if settle and self._typical_ns < self._chunk_ns // 2:
                for _ in range(_SETTLE):
                    loaded.call(loaded.feeds[self._at % len(loaded.feeds)])
                    if time.perf_counter_ns() - begun > _SETTLE_NS:
                        break
            cpu, before = time.process_time_ns(), _disturbed()
            self._stamps.append(time.perf_counter_ns())
            samples, self._at = timed(
                loaded.call, loaded.feeds, self._at, self._repeats, self._chunk_ns
            )
            self._cpu_ns += time.process_time_ns() - cpu
        after = _disturbed()
        self._preempted += after[0] - before[0]
        self._faults += after[1] - before[1]
        self._samples.extend(samples)
        self._chunks.append(len(samples))
        self._spent_ns += time.perf_counter_ns() - begun

    def answer(self) -> dict[str, Any]:
        """The raw numbers, in order."""
        return {
            "runtime": with_version(self.loaded.runtime.package),
            "samples_ns": self._samples,
            "stamps_ns": self._stamps,
            "chunks": self._chunks,
            "repeats": self._repeats,
            "warm_up_ns": self._warm_up,
            "cpu_ns": self._cpu_ns,
            "preempted": self._preempted,
            "major_faults": self._faults,
            "input_rows": len(self.loaded.feeds),
        }


def _disturbed() -> tuple[int, int]:
    """How often this process was preempted, and waited for the disk."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_nivcsw, used.ru_majflt


def start(spec: dict[str, Any], tell: Any) -> dict[str, Any]:
    """The phases until the first result, and the memory it takes, of one file."""
    clock = time.perf_counter_ns
    begun = clock()
    one = Loaded(spec["row"], tell)
    imported = clock()
    arrays = {name: a[:1].copy() for name, a in read_arrays(spec.get("inputs")).items() if a.ndim}
    one.check()
    gc.collect()
    memory = Memory()
    one.told("load")
    begin = clock()
    one.load()
    load_ns = clock() - begin
    after_load = memory.resident()
    one.bind(arrays)
    one.told("first inference")
    with one.errors("run"):
        begin = clock()
        one.call(one.feeds[0])
        first_ns = clock() - begin
        one.told("inferences")
        for _ in range(int(spec.get("inferences", 20))):
            one.call(one.feeds[0])
    return {
        "runtime": with_version(one.runtime.package),
        "import_ns": imported - begun,
        "load_ns": load_ns,
        "first_inference_ns": first_ns,
        "memory": memory.answer(after_load),
    }


class Memory:
    """Resident memory of this process: its peak is counted anew from here."""

    def __init__(self) -> None:
        self.earlier_bytes = self._peak()
        self._is_reset = self._reset()
        self.after_import_bytes = self.resident()

    @staticmethod
    def _status(field: str) -> int | None:
        said = re.search(rf"^{field}:\s+(\d+) kB", _proc(os.getpid(), "status"), re.MULTILINE)
        return int(said[1]) * 1024 if said else None

    @staticmethod
    def _reset() -> bool:
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        except OSError:
            return False
        return True

    def _peak(self) -> int:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        at_most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return self._status("VmHWM") or at_most

    def resident(self) -> int:
        """Now, in bytes; the peak where the system does not tell."""
        return self._status("VmRSS") or self._peak()

    def answer(self, after_load: int) -> dict[str, Any]:
        """What the model added at its peak to what the imports took."""
        peak = self._peak()
        return {
            "read_from": "ru_maxrss" if self._status("VmHWM") is None else "VmHWM",
            "reset": self._is_reset,
            "after_import_bytes": self.after_import_bytes,
            "after_load_bytes": after_load,
            "peak_bytes": max(peak, self.earlier_bytes),
            "model_bytes": max(0, peak - self.after_import_bytes),
        }


def profile(spec: dict[str, Any], tell: Any) -> dict[str, Any]:
    """Nanoseconds of each operator in each of some inferences, as ONNX Runtime times them."""
    one = Loaded(spec["row"], tell)
    if not isinstance(one.runtime, OnnxRuntime):
        message = f"{one.name}: {one.runtime.package} has no profile; time its operators apart"
        raise Refused("UsageError", message)
    one.runtime.profile_to = os.path.join(os.getcwd(), "profile")
    one.told("load")
    one.load()
    one.bind(read_arrays(spec.get("inputs")))
    one.told("profile")
    inferences, warm_up = int(spec.get("inferences", 50)), int(spec.get("warm_up", 10))
    with one.errors("run"):
        for i in range(warm_up + inferences):
            one.call(one.feeds[i % len(one.feeds)])
        written = one.runtime.session.end_profiling()
    with open(written) as file:
        events = json.load(file)
    os.remove(written)
    operators: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"][: -len("_kernel_time")]
            kind = event.get("args", {}).get("op_name", UNKNOWN)
            row = operators.setdefault(name, {"name": name, "operator": kind, "samples_ns": []})
            row["samples_ns"].append(event["dur"] * 1000)
    for row in operators.values():
        row["samples_ns"] = row["samples_ns"][-inferences:]
    whole = [event["dur"] * 1000 for event in events if event["name"] == "model_run"]
    return {
        "runtime": with_version(one.runtime.package),
        "operators": list(operators.values()),
        "whole_ns": whole[-inferences:],
    }


_MODES = {"steady": steady, "start": start, "profile": profile}


def measure() -> None:
    """Read one request, measure, write the answer; what libraries print goes to stderr."""
    answers = os.dup(1)
    os.dup2(2, 1)
    request = json.loads(sys.stdin.buffer.readline())
    _die_with(request["parent"])

    def tell(message: dict[str, Any]) -> None:
        if os.getppid() != request["parent"]:
            sys.exit(0)  # nobody waits for the answer
        write_all(answers, json.dumps(message).encode() + b"\n")

    spec = request["spec"]
    try:
        _limit(request.get("memory_bytes"))
        if spec.get("affinity"):
            os.sched_setaffinity(0, spec["affinity"])
        if spec.get("mode") not in _MODES:
            message = f"mode {spec.get('mode')!r}: is none; choose from: {', '.join(_MODES)}"
            raise Refused("UsageError", message)
        answer = {"answer": _MODES[spec["mode"]](spec, tell)}
    except Refused as error:
        answer = {"error": {"kind": error.kind, "message": str(error)}}
    except MemoryError:
        answer = {"error": {"kind": "CrashError", "message": "out of memory"}}
    except OSError as error:
        text = f"{error.filename or spec.get('mode')}: {error.strerror}; look at the device"
        answer = {"error": {"kind": "CrashError", "message": text}}
    tell(answer)


def _die_with(parent: int) -> None:
    """Be killed when the agent is, even where it cannot say goodbye (Linux)."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)


def _limit(memory_bytes: int | None) -> None:
    """Let allocations beyond fail; RLIMIT_AS also counts what is only reserved, so not that."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes:
        kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
        resource.setrlimit(kind, (memory_bytes, memory_bytes))


def write_all(descriptor: int, data: bytes) -> None:
    """Write it all, however small the pieces the pipe takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


# ---- the agent ----------------------------------------------------------------------------------

_PREFIX = f"edgekit-bench-{os.getuid()}-"
_LOCK = "edgekit-bench.lock"
_ABANDONED_S = 60
_TICK_S = 1.0


class Agent:
    """Answers requests until its input ends, and then is gone with all it made."""

    def __init__(self) -> None:
        self._answers = os.dup(1)
        os.dup2(2, 1)
        self._pending = bytearray()
        self._ended = False
        self._heard = time.monotonic()
        self._silence_s = math.inf
        self._request: Any = None
        self._root = os.environ.get("EDGEKIT_BOARD_ROOT") or "/"
        self._child: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._files: dict[str, str] = {}
        remove_abandoned()
        self.folder = tempfile.mkdtemp(prefix=_PREFIX)
        self._owner = _locked_file(os.path.join(self.folder, "owner"))

    def serve(self) -> None:
        """Answer one request after the other."""
        while (line := self._line()) is not None:
            self._request = None
            try:
                request = json.loads(line)
                self._request = request.pop("id", None)
                name = request.pop("do")
                if name == "bye":
                    self._say({"ok": {}})
                    return
                answer = {"ok": getattr(self, f"do_{name}")(**request)}
            except Refused as error:
                answer = {"error": {"kind": error.kind, "message": str(error)}}
            except OSError as error:
                if isinstance(error, BrokenPipeError):
                    raise
                answer = {"error": {"kind": "OutputError", "message": self._told(error)}}
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                message = f"worker: does not understand ({error!r}); use the same edgekit"
                answer = {"error": {"kind": "UsageError", "message": message}}
            self._say(answer)

    def close(self) -> None:
        """Stop what runs and remove what was written."""
        self._kill()
        self.do_unlock()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._owner)

    def _told(self, error: OSError) -> str:
        free = shutil.disk_usage(tempfile.gettempdir()).free
        where = error.filename or self.folder
        return (
            f"{where}: {error.strerror} ({free} bytes free); free some space, or set TMPDIR "
            "elsewhere on the device"
        )

    # -- talking

    def _say(self, message: dict[str, Any]) -> None:
        write_all(self._answers, json.dumps({"id": self._request, **message}).encode() + b"\n")

    def _event(self, kind: str, **more: Any) -> None:
        self._say({"event": {"kind": kind, **more}})

    def _wait(self, timeout_s: float, *others: int) -> list[int]:
        """Until one of `others` has something; the other side's words are kept for later."""
        sources = [*others] if self._ended else [0, *others]
        ready, _, _ = select.select(sources, [], [], timeout_s)
        if 0 in ready:
            got = os.read(0, _SOME)
            self._heard = time.monotonic()
            self._ended = not got
            self._pending += got if got.strip(b"\n") or self._pending else b""
        if time.monotonic() - self._heard > self._silence_s:
            raise Gone
        return ready

    def _line(self) -> bytes | None:
        """The next request; empty lines only say that the other side is alive."""
        while True:
            line, newline, rest = self._pending.partition(b"\n")
            if newline:
                self._pending = rest
                if line.strip():
                    return bytes(line)
            elif self._ended:
                return None
            else:
                self._wait(min(self._silence_s, _TICK_S))

    # -- requests

    def do_hello(self, root: str | None = None, silence_s: float | None = None) -> dict[str, Any]:
        """Who is here; end by ourselves when nothing is heard for `silence_s`."""
        self._root = root or self._root
        self._silence_s = silence_s or math.inf
        return {
            "worker_version": VERSION,
            "sha256": sha256_of(os.path.abspath(__file__)),
            "python": platform.python_version(),
            "pid": os.getpid(),
            "folder": self.folder,
        }

    def do_ping(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def do_facts(self, root: str | None = None) -> dict[str, Any]:
        """What the device is."""
        return facts(Board(root or self._root), self.folder)

    def do_lock(self, wait_s: float = 0) -> dict[str, Any]:
        """Make sure that nobody else measures here."""
        end = time.monotonic() + wait_s
        path = os.path.join(tempfile.gettempdir(), _LOCK)
        while self._lock is None:
            self._lock = _try_lock(path)
            if self._lock is None:
                holder = _read_holder(path)
                if time.monotonic() >= end:
                    message = (
                        f"device: another benchmark runs on it ({holder}); "
                        "wait for its end, or stop it"
                    )
                    raise Refused("BusyError", message)
                self._event("waiting", holder=holder)
                self._wait(min(_TICK_S, max(0.0, end - time.monotonic())))
                if self._ended:
                    raise Gone
        os.ftruncate(self._lock, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.pwrite(self._lock, f"process {os.getpid()}, since {since}".encode(), 0)
        return {}

    def do_unlock(self) -> dict[str, Any]:
        """Let others measure."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                os.remove(os.path.join(tempfile.gettempdir(), _LOCK))
            os.close(self._lock)
            self._lock = None
        return {}

    def do_put(self, name: str, bytes: int, sha256: str) -> dict[str, Any]:  # noqa: A002
        """Take a file: after the event ``send`` come its bytes and nothing else."""
        if sha256 in self._files:
            return {"path": self._files[sha256]}
        if os.path.basename(name) != name or name in {"", ".", ".."}:
            message = f"{name!r}: not a file name; leave folders out"
            raise Refused("UsageError", message)
        folder = os.path.join(self.folder, sha256[:16])
        free = shutil.disk_usage(self.folder).free
        if free < bytes + _MIB:
            message = (
                f"{name}: needs {bytes} bytes, the device has {free} free in "
                f"{os.path.dirname(self.folder)}; free some space, or set TMPDIR there"
            )
            raise Refused("OutputError", message)
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, name)
        self._event("send")
        failed: OSError | None = None
        digest = hashlib.sha256()
        told = time.monotonic()
        with open(path, "wb", buffering=0) as file:
            for block in self._blocks(bytes):
                digest.update(block)
                try:
                    if failed is None:
                        write_all(file.fileno(), block)
                except OSError as error:  # the rest must be read all the same
                    failed = error
                if time.monotonic() - told >= _TICK_S:
                    told = time.monotonic()
                    self._event("receiving", bytes=file.tell())
        if failed is not None or digest.hexdigest() != sha256:
            shutil.rmtree(folder, ignore_errors=True)
            if failed is not None:
                raise failed
            raise Refused("CrashError", f"{name}: was damaged on the way; send it again")
        self._files[sha256] = path
        return {"path": path}

    def _blocks(self, count: int) -> Iterator[bytes]:
        while count:
            block = bytes(self._pending[:count])
            del self._pending[: len(block)]
            if block:
                count -= len(block)
                yield block
            elif self._ended:
                raise Gone
            else:
                self._wait_raw()

    def _wait_raw(self) -> None:
        ready, _, _ = select.select([0], [], [], min(self._silence_s, 3600))
        got = os.read(0, _MIB) if ready else b""
        if not got:
            raise Gone
        self._heard = time.monotonic()
        self._pending += got

    def do_remove(self, path: str) -> dict[str, Any]:
        """Remove a file that was put here."""
        for digest, own in list(self._files.items()):
            if own == path:
                shutil.rmtree(os.path.dirname(path), ignore_errors=True)
                del self._files[digest]
        return {}

    def do_run(
        self,
        spec: dict[str, Any],
        limit_s: float,
        memory_bytes: int | None = None,
        watch_s: float = _TICK_S,
    ) -> dict[str, Any]:
        """Measure in a fresh process, and watch the machine meanwhile."""
        log_path = os.path.join(self.folder, "measure.log")
        with open(log_path, "wb") as log:
            child = self._child = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), "measure"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "TMPDIR": self.folder},
                start_new_session=True,
            )
        watch = Watch(Board(self._root), child.pid, watch_s)
        try:
            request = {"spec": spec, "memory_bytes": memory_bytes, "parent": os.getpid()}
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError), child.stdin:
                child.stdin.write(json.dumps(request).encode() + b"\n")
            answer = self._await(child, watch, limit_s, memory_bytes)
        finally:
            self._kill()
        watch.look()
        if "error" in answer:
            kind, message = answer["error"]["kind"], answer["error"]["message"]
            if message == "out of memory":
                message = f"{watch.name}: {message} {_of(memory_bytes)}; give it more memory"
            raise Refused(kind, message)
        if "answer" not in answer:
            raise Refused(
                "CrashError", _death(child.returncode, watch, _tail(log_path), memory_bytes)
            )
        return {"answer": answer["answer"], "watch": watch.samples, "clock": watch.jumps}

    def _await(
        self, child: subprocess.Popen[bytes], watch: Watch, limit_s: float, memory_bytes: int | None
    ) -> dict[str, Any]:
        assert child.stdout is not None
        output = child.stdout.fileno()
        end = time.monotonic() + limit_s
        pieces: list[bytes] = []
        while True:
            if watch.is_due:
                self._event("watch", **watch.look())
                if memory_bytes and (watch.samples[-1]["resident_bytes"] or 0) > memory_bytes:
                    message = f"{watch.name}: out of memory {_of(memory_bytes)}; give it more"
                    raise Refused("CrashError", message)
            ready = self._wait(max(0.0, min(watch.rest_s, end - time.monotonic())), output)
            if self._ended:
                raise Gone
            if output in ready:
                got = os.read(output, _SOME)
                if not got:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(_TICK_S)
                    return {}
                pieces.append(got)
                if b"\n" in got:
                    *lines, rest = b"".join(pieces).split(b"\n")
                    pieces = [rest]
                    for line in lines:
                        message = json.loads(line)
                        if "answer" in message or "error" in message:
                            return dict(message)
                        if "event" in message:
                            self._event(**message["event"])
                        else:
                            watch.phase = message["phase"]
                            watch.name = message.get("name") or watch.name
                            self._event("phase", **message)
            if time.monotonic() >= end:
                message = (
                    f"{watch.name}: no end after {limit_s:g} s ({watch.phase}), stopped; "
                    "raise the time limit"
                )
                raise Refused("CrashError", message)

    def _kill(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


class Watch:
    """Looks at the machine at a steady pace while a measurement runs."""

    def __init__(self, board: Board, pid: int, period_s: float) -> None:
        self._board, self._pid, self._period_s = board, pid, period_s
        self._clocks = ClockWatch()
        self._next = time.monotonic()
        self.samples: list[dict[str, Any]] = []
        self.jumps: list[dict[str, Any]] = []
        self.phase = "starting"
        self.name = "worker"

    @property
    def rest_s(self) -> float:
        """Until the next look."""
        return max(0.0, self._next - time.monotonic())

    @property
    def is_due(self) -> bool:
        """Whether it is time."""
        return self.rest_s == 0

    def look(self) -> dict[str, Any]:
        """Look now."""
        self._next = time.monotonic() + self._period_s
        self.jumps += self._clocks.jumps(self._period_s)
        self.samples.append(watched(self._board, self._pid, self.phase))
        return self.samples[-1]


def _of(memory_bytes: int | None) -> str:
    return f"(limit {memory_bytes / _MIB:.0f} MiB)" if memory_bytes else "(no limit was asked for)"


def _death(code: int, watch: Watch, said: str, memory_bytes: int | None) -> str:
    """How a measuring process ended, in words."""
    if code >= 0:
        how = f"ended with exit code {code}"
    else:
        known = {one.value: one.name for one in signal.Signals}
        how = f"was killed by {known.get(-code, f'signal {-code}')}"
    advice = "try another runtime or file"
    if code == -signal.SIGKILL or "bad_alloc" in said:
        advice = f"most likely memory ran out {_of(memory_bytes)}: use a smaller file or fewer rows"
    quoted = f" (it said: {said})" if said else ""
    return f"{watch.name}: the measuring process {how} during {watch.phase}{quoted}; {advice}"


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    told = [line.strip() for line in lines if line.strip() and not line.startswith(("INFO", "I0"))]
    return " | ".join(told[-3:])[:500]


def _locked_file(path: str, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """A file that is locked as long as this process lives."""
    import fcntl

    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _try_lock(path: str) -> int | None:
    """The device's lock, or None while another process holds it."""
    while True:
        try:
            try:
                descriptor = _locked_file(path, os.O_RDWR)
            except FileNotFoundError:
                descriptor = _locked_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
                os.fchmod(descriptor, 0o666)  # all users of the device share it
        except FileExistsError:
            continue  # another process was faster
        except BlockingIOError:
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)  # its holder has just removed it


def _read_holder(path: str) -> str:
    with contextlib.suppress(OSError), open(path) as file:
        return file.read(200).strip() or UNKNOWN
    return UNKNOWN


def remove_abandoned() -> None:
    """Folders of agents that were killed before they could clean up: nobody holds their lock."""
    parent = tempfile.gettempdir()
    for name in os.listdir(parent):
        folder = os.path.join(parent, name)
        if not name.startswith(_PREFIX) or os.path.islink(folder):
            continue
        with contextlib.suppress(OSError):
            about = os.stat(folder)
            if about.st_uid != os.getuid():
                continue
            try:
                os.close(_locked_file(os.path.join(folder, "owner"), os.O_RDWR))
            except FileNotFoundError:
                if time.time() - about.st_mtime < _ABANDONED_S:
                    continue  # it is just being made
            shutil.rmtree(folder, ignore_errors=True)


def agent() -> None:
    """Serve until the input ends, the connection closes, or a signal says so."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, leave)
    serving = Agent()
    try:
        with contextlib.suppress(Gone, BrokenPipeError):
            serving.serve()
    finally:
        serving.close()


def main() -> None:
    """Take the role that the first argument names."""
    own = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != own]
    roles = {"agent": agent, "measure": measure}
    role = roles.get(sys.argv[1] if len(sys.argv) == 2 else "")
    if role is None:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(roles)}")
    role()


if __name__ == "__main__":
    main()
