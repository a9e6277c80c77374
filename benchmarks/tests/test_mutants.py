from pathlib import Path

import pytest

import edgekit
from edgekit_benchmarks.mutants import Kind, is_mutable, mutate

FILES = Path(edgekit.__file__).parent / "probe_files"
KINDS: tuple[Kind, ...] = ("tflite", "onnx")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def data(kind: Kind) -> bytes:
    return (FILES / f"add.{kind}").read_bytes()


def test_the_same_seed_gives_the_same_damage(data: bytes, kind: Kind) -> None:
    assert mutate(data, kind, "1:7") == mutate(data, kind, "1:7")


def test_nearly_every_seed_gives_another_damage(data: bytes, kind: Kind) -> None:
    made = {mutate(data, kind, f"1:{number}") for number in range(300)}
    assert len(made) > 200
    assert sum(content == data for content in made) <= 1


def test_damage_is_mostly_small(data: bytes, kind: Kind) -> None:
    lengths = [len(mutate(data, kind, str(number))) for number in range(300)]
    near = [length for length in lengths if abs(length - len(data)) <= 64]
    assert len(near) > 200
    assert min(lengths) < len(data)


def test_what_is_no_model_is_not_damaged(kind: Kind) -> None:
    assert not is_mutable(b"\xff" * 40, kind)
