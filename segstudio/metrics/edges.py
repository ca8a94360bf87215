"""Which pixels lie near a boundary between two classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segstudio.core.types import LabelMap

__all__ = ["EDGE_DISTANCE", "edge_band"]

EDGE_DISTANCE = 3
"""Pixels (chessboard distance) from another class within which a pixel lies at an edge."""


def edge_band(target: LabelMap, classes: int) -> NDArray[np.bool_]:
    """Return which labelled pixels lie within `EDGE_DISTANCE` of another class.

    A pixel is at an edge when the 7 x 7 window around it, cut at the image's border, holds two
    different classes.  Ignored pixels are looked through: a border between a class and an ignore
    region is no class boundary, two classes on both sides of a thin ignore region are one.

    Parameters
    ----------
    target : ndarray of shape (H, W), uint8 or uint16
        Values from C on are ignored.
    classes : int
        C.

    Returns
    -------
    ndarray of shape (H, W), bool
    """
    if not target.size:
        return np.zeros(target.shape, bool)
    import cv2

    # Erosion is the minimum over the window, where an ignored pixel (above all classes) never
    # wins; dilation the maximum, where it must count as the lowest.  OpenCV leaves out what lies
    # beyond the image in both.
    window = np.ones((2 * EDGE_DISTANCE + 1,) * 2, np.uint8)
    labelled = target < classes
    lowest = cv2.erode(np.ascontiguousarray(target), window)
    highest = cv2.dilate(np.where(labelled, target, target.dtype.type(0)), window)
    band: NDArray[np.bool_] = (lowest != highest) & labelled
    return band
