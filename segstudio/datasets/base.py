"""A dataset as a value, and what every dataset format provides.

A format is one module of `segstudio.datasets.formats`: a `DatasetFormat` entered with
``@FORMATS.register(name)`` that recognises its layout with a bounded look and lists its samples
without opening an image.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from numpy.typing import NDArray

from segstudio.core.errors import SizeMismatchError, UnknownNameError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.registry import Registry, did_you_mean
from segstudio.core.types import Image, LabelMap, Sample
from segstudio.datasets.images import TARGET_SUFFIXES, read_image_size, turned_like
from segstudio.datasets.large import (
    Progress,
    read_ids,
    read_levels,
    read_photo,
    source_to_label_map,
)
from segstudio.datasets.listing import suffix_of

__all__ = [
    "FORMATS",
    "Dataset",
    "DatasetFormat",
    "KnowsImageIds",
    "TargetDecoder",
    "split_names",
]

TargetDecoder = Callable[[Sample, tuple[int, int]], NDArray[Any]]
"""Turns a sample and its image's (height, width) into the (H, W) map of source ids.

It is how formats whose ground truth is no index file (polygons, colours, run lengths) are read;
it bounds what it allocates by the image's size, and it can be pickled.
"""


@runtime_checkable
class KnowsImageIds(Protocol):
    """A decoder of annotation files that give their images ids."""

    def image_id(self, sample_id: str) -> Any:
        """Return the id of a sample's image."""


@dataclass(frozen=True)
class Dataset:
    """The samples of a folder, listed but not loaded.

    Attributes
    ----------
    root : Path
        The folder that sample ids are relative to.
    format : str
        Name of the format that opened it.
    samples : tuple of Sample
        In the order they are shown.
    label_space : LabelSpace or None
        The space of the target files' ids; None when the folder does not say.
    splits : tuple of str
        Splits that the samples belong to; empty when there are none.
    title : str
        What a person reads, normally the folder's name.
    notes : tuple of str
        Plain sentences about what was found but could not be used.
    decoder : TargetDecoder or None
        How the target files are read; None reads them as index files.
    """

    root: Path
    format: str
    samples: tuple[Sample, ...]
    label_space: LabelSpace | None = None
    splits: tuple[str, ...] = ()
    title: str = ""
    notes: tuple[str, ...] = ()
    decoder: TargetDecoder | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each sample stands in `samples`, by its id."""
        return {sample.sample_id: place for place, sample in enumerate(self.samples)}

    @cached_property
    def has_targets(self) -> bool:
        """Whether any sample has ground truth."""
        return any(sample.target_path is not None for sample in self.samples)

    def prepared(self) -> Dataset:
        """Return this dataset with `places` and `has_targets` looked up; for a thread.

        Of 100,000 samples each takes tens of milliseconds when it is first asked for.
        """
        _ = self.places, self.has_targets
        return self

    def select(self, split: str | None = None, limit: int | None = None) -> Dataset:
        """Return the dataset restricted to one split and to the first ``limit`` samples.

        Raises
        ------
        UsageError
            When there is no such split, naming those there are; when the limit is not positive.
        """
        samples = self.samples
        if split is not None:
            if split not in self.splits:
                there = f"it has {', '.join(self.splits)}" if self.splits else "it has none"
                raise UsageError(f"{self.root} has no split {split!r}; {there}.")
            samples = tuple(sample for sample in samples if sample.split == split)
        if limit is not None:
            if limit < 1:
                raise UsageError(f"A limit of {limit} leaves no sample; choose 1 or more.")
            samples = samples[:limit]
        return replace(self, samples=samples, splits=split_names(samples))

    def sample(self, sample_id: str) -> Sample:
        """Return the sample called ``sample_id``.

        Raises
        ------
        UnknownNameError
            When there is none.
        """
        try:
            return self.samples[self.places[sample_id]]
        except KeyError:
            near = did_you_mean(sample_id, list(self.places)[:5000])
            raise UnknownNameError(f"{self.root} has no sample {sample_id!r}: {near}") from None

    def read_image(self, sample: Sample) -> Image:
        """Return the sample's (H, W, 3) uint8 RGB image; see `segstudio.datasets.images`.

        A very large one is mapped from a file; see `segstudio.datasets.large`.
        """
        return read_photo(sample.image_path)

    def read_levels(self, sample: Sample, progress: Progress | None = None) -> tuple[Image, ...]:
        """Return the sample's image with its halves; see `segstudio.datasets.large.read_levels`."""
        return read_levels(sample.image_path, progress)

    def read_target(
        self,
        sample: Sample,
        label_space: LabelSpace | None = None,
        *,
        progress: Progress | None = None,
    ) -> LabelMap:
        """Return the sample's ground truth as a label map.

        A map that has the size of its photograph's stored pixels is turned as the photograph is.

        Parameters
        ----------
        sample : Sample
            One of the dataset's samples.
        label_space : LabelSpace, optional
            The space of the file's ids; None takes the dataset's own.
        progress : callable, optional
            Told of the work on a large map: of reading it, then of looking up its classes.

        Returns
        -------
        ndarray of shape (H, W), uint8 or uint16
            Class indices of the label space or its ignore index, of the image's size.

        Raises
        ------
        UsageError
            When the sample has no ground truth, or nobody says what the ids mean.
        UnreadableImageError
            When a file cannot be decoded.
        SizeMismatchError
            When image and ground truth differ in size.
        LabelValueError
            When a value is outside the label space.
        """
        if sample.target_path is None:
            raise UsageError(f"{sample.image_path} has no ground truth.")
        space = label_space or self.label_space
        if space is None:
            raise UsageError(
                f"{self.root} does not say what the values of its masks mean; choose a label "
                "space or put a label_space.json into the folder."
            )
        height, width = read_image_size(sample.image_path)
        found: tuple[int, int] | None = None
        if suffix_of(sample.target_path.name) in TARGET_SUFFIXES:
            # From the header: a small file may unpack to gigabytes.
            found = read_image_size(sample.target_path)
            if found not in ((height, width), (width, height)):
                raise _other_size(sample, found, (height, width))
        source_map = (
            read_ids(sample.target_path, progress, size=found)
            if self.decoder is None
            else self.decoder(sample, (height, width))
        )
        if source_map.shape == (width, height) and height != width:
            source_map = turned_like(sample.image_path, source_map)
        if source_map.shape != (height, width):
            raise _other_size(sample, source_map.shape, (height, width))
        return source_to_label_map(source_map, sample.target_path, space, progress)


def _other_size(sample: Sample, found: tuple[int, ...], size: tuple[int, int]) -> SizeMismatchError:
    return SizeMismatchError(
        f"{sample.target_path} is {found[0]} x {found[1]} pixels (height x width), but its image "
        f"{sample.image_path} is {size[0]} x {size[1]}."
    )


def split_names(samples: Iterable[Sample]) -> tuple[str, ...]:
    """Return the splits of samples: train, val and test first, others by name."""
    found = {sample.split for sample in samples if sample.split is not None}
    usual = ("train", "val", "test")
    return (*(name for name in usual if name in found), *sorted(found - set(usual)))


class DatasetFormat(abc.ABC):
    """A layout of folders and files that SegStudio can open."""

    name: ClassVar[str]
    description: ClassVar[str]
    Options: ClassVar[type | None] = None
    """What can be chosen about it, a dataclass of `segstudio.core.options`; None for nothing."""

    @classmethod
    @abc.abstractmethod
    def sniff(cls, path: Path) -> float:
        """Return how sure it is that ``path`` is in this format, 0..1.

        A bounded look at a few hundred directory entries at most; never raises for a folder in
        another layout.
        """

    @classmethod
    @abc.abstractmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """List the dataset's samples without opening an image.

        Parameters
        ----------
        path : Path
            The dataset's folder.
        label_space : LabelSpace, optional
            Takes the place of the label space that the format or the folder names.

        Raises
        ------
        NoDatasetError
            When the folder is not in this format: what was found and what was expected.
        """

    @classmethod
    def open_with(
        cls, path: Path, options: Any, *, label_space: LabelSpace | None = None
    ) -> Dataset:
        """List the samples as a value of ``Options`` says; see `open`.

        Raises
        ------
        UsageError
            When the format has no options.
        """
        raise UsageError(f"The format {cls.name} has no options.")


FORMATS: Registry[type[DatasetFormat]] = Registry("format", "segstudio.datasets.formats")
"""Every dataset format by name."""
