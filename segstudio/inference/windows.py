"""Sliding windows: a large input in overlapping pieces, whose logits are averaged.

The rule is MMSegmentation's and rstrudel/segmenter's: windows at multiples of the stride, and the
last one of a row or column shifted back until it lies inside.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from segstudio.core.errors import UsageError
from segstudio.core.preprocessing import Preprocessing

__all__ = ["Window", "fill_window", "parse_window", "slide", "window_starts"]

Window = tuple[tuple[int, int], tuple[int, int]]
"""(height, width) of a window and (vertical, horizontal) stride, in network input pixels."""

_PATTERN = re.compile(r"(\d+)x(\d+)(?::(\d+)(?:x(\d+))?)?")
_SMALLEST = 32
"""Pixels a side; below that a window is no context, and a large image would need millions."""


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
        raise UsageError(
            f"A window is auto, none, HxW or HxW:STRIDE (512x512:384), not {text!r}."
        )
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
        On the input's device.  All of it is in memory.
    """
    (height, width), (down, right) = window
    rows = window_starts(image.shape[-2], height, down)
    columns = window_starts(image.shape[-1], width, right)
    total: Tensor | None = None
    counts = torch.zeros(image.shape[-2:], device=image.device)
    for top in rows:
        for left in columns:
            place = (slice(None), slice(None), slice(top, top + height), slice(left, left + width))
            piece = image[place]
            logits = network(piece.contiguous(memory_format=torch.channels_last)).float()
            if logits.shape[-2:] != piece.shape[-2:]:
                logits = F.interpolate(
                    logits, size=piece.shape[-2:], mode="bilinear", align_corners=align_corners
                )
            if total is None:
                total = logits.new_zeros((1, logits.shape[1], *image.shape[-2:]))
            total[place] += logits
            counts[place[2:]] += 1
    assert total is not None
    return total.div_(counts)
