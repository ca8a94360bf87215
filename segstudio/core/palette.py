"""Colours of classes."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segstudio.core.types import Image, LabelMap

__all__ = ["Color", "apply_palette", "color_table", "distinct_colors", "hex_color"]

Color = tuple[int, int, int]
"""Red, green, blue, 0..255."""


def distinct_colors(count: int) -> list[Color]:
    """Return ``count`` colours that neighbours in the list do not share.

    Hues advance by the golden ratio, which keeps any prefix of the list well spread; lightness
    and saturation alternate so that colours of near hues still differ.
    """
    colors = []
    for index in range(count):
        hue = (0.04 + index * 0.6180339887498949) % 1.0
        lightness = (0.55, 0.42, 0.68)[index % 3]
        saturation = (0.65, 0.85)[index // 3 % 2]
        red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
        colors.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colors


def hex_color(color: Color) -> str:
    """Return ``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def color_table(colors: Sequence[Color], *, dtype: type = np.uint8) -> NDArray[np.uint8]:
    """Return a look-up table from any label value to RGB.

    Parameters
    ----------
    colors : sequence of (R, G, B)
        Colour of class index 0, 1, ...
    dtype : type
        Integer type of the label maps, ``np.uint8`` or ``np.uint16``.

    Returns
    -------
    ndarray of shape (256 or 65536, 3), uint8
        Values without a class, the ignore index among them, are black.
    """
    table = np.zeros((np.iinfo(dtype).max + 1, 3), np.uint8)
    if colors:
        table[: len(colors)] = np.asarray(colors, np.uint8)
    return table


def apply_palette(label_map: LabelMap, colors: Sequence[Color]) -> Image:
    """Return the (H, W, 3) RGB picture of an (H, W) label map."""
    return color_table(colors, dtype=label_map.dtype.type)[label_map]
