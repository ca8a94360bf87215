"""Pictures inside a report: as text, and squares of a class's colour or pattern."""

from __future__ import annotations

import base64
import io
from functools import lru_cache

import numpy as np
from PIL import Image as PilImage

from segstudio.core.class_style import ClassStyle, draw_patterns, pattern_tile
from segstudio.core.palette import Color, hex_color
from segstudio.core.types import Image

__all__ = ["encode_picture", "swatch_css"]


@lru_cache(maxsize=1024)
def swatch_css(style: ClassStyle, class_index: int, own: Color) -> str:
    """Return what stands behind ``background:`` for a class.

    Parameters
    ----------
    style : ClassStyle
    class_index : int
    own : (R, G, B)
        The class's colour in its label space.
    """
    color = style.color(class_index, own)
    if not style.patterns or not pattern_tile(class_index).any():
        return hex_color(color)
    tile = np.full((8, 8, 3), color, np.uint8)
    labels = np.full((8, 8), class_index, np.uint16)
    draw_patterns(tile, labels, style.colors([own] * (class_index + 1)))
    return f"url({encode_picture(tile, lossy=False)})"


def encode_picture(picture: Image, *, lossy: bool) -> str:
    """Return a ``data:`` address of an RGB picture: a JPEG, or a PNG with every pixel as it is."""
    buffer = io.BytesIO()
    image = PilImage.fromarray(np.ascontiguousarray(picture))
    if lossy:
        image.save(buffer, "JPEG", quality=82)
    else:
        image.save(buffer, "PNG", optimize=True)
    kind = "jpeg" if lossy else "png"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
