"""COCO panoptic: one PNG of segment ids per image, one JSON file that says what each segment is.

A segment's id is ``R + 256 G + 65536 B``; 0 is void and is ignored.

References
----------
A. Kirillov et al., "Panoptic segmentation", CVPR 2019.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError, NoDatasetError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat, split_names
from segstudio.datasets.categories import build_label_space, read_categories
from segstudio.datasets.coco_files import AnnotationFile, find_json, list_samples
from segstudio.datasets.colors import read_color_codes
from segstudio.datasets.formats.coco import open_files, root_of
from segstudio.datasets.images import TARGET_SUFFIXES
from segstudio.datasets.listing import list_files, plural
from segstudio.datasets.pairing import FileIndex, without_suffix


@FORMATS.register("coco-panoptic")
class CocoPanopticFormat(DatasetFormat):
    """COCO's panoptic annotations as semantic maps."""

    description = "COCO panoptic: panoptic_*.json with a folder of PNGs of the same name beside it."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.93 when a panoptic JSON file has its folder of PNGs."""
        has = any(kind.has_segments and _folder(kind.path) for kind in find_json(path))
        return 0.93 if has else 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """List the images whose segments are there; see `DatasetFormat.open`."""
        chosen = [kind.path for kind in find_json(path) if kind.has_segments and _folder(kind.path)]
        if not chosen:
            raise NoDatasetError(
                f"{path} is not in the layout of COCO panoptic: it has no JSON file with "
                "segments_info, such as annotations/panoptic_val2017.json, with a folder of PNGs "
                "of its name beside it."
            )
        root = root_of(path)
        files, notes = open_files(chosen)
        masks = {str(file.path): _folder(file.path) or file.path.parent for file in files}
        skip = _relative_folders(root, [*masks.values()])
        listed = list_samples(root, files, skip)
        samples, more = _with_masks(listed.samples, masks)
        if not samples:
            raise NoDatasetError(
                f"None of the images that {files[0].path} names is below {root}; put the images "
                "beside it."
            )
        space = build_label_space(
            read_categories(files[0].categories, files[0].path),
            root.resolve().name,
            f"Categories of {files[0].path.name}.",
            known=("coco-panoptic",),
        )
        origins = {
            sample.sample_id: (str(sample.target_path), listed.entries[sample.sample_id]["id"])
            for sample in listed.samples
        }
        return Dataset(
            root=root,
            format=cls.name,
            samples=tuple(samples),
            label_space=label_space or space,
            splits=split_names(samples),
            title=path.resolve().name,
            notes=(*notes, *listed.notes, *more),
            decoder=_Decoder({str(file.path): file for file in files}, origins),
        )


def _folder(path: Path) -> Path | None:
    folder = path.with_suffix("")
    return folder if folder.is_dir() else None


def _relative_folders(root: Path, folders: list[Path]) -> tuple[str, ...]:
    """Return the mask folders as prefixes: their PNGs are no photographs, nor are their kin."""
    names = [folder.relative_to(root).as_posix() for folder in folders]
    return tuple(names)  # also panoptic_val2017_2ch/ and whatever else begins alike


def _with_masks(samples: list[Sample], masks: dict[str, Path]) -> tuple[list[Sample], list[str]]:
    indices = {
        key: FileIndex(
            (without_suffix(relative), full)
            for relative, full in list_files(folder, TARGET_SUFFIXES).files
        )
        for key, folder in masks.items()
    }
    found, without = [], []
    for sample in samples:
        index = indices[str(sample.target_path)]
        stem = without_suffix(sample.sample_id.rpartition("/")[2])
        relative = index.find(stem)
        if relative is None:
            without.append(sample.sample_id)
        target = None if relative is None else index.paths[relative]
        found.append(replace(sample, target_path=target))
    notes = []
    if without:
        notes.append(
            f"{plural(len(without), 'image')} without a PNG of segments, {without[0]} first."
        )
    return found, notes


@dataclass(frozen=True, eq=False)
class _Decoder:
    files: dict[str, AnnotationFile]
    origins: dict[str, tuple[str, Any]]

    def image_id(self, sample_id: str) -> Any:
        return self.origins[sample_id][1]

    def __call__(self, sample: Sample, shape: tuple[int, int]) -> NDArray[Any]:
        path = sample.target_path
        assert path is not None
        json_path, image_id = self.origins[sample.sample_id]
        segments: dict[int, int] = {0: 0}
        for annotation in self.files[json_path].annotations(image_id):
            for entry in annotation.get("segments_info") or ():
                try:
                    segments[int(entry["id"])] = int(entry["category_id"])
                except (KeyError, TypeError, ValueError, OverflowError) as error:
                    raise LabelValueError(
                        f"{json_path} has a segment of image {image_id} without id and category."
                    ) from error
        codes = read_color_codes(path, red_first=False)
        found, places = np.unique(codes, return_inverse=True)
        unknown = [int(code) for code in found if int(code) not in segments]
        if unknown:
            raise LabelValueError(
                f"{path} holds the segment {unknown[0]}, which {json_path} does not describe."
            )
        table = np.array([segments[int(code)] for code in found], np.int64)
        return table[places].reshape(codes.shape)
