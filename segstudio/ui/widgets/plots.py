"""Plots of how sure a model was: calibration, entropy of right and wrong pixels, sparsification."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from segstudio.metrics.counts import LEVELS
from segstudio.metrics.uncertainty import Reliability, right_and_wrong, sparsification
from segstudio.ui.theme import GRID, theme

__all__ = ["EntropyPlot", "Plot", "ReliabilityPlot", "SparsificationPlot"]

_LEFT, _TOP, _BOTTOM = 48, 28, 36
_BINS = 64
_NEAR = 8  # pixels from a line that the pointer takes


class Plot(QWidget):
    """A frame from 0 to 1 with a title above and words below."""

    title, across, upward = "", "", ""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(24 * GRID, 19 * GRID)
        self.setAccessibleName(self.title)

    def sizeHint(self) -> QSize:
        """Return a comfortable size."""
        return QSize(36 * GRID, 28 * GRID)

    def frame(self) -> QRectF:
        """Return where values are drawn."""
        return QRectF(self.rect().adjusted(_LEFT, _TOP, -GRID - 4, -_BOTTOM))

    def paint_frame(self, painter: QPainter, ticks: tuple[float, ...]) -> None:
        """Paint title, grid and words; ``ticks`` are values of the upward axis."""
        colors, frame = theme(), self.frame()
        painter.setPen(colors.color("text"))
        bold = painter.font()
        bold.setBold(True)
        painter.setFont(bold)
        painter.drawText(
            QRectF(GRID, 2, self.width() - GRID, _TOP - 4),
            Qt.AlignmentFlag.AlignVCenter,
            self.title,
        )
        bold.setBold(False)
        painter.setFont(bold)
        painter.fillRect(frame, colors.color("field"))
        center, right = Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignRight
        for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
            x = frame.left() + tick * frame.width()
            painter.setPen(QPen(colors.color("border"), 1))
            painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
            painter.setPen(colors.color("muted"))
            painter.drawText(QRectF(x - 20, frame.bottom() + 2, 40, 16), center, f"{tick:g}")
        for tick in ticks:
            y = frame.bottom() - self._height(tick) * frame.height()
            painter.setPen(QPen(colors.color("border"), 1))
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            painter.setPen(colors.color("muted"))
            painter.drawText(
                QRectF(0, y - 8, frame.left() - 4, 16),
                right | Qt.AlignmentFlag.AlignVCenter,
                self._tick_text(tick),
            )
        painter.drawText(
            QRectF(frame.left(), frame.bottom() + 17, frame.width(), 17), center, self.across
        )
        painter.drawText(
            QRectF(GRID, 2, self.width() - 2 * GRID - 4, _TOP - 4),
            right | Qt.AlignmentFlag.AlignVCenter,
            self.upward,
        )

    def _height(self, value: float) -> float:
        return value

    def _tick_text(self, tick: float) -> str:
        return f"{tick:g}"


class ReliabilityPlot(Plot):
    """Accuracy of the pixels by how confident the model was; calibrated is on the diagonal."""

    title, across, upward = "Reliability", "confidence", "accuracy"

    def __init__(self, parent: QWidget | None = None) -> None:
        self._diagram: Reliability | None = None
        super().__init__(parent)
        self.setToolTip(
            "Share of right pixels in each of 15 bins of confidence. A bar below the line: more "
            "confident than right. The more pixels a bin holds, the more solid its bar."
        )

    def set_diagram(self, diagram: Reliability | None) -> None:
        """Show another diagram."""
        self._diagram = diagram
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw a bar per bin and the diagonal."""
        painter = QPainter(self)
        self.paint_frame(painter, (0.0, 0.25, 0.5, 0.75, 1.0))
        colors, frame, diagram = theme(), self.frame(), self._diagram
        if diagram is not None:
            most = max(float(diagram.pixels.max(initial=0)), 1.0)
            fill = QColor(colors.color("accent"))
            for place in np.flatnonzero(diagram.pixels > 0):
                left = frame.left() + frame.width() * float(diagram.lower[place])
                right = frame.left() + frame.width() * float(diagram.upper[place])
                height = frame.height() * float(diagram.accuracy[place])
                # How full a bin is shows in how solid its bar is.
                fill.setAlpha(70 + round(185 * float(diagram.pixels[place] / most) ** 0.5))
                painter.fillRect(
                    QRectF(left + 1, frame.bottom() - height, right - left - 2, height), fill
                )
        painter.setPen(QPen(colors.color("text"), 1, Qt.PenStyle.DashLine))
        painter.drawLine(frame.bottomLeft(), frame.topRight())
        painter.end()


class SparsificationPlot(Plot):
    """Error rate of the pixels that remain when the most uncertain are taken away."""

    title, across, upward = "Sparsification", "share taken away", "error rate left"

    def __init__(self, parent: QWidget | None = None) -> None:
        self._curves: tuple[NDArray[np.float64], ...] | None = None
        self._peak = 1.0
        super().__init__(parent)
        self.setToolTip(
            "Pixels of the highest entropy are taken away first: the line is the error rate of "
            "those that remain, the dashed line that of an oracle which takes the wrong ones "
            "first. The shaded area between them is the AUSE: 0 is best."
        )

    @property
    def curves(self) -> tuple[NDArray[np.float64], ...] | None:
        """What is drawn: share taken away, error rate, that of the oracle."""
        return self._curves

    def set_histogram(self, histogram: NDArray[np.int64] | None) -> None:
        """Show another (..., 2, 256) histogram of entropy; one without pixels shows no line."""
        self._curves = None
        if histogram is not None and histogram.any():
            self._curves = sparsification(histogram)
            self._peak = max(float(np.max(self._curves[1:])), 1e-6)
        self.update()

    def _height(self, value: float) -> float:
        return value / self._peak

    def _tick_text(self, tick: float) -> str:
        return f"{100 * tick:.2g} %"

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw both curves and the area between them."""
        painter = QPainter(self)
        self.paint_frame(painter, (0.0, self._peak / 2, self._peak))
        colors, frame = theme(), self.frame()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._curves is not None:
            removed, *rates = self._curves
            lines = [
                [
                    QPointF(
                        frame.left() + share * frame.width(),
                        frame.bottom() - self._height(rate) * frame.height(),
                    )
                    for share, rate in zip(removed.tolist(), curve.tolist(), strict=True)
                ]
                for curve in rates
            ]
            fill = QColor(colors.color("accent"))
            fill.setAlpha(70)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(fill)
            painter.drawPolygon(QPolygonF(lines[0] + lines[1][::-1]))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(colors.color("accent"), 2))
            painter.drawPolyline(QPolygonF(lines[0]))
            painter.setPen(QPen(colors.color("text"), 1, Qt.PenStyle.DashLine))
            painter.drawPolyline(QPolygonF(lines[1]))
        painter.end()


class EntropyPlot(Plot):
    """Entropy of right and of wrong pixels, with two lines that a person drags.

    Attributes
    ----------
    thresholds_changed : Signal(float, float)
        Below the first an error is confident, above the second it is unsure; shares of log C.
    """

    title, across, upward = "Entropy", "entropy, as a share of log C", "share of the pixels"
    thresholds_changed = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        self._curves: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self._peak = 1.0
        self._thresholds = (0.10, 0.50)
        self._dragged = -1
        super().__init__(parent)
        self.setMouseTracking(True)
        self.setToolTip(
            "Right pixels (filled) and wrong pixels (line), each as shares of their own number; "
            "heights follow the square root. Drag the lines to say what is sure and what unsure."
        )

    @property
    def thresholds(self) -> tuple[float, float]:
        """Where the lines are."""
        return self._thresholds

    def set_histogram(self, histogram: NDArray[np.int64] | None) -> None:
        """Show another (..., 2, 256) histogram of entropy."""
        self._curves = None
        if histogram is not None:
            parts = []
            for pixels in right_and_wrong(histogram):
                # 64 bins of 4 levels: single levels are full of the gaps of rounding.
                binned = pixels.reshape(_BINS, LEVELS // _BINS).sum(1)
                parts.append(binned / max(1, int(binned.sum())))
            self._curves = parts[0], parts[1]
            self._peak = max(float(max(part.max() for part in parts)), 1e-9)
        self.update()

    def set_thresholds(self, low: float, high: float) -> None:
        """Put the lines elsewhere; the second never lies below the first."""
        low = min(max(low, 0.0), 1.0)
        high = min(max(high, low), 1.0)
        if (low, high) != self._thresholds:
            self._thresholds = low, high
            self.update()
            self.thresholds_changed.emit(low, high)

    def _height(self, value: float) -> float:
        return (value / self._peak) ** 0.5 if value > 0 else 0.0

    def _tick_text(self, tick: float) -> str:
        return f"{100 * tick:.2g} %"

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw both curves and the lines."""
        painter = QPainter(self)
        self.paint_frame(painter, (self._peak, self._peak / 4, self._peak / 16))
        colors, frame = theme(), self.frame()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self._curves is not None:
            right, wrong = (self._polygon(curve, frame) for curve in self._curves)
            fill = QColor(colors.color("good"))
            fill.setAlpha(110)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(fill)
            painter.drawPolygon(right)
            painter.setPen(QPen(colors.color("bad"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPolyline(wrong)
        for place, threshold in enumerate(self._thresholds):
            x = frame.left() + threshold * frame.width()
            painter.setPen(QPen(colors.color("text"), 2 if place == self._dragged else 1))
            painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))
            painter.setBrush(colors.color("text"))
            painter.drawEllipse(QPointF(x, frame.top() + 5), 4, 4)
        painter.end()

    def _polygon(self, curve: NDArray[np.float64], frame: QRectF) -> QPolygonF:
        edges = np.repeat(np.linspace(frame.left(), frame.right(), _BINS + 1), 2)
        heights = np.concatenate([[0.0], np.repeat(curve, 2), [0.0]])
        rise = np.sqrt(heights / self._peak) * frame.height()
        return QPolygonF([QPointF(x, frame.bottom() - y) for x, y in zip(edges, rise, strict=True)])

    # -- dragging -----------------------------------------------------------------------------

    def _near(self, x: float) -> int:
        """Return the line at a place, -1 for none; of two at one place the one that can move."""
        frame = self.frame()
        places = [frame.left() + threshold * frame.width() for threshold in self._thresholds]
        distances = [abs(x - place) for place in places]
        if min(distances) > _NEAR:
            return -1
        if distances[0] == distances[1]:
            return 1 if x >= places[0] and self._thresholds[1] < 1.0 else 0
        return int(np.argmin(distances))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the line under the pointer."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._dragged = self._near(event.position().x())
            self.update()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move the line that is held."""
        x, frame = event.position().x(), self.frame()
        if self._dragged < 0:
            over = self._near(x) >= 0
            self.setCursor(Qt.CursorShape.SplitHCursor if over else Qt.CursorShape.ArrowCursor)
            return
        value = round(min(max((x - frame.left()) / frame.width(), 0.0), 1.0), 2)
        low, high = self._thresholds
        if self._dragged == 0:
            self.set_thresholds(min(value, high), high)
        else:
            self.set_thresholds(low, max(value, low))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        self._dragged = -1
        self.update()
