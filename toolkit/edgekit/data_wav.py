"""A folder of sounds as data: PCM ``.wav`` files; sub-folders, if any, are the classes.

Samples are float32 from -1 to 1, one channel (the mean of several), cut or zero-padded at the end
to the length the input takes. Nothing is resampled: all files must have one sample rate.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data_folder import classify
from edgekit.data_source import Source
from edgekit.errors import DataError
from edgekit.quote import first_line
from edgekit.tensors import TensorSpec

Array = NDArray[Any]

_MOST_FRAMES = 1 << 28


class SoundColumn:
    """Sounds that are read when they are asked for."""

    def __init__(self, paths: Sequence[Path], length: int | None, *, channel_axis: bool) -> None:
        """Remember the files; `length` None takes them as long as they are."""
        self.paths = paths
        self.length = length
        self.channel_axis = channel_axis
        self.prepared = False
        self._rate: tuple[int, Path] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, indices: NDArray[np.intp]) -> Array:
        """The sounds at `indices`: ``(len(indices), length)``, or ``(…, length, 1)``.

        Raises:
            DataError: one is no PCM, is truncated, or has another sample rate or length than the
                others; the message names it.
        """
        sounds: list[NDArray[np.float32]] = []
        for index in indices:
            path = self.paths[index]
            sound, rate_hz = read_wav(path, self.length)
            self._check_rate(path, rate_hz)
            if self.length is not None:
                sound = np.pad(sound, (0, self.length - len(sound)))
            elif sounds and len(sound) != len(sounds[0]):
                message = (
                    f"{path}: has {len(sound)} samples, others {len(sounds[0])}, and the model "
                    "leaves the length open; cut them to one length"
                )
                raise DataError(message)
            sounds.append(sound)
        stacked = np.stack(sounds)
        return stacked[..., np.newaxis] if self.channel_axis else stacked

    def _check_rate(self, path: Path, rate_hz: int) -> None:
        if self._rate is None:
            self._rate = (rate_hz, path)
        elif rate_hz != self._rate[0]:
            message = (
                f"{path}: is sampled at {rate_hz} Hz, {self._rate[1].name} at {self._rate[0]} Hz; "
                "resample them to what the model was trained on"
            )
            raise DataError(message)


def read_sounds(folder: Path, inputs: Sequence[TensorSpec]) -> Source:
    """Every ``.wav`` of `folder`, for an input of ``(length,)`` or ``(length, 1)`` a sample.

    Raises:
        DataError: no files, a model with several inputs, or an input that takes no raw sound.
    """
    paths, labels, class_names = classify(folder, (".wav",), ".wav files")
    if len(inputs) > 1:
        names = ", ".join(spec.name for spec in inputs)
        message = f"are sounds, the model has the inputs {names}; give a .npz with an array each"
        raise DataError(message)
    shape = inputs[0].shape[1:]
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] in (1, None))):
        message = (
            f"are sounds, the input {inputs[0].name!r} takes {tuple(shape)} a sample, not "
            "(length,) or (length, 1); give what the model takes (spectrograms?) as .npz"
        )
        raise DataError(message)
    column = SoundColumn(paths, shape[0], channel_axis=len(shape) == 2)
    return Source(columns={inputs[0].name: column}, labels=labels, class_names=class_names)


def read_wav(path: Path, most: int | None = None) -> tuple[NDArray[np.float32], int]:
    """The first `most` frames (all, if None) as one channel, and the sample rate in hertz.

    Raises:
        DataError: no PCM with 8, 16, 24 or 32 bits, empty, truncated, or longer than memory.
    """
    try:
        with path.open("rb") as file, wave.open(_with_plain_header(file)) as sound:
            total, channels = sound.getnframes(), sound.getnchannels()
            width, rate_hz = sound.getsampwidth(), sound.getframerate()
            count = total if most is None else min(most, total)
            if count * channels > _MOST_FRAMES:
                message = f"{path}: has {count} frames; cut it into shorter pieces"
                raise DataError(message)
            data = sound.readframes(count)
    except (wave.Error, EOFError, RuntimeError) as error:  # the last: a chunk beyond the end
        what = first_line(error) if str(error) else "it ends too early"
        message = f"{path}: not a PCM .wav file ({what}); convert it to 16-bit PCM"
        raise DataError(message) from None
    except PermissionError:
        message = f"{path}: no permission to read it; change its permissions"
        raise DataError(message) from None
    if width not in (1, 2, 3, 4):
        message = f"{path}: has {width * 8} bits a sample; convert it to 16-bit PCM"
        raise DataError(message)
    if count == 0 or len(data) < count * channels * width:
        what = "has no samples" if count == 0 else "is truncated"
        message = f"{path}: {what}; record it again, or take it out"
        raise DataError(message)
    frames = from_pcm(data, width).reshape(count, channels)
    return frames.mean(axis=1, dtype=np.float32), rate_hz


def _with_plain_header(file: IO[bytes]) -> IO[bytes]:
    """The same file; PCM in the "extensible" form, as many programs write it, in the plain one."""
    start = file.read(4096)
    file.seek(0)
    form = start.find(b"fmt ") + 8  # where the chunk's content starts
    extensible, pcm = b"\xfe\xff", b"\x01\x00"
    if form < 20 or start[form : form + 2] != extensible or start[form + 24 : form + 26] != pcm:
        return file
    content = file.read()
    return io.BytesIO(content[:form] + pcm + content[form + 2 :])


def from_pcm(data: bytes, width: int) -> NDArray[np.float32]:
    """Little-endian PCM of `width` bytes a sample as float32: ``real = stored / 2**(bits - 1)``.

    8-bit samples are unsigned, with silence at 128; the others are signed.

    >>> from_pcm(bytes([0, 128, 255]), 1).tolist(), from_pcm(bytes([0, 128]), 2).tolist()
    ([-1.0, 0.0, 0.9921875], [-1.0])
    """
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / np.float32(128)
    if width == 3:
        three = np.frombuffer(data, np.uint8).reshape(-1, 3)
        four = np.zeros((len(three), 4), np.uint8)
        four[:, 1:] = three  # times 256: the sign is where int32 has it
        data, width = four.tobytes(), 4
    stored = np.frombuffer(data, f"<i{width}")
    return stored.astype(np.float32) / np.float32(2 ** (8 * width - 1))
