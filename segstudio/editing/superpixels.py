"""Superpixels: small areas of one colour that the superpixel brush paints at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.types import BBox, Image, Mask
from segstudio.editing.geometry import moved

__all__ = ["Segments", "find_segments"]

_MOST_PIXELS = 1 << 20
"""Pixels of a view region above which it is looked at smaller: SLIC takes about 1 s for so many."""

_SMALLEST_EDGE = 10.0
"""Cells of the edge of a superpixel that is looked for on a smaller grid; tiny ones take long."""


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """The superpixels of a part of an image, on the grid on which they were looked for.

    Attributes
    ----------
    box : BBox
        The part.
    labels : ndarray of shape (h, w), int32
        Number of the superpixel of each cell of the grid, 0..N-1; h and w are the box's, or
        smaller by a factor.
    boxes : ndarray of shape (N, 4), int32
        Top, left, bottom and right of each, in cells.
    borders : ndarray of shape (h, w), bool
        Cells with another superpixel right of or below them, to be drawn.
    rows, columns : ndarray of shape (box.height,) and (box.width,), int64
        The cell of each row and column of the box.
    """

    box: BBox
    labels: NDArray[np.int32]
    boxes: NDArray[np.int32]
    borders: Mask
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    def numbers(self, box: BBox, mask: Mask) -> NDArray[np.int32]:
        """Return the numbers of the superpixels under some pixels, each once.

        Parameters
        ----------
        box : BBox
            A box of the image; what lies outside of the part is left out.
        mask : ndarray of shape (box.height, box.width), bool
            The pixels in it.
        """
        rows, columns = np.nonzero(mask)
        rows, columns = rows + (box.top - self.box.top), columns + (box.left - self.box.left)
        inside = (rows >= 0) & (columns >= 0)
        inside &= (rows < self.box.height) & (columns < self.box.width)
        found: NDArray[np.int32] = np.unique(
            self.labels[self.rows[rows[inside]], self.columns[columns[inside]]]
        )
        return found

    def area(self, numbers: NDArray[Any]) -> tuple[BBox, Mask]:
        """Return the pixels of some superpixels, at least one: a box of the image and a mask."""
        chosen = self.boxes[numbers]
        top, bottom = np.searchsorted(self.rows, (chosen[:, 0].min(), chosen[:, 2].max()))
        left, right = np.searchsorted(self.columns, (chosen[:, 1].min(), chosen[:, 3].max()))
        wanted = np.zeros(len(self.boxes), np.bool_)
        wanted[numbers] = True
        cells = np.ix_(self.rows[top:bottom], self.columns[left:right])
        mask: Mask = wanted[self.labels[cells]]
        box = BBox(int(top), int(left), int(bottom), int(right))
        return moved(box, self.box.top, self.box.left), mask


def find_segments(
    image: Image,
    box: BBox,
    *,
    size: int,
    compactness: float,
    levels: Sequence[Image] = (),
) -> Segments:
    """Return the superpixels of a part of an image, by SLIC [1]_.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    box : BBox
        The part; not empty, inside the image.
    size : int
        Edge of a superpixel in pixels, about.
    compactness : float
        How much nearness counts beside colour; larger makes squarer superpixels.
    levels : sequence of ndarray
        The image and its halves, see `segstudio.datasets.levels`: a large part is then looked at in
        a smaller one, and the image itself stays unread.

    Notes
    -----
    Takes about one second per million pixels and is meant for a thread.  A part of more than 2^20
    pixels is looked at smaller by a whole factor; borders then keep to blocks of that size, and
    superpixels have an edge of ten blocks at least.

    References
    ----------
    .. [1] R. Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel methods",
       IEEE TPAMI 34(11), 2012.
    """
    import cv2
    from skimage.segmentation import slic

    step = math.ceil(math.sqrt(box.height * box.width / _MOST_PIXELS))
    level = min(max(0, int(math.log2(step))), max(0, len(levels) - 1))
    part: NDArray[Any] = image[box.slices]
    if level:
        rows = slice(box.top >> level, max(-(-box.bottom >> level), (box.top >> level) + 1))
        columns = slice(box.left >> level, max(-(-box.right >> level), (box.left >> level) + 1))
        part = np.ascontiguousarray(levels[level][rows, columns])
    edge = float(size)
    if step > 1:
        shrunk = (math.ceil(box.width / step), math.ceil(box.height / step))
        part = cv2.resize(part, shrunk, interpolation=cv2.INTER_AREA)
        edge = max(size / step, _SMALLEST_EDGE)
    height, width = part.shape[:2]
    count = max(1, round(height * width / edge**2))
    labels = slic(part, n_segments=count, compactness=compactness, start_label=0).astype(np.int32)
    return Segments(
        box,
        labels,
        _boxes(labels),
        _borders(labels),
        np.arange(box.height) * height // box.height,
        np.arange(box.width) * width // box.width,
    )


def _borders(labels: NDArray[np.int32]) -> Mask:
    borders = np.zeros(labels.shape, np.bool_)
    borders[:, :-1] = labels[:, :-1] != labels[:, 1:]
    borders[:-1] |= labels[:-1] != labels[1:]
    return borders


def _boxes(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return top, left, bottom and right of each number."""
    count = int(labels.max()) + 1
    boxes = np.zeros((count, 4), np.int32)
    boxes[:, :2] = max(labels.shape)
    for row, line in enumerate(labels):
        present = np.unique(line)
        np.minimum.at(boxes[:, 0], present, row)
        boxes[present, 2] = row + 1
    for column, line in enumerate(np.ascontiguousarray(labels.T)):
        present = np.unique(line)
        np.minimum.at(boxes[:, 1], present, column)
        boxes[present, 3] = column + 1
    return boxes
