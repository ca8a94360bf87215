"""Score tables: what they share, and scores per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QFont

from segstudio.ui.models import NO_NUMBER, number
from segstudio.ui.palettes import ClassColor

__all__ = ["ClassRow", "NumberTable", "RowTable", "ScoreTableModel", "interval_text"]

Row = TypeVar("Row")
Index = QModelIndex | QPersistentModelIndex
_NO_PARENT = QModelIndex()
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
NAN = float("nan")


@dataclass(slots=True)
class ClassRow:
    """One class's scores; NaN where a number does not exist.

    ``interval`` is the 95 % interval of ``pooled_iou``.
    """

    name: str
    color: ClassColor | None
    image_iou: float = NAN
    pooled_iou: float = NAN
    interval: tuple[float, float] = (NAN, NAN)
    accuracy: float = NAN
    precision: float = NAN
    pixels: int | None = None


def interval_text(interval: tuple[float, float], places: int = 2) -> str:
    """Return an interval as ``0.41 – 0.56``, a dash where there is none."""
    low, high = interval
    if low != low or high != high:
        return NO_NUMBER
    return f"{number(low, places)} \N{EN DASH} {number(high, places)}"


class NumberTable(QAbstractTableModel):
    """What tables of scores share: right-aligned numbers and values to sort and draw by."""

    headers: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    SortRole = Qt.ItemDataRole.UserRole + 1
    ColorRole = Qt.ItemDataRole.UserRole + 2
    ValueRole = Qt.ItemDataRole.UserRole + 10
    IntervalRole = Qt.ItemDataRole.UserRole + 11  # (low, high) or None

    def columnCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self.headers)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a column's title; its tool tip says what the number is."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.headers):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.headers[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.hints[section] or None
        if role == Qt.ItemDataRole.TextAlignmentRole and section > 0:
            return _RIGHT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid() or index.row() >= self.rowCount():
            return None
        value = self.value(index.row(), index.column())
        if role == Qt.ItemDataRole.DisplayRole:
            if isinstance(value, float):
                return number(value)
            return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else value
        if role == self.ValueRole:
            return value if isinstance(value, float) else None
        if role == self.SortRole:
            if isinstance(value, float):
                return -1.0 if value != value else value
            return -1 if value == NO_NUMBER else value
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() > 0:
            return _RIGHT
        return None

    def is_mean(self, row: int) -> bool:
        """Whether a row is a mean over the others, which stays last."""
        return False

    def value(self, row: int, column: int) -> Any:
        """Return a cell's value: str, float or int."""
        raise NotImplementedError


class RowTable(NumberTable, Generic[Row]):
    """A table of rows that are shown as they come; what is sorted is the view's."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._rows: tuple[Row, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows, as they were set."""
        return self._rows

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show other rows."""
        self.beginResetModel()
        self._rows = tuple(rows)
        self.endResetModel()

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of rows."""
        return 0 if parent.isValid() else len(self._rows)


class ScoreTableModel(NumberTable):
    """Scores per class; the last row is the mean over classes."""

    IMAGE, POOLED, INTERVAL = 1, 2, 3

    headers = (
        "Class",
        "IoU image",
        "IoU all",
        "95 % interval",
        "Accuracy",
        "Precision",
        "Pixels",
    )
    hints = (
        "",
        "Intersection over union in the image shown; it follows each stroke",
        "Intersection over union pooled over all scored images of the run; the whisker is its "
        "95 % interval",
        "95 % of 1,000 draws of as many images with replacement",
        "Share of the class's ground truth that is found, pooled",
        "Share of what is called this class that is right, pooled",
        "Ground-truth pixels of the class, pooled",
    )

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._rows: list[ClassRow] = []
        self._mean: ClassRow | None = None

    def set_rows(self, rows: Sequence[ClassRow], mean: ClassRow | None) -> None:
        """Show other classes, ``mean`` in the last row."""
        self.beginResetModel()
        self._rows = list(rows)
        self._mean = mean
        self.endResetModel()

    def set_image_iou(self, values: Sequence[float], mean: float) -> None:
        """Set the IoU of each class in the image shown, and their mean; no value is unknown."""
        for place, row in enumerate(self._rows):
            row.image_iou = float(values[place]) if place < len(values) else NAN
        if self._mean is not None:
            self._mean.image_iou = float(mean)
        if self.rowCount():
            self.dataChanged.emit(self.index(0, 1), self.index(self.rowCount() - 1, 1))

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of classes and the row of the mean."""
        return 0 if parent.isValid() else len(self._rows) + (self._mean is not None)

    def is_mean(self, row: int) -> bool:
        """Whether a row is the mean over classes."""
        return self._mean is not None and row == len(self._rows)

    def value(self, row: int, column: int) -> Any:
        """Return a cell's value."""
        entry = self._mean if self.is_mean(row) else self._rows[row]
        assert entry is not None
        pixels = NO_NUMBER if entry.pixels is None else entry.pixels
        return (
            entry.name,
            entry.image_iou,
            entry.pooled_iou,
            interval_text(entry.interval),
            entry.accuracy,
            entry.precision,
            pixels,
        )[column]

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows; the mean is bold."""
        if index.isValid() and index.row() < self.rowCount():
            entry = self._mean if self.is_mean(index.row()) else self._rows[index.row()]
            assert entry is not None
            if role == self.ColorRole and index.column() == 0:
                return entry.color
            if role == self.IntervalRole and index.column() == self.POOLED:
                return entry.interval
            if role == self.SortRole and index.column() == self.INTERVAL:
                low = entry.interval[0]
                return -1.0 if low != low else low
            if role == Qt.ItemDataRole.FontRole and self.is_mean(index.row()):
                font = QFont()
                font.setWeight(QFont.Weight.DemiBold)
                return font
        return super().data(index, role)
