import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import edgekit
from edgekit.cli import main

ROOT = Path(__file__).parents[2]
COMMANDS = main.list_commands(click.Context(main))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example_in_its_help(name: str) -> None:
    done = CliRunner().invoke(main, [name, "--help"])
    assert done.exit_code == 0
    assert f"Example: edgekit {name}" in done.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    command: click.Command = importlib.import_module(f"edgekit.cli.{name}").command
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_readme(name: str) -> None:
    readme = (ROOT / "README.md").read_text()
    assert f"edgekit {name}" in readme or f"scripts/{name}" in readme


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_list_of_commands(name: str) -> None:
    assert f"\n  {name} " in CliRunner().invoke(main, ["--help"]).output


def test_an_unknown_command_is_a_usage_error() -> None:
    done = CliRunner().invoke(main, ["brew"])
    assert done.exit_code == 2
    assert "brew" in done.output


def test_an_unknown_option_is_a_usage_error() -> None:
    assert CliRunner().invoke(main, ["doctor", "--loud"]).exit_code == 2


@pytest.mark.parametrize("value", ["nan", "inf", "1e300"])
@pytest.mark.parametrize("option", ["--time-limit", "--memory-limit"])
@pytest.mark.parametrize("name", ["run", "evaluate", "convert"])
def test_a_limit_that_cannot_be_reached_is_a_usage_error(
    name: str, option: str, value: str
) -> None:
    done = CliRunner().invoke(main, [name, "m.tflite", "1", option, value])
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert f"'{option}': {value} is no number that can be reached" in done.stderr


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"]])
def test_help_that_cannot_be_written_is_one_line(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edgekit", *words],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: output: cannot be written (")
    assert done.stderr.count("\n") == 1


def test_a_line_end_in_a_name_makes_no_second_line() -> None:
    done = CliRunner().invoke(main, ["inspect", "no\nsuch\x1b.tflite"])
    assert done.exit_code == 1
    assert done.stderr.startswith(r"Error: no\nsuch\x1b.tflite: no such file")
    assert done.stderr.count("\n") == 1


def test_the_version_is_the_packages() -> None:
    done = CliRunner().invoke(main, ["--version"])
    assert done.output == f"edgekit, version {edgekit.__version__}\n"


def test_an_error_is_one_line_on_standard_error_and_no_traceback(tmp_path: Path) -> None:
    missing = tmp_path / "missing.tflite"
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", "inspect", str(missing)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("Error: ")
    assert str(missing) in done.stderr


def test_the_public_names_are_sorted() -> None:
    assert list(edgekit.__all__) == sorted(edgekit.__all__)


def test_the_public_names_exist() -> None:
    assert [name for name in edgekit.__all__ if not hasattr(edgekit, name)] == []


def test_no_public_name_is_left_out() -> None:
    public = {
        name
        for name, value in vars(edgekit).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("edgekit")
    }
    assert public - set(edgekit.__all__) == set()


@pytest.mark.parametrize("name", [n for n in edgekit.__all__ if callable(getattr(edgekit, n, 0))])
def test_every_public_callable_explains_itself(name: str) -> None:
    assert inspect.getdoc(getattr(edgekit, name))
