"""The brush: paints the active class; with the secondary button it erases."""

from __future__ import annotations

from dataclasses import dataclass

from segstudio.core.options import option
from segstudio.core.pointer import PointerEvent
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView
from segstudio.editing.tools._painting import (
    LIGHTEST_HELP,
    PRESSURE_CHOICES,
    PRESSURE_HELP,
    paint_along,
)


@TOOLS.register("brush")
class Brush(EditingTool):
    """Paints every pixel whose centre the brush passes over; hard edge."""

    title = "Brush"
    description = "Paint the active class; the right button erases."
    shortcut = "B"
    icon = "brush"
    group = "paint"
    place = 10

    @dataclass(frozen=True)
    class Options:
        """The brush's form."""

        size: int = option(20, "Diameter or edge in image pixels.", minimum=1, maximum=2000)
        shape: str = option("round", "Form of the brush.", choices=("round", "square"))
        pressure: str = option("off", PRESSURE_HELP, choices=PRESSURE_CHOICES)
        lightest: int = option(10, LIGHTEST_HELP, minimum=0, maximum=100)

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Paint along the pointer's way."""
        value = view.ignore_index if event.secondary else view.active_class
        return paint_along(
            view,
            event,
            size=view.options.size,
            shape=view.options.shape,
            value_in=lambda box: value,
            lightest=view.options.lightest if view.options.pressure == "size" else None,
        )
