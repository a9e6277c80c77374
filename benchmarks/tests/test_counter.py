"""The plugin that counts instructions, with the QEMU of this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from edgekit.errors import EdgekitError, MissingDependencyError
from edgekit_benchmarks import counter
from edgekit_benchmarks.instructions import CLASSES, TOTAL

QEMUS = ("qemu-aarch64", "qemu-arm")
_THUMB = r"""
.syntax unified
.arch armv7-a
.fpu neon-vfpv4
.global _start
.arm
_start:
 movw r0, #0xed6e
 movt r0, #7
 mov r1, #1
 mov r2, #0
 mov r7, #19
 svc 0
 adr r3, thumb + 1
 bx r3
.thumb
thumb:
 vmull.s16 q0, d2, d4
 vadd.f32 q3, q4, q5
 b.w next
.balign 4
next:
 vfma.f32 q3, q4, q5
 vld1.32 {d0}, [sp]
 movs r4, #3
again:
 vpadal.s16 q0, q1
 subs.w r4, r4, #1
 bne.w again
 movw r0, #0xed6e
 movt r0, #7
 mov r2, #1
 svc 0
 mov r0, #0
 mov r7, #1
 svc 0
"""


@pytest.fixture(autouse=True)
def programs() -> None:
    missing = [name for name in ("gcc", *QEMUS) if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def counted(qemu: str, program: Path, folder: Path) -> dict[str, int]:
    plugin, out = counter.ensure_counter(folder, qemu), folder / "out.jsonl"
    subprocess.run(
        [qemu, "-cpu", "max", "-plugin", f"{plugin},out={out}", str(program)], check=True
    )
    found: dict[str, int] = json.loads(out.read_text())
    return {name: number for name, number in found.items() if number}


@pytest.mark.parametrize("qemu", QEMUS)
def test_a_counter_is_built_that_counts_a_known_program_to_the_instruction(
    qemu: str, tmp_path: Path
) -> None:
    assert counter.ensure_counter(tmp_path, qemu) == tmp_path / "counter.so"


def test_classes_have_the_names_that_results_have(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(counter._elf(is_64_bit=True))
    program.chmod(0o700)
    out = tmp_path / "all.jsonl"
    plugin = counter.ensure_counter(tmp_path, "qemu-aarch64")
    subprocess.run(["qemu-aarch64", "-plugin", f"{plugin},out={out}", str(program)], check=True)
    assert list(json.loads(out.read_text())) == ["region", TOTAL, *CLASSES]


def test_a_counter_is_built_anew_only_for_another_qemu_or_source(tmp_path: Path) -> None:
    library = counter.ensure_counter(tmp_path, "qemu-aarch64")
    built = library.stat().st_mtime_ns
    assert counter.ensure_counter(tmp_path, "qemu-aarch64").stat().st_mtime_ns == built
    about = tmp_path / "counter.json"
    about.write_text(about.read_text().replace('"qemu": "', '"qemu": "0.'))
    assert counter.ensure_counter(tmp_path, "qemu-aarch64").stat().st_mtime_ns > built
    assert not list(tmp_path.glob(".counter-*"))


def test_a_folder_may_have_a_comma_in_its_name(tmp_path: Path) -> None:
    assert counter.ensure_counter(tmp_path / "a,b", "qemu-arm").exists()


def test_thumb_code_is_told_from_arm_code(tmp_path: Path) -> None:
    assembler = "arm-linux-gnueabihf-as"
    if shutil.which(assembler) is None:
        pytest.skip(f"not installed: {assembler}")
    source, made, program = (tmp_path / name for name in ("t.s", "t.o", "t"))
    source.write_text(_THUMB)
    subprocess.run([assembler, "-o", made, source], check=True)
    subprocess.run(["arm-linux-gnueabihf-ld", "-o", program, made], check=True)
    found = counted("qemu-arm", program, tmp_path)
    assert found == {
        "region": 1,
        "total": 2 + 3 + 3 + 9 + 4,
        "integer": 1 + 1 + 3 + 3,  # adr; movs; subs, three times; the words of the mark
        "branch": 1 + 1 + 3,
        "widening_multiply": 1,
        "simd_other": 1,
        "float32_multiply_add": 1,
        "simd_load": 1,
        "pairwise_add": 3,
        "other": 1,
    }


def test_a_qemu_that_is_not_there_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDependencyError, match=r"^qemu-arm: .*apt-get install qemu-user"):
        counter.ensure_counter(tmp_path, "qemu-arm")


def test_a_plugin_that_does_not_build_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "qemu_counter.c"
    broken.write_text("int f(void) { return")
    monkeypatch.setattr(counter, "_SOURCE", broken)
    with pytest.raises(
        EdgekitError, match=r"^qemu_counter.c: does not work with qemu-arm \d"
    ) as told:
        counter.ensure_counter(tmp_path, "qemu-arm")
    assert "\n" not in str(told.value)
