"""Batches for training: decoded once, kept in memory while it lasts, made ahead in a thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import TrainingError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Image, LabelMap, Sample
from segstudio.datasets.base import Dataset
from segstudio.training.augment import augment
from segstudio.training.recipe import TrainOptions

__all__ = ["Batch", "LabelledImages", "class_pixel_counts", "iterate_batches"]

_CACHE_BYTES = 2 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One step's input.

    Attributes
    ----------
    step : int
        Number of the step, from 0.
    images : ndarray of shape (N, H, W, 3), uint8
    label_maps : ndarray of shape (N, H, W)
    sample_ids : tuple of str
        Which samples the crops are from.
    """

    step: int
    images: NDArray[np.uint8]
    label_maps: LabelMap
    sample_ids: tuple[str, ...]


class LabelledImages:
    """The samples with ground truth of one or more datasets that share a label space.

    Parameters
    ----------
    datasets : sequence of Dataset
        Samples without ground truth are left out.
    label_space : LabelSpace
        What the label maps are read into.

    Raises
    ------
    TrainingError
        When no sample has ground truth.
    """

    def __init__(self, datasets: Sequence[Dataset], label_space: LabelSpace) -> None:
        self.label_space = label_space
        self._entries: list[tuple[Dataset, Sample]] = [
            (dataset, sample)
            for dataset in datasets
            for sample in dataset.samples
            if sample.target_path is not None
        ]
        if not self._entries:
            roots = ", ".join(str(dataset.root) for dataset in datasets)
            raise TrainingError(f"No image with ground truth was found in {roots}.")
        self._cache: dict[int, tuple[Image, LabelMap]] = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def sample_id(self, index: int) -> str:
        """Return the id of sample ``index``."""
        return self._entries[index][1].sample_id

    def read(self, index: int) -> tuple[Image, LabelMap]:
        """Return image and label map of sample ``index``; errors as `Dataset.read_target`."""
        if index in self._cache:
            return self._cache[index]
        dataset, sample = self._entries[index]
        pair = dataset.read_image(sample), dataset.read_target(sample, self.label_space)
        size = pair[0].nbytes + pair[1].nbytes
        if self._cached_bytes + size <= _CACHE_BYTES:
            self._cache[index] = pair
            self._cached_bytes += size
        return pair


def class_pixel_counts(data: LabelledImages) -> NDArray[np.int64]:
    """Return, per class, its pixels over all samples, and of the samples that hold it.

    Returns
    -------
    ndarray of shape (2, C), int64
        Row 0: pixels of the class. Row 1: labelled pixels of the samples in which it appears.
    """
    classes = len(data.label_space)
    counts = np.zeros((2, classes), np.int64)
    for index in range(len(data)):
        label_map = data.read(index)[1]
        present = np.bincount(label_map.reshape(-1), minlength=classes)[:classes]
        counts[0] += present
        counts[1] += (present > 0) * present.sum()
    return counts


def iterate_batches(
    data: LabelledImages, options: TrainOptions, *, first_step: int, steps: int
) -> Iterator[Batch]:
    """Yield the batches of steps ``first_step`` .. ``steps - 1``.

    The content of a batch depends on the seed and the step alone, so a resumed training sees
    exactly what an unbroken one would have seen.
    """

    def build(step: int) -> Batch:
        images, label_maps, names = [], [], []
        for position in range(step * options.batch, (step + 1) * options.batch):
            epoch, place = divmod(position, len(data))
            order = np.random.default_rng([options.seed, 1, epoch]).permutation(len(data))
            index = int(order[place])
            image, label_map = augment(
                *data.read(index),
                options,
                ignore_index=data.label_space.ignore_index,
                generator=np.random.default_rng([options.seed, 2, position]),
            )
            images.append(image)
            label_maps.append(label_map)
            names.append(data.sample_id(index))
        return Batch(step, np.stack(images), np.stack(label_maps), tuple(names))

    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        ahead: list[Future[Batch]] = []
        following = first_step
        try:
            while ahead or following < steps:
                while len(ahead) < 3 and following < steps:
                    ahead.append(pool.submit(build, following))
                    following += 1
                yield ahead.pop(0).result()
        finally:
            for future in ahead:
                future.cancel()
