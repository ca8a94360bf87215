"""Batches for training: decoded once, kept in memory while it lasts, made ahead in a thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import TrainingError, UsageError
from segstudio.core.label_space import LabelMapping, LabelSpace
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.base import Dataset
from segstudio.training.augment import augment, paste_classes
from segstudio.training.recipe import TrainOptions

__all__ = [
    "Batch",
    "LabelledImages",
    "Source",
    "UnlabelledImages",
    "class_pixel_counts",
    "iterate_batches",
]

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
    weights : ndarray of shape (N, H, W), uint8, or None
        Of the pixels, 255 is 1; None where all count alike.
    """

    step: int
    images: NDArray[np.uint8]
    label_maps: LabelMap
    sample_ids: tuple[str, ...]
    weights: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Source:
    """A dataset in a mixture.

    Attributes
    ----------
    dataset : Dataset
    mapping : LabelMapping or None
        From the dataset's label space to that of the training; None when they are one.
    weight : float
        How often each of its samples is seen in an epoch: 2 is twice, 0.5 every other epoch.
    """

    dataset: Dataset
    mapping: LabelMapping | None = None
    weight: float = 1.0


class UnlabelledImages:
    """Images without ground truth; their label maps are the ignore index everywhere.

    Parameters
    ----------
    datasets : sequence of Dataset
        Ground truth is not looked at.
    label_space : LabelSpace
        Whose ignore index is used.

    Raises
    ------
    TrainingError
        When there is no image.
    """

    def __init__(self, datasets: Sequence[Dataset], label_space: LabelSpace) -> None:
        self.label_space = label_space
        self._cache: dict[int, tuple[Any, ...]] = {}
        self._cached_bytes = 0
        self._entries: list[tuple[Dataset, Sample]] = [
            (dataset, sample) for dataset in datasets for sample in self._wanted(dataset)
        ]
        if not self._entries:
            roots = ", ".join(str(dataset.root) for dataset in datasets)
            raise TrainingError(f"No {self.what} was found in {roots}.")

    what = "image"
    """What an empty folder lacks."""

    def _wanted(self, dataset: Dataset) -> Sequence[Sample]:
        return dataset.samples

    def __len__(self) -> int:
        return len(self._entries)

    def sample_id(self, index: int) -> str:
        """Return the id of sample ``index``."""
        return self._entries[index][1].sample_id

    def epoch(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return the order of an epoch: indices of samples."""
        return generator.permutation(len(self))

    @property
    def epoch_length(self) -> int:
        """How many samples an epoch has."""
        return len(self)

    def read(self, index: int) -> Any:
        """Return image and label map of sample ``index``, and its pixels' weights if it has any.

        Errors as `Dataset.read_image` and `Dataset.read_target`.
        """
        if index in self._cache:
            return self._cache[index]
        found = self._read(index)
        size = sum(entry.nbytes for entry in found)
        if self._cached_bytes + size <= _CACHE_BYTES:
            self._cache[index] = found
            self._cached_bytes += size
        return found

    def _read(self, index: int) -> tuple[Any, ...]:
        dataset, sample = self._entries[index]
        image = dataset.read_image(sample)
        space = self.label_space
        return image, np.full(image.shape[:2], space.ignore_index, space.dtype)


class LabelledImages(UnlabelledImages):
    """The samples with ground truth of one or more datasets, in one label space.

    Parameters
    ----------
    sources : sequence of Dataset or Source
        Samples without ground truth are left out.
    label_space : LabelSpace
        What the label maps are read into.

    Raises
    ------
    TrainingError
        When no sample has ground truth.
    UsageError
        When a source's label space is another one and its mapping does not lead to this one.
    """

    what = "image with ground truth"

    def __init__(self, sources: Sequence[Dataset | Source], label_space: LabelSpace) -> None:
        named = [entry if isinstance(entry, Source) else Source(entry) for entry in sources]
        self._tables = {id(entry.dataset): _table(entry, label_space) for entry in named}
        super().__init__([entry.dataset for entry in named], label_space)
        self._weights = [(entry.weight, self._count(entry.dataset)) for entry in named]
        for entry, (_, count) in zip(named, self._weights, strict=True):
            if not count:
                raise TrainingError(f"No {self.what} was found in {entry.dataset.root}.")
        if not self.epoch_length:
            raise TrainingError("The weights of the datasets leave no sample in an epoch.")

    def _wanted(self, dataset: Dataset) -> Sequence[Sample]:
        return [sample for sample in dataset.samples if sample.target_path is not None]

    def _count(self, dataset: Dataset) -> int:
        return sum(entry[0] is dataset for entry in self._entries)

    @property
    def epoch_length(self) -> int:
        """How many samples an epoch has: each dataset's, times its weight."""
        return sum(round(weight * count) for weight, count in self._weights)

    def epoch(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """Return the order of an epoch: every sample as often as its dataset's weight says."""
        if all(weight == 1 for weight, _ in self._weights):
            return generator.permutation(len(self))
        chosen, start = [], 0
        for weight, count in self._weights:
            wanted = round(weight * count)
            rounds = [generator.permutation(count) for _ in range(-(-wanted // max(1, count)))]
            if rounds:
                chosen.append(start + np.concatenate(rounds)[:wanted])
            start += count
        return generator.permutation(np.concatenate(chosen))

    def _read(self, index: int) -> tuple[Any, ...]:
        dataset, sample = self._entries[index]
        table = self._tables[id(dataset)]
        if table is None:
            target = dataset.read_target(sample, self.label_space)
        else:
            target = table[dataset.read_target(sample)]
        return dataset.read_image(sample), target


def _table(source: Source, space: LabelSpace) -> NDArray[Any] | None:
    """Return the table from a dataset's class indices to the training's, None for the same."""
    dataset, mapping = source.dataset, source.mapping
    found = dataset.label_space
    if mapping is None:
        if found is not None and found.names != space.names:
            raise UsageError(
                f"{dataset.root} has the label space {found.name}, but the training {space.name}; "
                "name a mapping between them, or mix datasets of one label space only."
            )
        return None
    if found is None:
        raise UsageError(
            f"{dataset.root} does not say what its mask values mean, so the mapping "
            f"{mapping.name} cannot be applied; leave it out to read them as {space.name}."
        )
    if (mapping.source, mapping.target) != (found.name, space.name):
        raise UsageError(
            f"The mapping {mapping.name} leads from {mapping.source} to {mapping.target}, but "
            f"{dataset.root} is {found.name} and the training {space.name}."
        )
    return mapping.table(found, space)


def class_pixel_counts(data: UnlabelledImages) -> NDArray[np.int64]:
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
    data: UnlabelledImages,
    options: TrainOptions,
    *,
    first_step: int,
    steps: int,
    rank: int = 0,
    size: int = 1,
    stream: int = 0,
) -> Iterator[Batch]:
    """Yield the batches of steps ``first_step`` .. ``steps - 1``.

    The content of a batch depends on the seed and the step alone, so a resumed training sees
    exactly what an unbroken one would have seen, and several processes together see what one
    process with a larger batch would have seen.

    Parameters
    ----------
    data : UnlabelledImages or LabelledImages
    options : TrainOptions
    first_step, steps : int
    rank, size : int
        Which process this is, and how many there are.
    stream : int
        Another stream of chance beside that of the labelled samples.
    """
    images_of_mine = options.batch * options.accumulate
    seed = [options.seed] if not stream else [options.seed, 1000 + stream]

    def crop(index: int, generator: np.random.Generator) -> tuple[Any, ...]:
        image, label_map, *weights = data.read(index)
        found: tuple[Any, ...] = augment(
            image,
            label_map,
            options,
            ignore_index=data.label_space.ignore_index,
            generator=generator,
            weights=weights[0] if weights else None,
        )
        return found

    def build(step: int) -> Batch:
        parts, names = [], []
        first = (step * size + rank) * images_of_mine
        for position in range(first, first + images_of_mine):
            epoch, place = divmod(position, data.epoch_length)
            order = data.epoch(np.random.default_rng([*seed, 1, epoch]))
            index = int(order[place])
            generator = np.random.default_rng([*seed, 2, position])
            part = crop(index, generator)
            if options.copy_paste and generator.random() < options.copy_paste:
                donor = crop(int(generator.integers(len(data))), generator)
                ignore = data.label_space.ignore_index
                pasted = paste_classes(
                    part[:2], donor[:2], ignore_index=ignore, generator=generator
                )
                part = (*pasted, *part[2:])
            parts.append(part)
            names.append(data.sample_id(index))
        stacked = [np.stack(entries) for entries in zip(*parts, strict=True)]
        weights = stacked[2] if len(stacked) > 2 else None
        return Batch(step, stacked[0], stacked[1], tuple(names), weights)

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
