"""labelme's JSON, drawn by its own rule for mask shapes, and by our reader."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segstudio.core.label_space import load_label_space
from segstudio.datasets.opening import open_dataset

SPACE = load_label_space("camvid")


def draw(document: dict[str, Any]) -> np.ndarray:
    """Draw mask shapes as labelme.utils.shapes_to_label does: both corners belong to the box."""
    label_map = np.full((document["imageHeight"], document["imageWidth"]), 255, np.uint8)
    for shape in document["shapes"]:
        assert shape["shape_type"] == "mask" and shape["flags"] == {} and shape["group_id"] is None
        (left, top), (right, bottom) = np.asarray(shape["points"]).astype(int)
        with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as picture:
            mask = np.asarray(picture).astype(bool)
        box = label_map[top : bottom + 1, left : right + 1]
        assert mask.shape == box.shape and mask[0].any() and mask[:, -1].any()
        box[mask] = SPACE.names.index(shape["label"])
    return label_map


@pytest.mark.parametrize("regions", ["class", "component"])
def test_its_masks_are_the_label_map(
    make_item: Callable, make_map: Callable, run_export: Callable, regions: str
) -> None:
    maps = {f"a b/{n}ü": make_map(n, 11) for n in range(3)}
    items = [make_item(f"{name}.jpg", label_map) for name, label_map in maps.items()]
    out = run_export("labelme", items, SPACE, regions=regions)
    for name, label_map in maps.items():
        document = json.loads((out.folder / f"{name}.json").read_text(encoding="utf-8"))
        assert document["version"] == "5.5.0" and document["imageData"] is None
        assert document["imagePath"] == f"{name.partition('/')[2]}.jpg"
        assert np.array_equal(draw(document), label_map)
        shapes = len(document["shapes"])
        assert (shapes == len(np.unique(label_map)) - 1) is (regions == "class")
    assert [note.split(" ")[0] for note in out.notes] == ["labelme", "Ignored"]
    labels = (out.folder / "labels.txt").read_text().splitlines()
    assert labels == ["__ignore__", *SPACE.names]


def test_polygons_run_through_the_outermost_pixels_the_larger_first(
    make_item: Callable, run_export: Callable
) -> None:
    ring = np.full((9, 9), 6, np.uint8)
    ring[2:7, 2:7] = 4
    ring[4, 4] = 10
    ring[0, 0] = 255
    out = run_export("labelme", [make_item("1.png", ring)], SPACE, shape="polygon", images="copy")
    document = json.loads((out.folder / "1.json").read_text())
    assert [(s["label"], s["shape_type"], s["points"]) for s in document["shapes"]] == [
        ("SignSymbol", "polygon", [[1.5, 0.5], [0.5, 1.5], [0.5, 8.5], [8.5, 8.5], [8.5, 0.5]]),
        ("Pavement", "polygon", [[2.5, 2.5], [2.5, 6.5], [6.5, 6.5], [6.5, 2.5]]),
        ("Bicyclist", "polygon", [[4.5, 4.5]] * 3),
    ]
    assert out.notes == [
        "Ignored pixels are in no shape, as labelme has no such value (1 pixel in 1 sample)."
    ]


def test_polygons_say_what_they_lose(make_item: Callable, run_export: Callable) -> None:
    ring = np.full((9, 9), 4, np.uint8)
    ring[2:7, 2:7] = 255
    out = run_export("labelme", [make_item("1.png", ring)], SPACE, shape="polygon", images="copy")
    assert (
        "labelme draws the polygons otherwise, mostly over ignored pixels inside a region (25 "
        "pixels in 1 sample)." in out.notes
    )


@pytest.mark.parametrize("shape", ["mask", "polygon"])
def test_in_out_in(
    make_item: Callable, make_map: Callable, run_export: Callable, shape: str
) -> None:
    maps = {f"a/{n}.png": make_map(n, 11) for n in range(3)}
    if shape == "polygon":  # ignored pixels inside a region are lost with polygons
        maps = {name: np.where(m == 255, 0, m).astype(np.uint8) for name, m in maps.items()}
    items = [make_item(name, label_map) for name, label_map in maps.items()]
    out = run_export("labelme", items, SPACE, images="copy", shape=shape)
    again = open_dataset(out.folder, format="labelme")
    space = again.label_space
    assert len(again) == 3 and space is not None
    for sample in again.samples:
        expected = maps[Path(sample.sample_id).as_posix()]
        found = again.read_target(sample)
        for index, name in enumerate(SPACE.names):
            assert np.array_equal(found == space.names.index(name), expected == index)
