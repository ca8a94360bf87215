"""Exports per second: ours beside the plain loops that people write, on the same maps.

``python tests/benchmarks/bench_export.py [COUNT]`` exports COUNT (1,000) label maps of CamVid's
size, from files on the disk to files on the disk: index PNGs beside ``cv2.imread`` +
``cv2.imwrite``, COCO run lengths beside ``pycocotools.mask.encode`` class by class.  Sides take
turns, the better of three passes counts.  CamVid's own maps when they are there, else smooth ones.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as mask_utils

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from segstudio.core.label_space import load_label_space
from segstudio.core.types import Sample
from segstudio.datasets.images import read_source_map, write_label_map
from segstudio.exporters.base import EXPORTERS, ExportItem

SPACE = load_label_space("camvid")
CAMVID = Path(__file__).resolve().parents[3] / "shared" / "data" / "camvid" / "trainannot"


def label_files(folder: Path, count: int) -> list[Path]:
    """Write ``count`` grey label maps of class indices and return their paths."""
    maps = []
    for path in sorted(CAMVID.glob("*.png"))[:50]:
        source_map = read_source_map(path)
        maps.append(np.where(source_map == 11, 255, source_map).astype(np.uint8))
    rng = np.random.default_rng(0)
    while len(maps) < 10:
        fields = [cv2.resize(rng.random((9, 12), np.float32), (480, 360)) for _ in range(11)]
        maps.append(np.argmax(fields, axis=0).astype(np.uint8))
    paths = [folder / f"{place:05}.png" for place in range(count)]
    for place, path in enumerate(paths):
        write_label_map(path, maps[place % len(maps)], durable=False)
    return paths


def ours(name: str, paths: list[Path], folder: Path) -> None:
    """Export by one of our exporters."""
    items = [
        ExportItem(Sample(path.name, path), partial(read_source_map, path), lambda: None)
        for path in paths
    ]
    EXPORTERS.get(name)().write(items, folder, label_space=SPACE)


def plain_png(paths: list[Path], folder: Path) -> None:
    """Copy class indices with OpenCV, as it is."""
    folder.mkdir()
    for path in paths:
        label_map = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(folder / path.name), label_map)


def plain_coco(paths: list[Path], folder: Path) -> None:
    """Collect annotations in a list, a mask per class, and dump it at the end."""
    folder.mkdir()
    images, annotations = [], []
    for number, path in enumerate(paths, 1):
        label_map = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        height, width = label_map.shape
        images.append({"id": number, "file_name": path.name, "height": height, "width": width})
        for index in np.unique(label_map):
            if index != 255:
                mask = np.asfortranarray((label_map == index).astype(np.uint8))
                encoded = mask_utils.encode(mask)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": int(index) + 1,
                        "area": int(mask_utils.area(encoded)),
                        "bbox": mask_utils.toBbox(encoded).tolist(),
                        "iscrowd": 0,
                        "segmentation": {
                            "size": [height, width],
                            "counts": encoded["counts"].decode(),
                        },
                    }
                )
    document = {"images": images, "annotations": annotations, "categories": []}
    (folder / "annotations.json").write_text(json.dumps(document))


def seconds(work: Callable[[list[Path], Path], None], paths: list[Path], folder: Path) -> float:
    """Return what an export to a fresh folder takes."""
    shutil.rmtree(folder, ignore_errors=True)
    start = time.perf_counter()
    work(paths, folder)
    return time.perf_counter() - start


def masks(folder: Path) -> set[tuple[str, str]]:
    """Return (image, counts) of every annotation."""
    document = json.loads((folder / "annotations.json").read_text())
    names = {entry["id"]: entry["file_name"] for entry in document["images"]}
    return {
        (names[entry["image_id"]], entry["segmentation"]["counts"])
        for entry in document["annotations"]
    }


def size(folder: Path) -> float:
    """Return MB in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        paths = label_files(root / "maps", count)
        ours("index-png", paths[:5], root / "warm")
        print(f"{count} label maps of 480 x 360        maps/s   ratio     MB  same")
        for name, plain in (("index-png", plain_png), ("coco-rle", plain_coco)):
            pairs = [
                (
                    seconds(plain, paths, root / "plain"),
                    seconds(partial(ours, name), paths, root / "ours"),
                )
                for _ in range(3)
            ]
            theirs, mine = (min(column) for column in zip(*pairs, strict=True))
            if name == "index-png":
                same = all(
                    np.array_equal(read_source_map(root / "ours" / p.name), read_source_map(p))
                    for p in paths[:50]
                )
            else:
                same = masks(root / "ours") == masks(root / "plain")
            label = plain.__name__.replace("_", " with ").replace("png", "cv2")
            label = label.replace("coco", "pycocotools")
            print(f"  {label:28} {count / theirs:8.0f}     1.0 {size(root / 'plain'):6.1f}")
            print(
                f"  {name:28} {count / mine:8.0f} {theirs / mine:7.2f} {size(root / 'ours'):6.1f}"
                f"  {same}"
            )


if __name__ == "__main__":
    main()
