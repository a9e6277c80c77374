"""Journals: what is finished survives, whatever happens to the process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgekit.errors import OutputError
from edgekit_benchmarks.journal import Journal, journal_folder

PLAN = "0123456789abcdef" * 4


def test_a_finished_process_is_found_again(tmp_path: Path) -> None:
    journal = Journal(PLAN, resume=False, folder=tmp_path)
    journal.add("0.start.0", {"answer": 1})
    again = Journal(PLAN, resume=True, folder=tmp_path)
    assert again.get("0.start.0") == {"answer": 1}
    assert again.found == 1


def test_without_resume_it_starts_anew(tmp_path: Path) -> None:
    journal = Journal(PLAN, resume=False, folder=tmp_path)
    journal.add("0.start.0", {"answer": 1})
    assert Journal(PLAN, resume=False, folder=tmp_path).get("0.start.0") is None
    assert Journal(PLAN, resume=True, folder=tmp_path).found == 0


def test_another_plan_has_another_journal(tmp_path: Path) -> None:
    Journal(PLAN, resume=False, folder=tmp_path).add("0.start.0", {"answer": 1})
    assert Journal("f" * 64, resume=True, folder=tmp_path).found == 0


def test_a_line_that_was_cut_short_loses_only_itself(tmp_path: Path) -> None:
    journal = Journal(PLAN, resume=False, folder=tmp_path)
    journal.add("0.start.0", {"answer": 1})
    journal.add("0.start.1", {"answer": 2})
    journal.path.write_bytes(journal.path.read_bytes()[:-9])
    second = Journal(PLAN, resume=True, folder=tmp_path)
    second.add("0.start.2", {"answer": 3})
    third = Journal(PLAN, resume=True, folder=tmp_path)
    assert [third.get(f"0.start.{number}") for number in range(3)] == [
        {"answer": 1},
        None,
        {"answer": 3},
    ]


@pytest.mark.parametrize("content", [b"", b"\x00\xff\n", b"[1]\n\n", b'{"run": 3}\n', b'{"a'])
def test_nonsense_is_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{PLAN[:32]}.jsonl").write_bytes(content)
    assert Journal(PLAN, resume=True, folder=tmp_path).found == 0


def test_it_is_gone_when_all_is_done(tmp_path: Path) -> None:
    journal = Journal(PLAN, resume=False, folder=tmp_path)
    journal.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_went_on_with_is_removed_in_time(tmp_path: Path) -> None:
    old = Journal("f" * 64, resume=False, folder=tmp_path).path
    Journal(PLAN, resume=False, folder=tmp_path)
    assert old.exists()
    os.utime(old, (0, 0))
    Journal(PLAN, resume=False, folder=tmp_path)
    assert not old.exists()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="XDG_CACHE_HOME"):
        Journal(PLAN, resume=False, folder=tmp_path / "file" / "inside")


def test_it_is_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert journal_folder() == tmp_path / "edgekit" / "benchmarks"
