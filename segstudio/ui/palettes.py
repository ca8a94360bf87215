"""Which colours the classes are shown in: their own, or ones that the colour-blind tell apart.

Only what is on the screen changes; files keep the colours of the label space.

References
----------
M. Okabe and K. Ito, "Color Universal Design", 2008; P. Tol, "Colour Schemes", SRON/EPS/TN/09-002,
2021 (muted).
"""

from __future__ import annotations

from collections.abc import Sequence

from segstudio.core.label_space import LabelSpace
from segstudio.core.palette import Color

__all__ = ["PALETTES", "palette", "set_palette", "shown_color", "shown_colors"]

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

_choice = "own"


def palette() -> str:
    """Return the name of the palette in use."""
    return _choice


def set_palette(name: str) -> None:
    """Use another palette, one of `PALETTES`; anything else is the label space's own."""
    global _choice
    _choice = name if name in PALETTES else "own"


def shown_colors(space: LabelSpace) -> tuple[Color, ...]:
    """Return the colour of each class of a label space, as it is shown."""
    return tuple(shown_color(index, color) for index, color in enumerate(space.colors))


def shown_color(index: int, own: Color) -> Color:
    """Return the colour that a class is shown in, by its index and its own colour."""
    base: Sequence[Color] | None = _BASES.get(_choice)
    if base is None:
        return own
    color = base[index % len(base)]
    shade = _SHADES[index // len(base) % len(_SHADES)]
    end = 255 if shade > 0 else 0
    red, green, blue = (round(part + (end - part) * abs(shade)) for part in color)
    return red, green, blue
