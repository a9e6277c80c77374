"""Decoding images: every mode a file can have, and files that are no images."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.errors import DataError
from edgekit.pixels import decode, image_layout, is_channels_first, is_image_like, open_image

RGB = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def test_rgb_is_read_as_it_is(tmp_path: Path) -> None:
    path = saved(Image.fromarray(RGB), tmp_path / "a.png")
    assert np.array_equal(decode(open_image(path), 3), RGB)


def test_the_exif_orientation_turns_the_picture_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees: to be shown, turn it clockwise
    path = saved(Image.fromarray(RGB), tmp_path / "a.png", exif=exif)
    assert np.array_equal(decode(open_image(path), 3), np.rot90(RGB, -1))


def test_damaged_exif_data_are_refused(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(Image.fromarray(RGB), tmp_path / "a.webp", exif=exif)
    path.write_bytes(
        path.read_bytes().replace(b"MM\x00*", b"XX\x00*").replace(b"II*\x00", b"XX*\x00")
    )
    with pytest.raises(DataError, match="its EXIF data are damaged"):
        decode(open_image(path), 3)


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    two = Image.new("P", (2, 1))
    two.putpalette([255, 0, 0, 0, 0, 255])
    two.putdata([0, 1])
    pixels = decode(open_image(saved(two, tmp_path / "a.png")), 3)
    assert pixels.tolist() == [[[255, 0, 0], [0, 0, 255]]]


def test_alpha_is_dropped_for_three_channels(tmp_path: Path) -> None:
    alpha = np.dstack([RGB, np.zeros((6, 4), np.uint8)])
    path = saved(Image.fromarray(alpha), tmp_path / "a.png")
    assert np.array_equal(decode(open_image(path), 3), RGB)


def test_alpha_is_kept_for_four_channels(tmp_path: Path) -> None:
    path = saved(Image.fromarray(RGB), tmp_path / "a.png")
    assert np.all(decode(open_image(path), 4)[..., 3] == 255)


def test_gray_becomes_three_channels_where_the_input_has_three(tmp_path: Path) -> None:
    path = saved(Image.fromarray(RGB[..., 0]), tmp_path / "a.png")
    assert np.array_equal(decode(open_image(path), 3), np.repeat(RGB[..., :1], 3, axis=-1))


def test_an_open_channel_count_is_that_of_the_picture() -> None:
    assert decode(Image.fromarray(RGB[..., 0]), None).shape == (6, 4, 1)
    assert decode(Image.fromarray(RGB), None).shape == (6, 4, 3)


def test_sixteen_bit_gray_keeps_its_upper_bits(tmp_path: Path) -> None:
    deep = np.array([[0, 256, 65535]], np.uint16)
    path = saved(Image.fromarray(deep), tmp_path / "a.png")
    assert decode(open_image(path), 1)[..., 0].tolist() == [[0, 1, 255]]


def test_one_bit_pictures_are_black_and_white(tmp_path: Path) -> None:
    path = saved(Image.fromarray(np.array([[True, False]])), tmp_path / "a.png")
    assert decode(open_image(path), 1)[..., 0].tolist() == [[255, 0]]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = saved(Image.new("CMYK", (4, 4), (0, 0, 0, 0)), tmp_path / "a.jpg")
    assert np.all(decode(open_image(path), 3) >= 254)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    path = saved(Image.fromarray(np.zeros((2, 2), np.float32)), tmp_path / "a.tif")
    with pytest.raises(DataError, match="32-bit 'F' pixels"):
        decode(open_image(path), 1)


def test_a_channel_count_no_picture_has_is_refused() -> None:
    with pytest.raises(DataError, match="images have 1, 3 or 4"):
        decode(Image.fromarray(RGB), 7)


@pytest.mark.parametrize("content", [b"", b"not an image at all", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png: not a readable image"):
        open_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "tif", "webp"])
def test_a_truncated_image_is_refused(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(Image.fromarray(noise), tmp_path / f"a.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="not a readable image"):
        open_image(path)


def test_a_missing_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such image"):
        open_image(tmp_path / "a.png")


@pytest.mark.parametrize("side", [9_000, 12_000, 50_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path = tmp_path / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9)))
    )
    with pytest.raises(DataError, match="more than 64 million pixels"):
        open_image(path)


def test_layouts_are_told_apart() -> None:
    assert image_layout((None, None, 3)) == (None, None, 3)
    assert image_layout((1, 28, 28)) == (28, 28, 1)
    assert image_layout((28, 28)) == (28, 28, 1)
    assert not is_channels_first((28, 28, 1))
    assert is_channels_first((3, None, None))


def test_an_input_that_takes_no_pictures_is_refused() -> None:
    with pytest.raises(DataError, match="which is no picture"):
        image_layout((10,))


def test_only_rank_four_with_a_channel_axis_is_image_like() -> None:
    assert is_image_like((None, 28, 28, 1))
    assert is_image_like((1, 3, 28, 28))
    assert not is_image_like((None, 28, 28))
    assert not is_image_like((None, 28, 28, 16))
