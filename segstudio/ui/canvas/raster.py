"""Pictures that are coloured only where they are looked at.

A `Raster` keeps a sheet: a 32-bit picture in a numpy buffer with a `QImage` over the same memory,
of the level of detail that the zoom asks for and as large as what is in view.  It is coloured from
the layer's data when it comes into view, and a stroke colours and repaints only its own box.  So
neither memory nor time depends on how large the image is, and a picture whose data lie in a file
(a memory-mapped label map) is painted like any other.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, QTimer
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QGraphicsItem, QGraphicsObject, QStyleOptionGraphicsItem, QWidget

from segstudio.core.types import BBox

__all__ = ["FRAME_SECONDS", "Pixels", "Raster", "RasterItem", "Render", "halve"]

Pixels = NDArray[np.uint32]
"""(H, W) 0xAARRGGBB, colours premultiplied by alpha."""

Render = Callable[[int, BBox, Pixels], None]
"""``render(level, box, out)``: write what ``box`` of ``level`` shows into ``out``."""

_WHOLE_LEVEL = 1 << 21
"""Levels of so many pixels are one sheet: panning over them colours nothing."""

_MARGIN = 192
"""Pixels of a level around what is in view, so that not every step of panning needs a new sheet."""

_CHUNK_PIXELS = 1 << 18
"""Pixels coloured at once: temporaries stay in the cache."""

_AT_ONCE = 1 << 16
"""A box of more pixels is coloured when it is painted: several of them then cost what one does."""

FRAME_SECONDS = 0.012
"""Seconds for which all layers together colour during one repaint; what is left comes with the
next, the window stays alive."""

_KEPT = 2
"""Sheets: the level shown and the one shown before, for zooming to and fro."""

_TAKEN_OVER = 1 << 20
"""Pixels of a strip that is coloured at once when the view moves: panning, not zooming."""

_BUFFER = 1 << 20
"""Buffers are multiples of so many pixels and used again: fresh memory is slow to touch."""

_REUSED = 1 << 22
"""Pixels up to which a buffer is used again.  To clear a larger one takes longer than a frame; a
fresh one comes cleared, page by page as it is coloured."""


@dataclass(slots=True, eq=False)
class _Sheet:
    """A part of one level; ``stale`` is the part of it that is not coloured yet."""

    level: int
    box: BBox
    memory: Pixels
    pixels: Pixels
    image: QImage
    stale: BBox | None = field(default=None)


class Raster:
    """A 32-bit picture at every level of detail.

    Parameters
    ----------
    height, width : int
        Size of level 0; level k is ``ceil(height / 2**k)`` x ``ceil(width / 2**k)``.
    render : callable
        Writes a box of a level, see `Render`.
    opaque : bool
        Whether every pixel is opaque; such pictures are painted without blending.
    after : callable
        Called when something came into view and was coloured.
    """

    def __init__(
        self,
        height: int,
        width: int,
        render: Render,
        *,
        opaque: bool = False,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._height, self._width = height, width
        self._render, self._after = render, after
        self._format = (
            QImage.Format.Format_RGB32 if opaque else QImage.Format.Format_ARGB32_Premultiplied
        )
        self._sheets: list[_Sheet] = []
        self._spare: list[Pixels] = []

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of level 0."""
        return self._height, self._width

    @property
    def pixels(self) -> Pixels:
        """All of level 0, coloured: as large as the image, so rather for small ones."""
        sheet = self._sheet(0, BBox(0, 0, self._height, self._width), math.inf)
        self._settle(sheet, math.inf)
        top, left = -sheet.box.top, -sheet.box.left
        return sheet.pixels[top : top + self._height, left : left + self._width]

    def view(self, level: int, box: BBox, *, budget: float = math.inf) -> tuple[QImage, BBox, bool]:
        """Return a picture of at least a box of a level.

        Parameters
        ----------
        level : int
        box : BBox
            In pixels of the level; what lies outside of it is left away.
        budget : float
            Seconds after which colouring stops.

        Returns
        -------
        (QImage, BBox, bool)
            The picture, valid until the next call; what it shows of the level; whether all of it
            is coloured.
        """
        deadline = time.perf_counter() + budget
        sheet = self._sheet(level, box.clipped(*self._level_shape(level)), deadline)
        self._settle(sheet, deadline)
        return sheet.image, sheet.box, sheet.stale is None

    def refresh(self, box: BBox | None = None, *, later: bool = False) -> None:
        """Colour a box of level 0 anew, at every level that is held.

        Parameters
        ----------
        box : BBox, optional
            Inside the picture; everything by default.
        later : bool
            Whether to wait until it is painted, for pictures that are hidden.
        """
        for number, sheet in enumerate(self._sheets):
            part = sheet.box if box is None else _common(_at_level(box, sheet.level), sheet.box)
            if part is None:
                continue
            small = part.height * part.width <= _AT_ONCE
            if number == 0 and small and sheet.stale is None and not (later or box is None):
                self._write(sheet, part)
            else:
                sheet.stale = part if sheet.stale is None else sheet.stale.union(part)

    def best_level(self, scale: float) -> int:
        """Return the smallest level that still has a pixel for each device pixel."""
        if scale >= 1.0 or scale <= 0.0:
            return 0
        deepest = max(0, int(math.log2(max(self.shape))))
        return min(deepest, int(-math.log2(scale) + 1e-9))

    def _level_shape(self, level: int) -> tuple[int, int]:
        step = 1 << level
        return -(-self._height // step), -(-self._width // step)

    def _sheet(self, level: int, box: BBox, deadline: float) -> _Sheet:
        """Return a sheet of a level that holds a box, the one there is or a new one."""
        for number, sheet in enumerate(self._sheets):
            if sheet.level == level and _holds(sheet.box, box):
                if number:
                    self._sheets.insert(0, self._sheets.pop(number))
                return sheet
        height, width = self._level_shape(level)
        if height * width <= _WHOLE_LEVEL:
            box = BBox(0, 0, height, width)
        else:
            box = BBox(
                box.top - _MARGIN, box.left - _MARGIN, box.bottom + _MARGIN, box.right + _MARGIN
            ).clipped(height, width)
        old = next((sheet for sheet in self._sheets if sheet.level == level), None)
        sheet = self._new_sheet(level, box)
        if old is not None:
            self._take_over(sheet, old, deadline)
            self._drop(old)
        self._sheets.insert(0, sheet)
        for late in self._sheets[_KEPT:]:
            self._drop(late)
        return sheet

    def _new_sheet(self, level: int, box: BBox) -> _Sheet:
        count = max(1, box.height * box.width)
        memory = next((one for one in self._spare if one.size >= count), None)
        if memory is None or count > _REUSED or memory.size > 4 * count + _BUFFER:
            memory = np.zeros(-(-count // _BUFFER) * _BUFFER, np.uint32)
        else:
            self._spare = [one for one in self._spare if one is not memory]
            memory[:count] = 0
        pixels = memory[: box.height * box.width].reshape(box.height, box.width)
        # The buffer must outlive the image that looks into it: they are kept together.
        image = QImage(memory.data, box.width, box.height, 4 * box.width, self._format)
        return _Sheet(level, box, memory, pixels, image, box)

    def _drop(self, sheet: _Sheet) -> None:
        self._sheets = [one for one in self._sheets if one is not sheet]
        self._spare = [one for one in (sheet.memory, *self._spare) if one.size <= _REUSED][:1]

    def _take_over(self, sheet: _Sheet, old: _Sheet, deadline: float) -> None:
        """Copy what two sheets of a level share, and colour now what is little."""
        common = _common(sheet.box, old.box)
        if common is None or old.stale is not None:
            return
        sheet.pixels[_within(common, sheet.box)] = old.pixels[_within(common, old.box)]
        whole = sheet.box
        rest = [
            BBox(whole.top, whole.left, common.top, whole.right),
            BBox(common.bottom, whole.left, whole.bottom, whole.right),
            BBox(common.top, whole.left, common.bottom, common.left),
            BBox(common.top, common.right, common.bottom, whole.right),
        ]
        sheet.stale = None
        for part in (part for part in rest if not part.is_empty):
            small = part.height * part.width <= _TAKEN_OVER
            if small and time.perf_counter() < deadline:
                self._write(sheet, part)
            else:
                sheet.stale = part if sheet.stale is None else sheet.stale.union(part)
        self._after()

    def _settle(self, sheet: _Sheet, deadline: float) -> None:
        """Colour what is stale, from the top, until the time is over."""
        if sheet.stale is not None:
            self._color(sheet, deadline)
            self._after()

    def _color(self, sheet: _Sheet, deadline: float) -> None:
        while sheet.stale is not None:
            stale = sheet.stale
            rows = max(1, _CHUNK_PIXELS // stale.width)
            middle = min(stale.top + rows, stale.bottom)
            self._write(sheet, BBox(stale.top, stale.left, middle, stale.right))
            rest = BBox(middle, stale.left, stale.bottom, stale.right)
            sheet.stale = None if rest.is_empty else rest
            if time.perf_counter() > deadline:
                return

    def _write(self, sheet: _Sheet, box: BBox) -> None:
        rows = max(1, _CHUNK_PIXELS // max(1, box.width))
        for top in range(box.top, box.bottom, rows):
            part = BBox(top, box.left, min(top + rows, box.bottom), box.right)
            self._render(sheet.level, part, sheet.pixels[_within(part, sheet.box)])


def halve(source: Pixels, out: Pixels) -> None:
    """Write the mean of each 2 x 2 pixels.

    Parameters
    ----------
    source : ndarray of shape (2 h or 2 h - 1, 2 w or 2 w - 1), uint32
        Pixels of the finer level.  A row or column left over at an odd edge stands for its missing
        neighbour too.
    out : ndarray of shape (h, w), uint32
    """
    import cv2

    height, width = out.shape
    missing = 2 * height - source.shape[0], 2 * width - source.shape[1]
    if any(missing):
        source = np.pad(source, ((0, missing[0]), (0, missing[1])), mode="edge")
    channels = np.ascontiguousarray(source).view(np.uint8).reshape(*source.shape, 4)
    small = cv2.resize(channels, (width, height), interpolation=cv2.INTER_AREA)
    out[...] = small.view(np.uint32).reshape(out.shape)


def _at_level(box: BBox, level: int) -> BBox:
    """Return the pixels of a level under which a box of level 0 lies."""
    step = 1 << level
    return BBox(box.top // step, box.left // step, -(-box.bottom // step), -(-box.right // step))


def _holds(outer: BBox, inner: BBox) -> bool:
    return (
        outer.top <= inner.top
        and outer.left <= inner.left
        and outer.bottom >= inner.bottom
        and outer.right >= inner.right
    )


def _common(one: BBox, other: BBox) -> BBox | None:
    top, left = max(one.top, other.top), max(one.left, other.left)
    bottom, right = min(one.bottom, other.bottom), min(one.right, other.right)
    return None if top >= bottom or left >= right else BBox(top, left, bottom, right)


def _within(box: BBox, outer: BBox) -> tuple[slice, slice]:
    """Return the slices of a box in the pixels of the one around it."""
    return (
        slice(box.top - outer.top, box.bottom - outer.top),
        slice(box.left - outer.left, box.right - outer.left),
    )


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
        image, shown, complete = raster.view(level, wanted, budget=_left_of_frame(widget))
        # A picture that comes in parts is drawn quickly; interpolating it each time takes longer
        # than colouring the next part.
        smooth = complete and scale < self._smooth_below and scale != 1.0
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)
        if not complete:
            self._more.start()
        part = wanted.clipped(shown.bottom, shown.right)
        # A level's last row or column may reach beyond the picture, when its size is odd.
        target = QRectF(part.left * step, part.top * step, part.width * step, part.height * step)
        target &= self.boundingRect()
        source = QRectF(
            target.x() / step - shown.left,
            target.y() / step - shown.top,
            target.width() / step,
            target.height() / step,
        )
        painter.drawImage(target, image, source)
