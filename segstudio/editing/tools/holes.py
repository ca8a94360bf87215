"""Hole fill: closes the holes of a region with the region's own class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segstudio.core.options import option
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent
from segstudio.core.types import BBox, Mask
from segstudio.editing.regions import flooded, pixel_at
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView

_ROWS = 256


@TOOLS.register("holes")
class Holes(EditingTool):
    """Fills what a region encloses; what touches the image's edge is no hole."""

    title = "Fill holes"
    description = "Click a region to fill the holes in it; the right button empties them."
    shortcut = "Shift+F"
    icon = "holes"
    group = "repair"
    place = 10

    @dataclass(frozen=True)
    class Options:
        """Which holes."""

        scope: str = option(
            "region",
            "Holes of the region under the pointer, or of its class everywhere.",
            choices=("region", "class"),
        )
        largest: int = option(
            0, "Pixels of the largest hole that is filled; 0 for any.", minimum=0, maximum=10**8
        )

    def is_slow(self, options: Any) -> bool:
        """Return True: a region can be as large as the image."""
        return True

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Fill once, at the press."""
        yield _filled(view, event)


def _filled(view: ToolView, event: PointerEvent) -> MaskPatch | None:
    pixel = pixel_at(event, view.height, view.width)
    if pixel is None:
        return None
    value = int(view.label_map[pixel])
    box, region = BBox(0, 0, view.height, view.width), view.label_map == value
    if view.options.scope == "region":
        box, region = flooded(region, *pixel, diagonal=True)
    holes = _holes(region, view.options.largest)
    return view.patch_where(holes, box, view.ignore_index if event.secondary else value)


def _holes(region: Mask, largest: int) -> Mask:
    """Return what a region encloses; ``largest`` of 0 is no limit."""
    import cv2

    # Outside is one piece around the box; a region that is connected through corners has holes
    # that are connected through edges.
    outside = np.pad(~region, 1, constant_values=True).view(np.uint8)
    cv2.floodFill(outside, None, (0, 0), 0, flags=4)
    holes: Mask = outside[1:-1, 1:-1] != 0
    if not largest or not holes.any():
        return holes
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats(
        holes.view(np.uint8), connectivity=4
    )
    kept = np.arange(count) > 0
    kept &= statistics[:, cv2.CC_STAT_AREA] <= largest
    # Looking up holds Python's lock: a band at a time, or the window stands still.
    for top in range(0, len(holes), _ROWS):
        holes[top : top + _ROWS] = kept[pieces[top : top + _ROWS]]
    return holes
