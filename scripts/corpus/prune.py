"""Cut half of the channels out of every architecture, convert what is left everywhere, and say so.

python -m scripts.corpus.prune CORPUS [--minutes 20] [--out docs/pruning-matrix.md]

CORPUS is what ``python -m scripts.corpus.build CORPUS`` made. An architecture is cut, saved, loaded
again, converted to TFLite and ONNX in float32 and int8, and verified; or refused, with the reason.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scripts.corpus.registry import Entry, entries

from edgekit.artifact import Conversion
from edgekit.child import Limits
from edgekit.errors import EdgekitError
from edgekit.progress import Progress
from edgekit.request import ConvertRequest
from edgekit_converters import keras_source
from edgekit_converters.convert import convert
from edgekit_converters.pruning.channels.choose import Target, plan, rank
from edgekit_converters.pruning.channels.cut import cut
from edgekit_converters.pruning.trace.trace import trace
from edgekit_converters.pruning.translation.translate import to_keras3
from edgekit_converters.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one architecture."""

    name: str
    groups: int = 0
    parameters: tuple[int, int] = (0, 0)
    macs: tuple[int, int] = (0, 0)
    left: str = ""
    converts: str = ""
    refused: str = ""

    def line(self) -> str:
        """A row of the table."""
        if self.refused:
            return f"| {self.name} | refused: {self.refused} | | | |"
        counts = [f"{after / max(1, before):.0%}" for before, after in (self.parameters, self.macs)]
        cells = [self.name, str(self.groups), " / ".join(counts), self.converts, self.left]
        return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", type=Path, default=Path("docs/pruning-matrix.md"))
    given = parser.parse_args()
    ends = time.monotonic() + 60 * given.minutes
    outcomes: list[Outcome] = []
    missed: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Workers(Limits(time_s=240), verbose=False, on_event=lambda _: None) as workers,
    ):
        for entry in (*entries(framework="keras3"), *entries(framework="keras2")):
            path = (
                given.corpus / f"{entry.name}{'.keras' if entry.framework == 'keras3' else '.h5'}"
            )
            if not path.is_file():
                continue
            if time.monotonic() > ends:
                missed.append(entry.name)
                continue
            outcome = _outcome(entry, path, Path(folder), workers)
            outcomes.append(outcome)
            print(outcome.line(), flush=True)
            _write(given.out, outcomes, missed)
    _write(given.out, outcomes, missed)


def _outcome(entry: Entry, path: Path, folder: Path, workers: Workers) -> Outcome:
    objects = str(Path(__file__).with_name(entry.custom_objects)) if entry.custom_objects else None
    trust = "--trust-model" in entry.arguments
    try:
        loaded = keras_source.load(str(path), custom_objects=objects, trust=trust)
        model = loaded.model
        if loaded.framework == "tf_keras":
            model = to_keras3(model, name=path.name)
        graph = trace(model)
        if not graph.groups:
            reasons = dict.fromkeys(left.reason for left in graph.left)
            return Outcome(
                name=entry.name, refused=_cell("; ".join([*reasons][:2]) or "no channels")
            )
        made = plan(rank(model, graph), Target(kind="sparsity", amount=0.5))
        out = folder / f"{entry.name}.keras"
        cut(model, graph, made.removed).save(out)
    except EdgekitError as error:
        return Outcome(name=entry.name, refused=_cell(str(error).replace(str(path), path.name)))
    left = dict.fromkeys(one.reason for one in graph.left)
    return Outcome(
        name=entry.name,
        groups=len(graph.groups),
        parameters=(graph.parameters(), made.parameters),
        macs=(graph.macs(), made.macs),
        left=_cell("; ".join([*left][:2])),
        converts=_converts(entry, path, out, folder, workers, objects),
    )


def _converts(
    entry: Entry,
    original: Path,
    cut_file: Path,
    folder: Path,
    workers: Workers,
    objects: str | None,
) -> str:
    """What the cut model converts to, next to what the original does."""
    told = []
    for model in (cut_file, original):
        done = _convert(entry, original, model, folder / "files", workers, objects)
        if isinstance(done, str):
            failed = {done}
        else:
            failed = {f"{one.format} {one.precision}" for one in done.failures}
        told.append(failed)
        if not failed:
            return "everywhere"
    cut_fails, original_fails = told
    if cut_fails <= original_fails:
        return _cell("as the original: not " + ", ".join(sorted(cut_fails)))
    return _cell("**not " + ", ".join(sorted(cut_fails - original_fails)) + "**")


def _convert(
    entry: Entry, original: Path, model: Path, out: Path, workers: Workers, objects: str | None
) -> Conversion | str:
    arguments = list(entry.arguments)
    batch = arguments[arguments.index("--batch") + 1] if "--batch" in arguments else None
    shapes = {}
    for at, word in enumerate(arguments):
        if word == "--input-shape":
            name, _, sizes = arguments[at + 1].partition("=")
            shapes[name] = tuple(None if size == "?" else int(size) for size in sizes.split(","))
    try:
        request = ConvertRequest(
            source=model,
            out=out,
            formats=("tflite", "onnx"),
            precisions=("float32", "int8"),
            calibrate=str(original.with_suffix(".npz")),
            batch={"dynamic": 0}.get(batch, int(batch) if batch.isdigit() else None)
            if batch
            else None,
            shapes=shapes,
            custom_objects=Path(objects) if objects else None,
            trust="--trust-model" in arguments,
            allow_flex="--allow-flex" in arguments,
            force=True,
            limits=Limits(time_s=240),
        )
        return convert(request, Progress(total=1, enabled=False), workers=workers)
    except EdgekitError as error:
        return str(error).replace(str(model), original.name)


def _write(out: Path, outcomes: list[Outcome], missed: list[str]) -> None:
    cut_ones = [one for one in outcomes if not one.refused]
    everywhere = [one for one in cut_ones if not one.converts.startswith("**")]
    lines = [
        "# What structured pruning does with every architecture of the corpus",
        "",
        "Written by `python -m scripts.corpus.prune CORPUS`; do not edit. Half of the channels of",
        "every group are cut (`--sparsity 50%`, by magnitude; weights are random), the model is",
        "saved, loaded again, converted to TFLite and ONNX in float32 and int8, and verified.",
        "Models of Keras 2 are translated first. *Left*: parameters / multiply-adds that are left.",
        "",
        f"{len(outcomes)} architectures: {len(cut_ones)} cut, of which {len(everywhere)} convert "
        f"wherever the original does; {len(outcomes) - len(cut_ones)} refused with a reason.",
        "",
        "| architecture | groups | left | converts | not cut, and why |",
        "| --- | ---: | ---: | --- | --- |",
        *(one.line() for one in outcomes),
    ]
    if missed:
        lines += ["", f"Not run in this table: {', '.join(missed)}."]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())[:240]


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
