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
from PySide6.QtGui import QImage

from segstudio.core.types import BBox
from segstudio.ui.canvas.buffers import Buffers

__all__ = ["Pixels", "Raster", "Render", "View", "common_box", "halve", "parts_around"]

Pixels = NDArray[np.uint32]
"""(H, W) 0xAARRGGBB, colours premultiplied by alpha."""

Render = Callable[[int, BBox, Pixels], None]
"""``render(level, box, out)``: write what ``box`` of ``level`` shows into ``out``."""

_WHOLE_LEVEL = 1 << 21
"""Levels of so many pixels are one sheet: panning over them colours nothing."""

_MARGIN = 192
"""Pixels of a level around what is in view, so that not every step of panning needs a new sheet."""

_CHUNK_PIXELS = 1 << 18
"""Pixels coloured or copied at once: temporaries stay in the cache, and the time is looked at."""

_AT_ONCE = 1 << 16
"""A box of more pixels is coloured when it is painted: several of them then cost what one does."""

_KEPT = 2
"""Sheets: the level shown and the one shown before, for zooming to and fro."""

_MOST_BOXES = 8
"""Boxes to colour anew that a sheet keeps apart."""

_BUFFERS = Buffers(1 << 24)
"""What sheets that were dropped leave to the next ones, of any layer."""


@dataclass(slots=True, eq=False)
class _Sheet:
    """A part of one level; ``blank`` was never coloured, ``stale`` has to be coloured anew."""

    level: int
    box: BBox
    memory: Pixels
    pixels: Pixels
    image: QImage
    blank: list[BBox]
    stale: list[BBox] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether all of it shows what it should."""
        return not (self.blank or self.stale)

    def add_stale(self, box: BBox) -> None:
        """Note a box to be coloured anew."""
        last = self.stale[-1] if self.stale else None
        if last is not None and (len(self.stale) == _MOST_BOXES or common_box(last, box)):
            self.stale[-1] = last.union(box)
        else:
            self.stale.append(box)


@dataclass(frozen=True, slots=True)
class View:
    """What can be painted of a level.

    Attributes
    ----------
    image : QImage
        Valid until the raster is asked again.
    box : BBox
        What the image shows of the level.
    blank : tuple of BBox
        Parts of the level where the image holds nothing yet.
    whole : bool
        Whether nothing is left to be coloured.
    """

    image: QImage
    box: BBox
    blank: tuple[BBox, ...]
    whole: bool


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

    def view(self, level: int, box: BBox, *, budget: float = math.inf) -> View:
        """Return a picture of at least a box of a level.

        Parameters
        ----------
        level : int
        box : BBox
            In pixels of the level; what lies outside of it is left away.
        budget : float
            Seconds after which colouring stops.
        """
        deadline = time.perf_counter() + budget
        sheet = self._sheet(level, box.clipped(*self._level_shape(level)), deadline)
        self._settle(sheet, deadline)
        return View(sheet.image, sheet.box, tuple(sheet.blank), sheet.is_whole)

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
            part = sheet.box if box is None else common_box(_at_level(box, sheet.level), sheet.box)
            if part is None:
                continue
            small = part.height * part.width <= _AT_ONCE
            if number == 0 and small and sheet.is_whole and not (later or box is None):
                self._write(sheet, part)
            else:
                sheet.add_stale(part)

    def forget(self) -> None:
        """Forget everything that was coloured, because the data are others."""
        for sheet in self._sheets:
            _BUFFERS.give(sheet.memory)
        self._sheets = []

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
            if sheet.level == level and common_box(sheet.box, box) == box:
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
        count = box.height * box.width
        memory = _BUFFERS.take(count)
        pixels = memory[:count].reshape(box.height, box.width)
        # The buffer must outlive the image that looks into it: they are kept together.
        image = QImage(memory.data, box.width, box.height, 4 * box.width, self._format)
        return _Sheet(level, box, memory, pixels, image, [] if box.is_empty else [box])

    def _drop(self, sheet: _Sheet) -> None:
        self._sheets = [one for one in self._sheets if one is not sheet]
        _BUFFERS.give(sheet.memory)

    def _take_over(self, sheet: _Sheet, old: _Sheet, deadline: float) -> None:
        """Copy what two sheets of a level share, from the top, until the time is over."""
        common = common_box(sheet.box, old.box)
        if common is None:
            return
        rows, bottom = max(1, _CHUNK_PIXELS // common.width), common.top
        while bottom < common.bottom and (bottom == common.top or time.perf_counter() < deadline):
            part = BBox(bottom, common.left, min(bottom + rows, common.bottom), common.right)
            sheet.pixels[_within(part, sheet.box)] = old.pixels[_within(part, old.box)]
            bottom = part.bottom
        copied = BBox(common.top, common.left, bottom, common.right)
        sheet.blank = parts_around(copied, sheet.box)
        for boxes, known in ((sheet.blank, old.blank), (sheet.stale, old.stale)):
            shared = [common_box(copied, box) for box in known]
            boxes.extend(box for box in shared if box is not None)

    def _settle(self, sheet: _Sheet, deadline: float) -> None:
        """Colour what is not coloured yet, then what is stale, until the time is over."""
        if sheet.is_whole:
            return
        while boxes := sheet.blank or sheet.stale:
            box = boxes[0]
            middle = min(box.top + max(1, _CHUNK_PIXELS // box.width), box.bottom)
            self._write(sheet, BBox(box.top, box.left, middle, box.right))
            rest = BBox(middle, box.left, box.bottom, box.right)
            boxes[:1] = [] if rest.is_empty else [rest]
            if time.perf_counter() > deadline:
                break
        self._after()

    def _write(self, sheet: _Sheet, box: BBox) -> None:
        self._render(sheet.level, box, sheet.pixels[_within(box, sheet.box)])


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


def common_box(one: BBox, other: BBox) -> BBox | None:
    """Return what two boxes share, None when that is nothing."""
    top, left = max(one.top, other.top), max(one.left, other.left)
    bottom, right = min(one.bottom, other.bottom), min(one.right, other.right)
    return None if top >= bottom or left >= right else BBox(top, left, bottom, right)


def parts_around(inner: BBox, outer: BBox) -> list[BBox]:
    """Return boxes that fill ``outer`` but for ``inner``, which lies in it."""
    parts = (
        BBox(outer.top, outer.left, inner.top, outer.right),
        BBox(inner.bottom, outer.left, outer.bottom, outer.right),
        BBox(inner.top, outer.left, inner.bottom, inner.left),
        BBox(inner.top, inner.right, inner.bottom, outer.right),
    )
    return [part for part in parts if not part.is_empty]


def _at_level(box: BBox, level: int) -> BBox:
    """Return the pixels of a level under which a box of level 0 lies."""
    step = 1 << level
    return BBox(box.top // step, box.left // step, -(-box.bottom // step), -(-box.right // step))


def _within(box: BBox, outer: BBox) -> tuple[slice, slice]:
    """Return the slices of a box in the pixels of the one around it."""
    return (
        slice(box.top - outer.top, box.bottom - outer.top),
        slice(box.left - outer.left, box.right - outer.left),
    )
