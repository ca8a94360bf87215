"""The numba kernel behind `segstudio.inference.fused`; imported on first use only."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_LOG2_E = np.float32(1.4426950408889634)
# Minimax-like coefficients of 2**f on 0..1 (Taylor series of exp(f ln 2), degree 7): relative
# error below 2e-7, about one unit in the last place of float32.
_C1 = np.float32(0.6931471805599453)
_C2 = np.float32(0.2402265069591007)
_C3 = np.float32(0.05550410866482158)
_C4 = np.float32(0.009618129107628477)
_C5 = np.float32(0.0013333558146428443)
_C6 = np.float32(0.00015403530393381608)
_C7 = np.float32(1.5252733804059841e-05)
_ONE = np.float32(1.0)
_LOWEST = np.float32(-87.0)


@numba.njit(cache=True, nogil=True, fastmath=True)
def fuse_rows(
    logits: NDArray[np.float32],
    row_first: NDArray[np.int64],
    row_weights: NDArray[np.float32],
    col_first: NDArray[np.int64],
    col_weights: NDArray[np.float32],
    labels: NDArray[Any],
    entropy: NDArray[np.float32],
    confidence: NDArray[np.float32],
    runner_up: NDArray[Any],
) -> None:  # pragma: no cover - compiled
    """Fill one output row after another; nothing larger than C rows of the output exists.

    Output row y is the sum over k of ``row_weights[k, y] * source[row_first[y] + k]``; the same
    for columns, of one to three of which each is made (see `segstudio.inference.taps`).
    """
    classes, height_in, width_in = logits.shape
    height, width = labels.shape
    row_taps, col_taps = len(row_weights), len(col_weights)
    narrow = np.empty(width_in + 2, np.float32)
    wide = np.empty((classes, width), np.float32)
    best = np.empty(width, np.float32)
    second = np.empty(width, np.float32)
    best_class = np.empty(width, np.int32)
    second_class = np.empty(width, np.int32)
    total = np.empty(width, np.float32)
    weighted = np.empty(width, np.float32)
    bits = np.empty(width, np.int32)
    powers = bits.view(np.float32)
    for y in range(height):
        top = row_first[y]
        for x in range(width):
            best[x] = -np.inf
            second[x] = -np.inf
            best_class[x] = 0
            second_class[x] = 0
            total[x] = 0.0
            weighted[x] = 0.0
        for c in range(classes):
            for x in range(width_in):
                narrow[x] = row_weights[0, y] * logits[c, top, x]
            for k in range(1, row_taps):
                share = row_weights[k, y]
                if share != 0.0:
                    row = min(top + k, height_in - 1)
                    for x in range(width_in):
                        narrow[x] += share * logits[c, row, x]
            narrow[width_in] = narrow[width_in + 1] = narrow[width_in - 1]
            # One loop for each number of taps: the compiler makes vectors of these.
            if col_taps == 1:
                for x in range(width):
                    wide[c, x] = col_weights[0, x] * narrow[col_first[x]]
            elif col_taps == 2:
                for x in range(width):
                    left = col_first[x]
                    wide[c, x] = (
                        col_weights[0, x] * narrow[left] + col_weights[1, x] * narrow[left + 1]
                    )
            else:
                for x in range(width):
                    left = col_first[x]
                    wide[c, x] = (
                        col_weights[0, x] * narrow[left]
                        + col_weights[1, x] * narrow[left + 1]
                        + col_weights[2, x] * narrow[left + 2]
                    )
            for x in range(width):
                value = wide[c, x]
                first_now = value > best[x]
                second_now = value > second[x]
                # A new best pushes the old one down; otherwise the value may still be second.
                second_class[x] = (
                    best_class[x] if first_now else (c if second_now else second_class[x])
                )
                second[x] = best[x] if first_now else (value if second_now else second[x])
                best_class[x] = c if first_now else best_class[x]
                best[x] = value if first_now else best[x]
        for c in range(classes):
            for x in range(width):
                power = max(wide[c, x] - best[x], _LOWEST) * _LOG2_E
                bits[x] = (np.int32(np.floor(power)) + np.int32(127)) << np.int32(23)
            for x in range(width):
                difference = max(wide[c, x] - best[x], _LOWEST)
                power = difference * _LOG2_E
                f = power - np.floor(power)
                p = _C6 + f * _C7
                p = _C5 + f * p
                p = _C4 + f * p
                p = _C3 + f * p
                p = _C2 + f * p
                p = _C1 + f * p
                exponential = (_ONE + f * p) * powers[x]
                total[x] += exponential
                weighted[x] += exponential * difference
        for x in range(width):
            labels[y, x] = best_class[x]
            runner_up[y, x] = second_class[x]
            entropy[y, x] = max(np.float32(0.0), np.log(total[x]) - weighted[x] / total[x])
            confidence[y, x] = _ONE / total[x]
