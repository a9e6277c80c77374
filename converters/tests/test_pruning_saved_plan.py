"""What was chosen to be cut: whole, of this job, or refused."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import SourceError, UsageError
from edgekit_converters.pruning import saved_plan
from edgekit_converters.pruning.saved_plan import SavedPlan

PLAN = SavedPlan(removed=np.array([True, False, True]), chosen={"kind": "macs", "asked": 12.0})


def test_what_is_saved_is_loaded_and_nothing_else_is_left(tmp_path: Path) -> None:
    assert saved_plan.load(tmp_path / "state", "one", 3) is None
    saved_plan.save(PLAN, tmp_path / "state", "one")
    found = saved_plan.load(tmp_path / "state", "one", 3)
    assert found is not None
    assert found.removed.tolist() == PLAN.removed.tolist()
    assert found.chosen == PLAN.chosen
    assert len(list((tmp_path / "state").iterdir())) == 1


def test_the_plan_of_another_job_is_refused(tmp_path: Path) -> None:
    saved_plan.save(PLAN, tmp_path, "one")
    with pytest.raises(UsageError, match="holds the state of another job"):
        saved_plan.load(tmp_path, "another", 3)


def test_a_plan_for_other_channels_is_damaged(tmp_path: Path) -> None:
    saved_plan.save(PLAN, tmp_path, "one")
    with pytest.raises(SourceError, match="is damaged; start anew with --force"):
        saved_plan.load(tmp_path, "one", 4)


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_plan_that_was_cut_short_is_damaged(tmp_path: Path, keep: int) -> None:
    saved_plan.save(PLAN, tmp_path, "one")
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match="is damaged"):
        saved_plan.load(tmp_path, "one", 3)
