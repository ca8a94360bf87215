"""Real samples of the data sets, counted a second time without SegStudio."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from segstudio.datasets.opening import open_dataset, sniff

Counts = dict[int, int]


def counted(values: np.ndarray) -> Counts:
    found, pixels = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), pixels.tolist(), strict=True))


def masks(folder: Path) -> Iterator[tuple[str, Counts]]:
    for path in sorted(folder.rglob("*.png")):
        yield path.stem, counted(np.asarray(Image.open(path)))


def voc(root: Path) -> Iterator[tuple[str, Counts]]:
    return masks(root / "SegmentationClass")


def ade20k(root: Path) -> Iterator[tuple[str, Counts]]:
    return masks(root / "annotations")


def instances(root: Path) -> Iterator[tuple[str, Counts]]:
    document = json.loads((root / "instances.json").read_text())
    for image in document["images"]:
        height, width = image["height"], image["width"]
        regions = []
        for order, entry in enumerate(document["annotations"]):
            if entry["image_id"] != image["id"]:
                continue
            runs = coco.frPyObjects(entry["segmentation"], height, width)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools' own
                mask = coco.decode(coco.merge(runs) if isinstance(runs, list) else runs) == 1
            crowd = bool(entry["iscrowd"])
            regions.append((not crowd, -int(mask.sum()), order, entry["category_id"], mask))
        painted = np.zeros((height, width), int)
        for *_, category, mask in sorted(regions, key=lambda region: region[:3]):
            painted[mask] = category
        yield Path(image["file_name"]).stem, counted(painted)


def panoptic(root: Path) -> Iterator[tuple[str, Counts]]:
    document = json.loads((root / "panoptic_examples.json").read_text())
    for entry in document["annotations"]:
        picture = Image.open(root / "panoptic_examples" / entry["file_name"])
        codes = np.asarray(picture).astype(int) @ [1, 256, 65536]
        pixels = counted(codes)
        result: Counts = {0: pixels.get(0, 0)}
        for segment in entry["segments_info"]:
            assert pixels[segment["id"]] == segment["area"]
            category = segment["category_id"]
            result[category] = result.get(category, 0) + pixels[segment["id"]]
        yield Path(entry["file_name"]).stem, result


@pytest.mark.parametrize(
    ("folder", "format", "samples", "count"),
    [
        ("voc", "voc", 4, voc),
        ("ade20k", "ade20k", 4, ade20k),
        ("coco", "coco", 112, instances),
        ("panoptic", "coco-panoptic", 2, panoptic),
    ],
)
def test_every_class_has_as_many_pixels_as_the_files_say(
    shared: Path,
    folder: str,
    format: str,
    samples: int,
    count: Callable[[Path], Iterator[tuple[str, Counts]]],
) -> None:
    dataset = open_dataset(shared / folder)
    assert dataset.format == format and len(dataset) == samples and not dataset.notes
    space = dataset.label_space
    assert space is not None
    by_stem = {Path(sample.sample_id).stem: sample for sample in dataset.samples}
    compared = 0
    for stem, expected in count(shared / folder):
        found = counted(dataset.read_target(by_stem[stem]))
        ids = {space.classes[i].source_id: n for i, n in found.items() if i != space.ignore_index}
        assert ids == {k: n for k, n in expected.items() if k not in space.ignore_ids}
        compared += 1
    assert compared == samples


def test_each_real_sample_is_known_for_what_it_is(shared: Path) -> None:
    expected = {"voc": "voc", "ade20k": "ade20k", "coco": "coco", "panoptic": "coco-panoptic"}
    for folder, name in (expected | {"camvid": "camvid"}).items():
        assert sniff(shared / folder)[0][1] == name
