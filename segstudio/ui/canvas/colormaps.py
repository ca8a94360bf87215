"""Colours of numbers: tables of 256 colours and of premultiplied pixels."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray

from segstudio.core.errors import UnknownNameError
from segstudio.core.palette import Color
from segstudio.core.types import LabelMap

__all__ = ["COLOR_MAPS", "color_map", "look_up", "premultiplied"]

COLOR_MAPS = ("gray", "magma", "viridis")
"""Names that `color_map` knows: black to white as in the literature, and two even ones."""


@functools.cache
def color_map(name: str) -> NDArray[np.uint8]:
    """Return a colour map as a table.

    Parameters
    ----------
    name : str
        One of `COLOR_MAPS`.

    Returns
    -------
    ndarray of shape (256, 3), uint8
        RGB of 0..255; read-only.

    Raises
    ------
    UnknownNameError
        If there is no such map.
    """
    if name not in COLOR_MAPS:
        raise UnknownNameError(
            f"There is no colour map {name!r}; choose one of {', '.join(COLOR_MAPS)}."
        )
    if name == "gray":
        table = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    else:
        table = pg.colormap.get(name).getLookupTable(nPts=256, alpha=False).astype(np.uint8)
    table.setflags(write=False)
    return table


def premultiplied(
    colors: NDArray[np.uint8] | Sequence[Color], alpha: NDArray[np.uint8] | int
) -> NDArray[np.uint32]:
    """Return pixels for colours and alphas, as `QImage.Format_ARGB32_Premultiplied` holds them.

    Parameters
    ----------
    colors : array-like of shape (N, 3), 0..255
        RGB.
    alpha : ndarray of shape (N,), or int
        0 transparent .. 255 opaque.

    Returns
    -------
    ndarray of shape (N,), uint32
        0xAARRGGBB with each colour ``round(color * alpha / 255)``.
    """
    rgb = np.asarray(colors, np.uint32).reshape(-1, 3)
    alphas = np.broadcast_to(np.asarray(alpha, np.uint32), rgb.shape[:1])
    rgb = (rgb * alphas[:, None] + 127) // 255
    packed = (alphas << 24) | (rgb[:, 0] << 16) | (rgb[:, 1] << 8) | rgb[:, 2]
    return packed.astype(np.uint32, copy=False)


def look_up(table: NDArray[np.uint32], indices: LabelMap, out: NDArray[np.uint32]) -> None:
    """Write ``table[indices]`` into ``out``.

    Parameters
    ----------
    table : ndarray of shape (256,) or (65536,), uint32
        As long as the index type has values, so that no index can miss it.
    indices : ndarray of shape (H, W), uint8 or uint16
        What to look up.
    out : ndarray of shape (H, W), uint32
        Where to write; may be a part of a larger array.
    """
    if indices.dtype == np.uint8 and indices.size and out.strides[-1] == out.itemsize:
        import cv2

        # OpenCV reads the table without first widening the indices to 64 bits, and writes where it
        # is told to.
        cv2.LUT(indices, table.view(np.int32)[None], out.view(np.int32))
    else:
        out[...] = table[indices]
