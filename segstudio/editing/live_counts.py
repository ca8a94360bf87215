"""How many pixels each class has, following the strokes: a patch is counted, never the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from segstudio.core.patch import MaskPatch
from segstudio.core.types import LabelMap
from segstudio.editing.document import MaskDocument

__all__ = ["LiveCounts", "count_values"]

_MANY = 1 << 16
"""Pixels from which OpenCV's histogram beats numpy's: 0.4 against 5 ns each."""

_ROWS = 1024


def count_values(label_map: LabelMap, classes: int) -> NDArray[np.int64]:
    """Return how many pixels hold each class index.

    Parameters
    ----------
    label_map : ndarray of shape (H, W), uint8 or uint16
        The map; what is no class is not counted.
    classes : int
        C.

    Returns
    -------
    ndarray of shape (C,), int64
    """
    if label_map.dtype != np.uint8 or label_map.size < _MANY:
        return np.bincount(label_map.reshape(-1), minlength=classes)[:classes].astype(np.int64)
    import cv2

    total = np.zeros(256, np.int64)
    # OpenCV counts in float32, which is exact up to 2^24: no band has so many pixels.
    rows = max(1, min(_ROWS, (1 << 24) // label_map.shape[1]))
    for top in range(0, label_map.shape[0], rows):
        band = np.ascontiguousarray(label_map[top : top + rows])
        total += cv2.calcHist([band], [0], None, [256], [0, 256]).reshape(-1).astype(np.int64)
    return total[:classes]


class LiveCounts:
    """The pixels of each class of a document, always up to date.

    Parameters
    ----------
    document : MaskDocument
        What is painted; followed until `close`.
    """

    def __init__(self, document: MaskDocument) -> None:
        self._document = document
        self._counts = count_values(document.label_map, document.classes)
        document.changed.connect(self._on_changed)

    @property
    def shares(self) -> NDArray[np.float64]:
        """(C,) float64, 0..1: the pixels of each class divided by all of the image."""
        height, width = self._document.shape
        return self._counts / (height * width)

    @property
    def counts(self) -> NDArray[np.int64]:
        """(C,) int64: the pixels of each class; a copy."""
        return self._counts.copy()

    def close(self) -> None:
        """Stop following the document."""
        self._document.changed.disconnect(self._on_changed, missing_ok=True)

    def _on_changed(self, patch: MaskPatch) -> None:
        classes = self._document.classes
        self._counts += count_values(patch.after, classes) - count_values(patch.before, classes)
