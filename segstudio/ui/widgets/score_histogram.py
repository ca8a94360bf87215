"""How the images' scores are spread; a drag chooses a range of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from segstudio.ui.theme import GRID, theme

__all__ = ["ScoreHistogram"]

_BINS = 40
_FOOT = 15
_CLICK = 4  # pixels that are no drag yet


class ScoreHistogram(QWidget):
    """Bars over scores 0..1.

    Attributes
    ----------
    range_changed : Signal(object)
        (low, high) that was dragged over, None for all.
    """

    range_changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bars: NDArray[np.int64] = np.zeros(_BINS, np.int64)
        self._range: tuple[float, float] | None = None
        self._press: float | None = None
        self.setFixedHeight(7 * GRID)
        self.setMinimumWidth(20 * GRID)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Distribution of the images' scores")
        self.setToolTip(
            "How many images have which mIoU. Drag over a range to list only these; a click or "
            "Esc lists all again."
        )

    def sizeHint(self) -> QSize:
        """Return a comfortable size."""
        return QSize(40 * GRID, 7 * GRID)

    @property
    def bars(self) -> NDArray[np.int64]:
        """Images in each of the equal bins over 0..1."""
        return self._bars

    @property
    def range(self) -> tuple[float, float] | None:
        """The chosen range."""
        return self._range

    def set_scores(self, scores: NDArray[np.float64]) -> None:
        """Show other scores; NaN ones are left out, the chosen range stays."""
        known = scores[~np.isnan(scores)]
        places = np.minimum((known * _BINS).astype(np.intp), _BINS - 1)
        self._bars = np.bincount(places, minlength=_BINS).astype(np.int64)
        self.update()

    def set_range(self, wanted: tuple[float, float] | None) -> None:
        """Choose a range, None for all, and tell it."""
        if wanted != self._range:
            self._range = wanted
            self.update()
            self.range_changed.emit(wanted)

    # -- inside -------------------------------------------------------------------------------

    def _frame(self) -> QRectF:
        return QRectF(self.rect()).adjusted(GRID, 3, -GRID, -_FOOT)

    def _score(self, x: float) -> float:
        frame = self._frame()
        return float(min(max((x - frame.left()) / max(frame.width(), 1.0), 0.0), 1.0))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw bars, scale and the chosen range."""
        painter = QPainter(self)
        colors, frame = theme(), self._frame()
        painter.fillRect(frame, colors.color("field"))
        most = max(int(self._bars.max()), 1)
        width = frame.width() / _BINS
        low, high = self._range or (0.0, 1.0)
        for place in np.flatnonzero(self._bars):
            # The square root: a few bad images beside hundreds of good ones can be seen.
            height = frame.height() * float(self._bars[place] / most) ** 0.5
            left = frame.left() + place * width
            inside = low <= (place + 0.5) / _BINS <= high
            painter.fillRect(
                QRectF(left + 0.5, frame.bottom() - height, max(width - 1, 1.0), height),
                colors.color("accent" if inside else "faint"),
            )
        if self._range is not None:
            painter.setPen(QPen(colors.color("text"), 1))
            for end in self._range:
                x = frame.left() + end * frame.width()
                painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        painter.setPen(colors.color("muted"))
        for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
            x = frame.left() + tick * frame.width()
            room = QRectF(x - 20, frame.bottom(), 40, _FOOT)
            if tick == 0.0:
                room, align = QRectF(x, room.top(), 40, _FOOT), Qt.AlignmentFlag.AlignLeft
            elif tick == 1.0:
                room, align = QRectF(x - 40, room.top(), 40, _FOOT), Qt.AlignmentFlag.AlignRight
            else:
                align = Qt.AlignmentFlag.AlignHCenter
            painter.drawText(room, align, f"{tick:g}")
        if self.hasFocus():
            painter.setPen(QPen(colors.color("accent"), 1))
            painter.drawRect(frame.adjusted(0, 0, -1, -1))
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a range."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._press = event.position().x()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the pointer."""
        x = event.position().x()
        if self._press is not None and abs(x - self._press) >= _CLICK:
            low, high = sorted((round(self._score(self._press), 2), round(self._score(x), 2)))
            self.set_range((low, high))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End the range; a click takes it off."""
        if self._press is not None and abs(event.position().x() - self._press) < _CLICK:
            self.set_range(None)
        self._press = None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc takes the range off; arrows move it, with Shift they change its upper end."""
        step = {Qt.Key.Key_Left: -0.05, Qt.Key.Key_Right: 0.05}.get(Qt.Key(event.key()))
        if event.key() == Qt.Key.Key_Escape and self._range is not None:
            self.set_range(None)
        elif step is not None:
            low, high = self._range or (0.0, 0.25)
            if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
                self.set_range((low, round(min(max(high + step, low), 1.0), 2)))
            else:
                step = min(max(step, -low), 1.0 - high)
                self.set_range((round(low + step, 2), round(high + step, 2)))
        else:
            super().keyPressEvent(event)
