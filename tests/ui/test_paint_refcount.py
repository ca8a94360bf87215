"""A paint call must not eat references: PySide6 6.12.0 on Python 3.11 lost None's, one a call."""

from __future__ import annotations

import sys

from PySide6.QtCore import QLine, QPoint, QRect
from PySide6.QtGui import QColor, QImage, QPainter

CALLS = 20_000
NOISE = 300


def test_painting_keeps_the_references_to_none(qapp) -> None:
    canvas = QImage(16, 16, QImage.Format.Format_ARGB32_Premultiplied)
    canvas.fill(0)
    picture = QImage(4, 4, QImage.Format.Format_ARGB32_Premultiplied)
    picture.fill(0)
    point, rect, line, color = QPoint(1, 1), QRect(0, 0, 2, 2), QLine(0, 0, 3, 3), QColor("red")
    before = sys.getrefcount(None)
    if before > 1 << 30:
        return  # from Python 3.12 on None is immortal and cannot be lost
    painter = QPainter(canvas)
    try:
        for _ in range(CALLS):
            painter.drawImage(point, picture)
            painter.fillRect(rect, color)
            painter.drawLine(line)
    finally:
        painter.end()
    assert sys.getrefcount(None) > before - NOISE
