"""What models make of the categories of another label space, as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Qt

from segstudio.ui.models import share
from segstudio.ui.models.legend import short_name
from segstudio.ui.models.scores import RowTable
from segstudio.ui.palettes import ClassColor

__all__ = ["CategoryRow", "CategoryTableModel"]

Index = QModelIndex | QPersistentModelIndex

NO_CLASS = "out of the label space"

_LEFT = int(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)


@dataclass(frozen=True, slots=True)
class CategoryRow:
    """One category under one model; NaN where a number does not exist.

    Attributes
    ----------
    name : str
    color : ClassColor
    run : str
    mapped_to : tuple of str
        Classes that are right, empty out of the label space.
    images, pixels : int
    recall, mean_entropy, confident : float
        Share of its pixels that are right; in log C; share of its wrong pixels that are sure.
    taken_for : tuple of (str, float)
        Wrong classes with their share of its pixels.
    """

    name: str
    color: ClassColor
    run: str
    mapped_to: tuple[str, ...]
    images: int
    pixels: int
    recall: float
    mean_entropy: float
    confident: float
    taken_for: tuple[tuple[str, float], ...]


class CategoryTableModel(RowTable[CategoryRow]):
    """One row per category and model."""

    NAME, MODEL, BECOMES, IMAGES, PIXELS, RECALL, TAKEN, ENTROPY, CONFIDENT = range(9)

    headers = (
        "Category",
        "Run",
        "Becomes",
        "Images",
        "Pixels",
        "Recall",
        "Taken for",
        "Entropy",
        "Wrong and sure",
    )
    _words = (MODEL, BECOMES, TAKEN)
    hints = (
        "Of the ground truth",
        "",
        "The class that it is mapped to; the tool tip names those that are right as well",
        "Images that hold it",
        "Its pixels in them",
        "Share of its pixels predicted as a class that its mapping allows",
        "The classes it is most often taken for, with their share of its pixels",
        "Mean entropy of its pixels, as a share of log C",
        "Share of its wrong pixels with entropy below the threshold",
    )

    def value(self, row: int, column: int) -> Any:
        """Return a cell's value."""
        entry = self._rows[row]
        return (
            short_name(entry.name),
            entry.run,
            short_name(entry.mapped_to[0]) if entry.mapped_to else NO_CLASS,
            entry.images,
            entry.pixels,
            entry.recall,
            ", ".join(f"{short_name(name)} {100 * part:.0f} %" for name, part in entry.taken_for),
            entry.mean_entropy,
            share(entry.confident),
        )[column]

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a column's title, above words as they stand; see `RowTable`."""
        if role == Qt.ItemDataRole.TextAlignmentRole and section in self._words:
            return _LEFT
        return super().headerData(section, orientation, role)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if index.isValid() and index.row() < len(self._rows):
            entry, column = self._rows[index.row()], index.column()
            if role == self.ColorRole and column == self.NAME:
                return entry.color
            if role == self.SortRole and column == self.CONFIDENT:
                return -1.0 if entry.confident != entry.confident else entry.confident
            if role == Qt.ItemDataRole.ToolTipRole:
                if column == self.BECOMES:
                    return "; ".join(entry.mapped_to) or NO_CLASS
                return self.value(index.row(), column) if column == self.TAKEN else None
            if role == Qt.ItemDataRole.TextAlignmentRole and column in self._words:
                return _LEFT
        return super().data(index, role)
