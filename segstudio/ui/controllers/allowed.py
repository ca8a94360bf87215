"""Where the rules of painting allow it, shown while they are chosen."""

from __future__ import annotations

import math
from collections.abc import Callable

from PySide6.QtCore import QObject, QPointF

from segstudio.core.errors import SegStudioError
from segstudio.core.types import BBox
from segstudio.datasets.scratch import is_large
from segstudio.editing.rules import PaintRules, Protection
from segstudio.session.corrections import Correction
from segstudio.ui.canvas.previews import SegmentsPreview
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.main_window import MainWindow

__all__ = ["AllowedPreview"]

_VEIL = (12, 14, 18, 176)
"""Red, green, blue, alpha over what is protected."""


class AllowedPreview(QObject):
    """A veil over what the rules protect, as long as their menu is open.

    Parameters
    ----------
    window : MainWindow
    desk : Desk
    rules : callable
        Returns the rules for a correction.
    correction : callable
        Returns what is painted, None for nothing.
    parent : QObject
    """

    def __init__(
        self,
        window: MainWindow,
        desk: Desk,
        rules: Callable[[Correction], PaintRules],
        correction: Callable[[], Correction | None],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._window, self._desk = window, desk
        self._rules, self._correction = rules, correction
        self._is_open = False
        self.veil = SegmentsPreview(_VEIL)
        window.canvas.add_preview(self.veil)
        protect = window.tool_strip.protect
        protect.menu().aboutToShow.connect(lambda: self._follow(True))
        protect.menu().aboutToHide.connect(lambda: self._follow(False))
        protect.changed.connect(lambda: self._follow(self._is_open))

    def _follow(self, is_open: bool) -> None:
        self._is_open = is_open
        correction, canvas = self._correction(), self._window.canvas
        self.veil.clear()
        if not is_open or correction is None or canvas.image_shape is None:
            return
        label_map, shown = correction.document.label_map, self._desk.shown
        rules = self._rules(correction)
        # Of a map that is read from its file, a look at every pixel is too much.
        if rules.is_free or shown is None or is_large(*label_map.shape):
            return
        top, left = canvas.image_position(QPointF(0, 0))
        bottom, right = canvas.image_position(QPointF(canvas.width(), canvas.height()))
        box = BBox(math.floor(top), math.floor(left), math.ceil(bottom), math.ceil(right))
        box = box.clipped(*label_map.shape)
        if box.is_empty:
            return
        try:
            protection = Protection(rules, label_map, shown.entropy)
        except SegStudioError:
            return  # without entropy; the first stroke says so
        step = max(1, math.floor(1 / canvas.scale))  # no more pixels than the screen has
        veiled = ~protection.allowed(label_map, box, step=step)
        rows, columns = veiled.shape
        stretched = BBox(box.top, box.left, box.top + step * rows, box.left + step * columns)
        self.veil.show_borders(stretched, veiled)
