"""The classes of a label space: colour, share of the picture, IoU, shown or not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal

from segstudio.core.label_space import LabelSpace
from segstudio.ui.models import number, share
from segstudio.ui.palettes import ClassColor

__all__ = ["LegendModel"]

Index = QModelIndex | QPersistentModelIndex
_NO_PARENT = QModelIndex()
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


class LegendModel(QAbstractTableModel):
    """One row per class index; the columns are name, share, IoU and visibility."""

    visibility_changed = Signal(object)  # (C,) bool
    flags_changed = Signal()
    locks_changed = Signal()

    NAME, SHARE, IOU, LOCK, EYE = range(5)
    HEADERS = ("Class", "Share", "IoU", "", "")

    ColorRole = Qt.ItemDataRole.UserRole + 1
    VisibleRole = Qt.ItemDataRole.UserRole + 2
    FavouriteRole = Qt.ItemDataRole.UserRole + 3
    ActiveRole = Qt.ItemDataRole.UserRole + 4
    ClassRole = Qt.ItemDataRole.UserRole + 5
    SortRole = Qt.ItemDataRole.UserRole + 6
    LockedRole = Qt.ItemDataRole.UserRole + 7

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._space: LabelSpace | None = None
        self._share: NDArray[np.float64] = np.empty(0)
        self._iou: NDArray[np.float64] = np.empty(0)
        self._visible: NDArray[np.bool_] = np.empty(0, bool)
        self._locked: NDArray[np.bool_] = np.empty(0, bool)
        self._active = 0
        self._favourites: list[int] = []

    # -- what is shown ------------------------------------------------------------------------

    def set_label_space(self, space: LabelSpace | None) -> None:
        """Show the classes of a label space; the first nine are favourites."""
        self.beginResetModel()
        self._space = space
        count = len(space) if space else 0
        self._share = np.full(count, np.nan)
        self._iou = np.full(count, np.nan)
        self._visible = np.ones(count, bool)
        self._locked = np.zeros(count, bool)
        self._active = 0
        self._favourites = list(range(min(9, count)))
        self.endResetModel()
        self.locks_changed.emit()

    def set_shares(self, shares: NDArray[np.float64] | None) -> None:
        """Set each class's share of the picture, 0..1; None means unknown."""
        self._set_column(self._share, shares, self.SHARE)

    def set_iou(self, iou: NDArray[np.float64] | None) -> None:
        """Set each class's IoU in the picture, NaN where there is none."""
        self._set_column(self._iou, iou, self.IOU)

    def set_active(self, class_index: int) -> None:
        """Mark the class that is painted."""
        if 0 <= class_index < self.rowCount() and class_index != self._active:
            before, self._active = self._active, class_index
            for row in (before, class_index):
                self._changed(row, row)

    def set_favourite(self, digit: int, class_index: int) -> None:
        """Put a class on a key 1..9; it leaves the key it had."""
        if not 1 <= digit <= 9 or not 0 <= class_index < self.rowCount():
            return
        while len(self._favourites) < digit:
            self._favourites.append(-1)
        if class_index in self._favourites:
            # The two change places, so no key is left without a class.
            place = self._favourites.index(class_index)
            self._favourites[place] = self._favourites[digit - 1]
        self._favourites[digit - 1] = class_index
        self._changed(0, self.rowCount() - 1)
        self.flags_changed.emit()

    def set_favourites(self, classes: list[int]) -> None:
        """Set the classes on keys 1, 2, ...; indices outside the space are left out."""
        count = self.rowCount()
        self._favourites = [entry if 0 <= entry < count else -1 for entry in classes[:9]]
        self._changed(0, count - 1)

    def set_visible(self, class_index: int, visible: bool) -> None:
        """Show or hide one class."""
        self._visible[class_index] = visible
        self._visibility_done()

    def solo(self, class_index: int) -> None:
        """Show only this class; when it is the only one shown already, show all again."""
        alone = self._visible[class_index] and self._visible.sum() == 1
        self._visible[:] = alone
        self._visible[class_index] = True
        self._visibility_done()

    def show_all(self) -> None:
        """Show every class."""
        self._visible[:] = True
        self._visibility_done()

    def set_locked(self, class_index: int, locked: bool) -> None:
        """Protect the pixels of a class from painting, or open them again."""
        self._locked[class_index] = locked
        self._changed(class_index, class_index)
        self.locks_changed.emit()

    def lock_others(self, class_index: int) -> None:
        """Protect every class but one; when that is so already, open all again."""
        alone = not self._locked[class_index] and self._locked.sum() == len(self._locked) - 1
        self._locked[:] = not alone
        self._locked[class_index] = False
        self._changed(0, self.rowCount() - 1)
        self.locks_changed.emit()

    # -- questions ----------------------------------------------------------------------------

    @property
    def active(self) -> int:
        """The class that is painted."""
        return self._active

    @property
    def favourites(self) -> list[int]:
        """Classes on keys 1, 2, ...; -1 where a key has none."""
        return list(self._favourites)

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Which classes are shown, a copy of shape (C,)."""
        return self._visible.copy()

    @property
    def locked(self) -> frozenset[int]:
        """The classes whose pixels painting leaves alone."""
        return frozenset(int(index) for index in np.flatnonzero(self._locked))

    # -- Qt -----------------------------------------------------------------------------------

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of classes."""
        return 0 if parent.isValid() or self._space is None else len(self._space)

    def columnCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self.HEADERS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a column's title."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.HEADERS):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.HEADERS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole and section in (self.SHARE, self.IOU):
            return _RIGHT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid() or self._space is None or index.row() >= len(self._space):
            return None
        row, column = index.row(), index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, column)
        if role == self.ClassRole:
            return row
        if role == self.ColorRole:
            return ClassColor.of(self._space.classes[row])
        if role == self.VisibleRole:
            return bool(self._visible[row])
        if role == self.LockedRole:
            return bool(self._locked[row])
        if role == self.FavouriteRole:
            return self._favourites.index(row) + 1 if row in self._favourites else None
        if role == self.ActiveRole:
            return row == self._active
        if role == self.SortRole:
            return self._sort_value(row, column)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in (self.SHARE, self.IOU):
            return _RIGHT
        if role == Qt.ItemDataRole.ToolTipRole:
            if column == self.EYE:
                return "Show or hide; Alt+click shows only this class"
            if column == self.LOCK:
                return "Locked pixels of this class cannot be painted; Alt+click locks the others"
            return self._space.classes[row].name
        return None

    def _text(self, row: int, column: int) -> str | None:
        assert self._space is not None
        if column == self.NAME:
            return short_name(self._space.classes[row].name)
        if column == self.SHARE:
            return share(self._share[row])
        if column == self.IOU:
            return number(self._iou[row])
        return None

    def _sort_value(self, row: int, column: int) -> Any:
        if column == self.SHARE:
            return float(np.nan_to_num(self._share[row], nan=-1.0))
        if column == self.IOU:
            return float(np.nan_to_num(self._iou[row], nan=-1.0))
        return row

    # -- inside -------------------------------------------------------------------------------

    def _set_column(
        self, column: NDArray[np.float64], values: NDArray[np.float64] | None, place: int
    ) -> None:
        before = column.copy()
        column[:] = np.nan if values is None else values
        # A stroke changes few classes so much that another number is read: only they are painted.
        tell = share if place == self.SHARE else number
        others = np.flatnonzero(~((before == column) | (np.isnan(before) & np.isnan(column))))
        for row in others.tolist():
            if tell(before[row]) != tell(column[row]):
                index = self.index(row, place)
                self.dataChanged.emit(index, index)

    def _changed(self, first: int, last: int) -> None:
        if last >= first >= 0:
            self.dataChanged.emit(self.index(first, 0), self.index(last, self.EYE))

    def _visibility_done(self) -> None:
        self._changed(0, self.rowCount() - 1)
        self.visibility_changed.emit(self.visible)


def short_name(name: str) -> str:
    """Return the first of ADE20K's synonyms; other names as they are."""
    return name.replace(",", ";").split(";")[0].strip() or name
