"""Connected components of label maps of many classes, all classes in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from segstudio.core.types import LabelMap

__all__ = ["CONNECTIVITY", "Components", "find_components", "label_codes"]

CONNECTIVITY: Final = 8
"""Pixels that touch at a corner are connected: a pole or a lane line one pixel wide stays one
object where it runs diagonally.  The default of OpenCV, scikit-image and cc3d too; scipy's is 4."""


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """The connected components of a label map, numbered 1..N in no promised order.

    Attributes
    ----------
    ids : ndarray of shape (H, W), unsigned
        Number of the component that holds the pixel, 0 for none.
    values : ndarray of shape (N + 1,), int64
        Value of each component's pixels; ``values[0]`` is -1.
    areas : ndarray of shape (N + 1,), int64
        Pixels of each component; ``areas[0]`` those of none.
    """

    ids: NDArray[Any]
    values: NDArray[np.int64]
    areas: NDArray[np.int64]

    def __len__(self) -> int:
        """Return N."""
        return len(self.areas) - 1

    def boxes(self) -> NDArray[np.int64]:
        """Return the smallest box of each component, shape (N, 4).

        Columns are top, left, bottom, right as in `segstudio.core.types.BBox`, half-open.
        """
        if not len(self):
            return np.zeros((0, 4), np.int64)
        # cc3d's are top, bottom, left, right, inclusive.
        corners = self._statistics("bounding_boxes").astype(np.int64)
        return corners[:, [0, 2, 1, 3]] + np.array([0, 0, 1, 1])

    def centroids(self) -> NDArray[np.float64]:
        """Return the mean (row, column) of each component's pixels, shape (N, 2)."""
        if not len(self):
            return np.zeros((0, 2))
        return self._statistics("centroids").astype(np.float64, copy=False)

    def _statistics(self, what: Literal["bounding_boxes", "centroids"]) -> NDArray[Any]:
        """Return a table of cc3d's, without its row 0 for what is in no component."""
        import cc3d

        return np.asarray(cc3d.statistics(self.ids, no_slice_conversion=True)[what])[1:]


def find_components(label_map: LabelMap, *, void: int | None = None) -> Components:
    """Return the connected regions of equal value.

    Parameters
    ----------
    label_map : ndarray of shape (H, W), uint8, uint16 or uint32
    void : int, optional
        Value whose pixels belong to no component.
    """
    largest = int(label_map.max(initial=0))
    dtype = next(kind for kind in (np.uint8, np.uint16, np.uint32) if largest < np.iinfo(kind).max)
    codes: NDArray[Any] = np.add(label_map.astype(dtype, copy=False), 1, dtype=dtype)
    if void is not None:
        codes[label_map == void] = 0
    ids, count = label_codes(codes)
    if not ids.size:
        return Components(ids, np.full(1, -1), np.zeros(1, np.int64))
    # Whole runs of pixels at once: label maps have a hundredth as many runs as pixels.
    flat = ids.reshape(-1)
    starts = np.flatnonzero(np.concatenate(([True], flat[1:] != flat[:-1])))
    lengths = np.diff(starts, append=flat.size)
    areas = np.bincount(flat[starts], weights=lengths, minlength=count + 1)  # exact below 2^53
    values = np.empty(count + 1, np.int64)
    values[flat[starts]] = label_map.reshape(-1)[starts]
    values[0] = -1
    return Components(ids, values, areas.astype(np.int64))


def label_codes(codes: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return (component numbers, N) of a C-contiguous, writable map in which 0 is background."""
    import cc3d

    if not codes.size:
        return np.zeros(codes.shape, np.uint16), 0
    ids, count = cc3d.connected_components(codes, connectivity=CONNECTIVITY, return_N=True)
    return ids, int(count)
