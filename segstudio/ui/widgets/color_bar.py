"""What the colours of a map of numbers mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from segstudio.ui.theme import GRID, theme

__all__ = ["ColorBar"]


class ColorBar(QWidget):
    """What the colours over the picture mean: a ramp between two numbers."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._table: NDArray[np.uint8] = np.zeros((2, 3), np.uint8)
        self._low, self._high = "", ""
        self.setFixedHeight(4 * GRID)

    def set_scale(self, table: NDArray[np.uint8], low: str, high: str) -> None:
        """Show an (N, 3) table of colours with the words at its ends."""
        self._table, self._low, self._high = table, low, high
        self.setAccessibleName(f"Colours from {low} to {high}")
        self.update()

    @property
    def ends(self) -> tuple[str, str]:
        """The words at the ends."""
        return self._low, self._high

    def sizeHint(self) -> QSize:
        """Return a comfortable size."""
        return QSize(28 * GRID, 4 * GRID)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the ramp and the numbers below it."""
        painter = QPainter(self)
        ramp = QRectF(0.5, 0.5, self.width() - 1, 10)
        gradient = QLinearGradient(ramp.topLeft(), ramp.topRight())
        for place in np.linspace(0, 1, 17):
            color = self._table[round(place * (len(self._table) - 1))]
            gradient.setColorAt(float(place), QColor(*(int(value) for value in color)))
        painter.setPen(theme().color("border"))
        painter.setBrush(gradient)
        painter.drawRect(ramp)
        painter.setPen(theme().color("muted"))
        words = QRectF(0, 12, self.width(), 18)
        painter.drawText(words, Qt.AlignmentFlag.AlignLeft, self._low)
        painter.drawText(words, Qt.AlignmentFlag.AlignRight, self._high)
        painter.end()
