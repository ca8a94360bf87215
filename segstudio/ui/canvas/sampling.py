"""How a map is looked at from afar and at its borders: thinned, averaged, edges."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.types import BBox, LabelMap
from segstudio.ui.canvas.raster import Pixels, Render, halve

__all__ = ["averaged", "edges", "thinned"]


def thinned(data: NDArray[Any], level: int) -> NDArray[Any]:
    """Return every 2^level-th row and column of a map: its view from afar."""
    step = 1 << level
    return data[::step, ::step] if level else data


def averaged(render: Render, shape: tuple[int, ...], level: int, box: BBox, out: Pixels) -> None:
    """Render a box as the mean of the four pixels of the level below it.

    One level down is enough to keep borders from jumping, and costs the same at every level.
    """
    if level == 0:
        render(0, box, out)
        return
    step = 1 << (level - 1)
    fine = BBox(2 * box.top, 2 * box.left, 2 * box.bottom, 2 * box.right)
    fine = fine.clipped(-(-shape[0] // step), -(-shape[1] // step))
    below = np.empty((fine.height, fine.width), np.uint32)
    render(level - 1, fine, below)
    halve(below, out)


def edges(labels: LabelMap, box: BBox) -> NDArray[np.bool_]:
    """Return where in ``box`` a pixel's class differs from one of its four neighbours'."""
    around = BBox(box.top - 1, box.left - 1, box.bottom + 1, box.right + 1).clipped(*labels.shape)
    part = labels[around.slices]
    edge = np.zeros(part.shape, np.bool_)
    down = part[1:] != part[:-1]
    edge[1:] |= down
    edge[:-1] |= down
    across = part[:, 1:] != part[:, :-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    top, left = box.top - around.top, box.left - around.left
    return edge[top : top + box.height, left : left + box.width]
