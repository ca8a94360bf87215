"""The outline of the brush at the cursor."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

__all__ = ["BrushPreview", "BrushShape"]

BrushShape = Literal["circle", "square"]

_SMALLEST_OUTLINE = 3.0
"""Screen pixels; a smaller outline would be a blot, so a crosshair shows where it is."""

_CROSS_INNER, _CROSS_OUTER = 3.0, 9.0
_DARK, _LIGHT = QColor(0, 0, 0, 190), QColor(255, 255, 255, 235)


class BrushPreview(QGraphicsItem):
    """A light line beside a dark one, so that it shows on any photograph.

    It lives in screen pixels at the cursor; moving it repaints two small rectangles.
    """

    def __init__(self) -> None:
        super().__init__()
        self._extent = 0.0
        self._shape: BrushShape = "circle"
        self.setZValue(1e6)
        self.setVisible(False)
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)

    @property
    def extent(self) -> float:
        """Diameter or edge in logical screen pixels."""
        return self._extent

    def set_outline(self, extent: float, shape: BrushShape) -> None:
        """Set the diameter or edge, in logical screen pixels, and the shape."""
        if (extent, shape) != (self._extent, self._shape):
            self.prepareGeometryChange()
            self._extent, self._shape = extent, shape
            self.update()

    def boundingRect(self) -> QRectF:
        """Return what the outline can touch."""
        reach = max(self._extent / 2, _CROSS_OUTER) + 2.5
        return QRectF(-reach, -reach, 2 * reach, 2 * reach)

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        """Draw the dark line, then the light one on it."""
        painter.setBrush(Qt.BrushStyle.NoBrush)
        outlined = self._extent >= _SMALLEST_OUTLINE
        painter.setRenderHint(
            QPainter.RenderHint.Antialiasing, outlined and self._shape == "circle"
        )
        for color, width in ((_DARK, 3.0), (_LIGHT, 1.0)):
            painter.setPen(QPen(color, width))
            if not outlined:
                self._draw_cross(painter, width)
            elif self._shape == "circle":
                painter.drawEllipse(QPointF(), self._extent / 2, self._extent / 2)
            else:
                half = self._extent / 2
                painter.drawRect(QRectF(-half, -half, self._extent, self._extent))

    def _draw_cross(self, painter: QPainter, width: float) -> None:
        painter.drawPoint(QPointF())
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            painter.drawLine(
                QPointF(x * _CROSS_INNER, y * _CROSS_INNER),
                QPointF(x * _CROSS_OUTER, y * _CROSS_OUTER),
            )
