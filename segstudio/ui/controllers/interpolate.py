"""From two corrected frames of a sequence to those between them."""

from __future__ import annotations

from functools import partial

import numpy as np
from PySide6.QtCore import QObject, Signal

from segstudio.core.class_style import draw_patterns
from segstudio.core.palette import color_table
from segstudio.core.types import Image
from segstudio.session.events import JobState
from segstudio.session.interpolating import (
    Gap,
    find_gap,
    preview_gap,
    start_interpolating,
    take_back,
)
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.controllers.edit import EditController
from segstudio.ui.controllers.tasks import SessionBridge, Tasks, sentence
from segstudio.ui.dialogs.interpolate import InterpolateDialog
from segstudio.ui.main_window import MainWindow
from segstudio.ui.palettes import class_style, shown_colors

__all__ = ["InterpolateController"]

_STRENGTH = 0.6
"""Of the colours over the photograph in the preview."""


class InterpolateController(QObject):
    """Joins the action, its preview and its job."""

    written = Signal(str)  # from the job's thread

    def __init__(
        self,
        window: MainWindow,
        session: Session,
        bridge: SessionBridge,
        tasks: Tasks,
        desk: Desk,
        edit: EditController,
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks = window, session, tasks
        self._desk, self._edit = desk, edit
        self.dialog: InterpolateDialog | None = None
        self._job: tuple[str, Gap] | None = None
        window.actions_["interpolate"].triggered.connect(lambda _checked: self.ask())
        bridge.job_changed.connect(self._on_job)
        self.written.connect(lambda name: window.samples.set_status(name, "in progress"))

    def ask(self) -> None:
        """Show what the frames around the image shown would become."""
        sample_id = self._desk.sample_id
        if not sample_id:
            self._tell("Open a folder of frames first.")
            return
        self._edit.save_if_dirty()
        self._tasks.start(
            "gap", partial(find_gap, self._session, sample_id), self._show, self._on_failed
        )

    def _show(self, gap: Gap) -> None:
        self.dialog = dialog = InterpolateDialog(gap.first, gap.last, gap.between, self._window)
        dialog.frame_wanted.connect(lambda number: self._preview(dialog, gap, number))
        dialog.accepted.connect(lambda: self._start(gap))
        dialog.finished.connect(lambda _result: self._close(dialog))
        dialog.ask()
        dialog.open()

    def _close(self, dialog: InterpolateDialog) -> None:
        self.dialog = None
        dialog.deleteLater()

    def _preview(self, dialog: InterpolateDialog, gap: Gap, number: int) -> None:
        def show(picture: Image) -> None:
            if self.dialog is dialog:
                dialog.set_picture(number, picture)

        def tell(error: Exception) -> None:
            if self.dialog is dialog:
                dialog.set_problem(sentence(error))

        self._tasks.start("frame", partial(self._picture, gap, number), show, tell)

    def _picture(self, gap: Gap, number: int) -> Image:
        """Return a frame's photograph under its colours, small; runs in a thread."""
        label_map, step = preview_gap(self._session, gap, number)
        photo = self._session.read_image(gap.between[number])[::step, ::step]
        if photo.shape[:2] != label_map.shape:
            photo = np.full((*label_map.shape, 3), 96, np.uint8)
        shown = shown_colors(gap.label_space)
        colors = color_table(shown, dtype=label_map.dtype.type)[label_map]
        if class_style().patterns:
            draw_patterns(colors, label_map, shown)
        known = (label_map < len(gap.label_space))[..., None]
        mixed = photo * (1 - _STRENGTH) + colors * _STRENGTH
        return np.where(known, mixed, photo).astype(np.uint8)

    # -- writing ------------------------------------------------------------------------------

    def _start(self, gap: Gap) -> None:
        # A frame that is open cannot be written by somebody else.
        if self._desk.sample_id in gap.between:
            self._desk.show(gap.first)
        self._tasks.start(
            "interpolate",
            partial(start_interpolating, self._session, gap, self.written.emit),
            lambda job_id: self._on_started(job_id, gap),
            self._on_failed,
        )

    def _on_started(self, job_id: str, gap: Gap) -> None:
        self._job = job_id, gap
        for state in self._session.jobs():
            if state.job_id == job_id:
                self._on_job(state)

    def _on_job(self, state: JobState) -> None:
        if self._job is None or state.job_id != self._job[0] or not state.is_over:
            return
        gap, self._job = self._job[1], None
        if not state.done:
            return
        plural = "" if state.done == 1 else "s"
        self._window.show_notice(
            "interpolate",
            f"{state.done} frame{plural} between {gap.first} and {gap.last} "
            f"{'is' if state.done == 1 else 'are'} in progress now.",
            kind="done",
            buttons=[("Take back", lambda: self._take_back(gap))],
        )

    def _take_back(self, gap: Gap) -> None:
        if self._desk.sample_id in gap.between:
            self._desk.show(gap.first)

        def tell(removed: list[str]) -> None:
            for name in removed:
                self._window.samples.set_status(name, "new")
            kept = len(gap.between) - len(removed)
            words = f"{len(removed)} interpolated frames were taken back"
            if kept:
                words += f"; {kept} stay because they were changed or are open"
            self._tell(f"{words}.")
            self._tasks.start("statuses", self._session.statuses, self._window.samples.set_statuses)

        self._tasks.start(
            "interpolate", partial(take_back, self._session, gap), tell, self._on_failed
        )

    def _on_failed(self, error: Exception) -> None:
        self._tell(sentence(error), kind="warning")

    def _tell(self, text: str, *, kind: str = "info") -> None:
        self._window.show_notice("interpolate", text, kind=kind, seconds=10)
