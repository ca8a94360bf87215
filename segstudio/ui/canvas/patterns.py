"""Patterns in fills: what tells classes apart without their colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segstudio.core.types import BBox, LabelMap

__all__ = ["class_pattern"]

_PATTERN_SIZE = 8


def _patterns() -> list[NDArray[np.bool_]]:
    rows, columns = np.mgrid[:_PATTERN_SIZE, :_PATTERN_SIZE]
    rising, falling = (rows + columns) % 8 == 0, (rows - columns) % 8 == 0
    flat, upright = rows % 4 == 0, columns % 4 == 0
    dots = (rows % 4 < 2) & (columns % 4 < 2)
    nothing = np.zeros_like(rising)
    return [
        nothing,
        rising,
        falling,
        flat & (rows == 0),
        upright & (columns == 0),
        dots,
        rising | falling,
        (rows == 0) | (columns == 0),
    ]


_PATTERNS = _patterns()
"""What tells classes apart without their colours: (8, 8) tiles."""

_PATTERN_TABLE = np.concatenate([tile.reshape(-1) for tile in _PATTERNS])


def class_pattern(labels: LabelMap, box: BBox) -> NDArray[np.bool_]:
    """Return where the lines of the classes' patterns run.

    Parameters
    ----------
    labels : ndarray of shape (h, w)
        Class indices; every eighth class has the same pattern, the first has none.
    box : BBox
        Where they lie, so that patterns of neighbouring boxes join.
    """
    rows = np.arange(box.top, box.bottom) % _PATTERN_SIZE
    columns = np.arange(box.left, box.right) % _PATTERN_SIZE
    flat = (labels % len(_PATTERNS)).astype(np.int32) * _PATTERN_SIZE**2
    flat += (rows * _PATTERN_SIZE).astype(np.int32)[:, None]
    flat += columns.astype(np.int32)
    return _PATTERN_TABLE[flat]
