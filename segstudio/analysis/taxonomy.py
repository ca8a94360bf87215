"""What kind of error each wrong pixel is: boundary, confused, missed or invented.

Definitions
-----------
A *region* of the target (of the prediction) is a connected component of one class, ignored pixels
belonging to none.  It is *lost* when no pixel of it was predicted as its class, a predicted region
is *baseless* when no pixel of it has its class in the target.  For a wrong pixel of target class
``a`` in target region T and predicted class ``b`` in predicted region P, the first line that holds
decides:

1. The prediction is the ignore index: **missed**.  It counts as a miss of the target, and there is
   no predicted region.
2. T is lost and more than half of P's pixels are of class ``a``: **confused**.  The object was
   found and given another name, as a car that is called a truck from end to end.
3. T is lost: **missed**, as a pole that disappears in a building that was predicted rightly
   around it.
4. A target pixel of class ``b`` lies within d px (chessboard distance, as the squares of Boundary
   IoU): **boundary**.  Both sides are there, the line between them runs elsewhere.
5. P is baseless: **invented**, as a pedestrian in the middle of an empty road.
6. Otherwise **confused**: both classes were found, the pixel lies deep in one and was given to
   the other.

The definitions of the four kinds overlap, hence an order.  A lost object comes before its place:
with a band of d = 2 % of the diagonal every pixel of a thin object lies near a boundary, and a
pole that was missed from top to bottom is no inaccuracy of its outline.  A baseless region comes
after its place: scraps beside an object of their class, or cut from it by an ignore region along
its outline, belong to its boundary.  Line 6 also takes what the words leave over (a region that
spills far over a boundary but is mostly right).  Ties in line 2 are no majority.  An ignore region
is no class on the other side; boundaries are seen through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.components import Components, find_components, label_codes
from segstudio.analysis.pair import LabelPair
from segstudio.core.errors import UsageError
from segstudio.metrics.boundary import band_width
from segstudio.metrics.scores import iou, mean_iou

__all__ = [
    "ErrorKind",
    "LabelledErrors",
    "TaxonomyCounts",
    "classify_errors",
    "count_kinds",
    "iou_if_fixed",
    "kind_shares",
    "miou_if_fixed",
]


class ErrorKind(IntEnum):
    """The kinds of error; see the definitions of this module."""

    BOUNDARY = 0
    CONFUSED = 1
    MISSED = 2
    INVENTED = 3


@dataclass(frozen=True, slots=True, eq=False)
class LabelledErrors:
    """The wrong pixels of one sample with their error region and their kind.

    An error region is a connected set of wrong pixels that share target and prediction.

    Attributes
    ----------
    pair : LabelPair
        The maps; `pair.wrong` are the K wrong pixels.
    targets, predictions : Components
        Regions of the target and of the prediction.
    region_of : ndarray of shape (K,), intp
        Number of the error region 0..R-1 that holds the wrong pixel.
    kind_of : ndarray of shape (K,), uint8
        `ErrorKind` of each wrong pixel.
    first : ndarray of shape (R,), intp
        The first wrong pixel of each region in reading order, as a position 0..K-1.
    """

    pair: LabelPair
    targets: Components
    predictions: Components
    region_of: NDArray[np.intp]
    kind_of: NDArray[np.uint8]
    first: NDArray[np.intp]

    @property
    def width(self) -> int:
        """Width of the image in pixels."""
        return int(self.pair.target.shape[1])

    def kind_map(self) -> NDArray[np.uint8]:
        """Return the kinds as a map of shape (H, W), 255 where nothing is wrong."""
        kinds = np.full(self.pair.target.shape, 255, np.uint8)
        kinds.reshape(-1)[self.pair.wrong] = self.kind_of
        return kinds


def classify_errors(pair: LabelPair, *, width: int | None = None) -> LabelledErrors:
    """Find the error regions of a sample and the kind of each wrong pixel.

    Parameters
    ----------
    pair : LabelPair
        The sample.
    width : int, optional
        d in pixels; that of Boundary IoU (2 % of the diagonal) when left out.

    Raises
    ------
    UsageError
        When the width is below 1.
    """
    width = band_width(pair.target.shape) if width is None else width
    if width < 1:
        raise UsageError(f"The distance of boundary errors must be at least 1 px, not {width}.")
    targets = find_components(pair.target, void=pair.classes)
    predictions = find_components(pair.prediction, void=pair.classes)
    region_of, first = _error_regions(pair)
    kinds, is_settled = _region_kinds(pair, targets, predictions, region_of, first)
    kind_of = kinds[region_of]
    open_pixels = np.flatnonzero(~is_settled[region_of])
    near = _near_predicted_class(pair, pair.wrong[open_pixels], width)
    kind_of[open_pixels[near]] = ErrorKind.BOUNDARY
    return LabelledErrors(pair, targets, predictions, region_of, kind_of, first)


def _error_regions(pair: LabelPair) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the region of each wrong pixel and the first wrong pixel of each region, ascending."""
    side = pair.classes + 1
    # Code 0 is no error; the largest is side^2.
    dtype = np.uint16 if side * side <= np.iinfo(np.uint16).max else np.uint32
    codes = np.zeros(pair.target.shape, dtype)
    target = pair.target.reshape(-1)[pair.wrong].astype(np.int64)
    prediction = pair.prediction.reshape(-1)[pair.wrong]
    codes.reshape(-1)[pair.wrong] = target * side + prediction + 1
    ids, count = label_codes(codes)
    region_of = ids.reshape(-1)[pair.wrong].astype(np.intp)
    region_of -= 1
    first = np.zeros(count, np.intp)
    # Of repeated indices numpy keeps the last assignment: written backwards, the first pixel.
    first[region_of[::-1]] = np.arange(len(region_of) - 1, -1, -1)
    # cc3d numbers regions in reading order today, but does not promise it.
    order = np.argsort(first)
    rank = np.empty(count, np.intp)
    rank[order] = np.arange(count)
    return rank[region_of], first[order]


def _region_kinds(
    pair: LabelPair,
    targets: Components,
    predictions: Components,
    region_of: NDArray[np.intp],
    first: NDArray[np.intp],
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return the kind of each error region by all lines but 4, and whether 1 to 3 settled it.

    An error region lies in one target region and in one predicted region, so these lines say the
    same of all its pixels.
    """
    places = pair.wrong[first]
    sizes = np.bincount(region_of, minlength=len(first))
    in_target = targets.ids.reshape(-1)[places]
    in_prediction = predictions.ids.reshape(-1)[places]
    # A region without a right pixel is wrong throughout.
    lost = (_wrong_pixels(targets, in_target, sizes) == targets.areas)[in_target]
    baseless = (_wrong_pixels(predictions, in_prediction, sizes) == predictions.areas)[
        in_prediction
    ]
    # Pixels of the region's own target class below its predicted region.
    key = in_prediction.astype(np.int64) * (pair.classes + 1) + targets.values[in_target]
    _, inverse = np.unique(key, return_inverse=True)
    below = np.bincount(inverse, weights=sizes)[inverse] if len(key) else np.zeros(0)
    is_mostly = 2 * below > predictions.areas[in_prediction]
    unpredicted = in_prediction == 0
    kinds = np.select(
        [unpredicted, lost & is_mostly, lost, baseless],
        [ErrorKind.MISSED, ErrorKind.CONFUSED, ErrorKind.MISSED, ErrorKind.INVENTED],
        ErrorKind.CONFUSED,
    )
    return kinds.astype(np.uint8), unpredicted | lost


def _wrong_pixels(
    components: Components, holder: NDArray[Any], sizes: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the wrong pixels in each component, exact below 2^53."""
    pixels = np.bincount(holder, weights=sizes, minlength=len(components.areas))
    return np.asarray(pixels, np.float64)


def _near_predicted_class(
    pair: LabelPair, places: NDArray[np.intp], width: int
) -> NDArray[np.bool_]:
    """Return whether the target holds each pixel's predicted class within ``width`` px."""
    import cv2

    near = np.zeros(len(places), bool)
    height, columns = pair.target.shape
    predicted = pair.prediction.reshape(-1)[places]
    order = np.argsort(predicted, kind="stable")
    cuts = np.flatnonzero(np.diff(predicted[order])) + 1
    for chosen in np.split(order, cuts):
        if not len(chosen):
            continue
        rows, cols = np.divmod(places[chosen], columns)
        top, left = max(0, int(rows[0]) - width), max(0, int(cols.min()) - width)
        bottom = min(height, int(rows[-1]) + width + 1)
        right = min(columns, int(cols.max()) + width + 1)
        here = pair.target[top:bottom, left:right] == predicted[chosen[0]]
        # sums[r, c] counts the pixels above row r and left of column c: four looks per window,
        # at wrong pixels only, cost half of a dilation of the whole map.
        sums = cv2.integral(here.view(np.uint8))
        above, below = np.maximum(rows - width - top, 0), np.minimum(rows + width + 1, bottom) - top
        before = np.maximum(cols - width - left, 0)
        after = np.minimum(cols + width + 1, right) - left
        inside = sums[below, after] - sums[above, after] - sums[below, before] + sums[above, before]
        near[chosen] = inside > 0
    return near


@dataclass(frozen=True, slots=True, eq=False)
class TaxonomyCounts:
    """Counts behind the taxonomy, of one sample or of several added up.

    Attributes
    ----------
    hits : ndarray of shape (C,), int64
        Right pixels of each class.
    kinds : ndarray of shape (4, C, C + 1), int64
        Wrong pixels of each `ErrorKind` by (target, prediction); column C holds ignored
        predictions.
    """

    hits: NDArray[np.int64]
    kinds: NDArray[np.int64]

    @property
    def confusion(self) -> NDArray[np.int64]:
        """The (C, C + 1) confusion that the kinds are parts of."""
        whole = self.kinds.sum(0)
        whole[np.arange(len(self.hits)), np.arange(len(self.hits))] += self.hits
        return whole

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Wrong pixels of each kind, shape (4,)."""
        return self.kinds.sum((1, 2))


def count_kinds(errors: LabelledErrors) -> TaxonomyCounts:
    """Return the counts of one sample."""
    classes = errors.pair.classes
    hits = np.bincount(
        np.maximum(errors.targets.values, 0), weights=errors.targets.areas, minlength=classes
    )
    hits[0] -= errors.targets.areas[0]  # of no component
    target = errors.pair.target.reshape(-1)[errors.pair.wrong].astype(np.intp)
    prediction = errors.pair.prediction.reshape(-1)[errors.pair.wrong]
    cells = (errors.kind_of * np.intp(classes) + target) * (classes + 1) + prediction
    counts = np.bincount(cells, minlength=len(ErrorKind) * classes * (classes + 1))
    kinds = counts.reshape(len(ErrorKind), classes, classes + 1).astype(np.int64, copy=False)
    return TaxonomyCounts(hits.astype(np.int64) - kinds.sum((0, 2)), kinds)


def kind_shares(counts: TaxonomyCounts) -> NDArray[np.float64]:
    """Return each kind's share of the wrong pixels, shape (4,), NaN where nothing is wrong."""
    pixels = counts.pixels
    total = int(pixels.sum())
    return pixels / total if total else np.full(len(pixels), np.nan)


def miou_if_fixed(counts: TaxonomyCounts) -> NDArray[np.float64]:
    """Return the mIoU that each kind's pixels would bring if they were right, shape (4,).

    All pixels of the kind move to the diagonal of the confusion, everything else stays.  NaN where
    no pixel was labelled.
    """
    return mean_iou(_fixed(counts))


def iou_if_fixed(counts: TaxonomyCounts) -> NDArray[np.float64]:
    """Return the IoU of each class if each kind's pixels were right, shape (4, C).

    As `miou_if_fixed`; NaN where neither side holds the class.
    """
    return iou(_fixed(counts))


def _fixed(counts: TaxonomyCounts) -> NDArray[np.int64]:
    """Return the (4, C, C + 1) confusions with the pixels of each kind on the diagonal."""
    index = np.arange(len(counts.hits))
    fixed = counts.confusion - counts.kinds
    fixed[:, index, index] += counts.kinds.sum(2)
    return fixed
