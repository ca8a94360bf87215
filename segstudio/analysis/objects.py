"""Scores by object size: whether it is the small objects that are lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.components import Components
from segstudio.analysis.taxonomy import LabelledErrors
from segstudio.core.errors import UsageError
from segstudio.metrics.scores import ClassTotals, iou, mean_defined

__all__ = ["SIZE_EDGES", "SizeCounts", "check_size_edges", "count_by_size", "size_iou", "size_miou"]

SIZE_EDGES = (32**2, 96**2)
"""Areas in pixels at which the next bin begins: below 32², from 32² on, from 96² on."""


@dataclass(frozen=True, slots=True, eq=False)
class SizeCounts:
    """Counts by object size, of one sample or of several added up.

    An object is a connected component of one class, ignored pixels belonging to none.  Right
    pixels (TP) and missed pixels (FN) belong to the bin of the target component that holds them,
    false positives (FP) to that of the predicted component that holds them [1]_.

    Attributes
    ----------
    hits, missed, false : ndarray of shape (B, C), int64
        TP, FN and FP by bin and class.

    References
    ----------
    .. [1] R. Strudel et al., "Segmenter: Transformer for Semantic Segmentation", ICCV 2021,
       table 4, reports mIoU by object size; the rule for FP is SegStudio's.
    """

    hits: NDArray[np.int64]
    missed: NDArray[np.int64]
    false: NDArray[np.int64]


def check_size_edges(edges: Sequence[int]) -> tuple[int, ...]:
    """Return the edges, checked.

    Raises
    ------
    UsageError
        When they do not ascend from 1 pixel on.
    """
    if any(after <= before for before, after in zip((0, *edges), edges, strict=False)):
        raise UsageError(f"Size bins need ascending areas in pixels, not {list(edges)}.")
    return tuple(edges)


def count_by_size(errors: LabelledErrors, *, edges: Sequence[int] = SIZE_EDGES) -> SizeCounts:
    """Return the counts of one sample.

    Parameters
    ----------
    errors : LabelledErrors
        The sample.
    edges : sequence of int
        Areas at which the next bin begins, ascending.

    Raises
    ------
    UsageError
        When the edges do not ascend.
    """
    edges = check_size_edges(edges)
    classes = errors.pair.classes
    places = errors.pair.wrong[errors.first]
    sizes = np.bincount(errors.region_of, minlength=len(errors.first))

    def binned(components: Components, *, right: bool) -> NDArray[np.int64]:
        holder = components.ids.reshape(-1)[places]
        pixels = np.bincount(holder, weights=sizes, minlength=len(components.areas))
        if right:
            pixels = components.areas - pixels
        table = np.zeros((len(edges) + 1, classes), np.int64)
        which = np.searchsorted(edges, components.areas[1:], side="right")
        np.add.at(table, (which, components.values[1:]), pixels[1:].astype(np.int64))
        return table

    return SizeCounts(
        binned(errors.targets, right=True),
        binned(errors.targets, right=False),
        binned(errors.predictions, right=False),
    )


def size_iou(counts: SizeCounts) -> NDArray[np.float64]:
    """IoU by bin and class, shape (B, C), NaN where neither side holds such objects."""
    return iou(ClassTotals(counts.hits, counts.hits + counts.missed, counts.hits + counts.false))


def size_miou(counts: SizeCounts) -> NDArray[np.float64]:
    """Mean of `size_iou` over the classes of each bin that have one, shape (B,)."""
    return mean_defined(size_iou(counts))
