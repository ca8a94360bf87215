"""Cityscapes: ``leftImg8bit/<split>/<city>/`` and ``gtFine/<split>/<city>/``.

Of an image's ground truth the first of ``_labelIds.png``, ``_labelTrainIds.png`` and
``_polygons.json`` is read; all become label ids, of which 19 classes are evaluated.  Polygons are
painted in their order with the rules of cityscapesScripts: deleted ones and classes with a
negative id are left out, ``cargroup`` counts as ``car``, what no polygon covers is "unlabeled".
Disparity, cameras and instance files are passed over.

References
----------
M. Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", CVPR 2016.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError, NoDatasetError, SizeMismatchError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.types import Sample
from segstudio.datasets.base import FORMATS, Dataset, DatasetFormat, split_names
from segstudio.datasets.images import read_source_map
from segstudio.datasets.json_files import read_json
from segstudio.datasets.listing import Listing, list_files
from segstudio.datasets.pairing import FolderPair, pair_folders
from segstudio.datasets.shapes import ShapePainter

__all__ = ["CITYSCAPES_IDS", "CityscapesFormat", "label_ids_from_train_ids", "read_ground_truth"]

# fmt: off
CITYSCAPES_IDS = {name: index for index, name in enumerate((
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic",
    "ground", "road", "sidewalk", "parking", "rail track", "building", "wall", "fence",
    "guard rail", "bridge", "tunnel", "pole", "polegroup", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "caravan",
    "trailer", "train", "motorcycle", "bicycle",
))} | {"license plate": -1}
"""Label ids by name (cityscapesScripts, ``labels.py``)."""
# fmt: on

_ENDINGS = ("_labelIds.png", "_labelTrainIds.png", "_polygons.json")
"""Of the files that are read, best first."""
_IMAGE_ENDING = "_leftImg8bit"
_GROUND_TRUTHS = ("gtFine", "gtCoarse")


@FORMATS.register("cityscapes")
class CityscapesFormat(DatasetFormat):
    """Cityscapes as its authors ship it."""

    description = "Cityscapes: leftImg8bit/ and gtFine/ (labelIds, labelTrainIds or polygons)."

    @classmethod
    def sniff(cls, path: Path) -> float:
        """Return 0.96 when the images' and the ground truth's folder are there."""
        return 0.96 if _layout(path) is not None else 0.0

    @classmethod
    def open(cls, path: Path, *, label_space: LabelSpace | None = None) -> Dataset:
        """Pair images and ground truth by name; see `DatasetFormat.open`."""
        truth = _layout(path)
        if truth is None:
            raise NoDatasetError(
                f"{path} is not in Cityscapes' layout: it has no folder leftImg8bit/ with a folder "
                "gtFine/ or gtCoarse/ beside it."
            )
        samples, notes = _pair_exactly(path, truth) or pair_folders(
            path,
            FolderPair("leftImg8bit", truth),
            targets=_best_of(list_files(path / truth, endings=_ENDINGS)),
            split_of=_split_of,
            key=_bare_name,
        )
        if not samples:
            raise NoDatasetError(f"{path} has a folder leftImg8bit/, but no image in it.")
        return Dataset(
            root=path,
            format=cls.name,
            samples=tuple(samples),
            label_space=label_space or load_label_space("cityscapes"),
            splits=split_names(samples),
            title=path.resolve().name,
            notes=tuple(notes),
            decoder=read_ground_truth,
        )


def read_ground_truth(sample: Sample, shape: tuple[int, int]) -> NDArray[Any]:
    """Return a sample's label ids from whichever of the three files it has.

    Raises
    ------
    LabelValueError
        When a train id or a polygon's label is none of Cityscapes'.
    SizeMismatchError
        When polygons were drawn on an image of another size.
    """
    path = sample.target_path
    assert path is not None
    if path.suffix == ".json":
        return _paint(path, shape)
    ids = read_source_map(path)
    return label_ids_from_train_ids(ids, path) if path.stem.endswith("TrainIds") else ids


def label_ids_from_train_ids(train_ids: NDArray[Any], path: Path) -> NDArray[np.uint16]:
    """Return label ids for train ids 0..18 and 255, which becomes 0.

    Raises
    ------
    LabelValueError
        When there is another value.
    """
    label_map = load_label_space("cityscapes-trainids").from_source_ids(train_ids, path)
    return load_label_space("cityscapes").to_source_ids(label_map)


def _paint(path: Path, shape: tuple[int, int]) -> NDArray[Any]:
    document = read_json(path)
    if not isinstance(document, dict) or not isinstance(document.get("objects"), list):
        raise LabelValueError(f"{path} holds no list of objects; Cityscapes' polygon files do.")
    size = (document.get("imgHeight"), document.get("imgWidth"))
    if size != shape:
        raise SizeMismatchError(
            f"{path} was drawn on {size[0]} x {size[1]} pixels (height x width), but its image is "
            f"{shape[0]} x {shape[1]}."
        )
    painter = ShapePainter(shape, CITYSCAPES_IDS["unlabeled"])
    for number, entry in enumerate(document["objects"]):
        where = f"{path}, object {number}"
        if not isinstance(entry, dict):
            raise LabelValueError(f"{where} is no object.")
        if entry.get("deleted"):
            continue
        label = str(entry.get("label"))
        if label not in CITYSCAPES_IDS:
            label = label.removesuffix("group")
        value = CITYSCAPES_IDS.get(label)
        if value is None:
            raise LabelValueError(
                f"{where} has the label {entry.get('label')!r}, which Cityscapes does not know."
            )
        if value >= 0:
            painter.polygon(entry.get("polygon"), value, where)
    return painter.pixels()


def _layout(path: Path) -> str | None:
    if not (path / "leftImg8bit").is_dir():
        return None
    return next((name for name in _GROUND_TRUTHS if (path / name).is_dir()), None)


def _pair_exactly(path: Path, truth: str) -> tuple[list[Sample], list[str]] | None:
    """Return the samples where each image has its ``_labelIds.png`` and each of those its image.

    So it is in the dataset as it is shipped, half a million files, and it takes half the time of
    looking for what else could belong to an image.  None where anything is otherwise.
    """
    images = list_files(path / "leftImg8bit")
    targets = list_files(path / truth, endings=_ENDINGS[:1])
    by_name = dict(targets.entries)
    target_ending = f"_{truth}{_ENDINGS[0]}"
    image_ending = f"{_IMAGE_ENDING}.png"
    length = len(image_ending)
    splits: dict[str, str | None] = {}
    samples = []
    for relative, full in images.entries:
        target = by_name.pop(f"{relative[:-length]}{target_ending}", None)
        if target is None or not relative.endswith(image_ending):
            return None
        folder = relative[: relative.find("/") + 1]
        if folder not in splits:
            splits[folder] = _split_of(folder)
        samples.append(Sample.of_files(f"leftImg8bit/{relative}", full, target, splits[folder]))
    return None if by_name else (samples, [*images.notes, *targets.notes])


def _best_of(listing: Listing) -> Listing:
    """Return of each image's ground-truth files the one that is read."""
    best: dict[str, tuple[str, str]] = {}
    for ending in _ENDINGS:
        length = len(ending)
        for entry in listing.entries:
            if entry[0].endswith(ending):
                best.setdefault(entry[0][:-length], entry)
    return Listing(list(best.values()), listing.notes)


def _bare_name(relative: str) -> str:
    return relative.replace(f"{_IMAGE_ENDING}.", ".")


def _split_of(relative: str) -> str | None:
    split, slash, _ = relative.partition("/")
    return {"train_extra": "train"}.get(split, split) if slash else None
