"""The agreement matrix: how much each model says what each other says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from segstudio.ui.models import number
from segstudio.ui.theme import GRID, theme

__all__ = ["AgreementMatrix"]

_HEAD = 24
_LARGEST = QSize(72, 40)


class AgreementMatrix(QWidget):
    """A symmetric matrix of numbers; a click on a cell compares its two models.

    Attributes
    ----------
    pair_clicked : Signal(str, str)
        Row and column.
    """

    pair_clicked = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._runs: tuple[str, ...] = ()
        self._values: NDArray[np.float64] = np.zeros((0, 0))
        self._words = ""
        self._pair = ("", "")
        self.setMouseTracking(True)
        self.setMinimumSize(20 * GRID, 14 * GRID)
        self.setAccessibleName("Agreement of the models")

    def set_matrix(self, runs: Sequence[str], values: NDArray[np.float64], words: str) -> None:
        """Show another matrix.

        Parameters
        ----------
        runs : sequence of str
        values : ndarray of shape (R, R), float64
            At most 1; NaN where there is no number.
        words : str
            What a number is.
        """
        self._runs, self._values, self._words = tuple(runs), values, words
        self.update()

    @property
    def pair(self) -> tuple[str, str]:
        """The pair that is marked."""
        return self._pair

    def set_pair(self, a: str, b: str) -> None:
        """Mark the pair that is compared."""
        self._pair = a, b
        self.update()

    def sizeHint(self) -> QSize:
        """Return a comfortable size."""
        return QSize(32 * GRID, 24 * GRID)

    def cell_rect(self, row: int, column: int) -> QRectF:
        """Return where a cell is."""
        names, width, height = self._sizes()
        return QRectF(names + column * width, _HEAD + row * height, width, height)

    def _sizes(self) -> tuple[float, float, float]:
        """Return the width of the names, the width and the height of a cell."""
        metrics, count = self.fontMetrics(), max(len(self._runs), 1)
        widest = max((metrics.horizontalAdvance(f"{run}  1") for run in self._runs), default=0)
        names = min(widest + 2 * GRID + 10, self.width() // 2)
        width = min((self.width() - names - GRID) / count, float(_LARGEST.width()))
        height = min((self.height() - _HEAD - GRID) / count, float(_LARGEST.height()))
        return float(names), max(width, 10.0), max(height, 14.0)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw names, cells and numbers."""
        painter = QPainter(self)
        names, width, _ = self._sizes()
        center, middle = Qt.AlignmentFlag.AlignCenter, Qt.AlignmentFlag.AlignVCenter
        for row, run in enumerate(self._runs):
            line = self.cell_rect(row, 0)
            painter.setPen(theme().color("text"))
            room = QRectF(GRID, line.top(), names - 2 * GRID - 12, line.height())
            text = painter.fontMetrics().elidedText(
                run, Qt.TextElideMode.ElideMiddle, int(room.width())
            )
            painter.drawText(room, middle, text)
            painter.setPen(theme().color("muted"))
            painter.drawText(
                QRectF(names - 20, line.top(), 14, line.height()), center, str(row + 1)
            )
            painter.drawText(QRectF(names + row * width, 0, width, _HEAD), center, str(row + 1))
            for column in range(len(self._runs)):
                self._paint_cell(painter, row, column)
        painter.end()

    def _paint_cell(self, painter: QPainter, row: int, column: int) -> None:
        rect = self.cell_rect(row, column).adjusted(1, 1, -1, -1)
        value = float(self._values[row, column])
        colors = theme()
        if row == column:
            painter.fillRect(rect, colors.color("field"))
            painter.setPen(colors.color("faint"))
            painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, number(value))
            return
        fill = QColor(colors.color("accent"))
        # From chance (0) to the same (1); what is worse than chance is as pale as chance.
        fill.setAlpha(0 if value != value else round(25 + 165 * min(max(value, 0.0), 1.0) ** 2))
        painter.fillRect(rect, colors.color("field"))
        painter.fillRect(rect, fill)
        painter.setPen(colors.color("text"))
        painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, number(value))
        if (self._runs[row], self._runs[column]) == self._pair:
            painter.setPen(QPen(colors.color("text"), 2))
            painter.drawRect(rect.adjusted(1, 1, -1, -1))

    def _at(self, place: QPointF) -> tuple[int, int] | None:
        count = len(self._runs)
        for row in range(count):
            for column in range(count):
                if self.cell_rect(row, column).contains(place):
                    return row, column
        return None

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show where a click leads."""
        cell = self._at(event.position())
        door = cell is not None and cell[0] != cell[1]
        self.setCursor(Qt.CursorShape.PointingHandCursor if door else Qt.CursorShape.ArrowCursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Compare the two models of a cell."""
        cell = self._at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and cell and cell[0] != cell[1]:
            self.pair_clicked.emit(self._runs[cell[0]], self._runs[cell[1]])

    def event(self, event: QEvent) -> bool:
        """Say a cell in words."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            cell = self._at(QPointF(event.pos()))
            text = self._words
            if cell is not None:
                value = number(float(self._values[cell]), 4)
                text = f"{self._runs[cell[0]]} and {self._runs[cell[1]]}: {value}\n{self._words}"
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)
