"""Slices of a run as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Qt

from segstudio.ui.models import number, share
from segstudio.ui.models.scores import RowTable, interval_text

__all__ = ["SliceRow", "SliceTableModel"]

Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One slice; NaN where a number does not exist.

    Attributes
    ----------
    name : str
        The value of the column.
    samples, pixels : int
        Images and their labelled pixels.
    miou, accuracy : float
        Mean IoU and pixel accuracy, pooled.
    miou_interval, accuracy_interval : (float, float)
        Their 95 % intervals.
    confident : float
        Share of the wrong pixels that the model was sure of.
    ece : float
        Expected calibration error.
    """

    name: str
    samples: int
    pixels: int
    miou: float
    miou_interval: tuple[float, float]
    accuracy: float
    accuracy_interval: tuple[float, float]
    confident: float
    ece: float


class SliceTableModel(RowTable[SliceRow]):
    """One row per slice."""

    NAME, SAMPLES, MIOU, MIOU_RANGE, ACCURACY, ACCURACY_RANGE, CONFIDENT, ECE, PIXELS = range(9)

    headers = (
        "Slice",
        "Images",
        "mIoU",
        "95 % interval",
        "Pixel accuracy",
        "95 % interval",
        "Wrong and sure",
        "ECE",
        "Pixels",
    )
    hints = (
        "The value of the column",
        "Scored images of the slice",
        "Mean IoU of the slice, its counts added up first",
        "95 % of 1,000 draws of as many images with replacement; none for a single image",
        "Share of the labelled pixels that are right",
        "95 % of 1,000 draws of as many images with replacement; none for a single image",
        "Share of the wrong pixels whose entropy is below 0.10 log C",
        "Expected calibration error, 15 bins of equal width",
        "Labelled pixels of the slice",
    )

    def value(self, row: int, column: int) -> Any:
        """Return a cell's value."""
        entry = self._rows[row]
        return (
            entry.name,
            entry.samples,
            entry.miou,
            interval_text(entry.miou_interval),
            entry.accuracy,
            interval_text(entry.accuracy_interval),
            share(entry.confident),
            number(entry.ece, 3),
            entry.pixels,
        )[column]

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if index.isValid() and index.row() < len(self._rows):
            entry, column = self._rows[index.row()], index.column()
            if role == self.IntervalRole:
                intervals = {self.MIOU: entry.miou_interval, self.ACCURACY: entry.accuracy_interval}
                return intervals.get(column)
            if role == self.SortRole:
                keys = {
                    self.MIOU_RANGE: entry.miou_interval[0],
                    self.ACCURACY_RANGE: entry.accuracy_interval[0],
                    self.CONFIDENT: entry.confident,
                    self.ECE: entry.ece,
                }
                if column in keys:
                    value = keys[column]
                    return -1.0 if value != value else value
        return super().data(index, role)
