"""Pictures that are painted from memory that we own, and only where they changed.

A `Raster` is a 32-bit picture in a numpy buffer with a `QImage` over the same memory: whoever
writes a rectangle of the buffer and calls `RasterItem.update` on it has repainted that rectangle,
no copy and no conversion in between.  Half-size levels are made on demand, so that a large picture
seen from afar neither flickers nor costs more to paint than the screen has pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QGraphicsItem, QGraphicsObject, QStyleOptionGraphicsItem, QWidget

from segstudio.core.types import BBox

__all__ = ["Pixels", "Raster", "RasterItem", "Render"]

Pixels = NDArray[np.uint32]
"""(H, W) 0xAARRGGBB, colours premultiplied by alpha."""

Render = Callable[[int, BBox, Pixels], None]
"""``render(level, box, out)``: write what ``box`` of ``level`` shows into ``out``."""

_CHUNK_PIXELS = 1 << 21
"""Pixels rendered at once: temporaries stay in the cache and never reach the picture's size."""

_LONGEST_SOURCE = 16384
"""Qt's scaled painting counts source pixels in 16.16 fixed point; longer pictures are cut."""


class Raster:
    """A 32-bit picture and its half-size levels.

    Parameters
    ----------
    height, width : int
        Size of level 0; level k is ``ceil(height / 2**k)`` x ``ceil(width / 2**k)``.
    render : callable
        Writes a box of a level, see `Render`.  Level 0 always comes from it.
    opaque : bool
        Whether every pixel is opaque; such pictures are painted without blending.
    """

    def __init__(self, height: int, width: int, render: Render, *, opaque: bool = False) -> None:
        self._render = render
        self._format = (
            QImage.Format.Format_RGB32 if opaque else QImage.Format.Format_ARGB32_Premultiplied
        )
        self._levels: list[tuple[Pixels, QImage]] = []
        self._valid = 0
        self.renders_levels = False
        self._append(height, width)
        self._valid = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of level 0."""
        height, width = self._levels[0][0].shape
        return height, width

    @property
    def pixels(self) -> Pixels:
        """Level 0, the memory that is painted."""
        return self._levels[0][0]

    def image(self, level: int = 0) -> QImage:
        """Return the picture of a level, made now if it is missing."""
        while self._valid <= level:
            if len(self._levels) <= self._valid:
                height, width = self._levels[-1][0].shape
                self._append((height + 1) // 2, (width + 1) // 2)
            pixels = self._levels[self._valid][0]
            self._valid += 1
            self._write(self._valid - 1, BBox(0, 0, *pixels.shape))
        return self._levels[level][1]

    def refresh(self, box: BBox | None = None) -> None:
        """Render a box of level 0 anew, and what lies under it in the levels that exist.

        Parameters
        ----------
        box : BBox, optional
            Inside the picture; everything by default, and then the smaller levels are only made
            again when they are next painted.
        """
        if box is None:
            self._valid = 1
            self._write(0, BBox(0, 0, *self.shape))
            return
        self._write(0, box)
        for level in range(1, self._valid):
            box = BBox(box.top // 2, box.left // 2, (box.bottom + 1) // 2, (box.right + 1) // 2)
            self._write(level, box)

    def best_level(self, scale: float) -> int:
        """Return the smallest level that still has a pixel for each device pixel."""
        if scale >= 1.0 or scale <= 0.0:
            return 0
        deepest = max(0, int(math.log2(max(self.shape))))
        return min(deepest, int(-math.log2(scale) + 1e-9))

    def _append(self, height: int, width: int) -> None:
        pixels = np.zeros((height, width), np.uint32)
        # The buffer must outlive the image that looks into it: they are stored as a pair.
        image = QImage(pixels.data, width, height, 4 * width, self._format)
        self._levels.append((pixels, image))

    def _write(self, level: int, box: BBox) -> None:
        pixels = self._levels[level][0]
        rows = max(1, _CHUNK_PIXELS // max(1, box.width))
        for top in range(box.top, box.bottom, rows):
            part = BBox(top, box.left, min(top + rows, box.bottom), box.right)
            if level == 0 or self.renders_levels:
                self._render(level, part, pixels[part.slices])
            else:
                _halve(self._levels[level - 1][0], part, pixels[part.slices])


def _halve(source: Pixels, box: BBox, out: Pixels) -> None:
    """Write the mean of each 2 x 2 pixels of ``source`` that ``box`` of the next level covers."""
    import cv2

    height, width = source.shape
    bottom, right = min(2 * box.bottom, height), min(2 * box.right, width)
    block = source[2 * box.top : bottom, 2 * box.left : right]
    # A row or column left over at an odd edge stands for its missing neighbour too.
    missing = 2 * box.height - block.shape[0], 2 * box.width - block.shape[1]
    if any(missing):
        block = np.pad(block, ((0, missing[0]), (0, missing[1])), mode="edge")
    channels = np.ascontiguousarray(block).view(np.uint8).reshape(*block.shape, 4)
    small = cv2.resize(channels, (box.width, box.height), interpolation=cv2.INTER_AREA)
    out[...] = small.view(np.uint32).reshape(out.shape)


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
        if self._raster is None:
            return
        scale = painter.deviceTransform().m11()
        level = self._raster.best_level(scale)
        image = self._raster.image(level)
        painter.setRenderHint(
            QPainter.RenderHint.SmoothPixmapTransform, scale < self._smooth_below and scale != 1.0
        )
        target = self.boundingRect()
        if max(image.width(), image.height()) > _LONGEST_SOURCE:
            exposed = option.exposedRect.adjusted(-2.0, -2.0, 2.0, 2.0)
            target = QRectF(exposed.toAlignedRect()) & target
        factor = 0.5**level
        source = QRectF(
            target.x() * factor,
            target.y() * factor,
            target.width() * factor,
            target.height() * factor,
        )
        painter.drawImage(target, image, source)
