from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.child import Limits
from edgekit.errors import CrashError, SourceError, UsageError, VerificationError
from edgekit.load_probe import probe

Build = Callable[..., Path]


@pytest.fixture(params=["tflite", "onnx"])
def tiny(request: pytest.FixtureRequest) -> Build:
    build: Build = request.getfixturevalue(f"tiny_{request.param}")
    return build


def test_a_good_file_passes(tiny: Build) -> None:
    probe(tiny())


def test_bytes_pass_as_a_file_does(tiny: Build) -> None:
    probe(tiny().read_bytes())


def test_a_file_that_the_runtime_refuses_is_refused_by_its_name(tiny_tflite: Build) -> None:
    with pytest.raises(VerificationError, match=r"^mine: .*TFL_Unheard"):
        probe(tiny_tflite(custom="TFL_Unheard").read_bytes(), name="mine")


def test_a_truncated_file_is_refused(tiny: Build, tmp_path: Path) -> None:
    whole = tiny().read_bytes()
    (tmp_path / "half").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError):
        probe(tmp_path / "half")


def test_an_unknown_backend_is_a_usage_error(tiny: Build) -> None:
    with pytest.raises(UsageError):
        probe(tiny(), backend="abacus")  # type: ignore[arg-type]


def test_a_probe_that_does_not_end_is_stopped_and_told_in_one_line(tiny: Build) -> None:
    with pytest.raises(CrashError, match=r"^tiny\.\w+: not loaded, .*no end after") as caught:
        probe(tiny(), limits=Limits(time_s=0.01))
    assert "\n" not in str(caught.value)


def test_a_probe_that_takes_too_much_memory_is_stopped(tiny: Build) -> None:
    with pytest.raises(CrashError, match="out of memory"):
        probe(tiny(), limits=Limits(time_s=60.0, memory_bytes=1))
