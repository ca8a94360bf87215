"""Upsampling by bands of rows: scores at an image's size without the volume of all of them.

A bilinear interpolation needs two rows of its source per row of its result.  So a source that
arrives in bands from the top is interpolated as it comes, and what no later row needs is released.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from segstudio.core.types import Prediction
from segstudio.inference.taps import Taps, bilinear_taps, identity_taps

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
    "upsampled",
    "upsampled_rows",
]

_BLOCK_PIXELS = 4_000_000
"""Pixels of a block of predictions, each of which takes about ten bytes."""
_BAND_BYTES = 32_000_000
"""Bytes of a band of scores; some of the steps need two or three of that size."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some rows of an image, and the logits of which they are made.

    Attributes
    ----------
    top : int
        First row in the image.
    logits : Tensor of shape (C, k, w)
        Rows of the source.
    rows : Taps
        From the k rows of ``logits`` to the n rows of the image.
    columns : Taps
        From the w columns of ``logits`` to the W columns of the image.
    """

    top: int
    logits: Tensor
    rows: Taps
    columns: Taps

    @property
    def bottom(self) -> int:
        """Row of the image after the last one."""
        return self.top + len(self.rows)

    def part(self, top: int, bottom: int) -> Block:
        """Return the block of rows ``top..bottom-1`` of the image."""
        if (top, bottom) == (self.top, self.bottom):
            return self
        start, stop = top - self.top, bottom - self.top
        low = int(self.rows.first[start])
        high = int(self.rows.first[stop - 1]) + len(self.rows.weights)
        rows = self.rows.part(start, stop, low)
        return Block(top, self.logits[:, low:high], rows, self.columns)


@dataclass(frozen=True, slots=True, eq=False)
class RowBand:
    """Finished rows of a prediction.

    Attributes
    ----------
    top : int
        First row in the image.
    prediction : Prediction
        Of shape (n, W).
    more : mapping of str to ndarray of shape (n, W), uint8
        Further layers by their names, as they are stored.
    """

    top: int
    prediction: Prediction
    more: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)

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


def rows_of_scores(classes: int, width: int) -> int:
    """Return how many rows of C scores make a band."""
    return max(1, _BAND_BYTES // (4 * classes * width))


def image_blocks(
    bands: Iterable[Tensor],
    source_height: int,
    rows: Taps,
    columns: Taps,
    *,
    most: int | None = None,
) -> Iterator[Block]:
    """Cut an interpolation into blocks of rows, each as soon as its source is there.

    Parameters
    ----------
    bands : iterable of Tensor of shape (C, k, w)
        The source from its first row to its last.
    source_height : int
        Rows of all bands together.
    rows, columns : Taps
        From the source to the image.
    most : int, optional
        Rows of a block at most; None takes what suits predictions.

    Yields
    ------
    Block
        Without gaps, from the top.
    """
    height = len(rows)
    # The last row of the source that each row of the image needs.
    needed = np.minimum(rows.reach, source_height - 1)
    step = most or max(1, _BLOCK_PIXELS // len(columns))
    held: Tensor | None = None
    first = top = 0
    for band in bands:
        held = band if held is None or held.shape[1] == 0 else torch.cat([held, band], 1)
        end = first + held.shape[1]
        ready = height if end == source_height else int(np.searchsorted(needed, end))
        for start in range(top, ready, step):
            stop = min(start + step, ready)
            low = int(rows.first[start])
            high = int(needed[start:stop].max()) + 1
            part = held[:, low - first : high - first]
            yield Block(start, part, rows.part(start, stop, low), columns)
        top = max(top, ready)
        if top < height:
            keep = min(int(rows.first[top]), end)
            held, first = held[:, keep - first :].clone(), keep


def upsampled(block: Block) -> Tensor:
    """Return the (C, n, W) float32 scores of a block at the image's size."""
    return block.columns.apply(block.rows.apply(block.logits.float(), 1), 2)


def upsampled_rows(
    logits: Tensor, size: tuple[int, int], top: int, bottom: int, *, align_corners: bool
) -> Tensor:
    """Return rows ``top..bottom-1`` of (C, h, w) logits interpolated to (H, W): (C, n, W)."""
    rows = bilinear_taps(logits.shape[1], size[0], align_corners)
    columns = bilinear_taps(logits.shape[2], size[1], align_corners)
    return upsampled(Block(0, logits, rows, columns).part(top, bottom))


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
        yield Block(top, piece, identity_taps(piece.shape[1]), identity_taps(piece.shape[2]))
        top += piece.shape[1]


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
