"""What brush and eraser share: the way of the pointer, without gaps, and the pen's pressure."""

from __future__ import annotations

from collections.abc import Callable

from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.core.types import BBox, LabelMap
from segstudio.editing.geometry import BrushShape, Point, anchor, swept_bands
from segstudio.editing.taper import tapered_bands
from segstudio.editing.tool import StrokeGenerator, ToolView

__all__ = ["LIGHTEST_HELP", "PRESSURE_CHOICES", "PRESSURE_HELP", "paint_along", "size_under"]

PRESSURE_CHOICES = ("off", "size")
PRESSURE_HELP = "What a pen's pressure changes: nothing, or the size; a mouse has full pressure."
LIGHTEST_HELP = "Size at the lightest touch of the pen, per cent of the set size."


def size_under(pressure: float, size: int, lightest: int) -> int:
    """Return the diameter of a brush under a pen.

    Parameters
    ----------
    pressure : float
        0..1; beyond, the nearer of both.
    size : int
        Diameter under full pressure, pixels.
    lightest : int
        Per cent of ``size`` that are left without pressure.

    Returns
    -------
    int
        At least 1.
    """
    share = lightest / 100 + (1 - lightest / 100) * min(max(pressure, 0.0), 1.0)
    return max(1, round(size * share))


def paint_along(
    view: ToolView,
    event: PointerEvent,
    *,
    size: int,
    shape: BrushShape,
    value_in: Callable[[BBox], int | LabelMap],
    lightest: int | None = None,
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
    lightest : int, optional
        Per cent of the size at the lightest touch of a pen; the pressure does not matter when
        left out.
    """
    last: Point | None = None
    last_size = full_size = size
    while True:
        if lightest is not None:
            size = size_under(event.pressure, full_size, lightest)
        here = anchor(event.row, event.col, size, shape)
        patches: list[MaskPatch] = []
        if here is not None:
            height, width = view.height, view.width
            if last is None or size == last_size:
                start = here if last is None else last
                swept = swept_bands(
                    start,
                    here,
                    size,
                    shape=shape,
                    height=height,
                    width=width,
                    painted=last is not None,
                )
            else:
                sizes = last_size, size
                swept = tapered_bands(
                    last,
                    here,
                    sizes,
                    shape=shape,
                    height=height,
                    width=width,
                    painted=True,
                )
            for box, mask in swept:
                patch = view.patch_where(mask, box, value_in(box))
                patches += [] if patch is None else [patch]
            last, last_size = here, size
        is_last = event.kind is PointerKind.RELEASE
        event = yield tuple(patches)
        if is_last:
            return
