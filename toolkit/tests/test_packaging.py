import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import edgekit
from edgekit.requirement import Requirement

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "edgekit": ROOT / "toolkit" / "edgekit",
    "edgekit_converters": ROOT / "converters" / "edgekit_converters",
    "edgekit_benchmarks": ROOT / "benchmarks" / "edgekit_benchmarks",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file)


@pytest.fixture(scope="module")
def project() -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def pins() -> dict[str, list[str]]:
    """Package name to its lines in constraints.txt."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            found.setdefault(line.partition("==")[0], []).append(line)
    return found


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {*PACKAGES, f"edgekit_toolkit-{edgekit.__version__}.dist-info"}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_holds_every_file_of_the_package(wheel: zipfile.ZipFile, package: str) -> None:
    folder = PACKAGES[package]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "."],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so nothing tells which files belong to the package")
    belong = {
        f"{package}/{name}" for name in listed.stdout.splitlines() if (folder / name).exists()
    }
    assert belong <= set(wheel.namelist())


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_says_that_it_is_typed(wheel: zipfile.ZipFile, package: str) -> None:
    assert f"{package}/py.typed" in wheel.namelist()


def test_the_wheel_carries_the_demo_and_the_probes(wheel: zipfile.ZipFile) -> None:
    folders = {name.rpartition("/")[0] for name in wheel.namelist()}
    assert {"edgekit/demo_files", "edgekit/probe_files"} <= folders


def test_the_wheel_carries_the_license(wheel: zipfile.ZipFile) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_the_wheel_weighs_less_than_five_megabytes(wheel: zipfile.ZipFile) -> None:
    assert sum(entry.compress_size for entry in wheel.infolist()) < 5_000_000


def test_constraints_are_names_and_versions_only() -> None:
    pattern = re.compile(r"[a-z0-9-]+==[0-9][\w.]*(; python_version (<|>=) '3\.1\d')?")
    lines = [line for found in pins().values() for line in found]
    assert [line for line in lines if not pattern.fullmatch(line)] == []


def test_constraints_are_sorted() -> None:
    names = list(pins())
    assert names == sorted(names)


def test_every_package_that_an_extra_brings_is_pinned(project: dict[str, object]) -> None:
    extras = project["optional-dependencies"]
    dependencies = project["dependencies"]
    assert isinstance(extras, dict)
    assert isinstance(dependencies, list)
    lines = [*dependencies, *(line for name in extras for line in extras[name])]
    names = {Requirement.parse(line).name for line in lines if "edgekit-toolkit" not in line}
    # tflite-runtime wants numpy 1, and so an environment of its own.
    assert names - {"tflite-runtime"} <= set(pins())


def test_every_pin_is_within_its_bounds(project: dict[str, object]) -> None:
    extras = project["optional-dependencies"]
    assert isinstance(extras, dict)
    wrong = []
    for extra, lines in extras.items():
        for line in lines:
            wanted = Requirement.parse(line)
            for pin in pins().get(wanted.name, []):
                version = re.split("==|;", pin)[1]
                if extra != "tflite-runtime" and not wanted.allows(version):
                    wrong.append(f"{pin} against {line}")
    assert wrong == []


def needed() -> set[tuple[str, str]]:
    """Top-level module and extra of every ``need("module", extra="extra")`` in the packages."""
    found = set()
    for folder in PACKAGES.values():
        for file in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "need":
                    (module,) = node.args
                    (extra,) = (word.value for word in node.keywords if word.arg == "extra")
                    if isinstance(module, ast.Constant) and isinstance(extra, ast.Constant):
                        found.add((str(module.value).partition(".")[0], str(extra.value)))
    return found


def test_the_extra_that_a_message_names_brings_the_package(project: dict[str, object]) -> None:
    extras = project["optional-dependencies"]
    assert isinstance(extras, dict)
    distributions = importlib.metadata.packages_distributions()
    wrong = []
    for module, extra in sorted(needed()):
        brought = {Requirement.parse(line).name for line in extras[extra]}
        normal = {name.replace("_", "-").lower() for name in distributions.get(module, [module])}
        if not brought & (normal | {module.replace("_", "-")}):
            wrong.append(f"{module}: extra {extra!r} brings only {sorted(brought)}")
    assert wrong == []


@pytest.mark.parametrize("script", ["scripts/demo", "scripts/test", "scripts/install", ".ci/run"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    file = ROOT / script
    assert file.stat().st_mode & 0o111
    shell = file.read_text().splitlines()[0].rpartition("/")[2].removeprefix("env ")
    subprocess.run([shell, "-n", str(file)], check=True)
