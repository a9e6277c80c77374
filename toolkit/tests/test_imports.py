import importlib.metadata
import pkgutil
import subprocess
import sys

import pytest

import edgekit
import edgekit_benchmarks
import edgekit_converters
from edgekit._lazy import need
from edgekit.errors import MissingDependencyError

FRAMEWORKS = (
    "ai_edge_litert",
    "ai_edge_quantizer",
    "cryptography",
    "flatbuffers",
    "h5py",
    "keras",
    "onnx",
    "onnxruntime",
    "tensorflow",
    "tensorflow_model_optimization",
    "tf2onnx",
    "tf_keras",
    "tflite_runtime",
)

BLOCK = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {FRAMEWORKS!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)
sys.meta_path.insert(0, Blocker())
"""


def python(program: str) -> str:
    """Run `program` in a fresh interpreter; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["edgekit", "edgekit.cli"])
def test_importing_brings_no_framework_and_no_image_library(module: str) -> None:
    program = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    assert set(python(program).split()) & {*FRAMEWORKS, "PIL", "sklearn", "scipy"} == set()


def test_every_module_imports_without_frameworks() -> None:
    packages = (edgekit, edgekit_converters, edgekit_benchmarks)
    names = [
        module.name
        for package in packages
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.name.endswith("__main__")  # runs when it is imported
    ]
    assert "edgekit.child_main" in names
    python(f"{BLOCK}\nimport importlib\nfor name in {names!r}: importlib.import_module(name)")


def test_every_entry_point_loads_without_frameworks() -> None:
    points = [
        (point.group, point.name)
        for point in importlib.metadata.distribution("edgekit-toolkit").entry_points
    ]
    assert ("console_scripts", "edgekit") in points
    python(
        f"{BLOCK}\nfrom importlib.metadata import distribution\n"
        "for point in distribution('edgekit-toolkit').entry_points: point.load()"
    )


def test_a_missing_framework_names_the_extra_that_brings_it() -> None:
    with pytest.raises(MissingDependencyError, match=r"^no_such_thing: not installed; .*\[onnx\]"):
        need("no_such_thing.part", extra="onnx")


def test_a_broken_framework_is_not_called_missing(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file := tmp_path / "broken_framework.py").write_text("import no_such_part\n")  # type: ignore[operator]
    monkeypatch.syspath_prepend(str(file.parent))
    with pytest.raises(ModuleNotFoundError, match="no_such_part") as caught:
        need("broken_framework", extra="onnx")
    assert not isinstance(caught.value, MissingDependencyError)
