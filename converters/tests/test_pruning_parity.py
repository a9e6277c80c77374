"""The masks of Keras 3 models are those of tensorflow-model-optimization on a Keras 2 twin."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CASES = ["polynomial", "constant", "transposed", "recurrent", "1x4", "2x2", "2:4", "1:4"]


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """In a process of its own, for one that knows Keras 2 as TensorFlow's Keras never forgets."""
    for name in ("tensorflow", "tf_keras", "tensorflow_model_optimization"):
        pytest.importorskip(name, reason=f"{name} is not installed", exc_type=ImportError)
    script = Path(__file__).with_name("tfmot_twins.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    read: dict[str, Any] = json.loads(done.stdout)
    return read


@pytest.mark.parametrize("case", CASES)
def test_every_mask_before_every_batch_is_the_same(told: dict[str, Any], case: str) -> None:
    assert told[case]["unequal"] == []
    assert told[case]["compared"] >= 3 * 32


@pytest.mark.parametrize("case", CASES)
def test_the_same_layers_are_pruned(told: dict[str, Any], case: str) -> None:
    assert told[case]["layers"] == told[case]["expected"]


@pytest.mark.parametrize("case", ["polynomial", "constant", "transposed", "recurrent", "1x4"])
def test_the_masks_that_were_compared_did_change(told: dict[str, Any], case: str) -> None:
    assert told[case]["changes"] >= 3


def test_trainings_by_themselves_lead_to_the_same_masks(told: dict[str, Any]) -> None:
    # their weights may differ in the last bits
    assert told["trained"]["smallest_agreement"] > 0.99


def test_schedules_give_the_same_sparsity(told: dict[str, Any]) -> None:
    assert told["schedules"] <= 6e-8  # one float32 step below 1
