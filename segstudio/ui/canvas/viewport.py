"""The view: which part of the image is on the screen, and how large.

Scale is device pixels per image pixel: at 1.0 (100 %) one image pixel is one pixel of the screen,
whatever the desktop's scaling.  The view's edge always falls on a whole device pixel, so that at
100 % nothing is interpolated and panning does not shimmer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, QRectF, Signal
from PySide6.QtGui import QColor, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QGraphicsItem, QGraphicsView, QWidget

from segstudio.core.types import BBox
from segstudio.ui.canvas.raster_item import FRAME_SECONDS

__all__ = ["MAXIMUM_SCALE", "CanvasView", "ViewState"]

MAXIMUM_SCALE = 64.0
"""Device pixels per image pixel; nearer there is nothing more to see."""

_SMALLEST_EXTENT = 48.0
"""Device pixels that the image's longer side keeps when it is zoomed out."""

_FIT_MARGIN = 12
"""Logical pixels that stay free around a fitted image."""


@dataclass(frozen=True, slots=True)
class ViewState:
    """What a view shows.

    Attributes
    ----------
    center_row, center_col : float
        Image coordinates in the middle of the view.
    scale : float
        Device pixels per image pixel.
    fitted : bool
        Whether the whole image is kept in view as the window changes its size.
    """

    center_row: float = 0.0
    center_col: float = 0.0
    scale: float = 1.0
    fitted: bool = True


class CanvasView(pg.GraphicsView):
    """A graphics view whose `ViewBox` shows image coordinates, rows downwards, square pixels.

    Attributes
    ----------
    view_changed : Signal(ViewState)
        What is shown has moved or changed its size.
    frame_ends : float
        `time.perf_counter` at which the layers stop colouring in this repaint.
    """

    view_changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        self._state = ViewState()
        self._image_shape: tuple[int, int] | None = None
        self._left = self._top = 0.0
        self._emitting = False
        self.frame_ends = 0.0
        super().__init__(parent)
        self.box = pg.ViewBox(
            lockAspect=True, invertY=True, enableMenu=False, enableMouse=False, defaultPadding=0.0
        )
        # The box fills the view: clipping by it would only cost time.
        self.box.setFlag(QGraphicsItem.GraphicsItemFlag.ItemClipsChildrenToShape, False)
        self.box.disableAutoRange()
        self.setCentralItem(self.box)
        self.setCacheMode(QGraphicsView.CacheModeFlag.CacheNone)
        self.setViewportUpdateMode(QGraphicsView.ViewportUpdateMode.MinimalViewportUpdate)
        self.viewport().setMouseTracking(True)
        # Files are dropped on the whole canvas, not on the scene.
        self.setAcceptDrops(False)
        self.viewport().setAcceptDrops(False)

    @property
    def state(self) -> ViewState:
        """What is shown."""
        return self._state

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Height and width of the image, None without one."""
        return self._image_shape

    @property
    def logical_scale(self) -> float:
        """Qt's logical pixels per image pixel."""
        return self._state.scale / self.devicePixelRatioF()

    def set_image_shape(self, shape: tuple[int, int] | None) -> None:
        """Say how large the image is; the view stays unless the size is another."""
        if shape == self._image_shape:
            return
        self._image_shape = shape
        if shape is not None:
            self.fit()

    def fit(self) -> None:
        """Show the whole image, and go on doing so when the window changes its size."""
        if self._image_shape is None:
            return
        height, width = self._image_shape
        self._apply(ViewState(height / 2, width / 2, self._fit_scale(), True))

    def set_scale(self, scale: float, anchor: QPointF | None = None) -> None:
        """Show the image at a scale.

        Parameters
        ----------
        scale : float
            Device pixels per image pixel.
        anchor : QPointF, optional
            Point of the view that keeps its image pixel; the middle by default.
        """
        if self._image_shape is None:
            return
        ratio = self.devicePixelRatioF()
        anchor = QPointF(self.width() / 2, self.height() / 2) if anchor is None else anchor
        row, col = self.image_position(anchor)
        scale = min(max(scale, self._smallest_scale()), MAXIMUM_SCALE)
        center_row = row - (anchor.y() - self.height() / 2) * ratio / scale
        center_col = col - (anchor.x() - self.width() / 2) * ratio / scale
        self._apply(ViewState(center_row, center_col, scale, False))

    def pan_by(self, dx: float, dy: float) -> None:
        """Move the image by logical pixels to the right and down."""
        if self._image_shape is None:
            return
        state, scale = self._state, self.logical_scale
        self._apply(
            ViewState(
                state.center_row - dy / scale, state.center_col - dx / scale, state.scale, False
            )
        )

    def center_on(self, row: float, col: float) -> None:
        """Bring an image position to the middle, at the scale there is."""
        if self._image_shape is not None:
            self._apply(ViewState(row, col, self._state.scale, False))

    def reveal(self, box: BBox, *, maximum_scale: float = 8.0) -> None:
        """Bring a box to the middle, as large as it fits with its surroundings."""
        if self._image_shape is None or box.is_empty:
            return
        ratio = self.devicePixelRatioF()
        # Half of the view is left for what lies around: a region alone is hard to recognise.
        wanted = 0.5 * ratio * min(self.width() / box.width, self.height() / box.height)
        scale = min(max(wanted, min(self._fit_scale(), maximum_scale)), maximum_scale)
        self._apply(ViewState((box.top + box.bottom) / 2, (box.left + box.right) / 2, scale, False))

    def follow(self, state: ViewState) -> None:
        """Show what another view of an image of this size shows."""
        if self._emitting or state == self._state or self._image_shape is None:
            return
        if state.fitted:
            if not self._state.fitted:
                self.fit()
            return
        self._apply(state)

    def image_position(self, point: QPointF) -> tuple[float, float]:
        """Return the image (row, col) at a point of the view, in logical pixels."""
        scale = self.logical_scale
        return self._top + point.y() / scale, self._left + point.x() / scale

    def view_position(self, row: float, col: float) -> QPointF:
        """Return the point of the view, in logical pixels, at an image position."""
        scale = self.logical_scale
        return QPointF((col - self._left) * scale, (row - self._top) * scale)

    def add_layer_item(self, item: QGraphicsItem, z: float) -> None:
        """Put an item that paints in image coordinates (x = col, y = row) into the view."""
        self.box.addItem(item, ignoreBounds=True)
        item.setZValue(z)

    def set_background_color(self, color: QColor) -> None:
        """Set what lies around the photograph."""
        self.setBackground(color)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Say until when the layers may colour, then paint."""
        self.frame_ends = time.perf_counter() + FRAME_SECONDS
        super().paintEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the middle in the middle, or the whole image in view."""
        super().resizeEvent(event)
        if hasattr(self, "box"):
            self._reapply()

    def event(self, event: QEvent) -> bool:
        """Keep 100 % when the window moves to a screen of another pixel density."""
        handled: bool = super().event(event)
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            self._reapply()
        return handled

    def wheelEvent(self, event: QEvent) -> None:
        """Leave the wheel to the pointer input: the scene must not scroll."""
        event.ignore()

    def _reapply(self) -> None:
        if self._state.fitted:
            self.fit()
        elif self._image_shape is not None:
            self._apply(self._state)

    def _fit_scale(self) -> float:
        assert self._image_shape is not None
        height, width = self._image_shape
        room_x = max(self.width() - 2 * _FIT_MARGIN, 16)
        room_y = max(self.height() - 2 * _FIT_MARGIN, 16)
        scale = min(room_x / width, room_y / height) * self.devicePixelRatioF()
        return min(max(scale, self._smallest_scale()), MAXIMUM_SCALE)

    def _smallest_scale(self) -> float:
        assert self._image_shape is not None
        return min(1.0, _SMALLEST_EXTENT / max(self._image_shape))

    def _apply(self, state: ViewState) -> None:
        assert self._image_shape is not None
        height, width = self._image_shape
        state = ViewState(
            min(max(state.center_row, 0.0), float(height)),
            min(max(state.center_col, 0.0), float(width)),
            state.scale,
            state.fitted,
        )
        scale, ratio = state.scale, self.devicePixelRatioF()
        view_width, view_height = self.width() * ratio, self.height() * ratio
        self._left = round(state.center_col * scale - view_width / 2) / scale
        self._top = round(state.center_row * scale - view_height / 2) / scale
        self.box.setRange(
            QRectF(self._left, self._top, view_width / scale, view_height / scale), padding=0
        )
        changed = state != self._state
        self._state = state
        if changed:
            self._emitting = True
            try:
                self.view_changed.emit(state)
            finally:
                self._emitting = False
