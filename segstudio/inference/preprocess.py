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

__all__ = ["resize_image", "to_input"]


def resize_image(image: Image, preprocessing: Preprocessing) -> Image:
    """Return the image at the size the network wants, before any padding.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
    preprocessing : Preprocessing
        Its resize rule.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
    """
    height, width = image.shape[:2]
    new_height, new_width = _target_size(height, width, preprocessing)
    if (new_height, new_width) == (height, width):
        return image
    if preprocessing.antialias:
        picture = PilImage.fromarray(image)
        resized = picture.resize((new_width, new_height), PilImage.Resampling.BILINEAR)
        return np.array(resized)
    interpolated = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    return interpolated.astype(np.uint8, copy=False)


def to_input(image: Image, preprocessing: Preprocessing, device: torch.device) -> Tensor:
    """Return the (1, 3, h, w) float32 input of a resized image, normalised and padded.

    Padding goes to the bottom and right with zeros after normalisation: the mean colour.
    """
    pixels: NDArray[np.uint8] = np.ascontiguousarray(image)
    tensor = torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None].float()
    if preprocessing.channel_order == "bgr":
        tensor = tensor.flip(1)
    mean = torch.tensor(preprocessing.mean, device=device).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, device=device).view(1, 3, 1, 1)
    tensor = (tensor - mean) / std
    height, width = tensor.shape[-2:]
    bottom, right = -height % preprocessing.divisor, -width % preprocessing.divisor
    if bottom or right:
        tensor = torch.nn.functional.pad(tensor, (0, right, 0, bottom))
    return tensor


def _target_size(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int]:
    size = preprocessing.size
    if preprocessing.resize == "none" or size is None:
        return height, width
    if preprocessing.resize == "exact":
        return size
    if preprocessing.resize == "keep-ratio":
        # MMSegmentation: the long side fits the long limit, the short side the short one.
        scale = min(
            max(size) / max(height, width),
            min(size) / min(height, width),
        )
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
    if preprocessing.resize == "short-side":
        # torchvision: the short side exactly, the long one rounded down.
        short, long = size[1], size[1] * max(height, width) // min(height, width)
        return (short, long) if height <= width else (long, short)
    # "short-side-at-least"
    scale = max(1.0, size[1] / min(height, width))
    return int(height * scale + 0.5), int(width * scale + 0.5)
