import gzip
import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import check_worker
from edgekit.child import Child
from edgekit.compare import Comparison
from edgekit.errors import DataError, SourceError, VerificationError

Build = Callable[..., Path]
WEIGHTS = np.array([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]], np.float32)
SAMPLES = np.random.default_rng(0).normal(size=(8, 1, 2)).astype(np.float32)


@pytest.fixture(params=["tflite", "onnx"])
def tiny(request: Any) -> Build:
    build: Build = request.getfixturevalue(f"tiny_{request.param}")
    return build


@pytest.fixture
def samples(tmp_path: Path) -> str:
    check_worker.save_arrays(str(tmp_path / "samples.npz"), {"image": SAMPLES})
    return str(tmp_path / "samples.npz")


@pytest.fixture
def reference(tmp_path: Path) -> str:
    check_worker.save_arrays(str(tmp_path / "reference.npz"), {"scores": SAMPLES @ WEIGHTS})
    return str(tmp_path / "reference.npz")


def test_a_right_file_is_verified_in_a_child(tiny: Build, samples: str, reference: str) -> None:
    path = tiny()
    with Child("edgekit.check_worker") as child:
        answer = child.call("verify", path=str(path), samples=samples, reference=reference)
    comparison = Comparison.from_dict(answer)
    assert comparison.relative_error < 1e-6
    assert comparison.samples == 8


def test_int8_samples_go_in_as_real_numbers(tiny: Build, samples: str, reference: str) -> None:
    answer = check_worker.verify(str(tiny(io="int8")), samples, reference)
    assert 1e-4 < answer["relative_error"] < 0.1


def test_the_file_is_weighed(tiny: Build, samples: str, reference: str) -> None:
    path = tiny()
    answer = check_worker.verify(str(path), samples, reference)
    data = path.read_bytes()
    assert answer["size_bytes"] == len(data)
    assert answer["sha256"] == hashlib.sha256(data).hexdigest()
    assert answer["gzip_bytes"] == len(gzip.compress(data, compresslevel=6))


def test_run_writes_the_outputs_of_every_sample(tiny: Build, samples: str, tmp_path: Path) -> None:
    answer = check_worker.run(str(tiny()), samples, str(tmp_path / "out.npz"))
    with np.load(tmp_path / "out.npz") as archive:
        np.testing.assert_allclose(archive["scores"], SAMPLES @ WEIGHTS, rtol=1e-5)
    assert answer["outputs"][0]["name"] == "scores"


def test_reload_accepts_the_same_outputs(tiny: Build, samples: str, tmp_path: Path) -> None:
    path, out = str(tiny()), str(tmp_path / "out.npz")
    check_worker.run(path, samples, out)
    assert check_worker.reload(path, samples, out)["size_bytes"] > 0


def test_reload_refuses_a_difference_of_one_bit(tiny: Build, samples: str, tmp_path: Path) -> None:
    path, out = str(tiny()), str(tmp_path / "out.npz")
    check_worker.run(path, samples, out)
    with np.load(out) as archive:
        array = archive["scores"]
    array[0, 0, 0] = np.nextafter(array[0, 0, 0], np.float32(9))
    check_worker.save_arrays(out, {"scores": array})
    with pytest.raises(VerificationError, match=r"changed when the manifest .*by up to \d"):
        check_worker.reload(path, samples, out)


def test_golden_cases_are_made_in_a_child(tiny: Build, samples: str) -> None:
    with Child("edgekit.check_worker") as child:
        made = child.call("golden", path=str(tiny()), samples=samples, precision="float32")
    assert len(made["cases"]) == 3
    assert made["tolerances"]["scores"] > 0


def test_sealing_needs_a_place_for_the_seal(tiny: Build) -> None:
    with pytest.raises(SourceError, match="has 0 places for a seal"):
        check_worker.seal(str(tiny()))


def test_a_single_input_needs_no_name(tiny: Build, reference: str, tmp_path: Path) -> None:
    check_worker.save_arrays(str(tmp_path / "x.npz"), {"x": SAMPLES})
    assert check_worker.verify(str(tiny()), str(tmp_path / "x.npz"), reference)["samples"] == 8


def test_no_samples_at_all_are_refused(tiny: Build, reference: str, tmp_path: Path) -> None:
    check_worker.save_arrays(str(tmp_path / "x.npz"), {"image": SAMPLES[:0]})
    with pytest.raises(DataError, match="at least one"):
        check_worker.verify(str(tiny()), str(tmp_path / "x.npz"), reference)


def test_arrays_may_have_any_name(tmp_path: Path) -> None:
    path = str(tmp_path / "a.npz")
    check_worker.save_arrays(path, {"file": SAMPLES, "a/b:0": SAMPLES, "self": SAMPLES})
    with np.load(path) as archive:
        assert sorted(archive.files) == ["a/b:0", "file", "self"]


def test_checking_imports_no_tensorflow(tiny: Build, samples: str, reference: str) -> None:
    code = (
        "import sys; from edgekit import check_worker as c; "
        f"c.verify({str(tiny())!r}, {samples!r}, {reference!r}); "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
