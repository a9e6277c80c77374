"""A training whose loss is lost at once: an error where there is nothing to keep."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import ConversionError
from edgekit.prune_options import request_from
from edgekit.pruning import TRAINING
from edgekit_converters.pruning.job import Job
from edgekit_converters.pruning.training import stage as training_stage
from edgekit_converters.pruning.training.history import Epoch, History

BEFORE = Epoch(number=0, of=3, validation_loss=1.0, seconds=1.0)
LOST = History(before=BEFORE, epochs=(), best=0, stopped="stopped in epoch 1", is_lost=True)


def train(history: History, folder: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """A stage called ``cluster``, of which `history` came."""
    monkeypatch.setattr(training_stage, "fine_tune", lambda *_, **__: history)
    request = request_from("net.keras", macs=0.5, data="t.npz")
    some: Any = object()
    job = Job(
        request=request,
        path=Path("net.keras"),
        workspace=folder,
        framework="keras",
        model=None,
        loaded=some,
        data=some,
    )
    return training_stage.train(job, None, "cluster", folder=folder, digest="")


def test_where_nothing_was_trained_before_it_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConversionError, match=r"net.keras: cluster: stopped in epoch 1"):
        train(LOST, tmp_path, monkeypatch)


def test_what_an_earlier_stage_trained_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prune").mkdir()
    (tmp_path / "prune" / TRAINING).touch()
    assert train(LOST, tmp_path, monkeypatch) is LOST
    unsettled = replace(LOST, before=replace(BEFORE, is_settled=False))
    with pytest.raises(ConversionError):  # its model has not become what the stage is for
        train(unsettled, tmp_path, monkeypatch)
