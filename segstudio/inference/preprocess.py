"""From an RGB image to network input, by the rules that came with the checkpoint."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PilImage
from torch import Tensor

from segstudio.core.preprocessing import Preprocessing
from segstudio.core.types import Image
from segstudio.datasets.rows import RowSource

__all__ = ["ResizedRows", "resize_image", "resized_rows", "target_size", "to_input"]

_ALIGNMENT = 32
"""Of NVlabs/SegFormer: the stride of its coarsest features."""
_CHUNK_BYTES = 64_000_000
"""Bytes of the source's rows that are resized at once."""


def resize_image(image: Image, preprocessing: Preprocessing, scale: float = 1.0) -> Image:
    """Return the image at the size the network wants, before any padding.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    preprocessing : Preprocessing
        Its resize rule.
    scale : float
        Of test-time augmentation; see `target_size`.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
    """
    height, width = image.shape[:2]
    for size in _sizes(height, width, preprocessing, scale):
        image = _resized(image, size, preprocessing)
    return image


def resized_rows(source: RowSource, preprocessing: Preprocessing, scale: float = 1.0) -> RowSource:
    """Return what `resize_image` makes of an image that is read by rows.

    Parameters
    ----------
    source : RowSource
    preprocessing : Preprocessing
        Its resize rule.
    scale : float
        Of test-time augmentation; see `target_size`.
    """
    for size in _sizes(source.height, source.width, preprocessing, scale):
        source = ResizedRows(source, size, antialias=preprocessing.antialias)
    return source


def _resized(image: Image, size: tuple[int, int], preprocessing: Preprocessing) -> Image:
    new_height, new_width = size
    if size == image.shape[:2]:
        return image
    if preprocessing.antialias:
        picture = PilImage.fromarray(image)
        resized = picture.resize((new_width, new_height), PilImage.Resampling.BILINEAR)
        return np.array(resized)
    interpolated = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    return interpolated.astype(np.uint8, copy=False)


class ResizedRows:
    """A source of rows at another size, interpolated when it is read.

    Parameters
    ----------
    source : RowSource
    size : (int, int)
        Height and width of the result.
    antialias : bool
        See `Preprocessing`: Pillow's bilinear filter or OpenCV's.  Pixels may differ from those of
        the whole image by one grey level: rarely when Pillow shrinks, else more often (OpenCV's
        weights have 11 bits, Pillow's box has single precision).
    """

    def __init__(self, source: RowSource, size: tuple[int, int], *, antialias: bool) -> None:
        self.height, self.width = size
        self._source = source
        self._antialias = antialias
        self._scale = (source.height / size[0], source.width / size[1])

    def read_rows(self, top: int, bottom: int) -> Image:
        """Return rows ``top..bottom-1``, of shape (bottom - top, w, 3), uint8."""
        rows: Image = np.empty((bottom - top, self.width, 3), np.uint8)
        per_row = 3 * self._source.width * max(1.0, self._scale[0])
        step = max(1, int(_CHUNK_BYTES / per_row))
        resize = self._filtered if self._antialias else self._interpolated
        for start in range(top, bottom, step):
            stop = min(start + step, bottom)
            rows[start - top : stop - top] = resize(start, stop)
        return rows

    def _filtered(self, top: int, bottom: int) -> Image:
        scale, height = self._scale[0], self._source.height
        reach = max(scale, 1.0) + 1
        low = max(0, int((top + 0.5) * scale - reach))
        high = min(height, int((bottom - 0.5) * scale + reach) + 1)
        picture = PilImage.fromarray(self._source.read_rows(low, high))
        box = (0.0, top * scale - low, float(self._source.width), min(bottom * scale, high) - low)
        resized = picture.resize((self.width, bottom - top), PilImage.Resampling.BILINEAR, box=box)
        return np.asarray(resized)

    def _interpolated(self, top: int, bottom: int) -> Image:
        rows, down = _neighbours(np.arange(top, bottom), self._scale[0], self._source.height)
        columns, right = _neighbours(np.arange(self.width), self._scale[1], self._source.width)
        low = int(rows[0])
        pixels = self._source.read_rows(low, min(int(rows[-1]) + 2, self._source.height))
        rows = rows - low
        after = np.minimum(rows + 1, len(pixels) - 1)
        beside = np.minimum(columns + 1, self._source.width - 1)
        lines = []
        for line in (rows, after):
            some = pixels[line]
            left = some[:, columns].astype(np.float32)
            lines.append(left + (some[:, beside] - left) * right[None, :, None])
        values = lines[0] + (lines[1] - lines[0]) * down[:, None, None]
        return (values + np.float32(0.5)).astype(np.uint8)


def _neighbours(
    index: NDArray[np.int64], scale: float, length: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the source pixel before each pixel and the weight of the next one."""
    position = np.clip((index + 0.5) * scale - 0.5, 0, length - 1)
    before = position.astype(np.int64)
    return before, (position - before).astype(np.float32)


def to_input(
    image: Image,
    preprocessing: Preprocessing,
    device: torch.device,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Return the (1, 3, h, w) float32 input of a resized image, normalised and padded.

    Padding goes to the bottom and right with zeros after normalisation: the mean colour.  It goes
    to ``size`` where that is given, otherwise to a multiple of the divisor.
    """
    pixels: NDArray[np.uint8] = np.ascontiguousarray(image)
    tensor = torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None].float()
    if preprocessing.channel_order == "bgr":
        tensor = tensor.flip(1)
    mean = torch.tensor(preprocessing.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=device).view(1, 3, 1, 1)
    tensor = (tensor - mean) / std
    height, width = tensor.shape[-2:]
    if size is None:
        divisor = preprocessing.divisor
        size = (height + -height % divisor, width + -width % divisor)
    bottom, right = size[0] - height, size[1] - width
    if bottom or right:
        tensor = torch.nn.functional.pad(tensor, (0, right, 0, bottom))
    return tensor


def target_size(
    height: int, width: int, preprocessing: Preprocessing, scale: float = 1.0
) -> tuple[int, int]:
    """Return the size that an image is resized to, before any padding.

    Parameters
    ----------
    height, width : int
        Of the image.
    preprocessing : Preprocessing
        Its resize rule.
    scale : float
        Test-time augmentation multiplies the rule by it: the limits of "keep-ratio", rounded down
        as MMSegmentation's and rstrudel/segmenter's ``img_ratios`` do; otherwise the result.
    """
    return _sizes(height, width, preprocessing, scale)[-1]


def _sizes(
    height: int, width: int, preprocessing: Preprocessing, scale: float
) -> list[tuple[int, int]]:
    """Return the sizes that an image is brought to, one after the other."""
    size = _fitting_size(height, width, preprocessing, scale)
    if preprocessing.resize == "keep-ratio-aligned":
        return [size, (size[0] + -size[0] % _ALIGNMENT, size[1] + -size[1] % _ALIGNMENT)]
    return [size]


def _fitting_size(
    height: int, width: int, preprocessing: Preprocessing, scale: float
) -> tuple[int, int]:
    size = preprocessing.size
    if preprocessing.resize.startswith("keep-ratio") and size is not None:
        # MMSegmentation: the long side fits the long limit, the short side the short one.
        limits = (max(1, int(size[0] * scale)), max(1, int(size[1] * scale)))
        ratio = min(
            max(limits) / max(height, width),
            min(limits) / min(height, width),
        )
        return max(1, int(height * ratio + 0.5)), max(1, int(width * ratio + 0.5))
    down, across = _single_size(height, width, preprocessing)
    if scale == 1.0:
        return down, across
    return max(1, int(down * scale + 0.5)), max(1, int(across * scale + 0.5))


def _single_size(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int]:
    size = preprocessing.size
    if preprocessing.resize == "none" or size is None:
        return height, width
    if preprocessing.resize == "exact":
        return size
    if preprocessing.resize == "short-side":
        # torchvision: the short side exactly, the long one rounded down.
        short, long = size[1], size[1] * max(height, width) // min(height, width)
        return (short, long) if height <= width else (long, short)
    # "short-side-at-least"
    scale = max(1.0, size[1] / min(height, width))
    return int(height * scale + 0.5), int(width * scale + 0.5)
