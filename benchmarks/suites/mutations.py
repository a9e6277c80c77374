#!/usr/bin/env python3
"""Load damaged model files by the thousand: none may end the process, or keep it for ever.

    python -m benchmarks.suites.mutations --count 10000
    python -m benchmarks.suites.mutations --count 10000 --python OTHER/bin/python FILE.tflite…

Each file is damaged (see `edgekit_benchmarks.mutants`), then given to `edgekit.load`, as a path or
as bytes, and run once on zeros. Sealed files are damaged as they are, and also with their seal
made unreadable, so that only the checks of the structure stand between them and the runtime. All
this happens in child processes, many files each; when one dies, the file it had is counted, kept
with ``--keep``, and the next child goes on behind it. Without FILEs, the bundled demo model is
converted to every format and precision. Exit code 1: a file crashed or hung the process, or raised
something else than an EdgekitError; 3: there was nothing to damage.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from edgekit_benchmarks.mutants import Kind, is_mutable, mutate

LIMIT_S = 30
"""A file that takes longer has hung the process."""
LIMIT_BYTES = 8 << 30
"""Address space of a child; the runtimes themselves map one or two gibibytes."""
LARGEST_BYTES = 1 << 21
_SEAL, _NO_SEAL = b"edgekit-seal", b"edgekit-torn"
_COLUMNS = ("seal", "guard", "runtime", "ran", "ERROR", "HUNG", "CRASHED")
_BAD = frozenset(_COLUMNS[4:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One damaged file: which, and what became of it."""

    number: int
    file: str
    outcome: str
    """One of `_COLUMNS`."""
    told: str


def damaged(files: list[Path], number: int, seed: int) -> tuple[Path, bytes]:
    """File number `number` of the run: the same for the same list and seed."""
    path = files[number % len(files)]
    content = path.read_bytes()
    if number // len(files) % 2:
        content = content.replace(_SEAL, _NO_SEAL)
    return path, mutate(content, _kind(path), f"{seed}:{number}")


def _kind(path: Path) -> Kind:
    return "onnx" if path.suffix == ".onnx" else "tflite"


# ---- the child ------------------------------------------------------------------------------


def serve(files: list[Path], first: int, end: int, seed: int, answers: int) -> None:
    """Load and run the files from number `first` to `end`, telling `answers` about each."""
    import edgekit

    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def tell(**facts: Any) -> None:
        os.write(answers, json.dumps(facts).encode() + b"\n")

    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, end):
            path, content = damaged(files, number, seed)
            tell(begins=number, file=path.name)
            signal.alarm(LIMIT_S)
            try:
                outcome, told = _load_and_run(content, _kind(path), Path(folder), number)
            except edgekit.EdgekitError as error:
                outcome, told = "runtime", str(error)
            except MemoryError:
                outcome, told = "runtime", "out of memory"
            except Exception as error:  # what must not be is counted, not raised
                outcome, told = "ERROR", f"{type(error).__name__}: {error}"
            signal.alarm(0)
            tell(ends=number, outcome=outcome, told=told[:300])
    os._exit(0)


def _load_and_run(content: bytes, kind: Kind, folder: Path, number: int) -> tuple[str, str]:
    import numpy as np

    import edgekit
    from edgekit import guard, seal

    try:  # once more what `load` does, to know which of the two refuses the file
        is_sealed = seal.check(content, "file")
    except edgekit.SourceError as error:
        return "seal", str(error)
    try:
        if not is_sealed:
            guard.check(content, kind, "file")
    except edgekit.SourceError as error:
        return "guard", str(error)
    source: bytes | Path = content
    if number % 2:
        source = folder / f"damaged.{kind}"
        source.write_bytes(content)
    with edgekit.load(source) as model:
        zeros = {}
        for spec in model.inputs:
            shape = tuple(1 if size is None else size for size in spec.shape)
            is_text = spec.dtype == "string"
            zeros[spec.name] = (
                np.full(shape, "", object) if is_text else np.zeros(shape, spec.dtype)
            )
        model.run(zeros)
        return "ran", model.backend


# ---- the parent -----------------------------------------------------------------------------


def run_all(files: list[Path], count: int, seed: int, python: str) -> Iterator[Case]:
    """Have all files tried, in as many children as it takes."""
    number = 0
    while number < count:
        reading, writing = os.pipe()
        command = [python, __file__, "--serve", str(writing), str(number), str(count), str(seed)]
        with subprocess.Popen(
            [*command, *map(str, files)],
            pass_fds=(writing,),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as child:
            os.close(writing)
            begun: dict[str, Any] = {}
            with os.fdopen(reading) as lines:
                for facts in map(json.loads, lines):
                    if "begins" in facts:
                        begun = facts
                        continue
                    yield Case(
                        number=facts["ends"],
                        file=begun["file"],
                        outcome=facts["outcome"],
                        told=facts["told"],
                    )
                    number, begun = facts["ends"] + 1, {}
            status = child.wait()
        if begun:
            number = begun["begins"] + 1
            name = signal.Signals(-status).name if status < 0 else f"exit code {status}"
            outcome = "HUNG" if name == "SIGALRM" else "CRASHED"
            yield Case(number=begun["begins"], file=begun["file"], outcome=outcome, told=name)
        elif number < count:
            message = f"the child ended with {status} between two files; run it by hand: {command}"
            raise RuntimeError(message)


def demo_files(folder: Path) -> list[Path]:
    """The bundled model in every format and precision."""
    import edgekit

    demo = Path(edgekit.__file__).parent / "demo_files"
    precisions = ["float32", "float16", "dynamic", "int8"]
    made = edgekit.convert(
        demo / "fashion.keras",
        folder,
        to=["tflite", "onnx"],
        quantize=precisions,
        calibrate=f"{demo / 'fashion.npz'}:calibrate",
        preprocess="scale=1/255",
    )
    return [Path(artifact.path) for artifact in made]


def _usable(files: list[Path]) -> list[Path]:
    return [
        path
        for path in files
        if path.suffix in {f".{kind}" for kind in get_args(Kind)}
        and path.stat().st_size <= LARGEST_BYTES
        and is_mutable(path.read_bytes(), _kind(path))
    ]


def _table(cases: list[Case]) -> str:
    counts: dict[str, collections.Counter[str]] = {}
    runtimes: dict[str, str] = {}
    for case in cases:
        kind = case.file.rpartition(".")[2]
        counts.setdefault(kind, collections.Counter())[case.outcome] += 1
        if case.outcome == "ran":
            runtimes[kind] = case.told
    lines = [f"{'':<30}{'files':>8}" + "".join(f"{name:>9}" for name in _COLUMNS)]
    for kind, found in sorted(counts.items()):
        row = f"{kind}, {runtimes.get(kind, 'no runtime')}"
        lines.append(
            f"{row:<30}{found.total():>8,}" + "".join(f"{found[name]:>9,}" for name in _COLUMNS)
        )
    return "\n".join(lines)


def _watched(cases: Iterator[Case], count: int) -> Iterator[Case]:
    """The same cases; a line on stderr now and then says how far they are."""
    told = time.monotonic()
    for case in cases:
        yield case
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{case.number + 1:,} of {count:,}", file=sys.stderr)


def measure(options: argparse.Namespace, files: list[Path]) -> int:
    """Try all files, print, judge."""
    cases = list(
        _watched(run_all(files, options.count, options.seed, options.python), options.count)
    )
    bad = [case for case in cases if case.outcome in _BAD]
    if options.keep is not None and bad:
        options.keep.mkdir(parents=True, exist_ok=True)
        for case in bad:
            path, content = damaged(files, case.number, options.seed)
            (options.keep / f"{case.number}.{path.name}").write_bytes(content)
    if options.json:
        document = {
            "schema_version": 1,
            "seed": options.seed,
            "count": len(cases),
            "files": [path.name for path in files],
            "outcomes": {
                kind: dict(collections.Counter(c.outcome for c in cases if c.file.endswith(kind)))
                for kind in get_args(Kind)
            },
            "bad": [{"number": c.number, "file": c.file, "told": c.told} for c in bad],
        }
        print(json.dumps(document, indent=2))
    else:
        print(f"{len(cases):,} damaged copies of {len(files)} files, seed {options.seed}")
        print(_table(cases))
        print("seal, guard, runtime: who refused the file; ran: it ran, perhaps with other numbers")
        for case in bad:
            print(f"{case.outcome} number {case.number}, {case.file}: {case.told}")
    return 1 if bad else 0


def main() -> int:
    """Read the command line."""
    if sys.argv[1:2] == ["--serve"]:
        answers, first, end, seed = map(int, sys.argv[2:6])
        serve([Path(name) for name in sys.argv[6:]], first, end, seed, answers)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="undamaged models")
    parser.add_argument("--count", type=int, default=10_000, help="default 10000")
    parser.add_argument("--seed", type=int, default=1, help="default 1")
    parser.add_argument("--python", default=sys.executable, help="of the children")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="put bad files there")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = _usable(options.files or demo_files(Path(folder)))
        if not files:
            print("no .tflite or .onnx file of up to 2 MiB to damage", file=sys.stderr)
            return 3
        return measure(options, files)


if __name__ == "__main__":
    sys.exit(main())
