"""Slices and pairs of a project's runs, from a project written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from segstudio.core.errors import CancelledError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.datasets.opening import open_dataset
from segstudio.metrics import scores
from segstudio.metrics.counts import count_sample, sum_counts
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.analysis import Analysis

SPACE = LabelSpace.from_json({"name": "two", "classes": ["sky", "road", "car"]})
SIZES = {"train": (10, 12), "val": (20, 16)}


@pytest.fixture
def project(tmp_path):
    """Eight images in two splits, the val ones larger and darker, and two runs over them."""
    generator = np.random.default_rng(11)
    root = tmp_path / "data"
    layout = ProjectLayout(root / ".segstudio")
    targets = {}
    for split, size in SIZES.items():
        for folder in ("images", "masks"):
            (root / folder / split).mkdir(parents=True)
        for number in range(4):
            target = generator.integers(0, 2 + number % 2, size).astype(np.uint8)
            value = 200 if split == "train" else 60
            name = f"{split}/{number}.png"
            cv2.imwrite(str(root / "images" / name), np.full((*size, 3), value, np.uint8))
            cv2.imwrite(str(root / "masks" / name), target)
            targets[f"images/{name}"] = target
    (root / "label_space.json").write_text(json.dumps(SPACE.to_json()))
    layout.root.mkdir()
    store = Store(layout.database)
    for run, right in (("good", 0.9), ("bad", 0.6)):
        store.begin_run(run, run, run, SPACE, {})
        for sample_id, target in targets.items():
            kept = generator.random(target.shape) < right
            prediction = np.where(kept, target, generator.integers(0, 3, target.shape))
            for layer, values in (
                ("labels", prediction),
                ("entropy", generator.integers(0, 60, target.shape)),
                ("confidence", generator.integers(100, 256, target.shape)),
            ):
                path = layout.layer(run, layer, sample_id)
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), values.astype(np.uint8))
            store.finish_sample(run, sample_id, seconds=0.1)
    yield Analysis(open_dataset(root), store, layout), targets
    store.close()


def counts_of(analysis, run, targets, chosen):
    found = []
    for sample_id in chosen:
        maps = [
            cv2.imread(str(analysis.layout.layer(run, layer, sample_id)), cv2.IMREAD_UNCHANGED)
            for layer in ("labels", "entropy", "confidence")
        ]
        found.append(
            count_sample(targets[sample_id], maps[0], 3, entropy=maps[1], confidence=maps[2])
        )
    return sum_counts(found)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("split", ["train", "val"]),
        ("folder", ["images/train", "images/val"]),
        ("size", ["1: 120 to 120", "2: 320 to 320"]),
        ("brightness", ["1: 0.235294 to 0.235294", "2: 0.784314 to 0.784314"]),
    ],
)
def test_each_column_makes_the_same_two_slices(project, by, names):
    analysis, targets = project
    slices = analysis.slices("good", by)
    assert [entry.name for entry in slices] == names
    order = ["val", "train"] if by == "brightness" else ["train", "val"]
    for entry, split in zip(slices, order, strict=True):
        pooled = counts_of(analysis, "good", targets, [key for key in targets if split in key])
        assert entry.samples == 4 and entry.pixels == pooled.labelled_pixels
        assert entry.miou == pytest.approx(float(scores.mean_iou(pooled.confusion())), abs=1e-15)


def test_slices_by_a_class_that_is_there(project):
    analysis, targets = project
    there, without = analysis.slices("bad", "class:car")
    assert (there.name, without.name) == ("with", "without")
    assert there.samples == sum(bool((target == 2).any()) for target in targets.values()) == 4
    for by, sentence in (("class:cow", "no class 'cow'"), ("weather", "not by 'weather'")):
        with pytest.raises(UsageError, match=sentence):
            analysis.slices("bad", by)


def test_counts_are_read_once_until_more_is_done(project, monkeypatch):
    analysis, _ = project
    before = analysis.table("good")
    assert analysis.table("good") is before and len(before) == 8
    analysis.store.fail_sample("good", before.sample_ids[0], "gone")
    assert len(analysis.table("good")) == 7
    again = analysis.table("good")
    analysis.forget()
    assert analysis.table("good") is not again


def test_slices_read_no_pixel(project, monkeypatch):
    analysis, _ = project
    before = analysis.slices("good", "split")
    analysis.slices("good", "brightness")

    def refuse(*arguments):
        raise AssertionError("a pixel was read")

    for name in ("read_source_map", "read_thumbnail", "read_image_size"):
        monkeypatch.setattr(f"segstudio.session.analysis.{name}", refuse)
    for by in ("split", "brightness", "class:road"):
        analysis.slices("good", by, confident=0.2)
    assert analysis.slices("good", "split")[0].miou == before[0].miou
    comparison, failed = analysis.compare("good", "good", pixels=False)
    assert comparison.agreement is None and not failed


def test_the_better_run_wins(project):
    analysis, targets = project
    comparison, failed = analysis.compare("bad", "good")
    assert failed == [] and comparison.scored == 8
    assert comparison.miou_interval[0] > 0
    assert comparison.agreement.only_b_right > comparison.agreement.only_a_right
    assert comparison.agreement.labelled == sum(target.size for target in targets.values())
    assert comparison.wins(0) == [] and len(comparison.wins(1)) == 8


def test_only_images_of_both_runs_are_compared(project):
    analysis, targets = project
    lost = next(iter(targets))
    analysis.store.fail_sample("good", lost, "gone")
    comparison, failed = analysis.compare("bad", "good")
    assert failed == [] and comparison.scored == comparison.agreement.samples == 7
    assert lost not in {entry.sample_id for entry in comparison.samples}


def test_a_comparison_can_be_cancelled(project):
    analysis, _ = project
    asked = []
    with pytest.raises(CancelledError):
        analysis.compare("bad", "good", cancelled=lambda: len(asked) > 2 or asked.append(1))
    assert len(asked) == 3


def test_the_session_opens_the_same_door(project, tmp_path: Path):
    from segstudio.session.session import Session
    from segstudio.session.settings import Settings

    analysis, _ = project
    session = Session(Settings())
    with pytest.raises(UsageError, match="No dataset is open"):
        session.analysis()
    try:
        session.open_dataset(tmp_path / "data")
        assert session.analysis().table("good").sample_ids == analysis.table("good").sample_ids
    finally:
        session.close()
