"""What paints a `Raster` on the canvas."""

from __future__ import annotations

import math
import time

from PySide6.QtCore import QRectF, QTimer
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QGraphicsItem, QGraphicsObject, QStyleOptionGraphicsItem, QWidget

from segstudio.core.types import BBox
from segstudio.ui.canvas.raster import Raster, View, common_box, parts_around

__all__ = ["FRAME_SECONDS", "RasterItem"]

FRAME_SECONDS = 0.012
"""Seconds for which all layers together colour during one repaint; what is left comes with the
next, the window stays alive."""


def _left_of_frame(viewport: QWidget | None) -> float:
    """Return the seconds that a layer may colour in this repaint of a view.

    A view that says in ``frame_ends`` when colouring has to stop shares them among its layers.
    """
    ends = getattr(None if viewport is None else viewport.parent(), "frame_ends", None)
    return FRAME_SECONDS if ends is None else max(0.0, ends - time.perf_counter())


class RasterItem(QGraphicsObject):
    """Paints a `Raster` so that image pixel (row, col) covers x col..col+1, y row..row+1.

    Parameters
    ----------
    smooth_below : float
        Device pixels per image pixel under which colours are interpolated; from there on every
        image pixel is a crisp square.
    """

    def __init__(self, smooth_below: float) -> None:
        super().__init__()
        self._raster: Raster | None = None
        self._smooth_below = smooth_below
        self._more = QTimer(self)
        self._more.setSingleShot(True)
        self._more.setInterval(0)
        self._more.timeout.connect(self.update)
        self.setFlag(QGraphicsItem.GraphicsItemFlag.ItemUsesExtendedStyleOption)

    def set_raster(self, raster: Raster | None) -> None:
        """Show another picture, or none."""
        before = self._raster.shape if self._raster else None
        after = raster.shape if raster else None
        if before != after:
            self.prepareGeometryChange()
        self._raster = raster
        self.update()

    def update_box(self, box: BBox) -> None:
        """Have a box of the picture repainted."""
        # Interpolation and half-size levels carry a pixel's colour a little over its own border.
        scale = self.sceneTransform().m11()
        margin = 1.0 if scale >= 1.0 else min(2.0 / max(scale, 1e-6), 4096.0)
        rect = QRectF(box.left, box.top, box.width, box.height)
        self.update(rect.adjusted(-margin, -margin, margin, margin))

    def boundingRect(self) -> QRectF:
        """Return the picture's rectangle in image coordinates."""
        if self._raster is None:
            return QRectF()
        height, width = self._raster.shape
        return QRectF(0.0, 0.0, width, height)

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        """Paint the exposed part at the level that fits the zoom."""
        raster = self._raster
        if raster is None:
            return
        scale = painter.deviceTransform().m11()
        level = raster.best_level(scale)
        step = float(1 << level)
        exposed = option.exposedRect.adjusted(-2.0 * step, -2.0 * step, 2.0 * step, 2.0 * step)
        needed = exposed & self.boundingRect()
        wanted = BBox(
            math.floor(needed.top() / step),
            math.floor(needed.left() / step),
            math.ceil(needed.bottom() / step),
            math.ceil(needed.right() / step),
        )
        view = raster.view(level, wanted, budget=_left_of_frame(widget))
        # A picture that comes in parts is drawn quickly; interpolating it each time takes longer
        # than colouring the next part.
        smooth = view.whole and scale < self._smooth_below and scale != 1.0
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)
        if not view.whole:
            self._more.start()
        for part in _colored(wanted, view):
            # A level's last row or column may reach beyond the picture, when its size is odd.
            target = QRectF(
                part.left * step, part.top * step, part.width * step, part.height * step
            )
            target &= self.boundingRect()
            source = QRectF(
                target.x() / step - view.box.left,
                target.y() / step - view.box.top,
                target.width() / step,
                target.height() / step,
            )
            painter.drawImage(target, view.image, source)


def _colored(wanted: BBox, view: View) -> list[BBox]:
    """Return the parts of a box that a view has colours for."""
    box = common_box(wanted, view.box)
    parts = [] if box is None else [box]
    for blank in view.blank:
        left: list[BBox] = []
        for part in parts:
            hole = common_box(part, blank)
            left += [part] if hole is None else parts_around(hole, part)
        parts = left
    return parts
