"""How a confusion matrix is painted: cells, values, names and class colours at the edges."""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter, QPen

from segstudio.ui.models.confusion import ConfusionData, ConfusionView, Scale
from segstudio.ui.theme import theme
from segstudio.ui.widgets.swatches import paint_class

__all__ = ["Cells", "Geometry", "paint_cells", "paint_marks"]

_STRIP = 8  # class colours along the edges
_LARGEST = (120.0, 64.0)  # width and height of a cell
_NAME_ROOM = (112, 140)
_LEGIBLE = 12.0  # pixels between two names


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the cells are in the widget.

    Attributes
    ----------
    area : QRect
        What is left beside the names.
    rows, columns : int
        Of the view.
    width, height : float
        Of a cell.
    left, top : float
        The cells at the area's corner.
    """

    area: QRect
    rows: int
    columns: int
    width: float
    height: float
    left: float = 0.0
    top: float = 0.0

    @classmethod
    def of(
        cls,
        room: QRect,
        names: list[str],
        metrics: QFontMetrics,
        shape: tuple[int, ...],
        zoom: float,
    ) -> Geometry:
        """Return the geometry of a view in a widget, at its first cell."""
        widest = max((metrics.horizontalAdvance(name) for name in names), default=0) + 6
        space = min(max(widest, _NAME_ROOM[0]), _NAME_ROOM[1])
        area = room.adjusted(space + _STRIP + 4, min(max(widest, 56), 104) + _STRIP + 4, -2, -2)
        rows, columns = shape
        width = min(max(area.width() / max(columns, 1), 0.5), _LARGEST[0])
        height = min(max(area.height() / max(rows, 1), 0.5), _LARGEST[1])
        return cls(area, rows, columns, width * zoom, height * zoom)

    def largest_zoom(self, zoom: float) -> float:
        """Return the zoom at which a cell is as large as it may get, given the present one."""
        return max(1.0, _LARGEST[0] / self.width * zoom, _LARGEST[1] / self.height * zoom)

    def clamped(self, left: float, top: float) -> tuple[float, float]:
        """Return a corner that leaves no room empty."""
        return (
            min(max(left, 0.0), max(self.columns - self.area.width() / self.width, 0.0)),
            min(max(top, 0.0), max(self.rows - self.area.height() / self.height, 0.0)),
        )

    def cell(self, row: int, column: int) -> QRectF:
        """Return where a cell is."""
        return QRectF(
            self.area.left() + (column - self.left) * self.width,
            self.area.top() + (row - self.top) * self.height,
            self.width,
            self.height,
        )

    def position(self, point: QPointF) -> tuple[float, float]:
        """Return a point as (row, column) of cells."""
        return (
            (point.y() - self.area.top()) / self.height + self.top,
            (point.x() - self.area.left()) / self.width + self.left,
        )

    def at(self, point: QPointF) -> tuple[int | None, int | None]:
        """Return row and column at a point; None beside the cells, where the names are."""
        if not self.rows or not self.columns:
            return None, None
        row, column = self.position(point)
        in_rows = point.y() >= self.area.top() and row < self.rows
        in_columns = point.x() >= self.area.left() and column < self.columns
        return (int(row) if in_rows else None), (int(column) if in_columns else None)

    def in_view(self) -> tuple[range, range]:
        """Return the rows and columns that can be seen."""
        bottom = min(self.rows, int(self.top + self.area.height() / self.height) + 1)
        right = min(self.columns, int(self.left + self.area.width() / self.width) + 1)
        return range(int(self.top), bottom), range(int(self.left), right)


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What is painted: the matrix, the view of it, and its picture of one pixel per cell."""

    data: ConfusionData
    view: ConfusionView
    picture: QImage
    pixels: NDArray[np.uint32]

    @classmethod
    def of(cls, data: ConfusionData, view: ConfusionView) -> Cells:
        """Colour a view in the present theme."""
        ramp = _ramp(theme().name)
        levels = np.round(255 * view.strength).astype(np.intp)
        right = view.rows[:, None] == view.columns[None, :]
        pixels = np.where(right, ramp.right[levels], ramp.errors[levels])
        pixels[np.isnan(view.values)] = theme().color("window").rgb()
        pixels = np.ascontiguousarray(pixels, np.uint32)
        rows, columns = pixels.shape
        form = QImage.Format.Format_RGB32
        return cls(data, view, QImage(pixels.data, columns, rows, 4 * columns, form), pixels)

    def name(self, place: int, *, columns: bool) -> str:
        """Return the name of a row or column."""
        return self.data.name(int((self.view.columns if columns else self.view.rows)[place]))


@dataclass(frozen=True, slots=True)
class _Ramp:
    errors: NDArray[np.uint32]
    right: NDArray[np.uint32]


@functools.lru_cache(maxsize=2)
def _ramp(name: str) -> _Ramp:
    """Return the colours of errors and of right pixels, 256 each, evenly rising in lightness."""
    colors = theme()
    end = QColor("#fff3d6") if name == "dark" else QColor("#3a1006")
    right_end = QColor("#dff5e6") if name == "dark" else QColor("#0b2e1a")

    def table(middle: QColor, last: QColor) -> NDArray[np.uint32]:
        stops = [QColor(colors.field), middle, last]
        rgb = np.array([[stop.red(), stop.green(), stop.blue()] for stop in stops], float)
        place = np.linspace(0, 1, 256)
        channels = [np.interp(place, (0.0, 0.6, 1.0), rgb[:, part]) for part in range(3)]
        red, green, blue = (np.round(channel).astype(np.uint32) for channel in channels)
        return np.uint32(0xFF000000) | (red << 16) | (green << 8) | blue

    return _Ramp(table(colors.color("bad"), end), table(colors.color("good"), right_end))


def paint_cells(painter: QPainter, cells: Cells, place: Geometry) -> None:
    """Paint everything that does not follow the pointer."""
    area = place.area
    _paint_corner(painter, area)
    painter.save()
    painter.setClipRect(area)
    first = place.cell(0, 0)
    whole = QRectF(
        first.left(), first.top(), place.columns * place.width, place.rows * place.height
    )
    painter.drawImage(whole, cells.picture)
    if min(place.width, place.height) >= 6:
        _paint_grid(painter, place)
    if place.width >= 30 and place.height >= 15:
        _paint_values(painter, cells.view, place)
    painter.restore()
    for columns in (False, True):
        _paint_edge(painter, cells, place, columns=columns)


def _paint_corner(painter: QPainter, area: QRect) -> None:
    painter.setPen(theme().color("muted"))
    room = QRect(2, 2, area.left() - _STRIP - 8, area.top() - _STRIP - 6)
    right, bottom = Qt.AlignmentFlag.AlignRight, Qt.AlignmentFlag.AlignBottom
    painter.drawText(room, Qt.AlignmentFlag.AlignTop | right, "predicted \N{RIGHTWARDS ARROW}")
    painter.drawText(room, bottom | right, "ground truth \N{DOWNWARDS ARROW}")


def _paint_grid(painter: QPainter, place: Geometry) -> None:
    rows, columns = place.in_view()
    painter.setPen(QPen(theme().color("window"), 1))
    last = place.cell(rows.stop - 1, columns.stop - 1)
    for row in range(rows.start, rows.stop + 1):
        y = round(place.cell(row, 0).top())
        painter.drawLine(QPointF(place.area.left(), y), QPointF(last.right(), y))
    for column in range(columns.start, columns.stop + 1):
        x = round(place.cell(0, column).left())
        painter.drawLine(QPointF(x, place.area.top()), QPointF(x, last.bottom()))


def _paint_values(painter: QPainter, view: ConfusionView, place: Geometry) -> None:
    usual = painter.font()
    font = QFont(usual)
    font.setPixelSize(11)
    painter.setFont(font)
    rows, columns = place.in_view()
    for row in rows:
        for column in columns:
            text = _cell_text(float(view.values[row, column]), view.scale)
            if text:
                painter.setPen(_ink(float(view.strength[row, column])))
                painter.drawText(place.cell(row, column), Qt.AlignmentFlag.AlignCenter, text)
    painter.setFont(usual)


def _ink(strength: float) -> QColor:
    """Return what is legible on a cell: cells turn light in the dark theme, dark in the light."""
    if strength < 0.12:
        return theme().color("muted")
    turned = strength > 0.55
    return QColor("#141414" if turned == (theme().name == "dark") else "#f6f6f6")


def _paint_edge(painter: QPainter, cells: Cells, place: Geometry, *, columns: bool) -> None:
    """Paint the class colours and, where there is room, names along an edge."""
    area = place.area
    order = cells.view.columns if columns else cells.view.rows
    size = place.width if columns else place.height
    painter.save()
    if columns:
        painter.setClipRect(QRect(area.left(), 0, area.width() + 2, area.top()))
    else:
        painter.setClipRect(QRect(0, area.top(), area.left(), area.height() + 2))
    for number in place.in_view()[1 if columns else 0]:
        index = int(order[number])
        cell = place.cell(0, number) if columns else place.cell(number, 0)
        if index < len(cells.data.colors):
            paint_class(painter, _strip(area, cell, columns), cells.data.colors[index])
        if size >= _LEGIBLE:
            painter.setPen(theme().color("text"))
            _paint_name(painter, area, cell, cells.data.name(index), columns=columns)
    painter.restore()


def _strip(area: QRect, cell: QRectF, columns: bool) -> QRectF:
    gap = 1.0 if min(cell.width(), cell.height()) >= 6 else 0.0
    if columns:
        return QRectF(cell.left() + gap, area.top() - _STRIP - 2, cell.width() - gap, _STRIP)
    return QRectF(area.left() - _STRIP - 2, cell.top() + gap, _STRIP, cell.height() - gap)


def _paint_name(painter: QPainter, area: QRect, cell: QRectF, name: str, *, columns: bool) -> None:
    metrics, elide = painter.fontMetrics(), Qt.TextElideMode.ElideRight
    flags = int(Qt.AlignmentFlag.AlignVCenter) | int(Qt.TextFlag.TextDontClip)
    if not columns:
        room = QRectF(2, cell.top(), area.left() - _STRIP - 10, cell.height())
        text = metrics.elidedText(name, elide, int(room.width()))
        painter.drawText(room, flags | int(Qt.AlignmentFlag.AlignRight), text)
        return
    long = area.top() - _STRIP - 8
    painter.save()
    painter.translate(cell.center().x(), area.top() - _STRIP - 6)
    painter.rotate(-90)
    painter.drawText(
        QRectF(0, -cell.width() / 2, long, cell.width()),
        flags | int(Qt.AlignmentFlag.AlignLeft),
        metrics.elidedText(name, elide, long),
    )
    painter.restore()


def paint_marks(
    painter: QPainter,
    cells: Cells,
    place: Geometry,
    *,
    chosen: tuple[int, int] | None,
    hovered: tuple[int, int] | None,
    selected: Collection[int] = (),
) -> None:
    """Paint the chosen cell, and row, column and names under the pointer, by place in the view.

    ``selected`` are classes whose names are marked.
    """
    area = place.area
    if selected:
        _paint_selected(painter, cells, place, selected)
    painter.save()
    painter.setClipRect(area.adjusted(-1, -1, 1, 1))
    if chosen is not None:
        painter.setPen(QPen(theme().color("accent"), 3))
        painter.drawRect(place.cell(*chosen).adjusted(0.5, 0.5, -0.5, -0.5))
    if hovered is not None:
        cell = place.cell(*hovered)
        line = QColor(theme().color("text"))
        painter.setPen(QPen(line, 1))
        painter.drawRect(cell)
        line.setAlpha(110)
        painter.setPen(QPen(line, 1))
        for y in (cell.top(), cell.bottom()):
            painter.drawLine(QPointF(area.left(), y), QPointF(cell.left(), y))
        for x in (cell.left(), cell.right()):
            painter.drawLine(QPointF(x, area.top()), QPointF(x, cell.top()))
    painter.restore()
    if hovered is not None:
        _paint_hovered_names(painter, cells, place, hovered)


def _paint_selected(
    painter: QPainter, cells: Cells, place: Geometry, selected: Collection[int]
) -> None:
    """Mark the names of selected classes at both edges."""
    area, soft = place.area, QColor(theme().color("accent"))
    soft.setAlpha(70)
    for columns in (False, True):
        order = cells.view.columns if columns else cells.view.rows
        for number in place.in_view()[1 if columns else 0]:
            if int(order[number]) not in selected:
                continue
            cell = place.cell(0, number) if columns else place.cell(number, 0)
            if columns:
                room = QRectF(cell.left(), 0, cell.width(), area.top() - _STRIP - 3)
            else:
                room = QRectF(0, cell.top(), area.left() - _STRIP - 3, cell.height())
            painter.fillRect(room, soft)


def _paint_hovered_names(
    painter: QPainter, cells: Cells, place: Geometry, hovered: tuple[int, int]
) -> None:
    """Paint both names in bold, also where there is no room for all names."""
    area, cell = place.area, place.cell(*hovered)
    font = QFont(painter.font())
    font.setBold(True)
    painter.setFont(font)
    needed = painter.fontMetrics().height() + 2.0
    wide = max(0.0, needed - cell.width()) / 2
    high = max(0.0, needed - cell.height()) / 2
    for columns in (False, True):
        grown = cell.adjusted(-wide, 0, wide, 0) if columns else cell.adjusted(0, -high, 0, high)
        if columns:
            back = QRectF(grown.left(), 0, grown.width(), area.top() - _STRIP - 3)
        else:
            back = QRectF(0, grown.top(), area.left() - _STRIP - 3, grown.height())
        painter.fillRect(back, theme().color("window"))
        painter.setPen(theme().color("text"))
        name = cells.name(hovered[1 if columns else 0], columns=columns)
        _paint_name(painter, area, grown, name, columns=columns)


def _cell_text(value: float, scale: Scale) -> str:
    if value != value or value == 0:
        return ""
    if scale is Scale.PIXELS:
        for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if value >= unit:
                return f"{value / unit:.{int(value < 10 * unit)}f}{letter}"
        return f"{value:.0f}"
    per_cent = 100 * value
    if per_cent < 0.05:
        return "\N{MIDDLE DOT}"
    return f"{per_cent:.{int(per_cent < 9.95)}f}"
