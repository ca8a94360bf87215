"""ADE20K, COCO-Stuff, COCO panoptic, NYU and SUN RGB-D, LoveDA."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.errors import LabelValueError, NoDatasetError
from segstudio.datasets.formats.ade20k import Ade20kFormat
from segstudio.datasets.formats.coco_panoptic import CocoPanopticFormat
from segstudio.datasets.formats.coco_stuff import CocoStuffFormat
from segstudio.datasets.formats.loveda import LovedaFormat
from segstudio.datasets.formats.rgbd import RgbdFormat
from segstudio.datasets.opening import open_dataset

Put = Callable[..., Path]


def rows(*values: int) -> np.ndarray:
    return np.tile(np.array(values, np.uint8), (6, 8 // len(values)))


def test_ade20k_starts_at_one(put: Put, tmp_path: Path) -> None:
    base = "x/ADEChallengeData2016"
    for split, name in {"training": "ADE_train_00000001", "validation": "ADE_val_1"}.items():
        put(f"{base}/images/{split}/{name}.jpg")
        put(f"{base}/annotations/{split}/{name}.png", rows(0, 1, 150, 2))
    put(f"{base}/images/validation/ADE_val_2.jpg")
    dataset = open_dataset(tmp_path / "x")
    assert (dataset.format, dataset.splits) == ("ade20k", ("train", "val"))
    assert dataset.read_target(dataset.samples[0])[0, :4].tolist() == [255, 0, 149, 1]
    assert dataset.notes[0].startswith("1 image of ADEChallengeData2016/images/validation/ without")
    put(f"{base}/annotations/training/ADE_train_00000001.png", rows(151))
    with pytest.raises(LabelValueError, match="value 151"):
        dataset.read_target(dataset.samples[0])


def test_what_only_looks_like_ade20k_is_paired_folders(put: Put, tmp_path: Path) -> None:
    put("images/training/a.jpg")
    put("annotations/training/a.png", rows(0))
    assert Ade20kFormat.sniff(tmp_path) == 0
    assert open_dataset(tmp_path).format == "paired"
    with pytest.raises(NoDatasetError, match="images/ and annotations/"):
        Ade20kFormat.open(tmp_path / "images")


def test_coco_stuff_ids_have_gaps(put: Put, tmp_path: Path) -> None:
    put("images/val2017/1.jpg")
    put("annotations/val2017/1.png", rows(0, 91, 181, 255))
    dataset = CocoStuffFormat.open(tmp_path)
    assert dataset.read_target(dataset.samples[0])[0, :4].tolist() == [0, 80, 170, 255]
    put("annotations/val2017/1.png", rows(11))  # "street sign" is in no image
    with pytest.raises(LabelValueError, match="value 11"):
        dataset.read_target(dataset.samples[0])


def test_coco_stuff_as_tool_boxes_write_it(put: Put, tmp_path: Path) -> None:
    put("train2017/1.jpg")
    put("stuffthingmaps/train2017/1_labelTrainIds.png", rows(0, 80, 170, 255))
    dataset = CocoStuffFormat.open(tmp_path)
    assert dataset.read_target(dataset.samples[0])[0, :4].tolist() == [0, 80, 170, 255]
    put("stuffthingmaps/train2017/1_labelTrainIds.png", rows(171))
    with pytest.raises(LabelValueError):
        dataset.read_target(dataset.samples[0])
    put("stuffthingmaps/train2017/1.png", rows(181))
    dataset = CocoStuffFormat.open(tmp_path)
    assert (dataset.read_target(dataset.samples[0]) == 170).all() and not dataset.notes


@pytest.fixture
def panoptic(put: Put, tmp_path: Path) -> Path:
    root = tmp_path / "data"
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[:, 2:4] = (1, 2, 3)
    pixels[:, 4:] = (7, 0, 0)
    for name in ("a", "b"):
        put(f"data/val2017/{name}.jpg")
        put(f"data/annotations/panoptic_val2017/{name}.png", pixels)
    segments = [{"id": 1 + 2 * 256 + 3 * 65536, "category_id": 4}, {"id": 7, "category_id": 300}]
    document = {
        "images": [{"id": n, "file_name": f"{n}.jpg"} for n in "abc"],
        "annotations": [
            {"image_id": "a", "file_name": "a.png", "segments_info": segments},
            {"image_id": "b", "file_name": "b.png", "segments_info": segments[:1]},
        ],
        "categories": [{"id": 4, "name": "sea"}, {"id": 300, "name": "sky"}],
    }
    (root / "annotations" / "panoptic_val2017.json").write_text(json.dumps(document))
    return root


def test_segments_become_categories(panoptic: Path) -> None:
    dataset = open_dataset(panoptic)
    assert (dataset.format, dataset.splits, len(dataset)) == ("coco-panoptic", ("val",), 2)
    assert any("'c.jpg' first" in note for note in dataset.notes)
    target = dataset.read_target(dataset.samples[0])
    assert target[0].tolist() == [255, 255, 0, 0, 1, 1, 1, 1]
    with pytest.raises(LabelValueError, match=r"b.png holds the segment 7"):
        dataset.read_target(dataset.samples[1])


def test_panoptic_images_without_segments(panoptic: Path) -> None:
    (panoptic / "annotations" / "panoptic_val2017" / "a.png").unlink()
    dataset = CocoPanopticFormat.open(panoptic)
    assert dataset.samples[0].target_path is None
    assert any("without a PNG of segments, val2017/a.jpg" in note for note in dataset.notes)
    (panoptic / "annotations" / "panoptic_val2017").rename(panoptic / "elsewhere")
    assert CocoPanopticFormat.sniff(panoptic) == 0
    with pytest.raises(NoDatasetError, match="a folder of PNGs"):
        CocoPanopticFormat.open(panoptic)


@pytest.mark.parametrize(
    ("folder", "labels", "space"),
    [
        ("x", "labels_40", "nyu40"),
        ("x", "labels_37", "sunrgbd"),
        ("x", "labels13", "nyu13"),
        ("NYUDepthv2", "Label", "nyu40"),
        ("SUNRGBD", "labels", "sunrgbd"),
        ("x", "label", None),
    ],
)
def test_rgbd_classes(
    put: Put, tmp_path: Path, folder: str, labels: str, space: str | None
) -> None:
    for name in ("0", "1"):
        put(f"{folder}/RGB/{name}.jpg")
        put(f"{folder}/Depth/{name}.png", rows(9))
        put(f"{folder}/{labels}/{name}.png", rows(0, 13))
    (tmp_path / folder / "train.txt").write_text("RGB/0.jpg Label/0.png\n")
    (tmp_path / folder / "test.txt").write_text("RGB/1.jpg Label/1.png\n")
    dataset = RgbdFormat.open(tmp_path / folder)
    assert dataset.splits == ("train", "test")
    assert (dataset.label_space and dataset.label_space.name) == space
    if space is None:
        assert "choose nyu40, sunrgbd or nyu13" in dataset.notes[0]
    else:
        assert dataset.read_target(dataset.samples[0])[0, :2].tolist() == [255, 12]


def test_loveda_ignores_what_has_no_data(put: Put, tmp_path: Path) -> None:
    for area in ("Rural", "Urban"):
        put(f"Val/{area}/images_png/1.png")
        put(f"Val/{area}/masks_png/1.png", rows(0, 1, 7, 2))
    dataset = LovedaFormat.open(tmp_path)
    assert len(dataset) == 2 and dataset.splits == ("val",)
    assert dataset.read_target(dataset.samples[0])[0, :4].tolist() == [255, 0, 6, 1]
