import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from edgekit.cli import main
from edgekit_benchmarks.simulated import FACTS, Noise, Simulated, simulated

ONE = Simulated(noise=Noise(between=0.005, tail=0))
OTHER = replace(ONE, seed=1)
SLOWER = replace(OTHER, median_ns=1.2e6)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with a.json, and results that differ from it in one thing each."""
    for name, result in {
        "a": simulated(ONE),
        "same": simulated(OTHER),
        "slower": simulated(SLOWER),
        "invalid": simulated(replace(OTHER, more={"valid": False})),
        "few": simulated(replace(OTHER, processes=3, samples=5)),
        "other": simulated(OTHER, facts=FACTS | {"cpu": "ARM Cortex-A76"}),
        "stranger": simulated(replace(OTHER, name="stranger")),
    }.items():
        result.write(tmp_path / f"{name}.json")
    (tmp_path / "newer.json").write_text('{"schema_version": 2, "kind": "edgekit-benchmark"}')
    (tmp_path / "broken.json").write_text("{")
    return tmp_path


def compare(folder: Path, after: str, *options: str) -> Result:
    files = [str(folder / "a.json"), str(folder / f"{after}.json")]
    return CliRunner().invoke(main, ["compare", *files, *options])


@pytest.mark.parametrize(
    ("after", "options", "code"),
    [
        ("same", "", 0),
        ("slower", "", 0),
        ("same", "--max-regress p50=5%", 0),
        ("slower", "--max-regress p50=5%", 1),
        ("slower", "--max-regress p50=30% --max-regress size=0%", 0),
        ("slower", "--max-regress p50=30%,p90=5%", 1),
        ("same", "--max-regress p99=5%", 3),
        ("few", "--max-regress p90=5%", 3),
        ("invalid", "", 3),
        ("invalid", "--max-regress p50=5%", 3),
        ("other", "", 2),
        ("other", "--allow-other-machine", 0),
        ("stranger", "", 2),
        ("newer", "", 2),
        ("broken", "", 2),
        ("missing", "", 2),
        ("same", "--max-regress p50=5", 2),
        ("same", "--max-regress speed=5%", 2),
    ],
)
def test_exit_codes(results: Path, after: str, options: str, code: int) -> None:
    done = compare(results, after, *options.split())
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("after", ["other", "stranger", "newer", "broken", "missing"])
def test_a_refusal_is_one_line_and_says_what_to_do(results: Path, after: str) -> None:
    done = compare(results, after)
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert "; " in done.stderr


def test_the_table_shows_ratio_interval_and_verdict(results: Path) -> None:
    done = compare(results, "slower", "--max-regress", "p50=5%")
    assert done.stdout.startswith("mnist.int8.tflite, 1 thread, the same file\n           before ")
    assert "1.00 ms  1.20 ms  1.20" in done.stdout
    assert "slower" in done.stdout
    assert "\nFAILED    p50=5%         mnist.int8.tflite, 1 thread: 1.2" in done.stdout


def test_another_machine_is_told_beside_the_table(results: Path) -> None:
    done = compare(results, "other", "--allow-other-machine")
    assert "Note: another machine: CPU: ARM Cortex-A72, then ARM Cortex-A76" in done.stderr


def test_json_is_one_document_with_everything(results: Path) -> None:
    done = compare(results, "slower", "--json", "--max-regress", "p50=5%")
    document = json.loads(done.stdout)
    assert done.exit_code == document["exit_code"] == 1
    assert (document["schema_version"], document["kind"]) == (1, "edgekit-comparison")
    (row,) = document["rows"]
    change = row["changes"][0]
    assert (change["metric"], change["verdict"]) == ("p50", "slower")
    assert change["low"] < change["ratio"] < change["high"]
    assert document["gate"][0]["outcome"] == "failed"


def test_reports_are_written_also_when_the_gate_fails(results: Path) -> None:
    junit, markdown = results / "out" / "junit.xml", results / "out" / "comment.md"
    done = compare(
        results, "slower", "--max-regress", "p50=5%", "--junit", str(junit), "--markdown",
        str(markdown),
    )  # fmt: skip
    assert done.exit_code == 1
    assert ET.parse(junit).getroot().get("failures") == "1"
    assert "limits broken" in markdown.read_text()


def test_a_report_does_not_replace_a_file_without_force(results: Path) -> None:
    (results / "comment.md").write_text("mine")
    options = ("--markdown", str(results / "comment.md"))
    done = compare(results, "same", *options)
    assert done.exit_code == 1
    assert "exists already; add --force" in done.stderr
    assert compare(results, "same", *options, "--force").exit_code == 0
    assert (results / "comment.md").read_text() != "mine"


def test_the_order_of_files_is_earlier_then_later(results: Path) -> None:
    files = [str(results / "slower.json"), str(results / "a.json")]
    done = CliRunner().invoke(main, ["compare", *files])
    assert "faster" in done.stdout
