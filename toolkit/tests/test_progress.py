import io

import pytest

from edgekit.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ClosedPipe(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    return Terminal()


def test_without_a_terminal_each_step_is_a_plain_line() -> None:
    stream = io.StringIO()
    with Progress(2, stream=stream) as progress:
        progress.step("load")
        progress.detail("layer 3")
        progress.note("model.keras: no labels")
        progress.step("convert")
    assert stream.getvalue() == "[1/2] load\nmodel.keras: no labels\n[2/2] convert\n"


def test_disabled_progress_still_writes_notes() -> None:
    stream = io.StringIO()
    with Progress(1, False, stream=stream) as progress:
        progress.step("load")
        progress.note("a warning")
    assert stream.getvalue() == "a warning\n"


def test_on_a_terminal_the_line_is_wiped_at_the_end(terminal: Terminal) -> None:
    with Progress(1, stream=terminal) as progress:
        progress.step("load")
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_ctrl_c_wipes_the_line(terminal: Terminal) -> None:
    def interrupted() -> None:
        with Progress(1, stream=terminal) as progress:
            progress.step("load")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_live_line_never_wraps(terminal: Terminal) -> None:
    with Progress(1, stream=terminal) as progress:
        progress.step("a very long step " * 10)
        progress.detail("with details " * 10)
    assert max(len(line) for line in terminal.getvalue().split("\r\x1b[K")) < 60


def test_notes_on_a_terminal_keep_their_own_line(terminal: Terminal) -> None:
    with Progress(1, stream=terminal) as progress:
        progress.step("load")
        progress.note("a warning")
    assert "\r\x1b[Ka warning\n" in terminal.getvalue()


def test_more_steps_than_planned_are_not_an_error() -> None:
    stream = io.StringIO()
    with Progress(1, stream=stream) as progress:
        progress.step("one")
        progress.step("two")
    assert stream.getvalue() == "[1/1] one\n[2/2] two\n"


def test_a_closed_pipe_does_not_stop_the_work() -> None:
    with Progress(2, stream=ClosedPipe()) as progress:
        progress.step("one")
        progress.step("two")


def test_steps_that_are_not_needed_are_not_counted() -> None:
    stream = io.StringIO()
    with Progress(5, stream=stream) as progress:
        progress.step("load")
        progress.leave_out(3)
        progress.step("convert")
    assert stream.getvalue() == "[1/5] load\n[2/2] convert\n"
