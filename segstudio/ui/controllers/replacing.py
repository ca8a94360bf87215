"""Replacing a class in many images: counted in a thread, then done as a job."""

from __future__ import annotations

import threading
from functools import partial

from PySide6.QtCore import QObject, Signal

from segstudio.core.errors import UsageError
from segstudio.session.replacing import (
    UNLABELLED,
    ReplaceCount,
    ReplaceRequest,
    count_class,
    start_replacing,
)
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.edit import EditController
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.dialogs.replace_class import ReplaceChoice, ReplaceClassDialog, ReplaceRow
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models import images_text

__all__ = ["ReplaceController"]

_LISTED, _ALL = "listed", "all"


class ReplaceController(QObject):
    """Joins the dialog with the session.

    Attributes
    ----------
    counted : Signal(int, int)
        Images counted so far, and of how many; may come from another thread.
    replaced : Signal(str)
        A job is done with an image; may come from another thread.
    """

    counted = Signal(int, int)
    replaced = Signal(str)

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        tasks: Tasks,
        desk: Desk,
        edit: EditController,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self._desk, self._edit = desk, edit
        self.dialog: ReplaceClassDialog | None = None
        self._stop = threading.Event()
        window.actions_["replace_class"].triggered.connect(lambda _checked: self.ask())
        self.counted.connect(self._on_counted)
        self.replaced.connect(self._on_replaced)

    def ask(self) -> None:
        """Show the dialog."""
        dataset, space = self._session.dataset, self._desk.space
        if dataset is None or space is None:
            self._window.show_notice(
                "replace", "Open a dataset with classes first; then one can be replaced."
            )
            return
        listed, everything = len(self._listed()), len(dataset.samples)
        images = [(_ALL, f"All {images_text(everything)}")]
        if listed != everything:
            images.insert(0, (_LISTED, f"The {images_text(listed)} in the list"))
        runs = [record.run for record in self._session.runs()]
        active = min(self._window.legend.active, len(space) - 1)
        self.dialog = dialog = ReplaceClassDialog(
            space, images, runs, active=active, unlabelled=UNLABELLED, parent=self._window
        )
        dialog.asked.connect(self._count)
        dialog.accepted.connect(self._begin)
        dialog.finished.connect(self._on_closed)
        dialog.open()
        dialog.ask()

    def _listed(self) -> list[str]:
        model = self._window.samples
        found = (model.sample_at(row) for row in range(model.rowCount()))
        return [sample.sample_id for sample in found if sample is not None]

    def _samples(self, images: str) -> list[str]:
        dataset = self._session.dataset
        if images == _LISTED or dataset is None:
            return self._listed()
        return [sample.sample_id for sample in dataset.samples]

    # -- counting ---------------------------------------------------------------------------

    def _count(self, choice: ReplaceChoice) -> None:
        self._stop.set()
        self._stop = stop = threading.Event()
        request, samples = _request(choice), self._samples(choice.images)

        def work() -> list[ReplaceCount]:
            counts = []
            for number, count in enumerate(count_class(self._session, request, samples), 1):
                if stop.is_set():
                    return []
                counts.append(count)
                self.counted.emit(number, len(samples))
            return counts

        self._tasks.start("count class", work, partial(self._on_counts, stop), self._on_failed)

    def _on_counted(self, done: int, total: int) -> None:
        if self.dialog is not None:
            self.dialog.show_progress(done, total)

    def _on_counts(self, stop: threading.Event, counts: list[ReplaceCount]) -> None:
        if self.dialog is None or stop.is_set():
            return
        rows = [_row(count) for count in counts if count.pixels or count.problem]
        without = sum(not count.of and not count.problem for count in counts)
        note = ""
        if not rows and without == len(counts):
            note = "None of these images has a label map of that kind yet."
        self.dialog.show_rows(rows, note)

    def _on_failed(self, error: Exception) -> None:
        if self.dialog is not None:
            told = str(error) if isinstance(error, UsageError) else sentence(error)
            self.dialog.show_rows([], told)

    def _on_closed(self, _result: int) -> None:
        self._stop.set()
        dialog, self.dialog = self.dialog, None
        if dialog is not None:
            dialog.deleteLater()

    # -- replacing --------------------------------------------------------------------------

    def _begin(self) -> None:
        assert self.dialog is not None
        chosen, request = self.dialog.chosen(), _request(self.dialog.choice())
        here = self._desk.sample_id
        if here in chosen:
            # First, so that one can go on painting it soon; until then it is put away.
            chosen = [here, *(sample_id for sample_id in chosen if sample_id != here)]
            self._edit.put_away()
        start_replacing(self._session, request, chosen, self.replaced.emit)

    def _on_replaced(self, sample_id: str) -> None:
        there = self._session.layout.correction(sample_id).exists()
        if there:
            self._window.samples.set_status(sample_id, "corrected")
        if sample_id == self._desk.sample_id:
            self._edit.take_up()


def _request(choice: ReplaceChoice) -> ReplaceRequest:
    return ReplaceRequest(choice.before, choice.after, choice.maps or None)


def _row(count: ReplaceCount) -> ReplaceRow:
    if count.problem is not None:
        return ReplaceRow(count.sample_id, count.pixels, count.problem, False, False)
    remark = "becomes a correction" if count.of == "prediction" else ""
    if count.unsaved:
        remark = "has unsaved strokes; they are saved too"
    return ReplaceRow(count.sample_id, count.pixels, remark, True, not count.unsaved)
