"""The counts of a run in columns: any slice of its samples is a sum of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import UsageError
from segstudio.metrics import scores, uncertainty
from segstudio.metrics.counts import LEVELS, SampleCounts

__all__ = ["RunTable", "Selection", "build_run_table"]

Floats = NDArray[np.float64]

Selection = NDArray[np.bool_] | None
"""Which samples, shape (S,); None is all of them."""

_CELLS_AT_ONCE = 1 << 20
_KEPT_DRAWS = 8


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Non-zero cells of a table of each sample, one sample after the other.

    Attributes
    ----------
    ends : ndarray of shape (S + 1,), int64
        Where each sample's cells begin; the last entry is where the last one's end.
    cells, counts : ndarray of shape (K,), uint32
        Cell of the flattened table and its pixels (no image has 2^32).
    """

    ends: NDArray[np.int64]
    cells: NDArray[np.uint32]
    counts: NDArray[np.uint32]

    @classmethod
    def collect(cls, parts: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> _Cells:
        ends = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(cells) for cells, _ in parts], out=ends[1:])
        empty = [np.zeros(0, np.uint32)]
        return cls(
            ends,
            np.concatenate([*(cells.astype(np.uint32) for cells, _ in parts), *empty]),
            np.concatenate([*(counts.astype(np.uint32) for _, counts in parts), *empty]),
        )

    def total(self, selection: Selection, size: int) -> NDArray[np.int64]:
        """Return the sum over samples, (size,) int64."""
        # Float64 holds the sums exactly: they are far below 2^53.
        total = np.zeros(size)
        for start in range(0, len(self.cells), _CELLS_AT_ONCE):
            part = slice(start, start + _CELLS_AT_ONCE)
            cells, counts = self.cells[part], self.counts[part]
            if selection is not None:
                # Which of these cells are of chosen samples.
                inside = np.clip(self.ends, start, start + len(cells)) - start
                chosen = np.repeat(selection, np.diff(inside))
                cells, counts = cells[chosen], counts[chosen]
            total += np.bincount(cells.astype(np.intp), weights=counts, minlength=size)
        return total.astype(np.int64)

    def take(self, places: NDArray[np.intp]) -> _Cells:
        """Return the cells of some samples."""
        parts = [slice(self.ends[place], self.ends[place + 1]) for place in places.tolist()]
        return _Cells.collect([(self.cells[part], self.counts[part]) for part in parts])


@dataclass(frozen=True, eq=False)
class RunTable:
    """Counts of the samples of a run in columns.

    Attributes
    ----------
    sample_ids : tuple of str
        S of them, the rows.
    classes : int
        C.
    totals : ClassTotals of shape (S, C)
        int64.
    entropy, confidence : ndarray of shape (S, 2, 256), uint32
        Histograms over all target classes: right or wrong, level.
    edges : ndarray of shape (S, 4), int64
        Edge entropy sum, edge pixels, inner entropy sum, inner pixels; see `SampleCounts`.
    """

    sample_ids: tuple[str, ...]
    classes: int
    totals: scores.ClassTotals
    entropy: NDArray[np.uint32]
    confidence: NDArray[np.uint32]
    edges: NDArray[np.int64]
    _joint: _Cells
    _entropy: _Cells
    _confidence: _Cells
    _draws: dict[bytes, Floats] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.sample_ids)

    def confusion(self, selection: Selection = None) -> NDArray[np.int64]:
        """Return the pooled (C, C + 1) confusion of a slice; see `SampleCounts.confusion`."""
        size = self.classes * (self.classes + 1)
        return self._joint.total(selection, size).reshape(self.classes, self.classes + 1)

    def entropy_by_class(self, selection: Selection = None) -> NDArray[np.int64]:
        """Return the pooled (C, 2, 256) entropy histogram of a slice."""
        return self._by_class(self._entropy, selection)

    def confidence_by_class(self, selection: Selection = None) -> NDArray[np.int64]:
        """Return the pooled (C, 2, 256) confidence histogram of a slice."""
        return self._by_class(self._confidence, selection)

    def _by_class(self, cells: _Cells, selection: Selection) -> NDArray[np.int64]:
        total = cells.total(selection, self.classes * 2 * LEVELS)
        return total.reshape(self.classes, 2, LEVELS)

    def class_totals(self, selection: Selection = None) -> scores.ClassTotals:
        """Return the pooled class totals of a slice, shape (C,): all that IoU and its kin need."""
        parts = (self.totals.hits, self.totals.target, self.totals.predicted)
        if selection is None:
            return scores.ClassTotals(*(part.sum(0) for part in parts))
        return scores.ClassTotals(*(part[selection].sum(0) for part in parts))

    def sample_totals(self, selection: Selection = None) -> scores.ClassTotals:
        """Return the class totals of each sample of a slice, shape (s, C)."""
        if selection is None:
            return self.totals
        return scores.ClassTotals(
            self.totals.hits[selection],
            self.totals.target[selection],
            self.totals.predicted[selection],
        )

    def levels(self, selection: Selection = None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the pooled (2, 256) histograms of entropy and of confidence of a slice."""
        rows = slice(None) if selection is None else selection
        entropy, confidence = (
            part[rows].sum(0, dtype=np.int64) for part in (self.entropy, self.confidence)
        )
        return entropy, confidence

    def edge_entropy_ratio(self, selection: Selection = None) -> float:
        """Return `segstudio.metrics.uncertainty.edge_entropy_ratio` of a slice."""
        rows = slice(None) if selection is None else selection
        sums = [int(value) for value in self.edges[rows].sum(0)]
        return uncertainty.edge_entropy_ratio(
            SampleCounts.from_dense(
                np.zeros((1, 2), np.int64), edge=(sums[0], sums[1]), inner=(sums[2], sums[3])
            )
        )

    def draws(self, selection: Selection = None) -> Floats:
        """Return `resampled_iou` of a slice, kept: (1000, 1 + C), mean IoU first."""
        key = b"" if selection is None else np.packbits(selection).tobytes()
        found = self._draws.get(key)
        if found is None:
            found = scores.resampled_iou(self.sample_totals(selection))
            found.flags.writeable = False
            while len(self._draws) >= _KEPT_DRAWS:
                self._draws.pop(next(iter(self._draws)))
            self._draws[key] = found
        return found

    def take(self, sample_ids: Sequence[str]) -> RunTable:
        """Return the table of these samples, in this order.

        Raises
        ------
        UsageError
            When the run has no counts of one of them.
        """
        if tuple(sample_ids) == self.sample_ids:
            return self
        place_of = {sample_id: place for place, sample_id in enumerate(self.sample_ids)}
        missing = [sample_id for sample_id in sample_ids if sample_id not in place_of]
        if missing:
            raise UsageError(f"{missing[0]} has not been scored in this run.")
        places = np.array([place_of[sample_id] for sample_id in sample_ids], np.intp)
        totals = self.totals
        return RunTable(
            tuple(sample_ids),
            self.classes,
            scores.ClassTotals(
                totals.hits[places], totals.target[places], totals.predicted[places]
            ),
            self.entropy[places],
            self.confidence[places],
            self.edges[places],
            self._joint.take(places),
            self._entropy.take(places),
            self._confidence.take(places),
        )


def build_run_table(samples: Iterable[tuple[str, SampleCounts]], classes: int) -> RunTable:
    """Put the counts of samples into columns; the samples' own arrays are not kept.

    Parameters
    ----------
    samples : iterable of (str, SampleCounts)
        Sample ids and counts; may be a generator, so that few are in memory at once.
    classes : int
        C.

    Raises
    ------
    UsageError
        When a sample was counted over another number of classes.
    """
    ids: list[str] = []
    columns: list[list[Any]] = [[], [], [], [], [], []]
    rows: list[scores.ClassTotals] = []
    for sample_id, counts in samples:
        rows.append(scores.sample_totals([counts], classes))
        ids.append(sample_id)
        pairs = (
            (counts.rows * (classes + 1) + counts.cols, counts.counts),
            (counts.entropy_cells, counts.entropy_counts),
            (counts.confidence_cells, counts.confidence_counts),
        )
        for column, (cells, values) in zip(columns, pairs, strict=False):
            column.append((cells.astype(np.uint32), values.astype(np.uint32)))
        columns[3].append(_pooled_levels(*pairs[1]))
        columns[4].append(_pooled_levels(*pairs[2]))
        columns[5].append(
            (
                counts.edge_entropy_sum,
                counts.edge_pixels,
                counts.inner_entropy_sum,
                counts.inner_pixels,
            )
        )
    parts = zip(*((row.hits, row.target, row.predicted) for row in rows), strict=True)
    totals = (
        scores.ClassTotals(*(np.concatenate(part) for part in parts))
        if rows
        else scores.sample_totals([], classes)
    )
    return RunTable(
        tuple(ids),
        classes,
        totals,
        np.array(columns[3], np.uint32).reshape(-1, 2, LEVELS),
        np.array(columns[4], np.uint32).reshape(-1, 2, LEVELS),
        np.array(columns[5], np.int64).reshape(-1, 4),
        _Cells.collect(columns[0]),
        _Cells.collect(columns[1]),
        _Cells.collect(columns[2]),
    )


def _pooled_levels(cells: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return the flattened (2, 256) histogram over all classes."""
    pooled = np.bincount(cells % (2 * LEVELS), weights=counts, minlength=2 * LEVELS)
    return pooled.astype(np.uint32)
