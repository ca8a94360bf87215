"""What one pixel pass over a sample leaves behind: integers from which every number is made.

Kept sparse: a photograph shows a dozen of 150 classes, and thousands of samples are in memory at
once when a slice is summed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import UsageError
from segstudio.core.types import IGNORE_INDEX, LabelMap
from segstudio.metrics.confusion import (
    Kernel,
    check_maps,
    confusion_matrix,
    resolve_kernel,
)
from segstudio.metrics.edges import EDGE_DISTANCE, edge_band
from segstudio.metrics.levels import (
    LEVELS,
    check_levels,
    count_levels,
    count_uncertainty,
    masked_sum,
)
from segstudio.metrics.packing import pack_sparse, unpack_sparse

__all__ = ["EDGE_DISTANCE", "LEVELS", "SampleCounts", "count_sample", "edge_band", "sum_counts"]


@dataclass(frozen=True, slots=True, eq=False)
class SampleCounts:
    """Integer counts of one sample, or of several added up.

    Attributes
    ----------
    classes : int
        C.
    rows, cols, counts : ndarray of shape (K,), int64
        Non-zero cells of the (C, C + 1) confusion, by row, then column; counts are positive.
    entropy_cells, entropy_counts : ndarray of shape (M,), int64
        Non-zero cells of the flattened `entropy_histogram`, ascending, and their pixels.
    confidence_cells, confidence_counts : ndarray of shape (N,), int64
        The same of `confidence_histogram`.
    edge_entropy_sum, inner_entropy_sum : int
        Entropy levels summed over labelled pixels within `EDGE_DISTANCE` of another class of the
        target, and over all other labelled pixels.
    edge_pixels, inner_pixels : int
        How many these are; both 0 when the entropy was not known.
    """

    classes: int
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    counts: NDArray[np.int64]
    entropy_cells: NDArray[np.int64]
    entropy_counts: NDArray[np.int64]
    confidence_cells: NDArray[np.int64]
    confidence_counts: NDArray[np.int64]
    edge_entropy_sum: int = 0
    edge_pixels: int = 0
    inner_entropy_sum: int = 0
    inner_pixels: int = 0

    @classmethod
    def from_dense(
        cls,
        confusion: NDArray[np.int64],
        entropy_histogram: NDArray[np.int64] | None = None,
        *,
        confidence_histogram: NDArray[np.int64] | None = None,
        edge: tuple[int, int] = (0, 0),
        inner: tuple[int, int] = (0, 0),
    ) -> SampleCounts:
        """Return the counts of a dense (C, C + 1) confusion and dense (C, 2, 256) histograms.

        Parameters
        ----------
        confusion : ndarray of shape (C, C + 1), int64
        entropy_histogram, confidence_histogram : ndarray of shape (C, 2, 256), int64, or None
        edge, inner : (int, int)
            Sum of entropy levels, pixels.
        """
        classes = len(confusion)
        cells, counts = _sparse(confusion)
        return cls(
            classes,
            *np.divmod(cells, classes + 1),
            counts,
            *_sparse(entropy_histogram),
            *_sparse(confidence_histogram),
            *edge,
            *inner,
        )

    @classmethod
    def empty(cls, classes: int) -> SampleCounts:
        """Return the counts of no pixel at all."""
        return cls.from_dense(np.zeros((classes, classes + 1), np.int64))

    @property
    def entropy_histogram(self) -> NDArray[np.int64]:
        """(C, 2, 256) int64: target class, right (0) or wrong (1), entropy level.

        Labelled pixels only; an ignored prediction is wrong.  All 0 when no entropy was known.
        """
        return _dense(self.entropy_cells, self.entropy_counts, (self.classes, 2, LEVELS))

    @property
    def confidence_histogram(self) -> NDArray[np.int64]:
        """(C, 2, 256) int64: as `entropy_histogram`, of confidence levels."""
        return _dense(self.confidence_cells, self.confidence_counts, (self.classes, 2, LEVELS))

    @property
    def labelled_pixels(self) -> int:
        """Pixels that were counted, that is whose target is a class."""
        return int(self.counts.sum())

    def confusion(self, classes: int | None = None) -> NDArray[np.int64]:
        """Return the dense (C, C + 1) int64 confusion; column C holds ignored predictions.

        Parameters
        ----------
        classes : int, optional
            What the caller believes C to be.

        Raises
        ------
        UsageError
            When C is another.
        """
        _check_classes(self.classes, self.classes if classes is None else classes)
        cells = self.rows * (self.classes + 1) + self.cols
        return _dense(cells, self.counts, (self.classes, self.classes + 1))

    def __add__(self, other: SampleCounts) -> SampleCounts:
        """Return the pooled counts of both."""
        return sum_counts((self, other))

    def to_bytes(self) -> bytes:
        """Return a compact form for storage, the same bytes for the same counts."""
        cells = self.rows * (self.classes + 1) + self.cols
        return pack_sparse(
            self.classes,
            (
                self.edge_entropy_sum,
                self.edge_pixels,
                self.inner_entropy_sum,
                self.inner_pixels,
            ),
            (
                (cells, self.counts),
                (self.entropy_cells, self.entropy_counts),
                (self.confidence_cells, self.confidence_counts),
            ),
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> SampleCounts:
        """Return what `to_bytes` stored.

        Raises
        ------
        CorruptProjectError
            When the data is damaged, or of a newer version.
        """
        classes, sums, pairs = unpack_sparse(data, _limits)
        (cells, counts), entropy, confidence = pairs
        return cls(classes, *np.divmod(cells, classes + 1), counts, *entropy, *confidence, *sums)


def _limits(classes: int) -> tuple[int, int, int]:
    """Return the number of cells of the three tables."""
    return classes * (classes + 1), classes * 2 * LEVELS, classes * 2 * LEVELS


def _sparse(table: NDArray[np.int64] | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if table is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    flat = table.reshape(-1)
    cells = np.flatnonzero(flat).astype(np.int64, copy=False)
    return cells, flat[cells].astype(np.int64, copy=False)


def _dense(
    cells: NDArray[np.int64], counts: NDArray[np.int64], shape: tuple[int, ...]
) -> NDArray[np.int64]:
    table = np.zeros(shape, np.int64)
    table.reshape(-1)[cells] = counts
    return table


def _check_classes(classes: int, expected: int) -> None:
    if classes != expected:
        raise UsageError(
            f"Counts over {classes} classes cannot be used as counts over {expected}; "
            "they belong to another label space."
        )


def sum_counts(samples: Iterable[SampleCounts], *, classes: int | None = None) -> SampleCounts:
    """Add up the counts of samples: the pooled counts of a slice.

    Parameters
    ----------
    samples : iterable of SampleCounts
    classes : int, optional
        C; needed only where there may be no sample.

    Raises
    ------
    UsageError
        When the samples have different numbers of classes, or there is none and no ``classes``.
    """
    confusion = entropy = confidence = None
    sums = [0, 0, 0, 0]
    for sample in samples:
        if confusion is None or entropy is None or confidence is None:
            classes = sample.classes if classes is None else classes
            confusion = np.zeros(classes * (classes + 1), np.int64)
            entropy, confidence = (np.zeros(classes * 2 * LEVELS, np.int64) for _ in range(2))
        assert classes is not None
        _check_classes(sample.classes, classes)
        # Cells of one sample are distinct, so no pixel is lost by += with an index.
        confusion[sample.rows * (classes + 1) + sample.cols] += sample.counts
        entropy[sample.entropy_cells] += sample.entropy_counts
        confidence[sample.confidence_cells] += sample.confidence_counts
        sums[0] += sample.edge_entropy_sum
        sums[1] += sample.edge_pixels
        sums[2] += sample.inner_entropy_sum
        sums[3] += sample.inner_pixels
    if classes is None:
        raise UsageError("There are no samples to add up.")
    if confusion is None:
        return SampleCounts.empty(classes)
    return SampleCounts.from_dense(
        confusion.reshape(classes, classes + 1),
        entropy,
        confidence_histogram=confidence,
        edge=(sums[0], sums[1]),
        inner=(sums[2], sums[3]),
    )


def count_sample(
    target: LabelMap,
    prediction: LabelMap,
    classes: int,
    *,
    ignore_index: int = IGNORE_INDEX,
    entropy: NDArray[np.uint8] | None = None,
    confidence: NDArray[np.uint8] | None = None,
    kernel: Kernel = "auto",
    name: str = "",
) -> SampleCounts:
    """Count a sample: its confusion and, where known, its uncertainty.

    Parameters
    ----------
    target, prediction : ndarray of shape (H, W), integer
        Label maps.
    classes : int
        C.
    ignore_index : int
        Value that is no class, at least C.
    entropy : ndarray of shape (H, W), uint8, optional
        ``round(255 * entropy / log C)``.
    confidence : ndarray of shape (H, W), uint8, optional
        ``round(255 * max p)``.
    kernel : {"auto", "numpy", "numba"}
        As in `confusion_matrix`; all give the same integers.
    name : str
        The sample, for the error.

    Raises
    ------
    LabelValueError, SizeMismatchError, UsageError
        As `confusion_matrix`; also when entropy or confidence has another size or type.
    """
    confusion = confusion_matrix(
        target, prediction, classes, ignore_index=ignore_index, kernel=kernel, name=name
    )
    target, prediction = check_maps(
        target, prediction, classes, ignore_index=ignore_index, name=name
    )
    for what, levels in (("entropy", entropy), ("confidence", confidence)):
        if levels is not None:
            check_levels(levels, what, target.shape, name)
    module = resolve_kernel(kernel)
    band = None if entropy is None else edge_band(target, classes)
    if module is not None and entropy is not None and confidence is not None and band is not None:
        histograms, edge = count_uncertainty(
            module, target, prediction, (entropy, confidence, band.view(np.uint8)), classes
        )
    else:
        histograms = [
            None if levels is None else count_levels(module, target, prediction, levels, classes)
            for levels in (entropy, confidence)
        ]
        edge = 0, 0
        if entropy is not None and band is not None:
            edge = masked_sum(entropy, band), int(np.count_nonzero(band))
    inner = 0, 0
    if histograms[0] is not None:
        by_level = histograms[0].sum((0, 1))
        inner = (
            int(by_level @ np.arange(LEVELS)) - edge[0],
            int(by_level.sum()) - edge[1],
        )
    return SampleCounts.from_dense(
        confusion, histograms[0], confidence_histogram=histograms[1], edge=edge, inner=inner
    )
