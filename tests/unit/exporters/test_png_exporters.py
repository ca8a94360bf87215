"""The three PNG exports, read back with Pillow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import SizeMismatchError, UsageError
from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.core.types import Sample
from segstudio.datasets.classes import read_class_file
from segstudio.datasets.opening import open_dataset
from segstudio.exporters.base import EXPORTERS, ExportItem, export_names


def item(name: str, label_map: np.ndarray, image: np.ndarray | None = None) -> ExportItem:
    def read_image() -> np.ndarray:
        assert image is not None, "this export needs no photograph"
        return image

    return ExportItem(Sample(name, Path("/data") / name), lambda: label_map, read_image)


@pytest.fixture
def label_map() -> np.ndarray:
    values = np.random.default_rng(3).integers(0, 20, (12, 7)).astype(np.uint8)
    values[values == 19] = 255
    return values


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., list[Path]]:
    def write(name: str, items: list[ExportItem], space: LabelSpace, **options: Any) -> list[Path]:
        entry = EXPORTERS.get(name)
        return entry().write(
            items, tmp_path / "out", label_space=space, options=entry.Options(**options)
        )

    return write


def test_indices_and_source_ids(export: Callable, label_map: np.ndarray, tmp_path: Path) -> None:
    space = load_label_space("cityscapes")
    (path,) = export("index-png", [item("a/1.jpg", label_map)], space)
    assert path == tmp_path / "out" / "a" / "1.png"
    picture = Image.open(path)
    assert picture.mode == "L" and np.array_equal(np.asarray(picture), label_map)
    stored = read_class_file(tmp_path / "out" / "label_space.json")
    assert stored.names == space.names and stored.ignore_ids == (255,)
    assert np.array_equal(stored.from_source_ids(np.asarray(picture), path), label_map)


def test_source_ids(export: Callable, label_map: np.ndarray, tmp_path: Path) -> None:
    space = load_label_space("cityscapes")
    (path,) = export("index-png", [item("1.jpg", label_map)], space, source_ids=True)
    ids = np.asarray(Image.open(path))
    assert ids.dtype == np.uint8 and set(ids.ravel()) <= {0, *(c.source_id for c in space.classes)}
    assert np.array_equal(space.from_source_ids(ids, path), label_map)
    assert read_class_file(tmp_path / "out" / "label_space.json") == space


def test_many_classes_take_16_bits(export: Callable) -> None:
    space = LabelSpace.from_json({"classes": [f"c{index}" for index in range(300)]})
    deep = np.array([[0, 299, 65535]], np.uint16)
    (path,) = export("index-png", [item("1.jpg", deep)], space)
    assert np.array_equal(np.asarray(Image.open(path)), deep)
    with pytest.raises(UsageError, match="300 classes"):
        export("color-png", [item("1.jpg", deep)], space)


def test_colours_to_see_and_indices_to_read(export: Callable, label_map: np.ndarray) -> None:
    space = load_label_space("cityscapes")
    (path,) = export("color-png", [item("1.jpg", label_map)], space)
    picture = Image.open(path)
    assert picture.mode == "P" and np.array_equal(np.asarray(picture), label_map)
    colors = np.asarray(picture.convert("RGB"))
    for row, col in np.ndindex(label_map.shape):
        index = label_map[row, col]
        expected = (0, 0, 0) if index == 255 else space.colors[index]
        assert tuple(colors[row, col]) == expected


@pytest.mark.parametrize("opacity", [0.0, 0.3, 1.0])
def test_the_overlay_blends_and_spares_ignored_pixels(
    export: Callable, label_map: np.ndarray, opacity: float
) -> None:
    space = load_label_space("cityscapes")
    image = np.random.default_rng(4).integers(0, 256, (12, 7, 3)).astype(np.uint8)
    (path,) = export("overlay-png", [item("1.jpg", label_map, image)], space, opacity=opacity)
    found = np.asarray(Image.open(path)).astype(float)
    table = np.zeros((256, 3))
    table[: len(space)] = space.colors
    expected = image * (1 - opacity) + table[label_map] * opacity
    expected[label_map == 255] = image[label_map == 255]
    assert np.abs(found - expected).max() <= 0.51


def test_the_overlay_needs_equal_sizes(export: Callable, label_map: np.ndarray) -> None:
    small = np.zeros((3, 3, 3), np.uint8)
    with pytest.raises(SizeMismatchError, match=r"12 x 7 .* 3 x 3"):
        export("overlay-png", [item("1.jpg", label_map, small)], load_label_space("cityscapes"))


def test_names_keep_their_ending_only_where_two_would_meet() -> None:
    samples = [
        Sample(name, Path(name)) for name in ("a/1.jpg", "a/1.png", "a/2.jpg", "b/1.jpg", "c.d.jpg")
    ]
    assert export_names(samples) == {
        "a/1.jpg": "a/1.jpg",
        "a/1.png": "a/1.png",
        "a/2.jpg": "a/2",
        "b/1.jpg": "b/1",
        "c.d.jpg": "c.d",
    }


@pytest.mark.parametrize(
    ("name", "folder"),
    [("index-png", ""), ("color-png", ""), ("geotiff", ""), ("corrected", "masks")],
)
def test_an_export_opens_again_as_ground_truth(
    export: Callable, label_map: np.ndarray, tmp_path: Path, name: str, folder: str
) -> None:
    space = load_label_space("cityscapes")
    black = np.zeros((12, 7, 3), np.uint8)
    export(name, [item("a/1.png", label_map, black)], space)
    (tmp_path / "data" / "a").mkdir(parents=True)
    Image.fromarray(black).save(tmp_path / "data" / "a" / "1.png")
    stored = tmp_path / "out" / "label_space.json"
    again = open_dataset(
        tmp_path / "data", label_space=stored, ground_truth=tmp_path / "out" / folder
    )
    assert np.array_equal(again.read_target(again.samples[0]), label_map)


def test_a_hugging_face_folder_opens_again(
    export: Callable, label_map: np.ndarray, tmp_path: Path
) -> None:
    space = load_label_space("cityscapes")
    black = np.zeros((12, 7, 3), np.uint8)
    entries = [item("a/1.png", label_map, black), item("a/2.png", label_map[::-1], black)]
    export("huggingface", entries, space)
    again = open_dataset(tmp_path / "out")
    assert again.splits == ("train",) and again.label_space is not None
    assert again.label_space.names == space.names
    found = [again.read_target(sample) for sample in again.samples]
    assert np.array_equal(found, [label_map, label_map[::-1]])
