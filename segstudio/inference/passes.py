"""One view of one image through a network: from its rows to blocks of logits at its own size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from segstudio.core.preprocessing import Preprocessing
from segstudio.datasets.rows import ArrayRows, RowSource
from segstudio.inference.augmentation import View
from segstudio.inference.bands import Block, image_blocks, resized_bands
from segstudio.inference.preprocess import resize_image, resized_rows, target_size, to_input
from segstudio.inference.taps import bilinear_taps, chained_taps
from segstudio.inference.windows import Plan, fill_window, slide_bands

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["NetworkInput", "logits_blocks", "whole_blocks"]

Forward = Callable[["Tensor"], "Tensor"]
"""From (N, 3, h, w) network input to (N, C, h', w') float32 logits at the head's resolution."""

_WHOLE_PIXELS = 64_000_000
"""Larger results of a resizing are made by rows, when they are needed."""


@dataclass(frozen=True, slots=True, eq=False)
class NetworkInput:
    """What a network is to see of an image, read when it is needed.

    Attributes
    ----------
    rows : RowSource
        The image at the size that the model's rule gives.
    image_size, size, padded : (int, int)
        Height and width of the image, after resizing, and after padding.
    view : View
        As which the image is seen.
    preprocessing : Preprocessing
    """

    rows: RowSource
    image_size: tuple[int, int]
    size: tuple[int, int]
    padded: tuple[int, int]
    view: View
    preprocessing: Preprocessing

    @classmethod
    def of(cls, source: RowSource, preprocessing: Preprocessing, view: View) -> NetworkInput:
        """Apply a model's resize rule and a view's scale to a source of rows."""
        given = (source.height, source.width)
        size = target_size(*given, preprocessing, view.scale)
        rows = source
        if size != given:
            if isinstance(source, ArrayRows) and size[0] * size[1] <= _WHOLE_PIXELS:
                rows = ArrayRows(resize_image(source.image, preprocessing, view.scale))
            else:
                rows = resized_rows(source, preprocessing, view.scale)
        divisor = preprocessing.divisor
        padded = (size[0] + -size[0] % divisor, size[1] + -size[1] % divisor)
        return cls(rows, given, size, padded, view, preprocessing)

    def read(self, top: int, bottom: int, device: torch.device) -> Tensor:
        """Return rows ``top..bottom-1`` of the network's input: (1, 3, bottom - top, W)."""
        pixels = self.rows.read_rows(min(top, self.size[0]), min(bottom, self.size[0]))
        if self.view.flip:
            pixels = pixels[:, ::-1]
        return to_input(pixels, self.preprocessing, device, (bottom - top, self.padded[1]))


def whole_blocks(
    logits: Tensor, given: NetworkInput, *, rows: int | None = None
) -> Iterator[Block]:
    """Bring what a network gave for a whole input to the image's size.

    Parameters
    ----------
    logits : Tensor of shape (C, h, w), float32
        At the head's resolution.
    given : NetworkInput
    rows : int, optional
        See `image_blocks`.
    """
    rule = given.preprocessing
    two_steps = rule.upsample_to_input and given.size != given.image_size
    # Padding has to be cut off at a size where it is a whole number of pixels.
    if not two_steps and given.padded == given.size:
        return _blocks([logits], (logits.shape[1], logits.shape[2]), given, rows)
    if tuple(logits.shape[-2:]) == given.padded:
        inner = logits[:, : given.size[0], : given.size[1]]
        return _blocks([inner], given.size, given, rows)
    down, across = (
        chained_taps(
            logits.shape[axis + 1],
            given.padded[axis],
            given.size[axis],
            given.image_size[axis],
            rule.align_corners,
        )
        for axis in (0, 1)
    )
    if down is None or across is None:
        bands = resized_bands(logits, given.padded, given.size, align_corners=rule.align_corners)
        return _blocks(bands, given.size, given, rows)
    across = across.mirrored() if given.view.flip else across
    return image_blocks([logits], logits.shape[1], down, across, most=rows)


def logits_blocks(
    forward: Forward,
    given: NetworkInput,
    plan: Plan,
    device: torch.device,
    *,
    rows: int | None = None,
) -> Iterator[Block]:
    """Run a network over an input as planned.

    Parameters
    ----------
    forward : callable
        The network.
    given : NetworkInput
    plan : Plan
    device : torch.device
    rows : int, optional
        Rows of a block at most; see `image_blocks`.

    Yields
    ------
    Block
        Without gaps, from the top of the image, mirrored back.
    """
    rule = given.preprocessing
    size, padded = given.size, given.padded

    def read(top: int, bottom: int) -> Tensor:
        return given.read(top, bottom, device)

    if rule.fill_window and plan.window is not None and min(padded) < max(plan.window[0]):
        filled = fill_window(read(0, padded[0]), plan.window)
        size = padded = (filled.shape[-2], filled.shape[-1])

        def read(top: int, bottom: int) -> Tensor:
            return filled[:, :, top:bottom]

    spans = plan.spans(padded, rule.divisor)
    if spans is None:
        yield from whole_blocks(forward(read(0, padded[0]))[0], given, rows=rows)
        return
    bands = slide_bands(forward, read, spans, size, align_corners=rule.align_corners)
    yield from _blocks(bands, size, given, rows)


def _blocks(
    bands: Iterable[Tensor], size: tuple[int, int], given: NetworkInput, rows: int | None
) -> Iterator[Block]:
    """Interpolate bands of logits, (H, W) of them together, to the image's size."""
    align_corners = given.preprocessing.align_corners
    down, across = (
        bilinear_taps(size[axis], given.image_size[axis], align_corners) for axis in (0, 1)
    )
    if given.view.flip:
        across = across.mirrored()
    return image_blocks(bands, size[0], down, across, most=rows)
