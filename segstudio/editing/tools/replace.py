"""Class replace: turns one class into another, in the image, in view or in a region."""

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


@TOOLS.register("replace")
class Replace(EditingTool):
    """Gives every pixel of the class under the pointer the active class."""

    title = "Replace class"
    description = "Turn the class under the pointer into the active class, everywhere or in view."
    shortcut = "Shift+C"
    icon = "replace"
    group = "region"
    place = 20

    @dataclass(frozen=True)
    class Options:
        """Where the class is replaced."""

        scope: str = option(
            "image",
            "Where: the whole image, what is in view, or the region under the pointer.",
            choices=("image", "view", "region"),
        )

    def is_slow(self, options: Any) -> bool:
        """Return True: it looks at the whole image."""
        return True

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Replace once, at the press."""
        yield _replaced(view, event)


def _replaced(view: ToolView, event: PointerEvent) -> MaskPatch | None:
    pixel = pixel_at(event, view.height, view.width)
    if pixel is None:
        return None
    value = painted_class(view, event)
    box = BBox(0, 0, view.height, view.width)
    if view.options.scope == "view" and view.region is not None:
        box = view.region.clipped(view.height, view.width)
    same = view.label_map[box.slices] == view.label_map[pixel]
    if view.options.scope == "region":
        box, same = flooded(same, *pixel, diagonal=True)
    return view.patch_where(same, box, value)
