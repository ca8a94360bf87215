"""Which pixels a brush covers, exactly: those whose centre lies inside its shape.

Pixel (r, c) covers r..r+1, c..c+1; its centre is (r + 0.5, c + 0.5).
"""

from __future__ import annotations

import math

import numpy as np

from segstudio.core.types import BBox, Mask

__all__ = ["SHAPES", "swept_shape"]

SHAPES = ("round", "square")


def swept_shape(
    start: tuple[float, float],
    end: tuple[float, float],
    diameter: float,
    *,
    shape: str,
    height: int,
    width: int,
) -> tuple[BBox, Mask]:
    """Return the pixels that a brush covers on its way from ``start`` to ``end``.

    Parameters
    ----------
    start, end : (float, float)
        Row and column of the brush's centre, image pixels; equal for a single dab.
    diameter : float
        Pixels. A brush of diameter 1 or less covers the pixels its centre passes through.
    shape : str
        "round" (pixel centres within the radius of the segment) or "square" (centres inside an
        upright square swept along it).
    height, width : int
        Size of the image, to which the result is cut.

    Returns
    -------
    BBox
        Where; empty when nothing of the brush is on the image.
    ndarray of shape (box.height, box.width), bool
    """
    if diameter <= 1:
        return _thin_line(start, end, height, width)
    radius = diameter / 2
    (r0, c0), (r1, c1) = start, end
    box = BBox(
        math.floor(min(r0, r1) - radius),
        math.floor(min(c0, c1) - radius),
        math.ceil(max(r0, r1) + radius) + 1,
        math.ceil(max(c0, c1) + radius) + 1,
    ).clipped(height, width)
    if box.is_empty:
        return box, np.zeros((0, 0), bool)
    rows = np.arange(box.top, box.bottom)[:, None] + 0.5
    cols = np.arange(box.left, box.right)[None, :] + 0.5
    if shape == "square":
        return box, _swept_square(rows, cols, start, end, radius)
    dr, dc = r1 - r0, c1 - c0
    length = dr * dr + dc * dc
    if length == 0:
        return box, (rows - r0) ** 2 + (cols - c0) ** 2 <= radius * radius
    along = np.clip(((rows - r0) * dr + (cols - c0) * dc) / length, 0, 1)
    distance = (rows - r0 - along * dr) ** 2 + (cols - c0 - along * dc) ** 2
    return box, distance <= radius * radius


def _swept_square(
    rows: np.ndarray,
    cols: np.ndarray,
    start: tuple[float, float],
    end: tuple[float, float],
    radius: float,
) -> Mask:
    """Return the centres inside an upright square of half side ``radius`` at some t in 0..1.

    Each axis gives an interval of t in which the centre is near enough; they have to meet.
    """
    low = np.zeros(np.broadcast_shapes(rows.shape, cols.shape))
    high = np.ones_like(low)
    inside = np.ones(low.shape, bool)
    for centres, begin, finish in ((rows, start[0], end[0]), (cols, start[1], end[1])):
        step = finish - begin
        if step == 0:
            inside &= np.abs(centres - begin) <= radius
            continue
        first = (centres - radius - begin) / step
        second = (centres + radius - begin) / step
        np.maximum(low, np.minimum(first, second), out=low)
        np.minimum(high, np.maximum(first, second), out=high)
    mask: Mask = inside & (low <= high)
    return mask


def _thin_line(
    start: tuple[float, float], end: tuple[float, float], height: int, width: int
) -> tuple[BBox, Mask]:
    """Return the pixels of an unbroken line one pixel wide."""
    r0, c0, r1, c1 = (math.floor(value) for value in (*start, *end))
    steps = max(abs(r1 - r0), abs(c1 - c0), 1)
    rows = np.rint(np.linspace(r0, r1, steps + 1)).astype(np.int64)
    cols = np.rint(np.linspace(c0, c1, steps + 1)).astype(np.int64)
    on_image = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    rows, cols = rows[on_image], cols[on_image]
    if rows.size == 0:
        return BBox(0, 0, 0, 0), np.zeros((0, 0), bool)
    box = BBox(int(rows.min()), int(cols.min()), int(rows.max()) + 1, int(cols.max()) + 1)
    mask = np.zeros((box.height, box.width), bool)
    mask[rows - box.top, cols - box.left] = True
    return box, mask
