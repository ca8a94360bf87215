"""Two folders with equal names, in the arrangements people have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.errors import NoDatasetError
from segstudio.datasets.formats.paired import PairedFormat

Put = Callable[..., Path]
GRAY = np.zeros((6, 8), np.uint8)


def rows(root: Path) -> list[tuple[str, str | None, str | None]]:
    return [
        (s.sample_id, s.target_path and s.target_path.relative_to(root).as_posix(), s.split)
        for s in PairedFormat.open(root).samples
    ]


@pytest.mark.parametrize(
    ("images", "targets"),
    [
        ("images", "masks"),
        ("images", "labels"),
        ("images", "annotations"),
        ("img_dir", "ann_dir"),
        ("Images", "Masks"),
    ],
)
def test_folder_names(put: Put, tmp_path: Path, images: str, targets: str) -> None:
    put(f"{images}/a/1.jpg")
    put(f"{targets}/a/1.png", GRAY)
    assert PairedFormat.sniff(tmp_path) == 0.8
    assert rows(tmp_path) == [(f"{images}/a/1.jpg", f"{targets}/a/1.png", None)]


def test_splits_below(put: Put, tmp_path: Path) -> None:
    for split in ("training", "validation", "test"):
        put(f"images/{split}/1.jpg")
        put(f"annotations/{split}/1_mask.png", GRAY)
    assert rows(tmp_path) == [
        ("images/test/1.jpg", "annotations/test/1_mask.png", "test"),
        ("images/training/1.jpg", "annotations/training/1_mask.png", "train"),
        ("images/validation/1.jpg", "annotations/validation/1_mask.png", "val"),
    ]
    assert PairedFormat.open(tmp_path).splits == ("train", "val", "test")


def test_splits_above(put: Put, tmp_path: Path) -> None:
    for split in ("train", "valid"):
        put(f"{split}/images/1.jpg")
        put(f"{split}/labels/1.png", GRAY)
    assert PairedFormat.sniff(tmp_path) == 0.8
    assert rows(tmp_path) == [
        ("train/images/1.jpg", "train/labels/1.png", "train"),
        ("valid/images/1.jpg", "valid/labels/1.png", "val"),
    ]


def test_an_image_called_train_is_no_split(put: Put, tmp_path: Path) -> None:
    put("images/train.jpg")
    put("masks/train.png", GRAY)
    assert rows(tmp_path) == [("images/train.jpg", "masks/train.png", None)]


def test_what_has_no_partner_is_kept_or_noted(put: Put, tmp_path: Path) -> None:
    put("images/1.jpg")
    put("images/2.jpg")
    put("masks/2.png", GRAY)
    put("masks/3.png", GRAY)
    dataset = PairedFormat.open(tmp_path)
    assert [sample.target_path is None for sample in dataset.samples] == [True, False]
    assert dataset.notes == (
        "1 image of images/ without a mask in masks/, images/1.jpg first.",
        "1 mask of masks/ without an image in images/, 3.png first.",
    )


def test_a_label_space_in_the_folder(put: Put, tmp_path: Path) -> None:
    put("images/1.jpg")
    put("masks/1.png", GRAY + 1)
    assert PairedFormat.open(tmp_path).label_space is None
    (tmp_path / "classes.txt").write_text("road\nsky\n")
    space = PairedFormat.open(tmp_path).label_space
    assert space is not None and space.names == ["road", "sky"]
    document = {"name": "mine", "classes": [{"name": "thing", "id": 1}], "ignore_ids": [0, 255]}
    (tmp_path / "label_space.json").write_text(json.dumps(document))
    dataset = PairedFormat.open(tmp_path)
    assert dataset.label_space is not None and dataset.label_space.name == "mine"
    assert (dataset.read_target(dataset.samples[0]) == 0).all()
    (tmp_path / "label_space.json").write_text("{")
    dataset = PairedFormat.open(tmp_path)
    assert dataset.label_space is not None and dataset.label_space.names == ["road", "sky"]
    assert any("label_space.json" in note for note in dataset.notes)


def test_labels_that_are_boxes_are_no_label_maps(put: Put, tmp_path: Path) -> None:
    put("images/1.jpg")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "1.txt").write_text("0 0.5 0.5 0.1 0.1")
    assert 0 < PairedFormat.sniff(tmp_path) < 0.51


def test_other_folders_say_what_is_missing(put: Put, tmp_path: Path) -> None:
    assert PairedFormat.sniff(tmp_path) == 0.0
    with pytest.raises(NoDatasetError, match="such as images/ and"):
        PairedFormat.open(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(NoDatasetError, match="images/ and masks/, but no image"):
        PairedFormat.open(tmp_path)
