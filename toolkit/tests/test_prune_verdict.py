from dataclasses import replace

import pytest

from edgekit.evaluation import Against, Estimate, Share
from edgekit.intervals import Interval
from edgekit.prune_verdict import FileFacts, LatencyRatio, Pair, Verdict
from edgekit.pruned import EpochRecord, Reached
from edgekit.verdict_sentences import of_latency, of_sizes

PAIR = Pair(
    precision="float32",
    original=FileFacts(size_bytes=1000, gzip_bytes=900),
    pruned=FileFacts(size_bytes=500, gzip_bytes=450),
    unscored="no data with labels",
    unmeasured="the benchmarks are not installed",
)


def against(value: float, low: float, high: float, p: float) -> Against:
    return Against(
        changed=Share(count=60, samples=2000),
        difference=Estimate(value=value, interval=Interval(low=low, high=high)),
        p_value=p,
    )


def told(pair: Pair) -> tuple[str, ...]:
    return Verdict(parameters=(2, 1), multiply_adds=(2, 1), pairs=(pair,)).sentences


@pytest.mark.parametrize(
    ("raw", "gzipped", "said"),
    [
        (
            (327_000, 327_000),
            (297_000, 112_000),
            "not smaller on disk (same 327 kB), only the compressed download shrinks: "
            "297 -> 112 kB (-62 %)",
        ),
        (
            (327_000, 160_000),
            (297_000, 148_000),
            "smaller on disk: 327 -> 160 kB (-51 %), gzipped 297 -> 148 kB (-50 %)",
        ),
        (
            (9_000, 9_400),
            (8_000, 8_400),
            "not smaller: 9,000 -> 9,400 B (+4 %) on disk, gzipped 8,000 -> 8,400 B (+5 %)",
        ),
        (
            (9_000, 9_400),
            (8_000, 4_000),
            "not smaller on disk (9,000 -> 9,400 B (+4 %)), only the compressed download shrinks: "
            "8,000 -> 4,000 B (-50 %)",
        ),
    ],
)
def test_sizes_are_told_as_they_are(
    raw: tuple[int, int], gzipped: tuple[int, int], said: str
) -> None:
    assert of_sizes(raw, gzipped) == said


@pytest.mark.parametrize(
    ("meaning", "said"),
    [
        ("faster", "faster: latency ratio 0.97 [0.95, 0.99]"),
        ("slower", "slower: latency ratio 0.97 [0.95, 0.99]"),
        (
            "no difference shown",
            "not faster: latency ratio 0.97 [0.95, 0.99], within the noise of the measurement",
        ),
    ],
)
def test_faster_is_said_only_where_it_is_shown(meaning: str, said: str) -> None:
    assert of_latency(LatencyRatio(value=0.97, low=0.95, high=0.99, meaning=meaning)) == said


def test_a_loss_that_the_data_show_is_a_loss() -> None:
    pair = replace(PAIR, against=against(-0.041, -0.05, -0.032, 1e-9))
    assert "float32: 4.1 points less accurate [-5.0, -3.2], shown by the data (p < 0.001)" in told(
        pair
    )


def test_a_gain_is_told_as_one() -> None:
    pair = replace(PAIR, against=against(0.012, 0.004, 0.02, 0.01))
    assert any("1.2 points more accurate" in text for text in told(pair))


def test_no_difference_says_what_is_not_excluded() -> None:
    pair = replace(PAIR, against=against(-0.003, -0.013, 0.007, 0.6))
    said = (
        "float32: no loss of accuracy shown: -0.3 points [-1.3, +0.7], p 0.6; "
        "a loss of 1.3 points is not excluded"
    )
    assert said in told(pair)


def test_flips_are_counted_with_their_interval() -> None:
    pair = replace(PAIR, against=against(-0.003, -0.005, 0.001, 0.6))
    assert told(pair)[-1] == "float32: another class for 3.0 % [2.3, 3.8] of 2,000 samples"


def test_a_larger_error_of_a_regression_is_told_in_its_unit() -> None:
    worse = Against(
        difference=Estimate(value=0.03, interval=Interval(low=0.02, high=0.04)),
        relative_difference=0.1,
    )
    assert told(replace(PAIR, against=worse))[-1] == (
        "float32: mean absolute error larger, shown by the data: +0.03 [+0.02, +0.04]"
    )


def test_what_was_not_measured_is_said_with_the_reason() -> None:
    assert told(PAIR)[1:] == (
        "float32: latency not measured: the benchmarks are not installed",
        "float32: accuracy not measured: no data with labels",
    )


def test_a_missing_file_is_not_compared() -> None:
    pair = replace(PAIR, pruned=None, error="the pruned model: refused")
    assert told(pair) == ("float32: not compared: the pruned model: refused",)


def test_the_json_has_the_sentences() -> None:
    verdict = Verdict(parameters=(2, 1), multiply_adds=None, pairs=(PAIR,))
    plain = verdict.to_dict()
    assert plain["sentences"] == list(verdict.sentences)
    assert (plain["parameters"], plain["multiply_adds"]) == ({"before": 2, "after": 1}, None)


@pytest.mark.parametrize(
    ("name", "asked", "reached", "is_met"),
    [
        ("sparsity", 0.5, 0.499, True),
        ("sparsity", 0.5, 0.45, False),
        ("macs", 100, 100, True),
        ("size", 100, 101, False),
        ("latency", 0.6, 0.605, True),
        ("latency", 0.6, 0.65, False),
    ],
)
def test_a_target_is_met_from_the_right_side(
    name: str, asked: float, reached: float, is_met: bool
) -> None:
    assert Reached(name=name, asked=asked, reached=reached).is_met == is_met


def test_an_epoch_is_read_as_the_trainer_tells_it() -> None:
    epoch = EpochRecord.of(
        {
            "number": 1,
            "of": 3,
            "loss": 0.5,
            "metrics": {"accuracy": 0.8},
            "validation_loss": float("nan"),
            "validation": {"accuracy": 0.7},
            "progress": ["sparsity 63.2%", ""],
            "seconds": 2.0,
        }
    )
    assert epoch.progress == "sparsity 63.2%"
    assert epoch.to_dict()["values"] == {
        "loss": 0.5,
        "accuracy": 0.8,
        "val_loss": None,
        "val_accuracy": 0.7,
    }
