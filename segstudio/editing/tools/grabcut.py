"""GrabCut: finds the border of a thing inside a box by the colours of the photograph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.options import option
from segstudio.core.patch import MaskPatch
from segstudio.core.pointer import PointerEvent
from segstudio.core.types import Image, Mask
from segstudio.editing.geometry import Point
from segstudio.editing.regions import grown_box, nearest_values
from segstudio.editing.shapes import box_between
from segstudio.editing.tool import TOOLS, EditingTool, StrokeGenerator, ToolView
from segstudio.editing.tools._gathering import painted_class, way_to_release

_MOST_PIXELS = 1 << 19
"""Pixels above which the photograph is looked at smaller; about a second of work for so many."""

_ENOUGH = 0.1
"""Share of the box from which on the active class in it is taken for a first guess of the thing."""

_SMALLEST = 4
"""Edge in pixels of the smallest box in which colours can be compared."""


@TOOLS.register("grabcut")
class GrabCut(EditingTool):
    """Paints what GrabCut [1]_ takes for the foreground of a box.

    Where a tenth of the box or more holds the active class already, that is its first guess of the
    thing, to be refined; otherwise the whole box is.

    References
    ----------
    .. [1] C. Rother, V. Kolmogorov, A. Blake, "GrabCut: interactive foreground extraction using
       iterated graph cuts", SIGGRAPH 2004.
    """

    title = "GrabCut"
    description = "Drag a box around a thing to paint it up to its border in the photograph."
    shortcut = "Shift+R"
    icon = "grabcut"
    group = "smart"
    place = 40
    outline = "box"

    @dataclass(frozen=True)
    class Options:
        """How long it looks, and what happens to what lies outside the border."""

        iterations: int = option(4, "Rounds of GrabCut.", minimum=1, maximum=20)
        trim: bool = option(
            False, "Take the class away from the rest of the box; its neighbours' class takes over."
        )

    def is_slow(self, options: Any) -> bool:
        """Return True: about one second for half a million pixels."""
        return True

    def stroke(self, view: ToolView, event: PointerEvent) -> StrokeGenerator:
        """Paint at the release.

        Raises
        ------
        ToolError
            When there is no photograph.
        """
        image = view.need_image()
        points = yield from way_to_release(event)
        yield _cut(view, image, points, painted_class(view, event))


def _cut(view: ToolView, image: Image, points: list[Point], value: int) -> MaskPatch | None:
    box = box_between(points[0], points[-1], height=view.height, width=view.width)
    if min(box.height, box.width) < _SMALLEST:
        return None
    # The surroundings are what the thing is told from.
    margin = max(_SMALLEST, (box.height + box.width) // 8)
    seen = grown_box(box, margin, view.height, view.width)
    inner = (
        slice(box.top - seen.top, box.bottom - seen.top),
        slice(box.left - seen.left, box.right - seen.left),
    )
    held = view.label_map[seen.slices] == view.active_class
    inside = np.zeros(held.shape, np.bool_)
    inside[inner] = True
    front = _foreground(image[seen.slices], inside, held & inside, view.options.iterations)[inner]
    new = view.label_map[box.slices]
    change = front
    if view.options.trim:
        rest = held & inside
        rest[inner] &= ~front
        new = nearest_values(view.label_map[seen.slices], rest)[inner]
        change = front | rest[inner]
    values = np.where(front, np.asarray(value, new.dtype), new)
    return view.patch_where(change, box, values)


def _foreground(image: NDArray[Any], inside: Mask, held: Mask, iterations: int) -> Mask:
    """Return which pixels of a part of the photograph are in front."""
    import cv2

    trimap: NDArray[Any] = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    if held.sum() >= _ENOUGH * inside.sum() and not held[inside].all():
        trimap[inside & ~held] = cv2.GC_PR_BGD
    # A box over the whole image leaves nothing around it: its rim has to be the background.
    for edge in (trimap[0], trimap[-1], trimap[:, 0], trimap[:, -1]):
        edge[:] = cv2.GC_BGD
    height, width = trimap.shape
    step = math.ceil(math.sqrt(height * width / _MOST_PIXELS))
    if step > 1:
        size = (math.ceil(width / step), math.ceil(height / step))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        trimap = cv2.resize(trimap, size, interpolation=cv2.INTER_NEAREST)
    if not (trimap != cv2.GC_BGD).any():
        return np.zeros((height, width), np.bool_)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    mode = cv2.GC_INIT_WITH_MASK
    cv2.setRNGSeed(0)  # the same box gives the same answer
    result, _, _ = cv2.grabCut(
        np.ascontiguousarray(image), trimap, (0, 0, 1, 1), *models, iterations, mode
    )
    front: NDArray[Any] = np.isin(result, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    if step > 1:
        front = cv2.resize(front, (width, height), interpolation=cv2.INTER_NEAREST)
    return front.astype(np.bool_) & inside
