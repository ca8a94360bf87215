"""The bucket: gives a region of one class the active class."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from segstudio.core.options import option
from segstudio.core.pointer import PointerEvent
from segstudio.core.types import BBox, LabelMap, Mask
from segstudio.editing.tool import TOOLS, EditingTool, StrokeSteps, ToolView


@dataclass(frozen=True)
class FillOptions:
    """Options of the bucket."""

    contiguous: bool = option(True, "Only the connected region under the pointer.")


@TOOLS.register("fill")
class Fill(EditingTool):
    """Fill a region with the active class."""

    title = "Fill"
    description = "Give the region under the pointer the active class"
    shortcut = "G"
    Options = FillOptions

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeSteps:
        height, width = view.shape
        row, col = math.floor(event.row), math.floor(event.col)
        if not (0 <= row < height and 0 <= col < width):
            return
        if self.options.contiguous:
            box, mask = _connected(view.label_map, row, col)
        else:
            box = BBox(0, 0, height, width)
            mask = view.label_map == view.label_map[row, col]
        yield view.patch_where(box, mask, view.active_class)


def _connected(label_map: LabelMap, row: int, col: int) -> tuple[BBox, Mask]:
    """Return the 4-connected region of equal labels that holds a pixel."""
    import cv2

    same = (label_map == label_map[row, col]).astype(np.uint8)
    flags = 4 | (2 << 8) | cv2.FLOODFILL_FIXED_RANGE
    _, filled, _, (x, y, w, h) = cv2.floodFill(same, None, (col, row), 2, flags=flags)
    box = BBox(y, x, y + h, x + w)
    return box, np.asarray(filled[box.slices] == 2)
