"""COCO's two forms, loaded and evaluated by pycocotools, panopticapi's id rule, our own readers."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segstudio.core.label_space import LabelSpace, load_label_space
from segstudio.datasets.opening import open_dataset

# pycocotools 2.0.11 decodes with an __array__ of before numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CAMVID = load_label_space("camvid")
COCO_SPACE = load_label_space("coco")


def load(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


@pytest.fixture
def maps(make_map: Callable) -> dict[str, np.ndarray]:
    return {f"a/{n}.jpg": make_map(n, 11) for n in range(6)}


@pytest.fixture
def items(maps: dict[str, np.ndarray], make_item: Callable) -> list[Any]:
    return [make_item(name, label_map) for name, label_map in maps.items()]


@pytest.mark.parametrize("regions", ["class", "component"])
def test_pycocotools_draws_the_label_map(
    maps: dict[str, np.ndarray], items: list[Any], run_export: Callable, regions: str
) -> None:
    out = run_export("coco-rle", items, CAMVID, regions=regions)
    assert out.places() == ["annotations.json"]
    theirs = load(out.folder / "annotations.json")
    names = {entry["id"]: entry["name"] for entry in theirs.loadCats(theirs.getCatIds())}
    assert list(names.values()) == CAMVID.names and min(names) == 1
    for image_id in theirs.getImgIds():
        image = theirs.imgs[image_id]
        expected = maps[image["file_name"]]
        drawn = np.full((image["height"], image["width"]), 255, np.uint8)
        for annotation in theirs.imgToAnns[image_id]:
            mask = theirs.annToMask(annotation).astype(bool)
            assert (drawn[mask] == 255).all(), "annotations do not overlap"
            drawn[mask] = CAMVID.names.index(names[annotation["category_id"]])
            rows, cols = np.nonzero(mask)
            left, top, width, height = annotation["bbox"]
            assert (left, top) == (cols.min(), rows.min())
            assert (width, height) == (np.ptp(cols) + 1, np.ptp(rows) + 1)
            assert annotation["area"] == mask.sum()
        assert np.array_equal(drawn, expected)
    ignored = sum(int((label_map == 255).sum()) for label_map in maps.values())
    lost = "Ignored pixels are in no annotation, as COCO has no such value"
    assert f"{lost} ({ignored} pixels in 6 samples)." in out.notes
    assert any("no instances" in note for note in out.notes)


@pytest.mark.parametrize("regions", ["class", "component"])
def test_pycocotools_gives_it_full_marks_against_itself(
    items: list[Any], run_export: Callable, regions: str
) -> None:
    out = run_export("coco-rle", items, CAMVID, regions=regions)
    theirs = load(out.folder / "annotations.json")
    results = [
        {key: entry[key] for key in ("image_id", "category_id", "segmentation")} | {"score": 0.9}
        for entry in theirs.dataset["annotations"]
    ]
    wrong = [entry | {"category_id": entry["category_id"] % 11 + 1} for entry in results]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(theirs, theirs.loadRes(results), "segm")
        # Noise has more regions in an image than the default looks at.
        evaluation.params.maxDets = [1, 10, 10_000]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    assert (precision > -1).any() and np.allclose(precision[precision > -1], 1.0)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(theirs, theirs.loadRes(wrong), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
    assert evaluation.eval["precision"][:, :, :, 0, -1].max() < 0.5, "the measure can fail"


def test_cocos_own_ids_are_kept(make_item: Callable, run_export: Callable) -> None:
    label_map = np.array([[0, 1, 79], [255, 255, 79]], np.uint8)
    out = run_export("coco-rle", [make_item("val/000000000139.jpg", label_map)], COCO_SPACE)
    document = json.loads((out.folder / "annotations.json").read_text())
    assert [entry["id"] for entry in document["images"]] == [139]
    assert [entry["category_id"] for entry in document["annotations"]] == [1, 2, 90]
    assert [entry["id"] for entry in document["annotations"]] == [1, 2, 3]


def test_polygons_say_what_they_lose(make_item: Callable, run_export: Callable) -> None:
    ring = np.full((9, 9), 4, np.uint8)
    ring[2:7, 2:7] = 6
    ring[4, 4] = 255
    out = run_export("coco-rle", [make_item("1.png", ring)], CAMVID, shape="polygon")
    assert (
        "Polygons differ from the label map, mostly in filled holes (26 pixels in 1 sample)."
        in out.notes
    )
    theirs = load(out.folder / "annotations.json")
    drawn = {
        entry["category_id"]: int(theirs.annToMask(entry).sum())
        for entry in theirs.dataset["annotations"]
    }
    assert drawn == {5: 81, 7: 25}


def test_an_image_without_anything_and_no_image_at_all(
    make_item: Callable, run_export: Callable, tmp_path: Path
) -> None:
    out = run_export("coco-rle", [make_item("1.png", np.full((3, 4), 255, np.uint8))], CAMVID)
    document = json.loads((out.folder / "annotations.json").read_text())
    assert document["annotations"] == [] and len(document["images"]) == 1
    out = run_export("coco-rle", [], CAMVID, to=tmp_path / "none")
    assert json.loads((out.folder / "annotations.json").read_text())["images"] == []


def test_16_bits(make_item: Callable, run_export: Callable) -> None:
    space = LabelSpace.from_json({"classes": [f"c{index}" for index in range(300)]})
    deep = np.array([[0, 299, 65535], [298, 298, 0]], np.uint16)
    out = run_export("coco-rle", [make_item("1.png", deep)], space)
    theirs = load(out.folder / "annotations.json")
    assert {entry["category_id"] for entry in theirs.dataset["annotations"]} == {1, 299, 300}
    out = run_export("coco-panoptic", [make_item("1.png", deep)], space)
    assert np.array_equal(panoptic_map(out.folder, "1.png", space), deep)


def panoptic_map(folder: Path, name: str, space: LabelSpace) -> np.ndarray:
    """Read a label map as panopticapi does: id = R + 256 G + 256^2 B, 0 is void."""
    document = json.loads((folder / "panoptic.json").read_text())
    (annotation,) = (entry for entry in document["annotations"] if entry["file_name"] == name)
    with Image.open(folder / "panoptic" / name) as picture:
        red, green, blue = np.moveaxis(np.asarray(picture).astype(np.int64), 2, 0)
    ids = red + 256 * green + 256**2 * blue
    names = {entry["id"]: entry["name"] for entry in document["categories"]}
    label_map = np.full(ids.shape, space.ignore_index, space.dtype)
    for segment in annotation["segments_info"]:
        inside = ids == segment["id"]
        rows, cols = np.nonzero(inside)
        assert segment["area"] == inside.sum() > 0
        assert segment["bbox"] == [
            *(cols.min(), rows.min()),
            *(np.ptp(cols) + 1, np.ptp(rows) + 1),
        ]
        label_map[inside] = space.names.index(names[segment["category_id"]])
    listed = {segment["id"] for segment in annotation["segments_info"]}
    assert set(np.unique(ids)) - {0} == listed
    return label_map


@pytest.mark.parametrize("regions", ["class", "component"])
@pytest.mark.parametrize("space", ["camvid", "voc"])
def test_panopticapis_rule(
    make_item: Callable, make_map: Callable, run_export: Callable, regions: str, space: str
) -> None:
    chosen = load_label_space(space)  # VOC's background is black, which is panoptic's void
    maps = {f"{n}": make_map(n, len(chosen)) for n in range(3)}
    items = [make_item(f"a/{name}.jpg", label_map) for name, label_map in maps.items()]
    out = run_export("coco-panoptic", items, chosen, regions=regions)
    for name, label_map in maps.items():
        assert np.array_equal(panoptic_map(out.folder, f"{name}.png", chosen), label_map)


@pytest.mark.parametrize(
    ("name", "form", "ignored"),
    # In a file of instances nobody can tell ignored pixels from background.
    [("coco-rle", "coco", "background"), ("coco-panoptic", "coco-panoptic", None)],
)
def test_in_out_in(
    maps: dict[str, np.ndarray],
    items: list[Any],
    run_export: Callable,
    name: str,
    form: str,
    ignored: str | None,
) -> None:
    out = run_export(name, items, CAMVID, images="copy")
    again = open_dataset(out.folder, format=form)
    space = again.label_space
    assert len(again) == 6 and space is not None
    table = np.full(256, space.ignore_index if ignored is None else space.names.index(ignored))
    table[:11] = [space.names.index(entry) for entry in CAMVID.names]
    for sample in again.samples:
        (expected,) = (m for key, m in maps.items() if sample.sample_id.endswith(key))
        assert np.array_equal(again.read_target(sample), table[expected])
