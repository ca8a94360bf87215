"""Scoring a network on whole images while it trains."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from segstudio.architectures._base import SegmentationNetwork
from segstudio.metrics.confusion import confusion_matrix
from segstudio.metrics.scores import mean_iou
from segstudio.training.data import LabelledImages
from segstudio.training.distributed import Crew
from segstudio.training.objective import Normaliser

__all__ = ["pooled_miou", "sample_confusions"]


@torch.inference_mode()
def sample_confusions(
    network: SegmentationNetwork, data: LabelledImages, normalise: Normaliser, crew: Crew
) -> NDArray[np.int64]:
    """Return the pooled confusion of a network over whole images, single scale.

    Returns
    -------
    ndarray of shape (C, C + 1), int64
        Summed over the processes; the last column counts predictions of the ignore index.
    """
    was_training = network.training
    network.eval()
    space = data.label_space
    total = np.zeros((len(space), len(space) + 1), np.int64)
    for index in range(crew.rank, len(data), crew.size):
        pixels, target = data.read(index)[:2]
        logits = network.logits(normalise(pixels[None]))
        prediction = logits[0].argmax(0).cpu().numpy().astype(space.dtype)
        total += confusion_matrix(target, prediction, len(space), ignore_index=space.ignore_index)
    network.train(was_training)
    summed = crew.sum(torch.from_numpy(total).to(normalise.device))
    return summed.cpu().numpy()


def pooled_miou(
    network: SegmentationNetwork, data: LabelledImages, normalise: Normaliser, crew: Crew
) -> float:
    """Return the pooled mIoU, 0..1; 0 when no pixel is labelled."""
    return float(np.nan_to_num(mean_iou(sample_confusions(network, data, normalise, crew))))
