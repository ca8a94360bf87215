"""Squares in the colour, and where wanted the pattern, of a class."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QIcon, QImage, QPainter, QPen, QPixmap

from segstudio.core.class_style import line_colors, pattern_tile
from segstudio.core.palette import Color
from segstudio.ui.palettes import ClassColor, class_style
from segstudio.ui.theme import theme

__all__ = ["paint_class", "paint_frame", "swatch_icon"]


def paint_class(painter: QPainter, rect: QRect | QRectF, entry: ClassColor) -> None:
    """Fill a rectangle with a class's colour and, where patterns are on, its pattern."""
    area = QRectF(rect)
    color = entry.shown
    painter.fillRect(area, QColor(*color))
    if class_style().patterns and pattern_tile(entry.index).any():
        painter.save()
        # The tile begins at the corner of each swatch, so that all of one class are alike.
        painter.setBrushOrigin(QPointF(area.topLeft()))
        painter.fillRect(area, QBrush(_tile(entry.index % 8, color)))
        painter.restore()


def paint_frame(painter: QPainter, rect: QRect | QRectF) -> None:
    """Draw the thin line around a swatch."""
    painter.setPen(QPen(theme().color("faint"), 1))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRect(rect)


def swatch_icon(entry: ClassColor, *, edge: int = 12, ratio: float = 1.0) -> QIcon:
    """Return a square icon of a class.

    Parameters
    ----------
    entry : ClassColor
    edge : int
        Logical pixels.
    ratio : float
        Device pixels per logical pixel.
    """
    picture = QPixmap(round(edge * ratio), round(edge * ratio))
    picture.setDevicePixelRatio(ratio)
    painter = QPainter(picture)
    paint_class(painter, QRect(0, 0, edge, edge), entry)
    painter.end()
    return QIcon(picture)


@lru_cache(maxsize=512)
def _tile(index: int, color: Color) -> QImage:
    """Return the lines of a pattern over nothing, as they stand out from a colour."""
    line = line_colors(np.array([color], np.uint8))[0]
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[pattern_tile(index)] = (*line[::-1], 255)
    form = QImage.Format.Format_ARGB32_Premultiplied
    return QImage(pixels.tobytes(), 8, 8, 32, form).copy()
