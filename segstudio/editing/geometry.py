"""Which pixels a brush covers on its way from one point to the next.

A pixel is covered when its centre (r + 0.5, c + 0.5) lies within the brush at some moment of the
way.  A round or square brush moved along a segment sweeps a convex shape, so every row of pixels is
covered in one run: two column numbers per row say everything, whatever the brush's size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segstudio.core.types import BBox, Mask

__all__ = [
    "FARTHEST",
    "BrushShape",
    "Point",
    "Runs",
    "anchor",
    "boxes_beside",
    "mask_bounds",
    "moved",
    "runs_between",
    "standing_runs",
    "swept_bands",
    "swept_brush",
]

BrushShape = Literal["round", "square"]

Point = tuple[float, float]
"""(row, col) in image pixels."""

_SLACK = 1e-6
"""Pixels by which rounding may miss; a centre on the rim is covered wherever the brush stands."""

FARTHEST = 1e8
"""Beyond, coordinates are no position any more and doubles no longer hold `_SLACK`."""

_BAND = 64
"""Rows that are looked at together when a large brush is cut into boxes."""

_WASTE = 1 << 14
"""Pixels that a box may have more than its parts: about what a box of its own costs."""

_SMALL = 128
"""Size and length in pixels up to which comparing distances in a box beats finding runs."""

_LOOP_FROM = 256
"""Columns from which filling row by row beats comparing whole boxes."""

_NOWHERE = np.iinfo(np.int32).max

_Column = NDArray[np.float64]

Runs = tuple[int, NDArray[np.int32], NDArray[np.int32]]
"""The first row, and each row's run of pixels ``first..last-1``."""


def anchor(row: float, col: float, size: int, shape: BrushShape) -> Point | None:
    """Return where the brush's centre stands for a pointer, None when it is nowhere.

    A round brush is centred on the pointer.  A square one keeps to the pixel grid, so that it
    always covers ``size`` x ``size`` pixels, and so does a round one of size 1: it is the pixel
    under the pointer.
    """
    if not (abs(row) <= FARTHEST and abs(col) <= FARTHEST):
        return None
    if shape == "round" and size > 1:
        return row, col
    if size % 2:
        return math.floor(row) + 0.5, math.floor(col) + 0.5
    return float(math.floor(row + 0.5)), float(math.floor(col + 0.5))


def swept_brush(
    start: Point, end: Point, size: int, *, shape: BrushShape, height: int, width: int
) -> tuple[BBox, Mask] | None:
    """Return the pixels that a brush covers while it moves along a segment.

    Parameters
    ----------
    start, end : (float, float)
        Row and column of the brush's centre, from `anchor`; equal for a single dab.
    size : int
        Diameter or edge in pixels, at least 1.
    shape : {"round", "square"}
        The brush.
    height, width : int
        Size of the image; pixels outside are left away.

    Returns
    -------
    (BBox, ndarray of bool) or None
        A box inside the image and the covered pixels in it; None when no pixel of the image is
        covered.
    """
    if _is_small(start, end, size, shape):
        return _near_segment(start, end, size, height, width)
    runs = _swept_runs(start, end, size, shape, height, width)
    return None if runs is None else _run_mask(*runs)


def swept_bands(
    start: Point,
    end: Point,
    size: int,
    *,
    shape: BrushShape,
    height: int,
    width: int,
    painted: bool = False,
) -> Iterator[tuple[BBox, Mask]]:
    """Yield what `swept_brush` returns in boxes that do not overlap; a small brush is one box.

    Parameters
    ----------
    start, end, size, shape, height, width
        As of `swept_brush`.
    painted : bool
        Whether what the brush covers at ``start`` was painted before.  A large brush then leaves
        it out: a step of it adds no more than a crescent, and only that is looked at.
    """
    if _is_small(start, end, size, shape):
        swept = _near_segment(start, end, size, height, width)
        if swept is not None:
            yield swept
        return
    runs = _swept_runs(start, end, size, shape, height, width)
    if runs is not None:
        before = _swept_runs(start, start, size, shape, height, width) if painted else None
        yield from boxes_beside(runs, before)


def boxes_beside(runs: Runs, before: Runs | None) -> Iterator[tuple[BBox, Mask]]:
    """Yield runs of pixels in boxes that hold little else, without those of an area in them.

    Parameters
    ----------
    runs : (int, ndarray, ndarray)
        First row, and each row's run ``first..last-1``.
    before : (int, ndarray, ndarray), optional
        Likewise what is left out; in no row may it reach beyond ``runs``.
    """
    top, first, last = runs
    if before is None:
        yield from _run_boxes(top, first, last)
        return
    # Rows that were not touched before have an empty run there, at their right end: all is left.
    begin, stop = last.copy(), last.copy()
    offset = before[0] - top
    there = slice(offset, offset + len(before[1]))
    touched = before[1] < before[2]
    begin[there] = np.where(touched, before[1], last[there])
    stop[there] = np.where(touched, before[2], last[there])
    yield from _run_boxes(top, first, begin)
    yield from _run_boxes(top, stop, last)


def _run_boxes(
    top: int, first: NDArray[np.int32], last: NDArray[np.int32]
) -> Iterator[tuple[BBox, Mask]]:
    """Cut runs of pixels, one per row from ``top``, into boxes that hold little else."""
    starts = np.arange(0, len(first), _BAND)
    filled = first < last
    lefts = np.minimum.reduceat(np.where(filled, first, _NOWHERE), starts).tolist()
    rights = np.maximum.reduceat(np.where(filled, last, -1), starts).tolist()
    box: tuple[int, int, int, int] | None = None  # rows from..to, columns from..to
    for row, left, right in zip(starts.tolist(), lefts, rights, strict=True):
        if right < 0:
            continue
        stop = min(row + _BAND, len(first))
        if box is not None:
            joined = box[0], stop, min(box[2], left), max(box[3], right)
            alone = (box[1] - box[0]) * (box[3] - box[2]) + (stop - row) * (right - left)
            if (joined[1] - joined[0]) * (joined[3] - joined[2]) <= alone + _WASTE:
                box = joined
                continue
            yield _run_mask(top + box[0], first[box[0] : box[1]], last[box[0] : box[1]])
        box = row, stop, left, right
    if box is not None:
        yield _run_mask(top + box[0], first[box[0] : box[1]], last[box[0] : box[1]])


def _run_mask(top: int, first: NDArray[np.int32], last: NDArray[np.int32]) -> tuple[BBox, Mask]:
    """Return the smallest box around runs of pixels, one per row from ``top``, and their mask."""
    covered = first < last
    left, right = int(first[covered].min()), int(last[covered].max())
    mask = _filled(first - left, last - left, right - left)
    return BBox(top, left, top + len(first), right), mask


def _is_small(start: Point, end: Point, size: int, shape: BrushShape) -> bool:
    longest = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    return shape == "round" and size <= _SMALL and longest <= _SMALL


def _near_segment(
    start: Point, end: Point, size: int, height: int, width: int
) -> tuple[BBox, Mask] | None:
    """Return the pixels whose centres are within the radius of a round brush's way.

    With ``p`` from the start to a centre, ``u`` the way's direction and ``t`` how far along the way
    the nearest point lies, the squared distance is ``|p|^2 - t (2 p.u - t)``.
    """
    radius = size / 2 + _SLACK
    box = BBox(
        math.ceil(min(start[0], end[0]) - radius - 0.5),
        math.ceil(min(start[1], end[1]) - radius - 0.5),
        math.floor(max(start[0], end[0]) + radius + 0.5),
        math.floor(max(start[1], end[1]) + radius + 0.5),
    ).clipped(height, width)
    if box.is_empty:
        return None
    down = np.arange(box.top + 0.5 - start[0], box.bottom - start[0])[: box.height, None]
    right = np.arange(box.left + 0.5 - start[1], box.right - start[1])[: box.width]
    squared = down * down + right * right
    length = math.hypot(end[0] - start[0], end[1] - start[1])
    if length:
        along = down * ((end[0] - start[0]) / length) + right * ((end[1] - start[1]) / length)
        nearest = np.minimum(np.maximum(along, 0.0), length)
        along += along
        along -= nearest
        along *= nearest
        squared -= along
    mask: Mask = squared <= radius * radius
    return (box, mask) if bool(mask.any()) else None


def _swept_runs(
    start: Point, end: Point, size: int, shape: BrushShape, height: int, width: int
) -> Runs | None:
    """Return each row's run; None when nothing is covered."""
    radius = size / 2 + _SLACK
    top = max(0, math.ceil(min(start[0], end[0]) - radius - 0.5))
    bottom = min(height, math.floor(max(start[0], end[0]) + radius - 0.5) + 1)
    if top >= bottom:
        return None
    rows = np.arange(top + 0.5, bottom, dtype=np.float64)
    ends = _round_ends if shape == "round" else _square_ends
    return runs_between(top, *ends(rows, start, end, radius), width)


def runs_between(top: int, low: _Column, high: _Column, width: int) -> Runs | None:
    """Return the runs of pixels whose centres lie between two columns, one pair per row.

    Parameters
    ----------
    top : int
        The first row.
    low, high : ndarray of shape (N,), float64
        inf and -inf in a row without a pixel.
    width : int
        Of the image.

    Returns
    -------
    (int, ndarray, ndarray) or None
        None when no row has a pixel.
    """
    # Rows without a pixel have low = inf, high = -inf: clipped, they stay empty.
    first = np.ceil(np.clip(low - 0.5, 0, width)).astype(np.int32)
    last = np.floor(np.clip(high + 0.5, 0, width)).astype(np.int32)
    return (top, first, last) if bool((first < last).any()) else None


def standing_runs(
    place: Point, size: int, *, shape: BrushShape, height: int, width: int
) -> Runs | None:
    """Return what a large brush covers that stands; None when that is no pixel, or a small one."""
    if _is_small(place, place, size, shape):
        return None
    return _swept_runs(place, place, size, shape, height, width)


def mask_bounds(mask: NDArray[Any]) -> BBox | None:
    """Return the smallest box that holds every nonzero element of a 2-D array, None without any."""
    import cv2

    marked = mask if mask.dtype == np.bool_ else mask != 0
    left, top, width, height = cv2.boundingRect(marked.view(np.uint8))
    return BBox(top, left, top + height, left + width) if width else None


def moved(box: BBox, down: int, right: int) -> BBox:
    """Return a box somewhere else, for one that was counted from the corner of another."""
    return BBox(box.top + down, box.left + right, box.bottom + down, box.right + right)


def _filled(first: NDArray[np.int32], last: NDArray[np.int32], width: int) -> Mask:
    if width < _LOOP_FROM:
        columns = np.arange(width, dtype=np.int32)
        return (columns >= first[:, None]) & (columns < last[:, None])
    mask = np.zeros((len(first), width), np.bool_)
    for row, begin, stop in zip(mask, first.tolist(), last.tolist(), strict=True):
        row[begin:stop] = True
    return mask


def _disk_ends(rows: _Column, centre: Point, radius: float) -> tuple[_Column, _Column]:
    offset = rows - centre[0]
    squared = radius * radius - offset * offset
    half = np.where(squared >= 0, np.sqrt(np.maximum(squared, 0)), -np.inf)
    return centre[1] - half, centre[1] + half


def _round_ends(rows: _Column, start: Point, end: Point, radius: float) -> tuple[_Column, _Column]:
    """Return left and right end of each row's run under a moving disk: a capsule.

    The capsule is the union of both disks and the rectangle between them; being convex, its run in
    a row reaches from the least left end of the three to the greatest right one.
    """
    low, high = _disk_ends(rows, start, radius)
    length = math.hypot(end[0] - start[0], end[1] - start[1])
    if length == 0:
        return low, high
    other_low, other_high = _disk_ends(rows, end, radius)
    down, right = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    offset = rows - start[0]
    # 0 <= along the segment <= length, and -radius <= across it <= radius; x counts from the start.
    along_low, along_high = _interval(-offset * down, right, 0.0, length)
    across_low, across_high = _interval(offset * right, down, -radius, radius)
    inner_low = np.maximum(along_low, across_low)
    inner_high = np.minimum(along_high, across_high)
    inside = inner_low <= inner_high
    inner_low = np.where(inside, inner_low + start[1], np.inf)
    inner_high = np.where(inside, inner_high + start[1], -np.inf)
    low = np.minimum(np.minimum(low, other_low), inner_low)
    high = np.maximum(np.maximum(high, other_high), inner_high)
    return low, high


def _interval(shift: _Column, slope: float, least: float, most: float) -> tuple[_Column, _Column]:
    """Return per row the x with ``least <= slope * x - shift <= most``."""
    if abs(slope) < 1e-12:
        holds = (-shift >= least) & (-shift <= most)
        return np.where(holds, -np.inf, np.inf), np.where(holds, np.inf, -np.inf)
    one, two = (shift + least) / slope, (shift + most) / slope
    return (one, two) if slope > 0 else (two, one)


def _square_ends(rows: _Column, start: Point, end: Point, radius: float) -> tuple[_Column, _Column]:
    """Return left and right end of each row's run under a moving axis-parallel square.

    A row is under the square during one stretch of the way; the columns follow from where the
    square stands at that stretch's ends.
    """
    down, right = end[0] - start[0], end[1] - start[1]
    offset = rows - start[0]
    if abs(down) < 1e-12:
        covered = np.abs(offset) <= radius
        first, last = np.zeros_like(rows), np.ones_like(rows)
    else:
        one, two = (offset - radius) / down, (offset + radius) / down
        first = np.maximum(np.minimum(one, two), 0.0)
        last = np.minimum(np.maximum(one, two), 1.0)
        covered = first <= last
    at_first, at_last = start[1] + right * first, start[1] + right * last
    low = np.where(covered, np.minimum(at_first, at_last) - radius, np.inf)
    high = np.where(covered, np.maximum(at_first, at_last) + radius, -np.inf)
    return low, high
