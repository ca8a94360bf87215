"""A slice is a sum of rows: against recounts of its pixels and the evaluation's numbers."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.analysis import tables
from segstudio.analysis.slices import (
    folders_of,
    group_samples,
    holds_class,
    quantile_bins,
    score_groups,
    score_slice,
)
from segstudio.analysis.tables import build_run_table
from segstudio.core.errors import UsageError
from segstudio.metrics import scores, uncertainty
from segstudio.metrics.counts import SampleCounts, count_sample, sum_counts

CLASSES = 5


def pixels_of(seed, count=12):
    """Return (target, prediction, entropy, confidence) of small images, some of them all void."""
    generator = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        target = generator.integers(0, 4 if number % 2 else CLASSES, (9, 11)).astype(np.uint8)
        target[generator.random(target.shape) < 0.1] = 255
        if number == 3:
            target[:] = 255
        keep = generator.random(target.shape) < 0.6
        prediction = np.where(keep & (target < CLASSES), target, generator.integers(0, 5, (9, 11)))
        prediction[generator.random(target.shape) < 0.02] = 255
        levels = generator.integers(0, 256, (2, 9, 11)).astype(np.uint8)
        samples.append((target, prediction.astype(np.uint8), levels[0], levels[1]))
    return samples


def counted(samples):
    return [
        (
            f"{'ab'[number % 2]}/{number}.png",
            count_sample(target, prediction, CLASSES, entropy=entropy, confidence=confidence),
        )
        for number, (target, prediction, entropy, confidence) in enumerate(samples)
    ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("at_once", [7, 1 << 20])
def test_the_sum_of_a_slice_equals_a_recount_of_its_pixels(seed, at_once, monkeypatch):
    monkeypatch.setattr(tables, "_CELLS_AT_ONCE", at_once)
    samples = pixels_of(seed)
    table = build_run_table(counted(samples), CLASSES)
    chosen = np.random.default_rng(seed).random(len(samples)) < 0.5
    chosen[0] = True
    for selection in (chosen, None):
        taken = [pixels for k, pixels in enumerate(samples) if selection is None or selection[k]]
        stacked = [np.concatenate(part) for part in zip(*taken, strict=True)]
        again = count_sample(
            stacked[0], stacked[1], CLASSES, entropy=stacked[2], confidence=stacked[3]
        )
        np.testing.assert_array_equal(table.confusion(selection), again.confusion())
        np.testing.assert_array_equal(table.entropy_by_class(selection), again.entropy_histogram)
        confidence = table.confidence_by_class(selection)
        np.testing.assert_array_equal(confidence, again.confidence_histogram)
        levels = table.levels(selection)
        np.testing.assert_array_equal(levels[0], again.entropy_histogram.sum(0))
        np.testing.assert_array_equal(levels[1], again.confidence_histogram.sum(0))
        wanted = scores.class_totals(again.confusion())
        found = table.class_totals(selection)
        for name in ("hits", "target", "predicted"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def test_a_slice_scores_as_the_evaluation_of_its_samples():
    pairs = counted(pixels_of(7, 30))
    table = build_run_table(pairs, CLASSES)
    chosen = np.arange(30) % 3 == 0
    taken = [counts for (_, counts), there in zip(pairs, chosen, strict=True) if there]
    pooled = sum_counts(taken)
    found = score_slice(table, chosen, confident=0.3, unsure=0.6)
    assert found.samples == 10 and found.pixels == pooled.labelled_pixels
    assert found.miou == pytest.approx(float(scores.mean_iou(pooled.confusion())), abs=1e-15)
    totals = scores.sample_totals(taken, CLASSES)
    assert found.miou_interval == pytest.approx(scores.bootstrap_interval(totals), abs=1e-15)
    low, high = scores.bootstrap_interval(totals, scores.iou)
    np.testing.assert_allclose(found.class_low, low)
    np.testing.assert_allclose(found.class_high, high)
    np.testing.assert_allclose(found.class_iou, scores.iou(pooled.confusion()))
    assert found.pixel_accuracy == float(scores.pixel_accuracy(pooled.confusion()))
    assert found.ece == uncertainty.ece(pooled.confidence_histogram)
    assert found.auroc == uncertainty.auroc(pooled.entropy_histogram)
    split = found.errors
    share = uncertainty.confident_error_share(pooled.entropy_histogram, 0.3)
    assert split.confident / split.wrong == share
    assert split.unsure / split.wrong == uncertainty.unsure_error_share(
        pooled.entropy_histogram, 0.6
    )
    drawn = scores.bootstrap_interval(table.sample_totals(chosen), scores.pixel_accuracy)
    assert found.pixel_accuracy_interval == pytest.approx(drawn, abs=1e-12)
    own = [float(scores.mean_iou(counts.confusion())) for counts in taken]
    assert found.per_image_miou == pytest.approx(np.nanmean(own))


def test_each_slice_has_its_own_draws():
    pairs = counted(pixels_of(8, 20))
    table = build_run_table(pairs, CLASSES)
    odd = np.arange(20) % 2 == 1
    intervals = [score_slice(table, part).miou_interval for part in (None, odd, ~odd, odd)]
    assert intervals[1] == intervals[3] and len(set(intervals)) == 3
    alone = build_run_table([pairs[k] for k in np.flatnonzero(odd)], CLASSES)
    assert score_slice(alone).miou_interval == intervals[1]


def test_groups_are_a_partition():
    pairs = counted(pixels_of(1))
    table = build_run_table(pairs, CLASSES)
    groups = score_groups(table, folders_of(table.sample_ids))
    assert [group.name for group in groups] == ["a", "b"]
    assert sum(group.pixels for group in groups) == score_slice(table).pixels
    assert sum(group.samples for group in groups) == 12
    with pytest.raises(UsageError, match="3 values for 12"):
        score_groups(table, ["x", "y", "z"])


def test_the_order_of_groups():
    assert list(group_samples(["val", None, "train", "val"])) == ["train", "val", None]
    assert list(group_samples([10, 9, 10])) == [9, 10]
    slices = group_samples(["b", "a", "b"])
    assert slices["b"].tolist() == [True, False, True]


def test_which_samples_hold_a_class():
    pairs = counted(pixels_of(2))
    table = build_run_table(pairs, CLASSES)
    there = holds_class(table, 4)
    assert there.tolist() == [bool((counts.rows == 4).any()) for _, counts in pairs]
    assert there.any() and not there.all()


def test_bins_of_numbers():
    assert quantile_bins([1, 2, 3, 4], 2) == ["1: 1 to 2", "1: 1 to 2", "2: 3 to 4", "2: 3 to 4"]
    assert quantile_bins([5.0, None, 5.0, float("nan")]) == ["1: 5 to 5", None, "1: 5 to 5", None]
    assert quantile_bins([None, None]) == [None, None]
    values = np.random.default_rng(0).random(1000).tolist()
    sizes = [int(chosen.sum()) for chosen in group_samples(quantile_bins(values)).values()]
    assert len(sizes) == 4 and max(sizes) - min(sizes) <= 2
    # Equal numbers are never apart, however many there are.
    assert len(set(quantile_bins([1.0] * 90 + [2.0] * 10))) == 2


def test_samples_are_taken_in_the_order_asked_for():
    pairs = counted(pixels_of(3))
    table = build_run_table(pairs, CLASSES)
    ids = [pairs[5][0], pairs[0][0]]
    taken = table.take(ids)
    wanted = build_run_table([pairs[5], pairs[0]], CLASSES)
    assert taken.sample_ids == tuple(ids)
    first = np.array([True, False])
    for selection in (None, first, ~first):
        np.testing.assert_array_equal(taken.confusion(selection), wanted.confusion(selection))
        np.testing.assert_array_equal(
            taken.entropy_by_class(selection), wanted.entropy_by_class(selection)
        )
    assert table.take(table.sample_ids) is table
    with pytest.raises(UsageError, match="nowhere has not been scored"):
        table.take(["nowhere"])


def test_nothing_at_all_is_nan_and_another_space_is_refused():
    empty = score_slice(build_run_table([], 3))
    assert empty.samples == empty.pixels == 0
    for value in (empty.miou, empty.pixel_accuracy, empty.ece, empty.auroc, *empty.miou_interval):
        assert np.isnan(value)
    table = build_run_table(counted(pixels_of(4)), CLASSES)
    assert np.isnan(score_slice(table, np.zeros(12, bool)).miou)
    one = score_slice(table, np.arange(12) == 1)
    assert not np.isnan(one.miou) and np.isnan(one.miou_interval[0])
    with pytest.raises(UsageError, match="another label space"):
        build_run_table([("x", SampleCounts.empty(4))], 3)


def test_large_counts_stay_whole():
    """More than 2^24 pixels in a cell, more than 2^32 in a sum."""
    confusion = np.zeros((2, 3), np.int64)
    confusion[0, 0], confusion[1, 0] = 2**31 + 1, 3
    table = build_run_table([(str(k), SampleCounts.from_dense(confusion)) for k in range(5)], 2)
    assert table.confusion()[0, 0] == 5 * (2**31 + 1)
    assert table.class_totals().predicted.tolist() == [5 * (2**31 + 4), 0]


def test_entropy_at_edges_of_a_slice():
    confusion = np.eye(2, 3, dtype=np.int64)
    pairs = [
        (str(number), SampleCounts.from_dense(confusion, edge=edge, inner=inner))
        for number, (edge, inner) in enumerate(
            [((600, 10), (200, 20)), ((9999, 1), (1, 1)), ((400, 10), (0, 30))]
        )
    ]
    table = build_run_table(pairs, 2)
    assert table.edge_entropy_ratio(np.array([True, False, True])) == (1000 / 20) / (200 / 50)
    assert np.isnan(table.edge_entropy_ratio(np.zeros(3, bool)))
