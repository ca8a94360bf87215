"""``segstudio ood`` against a recount of the files that the run left."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn import metrics as sklearn

from segstudio.core.label_space import load_label_space

HEIGHT, WIDTH = 40, 52
NAMES = load_label_space("camvid").names
CLASSES = {"person": ["Pedestrian", "Bicyclist"], "car": ["Car"]}
KINDS = {1: "person", 3: "car", 20: "sheep"}


@pytest.fixture(scope="module")
def coco(tmp_path_factory) -> Path:
    """Four photographs with boxes of people, cars and sheep, and a crowd, as COCO instances."""
    root = tmp_path_factory.mktemp("coco")
    (root / "images").mkdir()
    generator = np.random.default_rng(3)
    images, annotations = [], []
    for number in range(4):
        pixels = generator.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"{number}.png"), cv2.GaussianBlur(pixels, (0, 0), 2))
        entry = {"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH}
        images.append(entry)
        for index, (category, (top, left, bottom, right)) in enumerate(
            [(20, (2, 2, 38, 30)), (1, (5, 5, 20, 20)), (3, (10, 25, 30, 50))]
        ):
            if number == 3 and category == 1:
                continue
            polygon = [left, top, right, top, right, bottom, left, bottom]
            annotations.append(
                {
                    "id": number * 10 + index,
                    "image_id": number,
                    "category_id": category,
                    "segmentation": [polygon],
                    "iscrowd": 0,
                }
            )
    categories = [
        {"id": entry.source_id, "name": entry.name} for entry in load_label_space("coco").classes
    ]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / "instances.json").write_text(json.dumps(document))
    return root


@pytest.fixture(scope="module")
def mapping(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mapping") / "few.json"
    document = {"name": "few", "source": "coco", "target": "camvid", "classes": CLASSES}
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def outcome(segstudio, coco, mapping, tiny_model, tmp_path_factory):
    report = tmp_path_factory.mktemp("report")
    project = tmp_path_factory.mktemp("project")
    found = segstudio(
        "ood", coco, "-m", tiny_model, "--mapping", mapping, "--project", project,
        "--report", report, "--smallest-target", 4, "--smallest-predicted", 4, "--json",
    )  # fmt: skip
    assert found.status == 0, found
    return project, report, found


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def painted(number: int) -> np.ndarray:
    """The category ids of an image: the sheep is the largest, so it lies at the bottom."""
    source = np.zeros((HEIGHT, WIDTH), np.int64)
    source[2:38, 2:30] = 20
    source[10:30, 25:50] = 3
    if number != 3:
        source[5:20, 5:20] = 1
    return source


def test_it_equals_a_recount_of_the_files(outcome):
    project, _, found = outcome
    (run,) = found.document()["runs"]
    layers = {name: [] for name in ("labels", "entropy", "confidence")}
    for name, maps in layers.items():
        for number in range(4):
            maps.append(read(next((project / "runs/tiny" / name).rglob(f"{number}.png.png"))))
    labels, entropy, confidence = (np.stack(maps).astype(np.int64) for maps in layers.values())
    source = np.stack([painted(number) for number in range(4)])
    assert [entry["name"] for entry in run["categories"]] == ["person", "car", "sheep"]
    for entry, (value, name) in zip(run["categories"], KINDS.items(), strict=True):
        there = source == value
        assert entry["pixels"] == int(there.sum()) and entry["images"] == (3 if value == 1 else 4)
        right = np.isin(labels, [NAMES.index(title) for title in CLASSES.get(name, [])]) & there
        if name == "sheep":
            assert entry["recall"] is None and entry["mapped_to"] is None
        else:
            assert entry["mapped_to"] == CLASSES[name][0]
            assert entry["recall"] == pytest.approx(right.sum() / there.sum(), abs=1e-12)
        for part in entry["confused_with"]:
            share = ((labels == NAMES.index(part["name"])) & there).sum() / there.sum()
            assert part["share"] == pytest.approx(share, abs=1e-12)
        assert entry["mean_entropy"] == pytest.approx(entropy[there].mean() / 255, abs=1e-12)
        wrong = there & ~right
        sure = (entropy[wrong] < 25.5).mean() if wrong.any() else None
        assert entry["confident_error_share"] == pytest.approx(sure, abs=1e-12)
    outside, known = (source == 20)[source > 0], source > 0
    for part, score in ((run["detection"], entropy), (run["detection"]["confidence"], -confidence)):
        area = sklearn.roc_auc_score(outside, score[known])
        assert part["auroc"] == pytest.approx(area, abs=1e-9)
        area = sklearn.average_precision_score(outside, score[known])
        assert part["auprc"] == pytest.approx(area, abs=1e-9)
    assert run["detection"]["components"]["targets"] >= 4
    assert run["shift"] is None


def test_the_report_holds_the_same(outcome):
    _, report, found = outcome
    assert json.loads((report / "ood.json").read_text()) == found.document()
    rows = list(csv.DictReader((report / "categories.csv").read_text().splitlines()))
    assert [row["category"] for row in rows] == ["person", "car", "sheep"]
    assert rows[0]["mapped_to"] == "Pedestrian|Bicyclist" and rows[2]["recall"] == ""
    recall = found.document()["runs"][0]["categories"][0]["recall"]
    assert float(rows[0]["recall"]) == recall


def test_the_file_may_be_named_and_the_runs_be_there(segstudio, outcome, coco, mapping):
    project, _, found = outcome
    again = segstudio(
        "ood", coco / "instances.json", "--mapping", mapping, "--project", project,
        "--smallest-target", 4, "--smallest-predicted", 4, "--json",
    )  # fmt: skip
    assert again.status == 0, again
    assert again.document() == found.document()


def test_the_table(segstudio, outcome, coco, mapping):
    text = segstudio("ood", coco, "--mapping", mapping, "--project", outcome[0]).out
    for part in ("sheep", "(none)", "coco seen as camvid", "AUROC", "sIoU"):
        assert part in text


def test_against_data_it_was_made_for(
    segstudio, outcome, coco, mapping, tiny_model, make_dataset, tmp_path
):
    inside = make_dataset(tmp_path / "inside", 4)
    found = segstudio(
        "ood", coco, "-m", tiny_model, "--mapping", mapping, "--project", outcome[0],
        "--in-distribution", inside, "--json",
    )  # fmt: skip
    assert found.status == 0, found
    shift = found.document()["runs"][0]["shift"]
    labels = outcome[0] / "in-distribution/runs/tiny/labels/images"
    target = np.stack([read(inside / "masks" / f"{number:02}.png") for number in range(4)])
    prediction = np.stack([read(labels / f"{number:02}.png.png") for number in range(4)])
    known = target != 255
    accuracy = (target == prediction)[known].mean()
    assert shift["in_accuracy"] == pytest.approx(accuracy, abs=1e-12)
    assert sum(shift["in_entropy"]) == int(known.sum())
    assert shift["accuracy_drop"] == pytest.approx(accuracy - shift["out_accuracy"], abs=1e-12)
    low, high = shift["accuracy_drop_interval"]
    assert low <= shift["accuracy_drop"] <= high


def test_a_dataset_with_its_own_ground_truth(segstudio, make_dataset, tiny_model, tmp_path):
    dataset = make_dataset(tmp_path / "data", 3)
    some = {name: [name] for name in NAMES[:5]}
    # What only the first five classes are known of; the ground truth is CamVid itself.
    path = tmp_path / "half.json"
    document = {"name": "half", "source": "camvid", "target": "camvid", "classes": some}
    path.write_text(json.dumps(document))
    found = segstudio("ood", dataset, "-m", tiny_model, "--mapping", path, "--json")
    assert found.status == 0, found
    categories = found.document()["runs"][0]["categories"]
    inside = {entry["name"] for entry in categories if entry["mapped_to"] is not None}
    assert inside == set(NAMES[:5]) & {entry["name"] for entry in categories}
    total = sum(entry["pixels"] for entry in categories)
    masks = np.stack([read(path) for path in sorted((dataset / "masks").iterdir())])
    assert total == int((masks != 255).sum())


def test_bad_input_is_a_sentence(segstudio, coco, mapping, tiny_model, make_dataset, tmp_path):
    project = ("--project", tmp_path / "p")
    assert "--mapping" in segstudio("ood", coco, "-m", tiny_model, *project).complaint()
    wrong = segstudio("ood", coco, "-m", tiny_model, "--mapping", "coco-to-ade20k", *project)
    assert wrong.status == 2 and "camvid" in wrong.err and "coco-to-ade20k" in wrong.err
    images = coco / "images"
    bare = segstudio("ood", images, "-m", tiny_model, "--mapping", mapping, *project)
    assert "no ground truth that says" in bare.complaint()
    dataset = make_dataset(tmp_path / "data", 1)
    other = segstudio("ood", dataset, "-m", tiny_model, "--mapping", mapping)
    assert "starts at coco" in other.complaint()
    unmapped = segstudio("ood", coco, "--mapping", mapping, "--project", tmp_path / "empty")
    assert "no project" in unmapped.complaint()


def test_ground_truth_of_another_size_fails_alone(segstudio, make_dataset, tiny_model, tmp_path):
    dataset = make_dataset(tmp_path / "data", 3)
    cv2.imwrite(str(dataset / "masks/01.png"), np.zeros((7, 9), np.uint8))
    path = tmp_path / "one.json"
    document = {"name": "one", "source": "camvid", "target": "camvid", "classes": {"Sky": "Sky"}}
    path.write_text(json.dumps(document))
    found = segstudio("ood", dataset, "-m", tiny_model, "--mapping", path, "--json")
    assert found.status == 1 and "7 x 9" in found.err
    result = found.document()
    assert [entry["sample_id"] for entry in result["failed"]] == ["images/01.png"]
    assert result["runs"][0]["samples"] == 2


def test_anomaly_masks_as_segment_me_if_you_can_ships_them(segstudio, tiny_model, tmp_path):
    """Whatever is known is right; only the anomaly is out of the label space."""
    root = tmp_path / "anomalies"
    for folder in ("images", "labels_masks"):
        (root / folder).mkdir(parents=True)
    generator = np.random.default_rng(5)
    for number in range(2):
        pixels = generator.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"validation{number:04}.png"), pixels)
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        labels[:4], labels[10:30, 10:30] = 255, 1
        name = f"validation{number:04}_labels_semantic.png"
        cv2.imwrite(str(root / "labels_masks" / name), labels)
    found = segstudio("ood", root, "-m", tiny_model, "--mapping", "anomaly-to-camvid", "--json")
    assert found.status == 0, found
    (run,) = found.document()["runs"]
    known, anomaly = run["categories"]
    assert known["recall"] == 1.0 and anomaly["mapped_to"] is None
    assert anomaly["pixels"] == 2 * 400 and known["pixels"] == 2 * (36 * WIDTH - 400)
    assert run["detection"]["components"]["targets"] == 2
