"""How a machine is shared by images that are computed side by side: cores and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from segstudio.datasets.rows import RowSource
from segstudio.inference.memory import free_memory
from segstudio.inference.preprocess import target_size

if TYPE_CHECKING:
    from segstudio.inference.ensemble import Ensemble
    from segstudio.inference.model import Model

__all__ = ["pass_pixels", "pixels_at_once", "set_threads", "usable_threads"]

_BYTES_PER_PIXEL = 2048
"""What a pass needs per pixel of its input; most networks need less."""
_SHARE = 0.5
"""Of the free memory, what passes side by side may take: estimates err."""
_UNKNOWN_MEMORY_PIXELS = 4_000_000
_IMAGE_PIXELS = 64
"""So many pixels of an image, with its layers, take the memory of one pixel of a pass."""


def usable_threads() -> int:
    """Return the threads that this process may compute with: cores, or ``OMP_NUM_THREADS``."""
    return torch.get_num_threads()


def set_threads(count: int) -> None:
    """Let one operation of the calling thread use ``count`` threads.

    PyTorch keeps the number per calling thread where it is built with OpenMP; threads that begin
    later take the number that was set last.
    """
    torch.set_num_threads(count)


def pixels_at_once(device: torch.device) -> int:
    """Return how many input pixels may be in passes at the same time on a device."""
    free = free_memory(device)
    if free is None:
        return _UNKNOWN_MEMORY_PIXELS
    return max(1, int(_SHARE * free) // _BYTES_PER_PIXEL)


def pass_pixels(model: Model | Ensemble, source: RowSource) -> int:
    """Return what predicting an image costs, as pixels of a pass's input; see `pixels_at_once`."""
    rule, size = model.preprocessing, (source.height, source.width)
    inputs = [target_size(*size, rule, view.scale) for view in model.views]
    pixels = max(height * width for height, width in inputs)
    if model.window is not None:
        height, width = model.window[0]
        pixels = min(pixels, height * width)
    return pixels + source.height * source.width // _IMAGE_PIXELS
