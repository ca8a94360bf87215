"""Slices of a run: any group of samples scored from stored counts, without reading a pixel.

Slices are boolean arrays over the samples of a `RunTable`; `group_samples` makes them of any
column: folder, split, size, brightness, a class that is present.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.tables import RunTable, Selection
from segstudio.core.errors import UsageError
from segstudio.metrics import scores, uncertainty
from segstudio.metrics.detection import ErrorSplit, split_errors
from segstudio.metrics.resampling import percentile_interval, weight_blocks

__all__ = [
    "SliceScores",
    "folders_of",
    "group_samples",
    "holds_class",
    "quantile_bins",
    "score_groups",
    "score_slice",
]

Floats = NDArray[np.float64]


# -- columns to slice by ----------------------------------------------------------------------


def group_samples(values: Sequence[Hashable]) -> dict[Hashable, NDArray[np.bool_]]:
    """Return the slice of each value of a column, values in their order.

    Parameters
    ----------
    values : sequence of length S
        The column: a folder, a split, a tag, a bin; None is a value of its own, and last.
    """
    codes: dict[Hashable, int] = {}
    which = np.array([codes.setdefault(value, len(codes)) for value in values], np.intp)

    def order(value: Hashable) -> tuple[bool, bool, Any]:
        is_text = not isinstance(value, int | float)
        return value is None, is_text, str(value) if is_text else value

    return {value: which == codes[value] for value in sorted(codes, key=order)}


def folders_of(sample_ids: Iterable[str]) -> list[str]:
    """Return the folder of each sample, "." for those at the top."""
    return [sample_id.rpartition("/")[0] or "." for sample_id in sample_ids]


def quantile_bins(values: Sequence[float | None], bins: int = 4) -> list[str | None]:
    """Cut a column of numbers (pixels, brightness) into bins of about equally many samples.

    Parameters
    ----------
    values : sequence of length S
        None or NaN where the number is not known.
    bins : int
        At most so many; equal numbers are never in two bins.

    Returns
    -------
    list of str or None
        "1: 0.1 to 0.3" and so on, by size; None where the number is not known.
    """
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    known = numbers[~np.isnan(numbers)]
    if not known.size:
        return [None] * len(numbers)
    ends = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1]))
    places = np.searchsorted(ends, numbers, side="left")
    names = {}
    for number, place in enumerate(sorted(set(places[~np.isnan(numbers)].tolist())), start=1):
        inside = numbers[(places == place) & ~np.isnan(numbers)]
        names[place] = f"{number}: {_figure(inside.min())} to {_figure(inside.max())}"
    return [
        None if np.isnan(value) else names[place]
        for value, place in zip(numbers.tolist(), places.tolist(), strict=True)
    ]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:g}"


def holds_class(table: RunTable, index: int) -> NDArray[np.bool_]:
    """Return the samples whose ground truth holds a class."""
    return np.asarray(table.totals.target[:, index] > 0)


# -- scores of slices -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class SliceScores:
    """What a slice scored; NaN where a number does not exist.

    Attributes
    ----------
    name : str
        The value of the column.
    samples, pixels : int
        How many samples and labelled pixels.
    miou, pixel_accuracy, mean_accuracy : float
        Pooled.
    miou_interval, pixel_accuracy_interval : (float, float)
        95 % bootstrap intervals over the slice's samples.
    per_image_miou : float
        Mean over samples of each sample's own mean IoU.
    class_iou, class_low, class_high : ndarray of shape (C,), float64
        Pooled IoU of each class and its interval.
    errors : ErrorSplit
        Wrong pixels by how sure the model was.
    ece, auroc : float
        Calibration error; how well entropy finds wrong pixels.
    """

    name: str
    samples: int
    pixels: int
    miou: float
    miou_interval: tuple[float, float]
    pixel_accuracy: float
    pixel_accuracy_interval: tuple[float, float]
    mean_accuracy: float
    per_image_miou: float
    class_iou: Floats
    class_low: Floats
    class_high: Floats
    errors: ErrorSplit
    ece: float
    auroc: float


def score_slice(
    table: RunTable,
    selection: Selection = None,
    *,
    name: str = "all",
    confident: float = uncertainty.CONFIDENT_BELOW,
    unsure: float = uncertainty.UNSURE_ABOVE,
) -> SliceScores:
    """Score a slice from the table alone.

    Parameters
    ----------
    table : RunTable
    selection : ndarray of shape (S,), bool, optional
        None takes all samples; a slice without any has NaN scores.
    name : str
    confident, unsure : float
        Entropy thresholds in log C; see `split_errors`.
    """
    totals = table.class_totals(selection)
    entropy, confidence = table.levels(selection)
    low, high = percentile_interval(table.draws(selection))
    own = scores.mean_iou(table.sample_totals(selection))
    return SliceScores(
        name=name,
        samples=len(table) if selection is None else int(np.count_nonzero(selection)),
        pixels=int(totals.target.sum()),
        miou=float(scores.mean_iou(totals)),
        miou_interval=(float(low[0]), float(high[0])),
        pixel_accuracy=float(scores.pixel_accuracy(totals)),
        pixel_accuracy_interval=_accuracy_interval(table.sample_totals(selection)),
        mean_accuracy=float(scores.mean_accuracy(totals)),
        per_image_miou=float(scores.mean_defined(own)),
        class_iou=scores.iou(totals),
        class_low=low[1:],
        class_high=high[1:],
        errors=split_errors(entropy, confident, unsure),
        ece=uncertainty.ece(confidence),
        auroc=uncertainty.auroc(entropy),
    )


def _accuracy_interval(totals: scores.ClassTotals, draws: int = 1000) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the pooled pixel accuracy, drawn as `RunTable.draws`.

    Only two numbers of a sample matter, so this is far cheaper than the interval of the mean IoU.
    """
    count = len(totals.target)
    if count < 2:
        return float("nan"), float("nan")
    table = np.stack([totals.hits.sum(1), totals.target.sum(1)], 1).astype(np.float64)
    sums = np.concatenate([weights @ table for weights in weight_blocks(count, draws, 0)])
    pixels = np.where(sums[:, 1] > 0, sums[:, 1], np.nan)
    low, high = percentile_interval(sums[:, 0] / pixels)
    return float(low), float(high)


def score_groups(
    table: RunTable, values: Sequence[Hashable], **thresholds: float
) -> tuple[SliceScores, ...]:
    """Score the slice of each value of a column; see `group_samples` and `score_slice`.

    Raises
    ------
    UsageError
        When the column has another length than the table.
    """
    if len(values) != len(table):
        raise UsageError(f"The column has {len(values)} values for {len(table)} samples.")
    return tuple(
        score_slice(table, chosen, name=str(value), **thresholds)
        for value, chosen in group_samples(values).items()
    )
