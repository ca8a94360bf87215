"""The base of plots whose marks the pointer takes."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QMouseEvent, QPainter
from PySide6.QtWidgets import QWidget

from segstudio.ui.theme import GRID, theme

__all__ = ["MarkPlot", "nice_step"]

_TITLE, _FOOT, _SIDE = 28, 36, 48
_NEAR = 10.0
"""Pixels from a mark that the pointer takes."""


def nice_step(span: float, count: int) -> float:
    """Return 1, 2 or 5 times a power of ten, of which at most ``count`` fit into ``span``."""
    if span <= 0 or count < 1:
        return 1.0
    rough = span / count
    power = 10.0 ** np.floor(np.log10(rough))
    for factor in (1.0, 2.0, 5.0):
        if factor * power >= rough * (1 - 1e-9):
            return float(factor * power)
    return float(10 * power)


class MarkPlot(QWidget):
    """A title above, a frame, words below; marks that the pointer takes."""

    title, across, upward = "", "", ""
    side = _SIDE  # pixels for the words at the left

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.hover = -1
        self.setMouseTracking(True)
        self.setMinimumSize(28 * GRID, 18 * GRID)
        self.setAccessibleName(self.title)

    def sizeHint(self) -> QSize:
        """Return a comfortable size."""
        return QSize(44 * GRID, 26 * GRID)

    def frame(self) -> QRectF:
        """Return where marks are drawn."""
        return QRectF(self.rect().adjusted(self.side, _TITLE, -GRID - 4, -_FOOT))

    def marks(self) -> list[QPointF]:
        """Return where the marks are, by number."""
        raise NotImplementedError

    def mark_at(self, point: QPointF) -> int:
        """Return the mark under a point, -1 for none."""
        near, least = -1, _NEAR
        for number, place in enumerate(self.marks()):
            distance = float(np.hypot(place.x() - point.x(), place.y() - point.y()))
            if distance < least and self.frame().adjusted(-4, -4, 4, 4).contains(place):
                near, least = number, distance
        return near

    def describe(self, mark: int) -> str:
        """Return what the line above the frame says of a mark."""
        raise NotImplementedError

    def paint_head(self, painter: QPainter) -> None:
        """Draw title, what the pointer is at, the field and the words below it."""
        colors = theme()
        line = QRectF(GRID, 2, self.width() - 2 * GRID - 4, _TITLE - 4)
        font = painter.font()
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(colors.color("text"))
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, self.title)
        used = painter.fontMetrics().horizontalAdvance(self.title) + 2 * GRID
        font.setBold(False)
        painter.setFont(font)
        said = self.describe(self.hover) if self.hover >= 0 else self.upward
        painter.setPen(colors.color("text" if self.hover >= 0 else "muted"))
        painter.drawText(
            line,
            Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
            painter.fontMetrics().elidedText(
                said, Qt.TextElideMode.ElideRight, int(line.width() - used)
            ),
        )
        painter.fillRect(self.frame(), colors.color("field"))
        painter.setPen(colors.color("muted"))
        foot = QRectF(self.frame().left(), self.frame().bottom() + 17, self.frame().width(), 17)
        painter.drawText(foot, Qt.AlignmentFlag.AlignHCenter, self.across)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say what is under the pointer."""
        self.set_hover(self.mark_at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the pointer."""
        self.set_hover(-1)

    def set_hover(self, mark: int) -> None:
        """Let the pointer be at a mark, -1 for none."""
        if mark != self.hover:
            self.hover = mark
            pointing = Qt.CursorShape.PointingHandCursor
            self.setCursor(pointing if mark >= 0 else Qt.CursorShape.ArrowCursor)
            self.update()
