"""The brush: paints the active class with a hard edge."""

from __future__ import annotations

from dataclasses import dataclass

from segstudio.core.pointer import PointerEvent
from segstudio.editing.tool import TOOLS, EditingTool, StrokeSteps, ToolView
from segstudio.editing.tools._dabs import DabOptions, paint_dabs


@dataclass(frozen=True)
class BrushOptions(DabOptions):
    """Options of the brush."""


@TOOLS.register("brush")
class Brush(EditingTool):
    """Paint the active class."""

    title = "Brush"
    description = "Paint the active class"
    shortcut = "B"
    has_brush = True
    Options = BrushOptions

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeSteps:
        yield from paint_dabs(view, event, self.options, view.active_class)
