"""Where on the object a model is right: outlines, inside, and objects by size, per class."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QFont

from segstudio.analysis.definitions import ERROR_DEFINITIONS
from segstudio.ui.models import share
from segstudio.ui.models.scores import NumberTable
from segstudio.ui.palettes import ClassColor

__all__ = ["ObjectRow", "ObjectTableModel", "size_titles"]

Index = QModelIndex | QPersistentModelIndex
_NO_PARENT = QModelIndex()


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """One class; NaN where a number does not exist.

    Attributes
    ----------
    name : str
    color : ClassColor or None
        None for the mean.
    iou, boundary_iou, inside : float
        Pooled IoU, Boundary IoU, and IoU if all boundary errors were right.
    boundary_share : float
        Of the wrong pixels.
    sizes : tuple of float
        IoU by object size, the smallest first.
    """

    name: str
    color: ClassColor | None
    iou: float
    boundary_iou: float
    inside: float
    boundary_share: float
    sizes: tuple[float, ...]


def size_titles(edges: Sequence[int]) -> list[str]:
    """Return the headings of size bins from the areas at which the next begins."""
    sides = [round(edge**0.5) for edge in edges]
    if not sides:
        return ["all sizes"]
    squared = "\N{SUPERSCRIPT TWO}"
    titles = [f"below {sides[0]}{squared} px"]
    titles += [
        f"{low}{squared} \N{EN DASH} {high}{squared}" for low, high in itertools.pairwise(sides)
    ]
    return [*titles, f"from {sides[-1]}{squared} on"]


class ObjectTableModel(NumberTable):
    """One row per class; the last is the mean over classes."""

    NAME, IOU, BOUNDARY, INSIDE, SHARE, SIZES = range(6)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._rows: tuple[ObjectRow, ...] = ()
        self._edges: tuple[int, ...] = ()
        self._set_headers()

    def set_rows(self, rows: Sequence[ObjectRow], edges: Sequence[int]) -> None:
        """Show other classes, the mean in the last row; ``edges`` are areas of size bins."""
        self.beginResetModel()
        self._rows, self._edges = tuple(rows), tuple(edges)
        self._set_headers()
        self.endResetModel()

    def _set_headers(self) -> None:
        sizes = size_titles(self._edges)
        self.headers = ("Class", "IoU", "Boundary IoU", "Inside", "At boundaries", *sizes)
        self.hints = (
            "",
            "Intersection over union of the analysed images, pooled",
            ERROR_DEFINITIONS["boundary_iou"],
            ERROR_DEFINITIONS["inside"],
            ERROR_DEFINITIONS["boundary share"],
            *(f"IoU of objects of this area. {ERROR_DEFINITIONS['by size']}" for _ in sizes),
        )

    def rowCount(self, parent: Index = _NO_PARENT) -> int:
        """Return the number of classes and the row of the mean."""
        return 0 if parent.isValid() else len(self._rows)

    def is_mean(self, row: int) -> bool:
        """Whether a row is the mean over classes."""
        return row == len(self._rows) - 1

    def value(self, row: int, column: int) -> Any:
        """Return a cell's value."""
        entry = self._rows[row]
        if column >= self.SIZES:
            return entry.sizes[column - self.SIZES]
        return (
            entry.name,
            entry.iou,
            entry.boundary_iou,
            entry.inside,
            share(entry.boundary_share),
        )[column]

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows; the mean is bold."""
        if index.isValid() and index.row() < len(self._rows):
            entry = self._rows[index.row()]
            if role == self.ColorRole and index.column() == self.NAME:
                return entry.color
            if role == self.SortRole and index.column() == self.SHARE:
                value = entry.boundary_share
                return -1.0 if value != value else value
            if role == Qt.ItemDataRole.FontRole and self.is_mean(index.row()):
                font = QFont()
                font.setWeight(QFont.Weight.DemiBold)
                return font
        return super().data(index, role)
