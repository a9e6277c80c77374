"""Folders of sounds."""

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.data import open_data
from edgekit.data_wav import from_pcm, read_wav
from edgekit.errors import DataError
from edgekit.tensors import TensorSpec

SPEC = [TensorSpec(name="sound", shape=(None, 10), dtype="float32")]
RAMP = np.arange(-5, 5, dtype="<i2") * 1000


def write(
    path: Path, data: bytes, *, width: int = 2, channels: int = 1, rate_hz: int = 16000
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(data)
    return path


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@given(numbers=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20))
def test_every_width_is_scaled_to_minus_one_to_one(width: int, numbers: list[int]) -> None:
    bits = 8 * width
    stored = [number % 2**bits for number in numbers]
    data = b"".join(number.to_bytes(width, "little") for number in stored)
    if width == 1:
        real = [(number - 128) / 128 for number in stored]
    else:
        real = [(n - 2**bits if n >= 2 ** (bits - 1) else n) / 2 ** (bits - 1) for n in stored]
    made = from_pcm(data, width)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, real, rtol=1e-7, atol=0)
    assert np.all(np.abs(made) <= 1)


def test_sounds_are_padded_with_silence(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", RAMP[:4].tobytes())
    sound = open_data(str(tmp_path), SPEC).batch([0])["sound"][0]
    assert np.array_equal(sound, np.concatenate([RAMP[:4] / 32768, np.zeros(6)]))


def test_sounds_are_cut(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.tile(RAMP, 5).tobytes())
    sound = open_data(str(tmp_path), SPEC).batch([0])["sound"][0]
    assert np.array_equal(sound, RAMP / 32768)


def test_channels_are_averaged(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.array([8, 16, -8, 8], "<i2").tobytes(), channels=2)
    sound, rate_hz = read_wav(path)
    assert (sound * 32768).tolist() == [12, 0]
    assert rate_hz == 16000


def test_an_input_with_a_channel_axis_is_served(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", RAMP.tobytes())
    spec = TensorSpec(name="sound", shape=(None, 10, 1), dtype="float32")
    assert open_data(str(tmp_path), [spec]).batch([0])["sound"].shape == (1, 10, 1)


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    for name in ("yes", "no"):
        write(tmp_path / name / "a.wav", RAMP.tobytes())
    data = open_data(str(tmp_path), SPEC)
    assert data.class_names == ("no", "yes")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1]


def test_different_sample_rates_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", RAMP.tobytes())
    write(tmp_path / "b.wav", RAMP.tobytes(), rate_hz=8000)
    with pytest.raises(DataError, match=r"b\.wav: is sampled at 8000 Hz, a\.wav at 16000 Hz"):
        open_data(str(tmp_path), SPEC).batch([0, 1])


def test_different_lengths_for_an_input_of_open_length_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", RAMP.tobytes())
    write(tmp_path / "b.wav", RAMP[:5].tobytes())
    spec = TensorSpec(name="sound", shape=(None, None), dtype="float32")
    with pytest.raises(DataError, match=r"b\.wav: has 5 samples, others 10"):
        open_data(str(tmp_path), [spec]).batch([0, 1])


def riff(form: bytes, data: bytes) -> bytes:
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


FLOAT_FORMAT = struct.pack("<HHIIHH", 3, 1, 16000, 64000, 4, 32)
WIDE_FORMAT = struct.pack("<HHIIHH", 1, 1, 16000, 128000, 8, 64)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not a PCM .wav"),
        (b"not a sound", "not a PCM .wav"),
        (riff(FLOAT_FORMAT, bytes(40)), r"not a PCM .wav file \(unknown format: 3\)"),
        (riff(FLOAT_FORMAT, b"")[:12] + b"LIST\xff\xff\xff\x7f", "not a PCM .wav"),
        (riff(WIDE_FORMAT, bytes(40)), "64 bits a sample"),
        (riff(struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16), b""), "has no samples"),
    ],
)
def test_what_is_no_pcm_is_refused_by_name(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.wav: .*{told}"):
        open_data(str(tmp_path), SPEC)


def test_pcm_in_the_extensible_form_is_read(tmp_path: Path) -> None:
    form = struct.pack("<HHIIHH", 0xFFFE, 1, 16000, 32000, 2, 16)
    form += struct.pack("<HHI", 22, 16, 4) + bytes.fromhex("0100000000001000800000aa00389b71")
    (tmp_path / "a.wav").write_bytes(riff(form, RAMP.tobytes()))
    sound = open_data(str(tmp_path), SPEC).batch([0])["sound"][0]
    assert np.array_equal(sound, RAMP / 32768)


def test_floats_in_the_extensible_form_are_refused(tmp_path: Path) -> None:
    form = struct.pack("<HHIIHH", 0xFFFE, 1, 16000, 64000, 4, 32)
    form += struct.pack("<HHI", 22, 32, 4) + bytes.fromhex("0300000000001000800000aa00389b71")
    (tmp_path / "a.wav").write_bytes(riff(form, bytes(40)))
    with pytest.raises(DataError, match="not a PCM .wav"):
        open_data(str(tmp_path), SPEC)


def test_a_truncated_sound_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", RAMP.tobytes())
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(DataError, match=r"a\.wav: is truncated"):
        open_data(str(tmp_path), SPEC)


def test_sounds_for_an_input_of_spectrograms_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", RAMP.tobytes())
    spec = TensorSpec(name="sound", shape=(None, 49, 40), dtype="float32")
    with pytest.raises(DataError, match=r"takes \(49, 40\) a sample, not \(length,\)"):
        open_data(str(tmp_path), [spec])


def test_sounds_for_several_inputs_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", RAMP.tobytes())
    with pytest.raises(DataError, match="the model has the inputs sound, b"):
        open_data(str(tmp_path), [*SPEC, TensorSpec(name="b", shape=(None, 1), dtype="float32")])
