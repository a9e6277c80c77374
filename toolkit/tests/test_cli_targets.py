"""`edgekit targets`, as its users type it; devices themselves are in the benchmarks' tests."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edgekit.cli import main


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEKIT_TARGETS", str(tmp_path / "targets.toml"))
    return tmp_path / "targets.toml"


def targets(*words: str) -> Result:
    return CliRunner().invoke(main, ["targets", *words])


def document(*words: str) -> Any:
    return json.loads(targets(*words, "--json").stdout)


def test_a_target_that_was_added_is_listed(file: Path) -> None:
    done = targets("add", "pi5", "ssh://pi@pi5.local", "--python", "~/venv/bin/python")
    assert done.exit_code == 0
    assert done.stdout == f"pi5 is ssh://pi@pi5.local, says {file}\n"
    assert targets("list").stdout == (
        "name   url                 python\n"
        "local  local\n"
        "pi5    ssh://pi@pi5.local  ~/venv/bin/python\n"
    )


def test_the_list_as_json(file: Path) -> None:
    targets("add", "pi5", "ssh://pi@pi5.local")
    assert document("list") == {
        "schema_version": 1,
        "file": str(file),
        "targets": [
            {"name": "local", "url": "local", "python": None, "emulated": False},
            {"name": "pi5", "url": "ssh://pi@pi5.local", "python": None, "emulated": False},
        ],
    }


@pytest.mark.parametrize("words", [["check", "ssh://pi5"], ["setup", "ssh://pi5"]])
def test_a_client_that_makes_no_sense_is_code_2(
    monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("EDGEKIT_SSH", "ssh 'x")
    done = targets(*words)
    assert (done.exit_code, done.stdout) == (2, "")


@pytest.mark.parametrize("text", ["[targets.x", "[targets.x]", "targets = 3"])
def test_a_damaged_file_is_code_1(file: Path, text: str) -> None:
    file.write_text(text)
    assert targets("list").exit_code == 1


def test_a_target_that_was_removed_is_gone() -> None:
    targets("add", "pi5", "ssh://pi@pi5.local")
    assert targets("remove", "pi5").exit_code == 0
    assert [one["name"] for one in document("list")["targets"]] == ["local"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["add", "pi 5", "ssh://pi5"], "is no name of a target"),
        (["add", "local", "ssh://pi5"], "local: is this machine"),
        (["add", "pi5", "pi@pi5"], "is no URL of a target"),
        (["add", "pi5", "ssh://pi@-oProxyCommand=x"], "is no URL of a target"),
        (["add", "pi5", "ssh://pi5", "--python", "$(reboot)"], "is no path of a Python"),
        (["add", "pi5"], "Missing argument"),
        (["remove", "pi5"], "no target 'pi5'"),
        (["check", "pi5"], "no target 'pi5'"),
        (["setup", "pi5"], "no target 'pi5'"),
        (["setup", "local"], "edgekit doctor"),
        (["setup", "ssh://pi5", "--runtime", "caffe"], "caffe"),
    ],
)
def test_a_request_that_makes_no_sense_is_one_line_and_code_2(words: list[str], said: str) -> None:
    done = targets(*words)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert done.stderr.count("Error: ") == 1
    assert "Traceback" not in done.stderr


def test_a_taken_name_is_refused_and_kept() -> None:
    targets("add", "pi5", "ssh://a")
    assert targets("add", "pi5", "ssh://b").exit_code == 1
    assert targets("add", "pi5", "ssh://b", "--force").exit_code == 0
    assert document("list")["targets"][1]["url"] == "ssh://b"


def test_this_machine_is_looked_at_when_nothing_has_a_name() -> None:
    done = document("check")
    assert done["schema_version"] == 1
    (found,) = done["targets"]
    assert found["name"] == "local"
    assert found["facts"]["python"]
    assert {check["name"] for check in found["checks"]} > {"system", "runtimes", "disk", "power"}
    assert {check["status"] for check in found["checks"]} <= {"ok", "warn", "fail"}


def test_what_was_found_is_a_table() -> None:
    done = targets("check", "local")
    assert done.stdout.startswith("local: can be measured on")
    assert "\n  ok    python " in done.stdout


def test_a_device_that_cannot_be_used_is_code_1() -> None:
    targets("add", "gone", "ssh://pi@gone.invalid")
    done = targets("check", "gone", "local")
    assert done.exit_code == 1
    assert done.stdout.startswith("gone: CANNOT be measured on\n  fail  connection  ")
    assert "\n\nlocal: can be measured on" in done.stdout


def test_without_the_ssh_client_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEKIT_SSH", raising=False)
    monkeypatch.setenv("PATH", "/no/such/folder")
    done = targets("check", "ssh://pi@gone.invalid")
    assert done.exit_code == 1
    assert "apt install openssh-client" in done.stdout


@pytest.mark.parametrize("name", ["add", "check", "list", "remove", "setup"])
def test_every_command_shows_an_example_in_its_help(name: str) -> None:
    assert f"Example: edgekit targets {name}" in targets(name, "--help").output
