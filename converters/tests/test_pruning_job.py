"""The model of a job is saved, loaded again and compared, whatever sizes its inputs leave free."""

import errno
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import SourceError
from edgekit.prune_options import request_from
from edgekit_converters.custom_objects import classes_in
from edgekit_converters.pruning.channels.stage import ChannelStage
from edgekit_converters.pruning.job import Job, save_checked
from edgekit_converters.pruning.original import digest_of, original

pytestmark = [pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")]


def job_of(model: Any, folder: Path, **given: Any) -> Job:
    source = folder / "net.keras"
    model.save(source)
    request = request_from(source, sparsity=0.5, **given)
    return Job.open(request.to_plain(), source, folder)


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(pooled(1), tmp_path)

    def save(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(job.model, "save", save)
    with pytest.raises(OSError, match="No space left"):  # which the process tells for all of it
        save_checked(job.model, tmp_path / "made.keras", job)


def test_a_model_in_memory_is_known_again_later(tmp_path: Path) -> None:
    request, other = (request_from(pooled(times), sparsity=0.5) for times in (1, 2))
    saved = original(request, tmp_path)
    first, written = digest_of(request, saved), saved.read_bytes()
    time.sleep(1.1)  # a file has the second in which it was written
    assert digest_of(request, original(request, tmp_path)) == first
    assert saved.read_bytes() != written
    assert digest_of(other, original(other, tmp_path)) != first


@pytest.mark.filterwarnings("ignore:Skipping variable loading:UserWarning")
def test_what_a_model_was_compiled_with_is_known_after_a_cut(tmp_path: Path) -> None:
    import keras

    own = tmp_path / "own.py"
    own.write_text("def own_loss(labels, given):\n    return (labels - given) ** 2\n")
    layers = keras.layers
    model = keras.Sequential([keras.Input((4,)), layers.Dense(16, "relu"), layers.Dense(1)])
    model.compile("adam", classes_in(str(own))["own_loss"])
    job = job_of(model, tmp_path, custom_objects=own)
    made = ChannelStage.open(job).cut(np.zeros(16, bool))
    assert made.loss.__name__ == "own_loss"


def pooled(times: int) -> Any:
    """Takes images of any size from 2 to the power of `times`."""
    import keras

    layers = keras.layers
    x = given = keras.Input((None, None, 1))
    for _ in range(times):
        x = layers.MaxPooling2D()(layers.Conv2D(2, 3, padding="same")(x))
    return keras.Model(given, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def test_images_of_any_size_are_as_large_as_those_of_the_data(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    data = tmp_path / "images.npz"
    np.savez(data, x=random.random((12, 16, 24, 1), np.float32), y=np.arange(12) % 2)
    for option in ("data", "test"):
        job = job_of(pooled(4), tmp_path, **{option: data})
        save_checked(job.model, tmp_path / "made.keras", job)
        (shape,) = job.save_samples()["shapes"].values()
        assert shape == [1, 16, 24, 1]


def test_without_data_larger_ones_are_tried(tmp_path: Path) -> None:
    job = job_of(pooled(4), tmp_path)
    save_checked(job.model, tmp_path / "made.keras", job)


def test_a_model_that_takes_none_of_them_needs_data(tmp_path: Path) -> None:
    job = job_of(pooled(9), tmp_path)
    with pytest.raises(SourceError, match=r"net.keras: cannot be tried .*; give samples with"):
        save_checked(job.model, tmp_path / "made.keras", job)
