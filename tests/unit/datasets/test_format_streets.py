"""Street scenes: Cityscapes, Mapillary Vistas, BDD100K, KITTI, anomaly masks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from segstudio.core.errors import LabelValueError, NoDatasetError, SizeMismatchError, UsageError
from segstudio.datasets.formats.anomaly import AnomalyFormat
from segstudio.datasets.formats.bdd100k import Bdd100kFormat
from segstudio.datasets.formats.cityscapes import CityscapesFormat
from segstudio.datasets.formats.kitti import KittiFormat
from segstudio.datasets.formats.mapillary import MapillaryFormat

Put = Callable[..., Path]
NAME = "aachen_000000_000019"
TRUTH = f"data/gtFine/train/aachen/{NAME}_gtFine"


@pytest.fixture
def city(put: Put, tmp_path: Path) -> Path:
    put(f"data/leftImg8bit/train/aachen/{NAME}_leftImg8bit.png", np.zeros((40, 60, 3), np.uint8))
    (tmp_path / "data/gtFine/train/aachen").mkdir(parents=True)
    return tmp_path / "data"


def polygons(root: Path, objects: Any, **changes: Any) -> None:
    document = {"imgHeight": 40, "imgWidth": 60, "objects": objects} | changes
    path = root.parent / f"{TRUTH}_polygons.json"
    path.write_text(json.dumps(document))


def only(root: Path) -> np.ndarray:
    dataset = CityscapesFormat.open(root)
    assert len(dataset) == 1 and dataset.samples[0].split == "train"
    return dataset.read_target(dataset.samples[0])


def test_label_ids_come_before_train_ids_before_polygons(city: Path, put: Put) -> None:
    polygons(city, [{"label": "road", "polygon": [[0, 0], [60, 0], [60, 40], [0, 40]]}])
    assert (only(city) == 0).all()
    put(f"{TRUTH}_labelTrainIds.png", np.full((40, 60), 13, np.uint8))
    assert (only(city) == 13).all()
    put(f"{TRUTH}_labelIds.png", np.full((40, 60), 24, np.uint8))
    put(f"{TRUTH}_instanceIds.png", np.full((40, 60), 1, np.uint8))
    assert (only(city) == 11).all()


def test_images_and_label_ids_without_their_partner_are_told(city: Path, put: Put) -> None:
    put(f"{TRUTH}_labelIds.png", np.full((40, 60), 24, np.uint8))
    assert CityscapesFormat.open(city).notes == ()
    lost = TRUTH.replace("000019", "000020")
    put(f"{lost}_labelIds.png", np.full((40, 60), 7, np.uint8))
    (note,) = CityscapesFormat.open(city).notes
    assert note.startswith("1 mask of gtFine/ without an image") and "000020" in note
    image = "data/leftImg8bit/train/aachen/aachen_000001_000019_leftImg8bit.png"
    put(image, np.zeros((40, 60, 3), np.uint8))
    dataset = CityscapesFormat.open(city)
    assert [sample.target_path is not None for sample in dataset.samples] == [True, False]
    assert len(dataset.notes) == 2 and (dataset.read_target(dataset.samples[0]) == 11).all()


def test_ids_that_are_not_evaluated_are_ignored(city: Path, put: Put) -> None:
    row = np.array([0, 4, 7, 9, 255, 33], np.uint8)
    put(f"{TRUTH}_labelIds.png", np.tile(np.repeat(row, 10), (40, 1)))
    assert only(city)[0, ::10].tolist() == [255, 255, 0, 255, 255, 18]
    put(f"{TRUTH}_labelIds.png", np.full((40, 60), 34, np.uint8))
    with pytest.raises(LabelValueError, match="value 34"):
        only(city)


def test_train_ids_that_do_not_exist(city: Path, put: Put) -> None:
    put(f"{TRUTH}_labelTrainIds.png", np.full((40, 60), 19, np.uint8))
    with pytest.raises(LabelValueError, match=r"labelTrainIds.png holds the value 19"):
        only(city)


def test_polygons_are_painted_by_the_authors_rules(city: Path) -> None:
    corners = [[5.4, 3.2], [50, 8], [70, 60], [-20, 30]]
    box = [[10, 10], [30, 10], [30, 30], [10, 30]]
    polygons(
        city,
        [
            {"label": "building", "polygon": corners},
            {"label": "cargroup", "polygon": box},
            {"label": "person", "polygon": box, "deleted": 1},
            {"label": "license plate", "polygon": box},
            {"label": "ego vehicle", "polygon": [[0, 38], [60, 38], [60, 40], [0, 40]]},
        ],
    )
    expected = Image.new("L", (60, 40), 0)
    draw = ImageDraw.Draw(expected)
    for points, value in ((corners, 11), (box, 26), ([(0, 38), (60, 38), (60, 40), (0, 40)], 1)):
        draw.polygon([tuple(point) for point in points], fill=value)
    table = np.full(256, 255, np.uint8)
    table[[11, 26]] = 2, 13
    assert np.array_equal(only(city), table[np.asarray(expected)])
    assert {2, 13, 255} == set(np.unique(only(city)))


@pytest.mark.parametrize(
    ("objects", "changes", "error", "message"),
    [
        ([{"label": "dragon", "polygon": []}], {}, LabelValueError, "label 'dragon'"),
        ([{"label": "road", "polygon": [[1, 2], [3]]}], {}, LabelValueError, "no pairs"),
        ([{"label": "road", "polygon": [[1, float("inf")]]}], {}, LabelValueError, "no numbers"),
        (["road"], {}, LabelValueError, "object 0 is no object"),
        ([], {"imgWidth": 10**9}, SizeMismatchError, "40 x 1000000000"),
        ({}, {}, LabelValueError, "no list of objects"),
    ],
)
def test_broken_polygons(
    city: Path, objects: Any, changes: Any, error: type[Exception], message: str
) -> None:
    polygons(city, objects, **changes)
    with pytest.raises(error, match=message):
        only(city)


def test_broken_json_fails_its_sample_only(city: Path, put: Put) -> None:
    put("data/leftImg8bit/val/bonn/b_leftImg8bit.png")
    put("data/gtFine/val/bonn/b_gtFine_labelIds.png", np.full((6, 8), 7, np.uint8))
    (city.parent / f"{TRUTH}_polygons.json").write_text('{"objects": [1,]}')
    dataset = CityscapesFormat.open(city)
    assert dataset.splits == ("train", "val") and not dataset.notes
    with pytest.raises(UsageError, match="line 1, column"):
        dataset.read_target(dataset.select("train").samples[0])
    assert (dataset.read_target(dataset.select("val").samples[0]) == 0).all()


def test_coarse_ground_truth_and_none(city: Path, put: Put, tmp_path: Path) -> None:
    (city / "gtFine").rename(city / "other")
    assert CityscapesFormat.sniff(city) == 0
    with pytest.raises(NoDatasetError, match="gtCoarse/ beside it"):
        CityscapesFormat.open(city)
    put(f"data/gtCoarse/train/aachen/{NAME}_gtCoarse_labelIds.png", np.full((40, 60), 7, np.uint8))
    assert (only(city) == 0).all()


def test_mapillary_s_config_says_what_is_evaluated(put: Put, tmp_path: Path) -> None:
    put("data/training/images/a.jpg")
    put("data/training/v2.0/labels/a.png", np.full((6, 8), 2, np.uint8))
    put("data/training/v1.2/labels/a.png", np.tile(np.array([0, 1], np.uint8), (6, 4)))
    root = tmp_path / "data"
    dataset = MapillaryFormat.open(root)
    assert dataset.label_space is not None and dataset.label_space.name == "mapillary-vistas"
    entries = [("Bird", [1, 2, 3], False), ("Road", [4, 5, 6], True)]
    config = {"labels": [{"readable": n, "color": c, "evaluate": e} for n, c, e in entries]}
    (root / "config_v1.2.json").write_text(json.dumps(config))
    dataset = MapillaryFormat.open(root)
    assert dataset.label_space is not None and dataset.label_space.names == ["Road"]
    assert dataset.label_space.colors == [(4, 5, 6)]
    assert dataset.read_target(dataset.samples[0])[0].tolist() == [255, 0] * 4
    (root / "config_v1.2.json").write_text('{"labels": [{"name": 1}]}')
    dataset = MapillaryFormat.open(root)
    assert len(dataset) == 1 and "is no config of Mapillary Vistas" in dataset.notes[0]


def test_bdd100k_in_its_old_layout(put: Put, tmp_path: Path) -> None:
    put("bdd100k/seg/images/val/a.jpg")
    put("bdd100k/seg/labels/val/a_train_id.png", np.full((6, 8), 18, np.uint8))
    dataset = Bdd100kFormat.open(tmp_path)
    assert dataset.samples[0].sample_id == "bdd100k/seg/images/val/a.jpg"
    assert (dataset.read_target(dataset.samples[0]) == 18).all()


def test_kitti_has_the_ids_of_cityscapes(put: Put, tmp_path: Path) -> None:
    put("training/image_2/000000_10.png")
    put("training/semantic/000000_10.png", np.full((6, 8), 26, np.uint8))
    put("testing/image_2/000000_10.png")
    dataset = KittiFormat.open(tmp_path)
    assert dataset.splits == ("train", "test") and not dataset.notes
    assert (dataset.read_target(dataset.samples[0]) == 13).all()


def test_road_anomaly_and_its_twos(put: Put, tmp_path: Path) -> None:
    put("frames/a b.jpg")
    put("frames/c.jpg")
    put("frames/a b.labels/labels_semantic.png", np.tile(np.array([0, 2], np.uint8), (6, 4)))
    put("frames/a b.labels/labels_semantic_color.png")
    dataset = AnomalyFormat.open(tmp_path)
    assert [sample.sample_id for sample in dataset.samples] == ["frames/a b.jpg", "frames/c.jpg"]
    assert dataset.read_target(dataset.samples[0])[0].tolist() == [0, 1] * 4
    assert dataset.notes == ("1 of the frames have no mask, frames/c.jpg first.",)
