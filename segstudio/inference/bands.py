"""Upsampling by bands of rows: scores at an image's size without the volume of all of them.

A bilinear interpolation needs two rows of its source per row of its result.  So a source that
arrives in bands from the top is interpolated as it comes, and what no later row needs is released.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segstudio.core.types import Prediction

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Block",
    "RowBand",
    "identity_blocks",
    "image_blocks",
    "in_bands",
    "join_bands",
    "resized_bands",
    "rows_of_scores",
    "source_positions",
    "upsampled",
    "upsampled_rows",
]

_BLOCK_PIXELS = 4_000_000
"""Pixels of a block of predictions, each of which takes about ten bytes."""
_BAND_BYTES = 32_000_000
"""Bytes of a band of scores; some of the steps need two or three of that size."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some rows of an image, and the logits between which they lie.

    Attributes
    ----------
    top : int
        First row in the image.
    logits : Tensor of shape (C, k, w)
        Rows of the source.
    rows : ndarray of shape (n,), int64
        Row of ``logits`` before each row of the image.
    weights : ndarray of shape (n,), float32
        Weight of the row after it, 0..1.
    """

    top: int
    logits: Tensor
    rows: NDArray[np.int64]
    weights: NDArray[np.float32]

    @property
    def bottom(self) -> int:
        """Row of the image after the last one."""
        return self.top + len(self.rows)

    def part(self, top: int, bottom: int) -> Block:
        """Return the block of rows ``top..bottom-1`` of the image."""
        if (top, bottom) == (self.top, self.bottom):
            return self
        rows = self.rows[top - self.top : bottom - self.top]
        weights = self.weights[top - self.top : bottom - self.top]
        low, high = int(rows[0]), int(rows[-1]) + 2
        return Block(top, self.logits[:, low:high], rows - low, weights)


@dataclass(frozen=True, slots=True, eq=False)
class RowBand:
    """Finished rows of a prediction.

    Attributes
    ----------
    top : int
        First row in the image.
    prediction : Prediction
        Of shape (n, W).
    """

    top: int
    prediction: Prediction

    @property
    def bottom(self) -> int:
        """Row of the image after the last one."""
        return self.top + len(self.prediction.label_map)


def join_bands(bands: Iterable[RowBand], height: int) -> Prediction:
    """Return the prediction of a whole image from its bands, which are in order.

    Parameters
    ----------
    bands : iterable of RowBand
    height : int
        Of the image.
    """
    whole: Prediction | None = None
    for band in bands:
        part = band.prediction
        if whole is None:
            if len(part.label_map) == height:
                return part
            size = (height, part.label_map.shape[1])
            whole = Prediction(
                np.empty(size, part.label_map.dtype),
                np.empty(size, np.float32),
                np.empty(size, np.float32),
                np.empty(size, part.runner_up.dtype),
                part.classes,
            )
        place = slice(band.top, band.bottom)
        whole.label_map[place] = part.label_map
        whole.entropy[place] = part.entropy
        whole.confidence[place] = part.confidence
        whole.runner_up[place] = part.runner_up
    assert whole is not None
    return whole


@functools.lru_cache(maxsize=64)
def source_positions(
    source: int, destination: int, align_corners: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return, per destination pixel, the source pixel before it and the next one's weight.

    The positions are those of ``interpolate(mode="bilinear")``: with ``align_corners`` the centres
    of the corner pixels coincide, without it the outer edges do.  The arrays are not to be changed.
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


def rows_of_scores(classes: int, width: int) -> int:
    """Return how many rows of C scores make a band."""
    return max(1, _BAND_BYTES // (4 * classes * width))


def image_blocks(
    bands: Iterable[Tensor],
    source_height: int,
    size: tuple[int, int],
    *,
    align_corners: bool,
    rows: int | None = None,
) -> Iterator[Block]:
    """Cut a bilinear interpolation into blocks of rows, each as soon as its source is there.

    Parameters
    ----------
    bands : iterable of Tensor of shape (C, k, w)
        The source from its first row to its last.
    source_height : int
        Rows of all bands together.
    size : (int, int)
        H and W of the image.
    align_corners : bool
        See `source_positions`.
    rows : int, optional
        Rows of a block at most; None takes what suits predictions.

    Yields
    ------
    Block
        Without gaps, from the top.
    """
    height, width = size
    index, weights = source_positions(source_height, height, align_corners)
    # The last row of the source that each row of the image needs.
    needed = index + (weights > 0)
    step = rows or max(1, _BLOCK_PIXELS // width)
    held: Tensor | None = None
    first = top = 0
    for band in bands:
        held = band if held is None or held.shape[1] == 0 else torch.cat([held, band], 1)
        end = first + held.shape[1]
        ready = height if end == source_height else int(np.searchsorted(needed, end))
        for start in range(top, ready, step):
            stop = min(start + step, ready)
            low = int(index[start])
            high = min(int(index[stop - 1]) + 2, source_height)
            part = held[:, low - first : high - first]
            yield Block(start, part, index[start:stop] - low, weights[start:stop])
        top = max(top, ready)
        if top < height:
            keep = min(int(index[top]), end)
            held, first = held[:, keep - first :].clone(), keep


def upsampled(block: Block, width: int, *, align_corners: bool) -> Tensor:
    """Return the (C, n, W) float32 scores of a block at the image's width."""
    logits = block.logits.float()
    if block.weights.any():
        before = torch.from_numpy(block.rows).to(logits.device)
        after = (before + 1).clamp_(max=logits.shape[1] - 1)
        weights = torch.from_numpy(block.weights).to(logits.device)[None, :, None]
        logits = torch.lerp(logits[:, before], logits[:, after], weights)
    elif len(block.rows) != logits.shape[1] or (np.diff(block.rows) != 1).any():
        logits = logits[:, torch.from_numpy(block.rows).to(logits.device)]
    if logits.shape[2] == width:
        return logits
    # The height stays, so this interpolates along the columns only.
    size = (logits.shape[1], width)
    return F.interpolate(logits[None], size=size, mode="bilinear", align_corners=align_corners)[0]


def upsampled_rows(
    logits: Tensor, size: tuple[int, int], top: int, bottom: int, *, align_corners: bool
) -> Tensor:
    """Return rows ``top..bottom-1`` of (C, h, w) logits interpolated to (H, W): (C, n, W)."""
    whole = Block(0, logits, *source_positions(logits.shape[1], size[0], align_corners))
    return upsampled(whole.part(top, bottom), size[1], align_corners=align_corners)


def resized_bands(
    logits: Tensor, size: tuple[int, int], crop: tuple[int, int], *, align_corners: bool
) -> Iterator[Tensor]:
    """Interpolate (C, h, w) logits to (H, W) by bands and cut off what lies beyond ``crop``.

    Yields
    ------
    Tensor of shape (C, n, crop[1]), float32
        From the top to row ``crop[0]``.
    """
    step = rows_of_scores(logits.shape[0], size[1])
    for top in range(0, crop[0], step):
        bottom = min(top + step, crop[0])
        rows = upsampled_rows(logits, size, top, bottom, align_corners=align_corners)
        yield rows[:, :, : crop[1]]


def identity_blocks(pieces: Iterable[Tensor]) -> Iterator[Block]:
    """Wrap (C, n, W) scores that are at the image's size already."""
    top = 0
    for piece in pieces:
        count = piece.shape[1]
        yield Block(top, piece, np.arange(count), np.zeros(count, np.float32))
        top += count


def in_bands(pieces: Iterable[Tensor], rows: int) -> Iterator[Tensor]:
    """Cut (C, k, W) pieces anew, so that all bands but the last have ``rows`` rows."""
    held: Tensor | None = None
    for piece in pieces:
        held = piece if held is None or held.shape[1] == 0 else torch.cat([held, piece], 1)
        while held.shape[1] >= rows:
            yield held[:, :rows]
            held = held[:, rows:]
        if held.shape[1]:
            held = held.clone()
    if held is not None and held.shape[1]:
        yield held
