"""Figures that take several clicks: the corners are gathered here and painted when it is done."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QObject, Signal

from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.editing.tool import Outline
from segstudio.ui.actions import Actions
from segstudio.ui.canvas.image_canvas import ImageCanvas
from segstudio.ui.canvas.previews import OutlineKind, OutlinePreview

__all__ = ["ShapeGesture"]

_NEAR = 8.0
"""Screen pixels within which a click means the corner that is there."""

_DRAGGED = 6.0
"""Screen pixels from which on a drag sets two corners, where it began and where it ended."""

_KEYS = ("finish_shape", "shape_back", "cancel_shape")


class ShapeGesture(QObject):
    """Turns clicks into the way of one stroke.

    A click sets a corner; a click on the last one (so a double click), a click on the first one,
    the other button or Enter finishes; Backspace takes a corner back, Esc gives up.  Nothing is
    painted before, so one can pan, zoom, undo and choose another class meanwhile.

    Attributes
    ----------
    finished : Signal(list of PointerEvent)
        The stroke: press, moves and release.
    """

    finished = Signal(list)

    def __init__(self, canvas: ImageCanvas, actions: Actions, preview: OutlinePreview) -> None:
        super().__init__(canvas)
        self._canvas, self._preview = canvas, preview
        self._actions = [actions[name] for name in _KEYS]
        self._corners: list[PointerEvent] = []
        self._pressed: PointerEvent | None = None
        self._outline: Outline = "path"
        for action, deed in zip(self._actions, (self.finish, self.back, self.cancel), strict=True):
            action.triggered.connect(lambda _checked, deed=deed: deed())
        canvas.hovered.connect(self._on_hovered)
        self._show(None)

    @property
    def corners(self) -> int:
        """How many corners are set."""
        return len(self._corners)

    def handle(self, event: PointerEvent, outline: Outline) -> None:
        """Take what the pointer did with a tool of several clicks."""
        self._outline = outline
        if event.kind is PointerKind.PRESS:
            self._press(event)
        elif event.kind is PointerKind.RELEASE:
            start, self._pressed = self._pressed, None
            if start is not None and self._corners and self._gap(start, event) > _DRAGGED:
                self._corners.append(event)
            self._show(None)
        elif event.kind is PointerKind.CANCEL:
            self.cancel()
        else:
            self._show((event.row, event.col))

    def finish(self) -> None:
        """Hand on the corners, if there are any."""
        corners = self._corners
        self.cancel()
        if not corners:
            return
        kinds = [PointerKind.PRESS, *[PointerKind.MOVE] * (len(corners) - 1), PointerKind.RELEASE]
        first = corners[0]
        self.finished.emit(
            [
                replace(event, kind=kind, secondary=first.secondary)
                for kind, event in zip(kinds, [*corners, corners[-1]], strict=True)
            ]
        )

    def back(self) -> None:
        """Take the last corner back."""
        self._corners = self._corners[:-1]
        self._show(None)

    def cancel(self) -> None:
        """Give up what was begun."""
        self._corners, self._pressed = [], None
        self._show(None)

    def _press(self, event: PointerEvent) -> None:
        corners = self._corners
        if corners:
            closes = self._outline == "area" and len(corners) > 2
            again = len(corners) > 1 and self._gap(corners[-1], event) <= _NEAR
            if (
                again
                or event.secondary != corners[0].secondary
                or (closes and self._gap(corners[0], event) <= _NEAR)
            ):
                self.finish()
                return
        self._pressed = event
        corners.append(event)
        self._show(None)

    def _gap(self, one: PointerEvent, other: PointerEvent) -> float:
        """Return the distance of two events in screen pixels."""
        way = self._canvas.widget_position(one.row, one.col) - self._canvas.widget_position(
            other.row, other.col
        )
        return float(way.manhattanLength())

    def _on_hovered(self, row: int | None, col: int | None) -> None:
        if self._corners and row is not None and col is not None:
            self._show((row + 0.5, col + 0.5))

    def _show(self, pointer: tuple[float, float] | None) -> None:
        for action in self._actions:
            action.setEnabled(bool(self._corners))
        points = [(event.row, event.col) for event in self._corners]
        if not points:
            self._preview.clear()
            return
        kind: OutlineKind = "area" if self._outline == "area" else "path"
        way = points if pointer is None else [*points, pointer]
        self._preview.show_way(way, kind, corners=len(points))
