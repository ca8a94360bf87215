"""The bucket: gives the region under the pointer the active class."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from segstudio.core.options import option
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent
from segstudio.core.types import BBox
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView


@TOOLS.register("fill")
class Fill(EditingTool):
    """Fills the pixels that hold the same class as the one under the pointer."""

    title = "Fill"
    description = "Give the region under the pointer the active class."
    shortcut = "F"
    icon = "fill"

    @dataclass(frozen=True)
    class Options:
        """How far the paint runs."""

        contiguous: bool = option(True, "Stop where the class ends; else fill it everywhere.")
        diagonal: bool = option(False, "Let the paint run through corners of pixels.")

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Fill once, at the press."""
        yield _filled(view, event)


def _filled(view: ToolView, event: PointerEvent) -> MaskPatch | None:
    if not (0 <= event.row < view.height and 0 <= event.col < view.width):
        return None
    row, col = math.floor(event.row), math.floor(event.col)
    value = view.ignore_index if event.secondary else view.active_class
    same = view.label_map == view.label_map[row, col]
    whole = BBox(0, 0, view.height, view.width)
    if not view.options.contiguous:
        return view.patch_where(same, whole, value)
    import cv2

    # cv2 fills 8-bit pictures only and wants a frame of one pixel around the result.
    flooded = np.zeros((view.height + 2, view.width + 2), np.uint8)
    neighbours = 8 if view.options.diagonal else 4
    _, _, _, (left, top, width, height) = cv2.floodFill(
        same.view(np.uint8),
        flooded,
        (col, row),
        1,
        flags=neighbours | cv2.FLOODFILL_MASK_ONLY | (1 << 8),
    )
    box = BBox(top, left, top + height, left + width)
    reached = flooded[1:-1, 1:-1][box.slices].astype(np.bool_)
    return view.patch_where(reached, box, value)
