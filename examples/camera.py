"""Classify what a camera sees, and print it with the frame rate.

python examples/camera.py fashion.int8.tflite                      the Pi's camera, or a USB one
python examples/camera.py fashion.int8.tflite --images photos/     a folder in place of a camera
python examples/camera.py fashion.int8.tflite --video clip.gif     or an animated GIF, WebP, PNG

The Pi's camera needs picamera2 (on Raspberry Pi OS: sudo apt install python3-picamera2, and a
virtual environment made with --system-site-packages); a USB camera needs OpenCV
(pip install opencv-python-headless).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import edgekit

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".webp"}


def main() -> None:
    """Classify frame by frame."""
    parser = argparse.ArgumentParser(description="Classify what a camera sees.")
    parser.add_argument("model", help="a .tflite or .onnx file")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="pictures, in their order")
    parser.add_argument("--video", type=Path, metavar="FILE", help="an animated picture")
    parser.add_argument("--frames", type=int, metavar="N", help="stop after so many")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    if options.images and not options.images.is_dir():
        parser.error(f"--images {options.images}: no such folder")
    if options.video and not options.video.is_file():
        parser.error(f"--video {options.video}: no such file")
    if options.images:
        frames = iter(sorted(p for p in options.images.iterdir() if p.suffix.lower() in SUFFIXES))
    else:
        frames = animation(options.video) if options.video else camera()
    # Loading takes much longer than a call: do it once, in front of the loop.
    with edgekit.load(options.model, threads=options.threads) as model:
        ended: deque[float] = deque([time.perf_counter()], maxlen=31)
        for frame in islice(frames, options.frames):
            best = model.classify(frame, top=1)[0]
            ended.append(time.perf_counter())
            rate = (len(ended) - 1) / (ended[-1] - ended[0])
            print(f"{rate:6.1f} frames/s  {best.score:6.1%}  {best.label}", flush=True)


def animation(path: Path) -> Iterator[Any]:
    """The frames of an animated picture."""
    from PIL import Image, ImageSequence

    try:
        with Image.open(path) as image:
            for frame in ImageSequence.Iterator(image):
                yield frame.convert("RGB")
    except OSError as error:
        sys.exit(f"error: --video {path}: {error}")


def camera() -> Iterator[Any]:
    """Frames as arrays (height, width, 3), red first, from the first camera there is."""
    try:
        from picamera2 import Picamera2
    except ImportError:
        yield from usb_camera()
        return
    with Picamera2() as device:
        # "BGR888" is what libcamera calls an array with red first.
        main_stream = {"format": "BGR888", "size": (640, 480)}
        device.configure(device.create_video_configuration(main=main_stream))
        device.start()
        while True:
            yield device.capture_array()


def usb_camera() -> Iterator[Any]:
    """Frames of the first camera that OpenCV finds, red first."""
    try:
        import cv2
    except ImportError:
        sys.exit("error: camera: neither picamera2 nor OpenCV is installed; try --images FOLDER")
    device = cv2.VideoCapture(0)
    device.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the latest frame, not one from a second ago
    try:
        while True:
            is_there, frame = device.read()
            if not is_there:
                sys.exit("error: camera: gives no picture; is it plugged in, and free?")
            yield frame[..., ::-1]  # OpenCV has blue first
    finally:
        device.release()


if __name__ == "__main__":
    try:
        main()
    except edgekit.EdgekitError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
