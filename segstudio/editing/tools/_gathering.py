"""What tools share that answer once: the way to the release, the class to paint, the tail."""

from __future__ import annotations

from collections.abc import Generator

from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.editing.geometry import Point
from segstudio.editing.tool import Answer, ToolView

__all__ = ["painted_class", "way_to_release"]


def way_to_release(
    event: PointerEvent,
) -> Generator[Answer, PointerEvent, list[Point]]:
    """Wait for the release; return the points from press to release.

    For ``points = yield from way_to_release(event)``; the next ``yield`` answers the release.
    """
    points = [(event.row, event.col)]
    while event.kind is not PointerKind.RELEASE:
        event = yield None
        points.append((event.row, event.col))
    return points


def painted_class(view: ToolView, event: PointerEvent) -> int:
    """Return the class that a button paints: the secondary one makes pixels unlabelled."""
    return view.ignore_index if event.secondary else view.active_class
