"""What a converted file carries to test itself with, from real conversions."""

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import golden, seal, signing
from edgekit.errors import SourceError, VerificationError
from edgekit.inspection import inspect
from edgekit.manifest import read_manifest
from edgekit.progress import Progress
from edgekit.request import ConvertRequest
from edgekit.sessions import open_session
from edgekit_converters.convert import convert
from edgekit_converters.workers import Workers

pytestmark = pytest.mark.slow

QUIET = Progress(total=1, enabled=False)


@pytest.fixture(scope="module", params=["tflite", "onnx"])
def requantized(
    request: Any, workers: Workers, rows: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A float file that edgekit wrote, and files made from it, by precision."""
    source = request.getfixturevalue(f"float_{request.param}")
    folder = tmp_path_factory.mktemp("sealed")

    def made(source: Path, out: Path, precisions: tuple[Any, ...]) -> dict[str, Path]:
        done = convert(
            ConvertRequest(
                source=source,
                out=out,
                formats=(request.param,),
                precisions=precisions,
                calibrate=str(rows),
            ),
            QUIET,
            workers=workers,
        )
        assert not done.failures
        return {artifact.precision: artifact.path for artifact in done.artifacts}

    first = made(source, folder / "first", ("float32",))
    return first | made(first["float32"], folder / "second", ("int8", "dynamic", "float16"))


def test_every_file_is_sealed(requantized: dict[str, Path]) -> None:
    assert all(seal.check(path.read_bytes(), path.name) for path in requantized.values())


def test_every_file_tests_itself(requantized: dict[str, Path]) -> None:
    for path in requantized.values():
        with open_session(path) as session:
            assert golden.self_test(session, path.name) >= 2


def test_the_manifest_of_the_source_is_replaced(requantized: dict[str, Path]) -> None:
    for path in requantized.values():
        assert path.read_bytes().count(b'"seal":"edgekit-seal:') == 1
        assert path.read_bytes().count(b'"schema_version":') == 1


def test_cases_take_a_small_part_of_the_file(requantized: dict[str, Path]) -> None:
    for path in requantized.values():
        assert len(json.dumps((read_manifest(path) or {})["golden"])) < 4096


def test_one_flipped_byte_anywhere_is_refused(requantized: dict[str, Path]) -> None:
    data = requantized["int8"].read_bytes()
    for place in np.linspace(0, len(data) - 1, 200).astype(int):
        damaged = bytearray(data)
        damaged[place] ^= 4
        with pytest.raises(
            SourceError, match="m: damaged: it is not what it was when it was sealed"
        ):
            seal.check(bytes(damaged), "m")


def test_a_file_that_was_not_verified_is_sealed_and_has_no_cases(
    float_onnx: Path, workers: Workers, tmp_path: Path
) -> None:
    request = ConvertRequest(
        source=float_onnx, out=tmp_path, formats=("onnx",), precisions=("float32",), verify=False
    )
    (artifact,) = convert(request, QUIET, workers=workers).artifacts
    assert seal.check(artifact.path.read_bytes(), "m")
    assert "golden" not in (read_manifest(artifact.path) or {})


# ---- the demo model, from Keras -----------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path]]:
    """Files of the bundled model, each made twice."""
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    bundled = files("edgekit") / "demo_files"
    folder = tmp_path_factory.mktemp("demo")
    done = [
        convert(
            ConvertRequest(
                source=str(bundled / "fashion.keras"),
                out=folder / name,
                formats=("tflite", "onnx"),
                precisions=("float32", "int8"),
                calibrate=f"{bundled / 'fashion.npz'}:calibrate",
                preprocess=("scale=1/255",),
            ),
            QUIET,
            workers=workers,
        )
        for name in ("first", "second")
    ]
    first, second = ([artifact.path for artifact in one.artifacts] for one in done)
    assert len(first) == 4
    return list(zip(first, second, strict=True))


def test_the_same_conversion_gives_the_same_bytes(demo: list[tuple[Path, Path]]) -> None:
    assert all(first.read_bytes() == second.read_bytes() for first, second in demo)


def test_the_demo_model_tests_itself(demo: list[tuple[Path, Path]]) -> None:
    for path, _ in demo:
        with open_session(path, threads=2) as session:
            assert golden.self_test(session, path.name) == 3


def test_cases_of_another_precision_are_refused(demo: list[tuple[Path, Path]]) -> None:
    for ending in (".tflite", ".onnx"):
        by_precision = {path.suffixes[-2]: path for path, _ in demo if path.suffix == ending}
        with open_session(by_precision[".int8"]) as session:
            session.manifest = read_manifest(by_precision[".float32"]) or {}
            with pytest.raises(VerificationError, match="gives other results on this device"):
                golden.self_test(session, "m")


def test_a_signed_file_is_verified_and_still_runs(
    demo: list[tuple[Path, Path]], tmp_path: Path
) -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for path, _ in demo:
        assert inspect(path).seal == "intact"
        copied = Path(shutil.copy(path, tmp_path))
        signing.sign(copied, private)
        signing.verify(copied.read_bytes(), key.public_key(), copied.name)
        found = inspect(copied)
        assert (found.seal, found.golden_cases) == ("signed", 3)
        with open_session(copied) as session:
            assert golden.self_test(session, copied.name) == 3
