"""Entropy of two sets of pixels in one plot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from segstudio.metrics.counts import LEVELS
from segstudio.ui.theme import theme
from segstudio.ui.widgets.plots import Plot

__all__ = ["TwoHistograms"]

_BINS = 64


class TwoHistograms(Plot):
    """A filled curve and a line, each as shares of its own pixels."""

    title, across, upward = "Entropy", "entropy, as a share of log C", "share of the pixels"

    def __init__(self, parent: QWidget | None = None) -> None:
        self._curves: tuple[NDArray[np.float64], ...] = ()
        self._names = ("", "")
        self._peak = 1.0
        super().__init__(parent)

    @property
    def curves(self) -> tuple[NDArray[np.float64], ...]:
        """Shares in 64 bins, of the filled curve and of the line."""
        return self._curves

    def set_histograms(
        self,
        first: tuple[str, NDArray[np.int64]],
        second: tuple[str, NDArray[np.int64]],
    ) -> None:
        """Show two histograms of 256 levels with their names, the first one filled."""
        self._names = first[0], second[0]
        self._curves = tuple(
            part.reshape(_BINS, LEVELS // _BINS).sum(1) / max(1, int(part.sum()))
            for _, part in (first, second)
        )
        self._peak = max(float(np.max(self._curves)), 1e-9)
        self.setToolTip(
            f"Filled: {first[0]}; line: {second[0]}; each as shares of their own number. Heights "
            "follow the square root."
        )
        self.update()

    def _height(self, value: float) -> float:
        return (value / self._peak) ** 0.5 if value > 0 else 0.0

    def _tick_text(self, tick: float) -> str:
        return f"{100 * tick:.2g} %"

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw both curves and their names."""
        painter = QPainter(self)
        self.paint_frame(painter, (self._peak, self._peak / 4, self._peak / 16))
        colors, frame = theme(), self.frame()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for place, curve in enumerate(self._curves):
            edges = np.repeat(np.linspace(frame.left(), frame.right(), _BINS + 1), 2)
            heights = np.concatenate([[0.0], np.repeat(curve, 2), [0.0]])
            rise = np.sqrt(heights / self._peak) * frame.height()
            points = [QPointF(x, frame.bottom() - y) for x, y in zip(edges, rise, strict=True)]
            if place == 0:
                fill = QColor(colors.color("accent"))
                fill.setAlpha(110)
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(fill)
                painter.drawPolygon(QPolygonF(points))
            else:
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.setPen(QPen(colors.color("bad"), 2))
                painter.drawPolyline(QPolygonF(points))
        for place, (name, role) in enumerate(zip(self._names, ("accent", "bad"), strict=True)):
            row = QRectF(frame.left(), frame.top() + 4 + 17 * place, frame.width() - 8, 16)
            painter.setPen(colors.color(role))
            painter.drawText(row, Qt.AlignmentFlag.AlignRight, name)
        painter.end()
