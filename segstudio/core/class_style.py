"""How classes are told apart on screens and in figures: palettes for everyone, patterns in fills.

Label maps and label spaces on the disk keep their own colours; what is drawn for people to look at
follows a `ClassStyle`.

References
----------
M. Okabe and K. Ito, "Color Universal Design", 2008; P. Tol, "Colour Schemes", SRON/EPS/TN/09-002,
2021 (muted).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segstudio.core.palette import Color
from segstudio.core.types import BBox, Image, LabelMap

__all__ = [
    "OWN_COLORS",
    "PALETTES",
    "ClassStyle",
    "class_pattern",
    "draw_patterns",
    "line_colors",
    "pattern_tile",
]

PALETTES = {
    "own": "Colours: of the label space",
    "okabe_ito": "Colours: Okabe and Ito, for the colour-blind",
    "tol": "Colours: Tol muted, for the colour-blind",
}
"""Name -> how a person reads it."""

_BASES: dict[str, tuple[Color, ...]] = {
    "okabe_ito": (
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
        (153, 153, 153),
    ),
    "tol": (
        (204, 102, 119),
        (51, 34, 136),
        (221, 204, 119),
        (17, 119, 51),
        (136, 204, 238),
        (136, 34, 85),
        (68, 170, 153),
        (153, 153, 51),
        (170, 68, 153),
    ),
}

_SHADES = (0.0, -0.45, 0.45)
"""Towards black or white: the colours of the second and third turn through a palette."""


@dataclass(frozen=True, slots=True)
class ClassStyle:
    """How classes are drawn.

    Attributes
    ----------
    palette : str
        One of `PALETTES`; "own" is the label space's colours.
    patterns : bool
        Whether fills have a pattern by class index, `class_pattern`, beside their colour.
    """

    palette: str = "own"
    patterns: bool = False

    def color(self, index: int, own: Color) -> Color:
        """Return the colour of a class, by its index and its own colour."""
        base: Sequence[Color] | None = _BASES.get(self.palette)
        if base is None:
            return own
        color = base[index % len(base)]
        shade = _SHADES[index // len(base) % len(_SHADES)]
        end = 255 if shade > 0 else 0
        red, green, blue = (round(part + (end - part) * abs(shade)) for part in color)
        return red, green, blue

    def colors(self, own: Sequence[Color]) -> tuple[Color, ...]:
        """Return the colours of the classes 0, 1, ..., by their own colours."""
        return tuple(self.color(index, color) for index, color in enumerate(own))


OWN_COLORS = ClassStyle()
"""The label space's colours without patterns."""

_PATTERN_SIZE = 8
_SMALL = 480
"""Pixels of the longer side of a picture as it is looked at in a grid or a figure."""


def _patterns() -> list[NDArray[np.bool_]]:
    rows, columns = np.mgrid[:_PATTERN_SIZE, :_PATTERN_SIZE]
    rising, falling = (rows + columns) % 8 == 0, (rows - columns) % 8 == 0
    flat, upright = rows % 4 == 0, columns % 4 == 0
    dots = (rows % 4 < 2) & (columns % 4 < 2)
    nothing = np.zeros_like(rising)
    return [
        nothing,
        rising,
        falling,
        flat & (rows == 0),
        upright & (columns == 0),
        dots,
        rising | falling,
        (rows == 0) | (columns == 0),
    ]


_PATTERNS = _patterns()
"""What tells classes apart without their colours: (8, 8) tiles."""


def _row_tables() -> NDArray[np.uint8]:
    """Return (8, 256): in row r of its tile, class index k's lines are the set bits of [r, k]."""
    tiles = np.stack(_PATTERNS)[np.arange(256) % len(_PATTERNS)]
    return np.ascontiguousarray(np.packbits(tiles, axis=2, bitorder="little")[..., 0].T)


_ROW_TABLES = _row_tables()


def pattern_tile(class_index: int) -> NDArray[np.bool_]:
    """Return the (8, 8) tile of a class; every eighth has the same, the first has no lines."""
    return _PATTERNS[class_index % len(_PATTERNS)]


def class_pattern(labels: LabelMap, box: BBox, *, step: int = 1) -> NDArray[np.bool_]:
    """Return where the lines of the classes' patterns run.

    Parameters
    ----------
    labels : ndarray of shape (h, w)
        Class indices; see `pattern_tile`.
    box : BBox
        Where they lie, so that patterns of neighbouring boxes join.
    step : int
        Pixels of the map per pixel of a tile, along each side.
    """
    import cv2

    # A million pixels are a matter of few milliseconds: a brush of 2,000 px changes as many a move.
    indices = labels if labels.dtype == np.uint8 else (labels % len(_PATTERNS)).astype(np.uint8)
    bits = np.empty(indices.shape, np.uint8)
    for phase, rows in _tile_rows(box.top, box.bottom, step):
        cv2.LUT(indices[rows], _ROW_TABLES[phase], bits[rows])
    columns = np.arange(box.left, box.right) // step % _PATTERN_SIZE
    return (bits & (1 << columns).astype(np.uint8)) != 0


def _tile_rows(top: int, bottom: int, step: int) -> Iterator[tuple[int, slice]]:
    """Yield each row of a tile and which rows of a box from ``top`` to ``bottom`` look like it."""
    if step == 1:
        for first in range(min(_PATTERN_SIZE, bottom - top)):
            yield (top + first) % _PATTERN_SIZE, slice(first, None, _PATTERN_SIZE)
        return
    for tile_row in range(top // step, -(-bottom // step)):
        rows = slice(max(tile_row * step - top, 0), (tile_row + 1) * step - top)
        yield tile_row % _PATTERN_SIZE, rows


def draw_patterns(picture: Image, label_map: LabelMap, colors: Sequence[Color]) -> None:
    """Draw the classes' patterns into a picture of a whole label map, in place.

    A large picture is made small before anyone looks at all of it: its lines are wider.

    Parameters
    ----------
    picture : ndarray of shape (H, W, 3), uint8
        The map in the classes' colours.
    label_map : ndarray of shape (H, W), uint8 or uint16
    colors : sequence of (R, G, B)
        Of class 0, 1, ...; other values get no lines.
    """
    height, width = label_map.shape
    step = max(1, round(max(height, width) / _SMALL))
    lines = class_pattern(label_map, BBox(0, 0, height, width), step=step)
    lines &= label_map < len(colors)
    picture[lines] = line_colors(np.asarray(colors, np.uint8))[label_map[lines]]


def line_colors(colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the colours (C, 3) of lines that stand out from fills: dark on light and reverse."""
    values = colors.astype(np.float32)
    light = values @ np.array([0.299, 0.587, 0.114], np.float32) > 110.0
    lines = np.where(light[:, None], values * 0.35, 255.0 - (255.0 - values) * 0.35)
    return lines.astype(np.uint8)
