"""Sliding windows and tiles: a large input in overlapping pieces.

Windows are what a model was published with, or a user asks for, and where they overlap their logits
are averaged.  The rule is MMSegmentation's and rstrudel/segmenter's: windows at multiples of the
stride, and the last one of a row or column shifted back until it lies inside.

Tiles are for inputs that do not fit into memory whole.  Of each only the middle counts, so that
every pixel comes from the one tile that sees most around it.  A fully convolutional network without
align_corners gives what it gives for the whole input wherever half the overlap covers the radius of
its receptive field: tiles begin at multiples of its strides.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from segstudio.core.errors import UsageError
from segstudio.core.preprocessing import Preprocessing
from segstudio.inference.bands import Block, rows_of_scores, upsampled
from segstudio.inference.taps import bilinear_taps, identity_taps

__all__ = [
    "TILE_SIDES",
    "Plan",
    "Span",
    "Window",
    "fill_window",
    "parse_window",
    "slide",
    "slide_bands",
    "tile_spans",
    "window_spans",
    "window_starts",
]

Window = tuple[tuple[int, int], tuple[int, int]]
"""(height, width) of a window and (vertical, horizontal) stride, in network input pixels."""

_PATTERN = re.compile(r"(\d+)x(\d+)(?::(\d+)(?:x(\d+))?)?")
_SMALLEST = 32
"""Pixels a side; below that a window is no context, and a large image would need millions."""
TILE_SIDES = (4096, 3072, 2048, 1536, 1024, 768, 512, 256)
"""Pixels a side of the tiles that are tried when memory does not suffice."""
_TILE_STEP = 32
"""Tiles begin at multiples of it: the networks halve their input five times at most."""


@dataclass(frozen=True, slots=True)
class Span:
    """One side of a piece of the input.

    Attributes
    ----------
    start, stop : int
        What the network sees.
    first, last : int
        The part of it whose logits count, half-open.
    """

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How an input goes through the network: whole, in averaged windows, or in tiles.

    Attributes
    ----------
    window : Window or None
    tile : int or None
        Pixels a side; takes the place of a window.
    """

    window: Window | None = None
    tile: int | None = None

    def spans(self, size: tuple[int, int], divisor: int) -> tuple[list[Span], list[Span]] | None:
        """Return the pieces of an input of ``size`` down and across, None when it goes whole.

        Parameters
        ----------
        size : (int, int)
            Height and width.
        divisor : int
            Tiles begin at its multiples; see `Preprocessing`.
        """
        if self.tile is not None:
            side, step = self.tile, math.lcm(_TILE_STEP, divisor)
            return tile_spans(size[0], side, step), tile_spans(size[1], side, step)
        if self.window is not None:
            (height, width), (down, right) = self.window
            return window_spans(size[0], height, down), window_spans(size[1], width, right)
        return None


def parse_window(text: str, preprocessing: Preprocessing) -> Window | None:
    """Return the window that a user's word means for a model, None for the whole image.

    Parameters
    ----------
    text : str
        "auto" (the published window of the checkpoint), "none", "HxW" (a stride of 3/4), or
        "HxW:STRIDE", in pixels of the network's input.
    preprocessing : Preprocessing
        Of the model; knows the published window.

    Raises
    ------
    UsageError
        When it is none of these, or the stride would leave gaps.
    """
    if text == "none":
        return None
    if text == "auto":
        window = preprocessing.window
        return None if window is None else (window, preprocessing.stride or window)
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise UsageError(f"A window is auto, none, HxW or HxW:STRIDE (512x512:384), not {text!r}.")
    height, width = int(found[1]), int(found[2])
    if min(height, width) < _SMALLEST:
        raise UsageError(f"A window has at least {_SMALLEST} x {_SMALLEST} pixels, not {text}.")
    down = int(found[3]) if found[3] else max(1, 3 * height // 4)
    right = int(found[4] or found[3]) if found[3] else max(1, 3 * width // 4)
    if not (1 <= down <= height and 1 <= right <= width):
        raise UsageError(
            f"The stride of the window {text} would leave gaps; it is at most the window's size."
        )
    return (height, width), (down, right)


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Return where windows begin along one side, so that they cover all of it.

    Parameters
    ----------
    length, window, stride : int
        Pixels; a window longer than the side is cut to it.

    Returns
    -------
    list of int
        Ascending, without repetition.
    """
    last = max(0, length - window)
    return [*range(0, last, stride), last]


def window_spans(length: int, window: int, stride: int) -> list[Span]:
    """Return windows along one side, all of which count everywhere; see `window_starts`."""
    spans = []
    for start in window_starts(length, window, stride):
        stop = min(start + window, length)
        spans.append(Span(start, stop, start, stop))
    return spans


def tile_spans(length: int, side: int, step: int = _TILE_STEP) -> list[Span]:
    """Return tiles along one side, whose counting parts cover every pixel exactly once.

    Parameters
    ----------
    length : int
        Pixels to cover.
    side : int
        Pixels of a tile; the last one may have fewer.  Neighbours share about a quarter.
    step : int
        Tiles begin at its multiples.
    """
    stride = max(step, side * 3 // 4 // step * step)
    starts = [0]
    while starts[-1] + side < length:
        starts.append(starts[-1] + stride)
    ends = [(before + side + after) // 2 for before, after in itertools.pairwise(starts)]
    return [
        Span(start, min(start + side, length), first, last)
        for start, first, last in zip(starts, [0, *ends], [*ends, length], strict=True)
    ]


def fill_window(image: Tensor, window: Window) -> Tensor:
    """Enlarge an input whose short side is below the window's until it is not.

    rstrudel/segmenter does this to the normalised input, bilinearly, the long side rounded down.

    Parameters
    ----------
    image : Tensor of shape (1, 3, H, W)
    window : Window
        Square, as all of that code's.

    Returns
    -------
    Tensor of shape (1, 3, h, w)
    """
    height, width = image.shape[-2:]
    short = max(window[0])
    if min(height, width) >= short:
        return image
    if height < width:
        size = (short, int(width / height * short))
    else:
        size = (int(height / width * short), short)
    return F.interpolate(image, size=size, mode="bilinear", align_corners=False)


def slide_bands(
    network: Callable[[Tensor], Tensor],
    read: Callable[[int, int], Tensor],
    spans: tuple[Sequence[Span], Sequence[Span]],
    crop: tuple[int, int],
    *,
    align_corners: bool,
) -> Iterator[Tensor]:
    """Yield the logits of a network over pieces, from the top, as soon as they are complete.

    What the head gave for a piece is kept as it is until the rows below it are done, and brought
    to the piece's size a few rows at a time: memory goes with the input's width.

    Parameters
    ----------
    network : callable
        From (1, 3, h, w) to (1, C, h', w') logits at the head's resolution.
    read : callable
        Gives rows ``top..bottom-1`` of the network's input as (1, 3, bottom - top, W).
    spans : (sequence of Span, sequence of Span)
        Down and across, ascending, without gaps.
    crop : (int, int)
        Height and width of what is wanted; the input may be larger by its padding.
    align_corners : bool
        How a piece's logits are brought to its size.

    Yields
    ------
    Tensor of shape (C, n, crop[1]), float32
        Means over the pieces that count at each pixel.
    """
    down, across = spans
    counts = torch.zeros(across[-1].last)
    for span in across:
        counts[span.first : span.last] += 1
    active: list[tuple[Span, _Heads]] = []
    done = 0
    for number, rows in enumerate(down):
        strip = read(rows.start, rows.stop)
        active.append((rows, _Heads.of(network, strip, rows, across, align_corners)))
        # Nothing that comes later counts above the first counting row of the next pieces.
        end = min(down[number + 1].first if number + 1 < len(down) else rows.last, crop[0])
        step = rows_of_scores(active[0][1].block.logits.shape[0], across[-1].last)
        counts = counts.to(strip.device)
        for top in range(done, end, step):
            bottom = min(top + step, end)
            total = _sum_rows(active, across, top, bottom, align_corners)
            total /= counts * _rows_over(active, top, bottom).to(counts)[:, None]
            yield total[:, :, : crop[1]]
        done = max(done, end)
        del strip
        active = [(span, heads.below(done)) for span, heads in active if span.last > done]


@dataclass(frozen=True, slots=True, eq=False)
class _Heads:
    """What the head gave for a row of pieces, side by side.

    One large tensor, because the system gets its memory back at once; hundreds of small ones, some
    kept and some not, leave holes.
    """

    block: Block
    widths: tuple[int, ...]

    @classmethod
    def of(
        cls,
        network: Callable[[Tensor], Tensor],
        strip: Tensor,
        rows: Span,
        across: Sequence[Span],
        align_corners: bool,
    ) -> _Heads:
        """Run a network over a row of pieces."""
        widths: list[int] = []
        logits: Tensor | None = None
        for span in across:
            piece = strip[..., span.start : span.stop]
            head = network(piece.contiguous(memory_format=torch.channels_last))[0]
            classes, height, width = head.shape
            if logits is None:  # no piece is wider than the first one
                logits = head.new_empty((classes, height, width * len(across)))
            logits[:, :, sum(widths) : sum(widths) + width] = head
            widths.append(width)
        assert logits is not None
        down = bilinear_taps(logits.shape[1], rows.stop - rows.start, align_corners)
        block = Block(rows.start, logits, down, identity_taps(logits.shape[2]))
        block = block.part(rows.first, rows.last)
        return cls(block, tuple(widths))

    def below(self, row: int) -> _Heads:
        """Return what is needed from a row of the input on, in memory of its own."""
        rest = self.block.part(row, self.block.bottom)
        return replace(self, block=replace(rest, logits=rest.logits.clone()))


def _sum_rows(
    active: Sequence[tuple[Span, _Heads]],
    across: Sequence[Span],
    top: int,
    bottom: int,
    align_corners: bool,
) -> Tensor:
    """Return the (C, bottom - top, W) sum of what counts in these rows."""
    some = active[0][1].block.logits
    total = torch.zeros((some.shape[0], bottom - top, across[-1].last), device=some.device)
    for rows, heads in active:
        first, last = max(top, rows.first), min(bottom, rows.last)
        if first >= last:
            continue
        block = heads.block.part(first, last)
        lines = upsampled(block)
        left = 0
        for span, width in zip(across, heads.widths, strict=True):
            size = (last - first, span.stop - span.start)
            part = lines[:, :, left : left + width]
            if width != size[1]:  # the rows are there already, so this is along the columns only
                part = F.interpolate(
                    part[None], size=size, mode="bilinear", align_corners=align_corners
                )[0]
            counting = part[:, :, span.first - span.start : span.last - span.start]
            total[:, first - top : last - top, span.first : span.last] += counting
            left += width
    return total


def _rows_over(active: Sequence[tuple[Span, _Heads]], top: int, bottom: int) -> Tensor:
    """Return how many rows of pieces count at each row."""
    counts = torch.zeros(bottom - top)
    for rows, _ in active:
        counts[max(0, rows.first - top) : max(0, rows.last - top)] += 1
    return counts


def slide(
    network: Callable[[Tensor], Tensor], image: Tensor, window: Window, *, align_corners: bool
) -> Tensor:
    """Return the averaged logits of a network over windows, at the input's size.

    Parameters
    ----------
    network : callable
        From (1, 3, h, w) to (1, C, h', w') logits at the head's resolution.
    image : Tensor of shape (1, 3, H, W)
        Network input.
    window : Window
    align_corners : bool
        How a window's logits are brought to its size.

    Returns
    -------
    Tensor of shape (1, C, H, W), float32
        On the input's device.  All of it is in memory; see `slide_bands`.
    """
    size = (image.shape[-2], image.shape[-1])
    spans = Plan(window).spans(size, 1)
    assert spans is not None
    bands = slide_bands(
        network,
        lambda top, bottom: image[:, :, top:bottom],
        spans,
        size,
        align_corners=align_corners,
    )
    return torch.cat(list(bands), 1)[None]
