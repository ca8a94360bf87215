"""PASCAL VOC and its kin: PASCAL Context and CVAT's colour masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import LabelValueError, NoDatasetError, SizeMismatchError, UsageError
from segstudio.datasets.formats.cvat_mask import CvatMaskFormat
from segstudio.datasets.formats.pascal_context import PascalContextFormat
from segstudio.datasets.formats.voc import VocFormat
from segstudio.datasets.opening import open_dataset, sniff

Put = Callable[..., Path]
MASK = np.tile(np.array([0, 15, 255, 20], np.uint8), (6, 2))


@pytest.fixture
def root(put: Put, tmp_path: Path) -> Path:
    for name in ("2007_000001", "2007_000002", "name with space", "2007_000004"):
        put(f"data/JPEGImages/{name}.jpg")
    for name in ("2007_000001", "2007_000002", "name with space"):
        path = tmp_path / "data" / "SegmentationClass" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        picture = Image.fromarray(MASK)
        picture.putpalette([value for index in range(256) for value in (index, 99, 7)])
        picture.save(path)
    (tmp_path / "data" / "ImageSets" / "Segmentation").mkdir(parents=True)
    return tmp_path / "data"


def lists(root: Path, **content: str) -> None:
    for name, text in content.items():
        (root / "ImageSets" / "Segmentation" / f"{name}.txt").write_text(text)


def test_lists_say_the_splits_and_trainval_only_what_is_left(root: Path) -> None:
    lists(
        root,
        train="2007_000002\n",
        val="name with space\n\n",
        trainval="2007_000002\nname with space\n2007_000001\n",
    )
    dataset = VocFormat.open(root)
    assert [(s.sample_id, s.split) for s in dataset.samples] == [
        ("JPEGImages/2007_000002.jpg", "train"),
        ("JPEGImages/name with space.jpg", "val"),
        ("JPEGImages/2007_000001.jpg", "trainval"),
    ]
    assert dataset.splits == ("train", "val", "trainval") and not dataset.notes
    target = dataset.read_target(dataset.samples[0])
    assert np.array_equal(target, MASK)


def test_without_lists_images_with_a_mask_count(root: Path) -> None:
    dataset = VocFormat.open(root)
    assert len(dataset) == 3 and dataset.splits == ()


def test_what_does_not_fit_is_said(root: Path, put: Put) -> None:
    put("data/SegmentationClass/orphan.png", MASK)
    put("data/SegmentationClass/2007_000004.png", MASK)
    lists(root, val="2007_000001\n../../etc/passwd\ngone\nname with space.jpg\n")
    (root / "SegmentationClass" / "2007_000001.png").unlink()
    (root / "ImageSets" / "Segmentation" / "test.txt").write_bytes(b"\xff\xff")
    dataset = VocFormat.open(root)
    notes = " ".join(dataset.notes)
    assert len(dataset) == 2
    assert "2 names of ImageSets/Segmentation/val.txt without an image, ../../etc/passwd" in notes
    assert "1 listed image without a mask" in notes and "1 mask without an image, orphan" in notes
    assert "2 masks not named by ImageSets/Segmentation/val.txt" in notes
    assert "test.txt is no UTF-8 text" in notes


def test_the_augmented_masks_fill_up(root: Path, put: Put) -> None:
    put("data/SegmentationClassAug/2007_000004.png", MASK)
    put("data/SegmentationClassAug/2007_000001.png", np.zeros((6, 8), np.uint8))
    lists(root, trainaug="2007_000001\n2007_000004\n")
    dataset = VocFormat.open(root)
    assert dataset.splits == ("train",)
    assert [dataset.read_target(sample)[0, 1] for sample in dataset.samples] == [15, 15]


def test_the_folder_above_the_year(root: Path, tmp_path: Path) -> None:
    (tmp_path / "kit" / "VOCdevkit").mkdir(parents=True)
    root.rename(tmp_path / "kit" / "VOCdevkit" / "VOC2012")
    dataset = open_dataset(tmp_path / "kit")
    assert dataset.format == "voc"
    assert dataset.samples[0].sample_id == "VOCdevkit/VOC2012/JPEGImages/2007_000001.jpg"


def test_a_mask_of_another_size_and_an_unknown_id(root: Path, put: Put) -> None:
    put("data/SegmentationClass/2007_000001.png", np.zeros((5, 8), np.uint8))
    put("data/SegmentationClass/2007_000002.png", np.full((6, 8), 21, np.uint8))
    dataset = VocFormat.open(root)
    with pytest.raises(SizeMismatchError, match=r"2007_000001.png is 5 x 8"):
        dataset.read_target(dataset.samples[0])
    with pytest.raises(LabelValueError, match=r"2007_000002.png holds the value 21"):
        dataset.read_target(dataset.samples[1])


def test_nothing_to_show(tmp_path: Path) -> None:
    (tmp_path / "JPEGImages").mkdir()
    with pytest.raises(NoDatasetError, match="no folder JPEGImages/ with"):
        VocFormat.open(tmp_path)
    (tmp_path / "SegmentationClass").mkdir()
    with pytest.raises(NoDatasetError, match="no image in JPEGImages/ has a mask"):
        VocFormat.open(tmp_path)


def test_pascal_context_wins_where_its_masks_are(root: Path, put: Put) -> None:
    put("data/SegmentationClassContext/2007_000004.png", np.full((6, 8), 59, np.uint8))
    dataset = open_dataset(root)
    assert dataset.format == "pascal-context" and len(dataset) == 1
    assert (dataset.read_target(dataset.samples[0]) == 59).all()
    reduced = open_dataset(root, label_space="pascal_context_59")
    assert (reduced.read_target(reduced.samples[0]) == 58).all()
    with pytest.raises(NoDatasetError, match="SegmentationClassContext"):
        PascalContextFormat.open(root / "JPEGImages")


def test_cvat_s_colours(root: Path, put: Put) -> None:
    (root / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nmy car:250,50,83:door:\n"
        "void:9,9,9::\n"
    )
    pixels = np.zeros((6, 8, 3), np.uint8)
    pixels[0, 0] = (250, 50, 83)
    pixels[0, 1] = (9, 9, 9)
    put("data/SegmentationClass/2007_000001.png", pixels)
    pixels[2, 2:5] = (1, 2, 3)
    put("data/SegmentationClass/2007_000002.png", pixels)
    assert [name for _, name in sniff(root)][:2] == ["cvat-mask", "voc"]
    dataset = CvatMaskFormat.open(root)
    assert dataset.label_space is not None
    assert dataset.label_space.names == ["background", "my car"]
    target = dataset.read_target(dataset.samples[0])
    assert target[0, :3].tolist() == [1, 255, 0] and target[1:].max() == 0
    with pytest.raises(LabelValueError, match=r"\(1, 2, 3\) in 3 pixels"):
        dataset.read_target(dataset.samples[1])
    (root / "labelmap.txt").write_text("background:0,0,0::\ncar:250,50\n")
    with pytest.raises(UsageError, match="line 2: 'car:250,50'"):
        CvatMaskFormat.open(root)
