"""What `edgekit targets check` finds, on made-up boards and over a real server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgekit_benchmarks.link import LocalLink
from edgekit_benchmarks.target import Target, from_url
from edgekit_benchmarks.target_check import Check, check_target, check_targets

if TYPE_CHECKING:
    from tests.sshd import Device

LOCAL = from_url("local")
MakeBoard = Callable[..., Any]


def looked_at(board: Any) -> dict[str, Check]:
    report = check_target(LOCAL, root=str(board.root))
    return {check.name: check for check in report.checks}


def test_a_healthy_board_has_no_failure(make_board: MakeBoard) -> None:
    report = check_target(LOCAL, root=str(make_board(governor="performance").root))
    assert report.usable
    assert {check.name for check in report.checks if check.status != "ok"} == set()


def test_every_check_that_is_not_ok_says_what_to_do(make_board: MakeBoard) -> None:
    board = make_board(throttled=0x50005, temperature_c=84, load_1m=3.5)
    checks = looked_at(board).values()
    assert all(check.advice for check in checks if check.status != "ok")
    assert all(not check.advice for check in checks if check.status == "ok")


def test_trouble_with_power_now_is_a_failure(make_board: MakeBoard) -> None:
    check = looked_at(make_board(throttled=0x50005))["power"]
    assert check.status == "fail"
    assert check.said == "under-voltage, throttled now"


def test_trouble_with_power_since_boot_is_a_warning(make_board: MakeBoard) -> None:
    check = looked_at(make_board(throttled=0x50000))["power"]
    assert check.status == "warn"
    assert check.said == "under-voltage, throttled since it started"


def test_a_board_that_tells_nothing_about_power_is_no_trouble(make_board: MakeBoard) -> None:
    board = make_board()
    board.remove_vcgencmd()
    assert looked_at(board)["power"].status == "ok"


@pytest.mark.parametrize(("degrees", "status"), [(48, "ok"), (72, "warn"), (84.5, "fail")])
def test_a_hot_board_is_told(make_board: MakeBoard, degrees: float, status: str) -> None:
    assert looked_at(make_board(temperature_c=degrees))["temperature"].status == status


@pytest.mark.parametrize(("governor", "status"), [("performance", "ok"), ("ondemand", "warn")])
def test_a_changing_frequency_is_told(make_board: MakeBoard, governor: str, status: str) -> None:
    assert looked_at(make_board(governor=governor))["governor"].status == status


@pytest.mark.parametrize(("load", "status"), [(0.2, "ok"), (2.5, "warn")])
def test_a_busy_board_is_told(make_board: MakeBoard, load: float, status: str) -> None:
    assert looked_at(make_board(load_1m=load))["load"].status == status


@pytest.mark.parametrize(("free_kb", "status"), [(3_300_000, "ok"), (150_000, "warn"), (9, "fail")])
def test_little_memory_is_told(make_board: MakeBoard, free_kb: int, status: str) -> None:
    board = make_board()
    lines = f"MemTotal: 400000 kB\nMemAvailable: {free_kb} kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
    (board.root / "proc/meminfo").write_text(lines)
    assert looked_at(board)["memory"].status == status


def test_another_benchmark_is_told(make_board: MakeBoard) -> None:
    with LocalLink() as link:
        link.request("lock", timeout_s=10)
        check = looked_at(make_board())["benchmarks"]
    assert check.status == "warn"
    assert "another benchmark runs on it (process " in check.said


def test_looking_leaves_the_device_free(make_board: MakeBoard) -> None:
    looked_at(make_board())
    with LocalLink() as link:
        assert link.request("lock", timeout_s=10) == {}


# ---- facts that this machine cannot have


def of_facts(*, own_python: str | None = None, **changed: Any) -> dict[str, Check]:
    from edgekit_benchmarks.target_check import _of_facts

    facts = {
        "model": "Raspberry Pi 4",
        "cpu": "ARM Cortex-A72",
        "python": "3.11.2",
        "machine": "aarch64",
        "bits": 64,
        "libc": "glibc 2.36",
        "system": "Debian GNU/Linux 12 (bookworm)",
        "runtimes": {"ai-edge-litert": "2.3.0", "numpy": "2.4.6"},
        "disk_free_bytes": 10**9,
        "memory_bytes": {"total": 4 * 10**9, "available": 3 * 10**9},
        "throttled": {"now": [], "since_boot": [], "raw": 0},
        "temperature_c": 45.0,
        "governor": "performance",
        "load": [0.0, 0.0, 0.0],
        "cores_online": 4,
        **changed,
    }
    target = Target(name="pi", url="ssh://pi", python=own_python)
    return {check.name: check for check in _of_facts(facts, target)}


def test_a_32_bit_system_on_a_64_bit_kernel_is_told() -> None:
    check = of_facts(bits=32)["system"]
    assert check.status == "warn"
    assert "32 bits, glibc 2.36; fit for: tflite-runtime" in check.said


def test_a_glibc_that_is_too_old_for_all_is_told() -> None:
    check = of_facts(bits=32, libc="glibc 2.31", python="3.9.2")["system"]
    assert check.status == "fail"
    assert "tflite-runtime 2.14.0 takes glibc 2.34 or newer" in check.said


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        ({}, "fail", "none is installed"),
        ("unknown", "fail", "none is installed"),
        ({"numpy": "2.4.6"}, "fail", "none is installed"),
        ({"onnxruntime": "1.32.0"}, "fail", "but no numpy"),
        ({"tflite-runtime": "2.14.0", "numpy": "2.4.6"}, "fail", "does not run with numpy 2"),
        ({"tflite-runtime": "2.14.0", "numpy": "1.26.4"}, "ok", "tflite-runtime 2.14.0"),
    ],
)
def test_runtimes_that_do_not_work_are_told(packages: Any, status: str, said: str) -> None:
    check = of_facts(runtimes=packages)["runtimes"]
    assert check.status == status
    assert said in check.said
    assert ("edgekit targets setup pi" in check.advice) == (status == "fail")


def test_a_python_of_the_users_own_is_not_set_up_by_edgekit() -> None:
    check = of_facts(own_python="~/py", runtimes={})["runtimes"]
    assert check.advice == "run there: ~/py -m pip install numpy ai-edge-litert"


@pytest.mark.parametrize(("free", "status"), [(10**9, "ok"), (5 * 10**7, "warn"), (10**6, "fail")])
def test_little_space_is_told(free: int, status: str) -> None:
    assert of_facts(disk_free_bytes=free)["disk"].status == status


# ---- over ssh


def test_a_device_tells_what_its_board_tells(
    start_device: Callable[..., Device], make_board: MakeBoard
) -> None:
    board = make_board(throttled=0x4)
    device = start_device(variables={"EDGEKIT_BOARD_ROOT": str(board.root)})
    report = check_target(Target(name="pi", url=device.url))
    found = {check.name: check for check in report.checks}
    assert not report.usable
    assert found["connection"].status == found["clock"].status == "ok"
    assert found["board"].said == "Raspberry Pi 4 Model B Rev 1.4, ARM Cortex-A72"
    assert found["power"].said == "throttled now"
    assert device.wait_until_idle()


def test_a_device_that_is_not_there_is_one_failure(device: Device) -> None:
    device.stop()
    (check,) = check_target(Target(name="pi", url=device.url)).checks
    assert (check.name, check.status) == ("connection", "fail")
    assert check.said == f"nothing listens on port {device.port}"
    assert check.advice.startswith("turn ssh on")


def test_a_device_without_python_has_a_connection(
    start_device: Callable[..., Device], tmp_path: Path
) -> None:
    device = start_device(variables={"PATH": str(tmp_path / "device/bin")})
    device.path.mkdir()
    for name in ("sh", "date"):
        (device.path / name).symlink_to(f"/usr/bin/{name}")
    checks = check_target(Target(name="pi", url=device.url)).checks
    assert [(check.name, check.status) for check in checks] == [
        ("connection", "ok"),
        ("clock", "ok"),
        ("python", "fail"),
    ]


def test_a_clock_that_is_far_off_is_told(
    start_device: Callable[..., Device], tmp_path: Path
) -> None:
    device = start_device()
    device.path.mkdir()
    (device.path / "date").write_text("#!/bin/sh\necho 86400\n")
    (device.path / "date").chmod(0o755)
    checks = {one.name: one for one in check_target(Target(name="pi", url=device.url)).checks}
    assert checks["clock"].status == "warn"
    assert "behind of the one here" not in checks["clock"].said
    assert " s behind the one here" in checks["clock"].said


def test_one_device_that_fails_does_not_stop_the_others(device: Device) -> None:
    reports = check_targets([from_url("ssh://no-such-host.invalid"), from_url(device.url), LOCAL])
    assert [len(report.checks) > 5 for report in reports] == [False, True, True]
