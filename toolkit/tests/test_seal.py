import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit import seal
from edgekit.errors import OutputError, SourceError

DAMAGED = r"m\.tflite: damaged: it is not what it was when it was sealed; copy or"


def content(before: bytes = b"before", after: bytes = b"after", **entries: object) -> bytes:
    """Bytes with a manifest in them whose seal is not filled in yet."""
    manifest = {"labels": ["a"], **entries, "seal": seal.PLACEHOLDER}
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return before + text.encode() + after


def sealed(path: Path, data: bytes) -> bytes:
    path.write_bytes(data)
    seal.seal(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return sealed(tmp_path_factory.mktemp("sealed") / "m", content(b"x" * 700, bytes(range(256))))


def test_a_sealed_file_is_intact(whole: bytes) -> None:
    assert seal.check(whole, "m.tflite")


def test_sealing_changes_nothing_but_the_digits(whole: bytes) -> None:
    digits = re.compile(rb"[0-9a-f]{64}0{128}[0-9a-f]{8}")
    assert digits.sub(b"0" * 200, whole, count=1) == content(b"x" * 700, bytes(range(256)))


def test_a_file_without_a_seal_has_none() -> None:
    assert not seal.check(b"TFL3 and more", "m.tflite")
    assert not seal.check(b"", "m.tflite")


def test_the_same_content_is_sealed_alike(tmp_path: Path) -> None:
    assert sealed(tmp_path / "a", content()) == sealed(tmp_path / "b", content())


def test_sealing_again_changes_nothing(tmp_path: Path) -> None:
    first = sealed(tmp_path / "a", content())
    assert sealed(tmp_path / "a", first) == first


@settings(max_examples=300)
@given(data=st.data())
def test_any_flipped_byte_is_refused(whole: bytes, data: st.DataObject) -> None:
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SourceError, match=DAMAGED):
        seal.check(bytes(damaged), "m.tflite")


def test_every_flipped_bit_of_the_seal_itself_is_refused(whole: bytes) -> None:
    start = whole.index(b'"seal"')
    for place in range(start, start + len(seal.PLACEHOLDER) + 9):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            with pytest.raises(SourceError, match=DAMAGED):
                seal.check(bytes(damaged), "m.tflite")


@settings(max_examples=100)
@given(cut=st.integers(0, 2000), more=st.binary(max_size=20))
def test_cutting_or_adding_is_never_taken_for_intact(whole: bytes, cut: int, more: bytes) -> None:
    changed = whole[: max(0, len(whole) - cut)] + more
    if changed == whole:
        return
    try:
        assert not seal.check(changed, "m.tflite")
    except SourceError:
        return
    assert b"edgekit-seal:" not in changed


@pytest.mark.parametrize("before", [0, 1 << 18, (1 << 18) - 5, 3 << 20])
@pytest.mark.parametrize("after", [0, 1 << 18, 3 << 20])
def test_the_seal_is_found_wherever_it_is(before: int, after: int, tmp_path: Path) -> None:
    data = sealed(tmp_path / "a", content(b"w" * before, b"w" * after))
    assert seal.check(data, "m.tflite")
    damaged = bytearray(data)
    damaged[-1] ^= 1
    with pytest.raises(SourceError, match=DAMAGED):
        seal.check(bytes(damaged), "m.tflite")


@pytest.mark.parametrize("at", range(-30, 240, 7))
def test_a_seal_across_the_edge_of_what_is_searched_is_found(at: int, tmp_path: Path) -> None:
    data = content(b"w" * ((1 << 20) - at), b"w" * (3 << 20))
    assert seal.check(sealed(tmp_path / "a", data), "m.tflite")


def test_a_label_cannot_pass_for_a_seal(tmp_path: Path) -> None:
    labels = ["edgekit-seal", f'"seal":"{seal.PLACEHOLDER}"', ":edgekit-seal"]
    data = sealed(tmp_path / "a", content(labels=labels))
    assert seal.check(data, "m.tflite")


@pytest.mark.parametrize("count", [0, 2])
def test_only_a_file_with_one_place_for_a_seal_is_sealed(count: int, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(b"model" + content() * count)
    with pytest.raises(SourceError, match=rf"has {count} places for a seal, and needs one"):
        seal.seal(path)


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    found = seal.Seal(offset=0, digest="0" * 64, signature=seal.UNSIGNED)
    with pytest.raises(OutputError, match="cannot be written"):
        seal.write(tmp_path / "nothing" / "m", found)


def test_a_wrong_digest_is_refused_where_it_is_looked_at(whole: bytes, tmp_path: Path) -> None:
    (path := tmp_path / "m").write_bytes(whole)
    found = seal.read(whole, "m")
    assert found is not None
    seal.write(path, found._replace(digest="0" * 64))
    assert seal.check(path.read_bytes(), "m.tflite")
    with pytest.raises(SourceError, match=DAMAGED):
        seal.read(path.read_bytes(), "m.tflite")


def test_looking_at_the_seal_needs_no_openssl(whole: bytes) -> None:
    program = (
        "import sys; from edgekit import seal; data = sys.stdin.buffer.read()\n"
        "assert seal.check(data, 'm'); assert 'hashlib' not in sys.modules, 'hashlib'"
    )
    plain = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}  # it imports it
    subprocess.run([sys.executable, "-c", program], input=whole, check=True, env=plain)


def test_any_buffer_will_do(whole: bytes) -> None:
    assert seal.check(memoryview(whole), "m")
    assert seal.check(memoryview(bytearray(whole)), "m")
    found = seal.read(whole, "m")
    assert found is not None
    assert not found.is_signed


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(data=st.binary(max_size=300))
def test_other_bytes_are_no_seal(data: bytes) -> None:
    assert not seal.check(data, "m")
