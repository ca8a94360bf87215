"""The frame around a canvas that something can be dropped on."""

from __future__ import annotations

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

__all__ = ["DropFrame"]


class DropFrame(QWidget):
    """A frame in the accent colour: let go and it is opened."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.hide()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the frame."""
        painter = QPainter(self)
        color = self.palette().highlight().color()
        painter.setPen(QPen(color, 3))
        color.setAlpha(28)
        painter.setBrush(color)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.drawRoundedRect(QRect(self.rect()).adjusted(8, 8, -9, -9), 8, 8)
        painter.end()
