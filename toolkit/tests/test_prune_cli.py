from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from edgekit import pruning
from edgekit.cli import main
from edgekit.cli.prune import command
from edgekit.demo import MODEL
from edgekit.errors import OutputError
from edgekit.progress import Progress
from edgekit.prune_options import request_from
from edgekit.prune_request import PruneRequest
from edgekit.pruned import Cut, Pruned

DONE = Pruned(
    path=Path("small.keras"),
    source={"path": "fashion.keras", "sha256": "0", "framework": "keras"},
    framework="keras",
    method="structured",
    parameters=(80_000, 20_000),
    cuts=(Cut(name="conv", layers=("conv",), kind="filters", before=32, after=16),),
)


@pytest.fixture
def invoke() -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(main, ["prune", *map(str, words)])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[PruneRequest]:
    """The requests that reach the library, which answers at once."""
    requests: list[PruneRequest] = []

    def run(request: PruneRequest, progress: Progress) -> Pruned:
        requests.append(request)
        return DONE

    monkeypatch.setattr(pruning, "run", run)
    return requests


def test_every_option_of_the_library_is_an_option_of_the_command() -> None:
    context = click.Context(command)
    names = {parameter.name for parameter in command.get_params(context)}
    fields = set(PruneRequest.__dataclass_fields__) - {"source", "metrics", "trust", "limits"}
    assert fields | {"metric", "trust_model"} <= names


def test_options_reach_the_request(
    invoke: Callable[..., Result], asked: list[PruneRequest]
) -> None:
    done = invoke(
        MODEL,
        *["--macs", "50%", "--data", "t.npz", "--epochs", "3", "--learning-rate", "1e-4"],
        *["--skip", "a,b", "--skip", "Dense", "--metric", "accuracy", "--teacher"],
        *["--time-limit", "60", "--memory-limit", "2"],
    )
    assert done.exit_code == 0
    (request,) = asked
    assert request.target_text == "macs 50%"
    assert (request.epochs, request.learning_rate) == (3, 1e-4)
    assert request.skip == ("a", "b", "Dense")
    assert request.metrics == ("accuracy",)
    assert request.teacher == "original"
    assert request.limits.time_s == 60
    assert request.limits.memory_bytes == 2 << 30


def test_another_teacher_may_be_named(
    invoke: Callable[..., Result], asked: list[PruneRequest]
) -> None:
    invoke(MODEL, "--macs", "50%", "--data", "t.npz", "--teacher", "big.keras")
    assert asked[0].teacher == Path("big.keras")


def test_a_teacher_that_swallows_the_model_says_so(invoke: Callable[..., Result]) -> None:
    done = invoke("--macs", "50%", "--data", "t.npz", "--teacher", MODEL)
    assert done.exit_code == 2
    assert "no MODEL, as --teacher takes what follows it" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Missing argument 'MODEL'"),
        (["m.keras"], "prune: nothing to do; give --sparsity 50%"),
        (["m.keras", "--sparsity", "120%"], "--sparsity 120%: more than everything; give a share"),
        (["m.keras", "--macs", "x"], "--macs x: not an amount; give one, as 50% or 12M"),
        (["m.keras", "--macs", "50%", "--epochs", "2.5"], "--epochs 2.5: not a whole number"),
        (["m.keras", "--method", "4:2"], "--method 4:2: N:M keeps N of every M weights"),
        (["", "--macs", "50%"], "the path is empty"),
        (["m.keras", "--macs", "50%", "--time-limit", "nan"], "'--time-limit': nan is no number"),
    ],
)
def test_a_request_that_makes_no_sense_is_one_line(
    invoke: Callable[..., Result], words: list[str], said: str
) -> None:
    done = invoke(*words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_model_that_is_not_there_is_one_line(invoke: Callable[..., Result]) -> None:
    done = invoke("no.keras", "--macs", "50%")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: no.keras: no such file")


def test_a_converted_model_is_refused_with_what_to_do(
    invoke: Callable[..., Result], tmp_path: Path
) -> None:
    converted = tmp_path / "m.tflite"
    converted.write_bytes(b"\0\0\0\0TFL3" + bytes(64))
    done = invoke(converted, "--macs", "50%")
    assert done.exit_code == 1
    assert "prune the .keras or .h5 file it was made from, then convert" in done.stderr


def test_what_is_no_model_is_told_what_prune_takes(
    invoke: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "text.keras").write_text("hello")
    for path in (tmp_path / "text.keras", tmp_path):
        done = invoke(path, "--macs", "50%")
        assert done.exit_code == 1
        assert done.stderr.endswith(", not a model; give a .keras or .h5 file\n")


def test_a_teacher_is_looked_at_before_anything_starts(
    invoke: Callable[..., Result], tmp_path: Path
) -> None:
    words = [MODEL, "--macs", "50%", "--data", "t.npz", "-o", tmp_path, "--teacher"]
    done = invoke(*words, tmp_path)
    assert done.stderr.startswith(f"Error: --teacher {tmp_path}: a folder")
    assert done.stderr.endswith("; give a .keras or .h5 file\n")
    small = tmp_path / "small.tflite"
    small.write_bytes(b"\0\0\0\0TFL3" + bytes(64))
    assert "small.tflite: a TFLite model, which cannot teach; give" in invoke(*words, small).stderr


def test_an_unknown_target_is_refused_before_anything_starts(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    done = invoke(MODEL, "--latency", "0.6x", "--on", "nosuch", "-o", tmp_path)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: --on nosuch: no target 'nosuch'; there are: local")


def test_the_model_is_shown_as_required(invoke: Callable[..., Result]) -> None:
    assert "prune [OPTIONS] MODEL\n" in invoke("--help").stdout


def test_an_existing_result_is_refused_before_anything_starts(
    invoke: Callable[..., Result], tmp_path: Path
) -> None:
    there = tmp_path / "small.keras"
    there.touch()
    done = invoke(MODEL, "--macs", "50%", "-o", there)
    assert done.exit_code == 1
    assert "exists already; add --force" in done.stderr


def test_json_is_one_document(invoke: Callable[..., Result], asked: list[PruneRequest]) -> None:
    told = json.loads(invoke(MODEL, "--macs", "50%", "--json").stdout)
    assert told["schema_version"] == 1
    assert told["parameters"] == {"before": 80_000, "after": 20_000}
    assert told["cuts"][0]["after"] == 16


def interrupted(_request: PruneRequest, _progress: Progress) -> Pruned:
    raise KeyboardInterrupt


def test_an_interrupted_training_says_how_to_go_on(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "run", interrupted)
    out = tmp_path / "small.keras"
    stage = pruning.checkpoint_of(out) / "prune"
    stage.mkdir(parents=True)
    (stage / pruning.TRAINING).touch()
    done = invoke(MODEL, "--macs", "50%", "-o", out)
    assert done.exit_code == 130
    assert "what was trained so far is kept; the same command with --resume" in done.stderr


def test_interrupted_before_the_first_epoch_says_that_only_the_plan_is_kept(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "run", interrupted)
    out = tmp_path / "small.keras"
    pruning.checkpoint_of(out).mkdir()
    (pruning.checkpoint_of(out) / pruning.PLAN).touch()
    done = invoke(MODEL, "--macs", "50%", "-o", out)
    assert done.exit_code == 130
    assert "nothing was trained yet; which channels are to be cut is kept" in done.stderr
    assert "the same command with --resume goes on" in done.stderr


def test_a_conversion_interrupted_while_it_trains_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "run", interrupted)
    checkpoint = pruning.checkpoint_of(tmp_path / f"{Path(MODEL).stem}.pruned.keras")
    checkpoint.mkdir()
    words = ["convert", str(MODEL), "-o", str(tmp_path), "--prune", "macs=50%"]
    assert "nothing half-made is left" in CliRunner().invoke(main, words).stderr
    (checkpoint / pruning.TRAINING).touch()
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 130
    assert "is kept; the same command with resume in --prune goes on" in done.stderr


def test_what_a_conversion_is_to_add_is_a_word_of_its_prune_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(_request: PruneRequest, _progress: Progress) -> Pruned:
        message = "x: an earlier call was cut off; add --resume to go on from there"
        raise OutputError(message)

    monkeypatch.setattr(pruning, "run", cut_off)
    words = ["convert", str(MODEL), "-o", str(tmp_path), "--prune", "macs=50%"]
    told = CliRunner().invoke(main, words).stderr
    assert (
        told == "Error: x: an earlier call was cut off; add resume to --prune to go on from there\n"
    )


def test_interrupted_before_any_training_leaves_nothing(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "run", interrupted)
    done = invoke(MODEL, "--macs", "50%", "-o", tmp_path / "small.keras")
    assert done.exit_code == 130
    assert "nothing half-made is left" in done.stderr


def test_zeros_are_said_to_shrink_the_download_only() -> None:
    request = request_from(MODEL, method="unstructured", sparsity="80%")
    first, second = pruning.warnings_of(request)
    assert "--method unstructured: only the compressed download shrinks" in first
    assert second == pruning.ONE_SHOT


def test_cutting_with_training_needs_no_warning() -> None:
    request = request_from(MODEL, macs=0.5, data="t.npz")
    assert pruning.warnings_of(request) == ()


@pytest.mark.slow
def test_the_callback_of_the_library_takes_what_its_maker_takes() -> None:
    (maker,) = entry_points(group="edgekit.pruners", name="callback")
    wanted = inspect.signature(maker.load()).parameters
    given = inspect.signature(pruning.pruning_callback).parameters
    assert {name: one.default for name, one in given.items()} == {
        name: one.default for name, one in wanted.items()
    }
