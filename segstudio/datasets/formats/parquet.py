"""Parquet files with a column of images and one of label maps, as Hugging Face's data sets have.

``train-00000-of-00002.parquet`` and its kin, at the root or in folders; the first part of a file's
name, or its folder's, says the split.  A cell holds an image file (see
`segstudio.datasets.parquet_files`); a sample is called by file, column and row.  What the ids
mean is said by a ``label_space.json``, ``classes.txt`` or ``id2label.json`` beside the files.
"""

from __future__ import annotations

import re
from pathlib import Path

from segstudio.core.errors import NoDatasetError, SegStudioError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat, split_names
from segstudio.datasets.classes import find_label_space
from segstudio.datasets.listing import list_files, peek, suffix_of
from segstudio.datasets.parquet_files import PARQUET_SUFFIXES, has_parquet_ends, read_facts

_IMAGES = ("image", "img", "photo", "picture", "pixel_values", "input_image")
_LABELS = (
    *("label", "labels", "annotation", "annotations", "mask", "masks", "segmentation"),
    *("segmentation_mask", "semantic_mask", "label_map", "ground_truth", "gt", "seg", "annotated"),
)
_SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "val",
    "valid": "val",
    "val": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
_LOOKED_AT = 8


@FORMATS.register("parquet")
class ParquetFormat(DatasetFormat):
    """Rows of Parquet files."""

    description = "Parquet files with columns of images and label maps (Hugging Face datasets)."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.88 when a Parquet file is met whose footer names a column of images."""
        if path.is_file():
            return 0.88 if _holds_images(path) else 0.0
        looked = 0
        for name, is_folder in peek(path):
            if not is_folder and suffix_of(name) in PARQUET_SUFFIXES:
                if _holds_images(path / name):
                    return 0.88
                looked += 1
                if looked == _LOOKED_AT:
                    break
        return 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """List the rows of all files; see `DatasetFormat.open`.  ``path`` may be a file."""
        root = path.parent if path.is_file() else path
        notes: list[str] = []
        if path.is_file():
            files = [(path.name, path)]
        else:
            listing = list_files(path, PARQUET_SUFFIXES)
            files, notes = listing.files, list(listing.notes)
        samples: list[Sample] = []
        for relative, full in files:
            try:
                found = _rows(relative, full)
            except SegStudioError as error:
                notes.append(str(error))
                continue
            if not found:
                notes.append(f"{full} has no rows with a column of images, and was left out.")
            samples += found
        if not samples:
            reason = f" ({notes[0].rstrip('.')})" if notes else ""
            raise NoDatasetError(
                f"{path} has no Parquet file with a column of images, such as 'image'{reason}."
            )
        if label_space is None:
            label_space, complaints = find_label_space(root)
            notes += complaints
        return Dataset(
            root=root,
            format=cls.name,
            samples=tuple(samples),
            label_space=label_space,
            splits=split_names(samples) if all(s.split for s in samples) else (),
            title=path.resolve().name,
            notes=tuple(notes),
        )


def _holds_images(path: Path) -> bool:
    """Return whether the end of a Parquet file, where its schema stands, names such a column."""
    if not has_parquet_ends(path):
        return False
    try:
        with open(path, "rb") as stream:
            stream.seek(-8, 2)
            length = min(int.from_bytes(stream.read(4), "little"), 1 << 20)
            stream.seek(max(0, stream.seek(0, 2) - 8 - length))
            footer = stream.read(min(length, 1 << 16))
    except OSError:
        return False
    # Names are stored with their length in front (Thrift's compact protocol).
    return any(bytes([len(name)]) + name.encode() in footer for name in _IMAGES)


def _rows(relative: str, path: Path) -> list[Sample]:
    """Return the samples of one file."""
    facts = read_facts(path)
    pictures = [name for name in facts.pictures if "/" not in name and "\\" not in name]
    image = _first(pictures, _IMAGES)
    if image is None and pictures:
        image = pictures[0]
    if image is None:
        return []
    label = _first([name for name in pictures if name != image], _LABELS)
    if label is None:
        # Nothing is called a label: the only other column of pictures will be it.
        others = [name for name in pictures if name != image]
        label = others[0] if len(others) == 1 else None
    split = _split_of(relative)
    images = path / image
    labels = None if label is None else path / label
    names = [f"{row:06}" for row in range(facts.rows)]
    return [
        Sample(
            f"{relative}/{image}/{name}",
            images / name,
            None if labels is None else labels / name,
            split,
        )
        for name in names
    ]


def _first(names: list[str], wanted: tuple[str, ...]) -> str | None:
    by_lower = {name.lower(): name for name in reversed(names)}
    return next((by_lower[name] for name in wanted if name in by_lower), None)


def _split_of(relative: str) -> str | None:
    *folders, name = relative.lower().split("/")
    words = [re.split(r"[-_.]", name)[0], *reversed(folders)]
    return next((_SPLITS[word] for word in words if word in _SPLITS), None)
