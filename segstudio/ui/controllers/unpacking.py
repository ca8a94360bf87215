"""Very large samples are unpacked once: how far that is, how long it still takes, and an end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePosixPath

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QWidget

from segstudio.core.errors import CancelledError
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models import duration
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label

__all__ = ["Reading", "Unpacking"]

_BETWEEN_NEWS = 0.1
"""Seconds between two news of one sample."""

_ESTIMATE_AFTER = 2.0
"""Seconds of work after which the time left is worth telling."""


class Reading:
    """One sample that is read in a thread.

    Attributes
    ----------
    unpacks : bool
        Whether it turned out to be so large that it is unpacked.
    wanted_again : bool
        Whether it was asked for once more meanwhile.
    """

    def __init__(self, sample_id: str, tell: Callable[[str, str, float, float], None]) -> None:
        self.sample_id = sample_id
        self.unpacks = self.wanted_again = False
        self._tell = tell
        self._stopped = threading.Event()
        self._told = 0.0

    def stop(self) -> None:
        """Stop it at the next rows."""
        self._stopped.set()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def part(self, what: str) -> Callable[[float], None]:
        """Return what a reader tells the share (0..1) to that it has done of a part of the sample.

        It raises `CancelledError` once the reading is stopped.
        """
        begun = time.monotonic()

        def progress(share: float) -> None:
            if self._stopped.is_set():
                raise CancelledError(f"Unpacking {self.sample_id} was stopped.")
            self.unpacks = True
            now = time.monotonic()
            if now - self._told >= _BETWEEN_NEWS:
                self._told = now
                self._tell(self.sample_id, what, share, now - begun)

        return progress


class _Bar(QWidget):
    """Words and a bar."""

    def __init__(self) -> None:
        super().__init__()
        self.words = label(style="muted")
        self._bar = QProgressBar()
        self._bar.setRange(0, 1000)
        self._bar.setTextVisible(False)
        self._bar.setFixedWidth(18 * GRID)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addWidget(self.words)
        layout.addWidget(self._bar)

    def tell(self, words: str, share: float) -> None:
        """Show a share of 0..1."""
        self.words.setText(words)
        self._bar.setValue(round(1000 * share))
        self._bar.setAccessibleName(words)


class Unpacking(QObject):
    """Shows a strip while a very large sample is unpacked.

    Attributes
    ----------
    begun : Signal(str)
        A sample is being unpacked, so it will take a while.
    ended : Signal(Reading)
        A sample's reading is over, whether it went well or not.
    again_requested : Signal(str)
        A person wants a stopped sample after all.
    """

    begun = Signal(str)
    ended = Signal(object)
    again_requested = Signal(str)
    _told = Signal(str, str, float, float)

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._readings: dict[str, Reading] = {}
        self._bars: dict[str, _Bar] = {}
        self._told.connect(self._on_told)
        self.ended.connect(self._on_ended)

    def wants_again(self, sample_id: str) -> bool:
        """Return whether a sample is being unpacked already; it then is told when it is done."""
        reading = self._readings.get(sample_id)
        if reading is None or not reading.unpacks or reading.is_stopped:
            return False
        reading.wanted_again = True
        return True

    @contextlib.contextmanager
    def reading(self, sample_id: str) -> Iterator[Reading]:
        """Follow a sample that is read inside of the ``with``; for threads."""
        reading = Reading(sample_id, self._told.emit)
        self._readings[sample_id] = reading
        try:
            yield reading
        finally:
            if self._readings.get(sample_id) is reading:
                del self._readings[sample_id]
            self.ended.emit(reading)

    def stop(self, sample_id: str) -> None:
        """Stop unpacking a sample; what was unpacked of it is removed."""
        reading = self._readings.get(sample_id)
        if reading is not None:
            reading.stop()

    def stop_all(self) -> None:
        """Stop everything, because the window closes or another dataset is opened."""
        for reading in list(self._readings.values()):
            reading.stop()

    # -- the strip ----------------------------------------------------------------------------

    def _on_told(self, sample_id: str, what: str, share: float, seconds: float) -> None:
        if sample_id not in self._readings:
            return  # it has ended since
        if sample_id not in self._bars:
            self._show(sample_id)
            self.begun.emit(sample_id)
        bar = self._bars[sample_id]
        words = f"{what}  {round(100 * share)} %"
        if seconds >= _ESTIMATE_AFTER and share > 0:
            words += f"  ·  {duration(seconds * (1 - share) / share)} left"
        bar.tell(words, share)

    def _show(self, sample_id: str) -> None:
        self._bars[sample_id] = bar = _Bar()
        self._window.show_notice(
            _topic(sample_id),
            f"Unpacking {PurePosixPath(sample_id).name}, which is very large. "
            "This is done once; from then on it opens at once.",
            widget=bar,
            buttons=[("Stop", partial(self.stop, sample_id))],
        )

    def _on_ended(self, reading: Reading) -> None:
        sample_id = reading.sample_id
        if self._bars.pop(sample_id, None) is None:
            return
        self._window.notices.dismiss(_topic(sample_id))
        if reading.is_stopped:
            self._window.show_notice(
                _topic(sample_id),
                f"Unpacking {PurePosixPath(sample_id).name} was stopped.",
                buttons=[("Unpack it", partial(self.again_requested.emit, sample_id))],
            )


def _topic(sample_id: str) -> str:
    return f"unpacking {sample_id}"
