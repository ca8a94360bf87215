"""Where predictions of other programs lie: folders of label maps, COCO results files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from segstudio.core.errors import LabelValueError, NoDatasetError, SizeMismatchError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import LabelMap, Sample
from segstudio.datasets.base import Dataset, KnowsImageIds
from segstudio.datasets.coco_masks import decode_segmentation
from segstudio.datasets.colors import ColorDecoder
from segstudio.datasets.images import IMAGE_SUFFIXES, TARGET_SUFFIXES, read_source_map
from segstudio.datasets.json_files import read_json
from segstudio.datasets.listing import list_files, plural
from segstudio.datasets.pairing import TargetIndex, tails_of, without_suffix
from segstudio.session.evaluation import read_indices

__all__ = ["VALUES", "CocoResults", "LabelMapFolder", "PredictionSource", "open_source"]

VALUES = {
    "indices": "class indices of the label space, 255 (65535) is ignored",
    "ids": "the ids that the dataset's own files have",
    "colors": "the label space's colours",
}
"""What the pixels of a folder of predictions hold."""

_ENDINGS = ("_prediction", "_predictions", "_predicted", "_pred", "_result", "_output", "_trainIds")
_BACKGROUND = "background"


class PredictionSource(Protocol):
    """Predictions for the samples of a dataset, read one by one."""

    notes: tuple[str, ...]

    def file_of(self, sample: Sample) -> Path | None:
        """Return the file that a sample's prediction is in, None when it has none."""

    def read(self, sample: Sample, shape: tuple[int, int]) -> LabelMap:
        """Return a sample's (H, W) label map.

        Raises
        ------
        SegStudioError
            When it cannot be read, has another size, or holds what is no class.
        """


def open_source(
    dataset: Dataset, predictions: Path, space: LabelSpace, values: str
) -> PredictionSource:
    """Return the predictions in a folder of label maps or in a COCO results file.

    Raises
    ------
    NoDatasetError
        When there are none for the dataset's images.
    UsageError
        When the file is none of COCO's results, or ``values`` is none of `VALUES`.
    """
    if values not in VALUES:
        raise UsageError(f"Predictions hold {' or '.join(VALUES)}, not {values!r}.")
    if predictions.is_dir():
        return LabelMapFolder(dataset, predictions, space, values)
    if predictions.is_file() and predictions.suffix.lower() != ".json":
        raise UsageError(
            f"{predictions} is neither a folder of label maps nor a COCO results file (.json)."
        )
    if predictions.is_file():
        return CocoResults(dataset, predictions, space)
    raise NoDatasetError(f"There is no folder or file {predictions} with predictions.")


class LabelMapFolder:
    """A folder of label maps that are named like the images; see `open_source`."""

    def __init__(self, dataset: Dataset, folder: Path, space: LabelSpace, values: str) -> None:
        listing = list_files(folder, TARGET_SUFFIXES)
        index = TargetIndex(_with_short_names(listing.files))
        self.notes: tuple[str, ...] = tuple(listing.notes)
        self._space, self._values = space, values
        self._colors = ColorDecoder.of_space(space, f"the label space {space.name}")
        self._files: dict[str, Path] = {}
        ids = [sample.sample_id for sample in dataset.samples]
        for sample_id, found in zip(ids, index.find_all(list(map(tails_of, ids))), strict=True):
            if found is not None:
                self._files[sample_id] = found
        if not self._files:
            raise NoDatasetError(
                f"None of the {plural(len(listing.files), 'label map')} in {folder} is named like "
                f"an image of {dataset.root}, for example "
                f"{Path(dataset.samples[0].sample_id).stem}.png."
            )
        unused = len({path for _, path in listing.files} - set(self._files.values()))
        if unused:
            self.notes += (f"{plural(unused, 'file')} of {folder} without an image, left out.",)

    def file_of(self, sample: Sample) -> Path | None:
        """Return the label map's file."""
        return self._files.get(sample.sample_id)

    def read(self, sample: Sample, shape: tuple[int, int]) -> LabelMap:
        """Return the label map."""
        path = self._files[sample.sample_id]
        if self._values == "colors":
            ids = self._colors(replace(sample, target_path=path), shape)
            found = self._space.from_source_ids(ids, path)
        elif self._values == "ids":
            found = self._space.from_source_ids(read_source_map(path), path)
        else:
            found = self._read_indices(path)
        if found.shape != shape:
            raise SizeMismatchError(
                f"{path} is {found.shape[0]} x {found.shape[1]} pixels (height x width), but its "
                f"image {sample.image_path} is {shape[0]} x {shape[1]}."
            )
        return found

    def _read_indices(self, path: Path) -> LabelMap:
        try:
            return read_indices(path, self._space)
        except LabelValueError as error:
            advice = "values=ids says that they are the dataset's own ids"
            raise LabelValueError(f"{str(error).rstrip('.')}; {advice}.") from error


class CocoResults:
    """A list of instances as COCO's evaluation takes it; see `open_source`.

    Instances become a semantic map: those of higher score lie on top, what none covers is the
    class "background" or, without one, unlabelled.
    """

    def __init__(self, dataset: Dataset, path: Path, space: LabelSpace) -> None:
        self._path, self._space = path, space
        self.notes: tuple[str, ...] = ()
        self._index = {entry.source_id: entry.index for entry in space.classes}
        background = space.find(_BACKGROUND)
        self._background = space.ignore_index if background is None else background.index
        by_image = _grouped(path)
        self._entries: dict[str, list[dict[str, Any]]] = {}
        known = dataset.decoder if isinstance(dataset.decoder, KnowsImageIds) else None
        used = set()
        for sample in dataset.samples:
            keys = [known.image_id(sample.sample_id)] if known else _possible_ids(sample.sample_id)
            key = next((key for key in keys if key in by_image), None)
            if key is not None:
                used.add(key)
                self._entries[sample.sample_id] = by_image[key]
        if not self._entries:
            raise NoDatasetError(
                f"None of the {plural(len(by_image), 'image id')} in {path} belongs to an image of "
                f"{dataset.root}."
            )
        left = len(by_image) - len(used)
        if left:
            self.notes = (f"{plural(left, 'image')} of {path} not in the dataset, left out.",)

    def file_of(self, sample: Sample) -> Path | None:
        """Return the results file when it names the sample's image."""
        return self._path if sample.sample_id in self._entries else None

    def read(self, sample: Sample, shape: tuple[int, int]) -> LabelMap:
        """Return the painted label map."""
        label_map = np.full(shape, self._background, self._space.dtype)
        entries = enumerate(self._entries[sample.sample_id])
        for number, entry in sorted(entries, key=lambda pair: (_score(pair[1]), -pair[0])):
            where = f"{self._path}, image {entry['image_id']}, instance {number}"
            if not entry.get("segmentation"):
                raise LabelValueError(f"{where} has no segmentation; a box is no mask.")
            category = entry.get("category_id")
            if not isinstance(category, int) or category not in self._index:
                raise LabelValueError(
                    f"{where} has the category {category!r}, which the label space "
                    f"{self._space.name} does not know."
                )
            mask = decode_segmentation(entry["segmentation"], shape, where)
            label_map[mask] = self._index[category]
        return label_map


def _grouped(path: Path) -> dict[Any, list[dict[str, Any]]]:
    document = read_json(path)
    if not isinstance(document, list):
        raise UsageError(
            f"{path} is no COCO results file: it holds no list of instances with image_id, "
            "category_id and segmentation."
        )
    groups: dict[Any, list[dict[str, Any]]] = {}
    for number, entry in enumerate(document):
        key = entry.get("image_id") if isinstance(entry, dict) else None
        if not isinstance(key, int | str) or isinstance(key, bool):
            raise UsageError(f"{path} has no image_id in its instance {number}.")
        groups.setdefault(key, []).append(entry)
    return groups


def _score(entry: dict[str, Any]) -> float:
    score = entry.get("score", 0.0)
    is_number = isinstance(score, int | float) and score == score
    return float(score) if is_number else float("-inf")


def _possible_ids(sample_id: str) -> list[Any]:
    """Return what an image may be called by: its path, its name, the number in its name."""
    name = sample_id.rpartition("/")[2]
    stem = without_suffix(name)
    digits = re.findall(r"\d+", stem)
    return [sample_id, name, stem, *(int(part) for part in digits[-1:])]


def _with_short_names(files: list[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Return the files, and those whose names say that they are predictions without that."""
    known = {without_suffix(relative) for relative, _ in files}
    short = []
    for relative, full in files:
        stem = without_suffix(relative)
        if "." + stem.rpartition(".")[2].lower() in IMAGE_SUFFIXES:
            stem = without_suffix(stem)  # the layers of a run are called 0001.jpg.png
        for ending in _ENDINGS:
            if stem.endswith(ending):
                stem = stem.removesuffix(ending)
                break
        if stem not in known:
            known.add(stem)
            short.append((f"{stem}.png", full))
    return files + short
