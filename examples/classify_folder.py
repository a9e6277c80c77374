"""Classify every image of a folder: a table, or a CSV file.

python examples/classify_folder.py fashion.int8.tflite photos/
python examples/classify_folder.py fashion.int8.tflite photos/ --csv result.csv
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import edgekit

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def main() -> int:
    """Classify, and print or write the result; 1 if a file was no image."""
    parser = argparse.ArgumentParser(description="Classify every image of a folder.")
    parser.add_argument("model", help="a .tflite or .onnx file")
    parser.add_argument("folder", type=Path, help="images; sub-folders are read, too")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the result there")
    parser.add_argument("--labels", help="a text file with one class name a line")
    parser.add_argument("--preprocess", help="how pixels go in, for a file that does not say it")
    options = parser.parse_args()

    if options.csv and (options.csv.is_dir() or not options.csv.parent.is_dir()):
        parser.error(f"--csv {options.csv}: is a folder, or in one that is not there")
    images = sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not images:
        parser.error(f"{options.folder}: no images in it")
    rows, skipped = [], 0
    with edgekit.load(options.model, labels=options.labels, preprocess=options.preprocess) as model:
        for image in images:
            try:
                best = model.classify(image, top=1)[0]
            except edgekit.DataError as error:  # one damaged image is no reason to stop
                print(error, file=sys.stderr)
                skipped += 1
                continue
            rows.append((str(image.relative_to(options.folder)), best.label, best.score))

    if options.csv:
        with options.csv.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("image", "label", "score"))
            table.writerows(rows)
    else:
        width = max((len(name) for name, _, _ in rows), default=0)
        for name, label, score in rows:
            print(f"{name:{width}}  {score:6.1%}  {label}")
    return 1 if skipped else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except edgekit.EdgekitError as error:
        sys.exit(f"error: {error}")
