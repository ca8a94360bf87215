"""The rectangle, which can be an ellipse too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from segstudio.core.options import option
from segstudio.core.pointer import PointerEvent
from segstudio.editing.shapes import box_between, ellipse_mask
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView
from segstudio.editing.tools._gathering import painted_class, way_to_release


@TOOLS.register("rectangle")
class Rectangle(EditingTool):
    """Paints the pixels whose centres lie between two corners."""

    title = "Rectangle"
    description = "Drag from corner to corner to paint a rectangle or an ellipse."
    shortcut = "R"
    icon = "rectangle"
    group = "shape"
    place = 30
    outline = "box"

    @dataclass(frozen=True)
    class Options:
        """What fills the box that is dragged."""

        form: str = option("rectangle", "What is painted.", choices=("rectangle", "ellipse"))

    def is_slow(self, options: Any) -> bool:
        """Return True: an area can be as large as the image."""
        return True

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Paint at the release."""
        value = painted_class(view, event)
        points = yield from way_to_release(event)
        start, end = points[0], points[-1]
        box = box_between(start, end, height=view.height, width=view.width)
        if box.is_empty:
            return
        if view.options.form == "ellipse":
            mask = ellipse_mask(start, end, box)
        else:
            mask = np.ones((box.height, box.width), np.bool_)
        yield view.patch_where(mask, box, value)
