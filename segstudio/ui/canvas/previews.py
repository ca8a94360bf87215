"""What is drawn on the canvas while a tool is used: an outline under way, superpixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPainterPath, QPen, QPolygonF
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from segstudio.core.types import BBox

__all__ = ["OutlineKind", "OutlinePreview", "SegmentsPreview"]

OutlineKind = Literal["path", "area", "box"]
"""An open way, a closed one, the box between its first and its last point."""

_DARK, _LIGHT = QColor(0, 0, 0, 190), QColor(255, 255, 255, 235)
_CORNER = 3.5
_MARGIN = 8.0
"""Screen pixels that a line or a corner reaches beyond the way."""

_BORDER = (255, 255, 255, 96)
"""Red, green, blue, alpha of the lines between superpixels."""


class OutlinePreview(QGraphicsItem):
    """The way of the pointer in image coordinates, light on dark, as wide at every zoom."""

    def __init__(self) -> None:
        super().__init__()
        self._path = QPainterPath()
        self._closing = QPainterPath()
        self._corners = QPolygonF()
        self._scale = 1.0
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
        self.setVisible(False)

    @property
    def points(self) -> int:
        """How many points the way has; 0 while nothing is shown."""
        return self._path.elementCount() if self.isVisible() else 0

    def set_scale(self, scale: float) -> None:
        """Say how many screen pixels an image pixel has."""
        self.prepareGeometryChange()
        self._scale = max(scale, 1e-6)

    def clear(self) -> None:
        """Show nothing."""
        self.show_way((), "path")

    def show_way(
        self,
        points: Sequence[tuple[float, float]],
        kind: OutlineKind,
        *,
        corners: int = 0,
    ) -> None:
        """Show a way.

        Parameters
        ----------
        points : sequence of (row, col)
            Image coordinates.
        kind : {"path", "area", "box"}
            How the points are joined.
        corners : int
            How many of the first points are marked.
        """
        self.prepareGeometryChange()
        self._path, self._closing, self._corners = QPainterPath(), QPainterPath(), QPolygonF()
        places = [QPointF(col, row) for row, col in points]
        if kind == "box" and places:
            self._path.addRect(QRectF(places[0], places[-1]).normalized())
        elif places:
            self._path.addPolygon(QPolygonF(places))
            if kind == "area" and len(places) > 2:
                self._closing.moveTo(places[-1])
                self._closing.lineTo(places[0])
        self._corners = QPolygonF(places[:corners])
        self.setVisible(bool(places))
        self.update()

    def boundingRect(self) -> QRectF:
        """Return what the lines can touch."""
        margin = _MARGIN / self._scale
        return self._path.boundingRect().adjusted(-margin, -margin, margin, margin)

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        """Draw the dark line, then the light one on it, then the corners."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for color, width in ((_DARK, 3.0), (_LIGHT, 1.25)):
            pen = QPen(color, width)
            pen.setCosmetic(True)
            painter.setPen(pen)
            painter.drawPath(self._path)
            pen.setStyle(Qt.PenStyle.DashLine)
            painter.setPen(pen)
            painter.drawPath(self._closing)
        if self._corners.size():
            for color, width in ((_DARK, 2 * _CORNER + 2), (_LIGHT, 2 * _CORNER)):
                pen = QPen(color, width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap)
                pen.setCosmetic(True)
                painter.setPen(pen)
                painter.drawPoints(self._corners)


class SegmentsPreview(QGraphicsItem):
    """Pixels in one colour: thin lines between superpixels, a veil over what is protected.

    Parameters
    ----------
    color : (int, int, int, int)
        Red, green, blue, alpha.
    """

    def __init__(self, color: tuple[int, int, int, int] = _BORDER) -> None:
        super().__init__()
        self._color = color
        self._box = QRectF()
        self._image = QImage()
        self._pixels: NDArray[Any] | None = None
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
        self.setVisible(False)

    def show_borders(self, box: BBox, borders: NDArray[np.bool_]) -> None:
        """Show lines in a box of the image.

        Parameters
        ----------
        box : BBox
            Where.
        borders : ndarray of shape (h, w), bool
            The lines, on a grid that is stretched over the box.
        """
        self.prepareGeometryChange()
        red, green, blue, alpha = self._color
        line = alpha << 24 | red * alpha // 255 << 16 | green * alpha // 255 << 8
        line |= blue * alpha // 255
        # The image looks into the array's memory, so the array has to live as long.
        self._pixels = np.where(borders, np.uint32(line), np.uint32(0))
        self._image = QImage(
            self._pixels.data,
            borders.shape[1],
            borders.shape[0],
            4 * borders.shape[1],
            QImage.Format.Format_ARGB32_Premultiplied,
        )
        self._box = QRectF(box.left, box.top, box.width, box.height)
        self.setVisible(True)
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self.setVisible(False)

    def boundingRect(self) -> QRectF:
        """Return the box."""
        return self._box

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        """Draw the lines."""
        painter.drawImage(self._box, self._image)
