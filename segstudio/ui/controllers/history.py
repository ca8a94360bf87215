"""The list of strokes, jumps in it, and the way back to an earlier revision."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QObject, QPoint

from segstudio.core.errors import SegStudioError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox, LabelMap
from segstudio.session.session import Session
from segstudio.ui.controllers.edit import EditController
from segstudio.ui.controllers.tasks import Tasks, sentence
from segstudio.ui.dialogs.history import HistoryPopover
from segstudio.ui.main_window import MainWindow
from segstudio.ui.theme import GRID

__all__ = ["HistoryController"]

_BAND = 1 << 20
"""Pixels that are compared and painted at a time."""


class HistoryController(QObject):
    """Joins the edit history of the correction shown with its popover."""

    def __init__(
        self, window: MainWindow, session: Session, tasks: Tasks, edit: EditController
    ) -> None:
        super().__init__(window)
        self._window, self._session, self._tasks, self._edit = window, session, tasks, edit
        self.popover: HistoryPopover | None = None
        window.actions_["history"].triggered.connect(lambda _checked: self.show())
        window.actions_["previous_revision"].triggered.connect(lambda _checked: self.bring_back())

    def show(self) -> None:
        """Show the strokes of the image."""
        correction = self._edit.correction
        if correction is None:
            self._tell("Strokes are listed while an image is open in Correct.")
            return
        self.popover = popover = HistoryPopover(self._window)
        history = correction.document.history

        def refresh() -> None:
            popover.set_entries(history.entries(), *history.room)

        def forget() -> None:
            history.changed.disconnect(refresh, missing_ok=True)
            self.popover = None

        refresh()
        history.changed.connect(refresh)
        popover.chosen.connect(self.jump)
        popover.destroyed.connect(forget)
        strip = self._window.tool_strip
        corner = strip.mapToGlobal(QPoint(strip.width() - GRID, strip.height()))
        popover.move_to(corner)
        popover.show()

    def jump(self, count: int) -> None:
        """Undo or redo until ``count`` strokes are done."""
        correction = self._edit.correction
        if correction is None:
            return
        done = sum(not entry.undone for entry in correction.document.history.entries())
        for _ in range(abs(count - done)):
            self._edit.travel("undo" if count < done else "redo")

    # -- the previous revision ----------------------------------------------------------------

    def bring_back(self) -> None:
        """Paint the revision before over the present one, as a stroke that can be undone."""
        correction = self._edit.correction
        if correction is None:
            self._tell("Open an image in Correct first; then its previous revision can come back.")
            return
        sample_id = correction.sample_id
        self._tasks.start(
            "revision",
            lambda: self._session.corrections.previous(sample_id),
            lambda found: self._paint(sample_id, found),
            lambda error: self._tell(sentence(error), kind="warning"),
        )

    def _paint(self, sample_id: str, previous: LabelMap | None) -> None:
        correction = self._edit.correction
        if correction is None or correction.sample_id != sample_id:
            return
        document = correction.document
        if previous is None:
            self._tell("There is no revision before this one.")
            return
        if previous.shape != document.shape:
            self._tell("The previous revision is of another size and cannot come back.")
            return
        if document.in_stroke:
            return
        try:
            document.begin_stroke("Previous revision")
            for patch in _differences(document.label_map, previous):
                document.apply(patch)
            if document.commit_stroke() is None:
                self._tell("The previous revision is the same.")
        except SegStudioError as error:
            document.abort_stroke() if document.in_stroke else None
            self._tell(str(error), kind="error")

    def _tell(self, text: str, *, kind: str = "info") -> None:
        self._window.show_notice("history", text, kind=kind, seconds=8)


def _differences(here: LabelMap, there: LabelMap) -> list[MaskPatch]:
    """Return what makes one map the other, a band of rows each, nothing where they agree."""
    rows = max(1, _BAND // here.shape[1])
    patches = []
    for top in range(0, here.shape[0], rows):
        band = slice(top, min(top + rows, here.shape[0]))
        if not np.array_equal(here[band], there[band]):
            box = BBox(band.start, 0, band.stop, here.shape[1])
            patches.append(MaskPatch(box, here[band].copy(), there[band].copy()))
    return patches
