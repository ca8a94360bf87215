"""Test-time augmentation: several views of one image, whose probabilities are averaged.

The views are those of MMSegmentation and rstrudel/segmenter (``MultiScaleFlipAug``, now
``TestTimeAug`` and ``SegTTAModel``): the image at six sizes, each also mirrored.  Both bring the
logits of a view to the image's size, take their softmax, and average that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from segstudio.core.errors import UsageError
from segstudio.inference.bands import in_bands, rows_of_scores

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SCALES", "TTA_NAMES", "View", "average_views", "parse_tta"]

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Sizes of the views, relative to the model's own rule."""
TTA_NAMES = ("none", "flip", "ms", "ms-flip")
_SUM_BYTES = 500_000_000
"""Bytes of the probabilities of an image up to which they are summed view by view."""


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at an image.

    Attributes
    ----------
    scale : float
        See `segstudio.inference.preprocess.target_size`.
    flip : bool
        Whether it is mirrored left to right.
    """

    scale: float = 1.0
    flip: bool = False


def parse_tta(text: str) -> tuple[View, ...]:
    """Return the views that "none", "flip", "ms" (several scales) or "ms-flip" stand for.

    Raises
    ------
    UsageError
        When it is none of these.
    """
    if text not in TTA_NAMES:
        raise UsageError(
            f"A test-time augmentation is {', '.join(TTA_NAMES[:-1])} or {TTA_NAMES[-1]}, "
            f"not {text!r}."
        )
    scales = SCALES if text.startswith("ms") else (1.0,)
    flips = (False, True) if text.endswith("flip") else (False,)
    return tuple(View(scale, flip) for scale in scales for flip in flips)


def average_views(
    scores: Callable[[int], Iterator[Tensor]], views: int, size: tuple[int, int], classes: int
) -> Iterator[Tensor]:
    """Yield the mean probabilities of several views from the top of an image to its bottom.

    Views are worked off one after another into a sum over the whole image; where that would be
    large, all of them advance together, band by band.

    Parameters
    ----------
    scores : callable
        From the number of a view to its (C, n, W) probabilities, in bands from the top.
    views : int
        How many there are.
    size : (int, int)
        H and W of the image.
    classes : int
        C.

    Yields
    ------
    Tensor of shape (C, n, W), float32
        May be changed.
    """
    height, width = size
    rows = rows_of_scores(classes, width)
    if 4 * classes * height * width > _SUM_BYTES:
        together = zip(*(in_bands(scores(view), rows) for view in range(views)), strict=True)
        for bands in together:
            yield torch.stack(bands).mean(0)
        return
    whole: Tensor | None = None
    for view in range(views):
        top = 0
        for band in scores(view):
            if whole is None:
                whole = torch.zeros((classes, height, width), device=band.device)
            whole[:, top : top + band.shape[1]] += band
            top += band.shape[1]
    assert whole is not None
    for top in range(0, height, rows):
        yield whole[:, top : top + rows] / views
