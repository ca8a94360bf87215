"""The line: a brush that goes straight from corner to corner."""

from __future__ import annotations

from dataclasses import dataclass

from segstudio.core.options import option
from segstudio.core.pointer import PointerEvent
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView
from segstudio.editing.tools._gathering import painted_class
from segstudio.editing.tools._painting import paint_along


@TOOLS.register("line")
class Line(EditingTool):
    """Paints what a brush sweeps along straight pieces between clicks."""

    title = "Line"
    description = "Paint straight pieces from click to click; Enter or a double click ends them."
    shortcut = "Shift+B"
    icon = "line"
    group = "paint"
    place = 30
    gesture = "clicks"
    outline = "path"

    @dataclass(frozen=True)
    class Options:
        """The line's form."""

        size: int = option(20, "Width in image pixels.", minimum=1, maximum=2000)
        shape: str = option("round", "Form of its ends.", choices=("round", "square"))

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Paint along the corners."""
        value = painted_class(view, event)
        return paint_along(
            view,
            event,
            size=view.options.size,
            shape=view.options.shape,
            value_in=lambda box: value,
        )
