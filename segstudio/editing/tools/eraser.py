"""The eraser: takes the class away, or brings back what the correction was started from."""

from __future__ import annotations

from dataclasses import dataclass

from segstudio.core.errors import UsageError
from segstudio.core.options import option
from segstudio.core.pointer import PointerEvent
from segstudio.core.types import BBox, LabelMap
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView
from segstudio.editing.tools._painting import (
    LIGHTEST_HELP,
    PRESSURE_CHOICES,
    PRESSURE_HELP,
    paint_along,
)


@TOOLS.register("eraser")
class Eraser(EditingTool):
    """Makes pixels unlabelled or gives them back their class of the source layer."""

    title = "Eraser"
    description = "Make pixels unlabelled, or restore what the correction started from."
    shortcut = "E"
    icon = "eraser"
    group = "paint"
    place = 20

    @dataclass(frozen=True)
    class Options:
        """The eraser's form and what it leaves."""

        size: int = option(20, "Diameter or edge in image pixels.", minimum=1, maximum=2000)
        shape: str = option("round", "Form of the eraser.", choices=("round", "square"))
        restore: str = option(
            "ignore",
            "What it leaves: unlabelled pixels, or what the source layer held.",
            choices=("ignore", "source"),
        )
        pressure: str = option("off", PRESSURE_HELP, choices=PRESSURE_CHOICES)
        lightest: int = option(10, LIGHTEST_HELP, minimum=0, maximum=100)

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Erase along the pointer's way.

        Raises
        ------
        UsageError
            When the source layer is to be restored and there is none.
        """
        source = view.source
        if view.options.restore == "source" and source is None:
            raise UsageError(
                "The eraser cannot restore the source layer, because this correction was started "
                "from an empty map; let it leave unlabelled pixels instead."
            )

        def value_in(box: BBox) -> int | LabelMap:
            if view.options.restore == "source" and source is not None:
                return source[box.slices]
            return view.ignore_index

        return paint_along(
            view,
            event,
            size=view.options.size,
            shape=view.options.shape,
            value_in=value_in,
            lightest=view.options.lightest if view.options.pressure == "size" else None,
        )
