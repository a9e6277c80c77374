"""The classes of instructions, against what binutils disassembles."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import edgekit_benchmarks

_HEADER_FOLDER = Path(edgekit_benchmarks.__file__).parent
_PROGRAM = r"""
#include <stdio.h>
#include "instruction_class.h"
int main(void)
{
    char set[8];
    unsigned word;
    while (scanf("%7s %x", set, &word) == 2)
        puts(class_names[set[0] == 'a' ? set[1] == '6' ? a64_class(word) : a32_class(word)
                                       : set[1] == '1' ? t16_class(word) : t32_class(word)]);
}
"""
_MACHINES = {
    "a64": ["aarch64-linux-gnu-objdump", "-m", "aarch64"],
    "a32": ["arm-linux-gnueabihf-objdump", "-m", "arm"],
    "t16": ["arm-linux-gnueabihf-objdump", "-m", "arm", "-M", "force-thumb"],
    "t32": ["arm-linux-gnueabihf-objdump", "-m", "arm", "-M", "force-thumb"],
}
_UNKNOWN = re.compile(r"undefined|unpredictable|illegal|\.inst|\.word|\.short|<und", re.IGNORECASE)

# Of A64: instructions of cores that no board has today are not looked at.
_NOT_ON_BOARDS_A64 = re.compile(
    r"^(ld64|st64|ldg|stg|st2g|stz|ldra|ldgm|cpy|set|subp|irg|gmi|bf|mop|gcs|rcw|ld[ts]|smstart|smstop"
    r"|zero|rprfm|trcit|wfet|wfit|xaflag|axflag|cfinv|setf|rmif|fcadd|fcmla|tcancel|tstart|tcommit|ttest)"
)
_ATOMIC_A64 = re.compile(
    r"^(cas|swp|(ld|st)(add|clr|eor|set|smax|smin|umax|umin)(a|l|al)?(b|h)?$|ldapr)"
)

_BRANCH_A64 = re.compile(
    r"b|bl|br|blr|ret|cbz|cbnz|tbz|tbnz|bc|bl?ra[ab]z?|reta[ab]|eret(a[ab])?|drps"
)
_SYSTEM_A64 = re.compile(
    r"svc|hvc|smc|brk|hlt|dcps|nop|yield|wfe|wfi|sev|hint|bti|(pac|aut)i[ab](sp|z|1716)|xpaclri"
    r"|clrex|dsb|dmb|isb|sb$|ssbb|pssbb|msr|mrs|sys|at$|dc$|ic$|tlbi|esb|psb|tsb|csdb|dgh|udf"
    r"|cfp|dvp|cpp|chkfeat|clrbhb|brb|gcsb"
)


def _a64(mnemonic: str, operands: str) -> str | None:
    """The class that a line of a disassembly says."""
    plain = mnemonic.partition(".")[0]
    first = re.match(r"[{ ]*([a-z]+)[0-9]*(?:\.(\d*[bhsdq]))?", operands)
    letter, arrangement = (first[1], first[2]) if first else ("", None)
    vector = bool(re.match(r"[{ ]*([bhsdqv]\d+)", operands))
    if _NOT_ON_BOARDS_A64.match(plain) or letter in {"z", "p", "za"}:
        return None
    if _ATOMIC_A64.match(plain):
        return "load"
    if plain in {"sdot", "udot", "usdot", "sudot"}:
        return "dot"
    if plain in {"smmla", "ummla", "usmmla"}:
        return "matrix"
    if re.fullmatch(r"[su](mull|mlal|mlsl)2?", plain) and vector:
        return "widening_multiply"
    if plain in {"sadalp", "uadalp"}:
        return "pairwise_add"
    if plain in {"fmla", "fmls"} and arrangement in {"2s", "4s"}:
        return "float32_multiply_add"
    if plain in {"fmla", "fmls"} and arrangement in {"4h", "8h"}:
        return "float16_multiply_add"
    if plain.startswith("prf"):
        return "other"
    if re.match(r"ld|st(?!g)", plain):
        return ("simd_" if vector else "") + ("load" if plain.startswith("ld") else "store")
    if _BRANCH_A64.fullmatch(plain):
        return "branch"
    if _SYSTEM_A64.match(plain):
        return "other"
    if plain == "mov" and re.search(r", v\d", operands):
        return "simd_other"
    if vector or re.match(r"f[a-z]|[su]mov|[su]cvtf|sha|aes|sm[34]|jcvt|umov|ins", plain):
        return "simd_other"
    return "integer"


_CONDITION = r"(eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al)?(\.n|\.w)?"

_NOT_ON_BOARDS_ARM = re.compile(r"dls|le$|wls|cx\d|lctp|clrm|tt|bti|pac|aut|bxaut")
_SYSTEM_ARM = re.compile(
    r"ldc|stc|mcr|mrr?c|cdp|pld|pli|nop|yield|wf|sev|hint|dbg|csdb|esb|dmb|dsb|isb|ssbb|pssbb|sb$"
    r"|clrex|svc|hvc|smc|bkpt|udf|hlt|msr|mrs|cps|setend|setpan|srs|rfe|dcps|psb|tsb"
)


def _arm(mnemonic: str, operands: str) -> str | None:
    """The same for A32 and T32."""
    plain, _, kind = re.sub(r"\.[nw]$", "", mnemonic).partition(".")
    first = re.match(r"[{ ]*([a-z]+)", operands)
    letter = first[1] if first else ""
    if re.search(r"FPSCR|FPCXT|VPR|^P0|<invalid", operands) or re.match(r"v(us|su)dot", plain):
        return None
    if re.match(r"v[us]dot", plain):
        return "dot"
    if re.match(r"vs?u?s?mmla", plain) or re.match(r"v?bf|vcmla|vcadd|vfm[as]l|vfma[bt]", plain):
        return None
    if (
        plain in {"vmla", "vmls", "vfma", "vfms"}
        and letter in {"q", "d"}
        and kind in {"f32", "f16"}
    ):
        return f"float{kind[1:]}_multiply_add"
    if plain in {"vmlal", "vmlsl", "vmull"} and kind[:1] in {"s", "u"}:
        return "widening_multiply"
    if plain == "vpadal":
        return "pairwise_add"
    if re.match(r"vld[r1234m]|vpop|fldm", plain):
        return "simd_load"
    if re.match(r"vst[r1234m]|vpush|fstm", plain):
        return "simd_store"
    if plain.startswith(("v", "fm", "sha1", "sha2", "aes")):
        return "simd_other"
    if _NOT_ON_BOARDS_ARM.match(plain):
        return None
    if _SYSTEM_ARM.match(plain):
        return "other"
    if re.fullmatch(r"it[te]{0,3}", plain):
        return "other"
    if re.fullmatch(r"eret" + _CONDITION, plain):
        return "other"
    if re.fullmatch(r"(b|bl|bx|blx|bxj|bxns|blxns)" + _CONDITION + r"|cbn?z|tbb|tbh", plain):
        return "branch"
    if re.match(r"ld|pop|swp", plain):
        return "load"
    if re.match(r"st|push", plain):
        return "store"
    return "integer"


def _is_of_no_board(instruction_set: str, word: int, mnemonic: str) -> bool:
    """Whether it is of a coprocessor that was gone long ago, or only binutils takes it for one."""
    if mnemonic[:3] in {"tst", "teq", "cmp", "cmn"} and instruction_set == "a32":
        return not word >> 20 & 1
    if mnemonic[:3] == "msr" and instruction_set == "a32":
        return not word >> 25 & 1 and word >> 4 & 15 != 0
    if instruction_set == "t32" and word >> 25 == 0x7C and word >> 12 & 15 == 15:
        return word >> 21 & 3 == 1  # into the program counter, by halves
    coprocessor = word >> 8 & 15
    if word >> 26 & 3 != 3 or word >> 24 & 15 == 15:
        return False
    if instruction_set == "t32" and word >> 29 != 7:
        return False
    return coprocessor not in {10, 11, 14, 15} or (coprocessor < 12 and mnemonic[0] == "m")


def _disassembled(
    words: np.ndarray, instruction_set: str, folder: Path
) -> list[tuple[int, str, str]]:
    """``(word, mnemonic, operands)`` of all that are instructions."""
    program, *options = _MACHINES[instruction_set]
    thumb = instruction_set[0] == "t"
    if instruction_set == "t32":  # the first half comes first
        words = (words << 16 | words >> 16).astype("<u4")
    raw = folder / "words.bin"
    raw.write_bytes(words.astype("<u2" if instruction_set == "t16" else "<u4").tobytes())
    said = subprocess.run(
        [program, "-D", "-z", "-b", "binary", *options, str(raw)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = []
    for line in said.splitlines():
        parts = line.split("\t")
        if len(parts) < 3 or not parts[2].strip() or _UNKNOWN.search(line):
            continue
        digits = parts[1].split()
        if thumb and len(digits) != (1 if instruction_set == "t16" else 2):
            continue  # cut at another place
        operands = re.split(r"//|;|@", " ".join(parts[3:]))[0].strip()
        found.append((int("".join(digits), 16), parts[2].strip(), operands))
    return found


def _words(instruction_set: str) -> np.ndarray:
    """All short ones; or many of any kind, with more of those that vectors are made of."""
    generator = np.random.default_rng(5)
    count = 300_000
    words = generator.integers(0, 1 << 32, count, np.uint32)
    if instruction_set == "t16":
        return np.arange(0xE800, dtype=np.uint32)
    if instruction_set == "a64":
        words[: count // 2] = words[: count // 2] & 0xE1FFFFFF | 0x0E000000
        rare = np.array([0x0E206800, 0x0E809400, 0x4E80A400, 0x0F80E000], np.uint32)
        words[: count // 100] = (
            words[: count // 100] & 0x60DF03FF | rare[np.arange(count // 100) % 4]
        )
        words = words[words >> 25 & 15 != 2]  # vectors of any size: no board has them
    elif instruction_set == "a32":
        words[: count // 4] = words[: count // 4] & 0x01FFFFFF | 0xF2000000
        words[count // 4 : count // 2] = words[count // 4 : count // 2] & 0x0FFFFFFF | 0xE0000000
    else:
        words |= np.uint32(0xE0000000)
        words[: count // 4] = words[: count // 4] & 0x10FFFFFF | 0xEF000000
        halves = words >> 27
        words = words[(halves == 0x1D) | (halves == 0x1E) | (halves == 0x1F)]
    return words


@pytest.fixture(scope="module")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that names the classes of words."""
    wanted = ["gcc", *sorted({program[0] for program in _MACHINES.values()})]
    missing = [name for name in wanted if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("classify")
    (folder / "classify.c").write_text(_PROGRAM)
    program = folder / "classify"
    subprocess.run(
        ["gcc", "-Wall", "-Werror", f"-I{_HEADER_FOLDER}", "-o", program, folder / "classify.c"],
        check=True,
    )
    return program


@pytest.mark.parametrize("instruction_set", list(_MACHINES))
def test_every_instruction_is_of_the_class_that_the_disassembler_says(
    instruction_set: str, classify: Path, tmp_path: Path
) -> None:
    lines = _disassembled(_words(instruction_set), instruction_set, tmp_path)
    asked = "".join(f"{instruction_set} {word:x}\n" for word, _, _ in lines)
    told = subprocess.run([classify], input=asked, capture_output=True, text=True, check=True)
    expect = _a64 if instruction_set == "a64" else _arm
    wrong: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for (word, mnemonic, operands), got in zip(lines, told.stdout.split(), strict=True):
        wanted = expect(mnemonic, operands)
        if mnemonic == "nop" and got == "integer":
            continue  # a move into the same register
        if instruction_set in {"a32", "t32"} and _is_of_no_board(instruction_set, word, mnemonic):
            continue
        if wanted is not None:
            seen[wanted] += 1
            if wanted != got:
                wrong[mnemonic] = f"{word:08x} {mnemonic} {operands}: {got}, not {wanted}"
    assert not wrong, "\n".join(wrong.values())
    assert sum(seen.values()) > len(lines) / 2
    classes = {"load", "store", "branch", "integer", "other"}
    if instruction_set != "t16":
        classes |= {"widening_multiply", "pairwise_add", "float32_multiply_add", "simd_other"}
    if instruction_set == "a64":
        classes |= {"dot", "matrix", "float16_multiply_add"}
    assert all(seen[name] >= 10 for name in classes), seen
