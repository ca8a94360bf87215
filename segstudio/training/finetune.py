"""Fine-tuning a model on corrected label maps: which pixels count, what stays frozen.

What a person changed is the truth.  The pixels that were left as the model had predicted them are
its own pseudo-labels (D.-H. Lee: "Pseudo-Label", 2013), worth ``1 - H / log C`` each: much where it
was sure, little where it was not and nobody looked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segstudio.architectures._base import ARCHITECTURES, SegmentationNetwork
from segstudio.core.errors import SizeMismatchError, TrainingError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Image
from segstudio.datasets.images import read_image, read_source_map
from segstudio.training.data import UnlabelledImages
from segstudio.training.finetune_options import is_held_out

__all__ = [
    "CorrectedImages",
    "CorrectedSample",
    "frozen_parts",
    "split_held_out",
]


@dataclass(frozen=True)
class CorrectedSample:
    """An image and what is known of its pixels.

    Attributes
    ----------
    sample_id : str
    image_path : Path
    label_path : Path
        PNG of class indices: the correction, or a prediction that a person accepted as it is.
    predicted_path, entropy_path : Path or None
        What the correction started from, and its entropy (255 is log C); None where a person
        vouches for every pixel.
    size : (int, int) or None
        Height and width of the network's input for this image, None for the image's own.
    """

    sample_id: str
    image_path: Path
    label_path: Path
    predicted_path: Path | None = None
    entropy_path: Path | None = None
    size: tuple[int, int] | None = None


def split_held_out(
    samples: Sequence[CorrectedSample], share: float
) -> tuple[list[CorrectedSample], list[CorrectedSample]]:
    """Return the samples to learn from and those that judge the result.

    Raises
    ------
    TrainingError
        When there are fewer than four, or chance leaves one of the parts empty.
    """
    if len(samples) < 4:
        raise TrainingError(
            f"There are {len(samples)} corrected or checked images; correct at least 4, because "
            "some of them are kept back to judge the result."
        )
    judges = [entry for entry in samples if is_held_out(entry.sample_id, share)]
    learned = [entry for entry in samples if not is_held_out(entry.sample_id, share)]
    if len(judges) < 2 or not learned:
        raise TrainingError(
            f"Of {len(samples)} corrected images {len(judges)} are kept back to judge the result, "
            "which is too few or too many; correct more images or choose another --held-out."
        )
    return learned, judges


class CorrectedImages(UnlabelledImages):
    """Corrected samples as training data, with a weight for each pixel.

    Parameters
    ----------
    samples : sequence of CorrectedSample
    label_space : LabelSpace
        Of their label maps.
    pixels : str
        See `FinetuneOptions`.
    """

    def __init__(
        self, samples: Sequence[CorrectedSample], label_space: LabelSpace, *, pixels: str
    ) -> None:
        self.label_space = label_space
        self._samples = list(samples)
        self._pixels = pixels
        self._cache = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        return len(self._samples)

    def sample_id(self, index: int) -> str:
        """Return the id of sample ``index``."""
        return self._samples[index].sample_id

    def read_whole(self, index: int) -> tuple[Image, Any]:
        """Return image and label map of sample ``index`` at the image's own size.

        Raises
        ------
        SizeMismatchError
            When the two differ in size.
        """
        sample = self._samples[index]
        image = read_image(sample.image_path)
        label_map = read_source_map(sample.label_path).astype(self.label_space.dtype)
        if label_map.shape != image.shape[:2]:
            raise SizeMismatchError(
                f"{sample.label_path} is {label_map.shape[0]} x {label_map.shape[1]} pixels, but "
                f"{sample.image_path} is {image.shape[0]} x {image.shape[1]}."
            )
        self.label_space.check(label_map, sample.label_path)
        return image, label_map

    def _read(self, index: int) -> tuple[Any, ...]:
        sample = self._samples[index]
        image, label_map = self.read_whole(index)
        weights = self._weights(sample, label_map)
        if sample.size is not None and sample.size != label_map.shape:
            size = sample.size[1], sample.size[0]
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
            label_map = cv2.resize(label_map, size, interpolation=cv2.INTER_NEAREST)
            weights = np.asarray(cv2.resize(weights, size, interpolation=cv2.INTER_NEAREST))
        return image, label_map, weights

    def _weights(self, sample: CorrectedSample, label_map: Any) -> Any:
        """Return the (H, W) uint8 weights of the pixels, 255 is 1."""
        full = np.full(label_map.shape, 255, np.uint8)
        if self._pixels == "all" or sample.predicted_path is None:
            return full
        changed = read_source_map(sample.predicted_path) != label_map
        if self._pixels == "corrected" or sample.entropy_path is None:
            return np.where(changed, full, 0).astype(np.uint8)
        entropy = read_source_map(sample.entropy_path).astype(np.uint8)
        return np.where(changed, full, 255 - entropy)


def frozen_parts(architecture: str, options: Any, classes: int, freeze: str) -> tuple[str, ...]:
    """Return the names of the submodules that a way of freezing leaves as they are.

    Raises
    ------
    TrainingError
        When "encoder" is asked for and the network has no part of that name.
    """
    if freeze != "encoder":
        return ()
    network: SegmentationNetwork = ARCHITECTURES.get(architecture)(classes, options)
    for name in ("encoder", "inner.encoder"):
        try:
            network.get_submodule(name)
        except AttributeError:
            continue
        return (name,)
    raise TrainingError(
        f"{network.facts.title} has no separate encoder that could stay as it is; "
        "choose --freeze norms."
    )
