from pathlib import Path

import pytest

from edgekit.errors import UsageError
from edgekit.outputs import check_outputs


def test_outputs_of_their_own_are_fine(tmp_path: Path) -> None:
    check_outputs([tmp_path / "a", tmp_path / "b"], [tmp_path / "c"])


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two outputs have one name"):
        check_outputs([tmp_path / "a", tmp_path / "x" / ".." / "a"], [])


def test_an_output_that_is_read_is_refused_also_through_links(tmp_path: Path) -> None:
    (model := tmp_path / "model").write_text("model")
    (tmp_path / "soft").symlink_to(model)
    (tmp_path / "hard").hardlink_to(model)
    for name in ("model", "soft", "hard"):
        with pytest.raises(UsageError, match="is one of the files that are read"):
            check_outputs([tmp_path / name], [model])
