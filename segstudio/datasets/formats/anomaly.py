"""Anomaly segmentation: SegmentMeIfYouCan, Fishyscapes and RoadAnomaly.

``images/`` with ``labels_masks/`` (``*_labels_semantic.png``; test images have none), or
RoadAnomaly's ``frames/x.jpg`` with ``frames/x.labels/labels_semantic.png``.  0 is known, 1 an
anomaly or obstacle, 255 outside the region of interest; RoadAnomaly's 2 is an anomaly too.

References
----------
R. Chan et al., "SegmentMeIfYouCan: a benchmark for anomaly segmentation", NeurIPS Datasets and
Benchmarks 2021; K. Lis et al., "Detecting the unexpected via image resynthesis", ICCV 2019.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import NoDatasetError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.types import Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat
from segstudio.datasets.images import TARGET_SUFFIXES, read_source_map
from segstudio.datasets.layouts import open_pairs
from segstudio.datasets.listing import list_files, peek
from segstudio.datasets.pairing import FolderPair, without_suffix

_LABELS = "labels_masks"
_ROAD_ANOMALY = "labels_semantic"


@FORMATS.register("anomaly")
class AnomalyFormat(DatasetFormat):
    """Masks of what a road scene should not hold."""

    description = "Anomaly masks: images/ with labels_masks/ (SegmentMeIfYouCan), or RoadAnomaly."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.93 when one of the two layouts is there."""
        return 0.93 if _is_smiyc(path) or _is_road_anomaly(path) else 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair images and masks by name; see `DatasetFormat.open`."""
        space = label_space or load_label_space("anomaly")
        if _is_smiyc(path):
            dataset = open_pairs(
                cls.name,
                path,
                [FolderPair("images", _LABELS)],
                space,
                decoder=_read,
                is_target=_is_ids,
            )
        elif _is_road_anomaly(path):
            dataset = open_pairs(
                cls.name, path, [FolderPair("frames", "")], space, decoder=_read,
                is_image=_is_frame, is_target=lambda _: False,
            )  # fmt: skip
            dataset = _with_label_folders(dataset)
        else:
            raise NoDatasetError(
                f"{path} is not in the layout of an anomaly data set: it has neither images/ with "
                "labels_masks/ nor frames/ with folders such as frame01.labels/ in it."
            )
        return dataset


def _is_smiyc(path: Path) -> bool:
    return (path / "images").is_dir() and (path / _LABELS).is_dir()


def _is_road_anomaly(path: Path) -> bool:
    return any(
        is_folder and name.endswith(".labels") for name, is_folder in peek(path / "frames", 80)
    )


def _is_ids(relative: str) -> bool:
    return not without_suffix(relative).endswith(("_color", "_labels_semantic_color"))


def _is_frame(relative: str) -> bool:
    return ".labels/" not in relative


def _with_label_folders(dataset: Dataset) -> Dataset:
    found = {
        relative.rpartition("/")[0]: full
        for relative, full in list_files(dataset.root / "frames", TARGET_SUFFIXES).files
        if without_suffix(relative.rpartition("/")[2]) == _ROAD_ANOMALY
    }
    samples = tuple(
        replace(
            sample,
            target_path=found.get(
                f"{without_suffix(sample.sample_id.removeprefix('frames/'))}.labels"
            ),
        )
        for sample in dataset.samples
    )
    without = [sample.sample_id for sample in samples if sample.target_path is None]
    notes = [note for note in dataset.notes if "without a mask" not in note]
    if without:
        notes.append(f"{len(without)} of the frames have no mask, {without[0]} first.")
    return replace(dataset, samples=samples, notes=tuple(notes))


def _read(sample: Sample, shape: tuple[int, int]) -> NDArray[Any]:
    assert sample.target_path is not None
    ids = read_source_map(sample.target_path)
    return np.where(ids == 2, 1, ids).astype(ids.dtype) if (ids == 2).any() else ids
