"""The superpixel brush: paints every superpixel that the pointer touches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segstudio.core.options import option
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.editing.geometry import Point, anchor, swept_brush
from segstudio.editing.superpixels import Segments
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolError, ToolView
from segstudio.editing.tools._gathering import painted_class


@TOOLS.register("superpixels")
class Superpixels(EditingTool):
    """Paints whole superpixels of what is in view; their borders follow edges of the photograph."""

    title = "Superpixel brush"
    description = "Paint small areas of one colour that follow the edges of the photograph."
    shortcut = "S"
    icon = "superpixels"
    group = "smart"
    place = 30
    needs_segments = True

    @dataclass(frozen=True)
    class Options:
        """How large and how square the superpixels are."""

        segment_size: int = option(
            24, "Edge of a superpixel in image pixels, about.", minimum=4, maximum=400
        )
        compactness: int = option(
            10, "How square superpixels are: 1 follows colours, 100 a grid.", minimum=1, maximum=100
        )

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Paint along the pointer's way.

        Raises
        ------
        ToolError
            When no superpixels were found yet.
        """
        segments = view.segments
        if segments is None:
            raise ToolError("The superpixels of this view are not found yet; try again soon.")
        value = painted_class(view, event)
        painted = np.zeros(len(segments.boxes), np.bool_)
        last: Point | None = None
        while True:
            patch: MaskPatch | None = None
            here = anchor(event.row, event.col, 1, "square")
            if here is not None:
                touched = _touched(segments, last or here, here)
                fresh = touched[~painted[touched]]
                painted[fresh] = True
                last = here
                if fresh.size:
                    box, mask = segments.area(fresh)
                    patch = view.patch_where(mask, box, value)
            is_last = event.kind is PointerKind.RELEASE
            event = yield patch
            if is_last:
                return


def _touched(segments: Segments, start: Point, end: Point) -> NDArray[np.int32]:
    """Return the numbers of the superpixels under a straight way."""
    swept = swept_brush(
        start, end, 1, shape="square", height=segments.box.bottom, width=segments.box.right
    )
    if swept is None:
        return np.empty(0, np.int32)
    return segments.numbers(*swept)
