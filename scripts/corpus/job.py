"""One model file through ``edgekit convert``, and an independent check of all that came out."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8", "int4")
FORMATS = ("tflite", "onnx")

Verdict = Literal["verified", "drifted", "refused", "SILENT FAILURE", "BUG"]
"""`drifted` is a file that convert itself calls damaged, loudly; `BUG` is a traceback, a missing
answer or a leftover."""

_ROOT = Path(__file__).resolve().parents[2]
_SUFFIX = {"tflite": ".tflite", "onnx": ".onnx", "savedmodel": ".savedmodel"}
_FLOAT16_BOUND = 2e-2
_LEAST_COSINE = {"verified": (0.9, 0.5), "drifted": (0.7, 0.3)}
_TIME_LIMIT_S = 1800.0
_UNEXPECTED = r"ended with exit code|Traceback|as a bug|unexpected"
"""What a reason must not hold: a refusal is a decision, not an accident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One format in one precision of one model file."""

    format: str
    precision: str
    verdict: Verdict
    reason: str = ""
    relative_rms: float | None = None
    claimed: float | None = None
    """Relative error according to convert."""
    size_bytes: int | None = None


def command(
    facts: dict[str, Any], folder: Path, file: str, out: Path, formats: str, precisions: str
) -> list[str]:
    """The command line that a user would type."""
    arguments = [
        "edgekit",
        "convert",
        str(folder / file),
        "--to",
        formats,
        "--quantize",
        precisions,
    ]
    arguments += ["--calibrate", str(folder / f"{facts['name']}.npz"), "--json", "-o", str(out)]
    if facts["custom_objects"] and facts["name"].find("without_code") < 0:
        arguments += ["--custom-objects", str(_ROOT / "scripts/corpus" / facts["custom_objects"])]
    return [*arguments, *facts["arguments"]]


def run(
    facts: dict[str, Any], folder: Path, file: str, formats: str, precisions: str
) -> dict[str, Any]:
    """Convert `file` and check what came out: cells, seconds, and what convert said."""
    wanted = [(f, p) for f in formats.split(",") for p in precisions.split(",")]
    with tempfile.TemporaryDirectory(prefix="matrix-") as out_name:
        out = Path(out_name) / "out"
        words = command(facts, folder, file, out, formats, precisions)
        start = time.monotonic()
        done = _run(words, Path(out_name))
        seconds = time.monotonic() - start
        cells = _cells(facts, folder, out, wanted, done)
    return {
        "file": file,
        "command": " ".join(words).replace(str(out), "OUT"),
        "seconds": round(seconds, 1),
        "commit": _commit(),
        "exit_code": done.returncode,
        "stderr_tail": done.stderr[-2000:],
        "cells": [_plain(cell) for cell in cells],
    }


def _commit() -> str:
    words = ["git", "-C", str(_ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def _run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    words = [str(Path(sys.executable).parent / words[0]), *words[1:]]
    process = subprocess.Popen(
        words, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        out, err = process.communicate(timeout=_TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        err += f"\nno end after {_TIME_LIMIT_S:g} s"
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def _cells(
    facts: dict[str, Any],
    folder: Path,
    out: Path,
    wanted: list[tuple[str, str]],
    done: subprocess.CompletedProcess[str],
) -> list[Cell]:
    whole = _whole_failure(done)
    if whole is not None:
        verdict: Verdict = "refused" if whole[0] else "BUG"
        left = _leftovers(out, [])
        return [_cell(pair, "BUG" if left else verdict, whole[1] + left) for pair in wanted]
    answer = json.loads(done.stdout)
    made = {(each["format"], each["precision"]): each for each in answer["artifacts"]}
    failed = {(each["format"], each["precision"]): each["error"] for each in answer["failures"]}
    paths = [Path(each["path"]) for each in made.values()]
    checked = _check(folder / f"{facts['name']}.json", paths)
    cells = []
    for pair in wanted:
        if pair in made and pair in failed:
            cells.append(_cell(pair, "BUG", "both made and failed"))
        elif pair in made:
            cells.append(_judge(facts, pair, made[pair], checked[str(made[pair]["path"])]))
        elif pair in failed:
            unexpected = re.search(_UNEXPECTED, failed[pair])
            cells.append(_cell(pair, "BUG" if unexpected else "refused", failed[pair]))
        else:
            cells.append(_cell(pair, "BUG", "neither made nor failed"))
    if left := _leftovers(out, paths):
        cells.append(_cell(("all", "all"), "BUG", left.strip()))
    if bool(failed) != (done.returncode != 0):
        text = f"exit code {done.returncode} with {len(failed)} failures"
        cells.append(_cell(("all", "all"), "BUG", text))
    return cells


def _whole_failure(
    done: subprocess.CompletedProcess[str],
) -> tuple[bool, str] | None:
    """(in order, reason) when nothing was made at all; None when there is an answer to read."""
    if "Traceback (most recent call last)" in done.stderr:
        return False, f"traceback: {done.stderr.strip().splitlines()[-1]}"
    if done.returncode < 0:
        return False, f"died of {signal.Signals(-done.returncode).name}"
    if done.stdout.strip():
        try:
            json.loads(done.stdout)
        except ValueError:
            return False, f"stdout is no JSON: {done.stdout[:80]!r}"
        return None
    if done.returncode == 0:
        return False, "exit 0 and nothing on stdout"
    lines = done.stderr.strip().splitlines() or ["nothing said"]
    reason = lines[-1].removeprefix("Error: ")
    decided = not re.search(_UNEXPECTED + "|no end after|nothing said", reason)
    return decided, reason


def _leftovers(out: Path, paths: list[Path]) -> str:
    if not out.exists():
        return ""
    known = {path.resolve() for path in paths}
    found = [each.name for each in out.iterdir() if each.resolve() not in known]
    return f" leftovers: {found}" if found else ""


def _check(facts_path: Path, paths: list[Path]) -> dict[str, dict[str, Any]]:
    """Verdicts by path; a file that kills the checking process is named, and the rest goes on."""
    found: dict[str, dict[str, Any]] = {}
    while missing := [path for path in paths if str(path) not in found]:
        words = [sys.executable, "-m", "scripts.corpus.check", str(facts_path), *map(str, missing)]
        done = subprocess.run(words, cwd=_ROOT, capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                each = json.loads(line)
                found[each["file"]] = each
        culprit = next((path for path in paths if str(path) not in found), None)
        if culprit is not None:
            last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
            found[str(culprit)] = {"problem": f"checking it ended with {done.returncode}: {last}"}
    return found


def _judge(
    facts: dict[str, Any], pair: tuple[str, str], made: dict[str, Any], checked: dict[str, Any]
) -> Cell:
    path = Path(made["path"])
    status = made["verification"]["status"]
    claimed = made["verification"].get("relative_error")
    error = checked.get("relative_rms")
    values = {"relative_rms": error, "claimed": claimed, "size_bytes": made["size_bytes"]}
    verdict: Verdict = "drifted" if status == "drifted" else "verified"
    problem = checked["problem"] or _false_facts(path, made) or ""
    if facts["must_refuse"]:
        problem = "should have been refused"
    elif not problem and error is not None:
        problem = _too_far(facts, pair[1], verdict, checked)
    if problem:
        return _cell(pair, "SILENT FAILURE", problem, **values)
    reason = made["verification"].get("reason") or "; ".join(made.get("notes", []))
    return _cell(pair, verdict, reason, **values)


def _false_facts(path: Path, made: dict[str, Any]) -> str:
    if path.suffix != _SUFFIX[made["format"]]:
        return f"a {made['format']} file called {path.name}"
    if path.is_file():
        data = path.read_bytes()
        if len(data) != made["size_bytes"]:
            return f"has {len(data)} bytes, not {made['size_bytes']}"
        if hashlib.sha256(data).hexdigest() != made["sha256"]:
            return "sha256 is another one"
    return ""


def _too_far(
    facts: dict[str, Any], precision: str, verdict: Verdict, checked: dict[str, Any]
) -> str:
    error = checked["relative_rms"]
    bound = facts["tolerance"]
    if precision == "float16":
        bound = max(bound, _FLOAT16_BOUND)
    if precision in ("float32", "float16"):
        return f"relative RMS error {error:.1e}" if error > bound and verdict == "verified" else ""
    least, least_varying = _LEAST_COSINE[verdict]
    if checked["cosine"] < least:
        return f"cosine {checked['cosine']:.2f}, relative RMS error {error:.1e}"
    if not facts["constant"] and checked["varying_cosine"] < least_varying:
        return f"cosine of what varies {checked['varying_cosine']:.2f}"
    return ""


def _cell(pair: tuple[str, str], verdict: Verdict, reason: str, **values: Any) -> Cell:
    reason = re.sub(r"\s+", " ", reason).strip()
    return Cell(format=pair[0], precision=pair[1], verdict=verdict, reason=reason, **values)


def _plain(cell: Cell) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in Cell.__dataclass_fields__}


def tools_present() -> bool:
    """Whether the ``edgekit`` command is beside this Python."""
    return shutil.which(str(Path(sys.executable).parent / "edgekit")) is not None
