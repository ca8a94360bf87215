"""The polygon: paints the area between clicked corners."""

from __future__ import annotations

from typing import Any

from segstudio.core.pointer import PointerEvent
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView
from segstudio.editing.tools._outlined import paint_inside


@TOOLS.register("polygon")
class Polygon(EditingTool):
    """Paints the pixels whose centres lie inside a polygon."""

    title = "Polygon"
    description = (
        "Click the corners of an area; Enter, a double click or the first corner closes it."
    )
    shortcut = "Shift+P"
    icon = "polygon"
    group = "shape"
    place = 10
    gesture = "clicks"
    outline = "area"

    def is_slow(self, options: Any) -> bool:
        """Return True: an area can be as large as the image."""
        return True

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Paint the area at the end."""
        return paint_inside(view, event)
