from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.cli.prune_table import print_table
from edgekit.evaluation import Against, Estimate, Share
from edgekit.intervals import Interval
from edgekit.prune_verdict import FileFacts, LatencyRatio, Pair, Verdict
from edgekit.pruned import Cut, EpochRecord, Kept, LayerZeros, Pruned, Reached


def facts(size: int, gzipped: int, right: int, p50_us: float) -> FileFacts:
    return FileFacts(
        size_bytes=size,
        gzip_bytes=gzipped,
        accuracy=Share(count=right, samples=2000),
        p50_ns=p50_us * 1000,
    )


FLOAT = Pair(
    precision="float32",
    original=facts(326_680, 297_419, 1849, 101.8),
    pruned=facts(165_000, 148_000, 1831, 47.3),
    against=Against(
        changed=Share(count=62, samples=2000),
        difference=Estimate(value=-0.009, interval=Interval(low=-0.0131, high=-0.0049)),
        p_value=0.0004,
    ),
    latency=LatencyRatio(value=0.465, low=0.46, high=0.47, meaning="faster"),
)
INT8 = Pair(
    precision="int8",
    original=facts(113_000, 87_000, 1848, 31.9),
    error="the pruned model: relative error 0.6, more than 0.5",
    unmeasured="one of the files gave no times",
)
VERDICT = Verdict(
    parameters=(80_834, 40_100),
    multiply_adds=(9_439_464, 4_634_112),
    pairs=(FLOAT, INT8),
    samples=2000,
    data="fashion.npz:test",
    task="classification",
    processes=9,
)
CUTS = tuple(
    Cut(name=f"conv2d_{i}", layers=(f"conv2d_{i}",), kind="filters", before=64, after=40)
    for i in range(14)
)
PRUNED = Pruned(
    path=Path("fashion.pruned.keras"),
    source={"path": "models/fashion.keras", "sha256": "0", "framework": "keras"},
    framework="keras",
    method="structured",
    target=Reached(name="macs", asked=4_719_732, reached=4_634_112, original=9_439_464),
    parameters=(80_834, 40_100),
    multiply_adds=(9_439_464, 4_634_112),
    cuts=CUTS,
    left=tuple(Kept(layer=f"dense_{i}", reason="its outputs are the model's") for i in range(5)),
    history=tuple(
        EpochRecord(epoch=i, values={"loss": 0.5, "val_accuracy": 0.8 + i / 100}) for i in range(4)
    ),
    best=2,
    verdict=VERDICT,
)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def shown(capsys: pytest.CaptureFixture[str], pruned: Pruned, *, verbose: bool = False) -> str:
    print_table(pruned, verbose=verbose)
    return capsys.readouterr().out


def test_nothing_is_wider_than_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, PRUNED).splitlines()
    assert max(map(len, lines)) <= 80


def test_cuts_are_one_line_unless_all_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cut: 896 -> 560 channels, in 14 of 14 groups of filters" in shown(capsys, PRUNED)
    assert "conv2d_13" not in shown(capsys, PRUNED)
    assert "conv2d_13  64 -> 40 filters" in shown(capsys, PRUNED, verbose=True)


def test_what_was_left_is_grouped_by_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    told = "left alone: dense_0, dense_1, dense_2 and 2 more: its outputs are the model's"
    assert told in shown(capsys, PRUNED)


def test_the_target_is_told_with_what_was_reached(capsys: pytest.CaptureFixture[str]) -> None:
    told = "target: at most 4,719,732 multiply-adds (50.0 %); reached: 4,634,112 (49.1 %)"
    assert told in shown(capsys, PRUNED)


def test_a_target_that_was_missed_is_loud(capsys: pytest.CaptureFixture[str]) -> None:
    missed = replace(PRUNED, target=Reached(name="size", asked=9_000, reached=12_000))
    assert "at most 9000 B; NOT reached: 12 kB" in shown(capsys, missed)


def test_the_best_epoch_counts(capsys: pytest.CaptureFixture[str]) -> None:
    told = "trained: 3 epochs, validation accuracy 80.0 % -> 82.0 %, best in epoch 2"
    assert told in shown(capsys, PRUNED)


def test_zeros_are_counted_over_all_layers(capsys: pytest.CaptureFixture[str]) -> None:
    layers = tuple(LayerZeros(layer=f"d{i}", weights=1000, zeros=800) for i in range(3))
    sparse = replace(PRUNED, method="unstructured", cuts=(), zeros=layers, sparsity=0.8)
    assert "zeros: 80.0 % of 3,000 weights in 3 layers" in shown(capsys, sparse)


def test_a_file_that_could_not_be_made_is_a_row_with_its_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = shown(capsys, PRUNED)
    assert "int8: not compared: the pruned model: relative error 0.6, more than 0.5" in told
    assert "int8 after " in told


def test_columns_without_a_number_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    bare = replace(FLOAT, latency=None, unmeasured="not asked for", against=None)
    bare = replace(
        bare,
        original=FileFacts(size_bytes=9, gzip_bytes=9),
        pruned=FileFacts(size_bytes=8, gzip_bytes=8),
    )
    told = shown(capsys, replace(PRUNED, verdict=replace(VERDICT, pairs=(bare,), samples=0)))
    assert "ratio [95 %]" not in told
    assert "accuracy [95 %]" not in told


def test_nothing_in_a_name_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    left = (Kept(layer="dense\x1b[31m", reason="red"),)
    assert "\x1b" not in shown(capsys, replace(PRUNED, left=left))
