"""The kinds panel: what mending each kind of error would bring, boundaries and object sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QHelpEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QScrollArea, QStackedLayout, QToolTip, QVBoxLayout, QWidget

from segstudio.ui.models import number
from segstudio.ui.theme import GRID, theme
from segstudio.ui.widgets.frames import message_label

__all__ = ["Bar", "BarChart", "KindsPanel"]

_ROW, _HEAD = 26, 30


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar from 0 to 1.

    Attributes
    ----------
    title, hint : str
        What a person reads beside it and as a tooltip.
    value : float
        Its length, NaN where it does not exist.
    gain : float or None
        Where a second bar, which begins at its end, ends.
    note : str
        Small text before the number.
    key : object
        What a click on it tells; None can not be clicked.
    """

    title: str
    hint: str
    value: float
    gain: float | None = None
    note: str = ""
    key: object = None


class BarChart(QWidget):
    """Bars under a heading, with their numbers at the right.

    Attributes
    ----------
    clicked : Signal(object)
        The key of a bar.
    """

    clicked = Signal(object)

    def __init__(self, title: str, note: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title, self._note = title, note
        self._bars: tuple[Bar, ...] = ()
        self._hover = -1
        self.setMouseTracking(True)
        self.setAccessibleName(title)

    @property
    def bars(self) -> tuple[Bar, ...]:
        """The bars, from top to bottom."""
        return self._bars

    def set_bars(self, bars: Sequence[Bar]) -> None:
        """Show other bars."""
        self._bars = tuple(bars)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Return the room for all bars."""
        return QSize(52 * GRID, _HEAD + _ROW * len(self._bars) + GRID)

    def minimumSizeHint(self) -> QSize:
        """Return the same height at any width."""
        return QSize(36 * GRID, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw heading, bars and numbers."""
        painter = QPainter(self)
        colors = theme()
        right, middle = Qt.AlignmentFlag.AlignRight, Qt.AlignmentFlag.AlignVCenter
        line = QRectF(GRID + 4, 4, self.width() - 2 * GRID - 8, _HEAD - 4)
        painter.setPen(colors.color("muted"))
        painter.drawText(line, right | middle, self._note)
        font = painter.font()
        font.setBold(True)
        painter.setFont(font)
        painter.drawText(line, middle, self._title)
        font.setBold(False)
        painter.setFont(font)
        metrics = painter.fontMetrics()
        names = max((metrics.horizontalAdvance(bar.title) for bar in self._bars), default=0)
        numbers = metrics.horizontalAdvance("0.0000  +0.0000") + GRID
        notes = max((metrics.horizontalAdvance(bar.note) for bar in self._bars), default=0)
        for place, bar in enumerate(self._bars):
            row = QRectF(line.left(), _HEAD + place * _ROW, line.width(), _ROW)
            if place == self._hover and bar.key is not None:
                painter.fillRect(row.adjusted(-4, 0, 4, 0), colors.color("hover"))
            painter.setPen(colors.color("text"))
            painter.drawText(row, middle, bar.title)
            end = row.right() - numbers
            painter.setPen(colors.color("muted"))
            painter.drawText(QRectF(end - notes, row.top(), notes, _ROW), right | middle, bar.note)
            painter.setPen(colors.color("text"))
            painter.drawText(row, right | middle, _figures(bar))
            left = row.left() + names + 2 * GRID
            track = QRectF(left, row.top() + 8, max(end - notes - GRID - left, 8), _ROW - 16)
            self._draw_bar(painter, track, bar)
        painter.end()

    @staticmethod
    def _draw_bar(painter: QPainter, track: QRectF, bar: Bar) -> None:
        colors = theme()
        painter.fillRect(track, colors.color("border"))
        if bar.value != bar.value:
            return
        length = track.width() * bar.value
        role = "muted" if bar.gain is not None else "accent"
        painter.fillRect(
            QRectF(track.left(), track.top(), length, track.height()), colors.color(role)
        )
        if bar.gain is not None and bar.gain == bar.gain:
            more = max(track.width() * (bar.gain - bar.value), 0.0)
            painter.fillRect(
                QRectF(track.left() + length, track.top(), more, track.height()),
                colors.color("accent"),
            )

    def _at(self, y: float) -> int:
        place = int((y - _HEAD) // _ROW)
        return place if 0 <= place < len(self._bars) else -1

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Light up the bar under the pointer."""
        place = self._at(event.position().y())
        if place != self._hover:
            self._hover = place
            door = place >= 0 and self._bars[place].key is not None
            self.setCursor(
                Qt.CursorShape.PointingHandCursor if door else Qt.CursorShape.ArrowCursor
            )
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Tell which bar was clicked."""
        place = self._at(event.position().y())
        key = self._bars[place].key if place >= 0 else None
        if event.button() == Qt.MouseButton.LeftButton and key is not None:
            self.clicked.emit(key)

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the pointer."""
        self._hover = -1
        self.update()

    def event(self, event: QEvent) -> bool:
        """Show what a bar means."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            place = self._at(event.pos().y())
            QToolTip.showText(event.globalPos(), self._bars[place].hint if place >= 0 else "", self)
            return True
        return super().event(event)


def _figures(bar: Bar) -> str:
    if bar.gain is None:
        return number(bar.value, 4)
    if bar.gain != bar.gain or bar.value != bar.value:
        return number(bar.gain, 4)
    return f"{number(bar.gain, 4)}  +{bar.gain - bar.value:.4f}"


class KindsPanel(QWidget):
    """Three charts below each other.

    Attributes
    ----------
    kind_clicked : Signal(object)
        An `ErrorKind` whose regions are wanted.
    """

    kind_clicked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.kinds = BarChart("mIoU if all errors of a kind were right", "of the errors  ·  mIoU")
        self.boundary = BarChart("On boundaries", "IoU")
        self.sizes = BarChart("By the size of the object", "mIoU")
        self.kinds.clicked.connect(self.kind_clicked)
        charts = QWidget()
        charts.setObjectName("panel")
        charts.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        column = QVBoxLayout(charts)
        column.setContentsMargins(0, 0, 0, GRID)
        column.setSpacing(0)
        for chart in (self.kinds, self.boundary, self.sizes):
            column.addWidget(chart)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(charts)
        self._message = message_label()
        self._pages = QStackedLayout(self)
        self._pages.addWidget(self._message)
        self._pages.addWidget(scroll)
        self.set_message("What kinds of errors a model makes appears here.")

    def set_message(self, text: str) -> None:
        """Show a sentence instead of charts."""
        self._message.setText(text)
        self._pages.setCurrentIndex(0)

    def set_bars(self, kinds: Sequence[Bar], boundary: Sequence[Bar], sizes: Sequence[Bar]) -> None:
        """Show the charts."""
        self.kinds.set_bars(kinds)
        self.boundary.set_bars(boundary)
        self.sizes.set_bars(sizes)
        self._pages.setCurrentIndex(1)
