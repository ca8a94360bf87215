"""Scores per image: thousands of rows sorted and filtered as columns of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QImage

from segstudio.ui.models.scores import NumberTable

__all__ = ["ImageRow", "ImageScoreModel"]

Index = QModelIndex | QPersistentModelIndex
_NO_PARENT = QModelIndex()


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image's scores; NaN where a number does not exist."""

    sample_id: str
    miou: float
    pixel_accuracy: float


class ImageScoreModel(NumberTable):
    """One row per image that the filters let through.

    Attributes
    ----------
    shown_changed : Signal
        Other images are shown, or other ones are there.
    """

    NAME, MIOU, ACCURACY = range(3)
    SampleIdRole = Qt.ItemDataRole.UserRole + 3

    headers = ("Image", "mIoU", "Pixel accuracy")
    hints = (
        "",
        "Mean IoU over the classes that the image's ground truth or prediction holds",
        "Share of labelled pixels that are right",
    )
    shown_changed = Signal()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._rows: tuple[ImageRow, ...] = ()
        self._names: list[str] = []
        self._columns: dict[int, NDArray[np.float64]] = {}
        self._order: NDArray[np.intp] = np.empty(0, np.intp)
        self._sort = (-1, False)
        self._text = ""
        self._range: tuple[float, float] | None = None
        self._thumbnail: Callable[[str], QImage | None] | None = None

    # -- what is shown ------------------------------------------------------------------------

    def set_rows(self, rows: Sequence[ImageRow]) -> None:
        """Show other images; filters and order stay."""
        self.beginResetModel()
        self._rows = tuple(rows)
        self._names = [row.sample_id.lower() for row in rows]
        self._columns = {
            self.MIOU: np.array([row.miou for row in rows], np.float64),
            self.ACCURACY: np.array([row.pixel_accuracy for row in rows], np.float64),
        }
        self._order = self._arranged()
        self.endResetModel()
        self.shown_changed.emit()

    def set_text(self, text: str) -> None:
        """Show only images whose id holds each word of ``text``."""
        self._text = text.strip().lower()
        self._rearrange()

    def set_range(self, wanted: tuple[float, float] | None) -> None:
        """Show only images whose mean IoU lies in a closed range; None shows all."""
        self._range = wanted
        self._rearrange()

    def set_thumbnails(self, source: Callable[[str], QImage | None]) -> None:
        """Say where thumbnails come from; None from there means that one is on its way."""
        self._thumbnail = source

    def refresh_thumbnail(self, _sample_id: str) -> None:
        """Paint the names again, because a thumbnail has come; the view paints those in sight."""
        if self.rowCount():
            self.dataChanged.emit(
                self.index(0, self.NAME),
                self.index(self.rowCount() - 1, self.NAME),
                [Qt.ItemDataRole.DecorationRole],
            )

    @property
    def mious(self) -> NDArray[np.float64]:
        """Mean IoU of every image, shown or not; NaN where there is none."""
        return self._columns.get(self.MIOU, np.empty(0))

    @property
    def total(self) -> int:
        """Images, shown or not."""
        return len(self._rows)

    @property
    def shown(self) -> list[str]:
        """Sample ids of the rows."""
        return [self._rows[place].sample_id for place in self._order.tolist()]

    # -- Qt -----------------------------------------------------------------------------------

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of images shown."""
        return 0 if parent.isValid() else len(self._order)

    def value(self, row: int, column: int) -> Any:
        """Return a cell's value."""
        entry = self._rows[int(self._order[row])]
        return (entry.sample_id.rpartition("/")[2], entry.miou, entry.pixel_accuracy)[column]

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        inside = index.isValid() and index.row() < len(self._order)
        if role in (self.SampleIdRole, Qt.ItemDataRole.ToolTipRole):
            return self._rows[int(self._order[index.row()])].sample_id if inside else None
        if role == Qt.ItemDataRole.DecorationRole and inside and index.column() == self.NAME:
            if self._thumbnail is None:
                return None
            return self._thumbnail(self._rows[int(self._order[index.row()])].sample_id)
        return super().data(index, role)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; images without the number come last."""
        self._sort = column, order == Qt.SortOrder.DescendingOrder
        self._rearrange()

    # -- inside -------------------------------------------------------------------------------

    def _arranged(self) -> NDArray[np.intp]:
        keep = np.ones(len(self._rows), bool)
        words = self._text.split()
        if words:
            keep &= np.fromiter(
                (all(word in name for word in words) for name in self._names), bool, len(keep)
            )
        if self._range is not None:
            low, high = self._range
            keep &= (self.mious >= low) & (self.mious <= high)
        order = np.flatnonzero(keep)
        column, falling = self._sort
        if column in self._columns:
            values = self._columns[column][order]
            order = order[np.argsort(-values if falling else values, kind="stable")]
        elif column == self.NAME:
            names = np.array([self._names[place].rpartition("/")[2] for place in order.tolist()])
            order = order[np.argsort(names, kind="stable")] if len(names) else order
            order = order[::-1] if falling else order
        return order

    def _rearrange(self) -> None:
        """Change the order; selections follow their images."""
        arranged = self._arranged()
        self.layoutAboutToBeChanged.emit()
        persistent = self.persistentIndexList()
        place_of = np.full(len(self._rows), -1, np.intp)
        place_of[arranged] = np.arange(len(arranged))
        before, self._order = self._order, arranged
        rows = [int(place_of[before[index.row()]]) for index in persistent]
        moved = [
            self.index(row, index.column()) if row >= 0 else QModelIndex()
            for row, index in zip(rows, persistent, strict=True)
        ]
        self.changePersistentIndexList(persistent, moved)
        self.layoutChanged.emit()
        self.shown_changed.emit()
