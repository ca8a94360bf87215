"""Masks whose classes are colours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.errors import LabelValueError, NoDatasetError, UsageError
from segstudio.core.label_space import load_label_space
from segstudio.datasets.colors import find_colors, read_color_file
from segstudio.datasets.formats.rgb import RgbFormat
from segstudio.datasets.opening import open_dataset

Put = Callable[..., Path]


def stripes(*colors: tuple[int, int, int]) -> np.ndarray:
    return np.tile(np.repeat(np.array([colors], np.uint8), 8 // len(colors), axis=1), (6, 1, 1))


def test_camvid_as_its_authors_ship_it(put: Put, tmp_path: Path) -> None:
    put("701_StillsRaw_full/0001TP_006690.png")
    put("LabeledApproved_full/0001TP_006690_L.png", stripes((128, 128, 128), (0, 0, 0)))
    dataset = open_dataset(tmp_path)
    assert dataset.format == "rgb" and dataset.label_space == load_label_space("camvid32")
    assert "are those of camvid32, which is assumed" in dataset.notes[0]
    assert dataset.read_target(dataset.samples[0])[0, [0, 7]].tolist() == [21, 255]
    names = load_label_space("camvid32")
    lines = [f"{r} {g} {b}\t\t{n}" for n, (r, g, b) in zip(names.names, names.colors, strict=True)]
    (tmp_path / "label_colors.txt").write_text("\n".join([*lines, "0 0 0\tVoid"]))
    dataset = open_dataset(tmp_path)
    assert dataset.label_space == names and not dataset.notes
    assert dataset.read_target(dataset.samples[0])[0, [0, 7]].tolist() == [21, 255]


def test_folders_for_splits_and_a_csv_of_colours(put: Put, tmp_path: Path) -> None:
    for split in ("train", "val"):
        put(f"{split}/a.png")
        put(f"{split}_labels/a_L.png", stripes((1, 2, 3), (4, 5, 6)))
    (tmp_path / "class_dict.csv").write_text('name, r, g, b\nRoad, 4,5,6\n"Sky, blue",1,2,3\n')
    dataset = open_dataset(tmp_path)
    assert (dataset.format, dataset.splits) == ("rgb", ("train", "val"))
    assert dataset.label_space is not None and dataset.label_space.names == ["Road", "Sky, blue"]
    assert dataset.read_target(dataset.samples[0])[0, [0, 7]].tolist() == [1, 0]
    put("val_labels/a_L.png", stripes((1, 2, 3), (9, 9, 9)))
    with pytest.raises(LabelValueError, match=r"\(9, 9, 9\) in 24 pixels, which .*class_dict.csv"):
        dataset.read_target(dataset.samples[1])


def test_colours_that_nobody_names_are_listed(put: Put, tmp_path: Path) -> None:
    put("images/a.png")
    put("labels/a.png", stripes((10, 20, 30), (10, 20, 30), (200, 0, 0), (10, 20, 30)))
    dataset = open_dataset(tmp_path)
    assert dataset.format == "rgb" and dataset.label_space is not None
    assert dataset.label_space.names == ["#0a141e", "#c80000"]
    assert "2 colours, most frequent first: (10, 20, 30), (200, 0, 0);" in dataset.notes[0]
    assert dataset.read_target(dataset.samples[0])[0].tolist() == [0, 0, 0, 0, 1, 1, 0, 0]


def test_potsdam_s_tiles_and_colours(put: Put, tmp_path: Path) -> None:
    put("2_Ortho_RGB/top_potsdam_2_10_RGB.tif")
    put("5_Labels_all/top_potsdam_2_10_label.tif", stripes((255, 255, 255), (0, 0, 255)))
    dataset = open_dataset(tmp_path)
    assert dataset.label_space is not None and dataset.label_space.name == "isprs"
    assert dataset.read_target(dataset.samples[0])[0, [0, 7]].tolist() == [0, 1]


def test_a_label_space_can_name_the_colours(put: Put, tmp_path: Path) -> None:
    put("images/a.png")
    put("labels/a.png", stripes((128, 0, 0), (0, 0, 0)))
    dataset = open_dataset(tmp_path, label_space="voc")
    assert dataset.read_target(dataset.samples[0])[0, [0, 7]].tolist() == [1, 0]


def test_index_masks_stay_paired_folders(put: Put, tmp_path: Path) -> None:
    put("images/a.png")
    put("labels/a.png", np.zeros((6, 8), np.uint8))
    assert RgbFormat.sniff(tmp_path) == 0 and open_dataset(tmp_path).format == "paired"


def test_photographs_are_no_masks(put: Put, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    put("images/a.png", noise)
    path = put("labels/a.png", noise)
    with pytest.raises(UsageError, match="more than 256 colours"):
        RgbFormat.open(tmp_path)
    assert len(find_colors([path], limit=2000)) > 1500
    with pytest.raises(NoDatasetError, match="no image folder with a folder of colour masks"):
        RgbFormat.open(tmp_path / "images")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("label_colors.txt", "1 2 Road\n", "line 1: '1 2 Road'"),
        ("label_colors.txt", "# nothing\n", "names no class"),
        ("labelmap.txt", "a:1,2,256::\n", "line 1"),
        ("class_dict.csv", "name,r,g,b\nx,1,2\n", "line 2"),
    ],
)
def test_damaged_colour_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        read_color_file(tmp_path / name)


def test_a_damaged_colour_file_is_a_note(put: Put, tmp_path: Path) -> None:
    put("images/a.png")
    put("labels/a.png", stripes((1, 2, 3)))
    (tmp_path / "labelmap.txt").write_text("what is this")
    dataset = RgbFormat.open(tmp_path)
    assert len(dataset) == 1 and "labelmap.txt has no class" in dataset.notes[0]
