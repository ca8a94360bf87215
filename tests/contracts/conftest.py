"""A tiny dataset of every format, laid out by the tests themselves."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import scipy.io
from PIL import Image

from segstudio.datasets.base import FORMATS

PICTURE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
HEIGHT, WIDTH = 10, 14
Maker = Callable[[Path], int]


def photo(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def labels(path: Path, values: Any = range(11), *, palette: bool = False) -> None:
    """Write a label map whose pixels are drawn from ``values``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chosen = np.random.default_rng(len(path.name)).choice(list(values), (HEIGHT, WIDTH))
    picture = Image.fromarray(chosen.astype(np.uint8))
    if palette:
        picture.putpalette(bytes(range(256)) * 3)
    picture.save(path)


def colors(path: Path, palette: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    chosen = np.random.default_rng(1).choice(len(palette), (HEIGHT, WIDTH))
    Image.fromarray(np.asarray(palette, np.uint8)[chosen]).save(path)


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")


def png(mask: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.asarray(mask, bool)).save(stream, format="PNG")
    return stream.getvalue()


def make_folder(folder: Path) -> int:
    for seed, name in enumerate(["a.png", "sub/b.jpg", "sub/c.png"]):
        photo(folder / name, seed)
    return 3


def make_paired(folder: Path) -> int:
    for seed, name in enumerate(["train/a", "train/b", "val/c"]):
        photo(folder / "images" / f"{name}.jpg", seed)
        labels(folder / "masks" / f"{name}.png")
    write(folder / "classes.txt", "\n".join(f"class {index}" for index in range(11)))
    return 3


def make_camvid(folder: Path) -> int:
    for split in ("train", "val", "test"):
        for seed in range(2):
            photo(folder / split / f"{seed:04}.png", seed)
            labels(folder / f"{split}annot" / f"{seed:04}.png")
        lines = [f"/x/{split}/{i:04}.png /x/{split}annot/{i:04}.png" for i in range(2)]
        write(folder / f"{split}.txt", "\n".join(lines))
    return 6


def make_voc(folder: Path, masks: str = "SegmentationClass", lists: str = "Segmentation") -> int:
    for split, names in {"train": ["2007_000032", "2007_000039"], "val": ["2007_000033"]}.items():
        for name in names:
            photo(folder / "JPEGImages" / f"{name}.jpg")
            labels(folder / masks / f"{name}.png", [0, 1, 20, 255], palette=True)
        write(folder / "ImageSets" / lists / f"{split}.txt", "\n".join(names) + "\n")
    photo(folder / "JPEGImages" / "2007_000027.jpg")  # VOC has images without a mask
    return 3


def make_ade20k(folder: Path) -> int:
    for split, prefix in {"training": "ADE_train", "validation": "ADE_val"}.items():
        for number in (1, 2):
            photo(folder / "images" / split / f"{prefix}_{number:08}.jpg", number)
            labels(folder / "annotations" / split / f"{prefix}_{number:08}.png", [0, 1, 150])
    write(folder / "objectInfo150.txt", "Idx\tRatio\tTrain\tVal\tStuff\tName\n")
    return 4


def make_cityscapes(folder: Path) -> int:
    for split, city in {"train": "aachen", "val": "lindau"}.items():
        name = f"{city}_000000_000019"
        photo(folder / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png")
        truth = folder / "gtFine" / split / city
        labels(truth / f"{name}_gtFine_labelIds.png", [0, 7, 26, 33])
        labels(truth / f"{name}_gtFine_instanceIds.png")
        colors(truth / f"{name}_gtFine_color.png", [(0, 0, 0), (128, 64, 128)])
        write(truth / f"{name}_gtFine_polygons.json", {"objects": []})
        labels(folder / "disparity" / split / city / f"{name}_disparity.png")
    photo(folder / "leftImg8bit/test/berlin/berlin_000000_000019_leftImg8bit.png")
    labels(folder / "gtFine/test/berlin/berlin_000000_000019_gtFine_labelIds.png", [0])
    return 3


CATEGORIES = [{"id": 1, "name": "cell"}, {"id": 7, "name": "wall", "color": [1, 2, 3]}]


def coco_images(folder: Path, prefix: str) -> list[dict[str, Any]]:
    images = []
    for number in (1, 2):
        photo(folder / prefix / f"{number:012}.jpg", number)
        size = {"height": HEIGHT, "width": WIDTH}
        images.append({"id": number, "file_name": f"{number:012}.jpg", **size})
    return images


def make_coco(folder: Path) -> int:
    polygon = [[1.0, 1.0, 9.0, 1.0, 9.0, 8.0, 1.0, 8.0]]
    runs = {"size": [HEIGHT, WIDTH], "counts": [20, 30, HEIGHT * WIDTH - 50]}
    shapes = [(1, 1, polygon, 0), (2, 7, runs, 1)]
    annotations = [
        {"id": i, "image_id": i, "category_id": c, "segmentation": s, "iscrowd": crowd}
        for i, c, s, crowd in shapes
    ]
    write(
        folder / "annotations" / "instances_val2017.json",
        {
            "images": coco_images(folder, "val2017"),
            "annotations": annotations,
            "categories": CATEGORIES,
        },
    )
    return 2


def make_coco_panoptic(folder: Path) -> int:
    annotations = []
    for image in coco_images(folder, "val2017"):
        name = f"{image['id']:012}.png"
        segments = [{"id": 5, "category_id": 1}, {"id": 256 * 3 + 9, "category_id": 7}]
        colors(folder / "annotations/panoptic_val2017" / name, [(5, 0, 0), (9, 3, 0), (0, 0, 0)])
        entry = {"image_id": image["id"], "file_name": name, "segments_info": segments}
        annotations.append(entry)
    write(
        folder / "annotations" / "panoptic_val2017.json",
        {
            "images": coco_images(folder, "val2017"),
            "annotations": annotations,
            "categories": CATEGORIES,
        },
    )
    return 2


def make_coco_stuff(folder: Path) -> int:
    for split in ("train2017", "val2017"):
        photo(folder / split / "000000000009.jpg")
        labels(folder / "stuffthingmaps" / split / "000000000009.png", [0, 92, 181, 255])
    return 2


def make_pascal_context(folder: Path) -> int:
    return make_voc(folder, "SegmentationClassContext", "SegmentationContext")


def make_mapillary(folder: Path) -> int:
    for split in ("training", "validation"):
        photo(folder / split / "images" / "abc_DEF.jpg")
        labels(folder / split / "v1.2" / "labels" / "abc_DEF.png", [0, 1, 2], palette=True)
        labels(folder / split / "v1.2" / "instances" / "abc_DEF.png")
    photo(folder / "testing" / "images" / "ghi.jpg")
    entries = [("Bird", True), ("Road", True), ("Unlabeled", False)]
    write(
        folder / "config_v1.2.json",
        {
            "labels": [
                {"name": f"x--{n}", "readable": n, "color": [i, 0, 9], "evaluate": e}
                for i, (n, e) in enumerate(entries)
            ]
        },
    )
    return 3


def make_bdd100k(folder: Path) -> int:
    for split in ("train", "val"):
        photo(folder / "images" / "10k" / split / "0a0a.jpg")
        labels(folder / "labels" / "sem_seg" / "masks" / split / "0a0a.png", [0, 18, 255])
    return 2


def make_kitti(folder: Path) -> int:
    for number in (0, 1):
        photo(folder / "training" / "image_2" / f"{number:06}_10.png", number)
        labels(folder / "training" / "semantic" / f"{number:06}_10.png", [7, 21, 0])
        colors(folder / "training" / "semantic_rgb" / f"{number:06}_10.png", [(0, 0, 0)])
    photo(folder / "testing" / "image_2" / "000000_10.png")
    return 3


def make_loveda(folder: Path) -> int:
    for split, area in {"Train": "Rural", "Val": "Urban"}.items():
        photo(folder / split / area / "images_png" / "0.png")
        labels(folder / split / area / "masks_png" / "0.png", range(8))
    return 2


def make_rgbd(folder: Path) -> int:
    for split in ("train", "test"):
        photo(folder / split / "rgb" / "0001.png")
        labels(folder / split / "depth" / "0001.png")
        labels(folder / split / "labels_40" / "0001.png", range(41))
    return 2


def make_anomaly(folder: Path) -> int:
    for name in ("animals01", "airplane01"):
        photo(folder / "images" / f"{name}.jpg")
        labels(folder / "labels_masks" / f"{name}_labels_semantic.png", [0, 1, 255])
        colors(folder / "labels_masks" / f"{name}_labels_semantic_color.png", [(255, 0, 0)])
    return 2


def make_rgb(folder: Path) -> int:
    for name in ("0001TP_006690", "Seq05VD_f00000"):
        photo(folder / "701_StillsRaw_full" / f"{name}.png")
        colors(folder / "LabeledApproved_full" / f"{name}_L.png", [(64, 128, 64), (0, 0, 0)])
    write(folder / "label_colors.txt", "64 128 64\tAnimal\n192 0 128\tArchway\n0 0 0\t\tVoid\n")
    return 2


def make_labelme(folder: Path) -> int:
    for name in ("a", "b"):
        photo(folder / f"{name}.jpg")
        shape = {"label": "dog", "points": [[1, 1], [8, 1], [4, 7]], "shape_type": "polygon"}
        size = {"imageHeight": HEIGHT, "imageWidth": WIDTH, "imagePath": f"{name}.jpg"}
        write(folder / f"{name}.json", {"version": "5.4.1", "shapes": [shape], **size})
    return 2


def make_cvat_mask(folder: Path) -> int:
    names = ["frame_000000", "frame 1"]
    for name in names:
        photo(folder / "JPEGImages" / f"{name}.jpg")
        colors(folder / "SegmentationClass" / f"{name}.png", [(0, 0, 0), (250, 50, 83)])
        colors(folder / "SegmentationObject" / f"{name}.png", [(0, 0, 0), (1, 2, 3)])
    write(folder / "ImageSets" / "Segmentation" / "default.txt", "\n".join(names))
    header = "# label:color_rgb:parts:actions\n"
    write(folder / "labelmap.txt", f"{header}background:0,0,0::\ncar:250,50,83::\n")
    return 2


def make_cvat_xml(folder: Path) -> int:
    photo(folder / "images" / "a.jpg")
    photo(folder / "images" / "b.jpg")
    label = "<label><name>car</name><color>#fa3253</color></label>"
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    points = "1.0,1.0;8.0,1.0;8.0,8.0"
    write(
        folder / "annotations.xml",
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
        f"<meta><task><labels>{label}</labels></task></meta>\n"
        f'<image id="0" name="a.jpg" {size}>'
        f'<polygon label="car" points="{points}" z_order="0"/></image>'
        f'<image id="1" name="b.jpg" {size}>'
        '<mask label="car" rle="2, 3, 1" left="4" top="5" width="3" height="2" z_order="0"/>'
        "</image></annotations>",
    )
    return 2


def make_label_studio(folder: Path) -> int:
    tasks = []
    for name in ("a.jpg", "b.jpg"):
        photo(folder / "images" / name)
        value = {"points": [[10, 10], [90, 10], [50, 90]], "polygonlabels": ["car"]}
        region = {"original_width": WIDTH, "original_height": HEIGHT, "value": value}
        annotation = {"result": [{**region, "type": "polygonlabels"}], "was_cancelled": False}
        image = f"/data/upload/1/0a1b2c3d-{name}"
        tasks.append({"id": 1, "annotations": [annotation], "data": {"image": image}})
    write(folder / "project-1-at-2024.json", tasks)
    return 2


def make_supervisely(folder: Path) -> int:
    write(folder / "meta.json", {"classes": [{"title": "car", "color": "#0102FF"}]})
    data = base64.b64encode(zlib.compress(png(np.ones((3, 4))))).decode()
    for name in ("a.jpg", "b.png"):
        photo(folder / "ds0" / "img" / name)
        bitmap = {"data": data, "origin": [2, 5]}
        entry = {"classTitle": "car", "geometryType": "bitmap", "bitmap": bitmap}
        size = {"height": HEIGHT, "width": WIDTH}
        write(folder / "ds0" / "ann" / f"{name}.json", {"size": size, "objects": [entry]})
    return 2


def make_ade20k_full(folder: Path) -> int:
    place = folder / "images" / "ADE" / "training" / "urban" / "street"
    for number in (1, 2):
        name = f"ADE_train_0000000{number}"
        photo(place / f"{name}.jpg", number)
        colors(place / f"{name}_seg.png", [(0, 0, 0), (10, 44, 7), (110, 162, 9)])
        colors(place / name / "instance_000_ADE_train.png", [(255, 255, 255)])
        entries = [{"name": "car", "name_ndx": 300}, {"name": "wall", "name_ndx": 2978}]
        write(place / f"{name}.json", {"annotation": {"object": entries}})
    return 2


def make_coco_stuff_10k(folder: Path) -> int:
    names = ["COCO_train2014_000000000077", "COCO_train2014_000000000113"]
    for seed, name in enumerate(names):
        photo(folder / "images" / f"{name}.jpg", seed)
        values = np.random.default_rng(seed).choice([0, 1, 92, 182], (HEIGHT, WIDTH))
        (folder / "annotations").mkdir(exist_ok=True)
        scipy.io.savemat(folder / "annotations" / f"{name}.mat", {"S": values.astype(np.uint16)})
    for split, name in zip(("train", "test"), names, strict=True):
        write(folder / "imageLists" / f"{split}.txt", f"{name}\n")
    return 2


def make_x_anylabeling(folder: Path) -> int:
    for name in ("a", "b"):
        photo(folder / f"{name}.jpg")
        labels(folder / "masks" / f"{name}.png", [0, 7, 200])
    write(folder / "grayscale_map.json", {"type": "grayscale", "colors": {"car": 7, "sky": 200}})
    return 2


def make_video(folder: Path) -> int:
    writer = cv2.VideoWriter(
        str(folder / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (WIDTH, HEIGHT)
    )
    for value in (10, 90, 170):
        writer.write(np.full((HEIGHT, WIDTH, 3), value, np.uint8))
    writer.release()
    return 3


def make_parquet(folder: Path) -> int:
    rows = []
    for seed in range(3):
        photo(folder / "a.png", seed)
        labels(folder / "b.png", range(4))
        cells = [(folder / name).read_bytes() for name in ("a.png", "b.png")]
        rows.append([{"bytes": cell, "path": None} for cell in cells])
        for name in ("a.png", "b.png"):
            (folder / name).unlink()
    for split, part in {"train": rows[:2], "validation": rows[2:]}.items():
        table = {"image": [row[0] for row in part], "label": [row[1] for row in part]}
        schema = pyarrow.schema([(name, PICTURE) for name in table])
        place = folder / "data" / f"{split}-00000-of-00001.parquet"
        place.parent.mkdir(exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.table(table, schema), place)
    write(folder / "classes.txt", "a\nb\nc\nd\n")
    return 3


@pytest.fixture(scope="session")
def layouts() -> dict[str, Maker]:
    """Functions that lay out a tiny dataset in a folder and return its number of samples."""
    makers = {name: thing for name, thing in globals().items() if name.startswith("make_")}
    return {name.removeprefix("make_").replace("_", "-"): make for name, make in makers.items()}


@pytest.fixture(params=FORMATS.names())
def case(
    request: pytest.FixtureRequest, tmp_path: Path, layouts: dict[str, Maker]
) -> tuple[str, Path]:
    """Name of a format, and a folder in its layout."""
    folder = tmp_path / "set"
    folder.mkdir()
    layouts[request.param](folder)
    return request.param, folder
