"""What a comparison grid shows: one image as several models see it, all cells under one zoom.

One widget paints all cells from pictures that a thread has drawn; a repaint costs what the screen
has pixels, however many models there are.  What follows the pointer is painted over a kept pixmap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, QSizeF, Qt, Signal
from PySide6.QtGui import (
    QPainter,
    QPaintEvent,
    QPixmap,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QWidget

from segstudio.analysis.side_by_side import Column
from segstudio.core.types import BBox
from segstudio.ui.canvas.comparison_paint import (
    GridRow,
    Pointed,
    paint_cell,
    paint_cross,
    paint_pointed,
    paint_row_caption,
    paint_titles,
)
from segstudio.ui.canvas.comparison_picture import CellKey, GridCell
from segstudio.ui.canvas.comparison_view import HEAD, GridGeometry, GridView
from segstudio.ui.canvas.viewport import ViewState
from segstudio.ui.theme import GRID, theme

__all__ = ["ComparisonSurface"]

_CROSS_REACH = 16


class ComparisonSurface(QAbstractScrollArea):
    """Rows of models, columns of pictures.

    Attributes
    ----------
    hovered : Signal(object, object)
        Image row and column under the pointer, None and None outside of the pictures.
    scale_changed : Signal(float)
        The zoom in per cent; 100 is one image pixel per pixel of the screen.
    rows_seen : Signal()
        Other rows have come into view, or the columns are others: `missing_cells` knows which.
    theme_changed : Signal()
        Light or dark: pictures that follow the ground have to be drawn again.
    """

    hovered = Signal(object, object)
    scale_changed = Signal(float)
    rows_seen = Signal()
    theme_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[GridRow, ...] = ()
        self._columns: tuple[Column, ...] = ()
        self._cells: dict[CellKey, GridCell] = {}
        self._pointed: tuple[Pointed, ...] = ()
        self._view: GridView | None = None
        self._cache: QPixmap | None = None
        self._theme_name = ""
        self._photo_only = False
        self._point: QPointF | None = None
        self._cross: tuple[float, float] | None = None
        self._pixel: tuple[int | None, int | None] = (None, None)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Models side by side")
        self.setMinimumSize(40 * GRID, 24 * GRID)
        self.viewport().setMouseTracking(True)
        self.viewport().setCursor(Qt.CursorShape.CrossCursor)
        self.verticalScrollBar().valueChanged.connect(self._on_scrolled)

    # -- what is shown ------------------------------------------------------------------------

    @property
    def rows(self) -> tuple[GridRow, ...]:
        """The rows, from top to bottom."""
        return self._rows

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, from left to right."""
        return self._columns

    @property
    def cells(self) -> Mapping[CellKey, GridCell]:
        """The cells that are drawn; those that all rows share are in row -1."""
        return self._cells

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Height and width of the image, None without one."""
        return None if self._view is None else self._view.shape

    def set_rows(self, rows: Sequence[GridRow]) -> None:
        """Name the rows; as many as before keep their pictures."""
        if tuple(rows) == self._rows:
            return
        as_many = len(rows) == len(self._rows)
        self._rows = tuple(rows)
        self._changed() if as_many else self._arranged()

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Choose the columns; what is drawn of them stays."""
        if tuple(columns) != self._columns:
            self._columns = tuple(columns)
            self._arranged()

    def set_image(self, shape: tuple[int, int] | None, cells: Mapping[CellKey, GridCell]) -> None:
        """Show another image; zoom and place stay if it has the size of the one before.

        Parameters
        ----------
        shape : (int, int) or None
            Height and width; None shows nothing.
        cells : mapping of CellKey to GridCell
            What is drawn; the others stay empty until `add_cells`.
        """
        self._cells = dict(cells)
        if shape is None:
            self._view = None
        elif self._view is None:
            self._view = GridView(ViewState(), shape, self._cell_size(), self._ratio()).fitted()
        else:
            self._view = self._view.resized(shape, self._cell_size(), self._ratio())
        self._pointed = ()
        self._changed()
        self._tell_pixel(again=True)
        self._tell_scale()

    def add_cells(self, cells: Mapping[CellKey, GridCell]) -> None:
        """Show cells of the image that is shown."""
        self._cells.update(cells)
        self._changed()

    def visible_keys(self) -> list[CellKey]:
        """Return the cells of the rows in view, the shared ones once."""
        rows = self._geometry().visible_rows()
        keys = {
            (-1 if column.is_shared else row, column): None
            for row in rows
            for column in self._columns
        }
        return list(keys)

    def missing_cells(self) -> list[CellKey]:
        """Return the cells in view that are not drawn."""
        return [key for key in self.visible_keys() if key not in self._cells]

    def set_pointed(self, values: Sequence[Pointed]) -> None:
        """Say what each row has under the pointer; empty for nothing."""
        if tuple(values) != self._pointed:
            self._pointed = tuple(values)
            self.viewport().update()

    def set_photo_only(self, photo_only: bool) -> None:
        """Show the photograph in every cell, while a key is held."""
        if photo_only != self._photo_only:
            self._photo_only = photo_only
            self._changed()

    # -- the view -----------------------------------------------------------------------------

    @property
    def view_state(self) -> ViewState | None:
        """Centre and scale of all cells, None without an image."""
        return None if self._view is None else self._view.state

    @property
    def scale(self) -> float:
        """Screen pixels per image pixel."""
        return 1.0 if self._view is None else self._view.state.scale

    def part_in_view(self) -> BBox | None:
        """Return the part of the image in view, None when all of it is."""
        if self._view is None:
            return None
        cell = self._view.cell
        top, left = self._view.image_position(QPointF(0.0, 0.0))
        bottom, right = self._view.image_position(QPointF(cell.width(), cell.height()))
        box = BBox(math.floor(top), math.floor(left), math.ceil(bottom), math.ceil(right))
        box = box.clipped(*self._view.shape)
        return None if box == BBox(0, 0, *self._view.shape) else box

    def fit(self) -> None:
        """Show the whole image, also when the window changes its size."""
        if self._view is not None:
            self._set_view(self._view.fitted())

    def set_scale(self, scale: float, anchor: QPointF | None = None) -> None:
        """Zoom to ``scale`` screen pixels per image pixel; ``anchor`` is a place in a cell."""
        if self._view is not None:
            cell = self._view.cell
            middle = QPointF(cell.width() / 2, cell.height() / 2)
            self._set_view(self._view.zoomed(scale, middle if anchor is None else anchor))

    def zoom_by(self, factor: float, anchor: QPointF | None = None) -> None:
        """Zoom by a factor; ``anchor``, a place in a cell, keeps its image pixel."""
        if self._view is not None:
            self.set_scale(self._view.state.scale * factor, anchor)

    def place_of(self, row: int, column: int, position: tuple[float, float]) -> QPointF:
        """Return the point of the viewport of an image (row, col) in a cell."""
        assert self._view is not None
        return self._geometry().cell_rect(row, column).topLeft() + self._view.cell_position(
            *position
        )

    # -- inside -------------------------------------------------------------------------------

    def _geometry(self) -> GridGeometry:
        room = self.viewport().size()
        scroll = float(self.verticalScrollBar().value())
        return GridGeometry(
            room.width(), room.height(), len(self._rows), len(self._columns), scroll
        )

    def _cell_size(self) -> QSizeF:
        return self._geometry().cell_size

    def _ratio(self) -> float:
        return self.viewport().devicePixelRatioF()

    def _set_view(self, view: GridView) -> None:
        if view != self._view:
            self._view = view
            self._changed()
            self._point_at(self._point)
            self._tell_scale()

    def _tell_scale(self) -> None:
        if self._view is not None:
            self.scale_changed.emit(100.0 * self._view.state.scale)

    def _changed(self) -> None:
        self._cache = None
        self.viewport().update()

    def _arranged(self) -> None:
        """Cells have another size or another place."""
        geometry, bar = self._geometry(), self.verticalScrollBar()
        most = max(0, round(geometry.content_height - self.viewport().height()))
        bar.setPageStep(max(1, self.viewport().height() - HEAD))
        bar.setSingleStep(40)
        bar.setRange(0, most)
        if self._view is not None:
            self._view = self._view.resized(self._view.shape, self._cell_size(), self._ratio())
            self._tell_scale()
        self._changed()
        self.rows_seen.emit()

    def _on_scrolled(self) -> None:
        self._changed()
        self.rows_seen.emit()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        """Leave scrolling to the next repaint."""

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the cells their new size."""
        super().resizeEvent(event)
        self._arranged()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._changed()
            self.theme_changed.emit()

    def _offset(self, point: QPointF) -> QPointF | None:
        """Return the place in its cell of a point of the viewport."""
        geometry = self._geometry()
        cell = geometry.cell_at(point)
        return None if cell is None else point - geometry.cell_rect(*cell).topLeft()

    def _point_at(self, point: QPointF | None) -> None:
        self._point = point
        self._update_crosses()
        offset = None if point is None else self._offset(point)
        self._cross = None
        if offset is not None and self._view is not None:
            row, col = self._view.image_position(offset)
            height, width = self._view.shape
            self._cross = (row, col) if 0 <= row < height and 0 <= col < width else None
        self._update_crosses()
        self._tell_pixel()

    def _tell_pixel(self, *, again: bool = False) -> None:
        pixel: tuple[int | None, int | None] = (None, None)
        if self._cross is not None and self._view is not None:
            row, col = int(self._cross[0]), int(self._cross[1])
            if row < self._view.shape[0] and col < self._view.shape[1]:
                pixel = row, col
        if again or pixel != self._pixel:
            self._pixel = pixel
            self.hovered.emit(*pixel)

    # -- painting -----------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the kept pixmap and what follows the pointer."""
        geometry = self._geometry()
        if self._cache is None or self._theme_name != theme().name:
            self._theme_name = theme().name
            self._cache = self._painted(geometry)
        painter = QPainter(self.viewport())
        dirty = event.rect()
        ratio = self._ratio()
        source = QRectF(
            dirty.x() * ratio, dirty.y() * ratio, dirty.width() * ratio, dirty.height() * ratio
        )
        painter.drawPixmap(QRectF(dirty), self._cache, source)
        for row in geometry.visible_rows():
            if row < len(self._pointed):
                painter.setClipRect(QRectF(0, HEAD, geometry.width, geometry.height))
                paint_pointed(painter, geometry.caption_rect(row), self._pointed[row])
        self._paint_crosses(painter, geometry)
        painter.end()

    def _painted(self, geometry: GridGeometry) -> QPixmap:
        ratio = self._ratio()
        pixmap = QPixmap(self.viewport().size() * ratio)
        pixmap.setDevicePixelRatio(ratio)
        pixmap.fill(theme().color("window"))
        painter = QPainter(pixmap)
        painter.setFont(self.font())
        for row in geometry.visible_rows():
            paint_row_caption(painter, geometry.caption_rect(row), self._rows[row])
            for number, column in enumerate(self._columns):
                shown = Column.PHOTO if self._photo_only else column
                cell = self._cells.get((-1 if shown.is_shared else row, shown))
                paint_cell(painter, geometry.cell_rect(row, number), cell, self._view)
        paint_titles(painter, geometry, [column.value for column in self._columns])
        painter.end()
        return pixmap

    def _paint_crosses(self, painter: QPainter, geometry: GridGeometry) -> None:
        if self._cross is None or self._view is None:
            return
        offset = self._view.cell_position(*self._cross)
        for row in geometry.visible_rows():
            for column, shown in enumerate(self._columns):
                cell = self._cells.get((-1 if shown.is_shared else row, shown))
                if cell is None or cell.picture is None:
                    continue
                rect = geometry.cell_rect(row, column)
                painter.setClipRect(rect.intersected(QRectF(0, HEAD, geometry.width, 1e6)))
                paint_cross(painter, rect.topLeft() + offset)

    def _update_crosses(self) -> None:
        """Have the surroundings of all crosses repainted."""
        if self._cross is None or self._view is None:
            return
        geometry, reach = self._geometry(), _CROSS_REACH
        offset = self._view.cell_position(*self._cross)
        for row in geometry.visible_rows():
            for column in range(len(self._columns)):
                place = (geometry.cell_rect(row, column).topLeft() + offset).toPoint()
                self.viewport().update(
                    QRect(place.x() - reach, place.y() - reach, 2 * reach + 1, 2 * reach + 1)
                )

    def sizeHint(self) -> QSize:
        """Return a size at which three models are comfortable."""
        return QSize(110 * GRID, 76 * GRID)
