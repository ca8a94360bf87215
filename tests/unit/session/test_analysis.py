"""Slices and pairs of a project's runs, from a project written by hand."""

from __future__ import annotations

import itertools
import json
import os
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
        ("brightness", ["1: 0.235 to 0.235", "2: 0.784 to 0.784"]),
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


def test_what_images_look_like_is_kept_and_read_again_when_a_file_changes(project, monkeypatch):
    analysis, _ = project
    before = analysis.column("good", "brightness")
    again = Analysis(analysis.dataset, analysis.store, analysis.layout)
    looks = []
    monkeypatch.setattr(
        "segstudio.session.slice_columns.read_thumbnail",
        lambda path, edge: looks.append(path) or np.full((2, 2, 3), 255, np.uint8),
    )
    assert again.column("good", "brightness") == before and not looks
    assert len(set(again.column("good", "contrast"))) >= 1 and not looks
    first = analysis.dataset.samples[0]
    os.utime(first.image_path, ns=(1, 1))
    column = again.column("good", "brightness")
    assert looks == [first.image_path]
    assert analysis.store.image_facts()[first.sample_id].brightness == 1.0
    assert column[again.table("good").sample_ids.index(first.sample_id)].endswith(" to 1")
    for sample in analysis.dataset.samples:
        os.utime(sample.image_path, ns=(2, 2))
    with pytest.raises(CancelledError):
        again.column("good", "contrast", cancelled=lambda: len(looks) == 4)
    assert len(looks) == 4, "it stops before the next image and keeps these three"
    states = [facts.file.endswith("|2") for facts in analysis.store.image_facts().values()]
    assert sum(states) == 3


def test_columns_of_how_it_went(project):
    analysis, _ = project
    table = analysis.table("bad")
    own = dict(zip(table.sample_ids, scores.mean_iou(table.sample_totals()), strict=True))
    slices = analysis.slices("bad", "score")
    assert sum(entry.samples for entry in slices) == 8
    column = analysis.column("bad", "score")
    groups = [
        [own[key] for key, bin_ in zip(own, column, strict=True) if bin_ == name]
        for name in sorted(set(column))
    ]
    assert all(max(low) < min(high) for low, high in itertools.pairwise(groups))
    first = table.sample_ids[0]
    analysis.store.add_correction(first, analysis.label_space("bad"), None)
    analysis.store.set_review(table.sample_ids[1], "checked")
    assert analysis.column("bad", "status") == ["corrected", "checked"] + ["predicted"] * 6
    assert len(analysis.column("bad", "entropy")) == 8


def test_tags_are_columns_of_a_table_beside_the_images(project):
    analysis, _ = project
    assert analysis.columns.tags() == ()
    ids = analysis.table("good").sample_ids
    path = analysis.dataset.root / "tags.csv"
    path.write_text(f"weather,sample_id,hour\nrain,{ids[0]},7\n,{ids[1]}\nsun,unknown,9\n")
    assert analysis.columns.tags() == ("weather", "hour")
    assert analysis.column("good", "tag:weather")[:3] == ["rain", None, None]
    assert analysis.column("good", "tag:hour")[:2] == ["7", None]
    with pytest.raises(UsageError, match=r"no column 'wind'; it has weather, sample_id, hour"):
        analysis.column("good", "tag:wind")
    path.write_text("name\nrain\n")
    with pytest.raises(UsageError, match="needs a column sample_id"):
        analysis.columns.tags()
    path.write_bytes(b"\xff\xfe\x00sample_id")
    with pytest.raises(UsageError, match="cannot be read as a table of tags"):
        analysis.columns.tags()


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

    monkeypatch.setattr("segstudio.session.analysis.read_source_map", refuse)
    for name in ("read_thumbnail", "read_image_size"):
        monkeypatch.setattr(f"segstudio.session.slice_columns.{name}", refuse)
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
