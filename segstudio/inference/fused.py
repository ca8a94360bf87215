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
import torch.nn.functional as F
from numpy.typing import NDArray

from segstudio.core.types import IGNORE_INDEX, Prediction

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["fuse_logits", "fuse_logits_torch"]

_BLOCK_ROWS = 64


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
    from segstudio.inference._fused_kernel import fuse_rows

    classes, source_height, source_width = logits.shape
    rows, row_weights = _source_positions(source_height, height, align_corners)
    cols, col_weights = _source_positions(source_width, width, align_corners)
    dtype = np.uint8 if classes <= IGNORE_INDEX else np.uint16
    labels = np.empty((height, width), dtype)
    runner_up = np.empty((height, width), dtype)
    entropy = np.empty((height, width), np.float32)
    confidence = np.empty((height, width), np.float32)
    fuse_rows(
        np.ascontiguousarray(logits, np.float32),
        rows,
        row_weights,
        cols,
        col_weights,
        labels,
        entropy,
        confidence,
        runner_up,
    )
    return Prediction(labels, entropy, confidence, runner_up, classes)


@torch.inference_mode()
def fuse_logits_torch(
    logits: Tensor, height: int, width: int, *, align_corners: bool = False
) -> Prediction:
    """Turn logits of shape (C, h, w) on any device into a prediction, in blocks of rows.

    The parameters and the result are those of `fuse_logits`.
    """
    classes, source_height, _ = logits.shape
    rows, weights = _source_positions(source_height, height, align_corners)
    top = torch.from_numpy(rows).to(logits.device)
    bottom = (top + 1).clamp_(max=source_height - 1)
    low = torch.from_numpy(weights).to(logits.device)[None, :, None]
    parts: list[list[NDArray[np.generic]]] = [[], [], [], []]
    dtype = np.uint8 if classes <= IGNORE_INDEX else np.uint16
    for start in range(0, height, _BLOCK_ROWS):
        block = slice(start, min(start + _BLOCK_ROWS, height))
        weight = low[:, block]
        narrow = torch.lerp(logits[:, top[block]].float(), logits[:, bottom[block]].float(), weight)
        size = (narrow.shape[1], width)
        # The height stays, so this interpolates along the columns only.
        wide = F.interpolate(
            narrow[None], size=size, mode="bilinear", align_corners=align_corners
        )[0]
        log_p = torch.log_softmax(wide, 0)
        p = log_p.exp()
        best = wide.topk(min(2, classes), 0)
        parts[0].append(best.indices[0].cpu().numpy().astype(dtype))
        parts[1].append((-(p * log_p).sum(0)).clamp_(min=0).cpu().numpy())
        parts[2].append(p.amax(0).cpu().numpy())
        parts[3].append(best.indices[-1].cpu().numpy().astype(dtype))
    joined = [np.concatenate(part) for part in parts]
    return Prediction(joined[0], joined[1], joined[2], joined[3], classes)


def _source_positions(
    source: int, destination: int, align_corners: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return, per destination pixel, the source pixel before it and the next one's weight.

    The positions are those of ``interpolate(mode="bilinear")``: with ``align_corners`` the centres
    of the corner pixels coincide, without it the outer edges do.
    """
    index = np.arange(destination, dtype=np.float32)
    if align_corners:
        scale = np.float32((source - 1) / (destination - 1)) if destination > 1 else np.float32(0)
        position = index * scale
    else:
        scale = np.float32(source / destination)
        position = np.maximum((index + np.float32(0.5)) * scale - np.float32(0.5), 0)
    before = np.minimum(position.astype(np.int64), source - 1)
    return before, (position - before).astype(np.float32)
