"""A confusion matrix as a heat map that zooms.

Everything that does not follow the pointer is painted once into a pixmap; a move of the pointer
paints that pixmap and a few lines.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPixmap,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from segstudio.core.class_style import ClassStyle
from segstudio.ui.models.confusion import ConfusionData, ConfusionView
from segstudio.ui.palettes import class_style
from segstudio.ui.theme import GRID, theme
from segstudio.ui.widgets.heat_cells import Cells, Geometry, paint_cells, paint_marks

__all__ = ["HeatMap"]

_DRAG = 4
_KEYS = {
    Qt.Key.Key_M: "merge",
    Qt.Key.Key_H: "hide",
    Qt.Key.Key_S: "scale",
    Qt.Key.Key_O: "order",
    Qt.Key.Key_R: "diagonal",
    Qt.Key.Key_Plus: "closer",
    Qt.Key.Key_Equal: "closer",
    Qt.Key.Key_Minus: "farther",
    Qt.Key.Key_Home: "fit",
    Qt.Key.Key_Escape: "unselect",
}
_STEPS = {
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
}


class HeatMap(QWidget):
    """The cells with names and class colours at the edges.

    Attributes
    ----------
    hovered : Signal(object)
        (target, prediction) under the pointer, None outside.
    cell_clicked : Signal(int, int)
        Target and prediction as class indices; a prediction of C is the ignored one.
    row_clicked, column_clicked : Signal(int)
        The class whose name was clicked.
    class_toggled : Signal(int)
        The class whose name was clicked with Ctrl held, or whose row Space was pressed in.
    key_pressed : Signal(str)
        What a key asks for: "merge", "hide", "scale", "order", "diagonal", "closer", "farther",
        "fit", "unselect", "undo" or "redo".
    menu_requested : Signal(int, QPoint)
        A class's name was right-clicked, at this place of the screen; -1 elsewhere.
    """

    hovered = Signal(object)
    cell_clicked = Signal(int, int)
    row_clicked = Signal(int)
    column_clicked = Signal(int)
    class_toggled = Signal(int)
    key_pressed = Signal(str)
    menu_requested = Signal(int, QPoint)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._data: ConfusionData | None = None
        self._view: ConfusionView | None = None
        self._cells: Cells | None = None
        self._cache: QPixmap | None = None
        self._look: tuple[str, ClassStyle] | None = None
        self._zoom = 1.0
        self._corner = (0.0, 0.0)  # column, row
        self._hover: tuple[int, int] | None = None
        self._chosen: tuple[int, int] | None = None  # class indices
        self._selected: frozenset[int] = frozenset()
        self._press: tuple[QPointF, tuple[float, float]] | None = None
        self._dragged = False
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(240, 180)
        self.setAccessibleName("Confusion matrix")

    # -- what is shown ------------------------------------------------------------------------

    def set_view(self, data: ConfusionData | None, view: ConfusionView | None) -> None:
        """Show other cells; the zoom stays when there are as many."""
        before = None if self._view is None else self._view.values.shape
        there = view is not None and view.values.size > 0
        self._data, self._view = (data, view) if there else (None, None)
        self._cells, self._hover = None, None
        if view is None or before != view.values.shape:
            self._zoom, self._corner = 1.0, (0.0, 0.0)
        self._changed()

    def set_chosen(self, cell: tuple[int, int] | None) -> None:
        """Mark the cell with this target and prediction."""
        self._chosen = cell
        self.update()

    def set_selected(self, classes: Collection[int]) -> None:
        """Mark the names of these classes."""
        self._selected = frozenset(classes)
        self.update()

    def fit(self) -> None:
        """Show all cells."""
        self._zoom, self._corner = 1.0, (0.0, 0.0)
        self._changed()

    def zoom_by(self, factor: float, anchor: QPointF | None = None) -> None:
        """Make cells larger; ``anchor`` keeps its cell."""
        before = self._geometry()
        if before is None:
            return
        anchor = QPointF(before.area.center()) if anchor is None else anchor
        row, column = before.position(anchor)
        most = before.largest_zoom(self._zoom)
        self._zoom = min(max(self._zoom * factor, 1.0), most)
        after = self._geometry()
        assert after is not None
        self._move_to(
            column - (anchor.x() - after.area.left()) / after.width,
            row - (anchor.y() - after.area.top()) / after.height,
        )

    @property
    def zoom(self) -> float:
        """1 shows all cells."""
        return self._zoom

    @property
    def view(self) -> ConfusionView | None:
        """The cells that are shown."""
        return self._view

    def cell_rect(self, target: int, prediction: int) -> QRectF:
        """Return where the cell of two classes is; empty when it is not shown."""
        place, geometry = self._place((target, prediction)), self._geometry()
        return QRectF() if place is None or geometry is None else geometry.cell(*place)

    def sizeHint(self) -> QSize:
        """Return a size at which eleven classes are comfortable."""
        return QSize(76 * GRID, 52 * GRID)

    # -- inside -------------------------------------------------------------------------------

    def _geometry(self) -> Geometry | None:
        if self._view is None or self._data is None:
            return None
        names = [self._data.name(int(index)) for index in self._view.columns]
        shape = self._view.values.shape
        place = Geometry.of(self.rect(), names, self.fontMetrics(), shape, self._zoom)
        return replace(place, left=self._corner[0], top=self._corner[1])

    def _move_to(self, column: float, row: float) -> None:
        geometry = self._geometry()
        if geometry is not None:
            self._corner = geometry.clamped(column, row)
            self._changed()

    def _changed(self) -> None:
        self._cache = None
        self.update()

    def _place(self, cell: tuple[int, int] | None) -> tuple[int, int] | None:
        """Return row and column of the view for a target and a prediction."""
        if cell is None or self._view is None:
            return None
        rows = np.flatnonzero(self._view.rows == cell[0])
        columns = np.flatnonzero(self._view.columns == cell[1])
        return (int(rows[0]), int(columns[0])) if rows.size and columns.size else None

    def _classes(self, place: tuple[int, int]) -> tuple[int, int]:
        assert self._view is not None
        return int(self._view.rows[place[0]]), int(self._view.columns[place[1]])

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the pixmap and what follows the pointer."""
        look = theme().name, class_style()
        if self._look != look:
            self._look, self._cells, self._cache = look, None, None
        geometry = self._geometry()
        if geometry is None or self._data is None or self._view is None:
            return
        if self._cells is None:
            self._cells = Cells.of(self._data, self._view)
        if self._cache is None:
            ratio = self.devicePixelRatioF()
            self._cache = QPixmap(self.size() * ratio)
            self._cache.setDevicePixelRatio(ratio)
            self._cache.fill(theme().color("window"))
            still = QPainter(self._cache)
            still.setFont(self.font())
            paint_cells(still, self._cells, geometry)
            still.end()
        painter = QPainter(self)
        painter.drawPixmap(0, 0, self._cache)
        chosen = self._place(self._chosen)
        paint_marks(
            painter,
            self._cells,
            geometry,
            chosen=chosen,
            hovered=self._hover,
            selected=self._selected,
        )
        painter.end()

    # -- the pointer and keys -----------------------------------------------------------------

    def _at(self, point: QPointF) -> tuple[int | None, int | None]:
        geometry = self._geometry()
        return (None, None) if geometry is None else geometry.at(point)

    def _set_hover(self, place: tuple[int, int] | None) -> None:
        if place != self._hover:
            self._hover = place
            self.update()
            self.hovered.emit(None if place is None else self._classes(place))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Follow the pointer, or drag the cells."""
        if self._press is None:
            row, column = self._at(event.position())
            self._set_hover(None if row is None or column is None else (row, column))
            return
        begin, (left, top) = self._press
        delta = event.position() - begin
        self._dragged = self._dragged or delta.manhattanLength() > _DRAG
        geometry = self._geometry()
        if self._dragged and geometry is not None:
            self._move_to(left - delta.x() / geometry.width, top - delta.y() / geometry.height)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a click or a drag."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._press, self._dragged = (event.position(), self._corner), False

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Choose the cell or the class that was clicked."""
        if event.button() != Qt.MouseButton.LeftButton or self._press is None:
            return
        dragged, self._press = self._dragged, None
        if dragged or self._view is None:
            return
        row, column = self._at(event.position())
        if row is not None and column is not None:
            self.cell_clicked.emit(*self._classes((row, column)))
        elif row is not None or column is not None:
            rows = row is not None
            index = int(self._view.rows[row] if rows else self._view.columns[column])
            if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
                self.class_toggled.emit(index)
            else:
                (self.row_clicked if rows else self.column_clicked).emit(index)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Ask for the menu of a class: its name's, or that of the cell's ground truth."""
        row, column = self._at(QPointF(event.pos()))
        index = -1
        if self._view is not None and row is not None:
            index = int(self._view.rows[row])
        elif self._view is not None and column is not None:
            index = int(self._view.columns[column])
        self.menu_requested.emit(index, event.globalPos())

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom at the pointer."""
        self.zoom_by(1.2 ** (event.angleDelta().y() / 120), event.position())
        event.accept()

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the pointer."""
        self._set_hover(None)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit again, as far as the zoom allows."""
        super().resizeEvent(event)
        self._move_to(*self._corner)

    def event(self, event: QEvent) -> bool:
        """Take the matrix's keys before the window's actions do."""
        is_key = event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent)
        if is_key and _deed(event):  # type: ignore[arg-type]
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Walk over the cells with the arrows; Enter chooses, Space selects the row's class."""
        key = Qt.Key(event.key())
        deed = _deed(event)
        if deed:
            self.key_pressed.emit(deed)
        elif self._view is None:
            super().keyPressEvent(event)
        elif key in _STEPS:
            rows, columns = self._view.values.shape
            row, column = self._hover or self._place(self._chosen) or (0, 0)
            down, right = _STEPS[key] if self._hover is not None else (0, 0)
            self._set_hover(
                (min(max(row + down, 0), rows - 1), min(max(column + right, 0), columns - 1))
            )
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._hover is not None:
            self.cell_clicked.emit(*self._classes(self._hover))
        elif key == Qt.Key.Key_Space and self._hover is not None:
            self.class_toggled.emit(self._classes(self._hover)[0])
        else:
            super().keyPressEvent(event)


def _deed(event: QKeyEvent) -> str:
    """Return what a key asks for, "" for none of the matrix's own."""
    if event.matches(QKeySequence.StandardKey.Undo):
        return "undo"
    if event.matches(QKeySequence.StandardKey.Redo):
        return "redo"
    plain = Qt.KeyboardModifier.KeypadModifier | Qt.KeyboardModifier.ShiftModifier
    if event.modifiers() & ~plain:
        return ""
    return _KEYS.get(Qt.Key(event.key()), "")
