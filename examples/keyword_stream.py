"""Listen for keywords in a .wav file, or in what a microphone hears.

python examples/keyword_stream.py keywords.int8.tflite recording.wav
arecord -q -t raw -f S16_LE -r 16000 -c 1 | python examples/keyword_stream.py keywords.int8.tflite -

For a model that takes sound, ``(1, samples)`` or ``(1, samples, 1)``, and gives a score for each
keyword. Its steps of preparing sound are in the file.
"""

from __future__ import annotations

import argparse
import sys
import wave
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

import edgekit

FULL_SCALE = np.float32(32768)  # of 16-bit sound


def main() -> None:
    """Print each keyword when it is heard."""
    parser = argparse.ArgumentParser(description="Listen for keywords.")
    parser.add_argument("model", help="a .tflite or .onnx file")
    parser.add_argument("sound", help="a 16-bit .wav file, or - for raw 16-bit sound on stdin")
    parser.add_argument("--rate", type=int, default=16000, help="samples a second (%(default)s)")
    parser.add_argument("--hop", type=float, default=0.25, help="of a window (%(default)s)")
    parser.add_argument("--smooth", type=int, default=3, help="windows to average (%(default)s)")
    parser.add_argument("--threshold", type=float, default=0.7, help="a score (%(default)s)")
    parser.add_argument("--ignore", nargs="*", default=["background", "silence", "unknown"])
    parser.add_argument("--raw", action="store_true", help="the model takes -32768..32767")
    options = parser.parse_args()
    if options.smooth < 1 or options.rate < 10:
        parser.error("--smooth takes 1 or more windows, --rate 10 or more samples")

    with edgekit.load(options.model) as model:
        has_state = bool(model.manifest.get("states"))  # then windows follow without overlap
        window = model.stream().window
        stream = model.stream(hop=None if has_state else max(1, int(options.hop * window)))
        recent: deque[Any] = deque(maxlen=options.smooth)
        heard = ""
        for chunk in chunks(options.sound, options.rate):
            for result in stream.feed(chunk if options.raw else chunk / FULL_SCALE):
                recent.append(result.output[0])
                scores = np.mean(recent, axis=0)
                best = int(scores.argmax())
                label = model.labels[best] if model.labels else str(best)
                if scores[best] < options.threshold or label in options.ignore:
                    heard = ""
                elif label != heard:  # said once, reported once
                    heard = label
                    end = (result.start + window) / options.rate
                    print(f"{end:8.2f} s  {scores[best]:6.1%}  {label}", flush=True)


def chunks(name: str, rate_hz: int) -> Iterator[Any]:
    """One channel of sound as int16, a tenth of a second at a time."""
    size = rate_hz // 10
    if name == "-":
        while data := sys.stdin.buffer.read(2 * size):
            yield np.frombuffer(data[: len(data) // 2 * 2], "<i2")
        return
    try:
        with wave.open(name, "rb") as file:
            if file.getsampwidth() != 2 or file.getframerate() != rate_hz:
                found = f"{8 * file.getsampwidth()} bits, {file.getframerate()} Hz"
                sys.exit(f"error: {name}: has {found}; make it 16 bits, {rate_hz} Hz")
            while data := file.readframes(size):
                frames = np.frombuffer(data, "<i2").reshape(-1, file.getnchannels())
                yield frames.mean(axis=1).astype(np.int16)
    except (OSError, EOFError, wave.Error) as error:
        sys.exit(f"error: {name}: {str(error) or 'ends too early'}; give a .wav file of PCM")


if __name__ == "__main__":
    try:
        main()
    except edgekit.EdgekitError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
