"""The magic wand: paints what has the colour of the pixel under the pointer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segstudio.core.options import option
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent
from segstudio.core.types import BBox
from segstudio.editing.regions import flooded, pixel_at
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView
from segstudio.editing.tools._gathering import painted_class


@TOOLS.register("wand")
class Wand(EditingTool):
    """Paints pixels whose red, green and blue are all near those under the pointer."""

    title = "Colour wand"
    description = "Paint the pixels that have the colour under the pointer."
    shortcut = "W"
    icon = "wand"
    group = "smart"
    place = 10

    @dataclass(frozen=True)
    class Options:
        """How near a colour has to be, and how far the paint runs."""

        tolerance: int = option(
            16, "Largest difference of red, green or blue, 0 to 255.", minimum=0, maximum=255
        )
        contiguous: bool = option(True, "Stop where the colour ends; else paint it everywhere.")

    def is_slow(self, options: Any) -> bool:
        """Return True: it looks at the whole photograph."""
        return True

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Paint once, at the press.

        Raises
        ------
        ToolError
            When there is no photograph.
        """
        yield _similar(view, event)


def _similar(view: ToolView, event: PointerEvent) -> MaskPatch | None:
    import cv2

    image = view.need_image()
    pixel = pixel_at(event, view.height, view.width)
    if pixel is None:
        return None
    color = image[pixel].astype(np.int64)
    tolerance = view.options.tolerance
    low, high = np.clip(color - tolerance, 0, 255), np.clip(color + tolerance, 0, 255)
    near = cv2.inRange(image, low.astype(np.uint8), high.astype(np.uint8)) != 0
    box = BBox(0, 0, view.height, view.width)
    if view.options.contiguous:
        box, near = flooded(near, *pixel)
    return view.patch_where(near, box, painted_class(view, event))
