"""Draws of samples with replacement, and the intervals that scores of draws give."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["drawn_sums", "percentile_interval", "quantiles", "weight_blocks"]

Floats = NDArray[np.float64]

_DENSE = 0.25
"""Share of non-zero numbers from which one matrix product is quicker than one for each class."""


@functools.lru_cache(maxsize=2)
def _drawn(count: int, draws: int, seed: int) -> NDArray[np.uint16]:
    """Return how often each of ``count`` samples was drawn, (draws, count).

    The same distribution as `Generator.multinomial`, several times sooner; kept, because it does
    not depend on the runs that are scored with it.
    """
    generator = np.random.default_rng(seed)
    narrow = np.uint16 if count <= 65536 else np.uint32
    result = np.zeros((draws, count), np.uint16)
    for row in result if count else ():
        row[:] = np.bincount(generator.integers(0, count, count, dtype=narrow), minlength=count)
    return result


def weight_blocks(count: int, draws: int, seed: int) -> Iterator[Floats]:
    """Yield how often each of ``count`` samples is drawn, some draws at a time.

    As many as stay in the processor's cache.

    Parameters
    ----------
    count, draws, seed : int
        S, D; equal ones give equal draws.

    Yields
    ------
    ndarray of shape (d, S), float64
        Whole numbers, rows add up to S; the d add up to D.
    """
    weights = _drawn(count, draws, seed)
    block = max(1, 1_000_000 // max(1, count))
    for start in range(0, draws, block):
        yield weights[start : start + block].astype(np.float64)


@functools.lru_cache(maxsize=2)
def _drawn_by_sample(count: int, draws: int, seed: int) -> NDArray[np.uint16]:
    """Return `_drawn` the other way round, (count, draws): a sample's row lies in one piece."""
    return np.ascontiguousarray(_drawn(count, draws, seed).T)


def drawn_sums(columns: NDArray[Any], draws: int, seed: int) -> Floats:
    """Return the sums over the drawn samples, exactly.

    Parameters
    ----------
    columns : ndarray of shape (K, S, C), integer
        K numbers of each of S samples for each of C classes; sums are below 2^53.
    draws, seed : int
        D; equal ones give equal draws, those of `weight_blocks`.

    Returns
    -------
    ndarray of shape (K, D, C), float64

    Notes
    -----
    A photograph holds a dozen of 150 classes.  Where most numbers are 0, only the samples that
    hold a class are added up for it; else one matrix product does all classes.
    """
    kinds, count, classes = columns.shape
    held = columns.any(0)
    if np.count_nonzero(held) > _DENSE * held.size:
        table = columns.transpose(1, 0, 2).reshape(count, kinds * classes).astype(np.float64)
        blocks = [weights @ table for weights in weight_blocks(count, draws, seed)]
        return np.concatenate(blocks).reshape(draws, kinds, classes).transpose(1, 0, 2)
    weights = _drawn_by_sample(count, draws, seed)
    which, samples = np.nonzero(held.T)
    ends = np.searchsorted(which, np.arange(classes + 1))
    result = np.zeros((classes, kinds, draws))
    for index in range(classes):
        rows = samples[ends[index] : ends[index + 1]]
        if len(rows):
            values = columns[:, rows, index].astype(np.float64)
            drawn = weights[rows].astype(np.float64)
            # Two rows at a time: for more, BLAS starts threads, which only wait for each other.
            for kind in range(0, kinds, 2):
                result[index, kind : kind + 2] = values[kind : kind + 2] @ drawn
    return result.transpose(1, 2, 0)


def percentile_interval(values: NDArray[Any], level: float = 0.95) -> tuple[Any, Any]:
    """Return the ends of the middle ``level`` of draws, along the first axis.

    Parameters
    ----------
    values : ndarray of shape (D, ...)
        Scores of draws; NaN ones are left out.
    level : float
        Share of draws inside.

    Returns
    -------
    low, high : ndarray of shape (...)
        NaN where no draw has a score.
    """
    tail = (1 - level) / 2
    low, high = quantiles(values, (tail, 1 - tail))
    return low, high


def quantiles(values: NDArray[Any], levels: Sequence[float]) -> list[Any]:
    """Return quantiles along the first axis of what is not NaN, linear between draws."""
    ordered = np.sort(values, axis=0)  # NaN last
    defined = (~np.isnan(values)).sum(0)
    result = []
    for level in levels:
        place = np.maximum(defined - 1, 0) * level
        below = np.floor(place).astype(np.intp)
        above = np.minimum(below + 1, np.maximum(defined - 1, 0))
        low = np.take_along_axis(ordered, np.expand_dims(below, 0), 0)[0]
        high = np.take_along_axis(ordered, np.expand_dims(above, 0), 0)[0]
        result.append(low + (high - low) * (place - below))
    return result
