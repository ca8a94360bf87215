"""What a person says of each image, and the time it took."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QElapsedTimer, QObject, QPoint, QTimer
from PySide6.QtGui import QCursor

from segstudio.project.reviews import Review
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.edit import EditController
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.main_window import MainWindow
from segstudio.ui.panels.review import STATE_TITLES

__all__ = ["ReviewStates"]

_TICK_MS = 1000
_IDLE_TICKS = 30
"""Seconds without any movement after which nobody is at work."""

_KEPT_EVERY = 15
"""Seconds of work that a crash may lose."""


class _Once:
    """Something that is done once, by whichever thread comes first; the other waits for it."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call, self._lock, self.is_done = call, threading.Lock(), False

    def __call__(self) -> None:
        with self._lock:
            if not self.is_done:
                self.is_done = True
                self._call()


class ReviewStates(QObject):
    """Joins the states of the strip and of the list with the project."""

    def __init__(
        self, window: MainWindow, session: Session, tasks: Tasks, desk: Desk, edit: EditController
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self._desk, self._edit = desk, edit
        self._sample_id = ""
        self._review = Review()
        self._unkept = 0.0
        self._deeds: list[_Once] = []
        self._seconds: dict[str, float] = {}
        self._still = _IDLE_TICKS
        self._seen: tuple[QPoint, int, object] = (QPoint(), 0, None)
        self._since = QElapsedTimer()
        self._tick = QTimer(self)
        self._tick.setInterval(_TICK_MS)
        self._tick.timeout.connect(self._on_tick)
        self._tick.start()
        self._connect()

    def _connect(self) -> None:
        window = self._window
        for state in STATE_TITLES:
            action = window.actions_[f"review_{state.replace(' ', '_')}"]
            action.triggered.connect(lambda _checked, state=state: self.set_state(state))
        window.review_strip.comment_changed.connect(self._on_comment)
        window.review_strip.left.connect(window.canvas.setFocus)
        self._desk.shown_changed.connect(lambda _shown: self._follow())
        self._edit.opened.connect(lambda _correction: self._on_opened())
        window.samples.dataChanged.connect(lambda *_cells: self._show())
        window.samples.modelReset.connect(self._on_reset)
        window.workspace_changed.connect(lambda _name: self._keep_time())

    @property
    def seconds(self) -> float:
        """Time worked on the image shown."""
        return self._review.seconds + self._unkept

    # -- states -------------------------------------------------------------------------------

    def set_state(self, state: str) -> None:
        """Say what the image shown is; a flag asks for a comment."""
        sample_id = self._desk.sample_id
        if not sample_id:
            return
        if self._window.workspace == "correct" and state == "flagged":
            self._window.review_strip.ask_comment()
        self._enter(sample_id, state)
        self._window.samples.set_review(sample_id, state)
        self._show()

    def _enter(self, sample_id: str, state: str, comment: str | None = None) -> None:
        if sample_id == self._sample_id:
            kept = self._review.comment if comment is None else comment
            self._review = Review(state, kept, self._review.seconds)
        self._start(partial(self._session.reviews.set_state, sample_id, state, comment))

    def _start(self, write: Callable[[], None]) -> None:
        """Write something in a thread, whatever else is written."""
        deed = _Once(write)
        self._deeds = [*(known for known in self._deeds if not known.is_done), deed]
        self._tasks.start(
            f"review state {id(deed)}",
            deed,
            lambda _done: None,
            lambda error: self._window.show_notice("review", sentence(error), kind="error"),
        )

    def close(self) -> None:
        """Write what is not written yet, before the project is closed.

        Raises
        ------
        WriteError
            When it cannot be written.
        """
        self._tick.stop()
        self._window.review_strip.finish_comment()
        self._keep_time()
        for deed in self._deeds:
            deed()

    def _on_comment(self, comment: str) -> None:
        self._enter(self._sample_id, self._review.state, comment)

    def _follow(self) -> None:
        """Show what is known of another image."""
        sample_id = self._desk.sample_id
        if sample_id == self._sample_id:
            return
        self._window.review_strip.finish_comment()
        self._keep_time()
        self._sample_id, self._review = sample_id, Review()
        self._show()
        if not sample_id:
            return

        def keep(review: Review) -> None:
            if sample_id == self._sample_id:
                self._review = review
                self._show()

        self._tasks.start("review of image", partial(self._session.reviews.review, sample_id), keep)

    def _on_opened(self) -> None:
        correction = self._edit.correction
        if correction is not None:
            correction.document.state_changed.connect(self._on_stroke)

    def _on_stroke(self) -> None:
        """Painting goes on: what was said of the image before holds no longer, but for a flag."""
        correction = self._edit.correction
        if correction is None or not correction.document.is_dirty:
            return
        if self._review.state not in ("", "flagged"):
            self._enter(self._sample_id, "")
            self._window.samples.set_review(self._sample_id, "")

    def _show(self) -> None:
        strip, samples = self._window.review_strip, self._window.samples
        strip.set_state(samples.status(self._sample_id))
        if not strip.comment.hasFocus():
            strip.set_comment(self._review.comment, wanted=self._review.state == "flagged")
        strip.set_time(self.seconds)
        strip.set_progress(samples.status_counts(), self._seconds)

    def _on_reset(self) -> None:
        """Another dataset is open: read the times of its images."""
        self._sample_id, self._review, self._unkept = "", Review(), 0.0
        self._seconds = {}

        def keep(seconds: dict[str, float]) -> None:
            self._seconds = seconds
            self._show()

        if self._session.dataset is not None:
            self._tasks.start("review times", self._session.store.review_seconds, keep)

    # -- time ---------------------------------------------------------------------------------

    def _on_tick(self) -> None:
        """Count a second when somebody is at work: the pointer, the picture or the map moved."""
        correction = self._edit.correction
        painted = 0 if correction is None else correction.document.revision
        seen = QCursor.pos(), painted, self._window.canvas.view_state
        self._still = self._still + 1 if seen == self._seen else 0
        self._seen = seen
        working = self._window.workspace == "correct" and self._window.isActiveWindow()
        if not working or self._still >= _IDLE_TICKS or not self._sample_id:
            return
        self._unkept += _TICK_MS / 1000
        self._window.review_strip.set_time(self.seconds)
        if self._unkept >= _KEPT_EVERY:
            self._keep_time()

    def _keep_time(self) -> None:
        """Enter the time that was counted."""
        seconds, self._unkept = self._unkept, 0.0
        if not seconds or not self._sample_id or self._session.dataset is None:
            return
        review = self._review
        self._review = Review(review.state, review.comment, review.seconds + seconds)
        self._seconds[self._sample_id] = self._seconds.get(self._sample_id, 0.0) + seconds
        self._start(partial(self._session.store.add_review_seconds, self._sample_id, seconds))
