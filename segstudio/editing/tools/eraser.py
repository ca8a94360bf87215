"""The eraser: makes pixels unlabelled, or gives them back what the correction started from."""

from __future__ import annotations

from dataclasses import dataclass

from segstudio.core.options import option
from segstudio.core.pointer import PointerEvent
from segstudio.editing.tool import TOOLS, EditingTool, StrokeSteps, ToolView
from segstudio.editing.tools._dabs import DabOptions, paint_dabs


@dataclass(frozen=True)
class EraserOptions(DabOptions):
    """Options of the eraser."""

    restore: bool = option(False, "Give back what the correction started from.")


@TOOLS.register("eraser")
class Eraser(EditingTool):
    """Make pixels unlabelled."""

    title = "Eraser"
    description = "Make pixels unlabelled, or restore what was predicted"
    shortcut = "E"
    has_brush = True
    Options = EraserOptions

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeSteps:
        restores = self.options.restore and view.source is not None
        value = view.source if restores and view.source is not None else view.ignore_index
        yield from paint_dabs(view, event, self.options, value)
