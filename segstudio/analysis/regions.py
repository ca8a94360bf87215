"""Error regions: connected wrong pixels of one (target, prediction), as rows of numbers.

Thousands of samples have millions of regions, so they are kept in tables, filtered and ranked as
whole columns; `ErrorRegion` is one row for those who look at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.taxonomy import ErrorKind, LabelledErrors
from segstudio.core.types import BBox, LabelMap
from segstudio.metrics.boundary import boundary_distance

__all__ = ["ROW", "ErrorRegion", "RegionFilter", "RegionTable", "find_regions"]

IGNORED = 65535
"""How a prediction that equals the ignore index is stored in a row."""

UNKNOWN = -1
"""How a number that was not known (no entropy was kept) is stored in a row."""

ROW = np.dtype(
    [
        ("sample", "<u4"),
        ("target", "<u2"),
        ("prediction", "<u2"),
        ("kind", "<u1"),
        ("area", "<u4"),
        ("boundary_pixels", "<u4"),
        ("top", "<u4"),
        ("left", "<u4"),
        ("height", "<u4"),
        ("width", "<u4"),
        ("anchor", "<u4"),
        ("entropy_sum", "<i8"),
        ("entropy_min", "<i2"),
        ("confidence_sum", "<i8"),
        ("runner_up_right", "<i8"),
        ("distance_mean", "<f4"),
        ("distance_max", "<f4"),
    ]
)
"""One region: sums and extremes of stored levels, so no number depends on an order of adding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRegion:
    """A connected set of wrong pixels that share target and prediction.

    Attributes
    ----------
    sample_id : str
        The sample.
    target : int
        Class index of the ground truth.
    prediction : int or None
        Class index of the prediction, None where it is the ignore index.
    kind : ErrorKind
        Of all its pixels; of a region that is partly boundary, boundary when at least half of its
        pixels are, else that of the others.
    boundary_share : float
        Share of the pixels that are boundary errors, 0..1.
    area : int
        Pixels.
    box : BBox
        The smallest box.
    anchor : (int, int)
        Row and column of a pixel of the region: the first in reading order.
    mean_entropy, min_entropy : float or None
        Share of log C, 0..1; a 255th of it is one stored level.  None when none was kept.
    mean_confidence : float or None
        0..1.
    runner_up_share : float or None
        Share of the pixels whose second most probable class is the target, 0..1.
    mean_distance, max_distance : float or None
        Of the pixels to the nearest boundary of the target, in pixels; None when the target has
        no boundary.  See `segstudio.metrics.boundary.boundary_distance`.
    """

    sample_id: str
    target: int
    prediction: int | None
    kind: ErrorKind
    boundary_share: float
    area: int
    box: BBox
    anchor: tuple[int, int]
    mean_entropy: float | None
    min_entropy: float | None
    mean_confidence: float | None
    runner_up_share: float | None
    mean_distance: float | None
    max_distance: float | None

    @property
    def score(self) -> float:
        """Area times mean confidence, the order of ranking; the area when none was kept."""
        return self.area * (1.0 if self.mean_confidence is None else self.mean_confidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionFilter:
    """Which regions are wanted; None asks for nothing.

    Attributes
    ----------
    sample_id : str or None
        Only of this sample.
    target, prediction : int, tuple of int or None
        Class indices; any of several.
    kind : ErrorKind or None
        See `segstudio.analysis.taxonomy`.
    minimal_area : int
        Pixels.
    entropy : (float, float) or None
        Inclusive range of the mean entropy as a share of log C; regions without entropy are left
        out.
    """

    sample_id: str | None = None
    target: int | tuple[int, ...] | None = None
    prediction: int | tuple[int, ...] | None = None
    kind: ErrorKind | None = None
    minimal_area: int = 1
    entropy: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RegionTable:
    """The error regions of one sample or of many.

    Attributes
    ----------
    samples : tuple of str
        The samples that ``rows["sample"]`` counts; a sample without regions may be among them.
    rows : structured ndarray of shape (R,), `ROW`
        Regions of one sample stand by the first pixel in reading order.
    """

    samples: tuple[str, ...]
    rows: NDArray[Any]

    def __len__(self) -> int:
        """Return R."""
        return len(self.rows)

    @classmethod
    def joined(cls, tables: Sequence[RegionTable]) -> RegionTable:
        """Return the tables below each other; each holds samples of its own."""
        counts = np.cumsum([0, *(len(table.samples) for table in tables)])
        rows = np.concatenate([np.zeros(0, ROW), *(table.rows for table in tables)])
        lengths = [len(table) for table in tables]
        rows["sample"] += np.repeat(counts[:-1], lengths).astype(np.uint32)
        return cls(tuple(name for table in tables for name in table.samples), rows)

    def selected(self, wanted: RegionFilter) -> RegionTable:
        """Return the regions that a filter lets through, in the same order."""
        rows = self.rows
        keep = rows["area"] >= wanted.minimal_area
        for field in ("target", "prediction", "kind"):
            value = getattr(wanted, field)
            if isinstance(value, tuple):
                keep &= np.isin(rows[field], value)
            elif value is not None:
                keep &= rows[field] == value
        if wanted.sample_id is not None:
            number = {name: index for index, name in enumerate(self.samples)}
            keep &= rows["sample"] == number.get(wanted.sample_id, len(self.samples))
        if wanted.entropy is not None:
            low, high = wanted.entropy
            levels = rows["entropy_sum"] / (255.0 * rows["area"])
            keep &= (rows["entropy_sum"] != UNKNOWN) & (levels >= low) & (levels <= high)
        return RegionTable(self.samples, rows[keep])

    def ranked(self, limit: int | None = None) -> RegionTable:
        """Return the regions by area times mean confidence, the largest first.

        Equal ones stay in their order; regions without confidence rank by their area.

        Parameters
        ----------
        limit : int, optional
            How many at most.
        """
        # The sum of the confidence levels is the product, without rounding.
        confidence = self.rows["confidence_sum"]
        unsure = self.rows["area"].astype(np.int64) * 255
        key = np.where(confidence == UNKNOWN, unsure, confidence)
        order = np.argsort(-key, kind="stable")[:limit]
        return RegionTable(self.samples, self.rows[order])

    def confusion(self, classes: int) -> NDArray[np.int64]:
        """Return the wrong pixels by (target, prediction), shape (C, C + 1), int64."""
        table = np.zeros((classes, classes + 1), np.int64)
        columns = np.minimum(self.rows["prediction"], classes)
        np.add.at(table, (self.rows["target"], columns), self.rows["area"])
        return table

    def region(self, index: int) -> ErrorRegion:
        """Return one row as a value."""
        names = ROW.names
        assert names is not None
        row = dict(zip(names, self.rows[index].tolist(), strict=True))
        area = row["area"]

        def share(sum_of: str, full: float) -> float | None:
            return None if row[sum_of] == UNKNOWN else row[sum_of] / (full * area)

        has_distance = bool(np.isfinite(row["distance_mean"]))
        return ErrorRegion(
            sample_id=self.samples[row["sample"]],
            target=row["target"],
            prediction=None if row["prediction"] == IGNORED else row["prediction"],
            kind=ErrorKind(row["kind"]),
            boundary_share=row["boundary_pixels"] / area,
            area=area,
            box=BBox(
                row["top"], row["left"], row["top"] + row["height"], row["left"] + row["width"]
            ),
            anchor=(row["top"], row["anchor"]),
            mean_entropy=share("entropy_sum", 255.0),
            min_entropy=None if row["entropy_min"] == UNKNOWN else row["entropy_min"] / 255.0,
            mean_confidence=share("confidence_sum", 255.0),
            runner_up_share=share("runner_up_right", 1.0),
            mean_distance=row["distance_mean"] if has_distance else None,
            max_distance=row["distance_max"] if has_distance else None,
        )

    def regions(self, limit: int | None = None) -> list[ErrorRegion]:
        """Return the first ``limit`` rows as values."""
        return [self.region(index) for index in range(len(self.rows[:limit]))]


def find_regions(
    errors: LabelledErrors,
    sample_id: str = "",
    *,
    entropy: NDArray[np.uint8] | None = None,
    confidence: NDArray[np.uint8] | None = None,
    runner_up: LabelMap | None = None,
) -> RegionTable:
    """Return the error regions of one sample.

    Parameters
    ----------
    errors : LabelledErrors
        The sample; every wrong pixel is in exactly one region.
    sample_id : str
        Its name.
    entropy, confidence : ndarray of shape (H, W), uint8, optional
        Stored levels, ``round(255 * entropy / log C)`` and ``round(255 * max p)``.
    runner_up : ndarray of shape (H, W), integer, optional
        Second most probable class index, in the label space of the target.
    """
    pair, wrong, of = errors.pair, errors.pair.wrong, errors.region_of
    count = len(errors.first)
    rows = np.zeros(count, ROW)
    table = RegionTable((sample_id,), rows)
    for field in ("entropy_sum", "entropy_min", "confidence_sum", "runner_up_right"):
        rows[field] = UNKNOWN
    if not count:
        return table

    def total(values: NDArray[Any]) -> NDArray[np.float64]:
        # Exact for integers: they stay below 2^53.
        return np.asarray(np.bincount(of, weights=values, minlength=count), np.float64)

    places = wrong[errors.first]
    rows["target"] = pair.target.reshape(-1)[places]
    predicted = pair.prediction.reshape(-1)[places].astype(np.uint16)
    rows["prediction"] = np.where(predicted == pair.classes, IGNORED, predicted)
    rows["area"] = np.bincount(of, minlength=count)
    rows["boundary_pixels"] = total(errors.kind_of == ErrorKind.BOUNDARY)
    # Beside boundary a region has one kind only.
    rows["kind"] = np.where(
        2 * rows["boundary_pixels"].astype(np.int64) >= rows["area"],
        ErrorKind.BOUNDARY,
        _any_but_boundary(errors, count),
    )
    _put_boxes(rows, errors, places)
    if entropy is not None:
        levels = entropy.reshape(-1)[wrong]
        rows["entropy_sum"] = total(levels)
        least = np.full(count, 255, np.uint8)
        np.minimum.at(least, of, levels)
        rows["entropy_min"] = least
    if confidence is not None:
        rows["confidence_sum"] = total(confidence.reshape(-1)[wrong])
    if runner_up is not None:
        is_right = runner_up.reshape(-1)[wrong] == pair.target.reshape(-1)[wrong]
        rows["runner_up_right"] = total(is_right)
    distance = boundary_distance(pair.target, pair.classes).reshape(-1)[wrong]
    rows["distance_mean"] = total(distance) / rows["area"]
    farthest = np.zeros(count, np.float32)
    np.maximum.at(farthest, of, distance)
    rows["distance_max"] = farthest
    return table


def _any_but_boundary(errors: LabelledErrors, count: int) -> NDArray[np.uint8]:
    """Return the kind of each region's pixels that are no boundary errors."""
    kinds = np.full(count, ErrorKind.BOUNDARY, np.uint8)
    others = errors.kind_of != ErrorKind.BOUNDARY
    kinds[errors.region_of[others]] = errors.kind_of[others]
    return kinds


def _put_boxes(rows: NDArray[Any], errors: LabelledErrors, places: NDArray[np.intp]) -> None:
    """Fill in where the regions lie; wrong pixels are in reading order."""
    row_of, column_of = np.divmod(errors.pair.wrong, errors.width)
    rows["top"], rows["anchor"] = np.divmod(places, errors.width)
    # Of repeated indices numpy keeps the last assignment: the last row.
    bottom = np.zeros(len(rows), np.intp)
    bottom[errors.region_of] = row_of
    left = np.full(len(rows), errors.width, np.intp)
    np.minimum.at(left, errors.region_of, column_of)
    right = np.zeros(len(rows), np.intp)
    np.maximum.at(right, errors.region_of, column_of)
    rows["left"] = left
    rows["height"] = bottom - rows["top"] + 1
    rows["width"] = right - left + 1
