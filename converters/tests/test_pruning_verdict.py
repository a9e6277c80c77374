import io
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from edgekit import benchmarking
from edgekit.demo import DATA, MODEL
from edgekit.errors import MissingDependencyError, VerificationError
from edgekit.progress import Progress
from edgekit.prune_verdict import Pair, Verdict
from edgekit_converters.pruning.verdict import latency as verdict_latency
from edgekit_converters.pruning.verdict.verdict import VerdictSettings, verdict

QUIET = Progress(total=1, enabled=False)


def with_zeros(model: Path, out: Path, share: float) -> Path:
    """A copy of a .keras file in which the smallest weights of every large array are zero."""
    with zipfile.ZipFile(model) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "model.weights.h5":
                content = zeroed(content, share)
            new.writestr(name, content)
    return out


def zeroed(content: bytes, share: float) -> bytes:
    changed = io.BytesIO(content)

    def visit(_name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and node.size > 1000:
            values = node[()]
            values[np.abs(values) < np.quantile(np.abs(values), share)] = 0
            node[...] = values

    with h5py.File(changed, "r+") as file:
        file.visititems(visit)
    return changed.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the verdict works."""
    return tmp_path_factory.mktemp("verdict")


@pytest.fixture(scope="module")
def judged(folder: Path) -> Verdict:
    """The bundled classifier against itself with 30 % zeros, on 300 images; without latency."""
    pruned = with_zeros(MODEL, folder / "zeros.keras", 0.3)
    with np.load(DATA) as arrays:
        np.savez(folder / "test.npz", x=arrays["x_test"][:300], y=arrays["y_test"][:300])
        np.savez(folder / "train.npz", x=arrays["x_calibrate"][:50])
    settings = VerdictSettings(
        train=str(folder / "train.npz"),
        test=str(folder / "test.npz"),
        test_name="images",
        preprocess=("scale=1/255",),
        latency=False,
    )
    return verdict(MODEL, pruned, settings=settings, workspace=folder, progress=QUIET)


def pair_of(verdict: Verdict, precision: str) -> Pair:
    return next(pair for pair in verdict.pairs if pair.precision == precision)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_zeros_shrink_only_the_compressed_file(judged: Verdict, precision: str) -> None:
    pair = pair_of(judged, precision)
    assert pair.original is not None
    assert pair.pruned is not None
    assert pair.pruned.size_bytes == pytest.approx(pair.original.size_bytes, rel=0.01)
    assert pair.pruned.gzip_bytes < 0.9 * pair.original.gzip_bytes
    assert any("not smaller on disk" in text for text in judged.sentences)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_both_files_are_scored_on_the_test_samples(judged: Verdict, precision: str) -> None:
    pair = pair_of(judged, precision)
    assert pair.original is not None
    assert pair.original.accuracy is not None
    assert pair.original.accuracy.samples == judged.samples == 300
    assert pair.original.accuracy.value > 0.85
    assert pair.against is not None
    assert pair.against.p_value is not None


@pytest.mark.slow
def test_zeros_are_parameters_and_are_multiplied(judged: Verdict) -> None:
    assert judged.parameters is not None
    assert judged.multiply_adds is not None
    assert judged.parameters[0] == judged.parameters[1] > 80_000
    assert judged.multiply_adds[0] == judged.multiply_adds[1] > 9_000_000


@pytest.mark.slow
def test_the_data_have_the_name_that_the_user_knows(judged: Verdict) -> None:
    assert (judged.data, judged.task) == ("images", "classification")


@pytest.mark.slow
def test_too_few_processes_give_times_and_no_ratio(judged: Verdict, folder: Path) -> None:
    assert judged.pairs
    files = [folder / "original/fashion.int8.tflite", folder / "pruned/zeros.int8.tflite"]
    found = verdict_latency.measure(files, QUIET, seconds=0.1, processes=2)
    assert found.processes == 2
    assert all(found.p50_ns[str(file)] > 0 for file in files)
    assert found.ratio(files[1], files[0]) == (None, "too few processes to tell")


def test_models_that_cannot_be_converted_are_rows_with_a_reason(tmp_path: Path) -> None:
    bad = tmp_path / "bad.keras"
    bad.write_text("no model")
    found = verdict(bad, bad, settings=VerdictSettings(), workspace=tmp_path, progress=QUIET)
    assert [pair.precision for pair in found.pairs] == ["float32", "int8"]
    assert all("the original: " in pair.error for pair in found.pairs)
    assert found.sentences[0].startswith("float32: not compared: the original: ")
    assert found.parameters is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MissingDependencyError("x: y; z"), "the benchmarks are not installed; run: pip install"),
        (VerificationError("a.tflite: does not run; report it"), "a.tflite: does not run"),
    ],
)
def test_latency_that_cannot_be_measured_has_its_reason(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def missing(_name: str) -> Any:
        raise error

    monkeypatch.setattr(benchmarking, "plug_in", missing)
    ratio, reason = verdict_latency.measure([Path("a"), Path("b")], QUIET).ratio(
        Path("b"), Path("a")
    )
    assert ratio is None
    assert reason.startswith(said)


def test_times_that_must_not_be_believed_are_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def row(path: str, *doubts: str) -> SimpleNamespace:
        return SimpleNamespace(
            path=path,
            p50_ns=1.0,
            samples_ns=((1.0,),),
            valid=not doubts,
            doubts=("a small one", *doubts),
            processes=9,
        )

    result = SimpleNamespace(
        rows=(row("a"), row("b", "INVALID: throttled")),
        ratios=(SimpleNamespace(row=1, to=0, value=0.5, low=0.4, high=0.6, verdict="invalid"),),
        targets={},
        failures=(),
    )
    monkeypatch.setattr(
        benchmarking, "plug_in", lambda _name: lambda *_: SimpleNamespace(result=result)
    )
    found = verdict_latency.measure([Path("a"), Path("b")], QUIET)
    assert found.p50_ns == {"a": 1.0}
    assert found.ratio(Path("b"), Path("a")) == (None, "not to be trusted: throttled")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (VerdictSettings(), "random numbers, as there are no data"),
        (VerdictSettings(test="t.npz"), "some of the test samples"),
    ],
)
def test_what_int8_is_calibrated_on_is_said(
    settings: VerdictSettings, said: str, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.keras"
    bad.write_text("no model")
    found = verdict(bad, bad, settings=settings, workspace=tmp_path, progress=QUIET)
    assert said in found.notes[0]
