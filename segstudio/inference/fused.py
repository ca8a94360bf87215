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
from segstudio.inference.bands import Block, rows_of_scores, upsampled
from segstudio.inference.taps import bilinear_taps

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
    return fuse_block(_whole(torch.from_numpy(logits), height, width, align_corners))


def fuse_logits_torch(
    logits: Tensor, height: int, width: int, *, align_corners: bool = False
) -> Prediction:
    """Turn logits of shape (C, h, w) on any device into a prediction, in blocks of rows.

    The parameters and the result are those of `fuse_logits`.
    """
    return _fuse_by_torch(_whole(logits, height, width, align_corners))


def _whole(logits: Tensor, height: int, width: int, align_corners: bool) -> Block:
    rows = bilinear_taps(logits.shape[1], height, align_corners)
    return Block(0, logits, rows, bilinear_taps(logits.shape[2], width, align_corners))


def fuse_block(block: Block) -> Prediction:
    """Turn a block of logits into a prediction of its rows, where the logits are.

    Parameters
    ----------
    block : Block
        Of n rows and W columns.

    Returns
    -------
    Prediction
        Of shape (n, W).
    """
    if block.logits.device.type == "cpu":
        return _fuse_by_numba(block)
    return _fuse_by_torch(block)


def _fuse_by_numba(block: Block) -> Prediction:
    from segstudio.inference._fused_kernel import fuse_rows

    logits = block.logits.float().numpy()
    classes = len(logits)
    size = (len(block.rows), len(block.columns))
    dtype = np.uint8 if classes <= IGNORE_INDEX else np.uint16
    labels, runner_up = np.empty(size, dtype), np.empty(size, dtype)
    entropy, confidence = np.empty(size, np.float32), np.empty(size, np.float32)
    fuse_rows(
        np.ascontiguousarray(logits, np.float32),
        np.ascontiguousarray(block.rows.first),
        np.ascontiguousarray(block.rows.weights),
        np.ascontiguousarray(block.columns.first),
        np.ascontiguousarray(block.columns.weights),
        labels,
        entropy,
        confidence,
        runner_up,
    )
    return Prediction(labels, entropy, confidence, runner_up, classes)


@torch.inference_mode()
def _fuse_by_torch(block: Block) -> Prediction:
    classes = block.logits.shape[0]
    small = torch.uint8 if classes <= IGNORE_INDEX else torch.int32
    dtype = np.uint8 if classes <= IGNORE_INDEX else np.uint16
    parts: list[list[Tensor]] = [[], [], [], []]
    step = rows_of_scores(classes, len(block.columns))
    for start in range(block.top, block.bottom, step):
        wide = upsampled(block.part(start, min(start + step, block.bottom)))
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
