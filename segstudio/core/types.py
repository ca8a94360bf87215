"""The field's words as values: sample, prediction, box.

Row and column order everywhere; ``(x, y)`` exists only where Qt events are translated.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "IGNORE_INDEX",
    "IGNORE_INDEX_16",
    "BBox",
    "Image",
    "LabelMap",
    "Mask",
    "Prediction",
    "Sample",
    "quantise",
    "quantise_entropy",
]

IGNORE_INDEX = 255
"""Ignore index of 8-bit label maps."""

IGNORE_INDEX_16 = 65535
"""Ignore index of 16-bit label maps (label spaces of more than 255 classes)."""

Image = NDArray[np.uint8]
"""(H, W, 3) RGB, 0..255."""

LabelMap = NDArray[Any]
"""(H, W) uint8 or uint16, class indices of a label space or its ignore index."""

Mask = NDArray[np.bool_]
"""(H, W) boolean."""


@dataclass(frozen=True, slots=True)
class BBox:
    """A half-open box of pixels: rows ``top..bottom-1``, columns ``left..right-1``."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows in the box, 0 when empty."""
        return max(0, self.bottom - self.top)

    @property
    def width(self) -> int:
        """Columns in the box, 0 when empty."""
        return max(0, self.right - self.left)

    @property
    def is_empty(self) -> bool:
        """Whether no pixel lies in the box."""
        return self.height == 0 or self.width == 0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the box in an (H, W, ...) array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def clipped(self, height: int, width: int) -> BBox:
        """Return the part of the box inside an image of ``height`` x ``width``."""
        top, left = min(max(self.top, 0), height), min(max(self.left, 0), width)
        bottom, right = min(max(self.bottom, top), height), min(max(self.right, left), width)
        return BBox(top, left, bottom, right)

    def union(self, other: BBox) -> BBox:
        """Return the smallest box that holds both; an empty box adds nothing."""
        if self.is_empty:
            return other
        if other.is_empty:
            return self
        return BBox(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a dataset and, where there is one, its ground truth.

    Attributes
    ----------
    sample_id : str
        POSIX path of the image relative to the dataset's root, extension kept.
    image_path : Path
        The image file.
    target_path : Path or None
        The ground-truth file, None when the sample has none.
    split : str or None
        The split the sample belongs to ("train", "val", "test"), None when the dataset has none.
    """

    sample_id: str
    image_path: Path
    target_path: Path | None = None
    split: str | None = None

    @classmethod
    def of_files(
        cls, sample_id: str, image: str, target: str | None = None, split: str | None = None
    ) -> Sample:
        """Return the sample of files whose paths are text, without making `Path` objects of them.

        Parameters
        ----------
        sample_id : str
            See the class.
        image, target : str
            What `Path` makes ``image_path`` and ``target_path`` of when they are asked for.
        split : str or None
            See the class.
        """
        sample = object.__new__(cls)
        _fill_id(sample, sample_id)
        _fill_image(sample, image)
        _fill_target(sample, target)
        _fill_split(sample, split)
        return sample


class _PathSlot:
    """A slot of `Sample` that may hold text and always gives a `Path`.

    Making two `Path` objects for each of 100,000 samples costs more than listing the folders, and
    ten times the memory of the text; most samples of a large dataset are never looked at.
    """

    def __init__(self, slot: Any) -> None:
        self._slot = slot

    def __get__(self, sample: Sample | None, owner: type[Sample]) -> Any:
        if sample is None:
            return self
        value = self._slot.__get__(sample, owner)
        return Path(value) if type(value) is str else value

    def __set__(self, sample: Sample, value: Path | str | None) -> None:
        self._slot.__set__(sample, value)


_fill_id, _fill_image, _fill_target, _fill_split = (
    vars(Sample)[entry.name].__set__ for entry in fields(Sample)
)
for _name in ("image_path", "target_path"):
    setattr(Sample, _name, _PathSlot(vars(Sample)[_name]))


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model says of one image, at the image's own size.

    Attributes
    ----------
    label_map : ndarray of shape (H, W), uint8 or uint16
        Most probable class index.
    entropy : ndarray of shape (H, W), float32
        ``-sum p log p`` in nats, 0..log C.
    confidence : ndarray of shape (H, W), float32
        ``max p``, 1/C..1.
    runner_up : ndarray of shape (H, W), same dtype as ``label_map``
        Second most probable class index.
    classes : int
        C, the number of classes the probabilities ran over.
    """

    label_map: LabelMap
    entropy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    runner_up: LabelMap
    classes: int


def quantise(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return ``round(255 * values)`` as uint8; values outside 0..1 are clipped."""
    return np.clip(np.rint(values * np.float32(255.0)), 0, 255).astype(np.uint8)


def quantise_entropy(entropy: NDArray[np.floating[Any]], classes: int) -> NDArray[np.uint8]:
    """Return ``round(255 * entropy / log(classes))`` as uint8, the stored form of entropy.

    Parameters
    ----------
    entropy : ndarray
        Nats.
    classes : int
        Number of classes; with one class entropy is 0 everywhere.
    """
    if classes < 2:
        return np.zeros(entropy.shape, np.uint8)
    return quantise(entropy * np.float32(1.0 / np.log(classes)))
