"""The plain way from an image to its labels: what the engine is measured against.

One image after the other, every step on all of it, as a script of a few lines would do it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from segstudio.datasets.images import read_image
from segstudio.inference.preprocess import target_size

if TYPE_CHECKING:
    from torch import Tensor

    from segstudio.inference.model import Model

__all__ = ["plain_answer", "plain_run"]

_TINY = 1e-38


def plain_answer(
    logits: Tensor, size: tuple[int, int], *, align_corners: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Upsample logits, and take softmax, argmax and entropy of the whole volume.

    Parameters
    ----------
    logits : Tensor of shape (C, h, w), float32
    size : (int, int)
        H and W of the image.
    align_corners : bool

    Returns
    -------
    Tensor of shape (H, W), int64
        Labels, and after the float32 entropy (nats) and confidence the int64 runner-up.
    """
    full = F.interpolate(logits[None], size=size, mode="bilinear", align_corners=align_corners)[0]
    p = full.softmax(0)
    entropy = -(p * p.clamp_min(_TINY).log()).sum(0)
    best = p.topk(min(2, len(p)), 0)
    return best.indices[0], entropy, best.values[0], best.indices[-1]


@torch.inference_mode()
def plain_run(model: Model, image: Path, folder: Path) -> None:
    """Read an image, run a model's network on it, and write the four layers of a run as PNG.

    Parameters
    ----------
    model : Model
        Its network sees the whole image, resized by its rule and normalised.
    image : Path
    folder : Path
        Exists.
    """
    rule = model.preprocessing
    pixels = read_image(image)
    height, width = pixels.shape[:2]
    size = target_size(height, width, rule, 1.0)
    resized = cv2.resize(pixels, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (rule.mean, rule.std))
    batch = (torch.from_numpy(resized).permute(2, 0, 1)[None].float() - mean) / std
    logits = model.network(batch)[0]
    labels, entropy, confidence, runner_up = plain_answer(
        logits, (height, width), align_corners=rule.align_corners
    )
    layers = {
        "labels": labels,
        "entropy": entropy / np.log(len(logits)) * 255,
        "confidence": confidence * 255,
        "runner_up": runner_up,
    }
    for name, layer in layers.items():
        cv2.imwrite(str(folder / f"{image.stem}.{name}.png"), layer.to(torch.uint8).numpy())
