"""The outline of one region on the photograph, along the pixels' edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from segstudio.core.palette import Color
from segstudio.core.types import Mask

__all__ = ["RegionOutline", "outline_lines"]

_DARK = QColor(0, 0, 0, 210)
_MARGIN = 32.0
"""Image pixels around the region that the pen may touch in a far view."""


class RegionOutline(QGraphicsItem):
    """A light line on a dark one, as wide at every zoom.

    Parameters
    ----------
    color : (R, G, B)
        Of the light line.
    """

    def __init__(self, color: Color = (255, 221, 87)) -> None:
        super().__init__()
        self._color = QColor(*color)
        self._lines: list[QLineF] = []
        self._bounds = QRectF()
        self.setZValue(1e5)
        self.setVisible(False)
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)

    @property
    def line_count(self) -> int:
        """How many straight pieces the outline has."""
        return len(self._lines)

    def set_region(self, mask: Mask | None, top: int = 0, left: int = 0) -> None:
        """Outline the pixels of a mask; None or an empty one outlines nothing.

        Parameters
        ----------
        mask : ndarray of shape (h, w), bool, or None
        top, left : int
            Where its first pixel is in the image.
        """
        self.prepareGeometryChange()
        if mask is None or not mask.any():
            self._lines, self._bounds = [], QRectF()
        else:
            lines = outline_lines(mask) + np.array([left, top, left, top])
            self._lines = [QLineF(*line) for line in lines.tolist()]
            height, width = mask.shape
            self._bounds = QRectF(left, top, width, height).adjusted(
                -_MARGIN, -_MARGIN, _MARGIN, _MARGIN
            )
        self.setVisible(bool(self._lines))
        self.update()

    def boundingRect(self) -> QRectF:
        """Return what the outline can touch."""
        return self._bounds

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        """Draw the dark line, then the light one on it."""
        for color, width in ((_DARK, 4.0), (self._color, 2.0)):
            pen = QPen(color, width)
            pen.setCosmetic(True)
            painter.setPen(pen)
            painter.drawLines(self._lines)


def outline_lines(mask: Mask) -> NDArray[np.int64]:
    """Return the edges between a mask and its surroundings.

    Returns
    -------
    ndarray of shape (N, 4), int64
        x1, y1, x2, y2 in pixel edges; edges in one line are one piece.
    """
    padded = np.pad(mask, 1)
    pieces = []
    for turned in (False, True):
        plane = padded.T if turned else padded
        edges = plane[1:] != plane[:-1]  # edge r lies above row r of the mask
        steps = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
        rows, begins = np.nonzero(steps == 1)
        _, ends = np.nonzero(steps == -1)
        begins, ends = begins - 1, ends - 1  # without the padding
        columns = (rows, begins, rows, ends) if turned else (begins, rows, ends, rows)
        pieces.append(np.stack(columns, 1))
    return np.concatenate(pieces).astype(np.int64)
