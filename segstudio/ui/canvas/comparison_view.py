"""Where the cells of a comparison grid are, and which part of the image all of them show."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from PySide6.QtCore import QPointF, QRectF, QSizeF

from segstudio.ui.canvas.viewport import MAXIMUM_SCALE, ViewState

__all__ = ["CAPTION", "HEAD", "GridGeometry", "GridView"]

HEAD = 26
"""Logical pixels of the columns' names."""

CAPTION = 28
"""Logical pixels of a row's name above its cells."""

_GAP = 4
_EDGE = 8
_LOWEST = 112.0
"""A row is not made lower: then the grid scrolls."""

_SMALLEST_EXTENT = 32.0


@dataclass(frozen=True, slots=True)
class GridGeometry:
    """Where cells are, in logical pixels of the widget.

    Attributes
    ----------
    width, height : float
        Of the widget.
    rows, columns : int
    scroll : float
        By how much the rows are moved up.
    """

    width: float
    height: float
    rows: int
    columns: int
    scroll: float = 0.0

    @property
    def cell_size(self) -> QSizeF:
        """Size of every cell."""
        columns, rows = max(self.columns, 1), max(self.rows, 1)
        width = (self.width - 2 * _EDGE - (columns - 1) * _GAP) / columns
        height = (self.height - HEAD - _GAP) / rows - CAPTION - _GAP
        return QSizeF(max(math.floor(width), 8.0), max(math.floor(height), _LOWEST))

    @property
    def content_height(self) -> float:
        """Height of all rows with the head."""
        return HEAD + _GAP + self.rows * self._pitch

    @property
    def _pitch(self) -> float:
        return CAPTION + self.cell_size.height() + _GAP

    def column_rect(self, column: int) -> QRectF:
        """Return where a column's name is."""
        size = self.cell_size
        return QRectF(_EDGE + column * (size.width() + _GAP), 0.0, size.width(), HEAD)

    def caption_rect(self, row: int) -> QRectF:
        """Return where a row's name is."""
        top = HEAD + row * self._pitch - self.scroll
        return QRectF(_EDGE, top, self.width - 2 * _EDGE, CAPTION)

    def cell_rect(self, row: int, column: int) -> QRectF:
        """Return where a cell is."""
        size = self.cell_size
        top = HEAD + row * self._pitch + CAPTION - self.scroll
        left = _EDGE + column * (size.width() + _GAP)
        return QRectF(left, top, size.width(), size.height())

    def visible_rows(self) -> range:
        """Return the rows of which something can be seen."""
        first = max(0, int(self.scroll / self._pitch))
        last = math.ceil((self.scroll + self.height - HEAD) / self._pitch)
        return range(min(first, self.rows), min(max(last, 0), self.rows))

    def cell_at(self, point: QPointF) -> tuple[int, int] | None:
        """Return row and column of the cell at a point."""
        if point.y() < HEAD:
            return None
        for row in self.visible_rows():
            for column in range(self.columns):
                if self.cell_rect(row, column).contains(point):
                    return row, column
        return None


@dataclass(frozen=True, slots=True)
class GridView:
    """Which part of the image is in view: one state for all cells.

    Attributes
    ----------
    state : ViewState
        Centre, device pixels per image pixel, whether the whole image is kept in view.
    shape : (int, int)
        Height and width of the image.
    cell : QSizeF
        Of a cell, in logical pixels.
    ratio : float
        Device pixels per logical pixel.
    """

    state: ViewState
    shape: tuple[int, int]
    cell: QSizeF
    ratio: float

    @property
    def logical_scale(self) -> float:
        """Logical pixels per image pixel."""
        return self.state.scale / self.ratio

    @property
    def corner(self) -> tuple[float, float]:
        """Image (row, col) at a cell's top left corner, on a whole device pixel."""
        state = self.state
        top = round(state.center_row * state.scale - self.cell.height() * self.ratio / 2)
        left = round(state.center_col * state.scale - self.cell.width() * self.ratio / 2)
        return top / state.scale, left / state.scale

    def fitted(self) -> GridView:
        """Return the view of the whole image."""
        height, width = self.shape
        scale = min(self.cell.width() / width, self.cell.height() / height) * self.ratio
        scale = min(max(scale, self._smallest()), MAXIMUM_SCALE)
        return replace(self, state=ViewState(height / 2, width / 2, scale, True))

    def resized(self, shape: tuple[int, int], cell: QSizeF, ratio: float) -> GridView:
        """Return the view in cells of another size; another image is fitted."""
        view = replace(self, shape=shape, cell=cell, ratio=ratio)
        return view.fitted() if self.state.fitted or shape != self.shape else view

    def zoomed(self, scale: float, offset: QPointF) -> GridView:
        """Return the view at another scale.

        Parameters
        ----------
        scale : float
            Device pixels per image pixel.
        offset : QPointF
            Place in the cell, in logical pixels, that keeps its image pixel.
        """
        row, col = self.image_position(offset)
        scale = min(max(scale, self._smallest()), MAXIMUM_SCALE)
        logical = scale / self.ratio
        center_row = row - (offset.y() - self.cell.height() / 2) / logical
        center_col = col - (offset.x() - self.cell.width() / 2) / logical
        return self._at(center_row, center_col, scale)

    def panned(self, dx: float, dy: float) -> GridView:
        """Return the view with the image moved by logical pixels to the right and down."""
        state, scale = self.state, self.logical_scale
        return self._at(state.center_row - dy / scale, state.center_col - dx / scale, state.scale)

    def image_position(self, offset: QPointF) -> tuple[float, float]:
        """Return the image (row, col) at a place in a cell."""
        top, left = self.corner
        return top + offset.y() / self.logical_scale, left + offset.x() / self.logical_scale

    def cell_position(self, row: float, col: float) -> QPointF:
        """Return the place in a cell of an image position."""
        top, left = self.corner
        return QPointF((col - left) * self.logical_scale, (row - top) * self.logical_scale)

    def _at(self, row: float, col: float, scale: float) -> GridView:
        height, width = self.shape
        row, col = min(max(row, 0.0), float(height)), min(max(col, 0.0), float(width))
        return replace(self, state=ViewState(row, col, scale, False))

    def _smallest(self) -> float:
        return min(1.0, _SMALLEST_EXTENT / max(self.shape))
