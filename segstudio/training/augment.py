"""Random resize, crop, flip, colours and copy-paste of an image with its label map."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segstudio.core.types import Image, LabelMap
from segstudio.training.recipe import TrainOptions

__all__ = ["augment", "change_colors", "paste_classes"]


def augment(
    image: Image,
    label_map: LabelMap,
    options: TrainOptions,
    *,
    ignore_index: int,
    generator: np.random.Generator,
    weights: NDArray[np.uint8] | None = None,
) -> Any:
    """Return a random crop for training.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    label_map : ndarray of shape (H, W)
    options : TrainOptions
        Crop size, range of the resize, strength of the colours' changes.
    ignore_index : int
        Fills the part of a crop that lies outside a small image.
    generator : numpy.random.Generator
        The only source of chance.
    weights : ndarray of shape (H, W), uint8, optional
        Of the pixels, 255 is 1; cropped as the label map.

    Returns
    -------
    ndarray of shape (crop_height, crop_width, 3), uint8
    ndarray of shape (crop_height, crop_width), dtype of ``label_map``
    ndarray of shape (crop_height, crop_width), uint8
        Only with ``weights``.
    """
    height, width = label_map.shape
    scale = generator.uniform(options.scale_minimum, options.scale_maximum)
    crop_h, crop_w = options.crop_height, options.crop_width
    # Crop first, resize after: the same pixels for a fraction of the work.
    source_h, source_w = min(height, round(crop_h / scale)), min(width, round(crop_w / scale))
    top = int(generator.integers(0, height - source_h + 1))
    left = int(generator.integers(0, width - source_w + 1))
    box = np.s_[top : top + source_h, left : left + source_w]
    size = (
        max(1, min(crop_w, round(source_w * scale))),
        max(1, min(crop_h, round(source_h * scale))),
    )
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(image[box], size, interpolation=interpolation).astype(np.uint8, copy=False)
    maps = [label_map] if weights is None else [label_map, weights]
    maps = [cv2.resize(entry[box], size, interpolation=cv2.INTER_NEAREST) for entry in maps]
    if generator.random() < 0.5:
        image, maps = image[:, ::-1], [entry[:, ::-1] for entry in maps]
    image = change_colors(image, options, generator)
    return _placed(image, maps, (crop_h, crop_w), (ignore_index, 0), generator)


def change_colors(image: Image, options: TrainOptions, generator: np.random.Generator) -> Image:
    """Return an image with randomly changed colours: what a recipe's options switch on."""
    if options.color_jitter > 0:
        image = _jitter(image, options.color_jitter, generator)
    if options.gamma > 0:
        power = (1 + options.gamma) ** generator.uniform(-1, 1)
        table = np.rint(255 * (np.arange(256) / 255) ** power).astype(np.uint8)
        image = table[image]
    if options.hue > 0:
        image = _turn_hue(image, generator.uniform(-options.hue, options.hue))
    if options.blur > 0 and generator.random() < options.blur:
        sigma = float(generator.uniform(0.3, 1.5))
        image = np.asarray(cv2.GaussianBlur(np.ascontiguousarray(image), (0, 0), sigma), np.uint8)
    return image


def paste_classes(
    pair: tuple[Image, LabelMap],
    donor: tuple[Image, LabelMap],
    *,
    ignore_index: int,
    generator: np.random.Generator,
) -> tuple[Image, LabelMap]:
    """Return a crop with half of the classes of another crop pasted over it, pixel by pixel.

    V. Olsson et al.: "ClassMix", WACV 2021, here with labels on both sides.
    """
    present = np.unique(donor[1])
    present = present[present != ignore_index]
    chosen = generator.permutation(present)[: (len(present) + 1) // 2]
    mask = np.isin(donor[1], chosen)
    return np.where(mask[..., None], donor[0], pair[0]), np.where(mask, donor[1], pair[1])


def _placed(
    image: Image,
    maps: list[NDArray[Any]],
    size: tuple[int, int],
    fillings: tuple[int, int],
    generator: np.random.Generator,
) -> tuple[Any, ...]:
    """Put a picture smaller than the crop at a random place on its mean colour."""
    if maps[0].shape == size:
        return np.ascontiguousarray(image), *(np.ascontiguousarray(entry) for entry in maps)
    height, width = maps[0].shape
    full_image = np.empty((*size, 3), np.uint8)
    full_image[:] = image.mean(axis=(0, 1)).astype(np.uint8)
    top = int(generator.integers(0, size[0] - height + 1))
    left = int(generator.integers(0, size[1] - width + 1))
    box = np.s_[top : top + height, left : left + width]
    full_image[box] = image
    placed = []
    for entry, filling in zip(maps, fillings, strict=False):
        full = np.full(size, filling, entry.dtype)
        full[box] = entry
        placed.append(full)
    return full_image, *placed


def _jitter(image: Image, strength: float, generator: np.random.Generator) -> Image:
    """Scale brightness, contrast and saturation each by 1 +- strength at most."""
    brightness, contrast, saturation = generator.uniform(1 - strength, 1 + strength, 3)
    pixels = image.astype(np.float32) * np.float32(brightness)
    mean = np.float32(pixels.mean())
    pixels = (pixels - mean) * np.float32(contrast) + mean
    gray = pixels.mean(axis=2, keepdims=True)
    pixels = (pixels - gray) * np.float32(saturation) + gray
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _turn_hue(image: Image, turns: float) -> Image:
    """Turn the colour circle; OpenCV counts it in 180 steps."""
    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(np.int16) + round(180 * turns)) % 180
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
