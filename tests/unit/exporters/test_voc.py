"""PASCAL VOC's layout, read by Pillow, by torchvision and by our own reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import UsageError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.datasets.opening import open_dataset, sniff

VOC = load_label_space("voc")


def test_torchvision_opens_it(
    make_item: Callable, make_map: Callable, run_export: Callable, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("torchvision.datasets", reason="torchvision is not installed")
    root = tmp_path / "VOCdevkit" / "VOC2012"
    maps = {f"2007_{n:06}": make_map(n, 21) for n in range(5)}
    items = [
        make_item(f"{name}.jpg", label_map, split="val" if n > 2 else "train")
        for n, (name, label_map) in enumerate(maps.items())
    ]
    run_export("voc", items, VOC, to=root, images="copy")
    for split, names in (("train", list(maps)[:3]), ("val", list(maps)[3:]), ("trainval", maps)):
        theirs = datasets.VOCSegmentation(str(tmp_path), image_set=split)
        assert len(theirs) == len(names)
        for (image, mask), name in zip(theirs, names, strict=True):
            assert image.size == (31, 24) and mask.mode == "P"
            assert np.array_equal(np.asarray(mask), maps[name])


def test_the_palette_is_the_label_space(
    make_item: Callable, make_map: Callable, run_export: Callable
) -> None:
    out = run_export("voc", [make_item("a/1.jpg", make_map(3, 21))], VOC)
    with Image.open(out.folder / "SegmentationClass" / "1.png") as picture:
        colors, label_map = np.asarray(picture.convert("RGB")), np.asarray(picture)
    for index, color in enumerate(VOC.colors):
        assert (colors[label_map == index] == color).all()
    assert out.places() == [
        "ImageSets/Segmentation/trainval.txt",
        "SegmentationClass/1.png",
        "class_names.txt",
        "label_space.json",
        "labelmap.txt",
    ]
    assert out.notes == []
    lines = (out.folder / "labelmap.txt").read_text().splitlines()
    named = [f"{name}:{r},{g},{b}::" for name, (r, g, b) in zip(VOC.names, VOC.colors, strict=True)]
    assert lines == ["# label:color_rgb:parts:actions", *named, "ignored:224,224,192::"]
    assert (label_map == 255).any() and (colors[label_map == 255] == (224, 224, 192)).all()


def test_colours_that_labelmap_could_not_tell_apart_are_changed(
    make_item: Callable, make_map: Callable, run_export: Callable
) -> None:
    void, gray = [224, 224, 192], [9, 9, 9]
    classes = [{"name": f"c{n}", "color": c} for n, c in enumerate([gray, void, gray, [0, 0, 0]])]
    space = LabelSpace.from_json({"name": "alike", "classes": classes})
    out = run_export("voc", [make_item("1.jpg", make_map(3, 4))], space)
    assert out.notes == [
        "3 classes have another colour than in the label space, because labelmap.txt tells classes "
        "apart by colour."
    ]
    lines = (out.folder / "labelmap.txt").read_text().splitlines()[1:]
    colors = [line.split(":")[1] for line in lines]
    assert len(set(colors)) == 6 and lines[0] == "background:0,0,0::" and lines[1] == "c0:9,9,9::"


def test_who_opens_it_is_no_tie_with_cvat(
    make_item: Callable, make_map: Callable, run_export: Callable
) -> None:
    label_map = make_map(0, 21)
    out = run_export("voc", [make_item("1.jpg", label_map)], VOC, images="copy")
    ranking = [(score, name) for score, name in sniff(out.folder) if score >= 0.6]
    assert ranking == [(0.92, "voc"), (0.6, "cvat-mask")]
    dataset = open_dataset(out.folder)
    assert dataset.format == "voc" and not dataset.notes
    assert np.array_equal(dataset.read_target(dataset.samples[0]), label_map)
    # Colour pictures, or no word of ours on the indices: then labelmap.txt says what is meant.
    (out.folder / "label_space.json").rename(out.folder / "else.json")
    assert sniff(out.folder)[0] == (0.95, "cvat-mask")
    (out.folder / "else.json").rename(out.folder / "label_space.json")
    path = out.folder / "SegmentationClass" / "1.png"
    with Image.open(path) as picture:
        picture.convert("RGB").save(path)
    assert sniff(out.folder)[0] == (0.95, "cvat-mask")
    dataset = open_dataset(out.folder)
    again = dataset.read_target(dataset.samples[0])
    assert dataset.label_space is not None
    assert dataset.label_space.names == list(VOC.names) and np.array_equal(again, label_map)


def test_samples_that_failed_are_not_listed(
    make_item: Callable, make_map: Callable, run_export: Callable
) -> None:
    items = [make_item("1.jpg", make_map(1, 21)), make_item("2.jpg", np.full((4, 4), 99, np.uint8))]
    out = run_export("voc", items, VOC, on_failed=lambda item, error: None)
    listed = out.folder / "ImageSets" / "Segmentation" / "trainval.txt"
    assert listed.read_text() == "1\n"
    again = run_export(
        "voc", [*items[:1], make_item("3.jpg", make_map(3, 21))], VOC, existing="keep"
    )
    assert listed.read_text() == "1\n"
    assert again.notes == [f"{listed} was there already and was kept as it is."]


def test_names_with_folders_spaces_and_other_letters(
    make_item: Callable, make_map: Callable, run_export: Callable
) -> None:
    names = ["x y/ä 1.jpg", "z/ä 1.jpg", "z/ä 1.png"]
    out = run_export("voc", [make_item(n, make_map(1, 21)) for n in names], VOC, images="copy")
    listed = out.folder / "ImageSets" / "Segmentation" / "trainval.txt"
    lines = listed.read_text(encoding="utf-8").splitlines()
    assert lines == ["ä 1", "ä 1.jpg", "ä 1.png"]
    for line in lines:
        assert (out.folder / "SegmentationClass" / f"{line}.png").is_file()
        assert (out.folder / "JPEGImages" / f"{line}.jpg").is_file()


def test_more_classes_than_a_palette_holds(make_item: Callable, run_export: Callable) -> None:
    space = LabelSpace.from_json({"name": "huge", "classes": [f"c{n}" for n in range(256)]})
    with pytest.raises(UsageError, match=r"256 classes.*palette"):
        run_export("voc", [make_item("1.jpg", np.zeros((2, 2), np.uint16))], space)


def test_in_out_in(make_item: Callable, make_map: Callable, run_export: Callable) -> None:
    maps = {f"{n}.jpg": make_map(n, 21) for n in range(3)}
    items = [make_item(name, label_map) for name, label_map in maps.items()]
    out = run_export("voc", items, VOC, images="copy")
    again = open_dataset(out.folder, format="voc")
    assert len(again) == 3
    for sample in again.samples:
        assert np.array_equal(again.read_target(sample), maps[Path(sample.sample_id).name])
