"""The bucket: gives the region under the pointer the active class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segstudio.core.options import option
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent
from segstudio.core.types import BBox
from segstudio.editing.regions import flooded, pixel_at
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView
from segstudio.editing.tools._gathering import painted_class


@TOOLS.register("fill")
class Fill(EditingTool):
    """Fills the pixels that hold the same class as the one under the pointer."""

    title = "Fill"
    description = "Give the region under the pointer the active class."
    shortcut = "F"
    icon = "fill"
    group = "region"
    place = 10

    @dataclass(frozen=True)
    class Options:
        """How far the paint runs."""

        contiguous: bool = option(True, "Stop where the class ends; else fill it everywhere.")
        diagonal: bool = option(False, "Let the paint run through corners of pixels.")
        tolerance: int = option(
            0,
            "How many of the model's first choices count beside the map: 1 also runs through "
            "pixels predicted as the class clicked, 2 through those whose runner-up it is.",
            minimum=0,
            maximum=2,
        )

    def is_slow(self, options: Any) -> bool:
        """Return True: a region can be as large as the image."""
        return True

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Fill once, at the press.

        Raises
        ------
        ToolError
            When the tolerance asks for the prediction or its runner-up, and there is none.
        """
        yield _filled(view, event)


def _filled(view: ToolView, event: PointerEvent) -> MaskPatch | None:
    pixel = pixel_at(event, view.height, view.width)
    if pixel is None:
        return None
    value = painted_class(view, event)
    clicked = view.label_map[pixel]
    same = view.label_map == clicked
    for name in ("prediction", "runner_up")[: view.options.tolerance]:
        same |= view.need_layer(name) == clicked
    if not view.options.contiguous:
        return view.patch_where(same, BBox(0, 0, view.height, view.width), value)
    box, reached = flooded(same, *pixel, diagonal=view.options.diagonal)
    return view.patch_where(reached, box, value)
