"""Two plots of a pair of models: which classes gain and lose, and which images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from segstudio.ui.canvas.comparison_paint import BADGE_COLORS
from segstudio.ui.models import number
from segstudio.ui.models.compare import signed
from segstudio.ui.palettes import ClassColor
from segstudio.ui.theme import GRID, theme
from segstudio.ui.widgets.swatches import paint_class, paint_frame

__all__ = ["DeltaBar", "DeltaChart", "ScatterPlot", "ScatterPoint"]

_ROW = 24
_HEAD = 28
_NEAR = 9.0
_LEFT_MARGIN, _BOTTOM_MARGIN = 52, 34


@dataclass(frozen=True, slots=True)
class DeltaBar:
    """The difference of one score, b minus a.

    Attributes
    ----------
    name : str
    color : ClassColor or None
        Of the class; None for the mean.
    values : (float, float)
        Of a and of b.
    delta : float
    interval : (float, float)
        95 % of the difference.
    """

    name: str
    color: ClassColor | None
    values: tuple[float, float]
    delta: float
    interval: tuple[float, float]

    @property
    def is_clear(self) -> bool:
        """Whether the interval lies on one side of nothing."""
        return self.interval[0] > 0 or self.interval[1] < 0


class DeltaChart(QWidget):
    """Bars to the right where B is better, to the left where A is; the line is the interval."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bars: tuple[DeltaBar, ...] = ()
        self.setAccessibleName("Difference of IoU by class")

    @property
    def bars(self) -> tuple[DeltaBar, ...]:
        """From top to bottom."""
        return self._bars

    def set_bars(self, bars: Sequence[DeltaBar]) -> None:
        """Show other bars."""
        self._bars = tuple(bars)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        """Return the room for all bars."""
        return QSize(44 * GRID, _HEAD + _ROW * len(self._bars) + GRID)

    def minimumSizeHint(self) -> QSize:
        """Return the same height at any width."""
        return QSize(18 * GRID, self.sizeHint().height())

    def reach(self) -> float:
        """Return the difference at the chart's edge: a round number beyond all intervals."""
        ends = [
            abs(value)
            for bar in self._bars
            for value in (bar.delta, *bar.interval)
            if value == value
        ]
        most = max(ends, default=0.0)
        steps = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
        return next((step for step in steps if most <= step), 1.0)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw heading, bars, intervals and numbers."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        metrics, colors = painter.fontMetrics(), theme()
        names = max((metrics.horizontalAdvance(bar.name) for bar in self._bars), default=0)
        names = min(names, self.width() // 3)
        numbers = metrics.horizontalAdvance("+0.0000") + 6
        left = GRID + 18 + names + GRID
        area = QRectF(left, _HEAD, max(self.width() - left - numbers - 2 * GRID, 20), 0)
        area.setHeight(_ROW * len(self._bars))
        self._paint_head(painter, area)
        middle = area.center().x()
        painter.setPen(QPen(colors.color("border"), 1))
        painter.drawLine(QPointF(middle, _HEAD), QPointF(middle, area.bottom()))
        for place, bar in enumerate(self._bars):
            row = QRectF(0, _HEAD + place * _ROW, self.width(), _ROW)
            self._paint_row(painter, row, area, bar)
        painter.end()

    def _paint_head(self, painter: QPainter, area: QRectF) -> None:
        colors, reach = theme(), self.reach()
        painter.setPen(colors.color("muted"))
        middle = Qt.AlignmentFlag.AlignVCenter
        zero, minus = area.center().x(), "\N{MINUS SIGN}"
        wide = area.width() > 26 * GRID
        left = f"{minus}{reach:g}   A better" if wide else "A better"
        right = f"B better   +{reach:g}" if wide else "B better"
        half = area.width() / 2
        if half < 7 * GRID:
            left, right = "A", "B"
        painter.drawText(
            QRectF(area.left(), 0, half - 6, _HEAD), middle | Qt.AlignmentFlag.AlignRight, left
        )
        painter.drawText(
            QRectF(zero + 6, 0, half, _HEAD), middle | Qt.AlignmentFlag.AlignLeft, right
        )

    def _paint_row(self, painter: QPainter, row: QRectF, area: QRectF, bar: DeltaBar) -> None:
        colors = theme()
        usual = painter.font()
        center = row.center().y()
        if bar.color is None:
            font = QFont(usual)
            font.setBold(True)
            painter.setFont(font)
        else:
            swatch = QRectF(GRID, center - 5, 10, 10)
            paint_class(painter, swatch, bar.color)
            paint_frame(painter, swatch)
        painter.setPen(colors.color("text"))
        room = QRectF(GRID + 18, row.top(), area.left() - 2 * GRID - 18, _ROW)
        name = painter.fontMetrics().elidedText(
            bar.name, Qt.TextElideMode.ElideRight, int(room.width())
        )
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, name)
        if bar.delta != bar.delta:
            painter.setPen(colors.color("faint"))
        end = QRectF(area.right(), row.top(), self.width() - area.right() - GRID, _ROW)
        flags = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
        painter.drawText(end, flags, signed(bar.delta, 4))
        painter.setFont(usual)
        if bar.delta == bar.delta:
            self._paint_bar(painter, area, center, bar)

    def _paint_bar(self, painter: QPainter, area: QRectF, center: float, bar: DeltaBar) -> None:
        scale = area.width() / 2 / self.reach()
        zero = area.center().x()
        fill = QColor(BADGE_COLORS["B" if bar.delta > 0 else "A"])
        fill.setAlpha(255 if bar.is_clear else 110)  # it may as well be chance
        end = zero + bar.delta * scale
        painter.fillRect(QRectF(min(zero, end), center - 5, abs(end - zero), 10), fill)
        low, high = bar.interval
        if low == low and high == high:
            left, right = zero + low * scale, zero + high * scale
            painter.setPen(QPen(theme().color("text"), 1))
            painter.drawLine(QPointF(left, center), QPointF(right, center))
            for x in (left, right):
                painter.drawLine(QPointF(x, center - 4), QPointF(x, center + 4))

    def event(self, event: QEvent) -> bool:
        """Say a bar's numbers."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            place = int((event.pos().y() - _HEAD) // _ROW)
            text = ""
            if event.pos().y() >= _HEAD and place < len(self._bars):
                bar = self._bars[place]
                text = (
                    f"{bar.name}:  A {number(bar.values[0], 4)},  B {number(bar.values[1], 4)}\n"
                    f"B \N{MINUS SIGN} A {signed(bar.delta, 4)}, 95 % from "
                    f"{signed(bar.interval[0], 4)} to {signed(bar.interval[1], 4)} "
                    "(paired bootstrap over images)"
                )
            QToolTip.showText(event.globalPos(), text, self)
            return True
        return super().event(event)


@dataclass(frozen=True, slots=True)
class ScatterPoint:
    """One image: its score in a and in b."""

    sample_id: str
    a: float
    b: float


class ScatterPlot(QWidget):
    """One point per image; above the diagonal B is better. A click opens the image.

    Attributes
    ----------
    sample_clicked : Signal(str)
    """

    sample_clicked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._points: tuple[ScatterPoint, ...] = ()
        self._range = (0.0, 1.0)
        self._hover: ScatterPoint | None = None
        self._current = ""
        self.setMouseTracking(True)
        self.setMinimumSize(20 * GRID, 18 * GRID)
        self.setAccessibleName("Images by mean IoU in A and in B")

    @property
    def points(self) -> tuple[ScatterPoint, ...]:
        """The images that have both scores."""
        return self._points

    def set_points(self, points: Sequence[ScatterPoint]) -> None:
        """Show other images; those without one of the scores are left out."""
        self._points = tuple(point for point in points if point.a == point.a and point.b == point.b)
        values = [value for point in self._points for value in (point.a, point.b)]
        low = math.floor(10 * min(values, default=0.0) - 0.2) / 10
        high = math.ceil(10 * max(values, default=1.0) + 0.2) / 10
        self._range = max(low, 0.0), min(high, 1.0)
        self._hover = None
        self.update()

    def set_current(self, sample_id: str) -> None:
        """Ring the image that is shown."""
        if sample_id != self._current:
            self._current = sample_id
            self.update()

    def place_of(self, point: ScatterPoint) -> QPointF:
        """Return where a point is painted."""
        frame = self._frame()
        low, high = self._range
        span = max(high - low, 1e-9)
        return QPointF(
            frame.left() + (point.a - low) / span * frame.width(),
            frame.bottom() - (point.b - low) / span * frame.height(),
        )

    def sizeHint(self) -> QSize:
        """Return a comfortable size."""
        return QSize(32 * GRID, 28 * GRID)

    def _frame(self) -> QRectF:
        room = QRectF(self.rect().adjusted(_LEFT_MARGIN, 10, -GRID - 4, -_BOTTOM_MARGIN))
        side = max(min(room.width(), room.height()), 10.0)
        return QRectF(room.left() + (room.width() - side) / 2, room.top(), side, side)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw frame, diagonal and points."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._paint_frame(painter)
        for point in self._points:
            color = QColor(BADGE_COLORS["B" if point.b >= point.a else "A"])
            color.setAlpha(190)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(color)
            painter.drawEllipse(self.place_of(point), 3.5, 3.5)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(theme().color("text"), 2))
        for point in self._points:
            if point.sample_id == self._current:
                painter.drawEllipse(self.place_of(point), 6.5, 6.5)
        if self._hover is not None:
            painter.setPen(QPen(theme().color("text"), 1))
            painter.drawEllipse(self.place_of(self._hover), 5, 5)
        painter.end()

    def _paint_frame(self, painter: QPainter) -> None:
        colors, frame = theme(), self._frame()
        low, high = self._range
        painter.fillRect(frame, colors.color("field"))
        span = max(high - low, 1e-9)
        step = 0.1 if span <= 0.55 else 0.2
        ticks = [value * step for value in range(round(low / step), round(high / step) + 1)]
        center, right = Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignRight
        for tick in ticks:
            if not low - 1e-9 <= tick <= high + 1e-9:
                continue
            part = (tick - low) / span
            x, y = frame.left() + part * frame.width(), frame.bottom() - part * frame.height()
            painter.setPen(QPen(colors.color("border"), 1))
            painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            painter.setPen(colors.color("muted"))
            painter.drawText(QRectF(x - 20, frame.bottom() + 1, 40, 16), center, f"{tick:.1f}")
            box = QRectF(frame.left() - 34, y - (14 if tick <= low else 8), 30, 16)
            painter.drawText(box, right | Qt.AlignmentFlag.AlignVCenter, f"{tick:.1f}")
        painter.drawText(
            QRectF(frame.left(), frame.bottom() + 15, frame.width(), 17), center, "mIoU of A"
        )
        painter.save()
        painter.translate(frame.left() - 41, frame.center().y())
        painter.rotate(-90)
        painter.drawText(QRectF(-60, -9, 120, 17), center, "mIoU of B")
        painter.restore()
        painter.setPen(QPen(colors.color("muted"), 1, Qt.PenStyle.DashLine))
        painter.drawLine(frame.bottomLeft(), frame.topRight())

    def _near(self, place: QPointF) -> ScatterPoint | None:
        best, found = _NEAR**2, None
        for point in self._points:
            apart = self.place_of(point) - place
            distance = apart.x() ** 2 + apart.y() ** 2
            if distance < best:
                best, found = distance, point
        return found

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Ring the point under the pointer and say which image it is."""
        point = self._near(event.position())
        if point is not self._hover:
            self._hover = point
            hand = Qt.CursorShape.PointingHandCursor
            self.setCursor(hand if point is not None else Qt.CursorShape.ArrowCursor)
            words = ""
            if point is not None:
                words = f"{point.sample_id}\nA {number(point.a)},  B {number(point.b)}"
            QToolTip.showText(event.globalPosition().toPoint(), words, self)
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Open the image."""
        point = self._near(event.position())
        if event.button() == Qt.MouseButton.LeftButton and point is not None:
            self.sample_clicked.emit(point.sample_id)

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the pointer."""
        self._hover = None
        self.update()
