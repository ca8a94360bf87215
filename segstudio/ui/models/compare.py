"""The images of a comparison: both scores, their difference, how far all models disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QFont

from segstudio.ui.models import number, share

__all__ = ["ComparedImageModel", "ComparedImageRow", "signed"]

Index = QModelIndex | QPersistentModelIndex
_NO_PARENT = QModelIndex()
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
NAN = float("nan")


def signed(value: float | None, places: int = 2) -> str:
    """Return a difference with its sign; None and NaN are a dash."""
    text = number(value, places)
    if value is None or value != value:
        return text
    if float(text) == 0:
        return text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}") if value < 0 else f"+{text}"


@dataclass(frozen=True, slots=True)
class ComparedImageRow:
    """Numbers of one image; NaN where there is none.

    Attributes
    ----------
    sample_id : str
    disagreement : float
        Mean over the pairs of models of the share of pixels with different classes, 0..1.
    miou : (float, float)
        Of a and b, from the image's own counts.
    sure_errors : float
        The smaller of the two shares of labelled pixels that are wrong and sure, 0..1.
    """

    sample_id: str
    disagreement: float = NAN
    miou: tuple[float, float] = (NAN, NAN)
    sure_errors: float = NAN

    @property
    def delta(self) -> float:
        """B minus a."""
        return self.miou[1] - self.miou[0]


class ComparedImageModel(QAbstractTableModel):
    """One row per image; sorts itself, what has no number is last."""

    NAME, DISAGREEMENT, A, B, DELTA, SURE = range(6)
    HEADERS = ("Image", "Disagree", "A", "B", "B \N{MINUS SIGN} A", "Both sure")
    HINTS = (
        "",
        "Share of the pixels to which two models give different classes; the mean over all pairs "
        "of the chosen models",
        "Mean IoU of the image in A, from its own counts",
        "Mean IoU of the image in B, from its own counts",
        "B's mean IoU minus A's: sort by it to see where either wins most",
        "Labelled pixels that are wrong with entropy below 0.10 log C, in A or B, whichever has "
        "fewer: sort by it to see where both fail and both are sure",
    )
    SampleIdRole = Qt.ItemDataRole.UserRole + 1

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._rows: list[ComparedImageRow] = []
        self._order = (self.DISAGREEMENT, Qt.SortOrder.DescendingOrder)
        self._current = ""

    def set_rows(self, rows: Sequence[ComparedImageRow]) -> None:
        """Show other numbers in the order there is."""
        self.beginResetModel()
        self._rows = list(rows)
        self._sort()
        self.endResetModel()

    def set_current(self, sample_id: str) -> None:
        """Mark the image that is shown."""
        if sample_id != self._current:
            self._current = sample_id
            if self._rows:
                last = self.index(len(self._rows) - 1, self.SURE)
                self.dataChanged.emit(self.index(0, 0), last, [Qt.ItemDataRole.FontRole])

    def row(self, place: int) -> ComparedImageRow:
        """Return the numbers of a row."""
        return self._rows[place]

    def row_of(self, sample_id: str) -> int:
        """Return the row of an image, -1 when it has none."""
        places = (place for place, row in enumerate(self._rows) if row.sample_id == sample_id)
        return next(places, -1)

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of images."""
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self.HEADERS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a column's title and what it means."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.HEADERS[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.HINTS[section] or None
        if role == Qt.ItemDataRole.TextAlignmentRole and section > self.NAME:
            return _RIGHT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        row = self._rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, index.column())
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() > self.NAME:
            return _RIGHT
        if role == self.SampleIdRole:
            return row.sample_id
        if role == Qt.ItemDataRole.ToolTipRole and index.column() == self.NAME:
            return row.sample_id
        if role == Qt.ItemDataRole.FontRole and row.sample_id == self._current:
            font = QFont()
            font.setBold(True)
            return font
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column."""
        self.layoutAboutToBeChanged.emit()
        before = [self._rows[index.row()].sample_id for index in self.persistentIndexList()]
        old = self.persistentIndexList()
        self._order = (column, order)
        self._sort()
        places = {row.sample_id: place for place, row in enumerate(self._rows)}
        new = [
            self.index(places[sample_id], index.column())
            for sample_id, index in zip(before, old, strict=True)
        ]
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()

    def _text(self, row: ComparedImageRow, column: int) -> str:
        if column == self.NAME:
            return row.sample_id.rpartition("/")[2]  # the tool tip has its folder
        if column in (self.DISAGREEMENT, self.SURE):
            return share(row.disagreement if column == self.DISAGREEMENT else row.sure_errors)
        if column == self.DELTA:
            return signed(row.delta)
        return number(row.miou[0 if column == self.A else 1])

    def _value(self, row: ComparedImageRow) -> float:
        values = (NAN, row.disagreement, *row.miou, row.delta, row.sure_errors)
        return values[self._order[0]]

    def _sort(self) -> None:
        column, order = self._order
        down = order == Qt.SortOrder.DescendingOrder
        self._rows.sort(key=lambda row: row.sample_id, reverse=down and column == self.NAME)
        if column != self.NAME:
            known = [row for row in self._rows if self._value(row) == self._value(row)]
            rest = [row for row in self._rows if self._value(row) != self._value(row)]
            known.sort(key=self._value, reverse=down)
            self._rows = known + rest
