"""How far the heads of a network look, by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from segstudio.ui.theme import theme
from segstudio.ui.widgets.mark_plot import MarkPlot, nice_step

__all__ = ["DistancePlot"]


class DistancePlot(MarkPlot):
    """The mean attention distance of each head, by layer; a line joins the layers' means.

    Attributes
    ----------
    head_clicked : Signal(int, int)
        Layer and head of a mark.
    """

    title, across, upward = "Attention distance", "layer", "pixels of the network's input"
    head_clicked = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        self._layers: tuple[tuple[str, tuple[float, ...]], ...] = ()
        self._heads: list[tuple[int, int]] = []
        self._chosen: tuple[int, int | None] = (-1, None)
        self._top = 1.0
        super().__init__(parent)
        self.setToolTip(
            "Distance between a patch and what it looks at, weighted by the attention, as a mean "
            "over all patches of this image (Dosovitskiy et al., 2021). A click shows that head."
        )

    def set_layers(self, layers: Sequence[tuple[str, tuple[float, ...]]]) -> None:
        """Show the distances of the heads of each layer, with the layers' names."""
        self._layers = tuple((name, tuple(heads)) for name, heads in layers)
        self._heads = [
            (layer, head)
            for layer, (_, heads) in enumerate(self._layers)
            for head in range(len(heads))
        ]
        largest = max((value for _, heads in self._layers for value in heads), default=1.0)
        step = nice_step(largest, 5)
        self._top = max(step, float(np.ceil(largest / step)) * step)
        self.hover = -1
        self.update()

    def set_chosen(self, layer: int, head: int | None) -> None:
        """Mark the head whose attention is shown; None marks all of the layer."""
        self._chosen = layer, head
        self.update()

    @property
    def layers(self) -> tuple[tuple[str, tuple[float, ...]], ...]:
        """What is shown."""
        return self._layers

    def marks(self) -> list[QPointF]:
        """Return where the heads are."""
        return [self._place(layer, self._layers[layer][1][head]) for layer, head in self._heads]

    def describe(self, mark: int) -> str:
        """Return layer, head and distance."""
        layer, head = self._heads[mark]
        name, heads = self._layers[layer]
        return f"{name}, head {head}: {heads[head]:.1f} px"

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the grid, the line of the means and the heads."""
        painter = QPainter(self)
        self.paint_head(painter)
        colors, frame = theme(), self.frame()
        right, middle = Qt.AlignmentFlag.AlignRight, Qt.AlignmentFlag.AlignVCenter
        step = nice_step(self._top, 5)
        for tick in np.arange(0.0, self._top + step / 2, step):
            y = self._place(0, float(tick)).y()
            painter.setPen(QPen(colors.color("border"), 1))
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            painter.setPen(colors.color("muted"))
            painter.drawText(QRectF(0, y - 8, frame.left() - 4, 16), right | middle, f"{tick:g}")
        every = int(max(1, nice_step(len(self._layers), max(2, int(frame.width() / 40)))))
        for layer in range(0, len(self._layers), every):
            x = self._place(layer, 0.0).x()
            painter.drawText(
                QRectF(x - 20, frame.bottom() + 2, 40, 16),
                Qt.AlignmentFlag.AlignHCenter,
                f"{layer}",
            )
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        means = [
            self._place(layer, float(np.mean(heads)))
            for layer, (_, heads) in enumerate(self._layers)
        ]
        painter.setPen(QPen(colors.color("muted"), 1.5))
        painter.drawPolyline(QPolygonF(means))
        for number, place in enumerate(self.marks()):
            layer, head = self._heads[number]
            chosen = layer == self._chosen[0] and self._chosen[1] in (None, head)
            fill = QColor(colors.color("warn" if chosen else "accent"))
            painter.setBrush(fill)
            painter.setPen(QPen(colors.color("text" if number == self.hover else "field"), 1.2))
            radius = 5.0 if chosen or number == self.hover else 3.5
            painter.drawEllipse(place, radius, radius)
        painter.end()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Choose the head under the pointer."""
        mark = self.mark_at(event.position())
        if event.button() == Qt.MouseButton.LeftButton and mark >= 0:
            self.head_clicked.emit(*self._heads[mark])

    def _place(self, layer: int, distance: float) -> QPointF:
        frame = self.frame()
        column = frame.width() / max(1, len(self._layers))
        return QPointF(
            frame.left() + (layer + 0.5) * column,
            frame.bottom() - distance / self._top * frame.height(),
        )
