"""What polygon and lasso share: the area inside a closed way."""

from __future__ import annotations

from segstudio.core.pointer import PointerEvent
from segstudio.editing.shapes import polygon_mask
from segstudio.editing.tool import StrokeGenerator, ToolView
from segstudio.editing.tools._gathering import painted_class, way_to_release


def paint_inside(view: ToolView, event: PointerEvent) -> StrokeGenerator:
    """Paint, at the release, the area that the way encloses."""
    value = painted_class(view, event)
    points = yield from way_to_release(event)
    inside = polygon_mask(points, height=view.height, width=view.width)
    if inside is not None:
        box, mask = inside
        yield view.patch_where(mask, box, value)
