"""Folders that somebody made to do harm, through the command line: one sentence, the rest done."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Export = Callable[..., Any]
PIXELS = np.random.default_rng(0).integers(0, 256, (10, 14, 3)).astype(np.uint8)


@pytest.fixture
def export(segstudio: Callable[..., Any], tmp_path: Path) -> Export:
    """``export(folder)`` writes the ground truth of a folder as index PNG."""
    wanted = ("--format", "index-png", "--what", "ground-truth", "-o", tmp_path / "out")
    return lambda folder, *more: segstudio("export", folder, *wanted, *more)


@pytest.fixture
def coco(tmp_path: Path) -> Callable[[Any], Path]:
    """Return a function that writes two images; ``shape`` is the region of the second."""

    def write(shape: Any) -> Path:
        root = tmp_path / "set"
        (root / "annotations").mkdir(parents=True)
        (root / "val2017").mkdir()
        images = [{"id": n, "file_name": f"{n}.jpg", "height": 10, "width": 14} for n in (1, 2)]
        for entry in images:
            Image.fromarray(PIXELS).save(root / "val2017" / str(entry["file_name"]))
        square = [[1, 1, 9, 1, 9, 8, 1, 8]]
        regions = [
            {"id": n, "image_id": n, "category_id": 1, "segmentation": s, "iscrowd": 0}
            for n, s in ((1, square), (2, shape))
        ]
        document = {
            "images": images,
            "annotations": regions,
            "categories": [{"id": 1, "name": "cell"}],
        }
        (root / "annotations" / "instances_val2017.json").write_text(json.dumps(document))
        return root

    return write


@pytest.mark.parametrize(
    "shape",
    [
        {"size": [10, 14], "counts": [10**18]},
        {"size": [10, 14], "counts": "o" * 100_000},
        {"size": [10**9, 10**9], "counts": [10**18]},
        [[float("inf"), 1, 2, 3, 4, 5]],
        {"counts": None},
    ],
)
def test_a_hostile_region_fails_its_image_alone(
    coco: Callable[[Any], Path], export: Export, tmp_path: Path, shape: Any
) -> None:
    outcome = export(coco(shape))
    assert outcome.status == 1 and "Traceback" not in outcome.err
    assert "val2017/2.jpg failed: " in outcome.err
    assert [path.stem for path in (tmp_path / "out").rglob("*.png")] == ["1"]


def test_a_mask_that_unpacks_to_much_more_is_not_unpacked(export: Export, tmp_path: Path) -> None:
    root = tmp_path / "set"
    root.mkdir()
    Image.fromarray(PIXELS).save(root / "a.png")
    bomb = io.BytesIO()
    Image.new("L", (6000, 5000)).save(bomb, "PNG")
    shape = {
        "label": "car",
        "shape_type": "mask",
        "points": [[0, 0], [5999, 4999]],
        "mask": base64.b64encode(bomb.getvalue()).decode(),
    }
    size = {"imageHeight": 10, "imageWidth": 14, "imagePath": "../../a.png"}
    (root / "a.json").write_text(json.dumps({"shapes": [shape], **size}))
    outcome = export(root)
    assert outcome.status == 1 and "has a mask of 5000 x 6000 pixels" in outcome.err


def test_what_is_no_folder_of_images_is_one_sentence(export: Export, tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"PK\3\4../../etc/passwd")
    assert "is an archive; unpack it" in export(archive).complaint()
    (tmp_path / "nothing").mkdir()
    assert "is empty" in export(tmp_path / "nothing").complaint()
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe.png")
        assert "check the path" in export(tmp_path / "pipe.png").complaint()
        assert "check the path" in export(Path("/dev/zero")).complaint()


def test_masks_whose_values_nobody_explains(export: Export, tmp_path: Path) -> None:
    for top in ("images", "masks"):
        (tmp_path / "set" / top).mkdir(parents=True)
        values = PIXELS if top == "images" else PIXELS[:, :, 0] // 32
        Image.fromarray(values).save(tmp_path / "set" / top / "a.png")
    said = export(tmp_path / "set").complaint()
    assert "does not say what the values of its masks mean; choose a label space" in said
    assert export(tmp_path / "set", "--label-space", "camvid").status == 0
