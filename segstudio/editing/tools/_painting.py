"""What brush and eraser share: the way of the pointer, without gaps."""

from __future__ import annotations

from collections.abc import Callable

from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.core.types import BBox, LabelMap
from segstudio.editing.geometry import BrushShape, Point, anchor, swept_bands
from segstudio.editing.tool import StrokeGenerator, ToolView


def paint_along(
    view: ToolView,
    event: PointerEvent,
    *,
    size: int,
    shape: BrushShape,
    value_in: Callable[[BBox], int | LabelMap],
) -> StrokeGenerator:
    """Yield the patches of each event: all that the brush sweeps since the one before.

    Parameters
    ----------
    view : ToolView
        What the tool sees.
    event : PointerEvent
        The press.
    size : int
        Diameter or edge in pixels.
    shape : {"round", "square"}
        The brush.
    value_in : callable
        Returns what the pixels of a box get.
    """
    last: Point | None = None
    while True:
        here = anchor(event.row, event.col, size, shape)
        patches: list[MaskPatch] = []
        if here is not None:
            swept = swept_bands(
                here if last is None else last,
                here,
                size,
                shape=shape,
                height=view.height,
                width=view.width,
            )
            for box, mask in swept:
                patch = view.patch_where(mask, box, value_in(box))
                patches += [] if patch is None else [patch]
            last = here
        is_last = event.kind is PointerKind.RELEASE
        event = yield tuple(patches)
        if is_last:
            return
