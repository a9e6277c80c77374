"""From files to a result: what is fed, what is judged, what is written down."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import DataError, EdgekitError, OutputError, SourceError, UsageError
from edgekit.progress import Progress
from edgekit_benchmarks.bench import bench
from edgekit_benchmarks.bench_files import Benched, bench_files
from edgekit_benchmarks.bench_outputs import Outputs
from edgekit_benchmarks.bench_request import BenchRequest
from edgekit_benchmarks.input_rows import FeedMaker
from edgekit_benchmarks.journal import journal_folder
from edgekit_benchmarks.link import LocalLink
from edgekit_benchmarks.model_file import each_once, read_model_file
from edgekit_benchmarks.result import BenchmarkResult

Build = Callable[..., Path]
DEMO = Path(edgekit.__file__).with_name("demo_files")


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device's lock, its temporary files and the journals are this test's own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def measured(*paths: Path, **asked: Any) -> BenchmarkResult:
    short: dict[str, Any] = {"processes": 2, "starts": 1, "seconds": 0.1}
    request = BenchRequest(files=paths, **{**short, **asked})
    with Progress(total=1, enabled=False) as report:
        return bench(request, report)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Rows for the tiny models."""
    path = tmp_path / "data.npz"
    np.savez(path, image=np.random.default_rng(1).random((20, 2), np.float32))
    return path


# ---- what files are


def test_a_file_is_named_after_its_model(tiny_tflite: Build) -> None:
    found = read_model_file(tiny_tflite("mnist.float32.tflite"))
    assert (found.name, found.precision, found.kind) == ("mnist", "float32", "tflite")


def test_the_precision_of_a_foreign_file_is_what_most_weights_are(tiny_tflite: Build) -> None:
    assert read_model_file(tiny_tflite("a.tflite", io="int8")).precision == "int8"


def test_a_model_that_must_be_converted_first_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    with pytest.raises(EdgekitError, match="edgekit convert|saved_model"):
        read_model_file(tmp_path / "saved")


def test_a_file_named_twice_is_measured_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    assert each_once([path, tmp_path / "." / "a.tflite", tmp_path / "b.onnx"]) == [
        path,
        tmp_path / "b.onnx",
    ]


# ---- what they are fed


def test_the_users_data_is_fed(tiny_tflite: Build, data: Path, tmp_path: Path) -> None:
    file = read_model_file(tiny_tflite())
    feed = FeedMaker([file], str(data), (), tmp_path).feed(file)
    assert feed.path is not None
    with np.load(feed.path) as arrays:
        assert arrays["image"].shape == (16, 2)
    assert feed.record.source == str(data)
    assert not feed.record.random


def test_formats_of_one_model_share_the_inputs(
    tiny_tflite: Build, tiny_onnx: Build, data: Path, tmp_path: Path
) -> None:
    files = [read_model_file(tiny_tflite()), read_model_file(tiny_onnx())]
    maker = FeedMaker(files, str(data), (), tmp_path)
    assert maker.feed(files[0]) == maker.feed(files[1])


def test_data_is_prepared_as_asked(tiny_tflite: Build, data: Path, tmp_path: Path) -> None:
    file = read_model_file(tiny_tflite())
    plain = FeedMaker([file], str(data), (), tmp_path).feed(file)
    scaled = FeedMaker([file], str(data), ("scale=1/255",), tmp_path).feed(file)
    assert plain.path is not None
    assert scaled.path is not None
    with np.load(plain.path) as ours, np.load(scaled.path) as theirs:
        np.testing.assert_allclose(theirs["image"], ours["image"] / 255, rtol=1e-5)


def test_a_fixed_batch_gets_whole_batches(tiny_tflite: Build, data: Path, tmp_path: Path) -> None:
    file = read_model_file(tiny_tflite(batch=5))
    feed = FeedMaker([file], str(data), (), tmp_path).feed(file)
    assert feed.path is not None
    with np.load(feed.path) as arrays:
        assert len(arrays["image"]) % 5 == 0


def test_data_that_does_not_fit_is_said(tiny_tflite: Build, tmp_path: Path) -> None:
    np.savez(tmp_path / "wrong.npz", image=np.zeros((4, 3), np.float32))
    file = read_model_file(tiny_tflite())
    with pytest.raises(DataError, match="image"):
        FeedMaker([file], str(tmp_path / "wrong.npz"), (), tmp_path).feed(file)


def test_random_data_is_called_so(tiny_tflite: Build, tmp_path: Path) -> None:
    file = read_model_file(tiny_tflite())
    assert FeedMaker([file], "random", (), tmp_path).feed(file).record.random


def test_nothing_given_is_made_up_and_called_so(tiny_tflite: Build, tmp_path: Path) -> None:
    file = read_model_file(tiny_tflite())
    feed = FeedMaker([file], None, (), tmp_path).feed(file)
    assert feed.path is None
    assert feed.record.random


# ---- results


@pytest.mark.slow
def test_a_result_has_everything_and_can_be_read_again(
    tiny_tflite: Build, tiny_onnx: Build, data: Path, tmp_path: Path
) -> None:
    result = measured(tiny_tflite(), tiny_onnx(), input=str(data))
    result.write(tmp_path / "result.json")
    again = BenchmarkResult.read(tmp_path / "result.json")
    assert [row.format for row in again.rows] == ["tflite", "onnx"]
    for row in again.rows:
        assert row.processes == 2
        assert row.p50_ns > 0
        assert row.input.sha256
        for name in ("import_ns", "load_ns", "first_inference_ns", "peak_memory_bytes"):
            assert row.of_starts(name)
        assert len(row.reference_ns) == 2
    assert again.targets["local"].facts["bits"] in {32, 64}
    assert again.targets["local"].watch
    assert [(one.row, one.to) for one in again.ratios] == [(1, 0)]
    assert again.settings["processes"] == 2


@pytest.mark.slow
def test_files_of_different_models_take_turns_in_one_process(
    tiny_tflite: Build, tmp_path: Path, data: Path
) -> None:
    other = tiny_tflite("other.tflite", weights=np.ones((3, 2), np.float32))
    np.savez(tmp_path / "three.npz", image=np.zeros((4, 3), np.float32))
    result = measured(tiny_tflite(), other, processes=1)
    assert len(result.rows) == 2
    assert not result.failures


@pytest.mark.slow
def test_a_file_that_cannot_be_read_is_a_failure_for_each_target(
    tiny_tflite: Build, tmp_path: Path
) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"nonsense")
    result = measured(tmp_path / "bad.tflite", tiny_tflite(), processes=1)
    assert len(result.rows) == 1
    assert [(one.path, one.target) for one in result.failures] == [
        (str(tmp_path / "bad.tflite"), "local")
    ]


def test_nothing_that_can_be_measured_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="none.tflite"):
        measured(tmp_path / "none.tflite")


def test_a_target_nobody_knows_is_refused(tiny_tflite: Build) -> None:
    with pytest.raises(UsageError, match="pi9"):
        measured(tiny_tflite(), on=("pi9",))


def test_keras_files_alone_are_not_measured_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="keras"):
        measured(DEMO / "fashion.keras", on=("ssh://nobody@127.0.0.1:1",))


@pytest.mark.slow
def test_here_and_over_ssh_at_the_same_time(tiny_tflite: Build, device: Any) -> None:
    result = measured(tiny_tflite(), on=("local", device.url))
    assert not result.failures
    assert [row.target for row in result.rows] == ["local", device.url]
    assert result.targets[device.url].url == device.url
    assert device.wait_until_idle()


@pytest.mark.slow
def test_pictures_are_timed_from_the_file_to_the_classes(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    for number in range(3):
        Image.new("L", (28, 28), number * 40).save(tmp_path / "pictures" / f"{number}.png")
    path = tmp_path / "pictures.onnx"
    text = """<ir_version: 8, opset_import: ["" : 17]>
        pictures (float[1,28,28,1] image) => (float[1,784] scores) { scores = Flatten(image) }"""
    onnx.save(onnx.parser.parse_model(text), path)
    row = measured(path, input=str(tmp_path / "pictures"), preprocess=("scale=1/255",)).rows[0]
    assert row.preprocess_ns is not None
    assert row.end_to_end_ns is not None
    assert 0 < row.preprocess_ns < row.end_to_end_ns


@pytest.mark.slow
def test_files_are_scored_when_asked_to(tiny_tflite: Build, tmp_path: Path) -> None:
    scored = tmp_path / "scored.npz"
    x = np.random.default_rng(1).random((20, 2), np.float32)
    np.savez(scored, x=x, y=np.zeros(20, np.int64))
    row = measured(tiny_tflite(), accuracy=str(scored)).rows[0]
    assert row.accuracy is not None
    assert row.accuracy["metric"] == "accuracy"
    assert row.accuracy["low"] <= row.accuracy["value"] <= row.accuracy["high"]


@pytest.mark.slow
def test_operators_are_timed_when_asked_to(tiny_tflite: Build) -> None:
    result = measured(tiny_tflite(), operators=True)
    assert [one["operator"] for one in result.rows[0].operators or ()] == ["FULLY_CONNECTED"]
    (check,) = result.settings["operators"]
    assert check["whole_ns"] > 0


@pytest.mark.slow
def test_keras_is_the_reference_and_has_no_operators() -> None:
    pytest.importorskip("keras", reason="Keras is not installed")
    result = measured(DEMO / "fashion.keras", processes=1, operators=True)
    assert not result.failures
    assert result.rows[0].runtime.startswith("keras ")
    assert any("operators could not be timed" in text for text in result.rows[0].doubts)


@pytest.mark.slow
def test_a_keras_file_that_keras_cannot_rebuild_is_one_clear_line(tmp_path: Path) -> None:
    pytest.importorskip("keras", reason="Keras is not installed")
    path = tmp_path / "own.keras"
    with (
        zipfile.ZipFile(DEMO / "fashion.keras") as given,
        zipfile.ZipFile(path, "w") as made,
    ):
        for name in given.namelist():
            made.writestr(name, given.read(name).replace(b'"Dense"', b'"MyOwn"'))
    (failure,) = measured(path, processes=1).failures
    assert "own.keras: Keras 3." in failure.error
    assert "cannot rebuild the model (it does not know 'MyOwn'); measure" in failure.error


@pytest.mark.slow
def test_a_throttled_board_makes_the_result_invalid(
    tiny_tflite: Build, make_board: Callable[..., Any]
) -> None:
    board = make_board(throttled=0x4)
    request = BenchRequest(files=(tiny_tflite(),), processes=1, starts=1, seconds=0.1)
    with Progress(total=1, enabled=False) as report:
        result = bench(request, report, connect=lambda _: LocalLink(root=str(board.root)))
    assert not result.valid
    assert any("throttled" in text for text in result.rows[0].doubts)


@pytest.mark.slow
def test_replicates_are_measured_and_compared(tiny_tflite: Build) -> None:
    result = measured(tiny_tflite(), replicate=True, processes=1, seconds=0.05)
    (told,) = result.settings["tries"]
    assert len(told["p50_ns"]) == 5
    assert result.rows[0].processes == 5


@pytest.mark.slow
def test_until_the_result_is_saved_all_can_be_resumed(tiny_tflite: Build) -> None:
    request = BenchRequest(files=(tiny_tflite(),), processes=1, starts=1, seconds=0.1)

    def save(_: BenchmarkResult, *, complete: bool, kept: bool) -> bool:
        assert complete
        assert kept
        return False

    with Progress(total=1, enabled=False) as report:
        bench(request, report, save=save)
    assert len(list(journal_folder().iterdir())) == 1


class Cut(LocalLink):
    """Breaks at the third process, as a connection does; the first starts, and two take times."""

    runs = 0

    def request(self, do: str, /, **arguments: Any) -> dict[str, Any]:
        self.runs += do == "run"
        if self.runs == 3:
            self._process.kill()
        return super().request(do, **arguments)


def broken_then(
    tiny: Path, then: Callable[[Path], None], tmp_path: Path, **asked: Any
) -> tuple[Benched, Path]:
    """A call that breaks, `then`, and the same call with ``--resume``."""
    given: dict[str, Any] = {"files": [tiny], "processes": 2, "starts": 1, "seconds": 0.1}
    outputs = {"json": tmp_path / "r.json", "csv": tmp_path / "r.csv"}
    request = BenchRequest(**{**given, "files": (tiny,)})
    with (
        Outputs(outputs, request, force=False) as files,
        Progress(total=1, enabled=False) as report,
    ):
        bench(request, report, connect=lambda _: Cut(), save=files.write)
    assert [row.processes for row in BenchmarkResult.read(outputs["json"]).rows] == [1]
    then(outputs["json"])
    done = bench_files(
        {**given, "resume": True, **asked},
        lambda total: Progress(total=total, enabled=False),
        outputs=outputs,
    )
    return done, outputs["json"]


@pytest.mark.slow
def test_resume_replaces_the_result_that_a_break_left(tiny_tflite: Build, tmp_path: Path) -> None:
    done, path = broken_then(tiny_tflite(), lambda _: None, tmp_path)
    assert not done.unwritten
    assert [row.processes for row in BenchmarkResult.read(path).rows] == [2]
    assert list(journal_folder().iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("change", ["mine", None])
def test_resume_replaces_no_other_file(
    tiny_tflite: Build, tmp_path: Path, change: str | None
) -> None:
    def then(path: Path) -> None:
        if change is not None:
            path.write_text(change)

    asked: dict[str, Any] = {} if change else {"seconds": 0.2}
    with pytest.raises(OutputError, match="exists already, and is not what a broken call"):
        broken_then(tiny_tflite(), then, tmp_path, **asked)


def test_outputs_are_checked_before_anything_is_measured(
    tiny_tflite: Build, tmp_path: Path
) -> None:
    taken = tmp_path / "taken.json"
    taken.write_text("mine")
    with pytest.raises(EdgekitError, match="--force"):
        bench_files(
            {"files": [tiny_tflite()]},
            lambda total: Progress(total=total, enabled=False),
            outputs={"json": taken},
        )
    assert taken.read_text() == "mine"
