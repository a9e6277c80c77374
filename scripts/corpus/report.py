"""Write the support matrix as a Markdown page."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from importlib.metadata import version
from typing import Any

from scripts.corpus.job import FORMATS, PRECISIONS

_PACKAGES = (
    "tensorflow",
    "keras",
    "tf-keras",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "numpy",
)


def page(
    results: list[dict[str, Any]],
    covers: dict[str, str],
    machine: str,
    *,
    date: datetime.date,
    python: str,
) -> str:
    """The whole page; `results` as `scripts.corpus.job.run` returns them, `covers` by file."""
    reasons: dict[str, int] = {}
    verdicts: Counter[str] = Counter(cell["verdict"] for each in results for cell in each["cells"])
    tables = [part for name in (*FORMATS, "savedmodel") for part in _table(results, name, reasons)]
    lines = [
        "# Support matrix",
        "",
        f"{len(results)} model files of {len(set(covers.values()))} architectures, Keras 3 and",
        "Keras 2, each converted to every format and precision by `edgekit convert`, and then",
        "checked by other code: the file is loaded by LiteRT or ONNX Runtime in a fresh process,",
        "run on samples the quantizers did not see and on those they did, and compared with what",
        "Keras answered when the model was built. Weights are seeded, heads fitted, normalisation",
        "statistics settled; the data are synthetic. So this page shows what converts and how",
        "close it stays, not what quantization costs a model trained on your data.",
        "",
        "    python -m scripts.support_matrix --cache DIR --write docs/support-matrix.md",
        "",
        f"{date.isoformat()}, {machine}, Python {python}; "
        + ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
        + ".",
        "",
        f"Cells: {verdicts['verified']} verified, {verdicts['drifted']} drifted, "
        f"{verdicts['refused']} refused, {verdicts['SILENT FAILURE']} silent failures, "
        f"{verdicts['BUG']} bugs.",
        "",
        "- `3e-7 · 12 KB` is *verified*: relative RMS error (worst output), size of the file.",
        "- *drifted*: made, loads and runs; convert itself says that it is damaged, on stderr and",
        "  in the file.",
        "- *refused*: no file, exit code 1; the number leads to the reason below.",
        "- **SILENT FAILURE**: exit code 0 and a file that does not load, match or make sense.",
        "",
        *tables,
        "## Reasons",
        "",
        *(f"{number}. {reason}" for reason, number in reasons.items()),
        "",
        "## What each model is",
        "",
        *(f"- `{file}`: {cover}" for file, cover in covers.items()),
        "",
    ]
    return "\n".join(lines)


def _table(results: list[dict[str, Any]], name: str, reasons: dict[str, int]) -> list[str]:
    columns = ("float32",) if name == "savedmodel" else PRECISIONS
    rows = []
    for each in results:
        cells = {c["precision"]: c for c in each["cells"] if c["format"] == name}
        if cells:
            texts = [_text(cells.get(column), each["file"], reasons) for column in columns]
            rows.append(f"| `{each['file']}` | {' | '.join(texts)} |")
    if not rows:
        return []
    title = {"tflite": "TFLite", "onnx": "ONNX", "savedmodel": "SavedModel"}[name]
    head = [f"| model | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    return [f"## {title}", "", *head, *rows, ""]


def _text(cell: dict[str, Any] | None, file: str, reasons: dict[str, int]) -> str:
    if cell is None:
        return ""
    verdict = cell["verdict"]
    numbers = ""
    if cell["relative_rms"] is not None:
        numbers = f"{_short(cell['relative_rms'])} · {_size(cell['size_bytes'])}"
    if verdict == "verified":
        return numbers
    if verdict == "drifted":
        return f"*drifted* {numbers}"
    number = reasons.setdefault(_general(cell["reason"], file), len(reasons) + 1)
    if verdict == "refused":
        return f"refused [{number}]"
    return f"**{verdict}** [{number}]"


def _general(reason: str, file: str) -> str:
    """The reason without what belongs to this one model, so that equal reasons share a number."""
    stem = file.split(".", maxsplit=1)[0]
    text = re.sub(r"/\S*/", "", reason)
    text = re.sub(rf"\b{re.escape(stem)}\b(\.\w+)*", "MODEL", text)
    text = re.sub(r"relative error [\d.e+-]+", "relative error …", text)
    text = re.sub(r"\d+ of \d+ decisions", "… decisions", text)
    text = re.sub(r"\d+ bytes", "… bytes", text)
    return text.replace("|", "\\|").replace("<", "\\<")


def _short(value: float) -> str:
    if value < 1e-3:
        return re.sub(r"e-0", "e-", f"{value:.0e}")
    return f"{value:.2g}".removeprefix("0")


def _size(size_bytes: int) -> str:
    if size_bytes < 10_000_000:
        return f"{round(size_bytes / 1000):,} KB" if size_bytes >= 1000 else f"{size_bytes} B"
    return f"{size_bytes / 1e6:.0f} MB"
