"""COCO's instances: run lengths, polygons, what lies on top; files that are damaged or hostile."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from segstudio.core.errors import LabelValueError, NoDatasetError, SizeMismatchError
from segstudio.datasets.coco_masks import decode_counts, decode_segmentation, paint_instances
from segstudio.datasets.formats.coco import CocoFormat
from segstudio.datasets.opening import open_dataset

Put = Callable[..., Path]
SQUARE = [[1, 1, 5, 1, 5, 5, 1, 5]]


def document(**changes: Any) -> dict[str, Any]:
    image = {"id": 1, "file_name": "a.jpg", "height": 6, "width": 8}
    annotation = {"id": 10, "image_id": 1, "category_id": 3, "segmentation": SQUARE, "iscrowd": 0}
    base = {
        "images": [image],
        "annotations": [annotation],
        "categories": [{"id": 3, "name": "cell"}, {"id": 4, "name": "wall"}],
    }
    return base | changes


def annotation(category: int, segmentation: Any, *, crowd: int = 0, image: Any = 1) -> dict:
    entry = {"image_id": image, "category_id": category, "segmentation": segmentation}
    return {"id": 10, "iscrowd": crowd, **entry}


@pytest.fixture
def write(put: Put, tmp_path: Path) -> Callable[..., Path]:
    put("data/images/a.jpg")

    def make(content: Any = None, name: str = "annotations/instances_val.json") -> Path:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = document() if content is None else content
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path / "data"

    return make


@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
def test_run_lengths_are_those_of_the_coco_api(density: float) -> None:
    random = np.random.default_rng(3)
    for height, width in [(1, 1), (7, 5), (64, 200), (301, 40)]:
        mask = random.random((height, width)) < density
        packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert np.array_equal(decode_counts(packed["counts"], (height, width), "x"), mask)
        text = packed["counts"].decode()
        assert np.array_equal(decode_counts(text, (height, width), "x"), mask)
        flat = mask.T.ravel()
        edges = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
        runs = [0, *runs] if flat[0] else runs
        assert np.array_equal(decode_counts(runs, (height, width), "x"), mask)


def test_polygons_are_rasterised_as_the_coco_api_does() -> None:
    random = np.random.default_rng(5)
    for _ in range(20):
        polygons = [(random.random(12) * 60 - 5).tolist() for _ in range(2)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the API's own, with numpy 2
            runs = coco.merge(coco.frPyObjects(polygons, 40, 50))
            expected = coco.decode(runs).astype(bool)
        assert np.array_equal(decode_segmentation(polygons, (40, 50), "x"), expected)


@pytest.mark.parametrize(
    "counts",
    [
        [10**12],
        [2**70],
        [-1, 49],
        [20, 20],
        [24, 25],
        ["a"],
        [1.5, 46.5],
        [[48]],
        None,
        "é",
        "}}}}}}}}}}}}}}}}0",
        "o",
        "\x7f0",
    ],
)
def test_damaged_run_lengths_are_refused_before_they_cost_memory(counts: Any) -> None:
    with pytest.raises(LabelValueError, match=r"^here has damaged run lengths: .*\.$"):
        decode_counts(counts, (6, 8), "here")


def test_run_lengths_of_another_image_are_refused() -> None:
    for size in ([8, 6], None, [100_000, 100_000]):
        with pytest.raises(LabelValueError, match="6 x 8"):
            decode_segmentation({"size": size, "counts": [48]}, (6, 8), "here")


@pytest.mark.parametrize("points", [[1, 2, 3], ["x", 1], [float("nan")] * 6, 5, [10**400] * 6])
def test_broken_polygons_are_refused(points: Any) -> None:
    with pytest.raises(LabelValueError, match=r"^here has a polygon .*\.$"):
        decode_segmentation([points], (6, 8), "here")


def test_polygons_are_cut_off_at_the_image() -> None:
    outside = decode_segmentation([[-1e9, -1e9, 1e9, -1e9, 1e9, 1e9, -1e9, 1e9]], (6, 8), "x")
    assert outside.all()
    assert not decode_segmentation([[20, 20, 30, 20, 30, 30]], (6, 8), "x").any()
    assert not decode_segmentation([[1, 1, 5, 5]], (6, 8), "x").any()


def test_the_smaller_lies_on_top_and_crowds_below() -> None:
    large, small = [[0, 0, 8, 0, 8, 6, 0, 6]], [[2, 2, 5, 2, 5, 5, 2, 5]]
    for order in ([large, small], [small, large]):
        painted = paint_instances([annotation(3 if s is large else 4, s) for s in order], (6, 8))
        assert painted[3, 3] == 4 and painted[0, 0] == 3
    crowd = {"size": [6, 8], "counts": [0, 1, 47]}
    both = [annotation(4, crowd, crowd=1), annotation(3, large)]
    assert (paint_instances(both, (6, 8)) == 3).all()
    twice = [annotation(3, small), annotation(4, small)]
    assert paint_instances(twice, (6, 8))[3, 3] == 4
    assert (paint_instances([annotation(3, None)], (6, 8), background=9) == 9).all()


def test_opening_and_reading(write: Callable[..., Path]) -> None:
    root = write()
    dataset = open_dataset(root)
    assert (dataset.format, dataset.splits) == ("coco", ("val",))
    assert dataset.label_space is not None
    assert dataset.label_space.names == ["background", "cell", "wall"]
    target = dataset.read_target(dataset.samples[0])
    assert np.array_equal(target, decode_segmentation(SQUARE, (6, 8), "x").astype(np.uint8))
    by_file = open_dataset(root / "annotations" / "instances_val.json")
    assert by_file.root == root
    assert [s.sample_id for s in by_file.samples] == ["images/a.jpg"]


def test_coco_s_own_categories_ignore_what_nobody_annotated(
    write: Callable[..., Path], shared: Path
) -> None:
    with open(shared / "coco" / "instances.json") as stream:
        categories = json.load(stream)["categories"]
    dataset = CocoFormat.open(write(document(categories=categories)))
    assert dataset.label_space is not None and dataset.label_space.name == "coco"
    assert set(np.unique(dataset.read_target(dataset.samples[0]))) == {2, 255}


def test_images_out_of_reach_are_left_out(
    write: Callable[..., Path], put: Put, tmp_path: Path
) -> None:
    put("secret.jpg")
    put("data/images/straße 1.jpg")
    names = ["../../secret.jpg", str(tmp_path / "secret.jpg"), "C:\\x\\straße 1.jpg", "a.jpg", 7]
    images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
    dataset = CocoFormat.open(write(document(images=[*images, {"id": 3}, "x"])))
    assert [s.sample_id for s in dataset.samples] == ["images/straße 1.jpg", "images/a.jpg"]
    assert any("2 images of" in note and "secret.jpg" in note for note in dataset.notes)
    assert any("3 image entries" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [{"file_name": 1,}],\n "annotations": [], "categories": []}', "line 1, col"),
        ('{"images": [],\n"annotations": [{"file_name": "categories"', "line 2, column"),
        ('{"images": [], "categories": [], "file_name": ""}', "no lists of images"),
    ],
)
def test_broken_json_is_placed(write: Callable[..., Path], content: str, message: str) -> None:
    with pytest.raises(NoDatasetError, match=message):
        CocoFormat.open(write(content))


def test_one_broken_file_leaves_the_others(write: Callable[..., Path]) -> None:
    root = write()
    write('{"images": [], "annotations": [}, "file_name": 1', "annotations/instances_train.json")
    dataset = CocoFormat.open(root)
    assert len(dataset) == 1 and any("instances_train.json" in note for note in dataset.notes)


def test_one_broken_annotation_leaves_the_other_samples(
    write: Callable[..., Path], put: Put
) -> None:
    put("data/images/b.jpg")
    images = [{"id": "x", "file_name": "a.jpg"}, {"id": "y", "file_name": "b.jpg"}]
    shapes = [annotation(3, [[1, 2], ["?"]], image="x"), annotation(99, SQUARE, image="y")]
    dataset = CocoFormat.open(write(document(images=images, annotations=shapes)))
    with pytest.raises(LabelValueError, match=r"a.jpg, annotation 10 has a polygon"):
        dataset.read_target(dataset.sample("images/a.jpg"))
    with pytest.raises(LabelValueError, match="category that the file does not define: 99"):
        dataset.read_target(dataset.sample("images/b.jpg"))


def test_a_file_that_changed_is_noticed(write: Callable[..., Path]) -> None:
    root = write()
    dataset = CocoFormat.open(root)
    dataset.read_target(dataset.samples[0])
    path = root / "annotations" / "instances_val.json"
    text = path.read_text()
    path.write_text(text.replace('"image_id": 1', '"image_id": 2'))
    with pytest.raises(LabelValueError, match="no annotation of image 1 at byte"):
        dataset.read_target(dataset.samples[0])
    path.write_text(" " * 7 + text)
    with pytest.raises(LabelValueError, match=r"instances_val.json"):
        dataset.read_target(dataset.samples[0])


def test_run_lengths_of_another_size_than_the_image(write: Callable[..., Path]) -> None:
    runs = {"size": [60, 80], "counts": [4800]}
    dataset = CocoFormat.open(write(document(annotations=[annotation(3, runs)])))
    with pytest.raises((LabelValueError, SizeMismatchError), match="6 x 8"):
        dataset.read_target(dataset.samples[0])


def test_sniffing(write: Callable[..., Path], tmp_path: Path) -> None:
    assert CocoFormat.sniff(write()) == 0.9
    write({"shapes": []})
    assert CocoFormat.sniff(tmp_path / "data") == 0.0
    assert CocoFormat.sniff(tmp_path / "nowhere.json") == 0.0
