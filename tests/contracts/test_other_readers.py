"""Ground truth of every format that others can read too: they have to see the same classes.

The values come from Pillow, pycocotools, SciPy, pyarrow or torchvision; what a value means is
written down here as the authors of the format publish it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import scipy.io
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO

from segstudio.core.types import Sample
from segstudio.datasets.base import FORMATS, Dataset
from segstudio.datasets.opening import open_dataset

# pycocotools 2.0.11 decodes with an __array__ of before numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Maker = Callable[[Path], int]
Ids = NDArray[Any]


def pixels(path: Path) -> Ids:
    with Image.open(path) as picture:
        return np.asarray(picture).astype(np.int64)


def stored(sample: Sample, _: Dataset) -> Ids:
    assert sample.target_path is not None
    return pixels(sample.target_path)


def by_color(sample: Sample, dataset: Dataset) -> Ids:
    """Return the place of each pixel's colour in the palette, -1 where it has none."""
    assert dataset.label_space is not None
    found = stored(sample, dataset)
    ids = np.full(found.shape[:2], -1)
    for entry, color in zip(dataset.label_space.classes, dataset.label_space.colors, strict=True):
        ids[(found == color).all(axis=2)] = entry.source_id
    return ids


def coco_stuff_10k(sample: Sample, _: Dataset) -> Ids:
    """Return the ids of the 164k maps; here they count from 1, and 0 is unlabelled."""
    assert sample.target_path is not None
    return scipy.io.loadmat(sample.target_path)["S"].astype(np.int64) - 1


def ade20k_full(sample: Sample, dataset: Dataset) -> Ids:
    """Return the class index, R / 10 * 256 + G as in the authors' loadAde20K."""
    found = stored(sample, dataset)
    return found[..., 0] // 10 * 256 + found[..., 1]


def panoptic(sample: Sample, dataset: Dataset) -> Ids:
    """Return categories by segment, R + 256 G + 256^2 B."""
    (place,) = dataset.root.rglob("panoptic_val2017.json")
    document = json.loads(place.read_text())
    name = f"{Path(sample.sample_id).stem}.png"
    (entry,) = [e for e in document["annotations"] if e["file_name"] == name]
    segments = pixels(place.with_suffix("") / name) @ (1, 256, 65536)
    ids = np.full(segments.shape, -1)
    for segment in entry["segments_info"]:
        ids[segments == segment["id"]] = segment["category_id"]
    return ids


def coco(sample: Sample, dataset: Dataset) -> Ids:
    """Return what pycocotools draws, the smaller region on top; nothing is the background."""
    (place,) = dataset.root.rglob("instances_val2017.json")
    reader = COCO(str(place))
    (image,) = [i for i in reader.imgs.values() if i["file_name"] == Path(sample.sample_id).name]
    regions = reader.loadAnns(reader.getAnnIds(image["id"]))
    ids = np.zeros((image["height"], image["width"]), np.int64)
    for region in sorted(regions, key=lambda region: -int(reader.annToMask(region).sum())):
        ids[reader.annToMask(region) > 0] = region["category_id"]
    return ids


def parquet(sample: Sample, dataset: Dataset) -> Ids:
    tables = [pyarrow.parquet.read_table(p) for p in sorted(dataset.root.rglob("*.parquet"))]
    rows = [row for table in tables for row in table.to_pylist()]
    place = [entry.sample_id for entry in dataset.samples].index(sample.sample_id)
    return np.asarray(Image.open(io.BytesIO(rows[place]["label"]["bytes"]))).astype(np.int64)


PILLOW = (
    "ade20k", "bdd100k", "camvid", "cityscapes", "kitti", "loveda", "mapillary", "paired",
    "pascal-context", "rgbd", "voc", "x-anylabeling", "anomaly", "coco-stuff",
)  # fmt: skip
READERS: dict[tuple[str, str], Callable[[Sample, Dataset], Ids]] = {
    **{(name, "pillow"): stored for name in PILLOW},
    ("rgb", "pillow"): by_color,
    ("cvat-mask", "pillow"): by_color,
    ("ade20k-full", "pillow"): ade20k_full,
    ("coco-panoptic", "pillow"): panoptic,
    ("coco-stuff-10k", "scipy"): coco_stuff_10k,
    ("coco", "pycocotools"): coco,
    ("parquet", "pyarrow"): parquet,
}
BY_NO_OTHER = ("cvat-xml", "folder", "label-studio", "labelme", "supervisely", "video")
"""Of these no other reader is among the tests' packages, or there is no ground truth."""


def test_nothing_is_left_out() -> None:
    assert sorted({*(name for name, _ in READERS), *BY_NO_OTHER}) == FORMATS.names()


@pytest.mark.parametrize(("name", "reader"), READERS)
def test_others_see_the_same_classes(
    tmp_path: Path, layouts: dict[str, Maker], name: str, reader: str
) -> None:
    layouts[name](tmp_path)
    dataset = open_dataset(tmp_path)
    space = dataset.label_space
    assert dataset.format == name and space is not None
    compared = 0
    for sample in dataset.samples:
        if sample.target_path is None:
            continue
        ids = READERS[name, reader](sample, dataset)
        expected = np.full(ids.shape, space.ignore_index)
        for index, entry in enumerate(space.classes):
            expected[ids == entry.source_id] = index
        found = dataset.read_target(sample)
        assert np.array_equal(found, expected), sample
        compared += len(np.unique(found)) > 1
    assert compared


def test_torchvision_sees_the_same_cityscapes(tmp_path: Path, layouts: dict[str, Maker]) -> None:
    torchvision = pytest.importorskip("torchvision.datasets")
    layouts["cityscapes"](tmp_path)
    dataset = open_dataset(tmp_path)
    space = dataset.label_space
    assert space is not None
    for split in ("train", "val"):
        theirs = torchvision.Cityscapes(tmp_path, split=split, target_type="semantic")
        (sample,) = dataset.select(split).samples
        assert Path(theirs.images[0]) == sample.image_path
        ids = np.asarray(theirs[0][1])
        expected = np.full(ids.shape, space.ignore_index)
        for index, entry in enumerate(space.classes):
            expected[ids == entry.source_id] = index
        assert np.array_equal(dataset.read_target(sample), expected)
