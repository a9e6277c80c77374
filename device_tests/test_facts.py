"""What the benchmark worker tells of a device, against what the device's kernel tells."""

import ctypes
import platform
import re
import struct
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from edgekit.requirement import installed_version
from edgekit_benchmarks.link import LocalLink

CPUINFO = Path("/proc/cpuinfo")
MODEL = Path("/proc/device-tree/model")
CORES = {
    "0xb76": "ARM1176",
    "0xc07": "Cortex-A7",
    "0xd03": "Cortex-A53",
    "0xd08": "Cortex-A72",
    "0xd0b": "Cortex-A76",
}
"""Of the Raspberry Pi, by "CPU part"."""
AT_HWCAP = 16
BITS = {"aarch64": {"asimd": 1, "fphp": 9, "asimddp": 20}, "armv7l": {"neon": 12, "vfpv4": 16}}
"""Of features that decide which kernels a runtime takes, in what the kernel tells a process."""

pytestmark = [
    pytest.mark.board,
    pytest.mark.skipif(not CPUINFO.exists(), reason="this system has no /proc/cpuinfo"),
]


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    with LocalLink() as link:
        return link.request("facts", timeout_s=120)


@pytest.fixture(scope="module")
def lines() -> dict[str, str]:
    pairs = (line.partition(":") for line in CPUINFO.read_text().splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _process_is_64_bit() -> bool:
    return struct.calcsize("P") == 8


def test_the_model_is_what_the_kernel_says(facts: dict[str, Any], lines: dict[str, str]) -> None:
    try:
        said = MODEL.read_text().rstrip("\0\n")
    except FileNotFoundError:
        said = lines.get("Model", "")  # of some kernels
    if not said:
        pytest.skip("this machine's kernel tells no model: no device tree, none in /proc/cpuinfo")
    assert facts["model"] == said
    assert said.isprintable()


def test_an_emulated_board_says_so(facts: dict[str, Any], is_emulated: bool) -> None:
    assert facts["emulated"] is is_emulated


def test_bits_machine_and_python_are_those_of_this_process(facts: dict[str, Any]) -> None:
    assert facts["bits"] == (64 if _process_is_64_bit() else 32)
    assert facts["machine"] == platform.machine()
    assert facts["python"] == platform.python_version()


def test_the_features_are_those_of_the_processor(
    facts: dict[str, Any], lines: dict[str, str]
) -> None:
    listed = lines.get("Features") or lines["flags"]
    assert facts["features"] == sorted(listed.split())


def test_the_features_that_kernels_depend_on_are_really_there(facts: dict[str, Any]) -> None:
    bits = BITS.get(platform.machine() if _process_is_64_bit() else "armv7l")
    if bits is None:
        pytest.skip(f"no table of features for {platform.machine()}")
    getauxval = ctypes.CDLL(None).getauxval
    getauxval.restype = ctypes.c_ulong
    given = getauxval(ctypes.c_ulong(AT_HWCAP))
    has = {name for name, bit in bits.items() if given >> bit & 1}
    assert has == bits.keys() & set(facts["features"])


def test_the_core_is_the_one_of_its_part_number(
    facts: dict[str, Any], lines: dict[str, str]
) -> None:
    part = lines.get("CPU part")
    if part not in CORES:
        pytest.skip(f"CPU part {part} is that of no Raspberry Pi")
    assert CORES[part] in facts["cpu"]


def test_cores_and_memory_are_what_the_kernel_counts(facts: dict[str, Any]) -> None:
    listed = CPUINFO.read_text()
    assert facts["cores_online"] == len(re.findall(r"^processor\s*:", listed, re.MULTILINE))
    total = re.search(r"^MemTotal:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    assert total
    assert facts["memory_bytes"]["total"] == int(total[1]) * 1024


def test_the_runtimes_are_those_that_are_installed(facts: dict[str, Any]) -> None:
    for name in ("ai-edge-litert", "tflite-runtime", "onnxruntime"):
        assert facts["runtimes"].get(name) == installed_version(name)
    assert facts["runtimes"]["numpy"] == metadata.version("numpy")
