"""The programs of ``examples/`` run here: those that need neither a camera nor a network."""

import csv
import os
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Find = Callable[[str], Any]
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

pytestmark = [
    pytest.mark.board,
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="examples/ is not here, only device_tests/"),
]


def _run(name: str, *arguments: object, folder: Path) -> str:
    """What an example prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=300,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def pictures(find: Find, tmp_path: Path) -> tuple[Path, list[int]]:
    """A folder of pictures, and the class of each."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    classes = []
    for number, (inputs, expected) in enumerate(find("fashion.int8").calls()):
        pixels = np.rint(inputs["image"][0, :, :, 0] * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        classes.append(int(expected["scores"].argmax()))
        if number == 2:
            break
    return folder, classes


def _labels(find: Find) -> list[str]:
    import edgekit

    with edgekit.load(find("fashion.int8").path) as model:
        return list(model.labels)


def test_a_folder_is_classified_into_a_table(
    find: Find, backend: str, pictures: tuple[Path, list[int]], tmp_path: Path
) -> None:
    folder, classes = pictures
    result = tmp_path / "result.csv"
    arguments = find("fashion.int8").path, folder, "--csv", result
    _run("classify_folder.py", *arguments, folder=tmp_path)
    with result.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [f"{n}.png" for n in range(len(classes))]
    assert [row["label"] for row in rows] == [_labels(find)[one] for one in classes], backend


def test_the_camera_example_classifies_pictures_in_place_of_a_camera(
    find: Find, backend: str, pictures: tuple[Path, list[int]], tmp_path: Path
) -> None:
    folder, classes = pictures
    arguments = find("fashion.int8").path, "--images", folder, "--frames", 2
    lines = _run("camera.py", *arguments, folder=tmp_path).splitlines()
    assert len(lines) == 2, backend
    for line, one in zip(lines, classes, strict=False):
        assert "frames/s" in line
        assert line.endswith(_labels(find)[one])


@pytest.mark.backends("tflite")
def test_the_smallest_app_runs_beside_its_two_files(
    find: Find, pictures: tuple[Path, list[int]]
) -> None:
    folder, classes = pictures
    shutil.copy(find("fashion.int8").path, folder / "fashion.int8.tflite")
    shutil.copy(folder / "0.png", folder / "boot.png")
    *found, last = _run("embed.py", folder=folder).splitlines()
    assert len(found) == 3
    assert found[0].endswith(_labels(find)[classes[0]])
    assert last == "(1, 10) float32"


def test_keywords_are_heard_in_a_recording(find: Find, backend: str, tmp_path: Path) -> None:
    # Two samples a window, ten a second: rising above 0.7 in class 0, later in class 1.
    sound = np.array([0, 0, 0.9, 0.9, 0, 0, -0.9, 0.9, 0, 0]) * 32767
    recording = tmp_path / "recording.wav"
    with wave.open(str(recording), "wb") as file:
        file.setparams((1, 2, 10, 0, "NONE", ""))
        file.writeframes(sound.astype("<i2").tobytes())
    options = "--rate", 10, "--hop", 1, "--smooth", 1
    printed = _run("keyword_stream.py", find("dense").path, recording, *options, folder=tmp_path)
    assert [line.split() for line in printed.splitlines()] == [
        ["0.40", "s", "135.0%", "0"],
        ["0.80", "s", "180.0%", "1"],
    ], backend
