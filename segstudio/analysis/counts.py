"""Where on the object one sample's errors lie, as integers that add up over samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segstudio.analysis.objects import SIZE_EDGES, SizeCounts, check_size_edges
from segstudio.analysis.taxonomy import ErrorKind, TaxonomyCounts
from segstudio.core.errors import UsageError
from segstudio.metrics.boundary import BoundaryCounts
from segstudio.metrics.packing import pack_sparse, unpack_sparse

__all__ = ["ErrorCounts", "sum_error_counts"]

_MOST_EDGES = 64


@dataclass(frozen=True, slots=True, eq=False)
class ErrorCounts:
    """Boundary, taxonomy and size counts of one sample, or of several added up.

    Kept sparse in one table of numbered cells: boundary intersections and unions, hits, kinds,
    size bins, each flattened.

    Attributes
    ----------
    classes : int
        C.
    size_edges : tuple of int
        Areas at which the next size bin begins.
    cells, counts : ndarray of shape (K,), int64
        Non-zero cells, ascending, and their pixels.
    """

    classes: int
    size_edges: tuple[int, ...]
    cells: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def from_parts(
        cls,
        boundary: BoundaryCounts,
        taxonomy: TaxonomyCounts,
        sizes: SizeCounts,
        *,
        size_edges: Sequence[int] = SIZE_EDGES,
    ) -> ErrorCounts:
        """Return the counts of dense parts over the same classes."""
        dense = np.concatenate(
            [
                part.reshape(-1)
                for part in (
                    boundary.intersection,
                    boundary.union,
                    taxonomy.hits,
                    taxonomy.kinds,
                    sizes.hits,
                    sizes.missed,
                    sizes.false,
                )
            ]
        )
        return cls(len(boundary.union), tuple(size_edges), *_sparse(dense))

    @classmethod
    def empty(cls, classes: int, *, size_edges: Sequence[int] = SIZE_EDGES) -> ErrorCounts:
        """Return the counts of no pixel at all."""
        nothing = np.zeros(0, np.int64)
        return cls(classes, check_size_edges(size_edges), nothing, nothing)

    @property
    def boundary(self) -> BoundaryCounts:
        """Counts behind Boundary IoU."""
        intersection, union = self._part(0, 2)
        return BoundaryCounts(intersection, union)

    @property
    def taxonomy(self) -> TaxonomyCounts:
        """Counts behind the taxonomy."""
        kinds = len(ErrorKind)
        parts = self._part(3, kinds * (self.classes + 1))
        return TaxonomyCounts(
            self._part(2, 1)[0], parts.reshape(kinds, self.classes, self.classes + 1)
        )

    @property
    def sizes(self) -> SizeCounts:
        """Counts by object size."""
        bins = len(self.size_edges) + 1
        before = 3 + len(ErrorKind) * (self.classes + 1)
        return SizeCounts(*self._part(before, 3 * bins).reshape(3, bins, self.classes))

    def _part(self, start: int, rows: int) -> NDArray[np.int64]:
        """Return some rows of C cells as a dense table of shape (rows, C)."""
        table = np.zeros(rows * self.classes, np.int64)
        low, high = start * self.classes, (start + rows) * self.classes
        chosen = slice(*np.searchsorted(self.cells, (low, high)))
        table[self.cells[chosen] - low] = self.counts[chosen]
        return table.reshape(rows, self.classes)

    def to_bytes(self) -> bytes:
        """Return a compact form for storage, the same bytes for the same counts."""
        edges = np.array(self.size_edges, np.int64)
        numbers = np.arange(len(edges), dtype=np.int64)
        return pack_sparse(
            self.classes, (0, 0, 0, 0), ((numbers, edges), (self.cells, self.counts))
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> ErrorCounts:
        """Return what `to_bytes` stored.

        Raises
        ------
        CorruptProjectError
            When the data is damaged, or of a newer version.
        """
        classes, _, (edges, table) = unpack_sparse(
            data, lambda classes: (_MOST_EDGES, _cell_count(classes, _MOST_EDGES))
        )
        return cls(classes, tuple(edges[1].tolist()), *table)


def _cell_count(classes: int, edges: int) -> int:
    return classes * (3 + len(ErrorKind) * (classes + 1) + 3 * (edges + 1))


def _sparse(dense: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    cells = np.flatnonzero(dense).astype(np.int64, copy=False)
    return cells, dense[cells].astype(np.int64, copy=False)


def sum_error_counts(
    samples: Iterable[ErrorCounts], *, classes: int, size_edges: Sequence[int] = SIZE_EDGES
) -> ErrorCounts:
    """Add up the counts of samples: the pooled counts of a slice.

    Parameters
    ----------
    samples : iterable of ErrorCounts
    classes : int
        C.
    size_edges : sequence of int
        Areas at which the next size bin begins.

    Raises
    ------
    UsageError
        When a sample is over other classes or other size bins.
    """
    size_edges = check_size_edges(size_edges)
    dense = np.zeros(_cell_count(classes, len(size_edges)), np.int64)
    for sample in samples:
        if (sample.classes, sample.size_edges) != (classes, size_edges):
            raise UsageError(
                f"Error counts over {sample.classes} classes and size bins {sample.size_edges} "
                f"cannot be added to those over {classes} classes and {size_edges}; "
                "analyse the run again."
            )
        # Cells of one sample are distinct, so no pixel is lost by += with an index.
        dense[sample.cells] += sample.counts
    return ErrorCounts(classes, size_edges, *_sparse(dense))
