"""Painting polygons and other drawn shapes into a map of source ids.

Pillow's drawing, which cityscapesScripts and labelme use too, so the pixels are theirs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError
from segstudio.core.types import Mask

__all__ = ["ShapePainter", "checked_points"]

_FAR = 10
"""Coordinates farther out than so many image sizes are moved there: drawing walks along edges."""


class ShapePainter:
    """A map of source ids that shapes are painted on, later ones on top.

    Shapes may reach beyond the image; what is outside is cut off.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image.
    background : int
        Value of pixels that no shape covers.
    """

    def __init__(self, shape: tuple[int, int], background: int = 0) -> None:
        from PIL import Image, ImageDraw

        self.shape = shape
        # 32 bits: Pillow draws ids above 255 in this mode only.
        self._picture = Image.new("I", (shape[1], shape[0]), background)
        self._draw = ImageDraw.Draw(self._picture)

    def polygon(self, points: Any, value: int, origin: str, *, outline: bool = False) -> None:
        """Paint a polygon; fewer than three points paint nothing.

        Raises
        ------
        LabelValueError
            When the points are no numbers; the message begins with ``origin``.
        """
        corners = self._near(points, origin)
        if len(corners) >= 3:
            self._draw.polygon(corners, fill=value, outline=value if outline else None)

    def rectangle(self, points: Any, value: int, origin: str) -> None:
        """Paint the rectangle between two opposite corners, both included."""
        corners = self._near(points, origin)
        if len(corners) >= 2:
            xs, ys = zip(*corners, strict=True)
            self._draw.rectangle((min(xs), min(ys), max(xs), max(ys)), fill=value)

    def ellipse(self, box: Any, value: int, origin: str) -> None:
        """Paint the ellipse in the rectangle between two opposite corners."""
        corners = self._near(box, origin)
        if len(corners) >= 2:
            xs, ys = zip(*corners, strict=True)
            self._draw.ellipse((min(xs), min(ys), max(xs), max(ys)), fill=value)

    def line(self, points: Any, value: int, origin: str, *, width: int) -> None:
        """Paint connected line segments ``width`` pixels wide."""
        corners = self._near(points, origin)
        if len(corners) >= 2:
            self._draw.line(corners, fill=value, width=width)

    def mask(self, mask: Mask, top: int, left: int, value: int) -> None:
        """Paint where ``mask`` is set; its upper left pixel lies at ``(top, left)``."""
        from PIL import Image

        rows = slice(max(0, -top), max(0, self.shape[0] - top))
        columns = slice(max(0, -left), max(0, self.shape[1] - left))
        part = np.ascontiguousarray(mask[rows, columns])
        if part.size:
            stencil = Image.fromarray(part.astype(np.uint8) * np.uint8(255))
            self._picture.paste(value, (max(left, 0), max(top, 0)), stencil)

    def _near(self, points: Any, origin: str) -> list[tuple[float, float]]:
        far = float(_FAR * max(self.shape))
        return [
            (min(max(x, -far), far), min(max(y, -far), far))
            for x, y in checked_points(points, origin)
        ]

    def pixels(self) -> NDArray[np.uint16]:
        """Return the (H, W) uint16 map painted so far."""
        return np.asarray(self._picture).astype(np.uint16)


def checked_points(points: Any, origin: str) -> list[tuple[float, float]]:
    """Return points as pairs of finite numbers.

    Raises
    ------
    LabelValueError
        When they are something else.
    """
    try:
        if not isinstance(points, Sequence) or isinstance(points, str):
            raise TypeError("no list of points")
        pairs = [(float(x), float(y)) for x, y in points]
    except (TypeError, ValueError, OverflowError) as error:
        raise LabelValueError(f"{origin} has points that are no pairs of numbers.") from error
    if not all(math.isfinite(x) and math.isfinite(y) for x, y in pairs):
        raise LabelValueError(f"{origin} has a point whose coordinates are no numbers.")
    return pairs
