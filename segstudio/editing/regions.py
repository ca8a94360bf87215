"""Connected regions of a label map, and what lies around them."""

from __future__ import annotations

import math

import numpy as np

from segstudio.core.pointer import PointerEvent
from segstudio.core.types import BBox, LabelMap, Mask

__all__ = ["flooded", "grown_box", "nearest_values", "pixel_at", "small_islands"]

_TILE, _MARGIN = 1024, 256
_WIDEST_MARGIN = 2048


def pixel_at(event: PointerEvent, height: int, width: int) -> tuple[int, int] | None:
    """Return the (row, col) of the pixel under a pointer, None outside the image."""
    if not (0 <= event.row < height and 0 <= event.col < width):
        return None
    return math.floor(event.row), math.floor(event.col)


def flooded(mask: Mask, row: int, col: int, *, diagonal: bool = False) -> tuple[BBox, Mask]:
    """Return the connected part of a mask around one of its pixels.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
        Not changed.
    row, col : int
        The pixel.
    diagonal : bool
        Whether pixels that share a corner only are connected.

    Returns
    -------
    (BBox, ndarray of bool)
        The smallest box around the part, and its pixels there.
    """
    import cv2

    # cv2 fills 8-bit pictures only and wants a frame of one pixel around the result.
    reached = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.uint8)
    _, _, _, (left, top, width, height) = cv2.floodFill(
        mask.view(np.uint8),
        reached,
        (col, row),
        1,
        flags=(8 if diagonal else 4) | cv2.FLOODFILL_MASK_ONLY | (1 << 8),
    )
    box = BBox(top, left, top + height, left + width)
    return box, reached[1:-1, 1:-1][box.slices].astype(np.bool_)


def nearest_values(label_map: LabelMap, where: Mask) -> LabelMap:
    """Return the map with each marked pixel holding what the nearest unmarked one holds.

    Parameters
    ----------
    label_map : ndarray of shape (H, W)
        Not changed.
    where : ndarray of shape (H, W), bool
        The marked pixels.

    Returns
    -------
    ndarray of shape (H, W)
        A copy.  Where every pixel around is marked, what was there.

    Notes
    -----
    Works in tiles of 1024 pixels that see 256 more on each side, so the memory that it takes does
    not grow with the image; what is nearest farther away than that is not seen.
    """
    import cv2

    result = label_map.copy()
    height, width = label_map.shape
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            tile = BBox(top, left, top + _TILE, left + _TILE).clipped(height, width)
            if not where[tile.slices].any():
                continue
            seen = grown_box(tile, _MARGIN, height, width)
            marked = where[seen.slices]
            if marked.all():
                continue
            _, zones = cv2.distanceTransformWithLabels(
                marked.view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
            )
            # Each unmarked pixel is a zone of its own; a zone's number leads to its value.
            values = np.empty(int(zones.max()) + 1, label_map.dtype)
            values[zones[~marked]] = label_map[seen.slices][~marked]
            inner = (
                slice(tile.top - seen.top, tile.bottom - seen.top),
                slice(tile.left - seen.left, tile.right - seen.left),
            )
            np.copyto(result[tile.slices], values[zones[inner]], where=where[tile.slices])
    return result


def grown_box(box: BBox, margin: int, height: int, width: int) -> BBox:
    """Return a box with a margin around it, inside the image."""
    return BBox(
        box.top - margin, box.left - margin, box.bottom + margin, box.right + margin
    ).clipped(height, width)


def small_islands(
    label_map: LabelMap, minimum: int, *, value: int | None = None, diagonal: bool = False
) -> Mask:
    """Return the pixels of connected regions that are smaller than a number of pixels.

    Parameters
    ----------
    label_map : ndarray of shape (H, W), uint8 or uint16
        The map; unlabelled pixels make regions too.
    minimum : int
        Regions of at least so many pixels stay.
    value : int, optional
        Only regions of this class.
    diagonal : bool
        Whether pixels that share a corner only are connected.

    Returns
    -------
    ndarray of shape (H, W), bool

    Notes
    -----
    Works in tiles that see ``minimum`` more pixels on each side, so that it takes little memory.  A
    region that is smaller reaches less far: one that touches the edge of what a tile sees is either
    large or lies in another tile.
    """
    height, width = label_map.shape
    found = np.zeros(label_map.shape, np.bool_)
    step = _TILE if minimum <= _WIDEST_MARGIN else max(height, width)
    for top in range(0, height, step):
        for left in range(0, width, step):
            tile = BBox(top, left, top + step, left + step).clipped(height, width)
            seen = grown_box(tile, minimum, height, width)
            part = label_map[seen.slices]
            open_edges = (
                seen.top > 0,
                seen.left > 0,
                seen.bottom < height,
                seen.right < width,
            )
            for index in _values(part) if value is None else [value]:
                _mark_small(part == index, minimum, diagonal, open_edges, found[seen.slices])
    return found


def _mark_small(
    region: Mask,
    minimum: int,
    diagonal: bool,
    open_edges: tuple[bool, bool, bool, bool],
    found: Mask,
) -> None:
    """Mark the small parts of a region that do not touch an edge behind which there is more."""
    import cv2

    # A library that takes all classes in one pass is faster, but holds Python's lock meanwhile:
    # the window would stand still.
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(
        region.view(np.uint8), connectivity=8 if diagonal else 4
    )
    if count < 2:
        return
    small = statistics[:, cv2.CC_STAT_AREA] < minimum
    small[0] = False
    first_row, first_column = statistics[:, cv2.CC_STAT_TOP], statistics[:, cv2.CC_STAT_LEFT]
    touches = (
        first_row == 0,
        first_column == 0,
        first_row + statistics[:, cv2.CC_STAT_HEIGHT] == region.shape[0],
        first_column + statistics[:, cv2.CC_STAT_WIDTH] == region.shape[1],
    )
    for is_open, touching in zip(open_edges, touches, strict=True):
        if is_open:
            small &= ~touching
    if small.any():
        found |= small[parts]


def _values(label_map: LabelMap) -> list[int]:
    """Return the values that a map holds."""
    present = np.zeros(int(np.iinfo(label_map.dtype).max) + 1, np.bool_)
    for line in label_map:
        present[line] = True
    return [int(index) for index in np.flatnonzero(present)]
