"""Take from a layer: brings the classes of a prediction or of ground truth into the correction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segstudio.core.options import option
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent
from segstudio.core.types import LabelMap
from segstudio.editing.regions import flooded, pixel_at
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView
from segstudio.editing.tools._painting import paint_along


@TOOLS.register("copy")
class Copy(EditingTool):
    """Copies the classes of another layer, a region of it at a time or under a brush."""

    title = "Take from layer"
    description = "Copy the region under the pointer from the prediction or another layer."
    shortcut = "T"
    icon = "copy"
    group = "repair"
    place = 40

    @dataclass(frozen=True)
    class Options:
        """Which layer, and how much of it."""

        layer: str = option(
            "prediction",
            "Where the classes are taken from.",
            choices=("prediction", "runner_up", "ground_truth", "source"),
        )
        area: str = option(
            "region",
            "The layer's region under the pointer, or what a brush sweeps.",
            choices=("region", "brush"),
        )
        size: int = option(20, "Diameter of the brush.", minimum=1, maximum=2000)
        shape: str = option("round", "Form of the brush.", choices=("round", "square"))

    def is_slow(self, options: Any) -> bool:
        """Return whether a region is taken, which can be as large as the image."""
        return bool(options.area == "region")

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Copy at the press, or along the pointer's way.

        Raises
        ------
        ToolError
            When there is no such layer.
        """
        layer = view.need_layer(view.options.layer)
        if view.options.area == "brush":
            yield from paint_along(
                view,
                event,
                size=view.options.size,
                shape=view.options.shape,
                value_in=lambda box: layer[box.slices],
            )
        else:
            yield _region(view, event, layer)


def _region(view: ToolView, event: PointerEvent, layer: LabelMap) -> MaskPatch | None:
    pixel = pixel_at(event, view.height, view.width)
    if pixel is None:
        return None
    box, reached = flooded(layer == layer[pixel], *pixel)
    return view.patch_where(reached, box, int(layer[pixel]))
