"""What level histograms say beyond one number: thresholds, classes, and data from elsewhere.

Histograms are those of `segstudio.metrics.uncertainty`.  Where "right" and "wrong" stand for "in
the label space" and "out of it", the same functions measure out-of-distribution detection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from segstudio.metrics.counts import LEVELS
from segstudio.metrics.uncertainty import (
    CONFIDENT_BELOW,
    UNSURE_ABOVE,
    Histogram,
    auroc,
    found_and_alarms,
    ratio,
    right_and_wrong,
)

__all__ = [
    "ErrorSplit",
    "best_f1_level",
    "by_class",
    "mean_level",
    "reversed_levels",
    "shift_auroc",
    "split_errors",
]


@dataclass(frozen=True, slots=True)
class ErrorSplit:
    """Pixels by right and wrong and, of the wrong ones, by how sure the model was.

    Attributes
    ----------
    pixels, wrong : int
        All labelled pixels, and those of them that are wrong.
    confident, between, unsure : int
        Wrong pixels with entropy below the lower threshold, between both, above the upper one.
    """

    pixels: int
    wrong: int
    confident: int
    between: int
    unsure: int


def split_errors(
    histogram: Histogram, confident: float = CONFIDENT_BELOW, unsure: float = UNSURE_ABOVE
) -> ErrorSplit:
    """Count the wrong pixels of an entropy histogram below and above thresholds, in log C.

    Parameters
    ----------
    histogram : ndarray of shape (..., 2, 256)
    confident, unsure : float
        0..1, as in `confident_error_share` and `unsure_error_share`.  Where they cross, a pixel
        that is both counts as confident.
    """
    right, wrong = right_and_wrong(histogram)
    levels = np.arange(LEVELS)
    below = levels < (LEVELS - 1) * confident
    above = (levels > (LEVELS - 1) * unsure) & ~below
    total, sure, not_sure = (int(part.sum()) for part in (wrong, wrong[below], wrong[above]))
    return ErrorSplit(int(right.sum()) + total, total, sure, total - sure - not_sure, not_sure)


def by_class(number: Callable[[Histogram], Any], histogram: Histogram) -> list[Any]:
    """Return a number for each target class of a (C, 2, 256) histogram.

    ``by_class(ece, histogram)`` are the calibration errors of the classes, NaN for those that the
    ground truth does not hold.
    """
    return [number(part) for part in histogram]


def reversed_levels(histogram: Histogram) -> Histogram:
    """Return a histogram of ``1 - x`` for one of ``x``: how unsure instead of how sure.

    Level l becomes 255 - l, so a confidence histogram can be given to `auroc` and its kin.
    """
    return histogram[..., ::-1]


def mean_level(histogram: Histogram) -> float:
    """Return the mean of all pixels, 0..1; of entropy that is in units of log C."""
    pixels = histogram.reshape(-1, LEVELS).sum(0, dtype=np.int64)
    return ratio(int(pixels @ np.arange(LEVELS)), (LEVELS - 1) * int(pixels.sum()))


def shift_auroc(inside: Histogram, outside: Histogram) -> float:
    """Probability that a pixel of ``outside`` has a higher level than one of ``inside`` [1]_.

    A tie is half.  Of entropy histograms of one model over data it was made for and other data,
    it says how far the model itself notices the change; 0.5 is not at all.

    Parameters
    ----------
    inside, outside : ndarray of shape (..., 256)
        All leading axes are added up.

    References
    ----------
    .. [1] D. Hendrycks, K. Gimpel, "A Baseline for Detecting Misclassified and
       Out-of-Distribution Examples in Neural Networks", ICLR 2017.
    """
    sides = [part.reshape(-1, LEVELS).sum(0, dtype=np.int64) for part in (inside, outside)]
    return auroc(np.stack(sides))


def best_f1_level(histogram: Histogram) -> tuple[int, float]:
    """Return the level from which on flagging finds wrong pixels best, and its F1.

    The threshold of the component scores of SegmentMeIfYouCan [1]_: flagged is what has at least
    this level.  Of equal F1 the highest level is taken.

    Returns
    -------
    (int, float)
        (256, NaN) without a wrong pixel.

    References
    ----------
    .. [1] R. Chan et al., "SegmentMeIfYouCan: A Benchmark for Anomaly Segmentation", NeurIPS 2021
       Datasets and Benchmarks.
    """
    found, alarms = found_and_alarms(histogram)
    if not found[-1]:
        return LEVELS, float("nan")
    f1 = 2 * found / (found + alarms + found[-1])
    place = int(np.argmax(f1))
    return LEVELS - 1 - place, float(f1[place])
