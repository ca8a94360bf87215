"""Out-of-distribution numbers by hand, against scikit-learn, and the mappings they come from."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn import metrics as sklearn

from segstudio.analysis.ood import (
    CategoryCounts,
    accuracy_counts,
    build_categories,
    count_categories,
    detect,
    score_categories,
)
from segstudio.analysis.ood_report import OodRun, ood_json
from segstudio.core.errors import LabelValueError, SizeMismatchError, UsageError
from segstudio.core.label_space import (
    LabelMapping,
    LabelSpace,
    load_label_space,
    load_mapping,
    mapping_names,
)
from segstudio.core.resources import resource_path

SOURCE = LabelSpace.from_json({"name": "farm", "classes": ["sheep", "lorry", "ghost", "unseen"]})
TARGET = LabelSpace.from_json({"name": "town", "classes": ["animal", "car", "van", "road"]})
MAPPING = LabelMapping(
    "farm-to-town", "farm", "town", (("sheep", ("animal",)), ("lorry", ("van", "car")))
)
CATEGORIES = build_categories(MAPPING, SOURCE, TARGET)


def random_sample(seed, shape=(14, 17)):
    generator = np.random.default_rng(seed)
    source = generator.choice([0, 1, 2, 255], shape).astype(np.uint8)
    prediction = generator.integers(0, 4, shape).astype(np.uint8)
    entropy, confidence = generator.integers(0, 256, (2, *shape)).astype(np.uint8)
    return source, prediction, entropy, confidence


def test_hand_worked_categories():
    source = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 255, 255]], np.uint8)
    prediction = np.array([[0, 3, 3, 1], [2, 1, 3, 3], [3, 0, 0, 0]], np.uint8)
    entropy = np.array([[5, 5, 200, 26], [0, 0, 25, 100], [10, 250, 9, 9]], np.uint8)
    counts = count_categories(CATEGORIES, source, prediction, entropy, 255 - entropy)
    sheep, lorry, ghost = score_categories(CATEGORIES, counts)
    assert (sheep.name, sheep.mapped_to, sheep.images, sheep.pixels) == ("sheep", ("animal",), 1, 4)
    assert sheep.recall == sheep.recall_first == 0.25
    assert sheep.confused_with == (("road", 0.5), ("car", 0.25))
    assert sheep.mean_entropy == pytest.approx(236 / 4 / 255)
    assert sheep.confident_error_share == pytest.approx(1 / 3)  # 5 of 5, 200, 26
    assert lorry.mapped_to == ("van", "car")
    assert lorry.recall == 0.5 and lorry.recall_first == 0.25
    assert lorry.confused_with == (("road", 0.5),)
    assert lorry.confident_error_share == 0.5
    assert ghost.mapped_to == () and math.isnan(ghost.recall) and math.isnan(ghost.recall_first)
    assert ghost.confused_with == (("animal", 0.5), ("road", 0.5))
    assert ghost.confident_error_share == 0.5
    assert accuracy_counts(CATEGORIES, counts) == (3, 8)


@pytest.mark.parametrize("seed", range(3))
def test_samples_add_up_to_a_recount(seed):
    samples = [random_sample(seed * 10 + number) for number in range(5)]
    total = CategoryCounts.empty(CATEGORIES)
    for sample in samples:
        total += count_categories(CATEGORIES, *sample)
    whole = count_categories(
        CATEGORIES, *(np.concatenate(part) for part in zip(*samples, strict=True))
    )
    for name in ("joint", "entropy", "confidence"):
        np.testing.assert_array_equal(getattr(total, name), getattr(whole, name))
    assert total.images.tolist() == [5, 5, 5, 0]
    np.testing.assert_array_equal(total.joint.sum(1), total.entropy.sum((1, 2)))


def test_detection_equals_scikit_learn():
    source, prediction, entropy, confidence = random_sample(3, (60, 70))
    entropy = np.where(source == 2, entropy // 2 + 100, entropy // 8 * 8).astype(np.uint8)
    counts = count_categories(CATEGORIES, source, prediction, entropy, confidence)
    there = source != 255
    outside = (source == 2)[there]
    by_entropy, by_confidence = detect(CATEGORIES, counts)
    for found, score in (
        (by_entropy, entropy[there]),
        (by_confidence, 1 - confidence[there] / 255),
    ):
        assert found.auroc == pytest.approx(sklearn.roc_auc_score(outside, score), abs=1e-12)
        precision = sklearn.average_precision_score(outside, score)
        assert found.auprc == pytest.approx(precision, abs=1e-12)
        rate, recall, _ = sklearn.roc_curve(outside, score, drop_intermediate=False)
        assert found.fpr95 == pytest.approx(rate[np.argmax(recall >= 0.95)], abs=1e-12)


def test_without_both_kinds_there_is_no_detection():
    everything = LabelMapping("m", "farm", "town", ())
    lost = build_categories(everything, SOURCE, TARGET)
    assert lost.outside.all()
    sample = random_sample(5)
    counts = count_categories(lost, *sample)
    assert all(math.isnan(getattr(detect(lost, counts)[0], n)) for n in ("auroc", "auprc", "fpr95"))
    assert all(math.isnan(entry.recall) for entry in score_categories(lost, counts))
    assert accuracy_counts(lost, counts) == (0, 0)
    document = ood_json([OodRun("r", "m", lost, counts, 1)], [("x", "broken")])
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text)["runs"][0]["detection"]["auroc"] is None
    assert document["failed"] == [{"sample_id": "x", "error": "broken"}]
    nothing = ood_json([OodRun("r", "m", lost, CategoryCounts.empty(lost), 0)])
    assert nothing["runs"][0]["categories"] == []


def test_the_document_has_the_contracts_form():
    counts = count_categories(CATEGORIES, *random_sample(6))
    (run,) = ood_json([OodRun("run", "model", CATEGORIES, counts, 1)])["runs"]
    assert {"model", "categories", "detection"} <= set(run)
    assert {"auroc", "auprc", "fpr95"} <= set(run["detection"])
    assert [entry["mapped_to"] for entry in run["categories"]] == ["animal", "van", None]
    for entry in run["categories"]:
        contract = {"name", "mapped_to", "images", "pixels", "recall", "confused_with"}
        assert contract | {"mean_entropy", "confident_error_share"} <= set(entry)
        shares = [part["share"] for part in entry["confused_with"]]
        assert shares == sorted(shares, reverse=True) and len(shares) <= 3
        assert (entry["recall"] or 0) + sum(shares) == pytest.approx(1) or len(shares) == 3


def test_a_moved_threshold_needs_no_pixel():
    source, prediction, entropy, confidence = random_sample(7)
    counts = count_categories(CATEGORIES, source, prediction, entropy, confidence)
    ghost = score_categories(CATEGORIES, counts, confident=0.4)[2]
    assert ghost.confident_error_share == pytest.approx((entropy[source == 2] < 0.4 * 255).mean())


def test_ignored_predictions_are_wrong():
    source, prediction, entropy, confidence = random_sample(8)
    prediction[source == 0] = 255
    counts = count_categories(CATEGORIES, source, prediction, entropy, confidence)
    sheep = score_categories(CATEGORIES, counts)[0]
    assert sheep.recall == 0.0 and sheep.confused_with == ()


def test_bad_input_is_a_sentence():
    source, prediction, entropy, confidence = random_sample(9)
    with pytest.raises(SizeMismatchError, match=r"a\.jpg"):
        count_categories(CATEGORIES, source[:3], prediction, entropy, confidence, name="a.jpg")
    with pytest.raises(LabelValueError, match=r"a\.jpg holds the class index 9"):
        count_categories(CATEGORIES, source * 0 + 9, prediction, entropy, confidence, name="a.jpg")
    with pytest.raises(LabelValueError, match="class index 9"):
        count_categories(CATEGORIES, source, prediction * 0 + 9, entropy, confidence)
    with pytest.raises(UsageError, match="from farm to town, but"):
        build_categories(MAPPING, SOURCE, SOURCE)


ANIMALS = ["bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"]


@pytest.mark.parametrize("name", ["coco-to-ade20k", "coco-stuff-to-ade20k"])
def test_all_ten_animals_become_animal(name):
    mapping = load_mapping(name)
    source, target = load_label_space(mapping.source), load_label_space("ade20k")
    categories = build_categories(mapping, source, target)
    for animal in ANIMALS:
        index = source.find(animal).index
        assert np.flatnonzero(categories.allowed[index]).tolist() == [target.find("animal").index]
    animals = categories.allowed[:, target.find("animal").index]
    assert {source.names[index] for index in np.flatnonzero(animals)} == set(ANIMALS)


def test_animals_are_out_of_camvid():
    source, target = load_label_space("coco"), load_label_space("camvid")
    categories = build_categories(load_mapping("coco-to-camvid"), source, target)
    inside = {source.names[index] for index in np.flatnonzero(~categories.outside)}
    assert not inside & set(ANIMALS)
    assert {"person", "bicycle", "car", "motorcycle", "bus", "truck", "train"} <= inside


@pytest.mark.parametrize("name", mapping_names())
def test_every_mapping_says_where_it_comes_from_and_names_classes_of_both_sides(name):
    document = json.loads(resource_path("mappings", f"{name}.json").read_text(encoding="utf-8"))
    for field in ("description", "provenance"):
        assert len(document[field]) > 40 and document[field].endswith(".")
    mapping = load_mapping(name)
    source = load_label_space(mapping.source)
    target = load_label_space(mapping.target)
    for category, classes in mapping.pairs:
        assert category in source.names
        assert classes and len(set(classes)) == len(classes)
        assert all(entry in target.names for entry in classes)
    assert not build_categories(mapping, source, target).outside.all()


def test_the_mappings_that_are_promised():
    promised = {"coco-to-ade20k", "coco-to-camvid", "coco-stuff-to-ade20k", "voc-to-ade20k"}
    promised |= {"cityscapes-to-ade20k", "camvid-to-cityscapes", "cityscapes-to-camvid"}
    assert promised <= set(mapping_names())


def test_things_mean_the_same_with_and_without_stuff():
    things, stuff = (dict(load_mapping(f"{n}-to-ade20k").pairs) for n in ("coco", "coco-stuff"))
    assert {name: stuff[name] for name in things} == things
