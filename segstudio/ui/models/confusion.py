"""What of a confusion matrix is shown, and how: order, share, what is left out. No Qt."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from segstudio.metrics.scores import iou
from segstudio.ui.palettes import ClassColor

__all__ = [
    "ClassGroup",
    "ClassOrder",
    "ConfusionData",
    "ConfusionView",
    "Scale",
    "merge_classes",
    "view_confusion",
]

NO_CLASS = "no class"
"""Heading of the column of ignored predictions."""


class Scale(Enum):
    """What a cell says; the value is what a person reads."""

    TARGET = "Share of ground truth"
    PREDICTION = "Share of prediction"
    PIXELS = "Pixels"


class ClassOrder(Enum):
    """Order of the classes; the value is what a person reads."""

    SPACE = "Order of the label space"
    FREQUENCY = "Most frequent first"
    IOU = "Lowest IoU first"
    ERRORS = "Most wrong pixels first"
    NAME = "By name"


@dataclass(frozen=True, slots=True, eq=False)
class ConfusionData:
    """The confusion matrix of a run.

    Attributes
    ----------
    counts : ndarray of shape (C, C + 1), int64
        Pixels by (target, prediction); column C holds ignored predictions.
    names : tuple of str
        Of the C classes, short.
    colors : tuple of ClassColor
    """

    counts: NDArray[np.int64]
    names: tuple[str, ...]
    colors: tuple[ClassColor, ...]

    def name(self, index: int) -> str:
        """Return a class's name; that of index C stands for ignored predictions."""
        return self.names[index] if index < len(self.names) else NO_CLASS

    def describe(self, target: int, prediction: int) -> str:
        """Return one sentence on a cell."""
        pixels = int(self.counts[target, prediction])
        of_target = int(self.counts[target].sum())
        of_prediction = int(self.counts[:, prediction].sum())
        if target == prediction:
            words = f"{self.name(target)} found"
        elif prediction == len(self.names):
            words = f"{self.name(target)} given no class"
        else:
            words = f"{self.name(target)} called {self.name(prediction)}"
        parts = [f"{words}:  {pixels:,} px".replace(",", "\u202f")]
        if of_target:
            parts.append(f"{_share(pixels, of_target)} of its ground truth")
        if of_prediction and prediction < len(self.names):
            share = _share(pixels, of_prediction)
            parts.append(f"{share} of what is predicted as {self.name(prediction)}")
        return "  ·  ".join(parts)


@dataclass(frozen=True, slots=True)
class ClassGroup:
    """Classes that are looked at as one.

    Attributes
    ----------
    name : str
    members : tuple of int
        Class indices, ascending.
    """

    name: str
    members: tuple[int, ...]


def merge_classes(
    data: ConfusionData, groups: Sequence[ClassGroup]
) -> tuple[ConfusionData, tuple[tuple[int, ...], ...]]:
    """Return the matrix with groups of classes as one class each.

    A group stands where its first member stood and has its colour; what its members are confused
    with each other lies on its diagonal.

    Parameters
    ----------
    data : ConfusionData
    groups : sequence of ClassGroup
        Without common members.

    Returns
    -------
    ConfusionData
    members : tuple of tuple of int
        Of each class of the result, the class indices of ``data``.
    """
    classes = len(data.names)
    grouped = {group.members[0]: group for group in groups if group.members}
    inside = {member for group in grouped.values() for member in group.members}
    members: list[tuple[int, ...]] = []
    names: list[str] = []
    colors: list[ClassColor] = []
    for index in range(classes):
        if index in grouped:
            members.append(grouped[index].members)
            names.append(grouped[index].name)
        elif index in inside:
            continue
        else:
            members.append((index,))
            names.append(data.names[index])
        colors.append(data.colors[index])
    place = np.zeros(classes + 1, np.intp)
    for number, part in enumerate(members):
        place[list(part)] = number
    place[classes] = len(members)
    counts = np.zeros((len(members), len(members) + 1), np.int64)
    rows = np.broadcast_to(place[:classes, None], data.counts.shape)
    columns = np.broadcast_to(place[None, :], data.counts.shape)
    np.add.at(counts, (rows, columns), data.counts)
    return ConfusionData(counts, tuple(names), tuple(colors)), tuple(members)


def _share(part: int, whole: int) -> str:
    per_cent = 100 * part / whole
    return "<0.01 %" if 0 < per_cent < 0.005 else f"{per_cent:.2f} %"


@dataclass(frozen=True, slots=True, eq=False)
class ConfusionView:
    """The cells that are shown.

    Attributes
    ----------
    rows, columns : ndarray of int
        Class index of each row (ground truth) and column (prediction).
    values : ndarray of shape (R, K), float64
        Share 0..1 or pixels; NaN where there is nothing to divide by, or the cell is left out.
    strength : ndarray of shape (R, K), float64
        0..1, the square root of the value over ``peak``: small shares stay visible.
    peak : float
        The value that has full strength, 0 without any.
    scale : Scale
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    values: NDArray[np.float64]
    strength: NDArray[np.float64]
    peak: float
    scale: Scale


def view_confusion(
    data: ConfusionData,
    *,
    scale: Scale = Scale.TARGET,
    order: ClassOrder = ClassOrder.SPACE,
    diagonal: bool = True,
    hidden: Collection[int] = (),
) -> ConfusionView:
    """Choose and order cells.

    Classes that neither side holds are left out, and so is the column of ignored predictions while
    it is empty.  Shares are of all pixels, those of hidden classes too.

    Parameters
    ----------
    data : ConfusionData
    scale : Scale
    order : ClassOrder
    diagonal : bool
        False leaves out the right pixels, so that errors have the whole range of colours.
    hidden : collection of int
        Class indices without row and column; C hides the column of ignored predictions.
    """
    counts = data.counts
    classes = len(data.names)
    there = (counts.sum(1) + counts[:, :classes].sum(0)) > 0
    ranked = _ranked(data, order)
    rows = np.array([index for index in ranked if there[index] and index not in hidden], np.intp)
    extra = [classes] if counts[:, classes].any() and classes not in hidden else []
    columns = np.concatenate([rows, np.array(extra, np.intp)])
    values = counts[np.ix_(rows, columns)].astype(np.float64)
    if scale is not Scale.PIXELS:
        if scale is Scale.TARGET:
            whole = counts.sum(1)[rows][:, None]
        else:
            whole = counts.sum(0)[columns][None, :]
        whole = np.broadcast_to(whole, values.shape)
        values = np.divide(values, whole, out=np.full(values.shape, np.nan), where=whole > 0)
    if not diagonal:
        values[rows[:, None] == columns[None, :]] = np.nan
    known = np.nan_to_num(values)
    peak = float(known.max(initial=0.0))
    strength = np.sqrt(known / peak) if peak else np.zeros_like(known)
    return ConfusionView(rows, columns, values, strength, peak, scale)


def _ranked(data: ConfusionData, order: ClassOrder) -> list[int]:
    counts = data.counts
    if order is ClassOrder.NAME:
        return sorted(range(len(counts)), key=lambda index: data.names[index].lower())
    if order is ClassOrder.FREQUENCY:
        key = -counts.sum(1).astype(np.float64)
    elif order is ClassOrder.IOU:
        key = np.nan_to_num(iou(counts), nan=2.0)
    elif order is ClassOrder.ERRORS:
        classes = len(counts)
        right = np.diagonal(counts)
        key = -(counts.sum(1) + counts[:, :classes].sum(0) - 2 * right).astype(np.float64)
    else:
        key = np.arange(len(counts), dtype=np.float64)
    return [int(index) for index in np.argsort(key, kind="stable")]
