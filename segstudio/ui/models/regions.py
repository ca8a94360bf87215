"""Error regions as rows: columns of numbers, sorted as a whole, made into text cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from segstudio.analysis.definitions import ERROR_DEFINITIONS
from segstudio.analysis.regions import IGNORED, UNKNOWN, ErrorRegion, RegionTable
from segstudio.analysis.taxonomy import ErrorKind
from segstudio.ui.models import NO_NUMBER, number
from segstudio.ui.palettes import ClassColor

__all__ = ["RegionModel", "kind_title"]

Index = QModelIndex | QPersistentModelIndex
_NO_PARENT = QModelIndex()
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


def kind_title(kind: ErrorKind) -> str:
    """Return a kind as a person reads it."""
    return kind.name.capitalize()


class RegionModel(QAbstractTableModel):
    """One row per region, in the order of the table that was given until it is sorted."""

    IMAGE, TARGET, PREDICTION, AREA, ENTROPY, CONFIDENCE, RUNNER_UP, KIND, FIXED = range(9)
    HEADERS = (
        "Image",
        "Ground truth",
        "Predicted",
        "Area",
        "Entropy",
        "Confidence",
        "Runner-up",
        "Kind",
        "Corrected",
    )
    HINTS = (
        ERROR_DEFINITIONS["error region"],
        "What the ground truth says there",
        "What the model says there",
        "Pixels of the region",
        "Mean entropy over the region as a share of log C",
        "Mean of the largest probability over the region",
        "Share of its pixels whose second most probable class is the ground truth",
        "Boundary: "
        + ERROR_DEFINITIONS["boundary"]
        + "\nConfused: "
        + ERROR_DEFINITIONS["confused"]
        + "\nMissed: "
        + ERROR_DEFINITIONS["missed"]
        + "\nInvented: "
        + ERROR_DEFINITIONS["invented"],
        "Share of its pixels that a saved correction has made equal to the ground truth",
    )

    RegionRole = Qt.ItemDataRole.UserRole + 1
    ColorRole = Qt.ItemDataRole.UserRole + 2

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._names: tuple[str, ...] = ()
        self._colors: tuple[ClassColor, ...] = ()
        self._sorted = (-1, Qt.SortOrder.AscendingOrder)
        self._fill(None)

    def _fill(self, table: RegionTable | None) -> None:
        self._table = RegionTable.joined([]) if table is None else table
        self._order: NDArray[np.intp] = np.arange(len(self._table))
        self._fixed: NDArray[np.float64] = np.full(len(self._table), np.nan)

    # -- what is shown ------------------------------------------------------------------------

    def set_classes(self, names: Sequence[str], colors: Sequence[ClassColor]) -> None:
        """Say what the class indices of the next regions mean."""
        self._names, self._colors = tuple(names), tuple(colors)

    def set_regions(self, table: RegionTable | None) -> None:
        """Show other regions, sorted as the ones before."""
        self.beginResetModel()
        self._fill(table)
        self._sort()
        self.endResetModel()

    def set_corrected(self, table: RegionTable, shares: Sequence[float | None]) -> None:
        """Say how much of each region a correction has put right, in the table's order.

        An answer on regions that are no longer shown is dropped.
        """
        if table is not self._table or len(shares) != len(self._table):
            return
        self._fixed = np.array([np.nan if value is None else value for value in shares], float)
        if len(self._table):
            self.dataChanged.emit(
                self.index(0, self.FIXED), self.index(len(self._table) - 1, self.FIXED)
            )

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; -1 is the order by area times confidence."""
        self._sorted = column, order
        self.layoutAboutToBeChanged.emit()
        kept = [int(self._order[index.row()]) for index in self.persistentIndexList()]
        columns = [index.column() for index in self.persistentIndexList()]
        before = self.persistentIndexList()
        self._sort()
        place = np.empty(len(self._order), np.intp)
        place[self._order] = np.arange(len(self._order))
        after = [self.index(int(place[row]), at) for row, at in zip(kept, columns, strict=True)]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _sort(self) -> None:
        column, order = self._sorted
        if column < 0:
            self._order = np.arange(len(self._table))
            return
        key = self._key(column)
        known = ~np.isnan(key) if key.dtype.kind == "f" else np.ones(len(key), bool)
        # What has no number stands last in either direction.
        places = np.flatnonzero(known)
        ranks = np.unique(key[places], return_inverse=True)[1]
        sign = 1 if order == Qt.SortOrder.AscendingOrder else -1
        ordered = places[np.argsort(sign * ranks, kind="stable")]
        self._order = np.concatenate([ordered, np.flatnonzero(~known)])

    def _key(self, column: int) -> NDArray[Any]:
        rows, area = self._table.rows, self._table.rows["area"]
        if column == self.IMAGE:
            return np.array(self._table.samples, object)[rows["sample"]].astype(str)
        if column in (self.TARGET, self.PREDICTION):
            field = rows["target" if column == self.TARGET else "prediction"]
            return np.array([self._name(int(value)) for value in field], str)
        if column == self.KIND:
            return np.asarray(rows["kind"])
        if column == self.FIXED:
            return self._fixed
        if column == self.AREA:
            return np.asarray(area)
        name, full = {
            self.ENTROPY: ("entropy_sum", 255.0),
            self.CONFIDENCE: ("confidence_sum", 255.0),
            self.RUNNER_UP: ("runner_up_right", 1.0),
        }[column]
        return np.where(rows[name] == UNKNOWN, np.nan, rows[name] / (full * area))

    # -- questions ----------------------------------------------------------------------------

    @property
    def table(self) -> RegionTable:
        """The regions as they were given."""
        return self._table

    def region(self, row: int) -> ErrorRegion:
        """Return a row's region."""
        return self._table.region(int(self._order[row]))

    def corrected(self, row: int) -> float | None:
        """Return how much of a row's region is put right, None where nothing was corrected."""
        value = float(self._fixed[self._order[row]])
        return None if value != value else value

    def _name(self, index: int) -> str:
        if index == IGNORED:
            return "no class"
        return self._names[index] if index < len(self._names) else str(index)

    # -- Qt -----------------------------------------------------------------------------------

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of regions."""
        return 0 if parent.isValid() else len(self._table)

    def columnCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(self.HEADERS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a column's title; its tool tip says what it is."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.HEADERS):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.HEADERS[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.HINTS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole and self._is_number(section):
            return _RIGHT
        return None

    def _is_number(self, column: int) -> bool:
        return column in (self.AREA, self.ENTROPY, self.CONFIDENCE, self.RUNNER_UP, self.FIXED)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid() or index.row() >= len(self._table):
            return None
        row, column = index.row(), index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(row, column)
        if role == Qt.ItemDataRole.TextAlignmentRole and self._is_number(column):
            return _RIGHT
        if role == self.RegionRole:
            return self.region(row)
        if role == self.ColorRole and column in (self.TARGET, self.PREDICTION):
            region = self.region(row)
            value = region.target if column == self.TARGET else region.prediction
            there = value is not None and value < len(self._colors)
            return self._colors[value] if there else None  # type: ignore[index]
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tip(self.region(row))
        return None

    def _text(self, row: int, column: int) -> str:
        region = self.region(row)
        if column == self.IMAGE:
            return region.sample_id.rpartition("/")[2]
        if column == self.TARGET:
            return self._name(region.target)
        if column == self.PREDICTION:
            return self._name(IGNORED if region.prediction is None else region.prediction)
        if column == self.AREA:
            return f"{region.area:,}".replace(",", "\u202f")
        if column == self.KIND:
            return kind_title(region.kind)
        if column == self.RUNNER_UP:
            share = region.runner_up_share
            return NO_NUMBER if share is None else f"{100 * share:.0f} %"
        if column == self.FIXED:
            return self._fixed_text(self.corrected(row))
        return number(region.mean_entropy if column == self.ENTROPY else region.mean_confidence)

    @staticmethod
    def _fixed_text(share: float | None) -> str:
        if share is None:
            return NO_NUMBER
        # 99.6 % is not fixed.
        return "fixed" if share >= 1 else f"{int(100 * share)} %"

    def _tip(self, region: ErrorRegion) -> str:
        parts = [
            f"{region.sample_id}, row {region.anchor[0]}, column {region.anchor[1]}",
            f"{region.box.height} x {region.box.width} pixels",
        ]
        if region.mean_distance is not None:
            parts.append(f"{region.mean_distance:.1f} px from the nearest boundary on average")
        if region.min_entropy is not None:
            parts.append(f"lowest entropy {region.min_entropy:.2f}")
        return "\n".join(parts)
