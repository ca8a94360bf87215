"""Remove islands: small regions get the class that lies around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segstudio.core.options import option
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent
from segstudio.core.types import BBox, LabelMap
from segstudio.editing.regions import nearest_values, pixel_at, small_islands
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView


@TOOLS.register("islands")
class Islands(EditingTool):
    """Replaces connected regions of few pixels by the nearest class."""

    title = "Remove islands"
    description = "Click to give small regions the class around them; right makes them unlabelled."
    shortcut = "Shift+M"
    icon = "islands"
    group = "repair"
    place = 30

    @dataclass(frozen=True)
    class Options:
        """Which regions."""

        smaller_than: int = option(
            50, "Regions of fewer pixels are removed.", minimum=2, maximum=10**6
        )
        scope: str = option(
            "class",
            "Islands of the class under the pointer, or of every class.",
            choices=("class", "every class"),
        )
        where: str = option("image", "In the whole image or in view.", choices=("image", "view"))

    def is_slow(self, options: Any) -> bool:
        """Return True: it looks at the whole image."""
        return True

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Remove once, at the press."""
        yield _cleaned(view, event)


def _cleaned(view: ToolView, event: PointerEvent) -> MaskPatch | None:
    pixel = pixel_at(event, view.height, view.width)
    if pixel is None:
        return None
    box = BBox(0, 0, view.height, view.width)
    if view.options.where == "view" and view.region is not None:
        box = view.region.clipped(view.height, view.width)
    here = view.label_map[box.slices]
    value = int(view.label_map[pixel]) if view.options.scope == "class" else None
    islands = small_islands(here, view.options.smaller_than, value=value)
    if not islands.any():
        return None
    new: int | LabelMap = view.ignore_index if event.secondary else nearest_values(here, islands)
    return view.patch_where(islands, box, new)
