"""Numbers from 0 to 1 as bars inside a table, with the ends of their interval."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from segstudio.ui.models.scores import NumberTable
from segstudio.ui.theme import GRID, theme

__all__ = ["BarDelegate"]

Index = QModelIndex | QPersistentModelIndex

_NUMBER = 5 * GRID


class BarDelegate(QStyledItemDelegate):
    """A bar, a whisker over its 95 % interval, and the number at the right."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return room for a legible bar."""
        return QSize(16 * GRID, super().sizeHint(option, index).height())

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw a cell."""
        colors = theme()
        cell = QRectF(option.rect)
        state: QStyle.StateFlag = option.state
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(cell, colors.color("accent_soft"))
        figure = QRectF(cell.right() - _NUMBER - 6, cell.top(), _NUMBER, cell.height())
        font = index.data(Qt.ItemDataRole.FontRole)
        if font is not None:
            painter.setFont(font)
        painter.setPen(colors.color("text"))
        painter.drawText(
            figure,
            Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
            str(index.data() or ""),
        )
        track = QRectF(
            cell.left() + 6, cell.center().y() - 4, max(figure.left() - cell.left() - 12, 8), 8
        )
        value = index.data(NumberTable.ValueRole)
        interval = index.data(NumberTable.IntervalRole)
        self._paint_bar(painter, track, value, interval)
        painter.restore()

    @staticmethod
    def _paint_bar(
        painter: QPainter,
        track: QRectF,
        value: float | None,
        interval: tuple[float, float] | None,
    ) -> None:
        colors = theme()
        painter.fillRect(track, colors.color("border"))
        if value is None or value != value:
            return
        width = track.width() * min(max(value, 0.0), 1.0)
        painter.fillRect(
            QRectF(track.left(), track.top(), width, track.height()), colors.color("accent")
        )
        if interval is None or interval[0] != interval[0]:
            return
        ends = [track.left() + track.width() * min(max(end, 0.0), 1.0) for end in interval]
        line = QColor(colors.color("text"))
        painter.setPen(QPen(line, 1))
        middle = track.center().y()
        painter.drawLine(QPointF(ends[0], middle), QPointF(ends[1], middle))
        for x in ends:
            painter.drawLine(QPointF(x, middle - 4), QPointF(x, middle + 4))
