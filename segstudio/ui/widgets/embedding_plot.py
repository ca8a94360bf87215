"""Where a network keeps its classes: points of a plane that zooms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from segstudio.ui.palettes import ClassColor
from segstudio.ui.theme import GRID, theme
from segstudio.ui.widgets.mark_plot import MarkPlot

__all__ = ["EmbeddingPlot"]

_DRAG = 4.0
_ZOOM_PER_NOTCH = 1.25
_LARGEST_ZOOM = 64.0


class EmbeddingPlot(MarkPlot):
    """Classes as points of a plane, with their names where there is room; wheel and drag zoom.

    Attributes
    ----------
    class_clicked : Signal(int)
        The output whose point was clicked.
    """

    title, across, upward = "Class embeddings", "", ""
    side = GRID
    class_clicked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        self._points: NDArray[np.float64] = np.zeros((0, 2))
        self._names: tuple[str, ...] = ()
        self._colors: tuple[ClassColor, ...] = ()
        self._chosen = -1
        self._zoom = 1.0
        self._center = np.zeros(2)
        self._press: tuple[QPointF, NDArray[np.float64]] | None = None
        self._dragged = False
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setToolTip(
            "The vectors that stand for the classes, in the plane of the first two singular "
            "vectors: classes that the network keeps apart lie apart. Wheel and drag move the "
            "view, a double click shows everything, a click shows that class in the picture."
        )

    def set_points(
        self,
        points: Sequence[tuple[float, float]],
        names: Sequence[str],
        colors: Sequence[ClassColor],
        *,
        explained: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Show other points; ``explained`` are the shares of the variance along the axes."""
        self._points = np.array(points, np.float64).reshape(-1, 2)
        self._names, self._colors = tuple(names), tuple(colors)
        shares = [f"{100 * share:.0f} %" for share in explained]
        self.across = f"first singular vector ({shares[0]} of the variance)"
        self.upward = f"upward: second ({shares[1]})"
        self.hover = self._chosen = -1
        self.fit()

    def set_chosen(self, index: int) -> None:
        """Mark the class that is shown in the picture; -1 for none."""
        self._chosen = index
        self.update()

    def fit(self) -> None:
        """Show all points."""
        self._zoom = 1.0
        if len(self._points):
            self._center = (self._points.min(0) + self._points.max(0)) / 2
        self.update()

    @property
    def zoom(self) -> float:
        """1 shows all points."""
        return self._zoom

    def zoom_by(self, factor: float, anchor: QPointF | None = None) -> None:
        """Zoom; ``anchor`` keeps its place."""
        anchor = self.frame().center() if anchor is None else anchor
        held = self._value(anchor)
        self._zoom = min(max(self._zoom * factor, 1.0), _LARGEST_ZOOM)
        self._center = self._center + held - self._value(anchor)
        if self._zoom == 1.0:
            self.fit()
        self.set_hover(self.mark_at(anchor))
        self.update()

    def marks(self) -> list[QPointF]:
        """Return where the classes are."""
        frame, scale = self.frame(), self._scale()
        offsets = (self._points - self._center) * scale
        middle = frame.center()
        return [QPointF(middle.x() + x, middle.y() - y) for x, y in offsets.tolist()]

    def describe(self, mark: int) -> str:
        """Return the class's name."""
        return self._names[mark]

    def _scale(self) -> float:
        """Pixels per unit, the same along both axes: distances are what one looks at."""
        if not len(self._points):
            return 1.0
        extent = np.maximum(np.ptp(self._points, 0), 1e-12)
        frame = self.frame()
        room = max(frame.width() - 96.0, 16.0), max(frame.height() - 40.0, 16.0)
        return float(min(room[0] / extent[0], room[1] / extent[1])) * self._zoom

    def _value(self, point: QPointF) -> NDArray[np.float64]:
        middle, scale = self.frame().center(), self._scale()
        offset = np.array([point.x() - middle.x(), middle.y() - point.y()])
        return self._center + offset / scale

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the points, and the names that do not cover each other."""
        painter = QPainter(self)
        self.paint_head(painter)
        colors, frame = theme(), self.frame()
        painter.setClipRect(frame)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        places = self.marks()
        for number, place in enumerate(places):
            large = number in (self.hover, self._chosen)
            painter.setPen(QPen(colors.color("text" if large else "muted"), 2 if large else 1))
            painter.setBrush(QColor(*self._colors[number].shown))
            painter.drawEllipse(place, 6.0 if large else 4.5, 6.0 if large else 4.5)
        # The one under the pointer and the chosen one first: they are never left out.
        first = [mark for mark in (self.hover, self._chosen) if mark >= 0]
        taken: list[QRectF] = []
        metrics = painter.fontMetrics()
        for number in [*first, *(n for n in range(len(places)) if n not in first)]:
            name = self._names[number]
            place = places[number]
            width = metrics.horizontalAdvance(name) + 2
            boxes = [
                QRectF(place.x() + right, place.y() + down, width, 16)
                for right, down in ((8, -8), (-8 - width, -8), (-width / 2, -23), (-width / 2, 7))
            ]
            free = (
                box
                for box in boxes
                if frame.contains(box) and not any(box.intersects(other) for other in taken)
            )
            box = next(free, boxes[0] if number in first else QRectF())
            if box.isNull() or not frame.contains(place):
                continue
            taken.append(box)
            painter.setPen(colors.color("text" if number in first else "muted"))
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, name)
        painter.end()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom at the pointer."""
        notches = event.angleDelta().y() / 120
        if notches:
            self.zoom_by(_ZOOM_PER_NOTCH**notches, event.position())
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Hold the plane."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._press, self._dragged = (event.position(), self._center), False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move the plane that is held, else say what is under the pointer."""
        if self._press is None:
            super().mouseMoveEvent(event)
            return
        start, center = self._press
        step = event.position() - start
        if self._dragged or step.manhattanLength() > _DRAG:
            self._dragged = True
            self._center = center + np.array([-step.x(), step.y()]) / self._scale()
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go; a click chooses the class under the pointer."""
        clicked = self._press is not None and not self._dragged
        self._press = None
        mark = self.mark_at(event.position())
        if clicked and mark >= 0:
            self.class_clicked.emit(mark)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Show everything again."""
        if self.mark_at(event.position()) < 0:
            self.fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Zoom by plus and minus, show everything by Home."""
        if event.key() in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom_by(_ZOOM_PER_NOTCH)
        elif event.key() == Qt.Key.Key_Minus:
            self.zoom_by(1 / _ZOOM_PER_NOTCH)
        elif event.key() == Qt.Key.Key_Home:
            self.fit()
        else:
            super().keyPressEvent(event)
