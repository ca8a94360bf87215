"""Saving beside the painting: on request, every so often, and what a full disk could not take."""

from __future__ import annotations

from PySide6.QtCore import QElapsedTimer, QObject, QTimer, Signal

from segstudio.core.errors import SegStudioError
from segstudio.session.corrections import Correction
from segstudio.session.saving import Saving
from segstudio.session.session import Session
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.main_window import MainWindow

__all__ = ["AUTOSAVE_SECONDS", "Saver"]

AUTOSAVE_SECONDS = 60
"""Between two saves nobody asked for; the setting ``autosave_seconds``, 0 for never."""

_IDLE_MS = 1500
"""A map is saved when it was not painted on for so long: painting would make the save useless."""

_RETRY_MS = 3000
"""Between two attempts to write strokes that a full disk did not take."""

_KEPT = "The strokes are kept in the journal."


class Saver(QObject):
    """Saves the correction shown, in a thread.

    Attributes
    ----------
    saved : Signal(str)
        A sample's correction is on the disk.
    """

    saved = Signal(str)

    def __init__(self, window: MainWindow, session: Session, tasks: Tasks) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self._correction: Correction | None = None
        self._saving: Saving | None = None
        self._wanted = False
        self._since_change = QElapsedTimer()
        self._since_change.start()
        self._interval = self._timer(self._on_interval, single=False)
        self._soon = self._timer(self._try, single=True)
        self._soon.setInterval(_IDLE_MS)
        self._retry = self._timer(self._write_strokes, single=True)
        self._retry.setInterval(_RETRY_MS)

    def _timer(self, call: object, *, single: bool) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(single)
        timer.timeout.connect(call)
        return timer

    @property
    def is_saving(self) -> bool:
        """Whether a save is being written."""
        return self._saving is not None

    def follow(self, correction: Correction | None) -> None:
        """Look after another correction; the one before is its owner's again."""
        self._correction, self._saving, self._wanted = correction, None, False
        for timer in (self._interval, self._soon, self._retry):
            timer.stop()
        seconds = self._session.settings.get("autosave_seconds", AUTOSAVE_SECONDS)
        if correction is not None and isinstance(seconds, int | float) and seconds > 0:
            self._interval.start(round(1000 * seconds))

    def note_change(self) -> None:
        """Hear that the map was painted on."""
        self._since_change.restart()

    def note_stroke(self) -> None:
        """Hear that a stroke is finished, and see whether the journal could take it."""
        # Not now: the document tells of a stroke just before it hands it to the journal.
        QTimer.singleShot(0, self, self._look_at_journal)

    def save(self) -> None:
        """Save what a person asked for."""
        self._begin(automatic=False)

    # -- inside -------------------------------------------------------------------------------

    def _on_interval(self) -> None:
        self._wanted = True
        self._try()

    def _try(self) -> None:
        """Save when one is wanted and nobody paints."""
        correction = self._correction
        if correction is None or not self._wanted:
            return
        if not correction.document.is_dirty:
            self._wanted = False
        elif self._since_change.elapsed() < _IDLE_MS or correction.document.in_stroke:
            self._soon.start()
        else:
            self._begin(automatic=True)

    def _begin(self, *, automatic: bool) -> None:
        correction = self._correction
        if correction is None or self._saving is not None:
            self._wanted = correction is not None
            return
        try:
            saving = self._session.corrections.begin_save(correction.sample_id, automatic=automatic)
        except SegStudioError as error:
            self._window.show_notice("save", str(error), kind="error")
            return
        self._saving = saving
        self._tasks.start(
            "save",
            saving.write,
            lambda written: self._on_written(saving, written),
            lambda error: self._on_failed(saving, error),
            priority=2,
        )

    def _on_written(self, saving: Saving, written: bool) -> None:
        if saving is not self._saving:
            return
        self._saving = None
        if not written:  # it was painted on meanwhile
            self._wanted = True
            self._soon.start()
            return
        saving.finish()
        self._window.notices.dismiss("save")
        self.saved.emit(saving.correction.sample_id)
        self._try()

    def _on_failed(self, saving: Saving, error: Exception) -> None:
        if saving is self._saving:
            self._saving = None
        self._window.show_notice("save", f"{sentence(error)} {_KEPT}", kind="error")

    # -- the journal --------------------------------------------------------------------------

    def _look_at_journal(self) -> None:
        correction = self._correction
        if correction is not None and correction.journal.pending and not self._retry.isActive():
            self._retry.start()

    def _write_strokes(self) -> None:
        """Try again to write the strokes that could not be written."""
        correction = self._correction
        if correction is None or not correction.journal.pending:
            return
        self._tasks.start(
            "strokes",
            correction.journal.sync,
            lambda _done: self._on_strokes_written(correction),
            lambda _error: self._look_at_journal(),  # it was said when it happened first
        )

    def _on_strokes_written(self, correction: Correction) -> None:
        if correction is self._correction:
            self._window.show_notice(
                "correct", "There is room again: every stroke is kept.", kind="done", seconds=6
            )
