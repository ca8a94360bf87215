"""A map of numbers that lets the picture show where there is little."""

from __future__ import annotations

import numpy as np

from segstudio.ui.canvas.colormaps import color_map, premultiplied
from segstudio.ui.canvas.overlays import ScalarOverlay

__all__ = ["HeatOverlay"]

_LEAST_ALPHA = 0.45
"""Of level 0: the picture is seen through a veil, dark enough that what is warm stands out."""


class HeatOverlay(ScalarOverlay):
    """A `ScalarOverlay` whose low levels are more transparent than its high ones.

    Parameters
    ----------
    name : str
        How the canvas finds it.
    colormap : str
        One of `segstudio.ui.canvas.colormaps.COLOR_MAPS`.
    opacity : float
        0..1, of the highest level.
    """

    def __init__(self, name: str, *, colormap: str = "magma", opacity: float = 0.75) -> None:
        super().__init__(name, colormap=colormap, opacity=opacity)
        alpha = np.rint(255 * np.linspace(_LEAST_ALPHA, 1.0, 256) ** 0.8).astype(np.uint8)
        self._table = premultiplied(color_map(colormap), alpha)
