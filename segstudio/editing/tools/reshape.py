"""Grow, shrink or smooth a region or a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segstudio.core.options import option
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent
from segstudio.core.types import BBox, Mask
from segstudio.editing.regions import flooded, grown_box, nearest_values, pixel_at
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView

_OPPOSITE = {"grow": "shrink", "shrink": "grow", "smooth": "smooth"}


@TOOLS.register("reshape")
class Reshape(EditingTool):
    """Moves the border of what is clicked; pixels it loses get the nearest other class."""

    title = "Grow, shrink, smooth"
    description = "Click a region to move or smooth its border; the right button does the opposite."
    shortcut = "M"
    icon = "reshape"
    group = "repair"
    place = 20

    @dataclass(frozen=True)
    class Options:
        """What happens to the border."""

        operation: str = option(
            "grow", "What happens to the border.", choices=("grow", "shrink", "smooth")
        )
        pixels: int = option(2, "How far, in image pixels.", minimum=1, maximum=200)
        scope: str = option(
            "region",
            "The region under the pointer, or its class everywhere.",
            choices=("region", "class"),
        )

    def is_slow(self, options: Any) -> bool:
        """Return True: a region can be as large as the image."""
        return True

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Do it once, at the press."""
        yield _reshaped(view, event)


def _reshaped(view: ToolView, event: PointerEvent) -> MaskPatch | None:
    pixel = pixel_at(event, view.height, view.width)
    if pixel is None:
        return None
    options = view.options
    value = view.label_map[pixel]
    region = view.label_map == value
    box = BBox(0, 0, view.height, view.width)
    if options.scope == "region":
        inner, found = flooded(region, *pixel)
        box = grown_box(inner, options.pixels + 2, view.height, view.width)
        region = np.zeros((box.height, box.width), np.bool_)
        top, left = inner.top - box.top, inner.left - box.left
        region[top : top + inner.height, left : left + inner.width] = found
    operation = _OPPOSITE[options.operation] if event.secondary else options.operation
    wanted = _moved_border(region, operation, options.pixels)
    # What the border leaves behind takes the nearest class of outside, not the region's own.
    new = nearest_values(view.label_map[box.slices], region)
    new[wanted] = value
    return view.patch_where(region != wanted, box, new)


def _moved_border(region: Mask, operation: str, pixels: int) -> Mask:
    """Return a region grown or shrunk by a distance between pixel centres, or smoothed."""
    import cv2

    if region.all():
        return region
    if operation == "smooth":
        # Where a blur leaves more than half, most of what lies around belongs to the region.
        blurred = cv2.GaussianBlur(
            region.astype(np.float32), (0, 0), pixels, borderType=cv2.BORDER_REPLICATE
        )
        smooth: Mask = blurred > 0.5
        return smooth
    measured = ~region if operation == "grow" else region
    distance = cv2.distanceTransform(measured.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    far: Mask = distance > pixels
    return ~far if operation == "grow" else far
