"""What mouse, pen, wheel and keys mean on the canvas.

The only place where Qt's (x, y) becomes (row, col).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PySide6.QtCore import QCoreApplication, QEvent, QObject, QPointF, Qt, QTimer, Signal
from PySide6.QtGui import (
    QCursor,
    QEnterEvent,
    QFocusEvent,
    QInputEvent,
    QKeyEvent,
    QPointingDevice,
    QSinglePointEvent,
    QTabletEvent,
    QWheelEvent,
)

from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.ui.canvas.viewport import CanvasView

__all__ = ["Interaction", "PointerInput"]

Interaction = Literal["pan", "paint"]

_FRAME_MS = 16
_WHEEL_NOTCH = 120
_ZOOM_PER_NOTCH = 1.25
_CLICK_SLOP = 4.0
"""Logical pixels that the mouse may move between press and release of a click."""

_PRESSES = (QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonDblClick, QEvent.Type.TabletPress)
_MOVES = (QEvent.Type.MouseMove, QEvent.Type.TabletMove)
_RELEASES = (QEvent.Type.MouseButtonRelease, QEvent.Type.TabletRelease)


@dataclass(slots=True)
class _Stroke:
    button: Qt.MouseButton
    secondary: bool
    last: PointerEvent
    compressed: bool


@dataclass(slots=True)
class _Pan:
    button: Qt.MouseButton
    start: QPointF
    last: QPointF
    is_click: bool


class PointerInput(QObject):
    """Watches a view's viewport and says what the user does there.

    Attributes
    ----------
    pointer : Signal(PointerEvent)
        Every event of a stroke, in "paint".
    hovered : Signal(int or None, int or None)
        Row and column under the cursor, at most once a frame; None outside the image.
    clicked : Signal(int, int)
        Row and column of a click in "pan".
    moved : Signal(QPointF or None)
        The cursor in view coordinates, None when it left.
    brush_size_step : Signal(int)
        Notches of Alt + wheel.
    """

    pointer = Signal(object)
    hovered = Signal(object, object)
    clicked = Signal(int, int)
    moved = Signal(object)
    brush_size_step = Signal(int)
    cursor_changed = Signal()

    def __init__(self, view: CanvasView) -> None:
        super().__init__(view)
        self._view = view
        self._interaction: Interaction = "pan"
        self._stroke: _Stroke | None = None
        self._pan: _Pan | None = None
        self._space = False
        self._steps = 0
        self._hover_point: QPointF | None = None
        self._hover_pixel: tuple[int | None, int | None] = (None, None)
        self._hover_waits = False
        self._frame = QTimer(self)
        self._frame.setSingleShot(True)
        self._frame.setInterval(_FRAME_MS)
        self._frame.timeout.connect(self._on_frame)
        view.viewport().installEventFilter(self)
        view.installEventFilter(self)
        view.view_changed.connect(self._on_view_changed)

    @property
    def interaction(self) -> Interaction:
        """What the left button does."""
        return self._interaction

    @property
    def cursor_shape(self) -> Qt.CursorShape | None:
        """The cursor while panning is at hand, None otherwise."""
        if self._pan is not None:
            return Qt.CursorShape.ClosedHandCursor
        return Qt.CursorShape.OpenHandCursor if self._space else None

    def set_interaction(self, interaction: Interaction) -> None:
        """Choose what the left button does; a stroke under way is finished."""
        self._end_stroke(PointerKind.RELEASE)
        self._interaction = interaction
        self.cursor_changed.emit()

    def refresh_hover(self) -> None:
        """Say again what is under the cursor, because the image there is another."""
        self._hover_pixel = (-1, -1)
        self._schedule_hover()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take the events that mean something here and leave the others alone."""
        kind = event.type()
        if watched is self._view:
            return self._filter_view(kind, event)
        if kind in _PRESSES and isinstance(event, QSinglePointEvent):
            return self._press(event)
        if kind in _MOVES and isinstance(event, QSinglePointEvent):
            return self._move(event)
        if kind in _RELEASES and isinstance(event, QSinglePointEvent):
            return self._release(event)
        if kind == QEvent.Type.Wheel and isinstance(event, QWheelEvent):
            return self._wheel(event)
        if isinstance(event, QEnterEvent):
            self._point_at(event.position())  # it may rest there and never move
        elif kind == QEvent.Type.Leave:
            self._point_at(None)
        elif kind == QEvent.Type.Resize:
            # Panels that came or went moved the image under a cursor that rests.
            QTimer.singleShot(0, self, self._point_again)
        return False

    def _filter_view(self, kind: QEvent.Type, event: QEvent) -> bool:
        if kind == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            # Otherwise an action of the window bound to the same key would win.
            if event.key() == Qt.Key.Key_Space or (
                event.key() == Qt.Key.Key_Escape and self._stroke is not None
            ):
                event.accept()
                return True
        elif kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
            assert isinstance(event, QKeyEvent)
            self._key(event, pressed=kind == QEvent.Type.KeyPress)
            # pyqtgraph's view would swallow the key; the window's other widgets may want it.
            return True
        elif kind == QEvent.Type.FocusOut:
            assert isinstance(event, QFocusEvent)
            self._space = False
            self._end_stroke(PointerKind.RELEASE)
            self.cursor_changed.emit()
        elif kind == QEvent.Type.Hide:
            self._end_stroke(PointerKind.RELEASE)
        return False

    def _key(self, event: QKeyEvent, *, pressed: bool) -> None:
        event.ignore()
        if event.key() == Qt.Key.Key_Space:
            event.accept()
            if not event.isAutoRepeat():
                self._space = pressed
                self.cursor_changed.emit()
        elif event.key() == Qt.Key.Key_Escape and pressed and self._stroke is not None:
            event.accept()
            self._end_stroke(PointerKind.CANCEL)

    def _press(self, event: QSinglePointEvent) -> bool:
        event.accept()
        self._view.setFocus(Qt.FocusReason.MouseFocusReason)
        self._point_at(event.position())
        if self._stroke is not None or self._pan is not None:
            return True
        button = event.button()
        left = button == Qt.MouseButton.LeftButton
        if self._view.image_shape is None:
            return True
        if button == Qt.MouseButton.MiddleButton or (left and (self._space or self._is_pan())):
            point = event.position()
            is_click = left and not self._space
            self._pan = _Pan(button, point, point, is_click)
            self.cursor_changed.emit()
        elif not self._is_pan() and button in (
            Qt.MouseButton.LeftButton,
            Qt.MouseButton.RightButton,
        ):
            self._begin_stroke(event)
        return True

    def _move(self, event: QSinglePointEvent) -> bool:
        event.accept()
        point = event.position()
        if self._stroke is not None:
            moved = self._translate(PointerKind.MOVE, event, self._stroke.secondary)
            self._stroke.last = moved
            self.pointer.emit(moved)
        elif self._pan is not None:
            step = point - self._pan.last
            far = (point - self._pan.start).manhattanLength() > _CLICK_SLOP
            self._pan.is_click = self._pan.is_click and not far
            # A click with a trembling hand must not move the picture.
            if not self._pan.is_click:
                self._pan.last = point
                self._view.pan_by(step.x(), step.y())
        self._point_at(point)
        return True

    def _release(self, event: QSinglePointEvent) -> bool:
        event.accept()
        if self._stroke is not None and event.button() == self._stroke.button:
            self._stroke.last = self._translate(PointerKind.RELEASE, event, self._stroke.secondary)
            self._end_stroke(PointerKind.RELEASE)
        elif self._pan is not None and event.button() == self._pan.button:
            is_click, self._pan = self._pan.is_click, None
            self.cursor_changed.emit()
            row, col = self._pixel_at(event.position())
            if is_click and row is not None and col is not None:
                self.clicked.emit(row, col)
        return True

    def _wheel(self, event: QWheelEvent) -> bool:
        event.accept()
        delta = event.angleDelta()
        # With Alt held, Qt reports a vertical wheel as a horizontal one.
        notches = delta.y() or delta.x()
        if event.modifiers() & Qt.KeyboardModifier.AltModifier:
            self._steps += notches
            steps = int(self._steps / _WHEEL_NOTCH)
            self._steps -= steps * _WHEEL_NOTCH
            if steps:
                self.brush_size_step.emit(steps)
        elif notches:
            factor = _ZOOM_PER_NOTCH ** (notches / _WHEEL_NOTCH)
            self._view.set_scale(self._view.state.scale * factor, event.position())
        return True

    def _is_pan(self) -> bool:
        return self._interaction == "pan"

    def _begin_stroke(self, event: QSinglePointEvent) -> None:
        secondary = event.button() == Qt.MouseButton.RightButton or (
            isinstance(event, QTabletEvent)
            and event.pointerType() == QPointingDevice.PointerType.Eraser
        )
        attribute = Qt.ApplicationAttribute.AA_CompressHighFrequencyEvents
        compressed = QCoreApplication.testAttribute(attribute)
        # Each position of a fast stroke counts; painting is cheaper than a jagged line.
        QCoreApplication.setAttribute(attribute, False)
        press = self._translate(PointerKind.PRESS, event, secondary)
        self._stroke = _Stroke(event.button(), secondary, press, compressed)
        self.pointer.emit(press)

    def _end_stroke(self, kind: PointerKind) -> None:
        if self._stroke is None:
            return
        stroke, self._stroke = self._stroke, None
        QCoreApplication.setAttribute(
            Qt.ApplicationAttribute.AA_CompressHighFrequencyEvents, stroke.compressed
        )
        last = stroke.last
        self.pointer.emit(
            PointerEvent(
                kind,
                last.row,
                last.col,
                last.pressure,
                last.secondary,
                last.shift,
                last.control,
                last.alt,
            )
        )

    def _translate(
        self, kind: PointerKind, event: QSinglePointEvent, secondary: bool
    ) -> PointerEvent:
        row, col = self._view.image_position(event.position())
        pressure = event.pressure() if isinstance(event, QTabletEvent) else 1.0
        assert isinstance(event, QInputEvent)
        modifiers = event.modifiers()
        return PointerEvent(
            kind,
            row,
            col,
            pressure,
            secondary,
            bool(modifiers & Qt.KeyboardModifier.ShiftModifier),
            bool(modifiers & Qt.KeyboardModifier.ControlModifier),
            bool(modifiers & Qt.KeyboardModifier.AltModifier),
        )

    def _pixel_at(self, point: QPointF | None) -> tuple[int | None, int | None]:
        shape = self._view.image_shape
        if point is None or shape is None:
            return None, None
        row, col = self._view.image_position(point)
        if not (0 <= row < shape[0] and 0 <= col < shape[1]):
            return None, None
        return int(row), int(col)

    def _point_again(self) -> None:
        viewport = self._view.viewport()
        if viewport.underMouse() and self._stroke is None:
            self._point_at(QPointF(viewport.mapFromGlobal(QCursor.pos())))

    def _point_at(self, point: QPointF | None) -> None:
        self._hover_point = point
        self.moved.emit(point)
        self._schedule_hover()

    def _on_view_changed(self, _state: object) -> None:
        self._schedule_hover()

    def _schedule_hover(self) -> None:
        if self._frame.isActive():
            self._hover_waits = True
        else:
            self._emit_hover()

    def _on_frame(self) -> None:
        if self._hover_waits:
            self._emit_hover()

    def _emit_hover(self) -> None:
        self._hover_waits = False
        pixel = self._pixel_at(self._hover_point)
        if pixel != self._hover_pixel:
            self._hover_pixel = pixel
            self._frame.start()
            self.hovered.emit(*pixel)
