"""How the parts of a comparison grid are painted: cells, names, what is under the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen

from segstudio.ui.canvas.comparison_picture import GridCell
from segstudio.ui.canvas.comparison_view import HEAD, GridGeometry, GridView
from segstudio.ui.palettes import ClassColor
from segstudio.ui.theme import theme
from segstudio.ui.widgets.swatches import paint_class, paint_frame

__all__ = [
    "BADGE_COLORS",
    "GridRow",
    "Pointed",
    "paint_badge",
    "paint_cell",
    "paint_cross",
    "paint_pointed",
    "paint_row_caption",
    "paint_titles",
]

BADGE_COLORS = {"A": QColor(38, 116, 214), "B": QColor(242, 142, 28)}
"""The two runs of a pair; the same colours as where only one of them is right."""

_DARK, _LIGHT = QColor(0, 0, 0, 170), QColor(255, 255, 255, 235)
_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
_ARM, _HOLE = 13.0, 4.0
_BADGE = 18.0


@dataclass(frozen=True, slots=True)
class GridRow:
    """A row's name.

    Attributes
    ----------
    title : str
        The run.
    badge : str
        "A", "B" or "".
    remark : str
        Its score of the image.
    """

    title: str
    badge: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Pointed:
    """What a row says at the pointer.

    Attributes
    ----------
    text : str
    color : ClassColor or None
        Of the class.
    """

    text: str
    color: ClassColor | None = None


def paint_titles(painter: QPainter, geometry: GridGeometry, titles: Sequence[str]) -> None:
    """Paint the columns' names over whatever has scrolled under them."""
    painter.fillRect(QRectF(0, 0, geometry.width, HEAD), theme().color("window"))
    painter.setPen(theme().color("muted"))
    font = QFont(painter.font())
    font.setWeight(QFont.Weight.DemiBold)
    usual = painter.font()
    painter.setFont(font)
    for number, title in enumerate(titles):
        rect = geometry.column_rect(number)
        text = painter.fontMetrics().elidedText(
            title, Qt.TextElideMode.ElideRight, int(rect.width())
        )
        painter.drawText(rect, _LEFT, text)
    painter.setFont(usual)


def paint_badge(painter: QPainter, left: float, middle: float, badge: str) -> float:
    """Paint the letter of a run of the pair; return where it ends."""
    rect = QRectF(left, middle - _BADGE / 2, _BADGE, _BADGE)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(BADGE_COLORS[badge])
    painter.drawRoundedRect(rect, 4, 4)
    font = QFont(painter.font())
    font.setBold(True)
    painter.setFont(font)
    painter.setPen(QColor("#ffffff") if badge == "A" else QColor("#201000"))
    painter.drawText(rect, int(Qt.AlignmentFlag.AlignCenter), badge)
    painter.restore()
    return left + _BADGE + 7


def paint_row_caption(painter: QPainter, rect: QRectF, row: GridRow) -> None:
    """Paint a row's badge, name and score."""
    left = rect.left()
    if row.badge:
        left = paint_badge(painter, left, rect.center().y() + 1, row.badge)
    usual = painter.font()
    font = QFont(usual)
    font.setWeight(QFont.Weight.DemiBold)
    painter.setFont(font)
    painter.setPen(theme().color("text"))
    room = rect.width() * 0.45
    title = painter.fontMetrics().elidedText(row.title, Qt.TextElideMode.ElideMiddle, int(room))
    painter.drawText(QRectF(left, rect.top() + 1, room, rect.height()), _LEFT, title)
    left += painter.fontMetrics().horizontalAdvance(title) + 14
    painter.setFont(usual)
    painter.setPen(theme().color("muted"))
    painter.drawText(
        QRectF(left, rect.top() + 1, rect.right() - left, rect.height()), _LEFT, row.remark
    )


def paint_pointed(painter: QPainter, rect: QRectF, pointed: Pointed) -> None:
    """Paint what a row has under the pointer, at the right of its name."""
    metrics = painter.fontMetrics()
    width = min(metrics.horizontalAdvance(pointed.text) + 2.0, rect.width() / 2)
    text = metrics.elidedText(pointed.text, Qt.TextElideMode.ElideRight, int(width))
    right = rect.right()
    painter.setPen(theme().color("text"))
    painter.drawText(QRectF(right - width, rect.top() + 1, width, rect.height()), _RIGHT, text)
    if pointed.color is not None:
        swatch = QRectF(right - width - 20, rect.center().y() - 5, 12, 12)
        paint_class(painter, swatch, pointed.color)
        paint_frame(painter, swatch)


def paint_cell(
    painter: QPainter, rect: QRectF, cell: GridCell | None, view: GridView | None
) -> None:
    """Paint a picture with its remark, or why there is none."""
    colors = theme()
    painter.fillRect(rect, colors.color("canvas"))
    if cell is None or view is None:
        return
    if cell.picture is None:
        painter.setPen(colors.color("muted"))
        flags = int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap)
        painter.drawText(rect.adjusted(8, 4, -8, -4), flags, cell.remark)
        return
    painter.save()
    painter.setClipRect(rect)
    place = cell.picture.paint(painter, rect, view)
    if cell.remark and place.width() > 48:
        _paint_remark(painter, place, cell.remark)
    painter.restore()


def _paint_remark(painter: QPainter, rect: QRectF, text: str) -> None:
    font = QFont(painter.font())
    if font.pixelSize() > 0:
        font.setPixelSize(max(9, font.pixelSize() - 2))
    else:
        font.setPointSizeF(font.pointSizeF() * 0.88)
    painter.setFont(font)
    metrics = painter.fontMetrics()
    width, height = metrics.horizontalAdvance(text) + 10.0, metrics.height() + 3.0
    box = QRectF(rect.left() + 4, rect.bottom() - height - 4, width, height)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(0, 0, 0, 165))
    painter.drawRoundedRect(box, 3, 3)
    painter.setPen(QColor(255, 255, 255, 235))
    painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter), text)


def paint_cross(painter: QPainter, place: QPointF) -> None:
    """Paint the pointer's pixel: four short lines, light on dark."""
    lines = [
        QLineF(place + QPointF(x * _HOLE, y * _HOLE), place + QPointF(x * _ARM, y * _ARM))
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))
    ]
    for color, width in ((_DARK, 3.0), (_LIGHT, 1.0)):
        painter.setPen(QPen(color, width))
        painter.drawLines(lines)
