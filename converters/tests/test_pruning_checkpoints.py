"""Checkpoints of a training: whole, of this job, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import OutputError, SourceError, UsageError
from edgekit_converters.pruning.training.checkpoints import Checkpoint, load, save
from edgekit_converters.pruning.training.settings import TrainingSettings

STATE = Checkpoint(
    facts={"epoch": 2},
    arrays={"weights": [np.arange(3.0), np.array(7, np.int64)], "best": []},
    states=[{"mask/a": np.array([True, False])}, {}],
    best_states=[{}, {}],
)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save(STATE, tmp_path / "new", "digest")
    again = load(tmp_path / "new", "digest")
    assert again is not None
    assert again.facts == {"epoch": 2}
    assert again.arrays["weights"][0].tolist() == [0, 1, 2]
    assert again.arrays["weights"][1].dtype == np.int64
    assert again.arrays["best"] == []
    assert again.states[0]["mask/a"].tolist() == [True, False]


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    assert load(tmp_path, "digest") is None


def test_the_checkpoint_of_another_job_is_refused(tmp_path: Path) -> None:
    save(STATE, tmp_path, "one")
    with pytest.raises(UsageError, match="--resume: .* holds the state of another job"):
        load(tmp_path, "other")


@pytest.mark.parametrize("keep", [0, 3, 100])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, keep: int) -> None:
    save(STATE, tmp_path, "one")
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match="is damaged; start anew with --force"):
        load(tmp_path, "one")


def test_a_checkpoint_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    save(STATE, tmp_path, "one")
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[data.index(np.arange(3.0).tobytes()) + 9] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError, match="is damaged"):
        load(tmp_path, "one")


def test_nothing_else_is_left_beside_the_checkpoint(tmp_path: Path) -> None:
    save(STATE, tmp_path, "one")
    save(STATE, tmp_path, "one")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_is_a_file_cannot_hold_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="the checkpoint cannot be written"):
        save(STATE, tmp_path / "file", "one")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"epochs": 0}, "--epochs 0: is not positive"),
        ({"batch_size": -1}, "--batch-size -1: is not positive"),
        ({"learning_rate": 0.0}, "--learning-rate 0: is not positive"),
        ({"learning_rate": float("nan")}, "--learning-rate nan: is not positive"),
        ({"temperature": 0.0}, "--temperature 0: is not positive"),
        ({"alpha": 1.5}, "alpha 1.5: is not within 0..1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        TrainingSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("options", [{"size": "300B"}, {"macs": "50%", "skip": ("nosuch",)}])
def test_a_refused_call_leaves_no_checkpoint(options: dict[str, Any], tmp_path: Path) -> None:
    import keras

    layers = [keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(3)]
    keras.Sequential(layers).save(tmp_path / "net.keras")
    with pytest.raises(UsageError):
        edgekit.prune(tmp_path / "net.keras", tmp_path / "out.keras", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["net.keras"]
