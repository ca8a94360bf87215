"""How sure a model was and whether it had reason to be: numbers from the histograms alone.

A histogram has shape (..., 2, 256): right (0) or wrong (1), level.  Leading axes (target class)
are added up; pass ``histogram[c]`` for one class.  Levels are ``round(255 * entropy / log C)`` or
``round(255 * confidence)``, so nothing here knows more than a 256th.  All pixels of one level are
tied, and every number treats them so.  A number that does not exist is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.metrics.counts import LEVELS, SampleCounts

__all__ = [
    "Reliability",
    "auprc",
    "auroc",
    "ause",
    "confident_error_share",
    "ece",
    "edge_entropy_ratio",
    "found_and_alarms",
    "fpr95",
    "ratio",
    "reliability",
    "right_and_wrong",
    "sparsification",
    "unsure_error_share",
]

Floats = NDArray[np.float64]
Histogram = NDArray[Any]

CONFIDENT_BELOW = 0.10
UNSURE_ABOVE = 0.50
_AUSE_STEPS = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """A reliability diagram of B bins; NaN where a bin is empty.

    Attributes
    ----------
    lower, upper : ndarray of shape (B,), float64
        Confidence at the bin's ends; a bin holds what is above ``lower`` and not above ``upper``
        (the first one also 0).
    pixels : ndarray of shape (B,), int64
        How many pixels it holds.
    accuracy, confidence : ndarray of shape (B,), float64
        Share of them that is right, and their mean confidence.
    """

    lower: Floats
    upper: Floats
    pixels: NDArray[np.int64]
    accuracy: Floats
    confidence: Floats


def right_and_wrong(histogram: Histogram) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (right, wrong) pixels by level, each (256,) int64."""
    if histogram.shape[-2:] != (2, LEVELS):
        raise ValueError(f"a histogram of shape {histogram.shape} does not end in (2, {LEVELS})")
    right, wrong = histogram.reshape(-1, 2, LEVELS).sum(0, dtype=np.int64)
    return right, wrong


def ratio(numerator: float, denominator: float) -> float:
    """Return numerator / denominator, NaN where the denominator is 0."""
    return float(numerator) / float(denominator) if denominator else float("nan")


def reliability(histogram: Histogram, bins: int = 15, *, equal_mass: bool = False) -> Reliability:
    """Bin a confidence histogram: how often is the model right when it is that sure? [1]_.

    Parameters
    ----------
    histogram : ndarray of shape (..., 2, 256)
        Of confidence.
    bins : int
        B.
    equal_mass : bool
        Bins of about equally many pixels instead of equal width.  A level is never split, so
        some may stay empty.

    Notes
    -----
    Level l stands for confidence l / 255 and lies in the bin that holds that number, bins being
    open below and closed above as in [1]_: with 15 bins levels 0-17 are in the first, 18-34 in
    the second, 239-255 in the last.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural
       Networks", ICML 2017.
    """
    right, wrong = right_and_wrong(histogram)
    pixels = right + wrong
    levels = np.arange(LEVELS)
    top = LEVELS - 1
    if equal_mass:
        middle = np.cumsum(pixels) - pixels / 2
        of_level = np.minimum((middle * bins / max(1, int(pixels.sum()))).astype(np.intp), bins - 1)
        # A bin ends at its last level; an empty one where the bin before it ends.
        last = np.maximum.accumulate(
            [levels[of_level == index].max(initial=0) for index in range(bins)]
        )
        upper = last / top
        upper[-1] = 1.0
    else:
        # Whole numbers: l * bins / 255 would fall beside its bin's end by a rounding error.
        of_level = np.maximum(-(-levels * bins // top) - 1, 0)
        upper = np.arange(1, bins + 1) / bins
    held, good = (np.bincount(of_level, part, bins) for part in (pixels, right))
    sure = np.bincount(of_level, pixels * levels, bins) / top
    empty = held == 0
    divisor = np.where(empty, np.nan, held)
    return Reliability(
        lower=np.concatenate([[0.0], upper[:-1]]),
        upper=upper,
        pixels=held.astype(np.int64),
        accuracy=good / divisor,
        confidence=sure / divisor,
    )


def ece(histogram: Histogram, bins: int = 15, *, equal_mass: bool = False) -> float:
    """Return the expected calibration error of a confidence histogram, 0..1 [1]_.

    The mean over pixels of ``|accuracy - mean confidence|`` of the pixel's bin; bins as in
    `reliability`.

    References
    ----------
    .. [1] C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural
       Networks", ICML 2017.
    """
    diagram = reliability(histogram, bins, equal_mass=equal_mass)
    held = diagram.pixels > 0
    gap = np.abs(diagram.accuracy - diagram.confidence)[held]
    return ratio(float((gap * diagram.pixels[held]).sum()), float(diagram.pixels.sum()))


def found_and_alarms(histogram: Histogram) -> tuple[Floats, Floats]:
    """Return (wrong, right) pixels with at least each level, from the highest level down."""
    right, wrong = right_and_wrong(histogram)
    return np.cumsum(wrong[::-1]).astype(np.float64), np.cumsum(right[::-1]).astype(np.float64)


def auroc(histogram: Histogram) -> float:
    """Area under the ROC curve of finding wrong pixels by their level, 0..1 [1]_.

    The probability that a wrong pixel has a higher level than a right one; a tie is half.  Give
    the entropy histogram (or a confidence histogram reversed along its last axis).

    References
    ----------
    .. [1] T. Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 2006.
    """
    right, wrong = right_and_wrong(histogram)
    if not right.any() or not wrong.any():
        return float("nan")
    below = (np.cumsum(right) - right / 2) / right.sum()
    return float((wrong / wrong.sum()) @ below)


def auprc(histogram: Histogram) -> float:
    """Area under the precision-recall curve of finding wrong pixels by their level, 0..1 [1]_.

    As average precision: recall steps times the precision reached, without interpolation, one
    step for each level.  scikit-learn's ``average_precision_score`` is the same.

    References
    ----------
    .. [1] J. Davis, M. Goadrich, "The Relationship Between Precision-Recall and ROC Curves", ICML
       2006.
    """
    found, alarms = found_and_alarms(histogram)
    if not found[-1]:
        return float("nan")
    steps = np.diff(found, prepend=0.0) / found[-1]
    taken = steps > 0
    return float(steps[taken] @ (found[taken] / (found[taken] + alarms[taken])))


def fpr95(histogram: Histogram) -> float:
    """Share of right pixels that are flagged when at least 95 % of the wrong ones are, 0..1 [1]_.

    The threshold is the highest level that flags that many; between levels nothing is
    interpolated.

    References
    ----------
    .. [1] D. Hendrycks, K. Gimpel, "A Baseline for Detecting Misclassified and
       Out-of-Distribution Examples in Neural Networks", ICLR 2017.
    """
    found, alarms = found_and_alarms(histogram)
    if not found[-1] or not alarms[-1]:
        return float("nan")
    # In whole numbers: 0.95 itself is no binary fraction.
    enough = found * 20 >= found[-1] * 19
    return float(alarms[int(np.argmax(enough))] / alarms[-1])


def sparsification(histogram: Histogram, steps: int = 100) -> tuple[Floats, Floats, Floats]:
    """Error rate of the pixels that remain when the most uncertain are taken away [1]_.

    Pixels go from the highest level down; of a level that is taken in part, right and wrong ones
    go in proportion (what a random order inside the level gives on average).  The oracle takes
    all wrong pixels first.

    Parameters
    ----------
    histogram : ndarray of shape (..., 2, 256)
        Of entropy.
    steps : int
        Parts into which 0..1 is cut.

    Returns
    -------
    removed : ndarray of shape (steps + 1,), float64
        Fraction taken away, 0..1.
    error : ndarray of shape (steps + 1,), float64
        Error rate of the rest; at 1 that of the last level taken.  NaN without pixels.
    oracle : ndarray of shape (steps + 1,), float64
        The same for the oracle; at 1 its limit.

    References
    ----------
    .. [1] E. Ilg et al., "Uncertainty Estimates and Multi-hypotheses Networks for Optical Flow",
       ECCV 2018.
    """
    removed = np.linspace(0.0, 1.0, steps + 1)
    right, wrong = (part[::-1].astype(np.float64) for part in right_and_wrong(histogram))
    pixels = right + wrong
    count, errors = pixels.sum(), wrong.sum()
    if not count:
        return removed, np.full(steps + 1, np.nan), np.full(steps + 1, np.nan)
    used = pixels > 0
    ends = np.concatenate([[0.0], np.cumsum(pixels[used])])
    # Counted from the far end: differences of large sums would lose the last few pixels.
    left_over = np.concatenate([np.cumsum(wrong[used][::-1])[::-1], [0.0]])
    taken = removed[:-1] * count
    remaining = count - taken
    error = np.interp(taken, ends, left_over) / remaining
    oracle = np.maximum(errors - taken, 0.0) / remaining
    last = wrong[used][-1] / pixels[used][-1]
    return (
        removed,
        np.append(error, last),
        np.append(oracle, 1.0 if errors == count else 0.0),
    )


def ause(histogram: Histogram) -> float:
    """Area between the sparsification curve of an entropy histogram and its oracle, 0..1 [1]_.

    Both curves are error rates of the remaining pixels over the fraction removed
    (`sparsification`), not divided by the error rate of all; the area of their difference over
    0..1 by the trapezoid rule in 10,000 steps, which is within 1e-6 of the area itself.  0 is
    best: then the most uncertain pixels are exactly the wrong ones.

    References
    ----------
    .. [1] E. Ilg et al., "Uncertainty Estimates and Multi-hypotheses Networks for Optical Flow",
       ECCV 2018.
    """
    removed, error, oracle = sparsification(histogram, _AUSE_STEPS)
    return float(np.trapezoid(error - oracle, removed))


def edge_entropy_ratio(counts: SampleCounts) -> float:
    """Mean entropy of labelled pixels near a class boundary over that of all others.

    Near is within 3 pixels of another class of the target (`segstudio.metrics.counts.edge_band`).
    Above 1 the model is less sure at the edges.  NaN without pixels of both kinds, or where the
    entropy elsewhere is 0.
    """
    edge = ratio(counts.edge_entropy_sum, counts.edge_pixels)
    inner = ratio(counts.inner_entropy_sum, counts.inner_pixels)
    return ratio(edge, inner)


def confident_error_share(histogram: Histogram, threshold: float = CONFIDENT_BELOW) -> float:
    """Share of the wrong pixels whose entropy is below ``threshold * log C``, 0..1.

    Levels below ``255 * threshold`` count (0-25 at the default 0.10).
    """
    _, wrong = right_and_wrong(histogram)
    below = np.arange(LEVELS) < (LEVELS - 1) * threshold
    return ratio(int(wrong[below].sum()), int(wrong.sum()))


def unsure_error_share(histogram: Histogram, threshold: float = UNSURE_ABOVE) -> float:
    """Share of the wrong pixels whose entropy is above ``threshold * log C``, 0..1."""
    _, wrong = right_and_wrong(histogram)
    above = np.arange(LEVELS) > (LEVELS - 1) * threshold
    return ratio(int(wrong[above].sum()), int(wrong.sum()))
