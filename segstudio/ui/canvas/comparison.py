"""The comparison grid under the pointer: drag and zoom in one cell, and all follow."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QKeyEvent, QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QWidget

from segstudio.ui.canvas.comparison_surface import ComparisonSurface

__all__ = ["ComparisonGrid"]

_ZOOM_PER_NOTCH = 1.25


class ComparisonGrid(ComparisonSurface):
    """Rows of models, columns of pictures, moved by the pointer; see `ComparisonSurface`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        self._drag: tuple[Qt.MouseButton, QPointF] | None = None
        super().__init__(parent)

    # -- pointer and keys ---------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin to drag the image."""
        if event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
            self.setFocus(Qt.FocusReason.MouseFocusReason)
            if self._drag is None and self._offset(event.position()) is not None:
                self._drag = event.button(), event.position()
                self.viewport().setCursor(Qt.CursorShape.ClosedHandCursor)
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the image in all cells, or move the crosses."""
        point = event.position()
        if self._drag is not None and self._view is not None:
            button, last = self._drag
            self._drag = button, point
            step = point - last
            self._set_view(self._view.panned(step.x(), step.y()))
        self._point_at(point)
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        if self._drag is not None and event.button() == self._drag[0]:
            self._drag = None
            self.viewport().setCursor(Qt.CursorShape.CrossCursor)
        event.accept()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Show the whole image again."""
        if event.button() == Qt.MouseButton.LeftButton and self._offset(event.position()):
            self.fit()
        event.accept()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom at the pointer; over names and with Shift the rows scroll."""
        notches = event.angleDelta().y() or event.angleDelta().x()
        offset = self._offset(event.position())
        shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if offset is None or shift:
            bar = self.verticalScrollBar()
            bar.setValue(bar.value() - round(notches * 0.7))
        elif notches:
            self._point = event.position()
            self.zoom_by(_ZOOM_PER_NOTCH ** (notches / 120), offset)
        event.accept()

    def viewportEvent(self, event: QEvent) -> bool:
        """Take the crosses away when the pointer leaves."""
        if event.type() == QEvent.Type.Leave:
            self._point_at(None)
        return super().viewportEvent(event)

    def event(self, event: QEvent) -> bool:
        """Keep Space for moving the picture: the window has no use for it here."""
        override = event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent)
        if override and event.key() == Qt.Key.Key_Space:  # type: ignore[attr-defined]
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Show the open hand while Space is held; Page keys scroll the rows."""
        if event.key() == Qt.Key.Key_Space:
            if not event.isAutoRepeat():
                self.viewport().setCursor(Qt.CursorShape.OpenHandCursor)
            return
        super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """End what Space began."""
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat() and self._drag is None:
            self.viewport().setCursor(Qt.CursorShape.CrossCursor)
        super().keyReleaseEvent(event)
