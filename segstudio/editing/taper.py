"""What a brush covers that grows or shrinks on its way, as under a pen that is pressed harder."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from segstudio.core.types import BBox, Mask
from segstudio.editing.geometry import (
    BrushShape,
    Point,
    boxes_beside,
    runs_between,
    standing_runs,
)

__all__ = ["tapered_bands"]

_SLACK = 1e-6
"""Pixels by which rounding may miss, as of a brush that keeps its size."""

_Column = NDArray[np.float64]


def tapered_bands(
    start: Point,
    end: Point,
    sizes: tuple[int, int],
    *,
    shape: BrushShape,
    height: int,
    width: int,
    painted: bool = False,
) -> Iterator[tuple[BBox, Mask]]:
    """Yield the pixels that a brush covers between two points, from one size to another.

    The size changes evenly on the way, so the area is the smallest convex one around the brush at
    both ends.  A pixel is covered when its centre is: a hard edge.

    Parameters
    ----------
    start, end : (float, float)
        Row and column of the brush's centre, from `segstudio.editing.geometry.anchor`.
    sizes : (int, int)
        Diameter or edge in pixels at the start and at the end, at least 1.
    shape : {"round", "square"}
        The brush.
    height, width : int
        Size of the image; pixels outside are left away.
    painted : bool
        Whether what the brush covers at ``start`` was painted before; see
        `segstudio.editing.geometry.swept_bands`.

    Yields
    ------
    (BBox, ndarray of bool)
        Boxes inside the image that do not overlap, and the covered pixels in each.
    """
    radii = sizes[0] / 2 + _SLACK, sizes[1] / 2 + _SLACK
    reach_up = min(start[0] - radii[0], end[0] - radii[1])
    reach_down = max(start[0] + radii[0], end[0] + radii[1])
    top, bottom = max(0, math.ceil(reach_up - 0.5)), min(height, math.floor(reach_down - 0.5) + 1)
    if top >= bottom:
        return
    ends = _round_ends if shape == "round" else _square_ends
    rows = np.arange(top + 0.5, bottom, dtype=np.float64)
    runs = runs_between(top, *ends(rows, start, end, radii), width)
    if runs is not None:
        before = None
        if painted:
            before = standing_runs(start, sizes[0], shape=shape, height=height, width=width)
        yield from boxes_beside(runs, before)


def _round_ends(
    rows: _Column, start: Point, end: Point, radii: tuple[float, float]
) -> tuple[_Column, _Column]:
    """Return left and right end of each row's run under two disks and what lies between them.

    Between them lies the quadrilateral of the points where the outer tangents touch; where one
    disk holds the other there are no tangents, and the larger one is all.
    """
    low, high = _disk_ends(rows, start, radii[0])
    other_low, other_high = _disk_ends(rows, end, radii[1])
    low, high = np.minimum(low, other_low), np.maximum(high, other_high)
    down, right = end[0] - start[0], end[1] - start[1]
    length = math.hypot(down, right)
    if length <= abs(radii[0] - radii[1]):
        return low, high
    down, right = down / length, right / length
    along = (radii[0] - radii[1]) / length
    across = math.sqrt(max(0.0, 1.0 - along * along))
    corners = [
        (
            centre[0] + radius * (along * down + side * across * right),
            centre[1] + radius * (along * right - side * across * down),
        )
        for centre, radius, side in (
            (start, radii[0], 1),
            (end, radii[1], 1),
            (end, radii[1], -1),
            (start, radii[0], -1),
        )
    ]
    for (row, col), (next_row, next_col) in zip(corners, corners[1:] + corners[:1], strict=True):
        if row == next_row:
            continue  # an edge along a row ends at the edges beside it
        place = (rows - row) / (next_row - row)
        crossing = col + place * (next_col - col)
        inside = (place >= 0) & (place <= 1)
        low = np.where(inside, np.minimum(low, crossing), low)
        high = np.where(inside, np.maximum(high, crossing), high)
    return low, high


def _disk_ends(rows: _Column, centre: Point, radius: float) -> tuple[_Column, _Column]:
    offset = rows - centre[0]
    squared = radius * radius - offset * offset
    half = np.where(squared >= 0, np.sqrt(np.maximum(squared, 0)), -np.inf)
    return centre[1] - half, centre[1] + half


def _square_ends(
    rows: _Column, start: Point, end: Point, radii: tuple[float, float]
) -> tuple[_Column, _Column]:
    """Return left and right end of each row's run under an axis-parallel square that changes.

    A row is under the square during one stretch of the way, and the square's sides move straight:
    the columns follow from where the sides are at that stretch's ends.
    """
    down, right, grown = end[0] - start[0], end[1] - start[1], radii[1] - radii[0]
    offset = rows - start[0]
    first, last = np.zeros_like(rows), np.ones_like(rows)
    # The upper and the lower side: slope * t <= room, for t from 0 to 1.
    for slope, room in ((down - grown, offset + radii[0]), (-down - grown, radii[0] - offset)):
        if abs(slope) < 1e-12:
            last = np.where(room >= 0, last, -np.inf)
        elif slope > 0:
            last = np.minimum(last, room / slope)
        else:
            first = np.maximum(first, room / slope)
    covered = first <= last
    low, high = np.full_like(rows, np.inf), np.full_like(rows, -np.inf)
    for place in (first[covered], last[covered]):
        middle, radius = start[1] + right * place, radii[0] + grown * place
        low[covered] = np.minimum(low[covered], middle - radius)
        high[covered] = np.maximum(high[covered], middle + radius)
    return low, high
