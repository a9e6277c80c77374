#!/usr/bin/env python3
"""What pruning gives in bytes, latency and accuracy; writes the tables of docs/pruning.md.

    apt-get install dataset-fashion-mnist
    python -m benchmarks.suites.pruning --cache ~/.cache/edgekit-pruning

Trains a ResNet and a MobileNetV2 on Fashion-MNIST (about 7 and 20 minutes, once) and takes the
trained models of ``scripts/dev_accuracy.py``. By the command line, all are pruned to half of their
multiply-adds and fine-tuned, and of some 80 % of the weights are set to zero, and the others
clustered. float32 and int8 files of both models are scored on all test samples and timed in turn.
Where a bar is missed, files with two channels in every group show what no pruning can take.
The text of the page is written by hand; the tables between its marks and the picture are replaced.
With ``--retime`` only the times are taken again, of the files in the cache. Exit code 1: a bar is
missed (`bars.py`); 3: the times must not be trusted.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

from .pruning_suite import bars, page
from .pruning_suite.floor import Floor, floors
from .pruning_suite.measure import Result, forget_times, result
from .pruning_suite.plot import plot
from .pruning_suite.tasks import NAMES, runs, task

DOCS = Path(__file__).parents[2] / "docs"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cache", type=Path, required=True, help="folder for data and models")
    parser.add_argument("--only", nargs="+", choices=NAMES, help="some models; writes no page")
    parser.add_argument("--reuse", action="store_true", help="take what the cache has of results")
    parser.add_argument("--retime", action="store_true", help="like --reuse, but time anew")
    arguments = parser.parse_args()
    cache: Path = arguments.cache.resolve()
    names = arguments.only or NAMES
    reuse = arguments.reuse or arguments.retime
    results: list[Result] = []
    for name in names:
        if arguments.retime:
            forget_times(cache, name)
        for kind, options in runs(name).items():
            results.append(result(task(name, cache), kind, options, cache, reuse=reuse))
            print(f"{name}, {kind}: done", file=sys.stderr)
    misses = bars.missed(results)
    missed = dict.fromkeys(one.task for one in misses if one.kind == "structured")
    least = {name: floors(task(name, cache), cache, reuse=reuse) for name in missed}
    return tell(results, misses, least, writes=not arguments.only)


def tell(
    results: list[Result],
    misses: list[bars.Miss],
    least: dict[str, tuple[Floor, ...]],
    *,
    writes: bool,
) -> int:
    """Write the page or print its tables; what is missed goes to stderr."""
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    text = page.tables(results, misses, least, today)
    if writes:
        page.write(DOCS / "pruning.md", text)
        plot(results, DOCS / "images" / "pruning.png")
    else:
        print(text)
    invalid = [doubt for one in results for doubt in one.doubts if "INVALID" in doubt]
    told = [f"{one.task}, {one.kind}, {one.precision}: {one.what}" for one in misses]
    print("\n".join(told), file=sys.stderr)
    if invalid:
        print("\n".join(invalid), file=sys.stderr)
        return 3
    return 1 if misses else 0


if __name__ == "__main__":
    sys.exit(main())
