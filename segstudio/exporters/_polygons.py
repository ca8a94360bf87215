"""Outlines of regions: the borders of their pixels as polygons."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.types import Mask
from segstudio.exporters._regions import RegionMap

__all__ = ["coco_polygons", "outer_outlines", "outlines", "signed_area"]

Corner = tuple[int, int]
_RIGHT, _DOWN, _LEFT, _UP = range(4)


def outlines(mask: Mask) -> list[NDArray[np.int64]]:
    """Return the closed outlines of a mask along the borders of its pixels.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool

    Returns
    -------
    list of ndarray of shape (N, 2), int64
        Corners as (row, column), 0..H and 0..W, without repeating the first.  Outer outlines run
        clockwise on the screen, those of holes the other way; pixels that touch at a corner only
        belong to different outlines.
    """
    padded = np.pad(mask, 1)
    up, down = padded[:-1, 1:-1], padded[1:, 1:-1]
    before, after = padded[1:-1, :-1], padded[1:-1, 1:]
    # Borders between pixels, joined along straight lines: (line, first, last) of each direction.
    steps: list[dict[Corner, Corner]] = [{}, {}, {}, {}]
    for line, first, last in _segments(down & ~up):
        steps[_RIGHT][line, first] = (line, last)
    for line, first, last in _segments(up & ~down):
        steps[_LEFT][line, last] = (line, first)
    for line, first, last in _segments((before & ~after).T):
        steps[_DOWN][first, line] = (last, line)
    for line, first, last in _segments((after & ~before).T):
        steps[_UP][last, line] = (first, line)
    found = []
    while steps[_RIGHT]:
        found.append(_walk(steps))
    return found


def _segments(borders: Mask) -> list[tuple[int, int, int]]:
    """Return (row, first, last) of each run of set pixels in the rows of a mask."""
    padded = np.pad(borders, ((0, 0), (1, 1))).astype(np.int8)
    change = np.diff(padded, axis=1)
    rows, first = np.nonzero(change == 1)
    _, last = np.nonzero(change == -1)
    return list(zip(rows.tolist(), first.tolist(), last.tolist(), strict=True))


def _walk(steps: list[dict[Corner, Corner]]) -> NDArray[np.int64]:
    """Take one outline out of the steps: right turns first, which keeps corners apart."""
    start = next(iter(steps[_RIGHT]))
    corners = [start]
    heading, here = _RIGHT, steps[_RIGHT].pop(start)
    while here != start or len(corners) < 4:
        corners.append(here)
        right, left = (heading + 1) % 4, (heading + 3) % 4
        heading = right if here in steps[right] else left
        here = steps[heading].pop(here)
    return np.asarray(corners, np.int64)


def signed_area(outline: NDArray[np.int64]) -> int:
    """Return the pixels inside an outline of `outlines`, negative for a hole's."""
    rows, cols = outline[:, 0], outline[:, 1]
    doubled = (cols * np.roll(rows, -1) - np.roll(cols, -1) * rows).sum()
    return int(doubled) // 2


def outer_outlines(regions: RegionMap, place: int) -> list[NDArray[np.int64]]:
    """Return the outlines of one region without its holes, (row, column) in the whole map."""
    region = regions.regions[place]
    offset = np.asarray([region.box.top, region.box.left], np.int64)
    found = outlines(regions.mask(region))
    return [outline + offset for outline in found if signed_area(outline) > 0]


def coco_polygons(
    regions: RegionMap, masks: list[dict[str, Any]]
) -> tuple[list[list[list[int]]], int]:
    """Return each region as COCO's polygons, [x, y, x, y, ...], and the pixels that they change.

    Parameters
    ----------
    regions : RegionMap
        The regions.
    masks : list of dict
        Their run-length masks by `RegionMap.encode`.

    Returns
    -------
    polygons : list of list of list of int
        The outer outlines of each region.
    changed : int
        Pixels in which the polygons, rasterised by pycocotools, differ from the regions.
    """
    from pycocotools import mask as mask_utils

    height, width = regions.values.shape
    found, changed = [], 0
    for place, mask in enumerate(masks):
        polygons = [outline[:, ::-1].ravel().tolist() for outline in outer_outlines(regions, place)]
        drawn = mask_utils.merge(mask_utils.frPyObjects(polygons, height, width))
        both = mask_utils.area(mask_utils.merge([drawn, mask], intersect=True))
        changed += int(mask_utils.area(drawn)) + regions.regions[place].area - 2 * int(both)
        found.append(polygons)
    return found, changed
