"""Draws of samples with replacement, and the intervals that scores of draws give."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["percentile_interval", "quantiles", "weight_blocks"]

Floats = NDArray[np.float64]


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
