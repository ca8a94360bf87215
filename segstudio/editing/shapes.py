"""Areas that are drawn: polygon, rectangle, ellipse.

As for the brush, a pixel belongs to an area when its centre (r + 0.5, c + 0.5) lies inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segstudio.core.types import BBox, Mask
from segstudio.editing.geometry import FARTHEST, Point

__all__ = ["box_between", "ellipse_mask", "is_position", "polygon_mask"]


def is_position(point: Point) -> bool:
    """Return whether both coordinates are finite and not absurdly far away."""
    return abs(point[0]) <= FARTHEST and abs(point[1]) <= FARTHEST


def polygon_mask(points: Sequence[Point], *, height: int, width: int) -> tuple[BBox, Mask] | None:
    """Return the pixels inside a closed line.

    Inside is where the line winds around at least once, so that a lasso that crosses itself leaves
    no hole.

    Parameters
    ----------
    points : sequence of (row, col)
        Corners; the last is joined with the first.  Points that are no position are left out.
    height, width : int
        Size of the image; pixels outside are left away.

    Returns
    -------
    (BBox, ndarray of bool) or None
        A box inside the image and the pixels in it; None when there are none.
    """
    corners = np.array([point for point in points if is_position(point)], np.float64)
    if len(corners) < 3:
        return None
    low, high = corners.min(axis=0), corners.max(axis=0)
    box = _centres_between(low[0], low[1], high[0], high[1]).clipped(height, width)
    if box.is_empty:
        return None
    rows, columns, signs = _crossings(corners, np.roll(corners, -1, axis=0), box)
    winding = np.zeros((box.height, box.width + 1), np.int16)
    np.add.at(winding, (rows, columns), signs)
    np.cumsum(winding, axis=1, out=winding)
    mask = winding[:, :-1] != 0
    return (box, mask) if mask.any() else None


def _crossings(
    starts: np.ndarray, ends: np.ndarray, box: BBox
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, column and sign of each crossing of an edge with a row of pixel centres.

    Rows and columns count from the box; a crossing lies before the column's centre.
    """
    upper = np.minimum(starts[:, 0], ends[:, 0])
    lower = np.maximum(starts[:, 0], ends[:, 0])
    # Half open, so that a corner on a row of centres is crossed once, not twice.
    first = np.clip(np.ceil(upper - 0.5), box.top, box.bottom).astype(np.int64)
    last = np.clip(np.ceil(lower - 0.5), box.top, box.bottom).astype(np.int64)
    counts = last - first
    edge = np.repeat(np.arange(len(counts)), counts)
    rows = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    begin, end = starts[edge], ends[edge]
    share = (rows + 0.5 - begin[:, 0]) / (end[:, 0] - begin[:, 0])
    at = begin[:, 1] + share * (end[:, 1] - begin[:, 1])
    columns = np.clip(np.ceil(at - 0.5), box.left, box.right).astype(np.int64) - box.left
    signs = np.where(end[:, 0] > begin[:, 0], 1, -1).astype(np.int16)
    return rows - box.top, columns, signs


def box_between(start: Point, end: Point, *, height: int, width: int) -> BBox:
    """Return the pixels whose centres lie between two corners; empty when there are none."""
    if not (is_position(start) and is_position(end)):
        return BBox(0, 0, 0, 0)
    return _centres_between(
        min(start[0], end[0]),
        min(start[1], end[1]),
        max(start[0], end[0]),
        max(start[1], end[1]),
    ).clipped(height, width)


def ellipse_mask(start: Point, end: Point, box: BBox) -> Mask:
    """Return which pixels of ``box`` lie in the ellipse that fills the box between two corners.

    Parameters
    ----------
    start, end : (row, col)
        Two opposite corners.
    box : BBox
        From `box_between`.
    """
    half_height, half_width = abs(end[0] - start[0]) / 2, abs(end[1] - start[1]) / 2
    rows = np.arange(box.top + 0.5, box.bottom) - (start[0] + end[0]) / 2
    columns = np.arange(box.left + 0.5, box.right) - (start[1] + end[1]) / 2
    down = np.square(rows / max(half_height, 1e-9))
    across = np.square(columns / max(half_width, 1e-9))
    mask: Mask = down[:, None] + across[None] <= 1
    return mask


def _centres_between(top: float, left: float, bottom: float, right: float) -> BBox:
    return BBox(
        math.ceil(top - 0.5),
        math.ceil(left - 0.5),
        math.floor(bottom - 0.5) + 1,
        math.floor(right - 0.5) + 1,
    )
