"""The numba kernels of the permutohedral lattice; imported on first use only.

The lattice of A. Adams, J. Baek and M. A. Davis, "Fast High-Dimensional Filtering Using the
Permutohedral Lattice", Eurographics 2010: a Gaussian filter over N points with d features in
O(N d^2) instead of O(N^2 d).  Each point gives its value to the d + 1 corners of the simplex around
it (splat), the corners are blurred with 1-2-1 along each of the d + 1 directions of the lattice
(blur), and each point reads its corners again (slice).  Features are in units of the kernel's
standard deviation.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["LANES", "build_lattice", "filter_lattice", "normalise_energies"]

LANES = 8
"""Channels that are filtered together: one vector register of float32; arrays are padded to it."""

_HALF = np.float32(0.5)


@numba.njit(cache=True, nogil=True)
def _find_simplex(
    point: NDArray[np.float32],
    scales: NDArray[np.float64],
    raised: NDArray[np.float64],
    origin: NDArray[np.int64],
    rank: NDArray[np.int64],
    barycentric: NDArray[np.float64],
) -> None:  # pragma: no cover - compiled
    """Write the simplex around a point: its corner of remainder 0, the order and the weights."""
    d = point.shape[0]
    # The point on the hyperplane of d + 1 coordinates whose sum is zero.
    passed = 0.0
    for i in range(d, 0, -1):
        along = point[i - 1] * scales[i - 1]
        raised[i] = passed - i * along
        passed += along
    raised[0] = passed
    # The nearest multiples of d + 1; their sum says how many have to be moved back to the plane.
    excess = 0
    for i in range(d + 1):
        cell = int(np.floor(raised[i] / (d + 1) + 0.5))
        origin[i] = cell * (d + 1)
        excess += cell
        rank[i] = 0
    for i in range(d):
        for j in range(i + 1, d + 1):
            if raised[i] - origin[i] < raised[j] - origin[j]:
                rank[i] += 1
            else:
                rank[j] += 1
    for i in range(d + 1):
        rank[i] += excess
        if rank[i] < 0:
            rank[i] += d + 1
            origin[i] += d + 1
        elif rank[i] > d:
            rank[i] -= d + 1
            origin[i] -= d + 1
    barycentric[:] = 0.0
    for i in range(d + 1):
        share = (raised[i] - origin[i]) / (d + 1)
        barycentric[d - rank[i]] += share
        barycentric[d + 1 - rank[i]] -= share
    barycentric[0] += 1.0 + barycentric[d + 1]


@numba.njit(cache=True, nogil=True)
def _slot_of(
    key: NDArray[np.int32], keys: NDArray[np.int32], table: NDArray[np.int32]
) -> int:  # pragma: no cover - compiled
    """Return the slot of the hash table that holds ``key``, or the empty one where it belongs."""
    mixed = np.uint64(0)
    for i in range(key.shape[0]):
        mixed = (mixed ^ np.uint64(np.uint32(key[i]))) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    last = np.uint64(table.shape[0] - 1)
    slot = mixed & last
    while True:
        entry = table[slot]
        if entry < 0:
            return int(slot)
        same = True
        for i in range(key.shape[0]):
            if keys[entry, i] != key[i]:
                same = False
                break
        if same:
            return int(slot)
        slot = (slot + np.uint64(1)) & last


@numba.njit(cache=True, nogil=True)
def _insert(
    key: NDArray[np.int32], keys: NDArray[np.int32], table: NDArray[np.int32], count: int
) -> int:  # pragma: no cover - compiled
    """Return the index of ``key`` among the ``count`` keys; ``count`` if it has been added now."""
    slot = _slot_of(key, keys, table)
    if table[slot] < 0:
        keys[count] = key
        table[slot] = count
    return int(table[slot])


@numba.njit(cache=True, nogil=True)
def _with_room(
    keys: NDArray[np.int32], table: NDArray[np.int32], count: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:  # pragma: no cover - compiled
    """Return both tables, with room for one more simplex of keys and the hash table half empty."""
    if count + keys.shape[1] + 1 <= keys.shape[0]:
        return keys, table
    wider = np.empty((2 * keys.shape[0], keys.shape[1]), np.int32)
    wider[:count] = keys[:count]
    table = np.full(2 * wider.shape[0], -1, np.int32)
    for index in range(count):
        table[_slot_of(wider[index], wider, table)] = index
    return wider, table


@numba.njit(cache=True, nogil=True)
def _neighbour_key(
    key: NDArray[np.int32], direction: int, sign: int, neighbour: NDArray[np.int32]
) -> None:  # pragma: no cover - compiled
    """Write the key one step along a direction, forwards or backwards; the last one is implied."""
    d = key.shape[0]
    for i in range(d):
        neighbour[i] = key[i] + sign * (-d if i == direction else 1)


@numba.njit(cache=True, nogil=True)
def _close(
    keys: NDArray[np.int32], table: NDArray[np.int32], count: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:  # pragma: no cover - compiled
    """Add every point that the blur would carry a value to."""
    d = keys.shape[1]
    neighbour = np.empty(d, np.int32)
    for direction in range(d + 1):
        for index in range(count):
            for sign in (-1, 1):
                keys, table = _with_room(keys, table, count)
                _neighbour_key(keys[index], direction, sign, neighbour)
                if _insert(neighbour, keys, table, count) == count:
                    count += 1
    return keys, table, count


@numba.njit(cache=True, nogil=True)
def _find_neighbours(
    keys: NDArray[np.int32], table: NDArray[np.int32], count: int
) -> NDArray[np.uint32]:  # pragma: no cover - compiled
    """Return the points before and after each point along each direction, ``count`` for none."""
    d = keys.shape[1]
    neighbours = np.full((d + 1, count, 2), count, np.uint32)
    wanted = np.empty(d, np.int32)
    for direction in range(d + 1):
        for index in range(count):
            _neighbour_key(keys[index], direction, 1, wanted)
            after = table[_slot_of(wanted, keys, table)]
            if after >= 0:
                neighbours[direction, index, 1] = after
                neighbours[direction, after, 0] = index
    return neighbours


@numba.njit(cache=True, nogil=True)
def build_lattice(
    features: NDArray[np.float32], closed: bool
) -> tuple[
    NDArray[np.uint32], NDArray[np.float32], NDArray[np.uint32]
]:  # pragma: no cover - compiled
    """Return the lattice over (N, d) features.

    Without ``closed`` it has the corners of the features only, and what the blur carries elsewhere
    is lost.  With it nothing is lost and the kernel is symmetric, but there are up to 3^d times as
    many points; in two dimensions they are a rim around the image.

    Returns
    -------
    corners : ndarray of shape (N, d + 1), uint32
        The lattice points around each feature.
    weights : ndarray of shape (N, d + 1), float32
        How much of it each of them holds.
    neighbours : ndarray of shape (d + 1, M, 2), uint32
        The points before and after each of the M lattice points, M where there is none.
    """
    n, d = features.shape
    scales = np.empty(d)
    for i in range(d):
        # Splat, blur and slice together have the variance 2/3 (d + 1)^2 in lattice units.
        scales[i] = (d + 1) * np.sqrt(2.0 / 3.0) / np.sqrt((i + 1.0) * (i + 2.0))
    raised = np.empty(d + 1)
    origin = np.empty(d + 1, np.int64)
    rank = np.empty(d + 1, np.int64)
    barycentric = np.empty(d + 2)
    key = np.empty(d, np.int32)
    corners = np.empty((n, d + 1), np.uint32)
    weights = np.empty((n, d + 1), np.float32)
    keys, table = np.empty((1024, d), np.int32), np.full(2048, -1, np.int32)
    count = 0
    for index in range(n):
        _find_simplex(features[index], scales, raised, origin, rank, barycentric)
        keys, table = _with_room(keys, table, count)
        for corner in range(d + 1):
            for i in range(d):
                key[i] = origin[i] + corner - (d + 1 if rank[i] > d - corner else 0)
            found = _insert(key, keys, table, count)
            if found == count:
                count += 1
            corners[index, corner] = found
            weights[index, corner] = barycentric[corner]
    if closed:
        keys, table, count = _close(keys, table, count)
    return corners, weights, _find_neighbours(keys, table, count)


@numba.njit(cache=True, nogil=True, fastmath=True)
def filter_lattice(
    values: NDArray[np.float32],
    out: NDArray[np.float32],
    first: int,
    last: int,
    factor: float,
    corners: NDArray[np.uint32],
    weights: NDArray[np.float32],
    neighbours: NDArray[np.uint32],
) -> None:  # pragma: no cover - compiled
    """Add ``factor`` times the filtered channels first ... last - 1 of (N, L) values to ``out``.

    The number of channels is a multiple of `LANES`; the inner loops of fixed length are what the
    compiler turns into vector instructions.
    """
    directions, points, _ = neighbours.shape
    width = last - first
    # The row after the last is the missing neighbour: it stays zero.
    here = np.zeros((points + 1, width), np.float32)
    there = np.zeros((points + 1, width), np.float32)
    for n in range(corners.shape[0]):
        for corner in range(directions):
            row = corners[n, corner]
            weight = weights[n, corner]
            for start in range(0, width, LANES):
                for c in range(start, start + LANES):
                    here[row, c] += weight * values[n, first + c]
    for direction in range(directions):
        for row in range(points):
            before = neighbours[direction, row, 0]
            after = neighbours[direction, row, 1]
            for start in range(0, width, LANES):
                for c in range(start, start + LANES):
                    there[row, c] = here[row, c] + _HALF * (here[before, c] + here[after, c])
        here, there = there, here
    scale = np.float32(factor)
    for n in range(corners.shape[0]):
        for corner in range(directions):
            row = corners[n, corner]
            weight = scale * weights[n, corner]
            for start in range(0, width, LANES):
                for c in range(start, start + LANES):
                    out[n, first + c] += weight * here[row, c]


@numba.njit(cache=True, nogil=True, fastmath=True)
def normalise_energies(
    log_p: NDArray[np.float32],
    messages: NDArray[np.float32],
    q: NDArray[np.float32],
    classes: int,
) -> None:  # pragma: no cover - compiled
    """Write the softmax of ``log_p + messages`` over the first columns of (N, L) to ``q``."""
    for n in range(q.shape[0]):
        highest = np.float32(-np.inf)
        for c in range(classes):
            highest = max(highest, log_p[n, c] + messages[n, c])
        total = np.float32(0.0)
        for c in range(classes):
            power = np.exp(log_p[n, c] + messages[n, c] - highest)
            q[n, c] = power
            total += power
        share = np.float32(1.0) / total
        for c in range(classes):
            q[n, c] *= share
