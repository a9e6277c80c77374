"""Convert every architecture of the corpus to everything, and see whether it is true.

    python -m scripts.support_matrix --cache /tmp/matrix --write docs/support-matrix.md

Models are built once (`scripts.corpus.build`), results are kept in the cache, one JSON file a model
file: run it again to go on. Exit code 1 when convert said that a file is good, and it is not.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(_ROOT))  # so that `python scripts/support_matrix.py` works as well

from scripts.corpus import build, job, report  # noqa: E402
from scripts.corpus.registry import entries  # noqa: E402

_SAVED_MODELS = ("conv1d", "lstm", "multi_output", "stateful_lstm", "subclassed", "integer_lookup")
_WRONG = ("SILENT FAILURE", "BUG")


def main() -> int:
    """Run what is missing, say what is wrong, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, metavar="DIR")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--write", type=Path, metavar="FILE")
    parser.add_argument("--jobs", type=int, default=1, help="conversions at a time")
    parser.add_argument("--again", action="store_true", help="drop the results kept for --only")
    parser.add_argument("--only-write", action="store_true", help="convert nothing more")
    arguments = parser.parse_args()
    cache: Path = arguments.cache
    if not arguments.only_write and build.build(cache, arguments.only):
        return 1
    (cache / "results").mkdir(exist_ok=True)
    tasks = _tasks(cache, arguments.only)
    if not arguments.only_write:
        if arguments.again:
            for _, key, _, _ in tasks:
                (cache / "results" / f"{key}.json").unlink(missing_ok=True)
        with ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(lambda task: _run(cache, *task), tasks))
    results, covers = _collect(cache, tasks)
    if arguments.write:
        machine = f"{os.cpu_count()}-vCPU {platform.machine().replace('_', '-')} VM"
        text = report.page(
            results,
            covers,
            machine,
            date=datetime.datetime.now(datetime.UTC).date(),
            python=platform.python_version(),
        )
        arguments.write.write_text(text)
    return _verdict(results)


Task = tuple[dict[str, Any], str, str, str]
"""Facts of the architecture, key of the result (the file, or file@format), formats, precisions."""


def _tasks(cache: Path, only: list[str]) -> list[Task]:
    """The first file of each architecture goes to everything, further ones to float32 and int8."""
    tasks: list[Task] = []
    for entry in entries(only=only):
        path = cache / f"{entry.name}.json"
        if not path.exists():
            continue
        facts = json.loads(path.read_text())
        for index, file in enumerate(facts["files"]):
            precisions = "float32,int8" if index else ",".join(job.PRECISIONS)
            tasks.append((facts, file, ",".join(job.FORMATS), precisions))
        if entry.name in _SAVED_MODELS:
            tasks.append((facts, f"{facts['files'][0]}@savedmodel", "savedmodel", "float32"))
    return tasks


def _run(cache: Path, facts: dict[str, Any], key: str, formats: str, precisions: str) -> None:
    kept = cache / "results" / f"{key}.json"
    if kept.exists():
        return
    result = job.run(facts, cache, key.partition("@")[0], formats, precisions)
    kept.write_text(json.dumps(result, indent=1) + "\n")
    verdicts = [cell["verdict"] for cell in result["cells"]]
    told = ", ".join(f"{verdicts.count(each)} {each}" for each in dict.fromkeys(verdicts))
    print(f"{key}: {told} ({result['seconds']:.0f} s)", flush=True)
    for cell in result["cells"]:
        if cell["verdict"] in _WRONG:
            where = f"{cell['format']} {cell['precision']}"
            print(f"  {cell['verdict']} {where}: {cell['reason']}", flush=True)


def _collect(cache: Path, tasks: list[Task]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Results by model file, in order; cells of several runs of one file are put together."""
    results: dict[str, dict[str, Any]] = {}
    covers: dict[str, str] = {}
    for facts, key, _, _ in tasks:
        kept = cache / "results" / f"{key}.json"
        if not kept.exists():
            continue
        result = json.loads(kept.read_text())
        file = result["file"]
        covers[file] = facts["covers"]
        if file in results:
            results[file]["cells"] += result["cells"]
        else:
            results[file] = result
    return list(results.values()), covers


def _verdict(results: list[dict[str, Any]]) -> int:
    wrong = [
        f"{each['file']} {cell['format']} {cell['precision']}: {cell['verdict']}, {cell['reason']}"
        for each in results
        for cell in each["cells"]
        if cell["verdict"] in _WRONG
    ]
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(results)} model files, {len(wrong)} wrong cells")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
