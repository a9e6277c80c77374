import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgekit.cli import main
from edgekit.doctor import diagnose, try_runtime
from edgekit.probe import EXPECTED
from edgekit.requirement import Requirement, installed_version

RUNTIMES = ("ai-edge-litert", "onnxruntime")
for runtime in RUNTIMES:
    if installed_version(runtime) is None:
        pytest.skip(
            f"{runtime} is not installed; scripts/test installs it", allow_module_level=True
        )


def pretend_installed(folder: Path, name: str, version: str) -> None:
    """Package metadata as pip leaves it; what is in `folder` comes before what is installed."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose packages hide the installed ones, here and in child processes."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", RUNTIMES)
def test_an_installed_runtime_adds_correctly(name: str) -> None:
    check = try_runtime(name)
    assert (check.works, check.reason, check.version) == (True, "", installed_version(name))


def test_a_missing_runtime_is_missing_and_not_broken() -> None:
    check = try_runtime("no-such-runtime")
    assert (check.works, check.version, check.reason) == (False, None, "missing")


def test_a_runtime_that_crashes_is_reported(folder: Path) -> None:
    (folder / "onnxruntime.py").write_text("import ctypes; ctypes.string_at(0)\n")
    check = try_runtime("onnxruntime")
    assert not check.works
    assert "SIGSEGV" in check.reason


def test_a_runtime_that_hangs_is_reported(folder: Path) -> None:
    (folder / "onnxruntime.py").write_text("import time; time.sleep(60)\n")
    check = try_runtime("onnxruntime", time_limit_s=1)
    assert "no end after 1 s" in check.reason


def test_a_runtime_that_adds_wrongly_is_reported(folder: Path) -> None:
    (folder / "onnxruntime.py").write_text(
        "class SessionOptions: pass\n"
        "class InferenceSession:\n"
        "    def __init__(self, *_, **__): pass\n"
        "    def run(self, *_): return [[1.0, 2.0, 3.0, 4.0]]\n"
    )
    check = try_runtime("onnxruntime")
    assert check.reason == "it adds wrongly: [1.0, 2.0, 3.0, 4.0]"


def test_one_broken_runtime_makes_the_installation_unhealthy(folder: Path) -> None:
    (folder / "onnxruntime.py").write_text("raise RuntimeError('no such processor')\n")
    report = diagnose()
    assert not report.healthy
    assert any("no such processor" in p.message for p in report.problems if p.level == "error")


def test_tflite_runtime_with_numpy_2_is_known_to_fail(folder: Path) -> None:
    pretend_installed(folder, "tflite-runtime", "2.14.0")
    pretend_installed(folder, "numpy", "2.4.6")
    messages = [problem.message for problem in diagnose().problems]
    assert any("tflite-runtime 2.14.0 with numpy 2.4.6" in message for message in messages)


def test_two_builds_of_tensorflow_are_known_to_clash(folder: Path) -> None:
    pretend_installed(folder, "tensorflow", "2.21.0")
    pretend_installed(folder, "tensorflow-cpu", "2.21.0")
    messages = [problem.message for problem in diagnose().problems]
    assert any(message.startswith("tensorflow and tensorflow-cpu") for message in messages)


def test_tf_keras_of_another_tensorflow_is_at_odds(folder: Path) -> None:
    pretend_installed(folder, "tensorflow", "2.21.0")
    pretend_installed(folder, "tf-keras", "2.19.0")
    messages = [problem.message for problem in diagnose().problems]
    assert any("tf-keras 2.19.0 with tensorflow 2.21.0" in message for message in messages)


def test_a_version_outside_the_bounds_names_the_command_that_mends_it(folder: Path) -> None:
    pretend_installed(folder, "ai-edge-quantizer", "0.9.0")
    messages = [problem.message for problem in diagnose().problems]
    expected = (
        "ai-edge-quantizer 0.9.0: edgekit (extra 'convert') needs ==0.10.0; "
        "run: pip install '.[convert]'"
    )
    assert expected in messages


def test_the_command_prints_every_runtime_with_its_version() -> None:
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 0, done.output
    for name in RUNTIMES:
        assert any(
            line.split()[:2] == [name, installed_version(name)] for line in done.output.splitlines()
        )


def test_the_json_has_units_and_a_schema_version() -> None:
    done = CliRunner().invoke(main, ["doctor", "--json"])
    report = json.loads(done.stdout)
    assert report["schema_version"] == 1
    assert report["healthy"] is True
    assert report["cores"] >= 1
    assert 0 < report["memory_available_bytes"] <= report["memory_bytes"]
    assert {runtime["name"] for runtime in report["runtimes"] if runtime["works"]} >= set(RUNTIMES)


def test_an_unhealthy_installation_exits_with_1(folder: Path) -> None:
    pretend_installed(folder, "tensorflow-cpu", "2.21.0")
    pretend_installed(folder, "tensorflow", "2.21.0")
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 1
    assert done.output.endswith("Not healthy.\n")


def test_the_expected_sums_are_right() -> None:
    assert EXPECTED == [1.0 + 2.0, -2.0 + 2.0, 0.5 + 0.25, 1000.0 - 1.0]


@pytest.mark.parametrize(
    ("line", "version", "allowed"),
    [
        ("tensorflow<2.22,>=2.21; extra == 'convert'", "2.21.3", True),
        ("tensorflow<2.22,>=2.21; extra == 'convert'", "2.22.0", False),
        ("ai-edge-litert==2.3.0", "2.3", True),
        ("click", "0.1", True),
        ("numpy>=1.26", "1.26.0rc1", True),
        (
            "tflite-runtime==2.14.0; python_version < '3.12' and extra == 'tflite-runtime'",
            "2.13",
            False,
        ),
    ],
)
def test_bounds_are_read_from_package_metadata(line: str, version: str, allowed: bool) -> None:
    assert Requirement.parse(line).allows(version) is allowed


def test_a_marker_tells_the_last_python() -> None:
    line = "tflite-runtime==2.14.0; (python_version < '3.12') and extra == 'tflite-runtime'"
    assert Requirement.parse(line).python_below == "3.12"
