"""The lasso: paints the area that the pointer was led around."""

from __future__ import annotations

from typing import Any

from segstudio.core.pointer import PointerEvent
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView
from segstudio.editing.tools._outlined import paint_inside


@TOOLS.register("lasso")
class Lasso(EditingTool):
    """Paints the pixels whose centres lie inside a line drawn by hand."""

    title = "Lasso"
    description = "Draw around an area to paint it; the right button makes it unlabelled."
    shortcut = "Shift+L"
    icon = "lasso"
    group = "shape"
    place = 20
    outline = "area"

    def is_slow(self, options: Any) -> bool:
        """Return True: an area can be as large as the image."""
        return True

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Paint the area at the release."""
        return paint_inside(view, event)
