"""Making a device ready, and what happens on the way to it.

The packages are made up here, and pip's own configuration leads to them and nowhere else.
"""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgekit.errors import CrashError, EdgekitError, OutputError, UsageError
from edgekit.progress import Progress
from edgekit_benchmarks.open_link import open_link as connect
from edgekit_benchmarks.ssh_link import SshLink
from edgekit_benchmarks.target import Target, TargetError, from_url
from edgekit_benchmarks.target_setup import installer_bytes, set_up
from edgekit_benchmarks.wheels import LITERT, ONNX, TFLITE_RUNTIME

if TYPE_CHECKING:
    from tests.sshd import Device

CPYTHON = f"cp{sys.version_info[0]}{sys.version_info[1]}"
BINARY = f"{CPYTHON}-{CPYTHON}-manylinux_2_17_{platform.machine()}"
ANY = "py3-none-any"


# ---- made-up packages


def package(folder: Path, name: str, version: str, tag: str, module: str, code: str = "") -> None:
    """One that consists of one module."""
    top, _, inner = module.partition(".")
    files = {f"{top}/{inner or '__init__'}.py": code}
    stem = f"{name.replace('-', '_')}-{version}"
    about = f"{stem}.dist-info"
    files[f"{about}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files[f"{about}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n"
    files[f"{stem}.data/scripts/{top}-tool"] = "#!python\n"
    files[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{about}/RECORD"))
    with zipfile.ZipFile(folder / f"{stem}-{tag}.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip finds."""
    folder = tmp_path / "packages"
    folder.mkdir()
    package(folder, "ai-edge-litert", LITERT.version, BINARY, LITERT.module)
    package(folder, "tflite-runtime", TFLITE_RUNTIME.version, BINARY, TFLITE_RUNTIME.module)
    package(folder, "onnxruntime", ONNX[0].version, BINARY, ONNX[0].module)
    for name in sorted({*LITERT.needs, *ONNX[0].needs}):
        package(folder, name, "2.0.0", ANY, name.replace("-", "_"))
    package(folder, "numpy", "1.26.4", ANY, "numpy")
    for name, value in pip_variables(folder).items():
        monkeypatch.setenv(name, value)
    return folder


def pip_variables(folder: Path) -> dict[str, str]:
    return {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}


@pytest.fixture
def ready(start_device: Callable[..., Device], packages: Path) -> Device:
    """A device that finds the same packages."""
    device: Device = start_device(variables=pip_variables(packages))
    return device


@pytest.fixture
def target(ready: Device) -> Target:
    """The same device as a target."""
    return Target(name="pi", url=ready.url)


@pytest.fixture
def home(ready: Device) -> Path:
    """Where environments are on the device."""
    return ready.home / ".local/share/edgekit"


def left(home: Path) -> list[str]:
    """Files and folders beside the environment, in the cache, and in the temporary folder."""
    device = home.parents[3]
    places = (home, device / "home/.cache/edgekit", device / "device-tmp")
    found = [path.name for place in places if place.is_dir() for path in place.iterdir()]
    return sorted(re.split(r"(?<=-)", name)[0] for name in found)


class Meanwhile(Progress):
    """Does something when a detail begins with certain words."""

    def __init__(self, words: str, then: Callable[[], object]) -> None:
        super().__init__(1, enabled=False)
        self.words, self.then = words, then

    def detail(self, text: str) -> None:
        if text.startswith(self.words):
            self.words = "never again\n"
            self.then()


# ---- making it


def test_packages_that_were_sent_are_used_from_then_on(target: Target, home: Path) -> None:
    done = set_up(target, offline=True)
    assert done.changed
    assert done.packages == {"ai-edge-litert": "2.3.0", "numpy": "2.0.0"}
    assert done.folder == str(home / "venv")
    with connect(target) as link:
        assert link.request("facts", timeout_s=30)["runtimes"] == done.packages
    assert left(home) == ["venv", "venv-", "worker-"]


def test_what_is_there_already_is_left_alone(target: Target, home: Path) -> None:
    set_up(target, offline=True)
    before = (home / "venv").resolve()
    assert not set_up(target, offline=True).changed
    assert (home / "venv").resolve() == before


def test_another_runtime_takes_the_place_of_the_first(target: Target, home: Path) -> None:
    set_up(target, offline=True)
    done = set_up(target, offline=True, runtime="all")
    assert done.changed
    assert set(done.packages) == {"ai-edge-litert", "onnxruntime", "numpy"}
    assert left(home) == ["venv", "venv-", "worker-"]


@pytest.mark.slow
def test_packages_come_from_the_devices_own_network(target: Target, home: Path) -> None:
    done = set_up(target)
    assert done.packages == {"ai-edge-litert": "2.3.0", "numpy": "2.0.0"}
    assert left(home) == ["venv", "venv-", "worker-"]


@pytest.mark.slow
def test_a_python_without_pip_gets_ours(
    start_device: Callable[..., Device], packages: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ensurepip", reason="this Python brings no pip that could be sent")
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.machinery as machinery\n"
        "find = machinery.PathFinder.find_spec\n"
        "machinery.PathFinder.find_spec = lambda name, *more: (\n"
        "    None if name in {'ensurepip', 'pip'} else find(name, *more)\n"
        ")\n"
    )
    variables = {**pip_variables(packages), "PYTHONPATH": str(tmp_path)}
    done = set_up(Target(name="pi", url=start_device(variables=variables).url))
    assert done.packages == {"ai-edge-litert": "2.3.0", "numpy": "2.0.0"}


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tflite-runtime has no newer Python")
def test_tflite_runtime_comes_with_an_old_numpy(target: Target) -> None:
    done = set_up(target, offline=True, runtime="tflite-runtime")
    assert done.packages == {"tflite-runtime": "2.14.0", "numpy": "1.26.4"}


def test_the_command_says_what_is_there_now(target: Target, home: Path) -> None:
    words = [sys.executable, "-m", "edgekit", "targets", "setup", target.url, "--offline"]
    first = subprocess.run(words, check=True, capture_output=True, text=True)
    assert first.stdout.startswith(f"{target.url} is ready now: Python 3.")
    assert [line[:5] for line in first.stderr.splitlines()] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    again = subprocess.run([*words, "--json"], check=True, capture_output=True, text=True)
    assert json.loads(again.stdout) == {
        "schema_version": 1,
        "name": target.url,
        "url": target.url,
        "folder": str(home / "venv"),
        "python": platform.python_version(),
        "packages": {"ai-edge-litert": "2.3.0", "numpy": "2.0.0"},
        "changed": False,
    }


def test_an_interrupt_leaves_nothing(
    ready: Device, target: Target, home: Path, packages: Path
) -> None:
    sleeps = "import time; time.sleep(60)"
    package(packages, "ai-edge-litert", LITERT.version, BINARY, LITERT.module, sleeps)
    words = [sys.executable, "-m", "edgekit", "targets", "setup", target.url, "--offline"]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        end = time.monotonic() + 60
        while not list(home.glob("venv-*/lib/*/site-packages/ai_edge_litert/__pycache__")):
            assert process.poll() is None
            if time.monotonic() > end:
                break  # Python writes no caches here
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert b"Interrupted" in process.stderr.read()
    assert process.returncode == 130
    assert ready.wait_until_idle()
    assert left(home) == []


# ---- what stands in the way


def test_this_machine_is_not_set_up() -> None:
    with pytest.raises(UsageError, match="local: is this machine"):
        set_up(from_url("local"))


def test_an_environment_of_the_user_is_not_touched() -> None:
    with pytest.raises(UsageError, match="measures with ~/own/bin/python, which you look after"):
        set_up(Target(name="pi", url="ssh://pi", python="~/own/bin/python"))


def test_an_unknown_runtime_is_refused() -> None:
    with pytest.raises(UsageError, match=r"runtime 'caffe': is none; choose from: auto, litert"):
        set_up(from_url("ssh://pi"), runtime="caffe")


def test_packages_that_are_not_to_be_had_are_told(target: Target, packages: Path) -> None:
    for file in packages.glob("numpy*"):
        file.unlink()
    with pytest.raises(TargetError, match=r"pi: packages .* cannot be fetched here .*numpy"):
        set_up(target, offline=True)


@pytest.mark.slow
def test_a_device_without_network_is_told_about_offline(target: Target, packages: Path) -> None:
    for file in packages.glob("numpy*"):
        file.unlink()
    with pytest.raises(OutputError, match=r"pi: pip: cannot install .*numpy.*add --offline"):
        set_up(target)


def test_a_package_that_does_not_import_changes_nothing(
    target: Target, home: Path, packages: Path
) -> None:
    set_up(target, offline=True)
    before = (home / "venv").resolve()
    broken = "raise ImportError('libopenblas.so.0: cannot open shared object file')"
    package(packages, "onnxruntime", ONNX[0].version, BINARY, "onnxruntime", broken)
    with pytest.raises(OutputError, match=r"cannot be imported there .*libopenblas\.so\.0"):
        set_up(target, offline=True, runtime="all")
    assert (home / "venv").resolve() == before
    assert left(home) == ["venv", "venv-", "worker-"]


def test_a_folder_that_is_not_ours_is_not_replaced(target: Target, home: Path) -> None:
    (home / "venv/precious").mkdir(parents=True)
    with pytest.raises(OutputError, match="was not made by edgekit"):
        set_up(target, offline=True)
    assert (home / "venv/precious").is_dir()


def test_no_room_is_told_before_anything_is_made(
    start_device: Callable[..., Device], packages: Path, small_disk: Path
) -> None:
    device = start_device(variables={**pip_variables(packages), "XDG_DATA_HOME": str(small_disk)})
    with pytest.raises(TargetError, match="takes about 150 MB, and 2 MB are free there"):
        set_up(Target(name="pi", url=device.url), offline=True)
    assert list(small_disk.iterdir()) == []


def test_no_room_for_a_package_leaves_nothing(
    start_device: Callable[..., Device], packages: Path, tmp_path: Path
) -> None:
    shell = tmp_path / "limited"
    shell.write_text('#!/bin/sh\nulimit -f 2000\nexec sh "$@"\n')
    shell.chmod(0o755)
    package(packages, "ml-dtypes", "3.0.0", ANY, "ml_dtypes", f"# {os.urandom(2_000_000).hex()}")
    device = start_device(shell=str(shell), variables=pip_variables(packages))
    with pytest.raises(OutputError, match="File too large .*; free some space"):
        set_up(Target(name="pi", url=device.url), offline=True)
    assert left(device.home / ".local/share/edgekit") == []


@pytest.mark.parametrize("words", ["send ai_edge_litert", "send numpy", "send typing"])
def test_a_cut_on_the_way_leaves_nothing(
    ready: Device, target: Target, home: Path, words: str
) -> None:
    with pytest.raises(CrashError, match="pi: the connection broke off"):
        set_up(target, offline=True, progress=Meanwhile(words, ready.cut))
    assert ready.wait_until_idle()
    assert left(home) == []
    assert set_up(target, offline=True).changed


def test_two_at_once_are_one_too_many(target: Target, home: Path) -> None:
    program = ("setup", installer_bytes())
    with SshLink(target, program=program, plain=True) as first:
        first.request("begin", timeout_s=60, with_pip=False, with_system=False)
        with pytest.raises(EdgekitError, match="is being set up by someone else just now"):
            set_up(target, offline=True)
    assert left(home) == []


def test_what_an_earlier_try_left_is_removed(target: Target, home: Path) -> None:
    (home / "venv-abandoned/lib").mkdir(parents=True)
    set_up(target, offline=True)
    assert not (home / "venv-abandoned").exists()


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("numpy/core.py", "numpy/core.py"),
        ("a-1.data/purelib/a.py", "a.py"),
        ("a-1.data/platlib/a/b.so", "a/b.so"),
        ("a-1.data/scripts/tool", None),
        ("../evil.py", None),
        ("a/../../evil.py", None),
        ("/etc/evil", None),
        ("a-1.data/purelib//etc/evil", None),
        ("a-1.data/purelib/../../evil", None),
        ("a/", None),
    ],
)
def test_packages_are_unpacked_only_inside(name: str, place: str | None) -> None:
    from edgekit_benchmarks.device_installer import _inside

    assert _inside(name) == place
