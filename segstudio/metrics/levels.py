"""Histograms of stored entropy and confidence by target class and by right or wrong."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import SizeMismatchError, UsageError
from segstudio.core.types import LabelMap
from segstudio.metrics.confusion import aligned_flat

__all__ = ["LEVELS", "check_levels", "count_levels", "count_uncertainty", "masked_sum"]

LEVELS = 256
"""Levels of stored entropy and confidence."""

_PIXELS_PER_TABLE = 1 << 31


def masked_sum(levels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> int:
    """Return the levels summed over a mask."""
    return int((levels * mask).sum(dtype=np.int64))


def check_levels(levels: NDArray[Any], what: str, shape: tuple[int, ...], name: str) -> None:
    """Refuse levels of another size or type; ``what`` and ``name`` are for the sentence.

    Raises
    ------
    SizeMismatchError, UsageError
    """
    of = f" of {name}" if name else ""
    if levels.dtype != np.uint8:
        raise UsageError(f"The {what}{of} must be given as levels 0..255, not as {levels.dtype}.")
    if levels.shape != shape:
        raise SizeMismatchError(
            f"The {what}{of} has {' x '.join(map(str, levels.shape))} pixels, but its ground truth "
            f"has {' x '.join(map(str, shape))}; run the model again."
        )


def count_levels(
    module: ModuleType | None,
    target: LabelMap,
    prediction: LabelMap,
    levels: NDArray[np.uint8],
    classes: int,
) -> NDArray[np.int64]:
    """Return the (C, 2, 256) histogram of one kind of levels."""
    if module is None:
        return _levels_numpy(target, prediction, levels, classes)
    return _levels_compiled(module, target, prediction, levels, classes)


def _levels_numpy(
    target: LabelMap, prediction: LabelMap, levels: NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """Return the (C, 2, 256) histogram by `numpy.bincount`, some rows of the image at a time."""
    total = np.zeros(classes * 2 * LEVELS, np.int64)
    step = max(1, (1 << 18) // max(1, target.shape[1]))
    for top in range(0, target.shape[0], step):
        here = target[top : top + step]
        labelled = here < classes
        cells = here[labelled].astype(np.intp)
        cells <<= 1
        cells |= (here != prediction[top : top + step])[labelled]
        cells <<= 8
        cells |= levels[top : top + step][labelled]
        total += np.bincount(cells, minlength=len(total))
    return total.reshape(classes, 2, LEVELS)


def _levels_compiled(
    module: ModuleType,
    target: LabelMap,
    prediction: LabelMap,
    levels: NDArray[np.uint8],
    classes: int,
) -> NDArray[np.int64]:
    """Return the (C, 2, 256) histogram by the compiled loop."""
    flats: Sequence[NDArray[Any]] = [aligned_flat(part) for part in (target, prediction, levels)]
    total = np.zeros((classes + 1) * 2 * LEVELS, np.int64)
    for start in range(0, target.size, _PIXELS_PER_TABLE):
        tables = np.zeros((4, len(total)), np.uint32)
        module.add_levels(
            *(flat[start : start + _PIXELS_PER_TABLE] for flat in flats), classes, tables
        )
        total += tables.sum(0, dtype=np.int64)
    return total.reshape(classes + 1, 2, LEVELS)[:classes]


def count_uncertainty(
    module: ModuleType,
    target: LabelMap,
    prediction: LabelMap,
    levels: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]],
    classes: int,
) -> tuple[list[NDArray[np.int64] | None], tuple[int, int]]:
    """Return both (C, 2, 256) histograms, and sum and pixels of the band, in one pass.

    Parameters
    ----------
    levels : tuple of (H, W) ndarray, uint8
        Entropy, confidence, band (0 or 1).
    """
    # Every 8-bit value has a row: making all ignored ones C would be one more pass.
    narrow = target.dtype == np.uint8
    rows = target if narrow else np.minimum(target, target.dtype.type(classes))
    count = LEVELS if narrow else classes + 1
    flats = [aligned_flat(part) for part in (rows, prediction, *levels)]
    totals = np.zeros((2, count * 2 * LEVELS), np.int64)
    edge = np.zeros(2, np.int64)
    for start in range(0, target.size, _PIXELS_PER_TABLE):
        tables = np.zeros((2, 2, totals.shape[1]), np.uint32)
        parts = (flat[start : start + _PIXELS_PER_TABLE] for flat in flats)
        module.add_uncertainty(*parts, *tables, edge)
        totals += tables.sum(1, dtype=np.int64)
    both = totals.reshape(2, count, 2, LEVELS)[:, :classes]
    return [both[0], both[1]], (int(edge[0]), int(edge[1]))
