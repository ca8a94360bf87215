"""Random resize, crop, flip and colour jitter of an image with its label map."""

from __future__ import annotations

import cv2
import numpy as np

from segstudio.core.types import Image, LabelMap
from segstudio.training.recipe import TrainOptions

__all__ = ["augment"]


def augment(
    image: Image,
    label_map: LabelMap,
    options: TrainOptions,
    *,
    ignore_index: int,
    generator: np.random.Generator,
) -> tuple[Image, LabelMap]:
    """Return a random crop for training.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    label_map : ndarray of shape (H, W)
    options : TrainOptions
        Crop size, range of the resize, strength of the jitter.
    ignore_index : int
        Fills the part of a crop that lies outside a small image.
    generator : numpy.random.Generator
        The only source of chance.

    Returns
    -------
    ndarray of shape (crop_height, crop_width, 3), uint8
    ndarray of shape (crop_height, crop_width), dtype of ``label_map``
    """
    height, width = label_map.shape
    scale = generator.uniform(options.scale_minimum, options.scale_maximum)
    crop_h, crop_w = options.crop_height, options.crop_width
    # Crop first, resize after: the same pixels for a fraction of the work.
    source_h, source_w = min(height, round(crop_h / scale)), min(width, round(crop_w / scale))
    top = int(generator.integers(0, height - source_h + 1))
    left = int(generator.integers(0, width - source_w + 1))
    image = image[top : top + source_h, left : left + source_w]
    label_map = label_map[top : top + source_h, left : left + source_w]
    size = (
        max(1, min(crop_w, round(source_w * scale))),
        max(1, min(crop_h, round(source_h * scale))),
    )
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(image, size, interpolation=interpolation).astype(np.uint8, copy=False)
    label_map = cv2.resize(label_map, size, interpolation=cv2.INTER_NEAREST)
    if generator.random() < 0.5:
        image, label_map = image[:, ::-1], label_map[:, ::-1]
    if options.color_jitter > 0:
        image = _jitter(image, options.color_jitter, generator)
    return _placed(image, label_map, crop_h, crop_w, ignore_index, generator)


def _placed(
    image: Image,
    label_map: LabelMap,
    height: int,
    width: int,
    ignore_index: int,
    generator: np.random.Generator,
) -> tuple[Image, LabelMap]:
    """Put a picture smaller than the crop at a random place on its mean colour."""
    if label_map.shape == (height, width):
        return np.ascontiguousarray(image), np.ascontiguousarray(label_map)
    full_image = np.empty((height, width, 3), np.uint8)
    full_image[:] = image.mean(axis=(0, 1)).astype(np.uint8)
    full_label = np.full((height, width), ignore_index, label_map.dtype)
    top = int(generator.integers(0, height - label_map.shape[0] + 1))
    left = int(generator.integers(0, width - label_map.shape[1] + 1))
    box = np.s_[top : top + label_map.shape[0], left : left + label_map.shape[1]]
    full_image[box] = image
    full_label[box] = label_map
    return full_image, full_label


def _jitter(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """Scale brightness, contrast and saturation each by 1 +- strength at most."""
    brightness, contrast, saturation = generator.uniform(1 - strength, 1 + strength, 3)
    pixels = image.astype(np.float32) * np.float32(brightness)
    mean = np.float32(pixels.mean())
    pixels = (pixels - mean) * np.float32(contrast) + mean
    gray = pixels.mean(axis=2, keepdims=True)
    pixels = (pixels - gray) * np.float32(saturation) + gray
    return np.clip(pixels, 0, 255).astype(np.uint8)
