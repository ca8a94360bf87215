"""From logits to labels, entropy, confidence and runner-up without the volume of probabilities.

Upsampling, softmax, argmax and ``-sum p log p`` are done row by row, so that for C classes at
H x W neither C x H x W logits nor probabilities ever exist.  On the CPU a numba kernel does it, on
other devices torch in blocks of rows.  The labels equal those of the long way (bilinear
``interpolate``, softmax, argmax) except where the best two logits differ by rounding only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from segstudio.core.types import IGNORE_INDEX, Prediction
from segstudio.inference.bands import Block, rows_of_scores, source_positions, upsampled

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["fuse_block", "fuse_logits", "fuse_logits_torch"]


def fuse_logits(
    logits: NDArray[np.float32], height: int, width: int, *, align_corners: bool = False
) -> Prediction:
    """Turn logits into a prediction at the image's size, on the CPU.

    Parameters
    ----------
    logits : ndarray of shape (C, h, w), float32
        Scores before softmax.
    height, width : int
        H and W of the image.
    align_corners : bool
        Whether the corners of both grids coincide, as in ``torch.nn.functional.interpolate``.

    Returns
    -------
    Prediction
        Of shape (H, W).
    """
    rows, weights = source_positions(logits.shape[1], height, align_corners)
    return _fuse_by_numba(logits, rows, weights, width, align_corners)


def fuse_logits_torch(
    logits: Tensor, height: int, width: int, *, align_corners: bool = False
) -> Prediction:
    """Turn logits of shape (C, h, w) on any device into a prediction, in blocks of rows.

    The parameters and the result are those of `fuse_logits`.
    """
    rows, weights = source_positions(logits.shape[1], height, align_corners)
    block = Block(0, logits, rows, weights)
    return _fuse_by_torch(block, width, align_corners)


def fuse_block(block: Block, width: int, *, align_corners: bool) -> Prediction:
    """Turn a block of logits into a prediction of its rows, where the logits are.

    Parameters
    ----------
    block : Block
        Of n rows.
    width : int
        W of the image.
    align_corners : bool
        See `fuse_logits`.

    Returns
    -------
    Prediction
        Of shape (n, W).
    """
    if block.logits.device.type == "cpu":
        logits = block.logits.float().numpy()
        return _fuse_by_numba(logits, block.rows, block.weights, width, align_corners)
    return _fuse_by_torch(block, width, align_corners)


def _fuse_by_numba(
    logits: NDArray[np.float32],
    rows: NDArray[np.int64],
    row_weights: NDArray[np.float32],
    width: int,
    align_corners: bool,
) -> Prediction:
    from segstudio.inference._fused_kernel import fuse_rows

    classes, _, source_width = logits.shape
    columns, column_weights = source_positions(source_width, width, align_corners)
    size = (len(rows), width)
    dtype = np.uint8 if classes <= IGNORE_INDEX else np.uint16
    labels, runner_up = np.empty(size, dtype), np.empty(size, dtype)
    entropy, confidence = np.empty(size, np.float32), np.empty(size, np.float32)
    fuse_rows(
        np.ascontiguousarray(logits, np.float32),
        rows,
        row_weights,
        columns,
        column_weights,
        labels,
        entropy,
        confidence,
        runner_up,
    )
    return Prediction(labels, entropy, confidence, runner_up, classes)


@torch.inference_mode()
def _fuse_by_torch(block: Block, width: int, align_corners: bool) -> Prediction:
    classes = block.logits.shape[0]
    small = torch.uint8 if classes <= IGNORE_INDEX else torch.int32
    dtype = np.uint8 if classes <= IGNORE_INDEX else np.uint16
    parts: list[list[Tensor]] = [[], [], [], []]
    step = rows_of_scores(classes, width)
    for start in range(block.top, block.bottom, step):
        wide = upsampled(block.part(start, start + step), width, align_corners=align_corners)
        log_p = torch.log_softmax(wide, 0)
        p = log_p.exp()
        best = wide.topk(min(2, classes), 0).indices
        parts[0].append(best[0].to(small))
        parts[1].append((-(p * log_p).sum(0)).clamp_(min=0))
        parts[2].append(p.amax(0))
        parts[3].append(best[-1].to(small))
    # One transfer at the end: each of them waits for the device.
    labels, entropy, confidence, runner_up = (torch.cat(part).cpu().numpy() for part in parts)
    return Prediction(
        labels.astype(dtype, copy=False),
        entropy,
        confidence,
        runner_up.astype(dtype, copy=False),
        classes,
    )
