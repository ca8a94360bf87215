"""Compiled counting loops; importing this module imports numba and compiles (or loads) them.

Only `segstudio.metrics.confusion` imports it, lazily: numba costs most of a second, which the
window must never pay.  Signatures are given, so a call never compiles: not for a read-only array,
not for another thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

__all__ = ["BLOCK", "add_joint_8", "add_joint_16", "add_levels", "add_uncertainty"]

BLOCK = 64
"""Pixels that are tested, and added, at once."""


def _flat(scalar: Any) -> Any:
    """Return the type of a 1-D array; read-only accepts writable arrays too."""
    return types.Array(scalar, 1, "C", readonly=True)


def _compiled(*signatures: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile with the disk cache, or without it where no folder for it can be written."""

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(list(signatures), cache=True, nogil=True)(function)
        except (RuntimeError, OSError):
            # numba tries the package folder, then the user's cache folder, and raises when
            # neither can be written.
            return numba.njit(list(signatures), nogil=True)(function)

    return decorate


@numba.njit(inline="always")
def _code(value: Any, classes: Any, ignore_index: Any) -> Any:
    """Return the row of a value in a table of C + 2 rows."""
    if value < classes:
        return np.intp(value)
    return np.intp(classes if value == ignore_index else classes + 1)


_BYTES = _flat(types.uint8)
_SHORTS = _flat(types.uint16)
_WORDS = _flat(types.uint64)
_TABLES = types.Array(types.uint32, 2, "C")


@_compiled(types.void(_BYTES, _BYTES, _WORDS, _WORDS, _TABLES))
def add_joint_8(
    target: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    target_words: NDArray[np.uint64],
    prediction_words: NDArray[np.uint64],
    tables: NDArray[np.uint32],
) -> None:
    """Add the joint counts of two flat 8-bit maps to ``tables[0] + tables[1]``.

    Label maps are mostly uniform, so 64 pixels are compared with their first one as whole words
    and added at once when all agree, then 8 at once, and only the rest one by one.  Single pixels
    go to two tables in turn: repeated increments of one cell wait for each other.

    Parameters
    ----------
    target, prediction : ndarray of shape (N,), uint8
        Label maps.
    target_words, prediction_words : ndarray of shape (N // 8,), uint64
        The same memory.
    tables : ndarray of shape (2, 65536), uint32
        Cell ``target * 256 + prediction``: every value has its row, so no pixel needs a test.
        Overflows at 2^32 pixels: callers pass fewer.
    """
    spread = np.uint64(0x0101010101010101)
    blocks = target.size // BLOCK
    for block in range(blocks):
        start = block * BLOCK
        word = block * 8
        one = np.uint64(target[start]) * spread
        other = np.uint64(prediction[start]) * spread
        difference = np.uint64(0)
        for step in range(8):
            difference |= target_words[word + step] ^ one
            difference |= prediction_words[word + step] ^ other
        if difference == 0:
            tables[0, (np.intp(target[start]) << 8) | prediction[start]] += BLOCK
            continue
        for step in range(8):
            at = start + step * 8
            one = np.uint64(target[at]) * spread
            other = np.uint64(prediction[at]) * spread
            if ((target_words[word + step] ^ one) | (prediction_words[word + step] ^ other)) == 0:
                tables[0, (np.intp(target[at]) << 8) | prediction[at]] += 8
                continue
            for pixel in range(at, at + 8, 2):
                tables[0, (np.intp(target[pixel]) << 8) | prediction[pixel]] += 1
                tables[1, (np.intp(target[pixel + 1]) << 8) | prediction[pixel + 1]] += 1
    for pixel in range(blocks * BLOCK, target.size):
        tables[0, (np.intp(target[pixel]) << 8) | prediction[pixel]] += 1


@_compiled(
    types.void(_SHORTS, _SHORTS, _WORDS, _WORDS, types.intp, types.intp, _TABLES),
)
def add_joint_16(
    target: NDArray[np.uint16],
    prediction: NDArray[np.uint16],
    target_words: NDArray[np.uint64],
    prediction_words: NDArray[np.uint64],
    classes: int,
    ignore_index: int,
    tables: NDArray[np.uint32],
) -> None:
    """Add the joint counts of two flat 16-bit maps to ``tables[0] + tables[1]``.

    As `add_joint_8`, four pixels to a word.

    Parameters
    ----------
    target, prediction : ndarray of shape (N,), uint16
        Label maps.
    target_words, prediction_words : ndarray of shape (N // 4,), uint64
        The same memory.
    classes, ignore_index : int
        C and the value that is no class.
    tables : ndarray of shape (2, (C + 2) * (C + 2)), uint32
        Rows and columns 0..C-1, C for the ignore index and C + 1 for anything else.
    """
    side = classes + 2
    spread = np.uint64(0x0001000100010001)
    blocks = target.size // BLOCK
    for block in range(blocks):
        start = block * BLOCK
        word = block * 16
        one = np.uint64(target[start]) * spread
        other = np.uint64(prediction[start]) * spread
        difference = np.uint64(0)
        for step in range(16):
            difference |= target_words[word + step] ^ one
            difference |= prediction_words[word + step] ^ other
        row = _code(target[start], classes, ignore_index)
        column = _code(prediction[start], classes, ignore_index)
        if difference == 0:
            tables[0, row * side + column] += BLOCK
            continue
        for step in range(16):
            at = start + step * 4
            row = _code(target[at], classes, ignore_index)
            column = _code(prediction[at], classes, ignore_index)
            one = np.uint64(target[at]) * spread
            other = np.uint64(prediction[at]) * spread
            if ((target_words[word + step] ^ one) | (prediction_words[word + step] ^ other)) == 0:
                tables[0, row * side + column] += 4
                continue
            for pixel in range(at, at + 4):
                row = _code(target[pixel], classes, ignore_index)
                column = _code(prediction[pixel], classes, ignore_index)
                tables[pixel & 1, row * side + column] += 1
    for pixel in range(blocks * BLOCK, target.size):
        row = _code(target[pixel], classes, ignore_index)
        column = _code(prediction[pixel], classes, ignore_index)
        tables[0, row * side + column] += 1


@_compiled(
    types.void(_BYTES, _BYTES, _BYTES, types.intp, _TABLES),
    types.void(_SHORTS, _SHORTS, _BYTES, types.intp, _TABLES),
)
def add_levels(
    target: NDArray[Any],
    prediction: NDArray[Any],
    levels: NDArray[np.uint8],
    classes: int,
    tables: NDArray[np.uint32],
) -> None:
    """Add the joint counts of (target, right or wrong, level) to ``tables.sum(0)``.

    Parameters
    ----------
    target, prediction : ndarray of shape (N,), uint8 or uint16
        Label maps whose values `add_joint_8` or `add_joint_16` found to be good.
    levels : ndarray of shape (N,), uint8
        Entropy or confidence levels.
    classes : int
        C; rows 0..C-1 of the table are classes, row C is the ignore index.
    tables : ndarray of shape (4, (C + 1) * 512), uint32
        Cell ``(row * 2 + wrong) * 256 + level``; four take turns, because neighbours often share
        a level and repeated increments of one cell wait for each other.
    """
    whole = target.size // 4 * 4
    for start in range(0, whole, 4):
        for turn in range(4):
            value = target[start + turn]
            wrong = np.intp(value != prediction[start + turn])
            row = np.intp(value if value < classes else classes)
            tables[turn, (row * 2 + wrong) * 256 + np.intp(levels[start + turn])] += np.uint32(1)
    for pixel in range(whole, target.size):
        row = np.intp(target[pixel] if target[pixel] < classes else classes)
        wrong = np.intp(target[pixel] != prediction[pixel])
        tables[0, (row * 2 + wrong) * 256 + np.intp(levels[pixel])] += np.uint32(1)


_PAIR = types.Array(types.int64, 1, "C")


@_compiled(
    types.void(_BYTES, _BYTES, _BYTES, _BYTES, _BYTES, _TABLES, _TABLES, _PAIR),
    types.void(_SHORTS, _SHORTS, _BYTES, _BYTES, _BYTES, _TABLES, _TABLES, _PAIR),
)
def add_uncertainty(
    rows: NDArray[Any],
    prediction: NDArray[Any],
    entropy: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    band: NDArray[np.uint8],
    entropies: NDArray[np.uint32],
    confidences: NDArray[np.uint32],
    edge: NDArray[np.int64],
) -> None:
    """Do in one pass what `add_levels` does for entropy and for confidence, and sum the band.

    The joint counts are not part of it: `add_joint_8` mostly counts 64 pixels at once, which
    levels, that differ from pixel to pixel, do not allow.

    Parameters
    ----------
    rows : ndarray of shape (N,), uint8 or uint16
        The target; an ignored pixel has any row that the tables have and no class takes: without
        a test for each pixel the loop takes two thirds of the time.
    prediction : ndarray of shape (N,), of the same type
        Its values were found to be good.
    entropy, confidence : ndarray of shape (N,), uint8
        Levels.
    band : ndarray of shape (N,), uint8
        1 at edges, 0 elsewhere and where the target is ignored.
    entropies, confidences : ndarray of shape (2, R * 512), uint32
        As the tables of `add_levels`, of R rows; two take turns.
    edge : ndarray of shape (2,), int64
        Gets the entropy levels of the band's pixels, summed, and their number.
    """
    summed: Any = np.intp(0)
    pixels: Any = np.intp(0)
    whole = rows.size // 2 * 2
    for start in range(0, whole, 2):
        for turn in range(2):
            at = start + turn
            wrong = np.intp(rows[at] != prediction[at])
            cell = ((np.intp(rows[at]) << 1) | wrong) << 8
            level, inside = np.intp(entropy[at]), np.intp(band[at])
            entropies[turn, cell + level] += np.uint32(1)
            confidences[turn, cell + np.intp(confidence[at])] += np.uint32(1)
            summed += level * inside
            pixels += inside
    for at in range(whole, rows.size):
        wrong = np.intp(rows[at] != prediction[at])
        cell = ((np.intp(rows[at]) << 1) | wrong) << 8
        level, inside = np.intp(entropy[at]), np.intp(band[at])
        entropies[0, cell + level] += np.uint32(1)
        confidences[0, cell + np.intp(confidence[at])] += np.uint32(1)
        summed += level * inside
        pixels += inside
    edge[0] += summed
    edge[1] += pixels
