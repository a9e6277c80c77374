"""What is being done now, on standard error: one live line on a terminal, plain lines elsewhere.

with Progress(total=2) as progress:
    progress.step("load model.keras")
    progress.note("model.keras: no labels found")
    progress.step("convert to tflite int8")
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from typing import TextIO

_REDRAW_S = 0.5
_BAR_CELLS = 12
_CLEAR = "\r\x1b[K"


class Progress:
    """Counts steps towards `total`; standard output is never touched.

    On a terminal the line shows a bar, the step, and the seconds it has taken, and is wiped at the
    end, also after Ctrl-C. Elsewhere (a file, a pipe, ``TERM=dumb``) each step is a line.
    """

    def __init__(self, total: int, enabled: bool = True, *, stream: TextIO | None = None) -> None:
        """Nothing is written yet; with `enabled` false only notes are."""
        self._total = total
        self._enabled = enabled
        self._stream = stream or sys.stderr
        self._live = enabled and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._done = 0
        self._text = ""
        self._detail = ""
        self._started_s = time.monotonic()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._clock: threading.Thread | None = None

    def __enter__(self) -> Progress:
        """Start the clock of the live line."""
        if self._live:
            self._clock = threading.Thread(target=self._tick, name="progress", daemon=True)
            self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave a clean line behind."""
        self._stop.set()
        if self._clock is not None:
            self._clock.join()
        with self._lock:
            self._text = ""
            if self._live:
                self._write(_CLEAR)

    def step(self, text: str) -> None:
        """The next of `total` steps begins."""
        with self._lock:
            self._done += 1
            self._text, self._detail = text, ""
            self._started_s = time.monotonic()
            if self._live:
                self._draw()
            elif self._enabled:
                self._write(f"[{self._done}/{max(self._total, self._done)}] {text}\n")

    def leave_out(self, count: int) -> None:
        """So many of the steps that were counted on are not needed; negative: more are."""
        with self._lock:
            self._total -= count

    def detail(self, text: str) -> None:
        """What the present step is doing; shown on the live line only."""
        with self._lock:
            self._detail = text
            if self._live and self._text:
                self._draw()

    def note(self, text: str) -> None:
        """Say something that stays readable: a warning, a doubt, a choice that was made."""
        with self._lock:
            self._write(f"{_CLEAR if self._live else ''}{text}\n")
            if self._live and self._text:
                self._draw()

    def record(self, text: str) -> None:
        """A line of the log that stays, such as an epoch of training; nothing if not enabled."""
        if self._enabled:
            self.note(text)

    def _tick(self) -> None:
        while not self._stop.wait(_REDRAW_S):
            with self._lock:
                if self._text:
                    self._draw()

    def _draw(self) -> None:
        total = max(self._total, self._done)
        filled = _BAR_CELLS * (self._done - 1) // total
        bar = "#" * filled + "." * (_BAR_CELLS - filled)
        text = f"{self._text}: {self._detail}" if self._detail else self._text
        line = f"{bar} {self._done}/{total} {time.monotonic() - self._started_s:3.0f} s  {text}"
        self._write(_CLEAR + line[: shutil.get_terminal_size().columns - 1])

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            self._live = self._enabled = False  # nobody reads it any more; the work goes on
