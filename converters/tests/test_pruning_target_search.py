import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgekit.errors import UsageError
from edgekit.progress import Progress
from edgekit.prune_options import request_from
from edgekit_converters.pruning.target_search import TargetSearch


def search(folder: Path, **given: Any) -> TargetSearch:
    """For a model whose file has 5,000 bytes; no child process is needed."""
    request = request_from(folder / "net.keras", **given)
    return TargetSearch(
        request=request,
        child=cast(Any, None),
        workers=cast(Any, None),
        workspace=folder,
        original=folder / "net.keras",
        calibrate=None,
        prepared=(),
        story="{}",
        progress=Progress(total=1, enabled=False),
    )


@pytest.mark.parametrize("asked", ["12506", "13k", "99999999M"])
def test_as_many_multiply_adds_as_there_are_prune_nothing(tmp_path: Path, asked: str) -> None:
    said = f"--macs {asked}: prunes nothing: the model has 12,506 multiply-adds; ask for less"
    with pytest.raises(UsageError, match=said):
        search(tmp_path, macs=asked).choose(12_506)


def test_fewer_multiply_adds_than_there_are_can_be_asked_for(tmp_path: Path) -> None:
    assert search(tmp_path, macs=12_505).choose(12_506).asked == 12_505


@pytest.mark.parametrize("asked", ["5000B", "5KB", "200GB"])
def test_a_file_as_large_as_it_is_prunes_nothing(
    tmp_path: Path, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "original.tflite"
    made.write_bytes(bytes(5_000))
    monkeypatch.setattr(TargetSearch, "_file", lambda *_: made)
    said = f"--size {asked}: prunes nothing: the TFLite file of the model has 5,000 bytes; ask"
    with pytest.raises(UsageError, match=said):
        search(tmp_path, size=asked).choose(0)


def test_a_latency_out_of_reach_tells_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made.tflite"

    class Times:
        ratios = itertools.chain([0.77], itertools.repeat(0.85))

        def ratio(self, *_: Path) -> tuple[Any, str]:
            return SimpleNamespace(value=next(self.ratios)), ""

    class Narrowest:
        def call(self, function: str, **asked: Any) -> float:
            return 0.3 if function == "least_share" else asked["amount"]

    times = Times()
    monkeypatch.setattr(TargetSearch, "_file", lambda *_: made)
    monkeypatch.setattr("edgekit_converters.pruning.target_search.measure", lambda *_, **__: times)
    searched = replace(search(tmp_path, latency="0.6x"), child=cast(Any, Narrowest()))
    said = (
        r"--latency 0.6x: the nearest that was reached is 0.770x, with \d\d% of the multiply-adds;"
    )
    with pytest.raises(UsageError, match=said):
        searched.choose(1_000)
