"""The report: the contract's document, numbers from counts, null where nothing exists."""

from __future__ import annotations

import json

import numpy as np
import pytest

from segstudio.core.errors import UsageError
from segstudio.core.label_space import ClassInfo, LabelSpace
from segstudio.metrics import scores
from segstudio.metrics.counts import SampleCounts, count_sample
from segstudio.metrics.report import RunCounts, build_report, format_tables

SPACE = LabelSpace(
    "traffic",
    tuple(
        ClassInfo(index, name, (index, 0, 0), index)
        for index, name in enumerate(["road", "car", "sky", "ghost"])
    ),
)


def sample(seed, absent=3):
    generator = np.random.default_rng(seed)
    target = np.kron(generator.integers(0, absent, (5, 5)), np.ones((9, 9), np.int64))
    target = target.astype(np.uint8)
    target[:3] = 255
    prediction = target.copy()
    prediction[:4] = 0
    change = generator.random(target.shape) < 0.2
    prediction[change] = generator.integers(0, absent, int(change.sum()))
    prediction[10, :4] = 255
    entropy = np.where(prediction == target, 20, 120).astype(np.uint8)
    entropy += generator.integers(0, 30, target.shape).astype(np.uint8)
    return count_sample(target, prediction, 4, entropy=entropy, confidence=255 - entropy)


def report_of(**options):
    samples = [(f"a/{seed}.png", sample(seed)) for seed in range(6)]
    failed = [("a/broken.png", "a/broken.png cannot be read.")]
    return build_report(SPACE, [RunCounts("r1", "enet", samples)], failed, **options)


def test_the_document_has_the_contract_s_shape():
    document = report_of().to_json()
    assert list(document) == ["label_space", "samples", "failed", "runs"]
    assert document["label_space"] == "traffic" and document["samples"] == 6
    assert document["failed"] == [
        {"sample_id": "a/broken.png", "error": "a/broken.png cannot be read."}
    ]
    (run,) = document["runs"]
    assert set(run) == {
        "run",
        "model",
        "pooled",
        "confusion",
        "predicted_ignore",
        "per_sample",
        "uncertainty",
    }
    assert set(run["pooled"]) == {
        "miou",
        "pixel_accuracy",
        "mean_accuracy",
        "fw_iou",
        "dice",
        "miou_interval",
        "classes",
    }
    assert set(run["pooled"]["classes"][0]) == {
        "index",
        "name",
        "iou",
        "accuracy",
        "precision",
        "dice",
        "target_pixels",
        "predicted_pixels",
    }
    assert set(run["uncertainty"]) == {
        "ece",
        "auroc",
        "auprc",
        "fpr95",
        "ause",
        "edge_entropy_ratio",
        "confident_error_share",
    }
    assert set(run["per_sample"][0]) == {"sample_id", "miou", "pixel_accuracy", "classes"}
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_numbers_equal_the_counts():
    report = report_of()
    run = report.to_json()["runs"][0]
    total = sum(sample(seed).confusion() for seed in range(6))
    assert run["confusion"] == total[:, :4].tolist()
    assert run["predicted_ignore"] == total[:, 4].tolist() and total[:, 4].sum() > 0
    assert run["pooled"]["miou"] == float(scores.mean_iou(total))
    assert run["pooled"]["pixel_accuracy"] == np.trace(total) / total.sum()
    low, high = run["pooled"]["miou_interval"]
    assert low < run["pooled"]["miou"] < high
    ghost = run["pooled"]["classes"][3]
    assert ghost["iou"] is None and ghost["accuracy"] is None and ghost["target_pixels"] == 0
    assert type(run["pooled"]["classes"][0]["target_pixels"]) is int
    first = run["per_sample"][0]
    own = sample(0).confusion()
    assert first["sample_id"] == "a/0.png"
    assert first["miou"] == float(scores.mean_iou(own))
    assert "ghost" not in first["classes"]
    assert first["classes"]["road"] == float(scores.iou(own)[0])
    assert 0.5 < run["uncertainty"]["auroc"] <= 1.0
    expected = np.mean([float(scores.mean_iou(sample(seed).confusion())) for seed in range(6)])
    assert report.runs[0].per_image_miou == pytest.approx(expected)


def test_an_absent_class_with_false_positives_scores_zero():
    confusion = np.zeros((4, 5), np.int64)
    confusion[0] = [6, 0, 0, 2, 0]
    report = build_report(SPACE, [("r", "m", [("x", SampleCounts.from_dense(confusion))])])
    run = report.to_json()["runs"][0]
    assert [entry["iou"] for entry in run["pooled"]["classes"]] == [0.75, None, None, 0.0]
    assert run["pooled"]["miou"] == 0.375
    assert run["per_sample"][0]["classes"] == {"road": 0.75, "ghost": 0.0}
    assert run["pooled"]["miou_interval"] == [None, None]


def test_score_has_no_uncertainty():
    assert "uncertainty" not in report_of(uncertainty=False).to_json()["runs"][0]


def test_zero_samples_and_only_ignored_ones():
    for samples in ([], [("void", SampleCounts.empty(4))]):
        document = build_report(SPACE, [("r", "m", samples)]).to_json()
        run = document["runs"][0]
        assert document["samples"] == len(samples)
        assert run["pooled"]["miou"] is None and run["pooled"]["pixel_accuracy"] is None
        assert set(run["uncertainty"].values()) == {None}
        assert [entry["miou"] for entry in run["per_sample"]] == [None] * len(samples)
        json.dumps(document, allow_nan=False)


def test_two_runs_share_their_samples():
    samples = [(f"{seed}", sample(seed)) for seed in range(3)]
    report = build_report(SPACE, [("a", "m", samples), ("b", "n", samples[:2])])
    assert report.samples == 3
    assert [len(run.per_sample) for run in report.runs] == [3, 2]


def test_another_label_space_is_refused():
    with pytest.raises(UsageError):
        build_report(SPACE, [("r", "m", [("x", SampleCounts.empty(5))])])


def test_tables():
    report = report_of()
    rows = format_tables(report)
    assert [row.name for row in rows[:4]] == SPACE.names
    assert rows[-1].kind == "mean" and "pooled" in rows[-1].name
    assert rows[-1].iou == report.runs[0].miou
    assert rows[-1].pixels == sum(row.pixels for row in rows[:-1])
    assert rows[0].accuracy == report.runs[0].classes[0].accuracy
