from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import DataError
from edgekit.tensors import TensorSpec
from edgekit_converters import samples
from edgekit_converters.pruning.training.judging_data import to_judge_by

INPUTS = (TensorSpec(name="point", shape=(None, 3), dtype="float32"),)


def test_all_samples_judge_and_none_is_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, x=np.arange(36, dtype=np.float32).reshape(12, 3), y=np.arange(12) % 2)
    data = to_judge_by(str(path), INPUTS)
    assert (len(data.train), len(data.validation), len(data.test)) == (0, 0, 12)
    saved = samples.load(data.save_test(tmp_path / "test.npz"))
    assert saved["point"].shape == (12, 3)
    assert saved["y"].tolist() == [0, 1] * 6


def test_samples_without_labels_cannot_judge(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, x=np.zeros((12, 3), np.float32))
    with pytest.raises(DataError, match="t.npz: has no labels to score by; add an array y"):
        to_judge_by(str(path), INPUTS)
