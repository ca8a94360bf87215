"""Scores against hand-worked cases; intervals against plain resampling."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.core.errors import UsageError
from segstudio.metrics import scores
from segstudio.metrics.counts import SampleCounts
from segstudio.metrics.resampling import drawn_sums, percentile_interval, weight_blocks

# Rows target; class 3 only predicted, class 4 on neither side; two ignored predictions of class 1.
HAND = np.array(
    [
        [5, 1, 0, 0, 0, 0],
        [2, 3, 0, 1, 0, 2],
        [0, 0, 4, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
)
NAN = float("nan")


def test_hand_worked():
    np.testing.assert_allclose(scores.iou(HAND), [5 / 8, 3 / 9, 1, 0, NAN], rtol=1e-15)
    np.testing.assert_allclose(scores.dice(HAND), [10 / 13, 6 / 12, 1, 0, NAN], rtol=1e-15)
    np.testing.assert_allclose(scores.precision(HAND), [5 / 7, 3 / 4, 1, 0, NAN], rtol=1e-15)
    np.testing.assert_allclose(scores.class_accuracy(HAND), [5 / 6, 3 / 8, 1, NAN, NAN], rtol=1e-15)
    assert scores.pixel_accuracy(HAND) == pytest.approx(12 / 18, rel=1e-15)
    assert scores.mean_iou(HAND) == pytest.approx((5 / 8 + 3 / 9 + 1 + 0) / 4, rel=1e-15)
    assert scores.mean_accuracy(HAND) == pytest.approx((5 / 6 + 3 / 8 + 1) / 3, rel=1e-15)
    weighted = (6 * 5 / 8 + 8 * 3 / 9 + 4) / 18
    assert scores.frequency_weighted_iou(HAND) == pytest.approx(weighted, rel=1e-15)
    expected = (12 / 18 + scores.mean_iou(HAND)) / 2
    assert scores.ade20k_score(HAND) == pytest.approx(expected, rel=1e-15)


def test_square_confusion_and_leading_axes():
    square = np.array([[3, 1], [2, 4]])
    np.testing.assert_allclose(scores.iou(square), [3 / 6, 4 / 7])
    stack = np.stack([HAND, HAND * 2, HAND * 0])
    assert scores.iou(stack).shape == (3, 5)
    np.testing.assert_array_equal(scores.mean_iou(stack)[:2], [scores.mean_iou(HAND)] * 2)
    assert np.isnan(scores.mean_iou(stack)[2])
    with pytest.raises(ValueError, match="neither"):
        scores.iou(np.zeros((3, 5)))


def test_nothing_is_nan_and_everything_right_is_one():
    empty = np.zeros((4, 5), np.int64)
    perfect = np.eye(4, 5, dtype=np.int64) * 2**40
    for score in (
        scores.mean_iou,
        scores.pixel_accuracy,
        scores.mean_accuracy,
        scores.frequency_weighted_iou,
        scores.ade20k_score,
    ):
        assert np.isnan(score(empty))
        assert score(perfect) == 1.0


def samples_of(generator, count, classes):
    confusions = generator.poisson(40, (count, classes, classes + 1))
    confusions += generator.poisson(900, (count, classes))[:, :, None] * np.eye(
        classes, classes + 1, dtype=np.int64
    )
    confusions[:, -1] = 0
    confusions[:, :, -1] = 0
    confusions[::2, 0] = 0
    confusions[::2, :, 0] = 0
    return confusions


def test_totals_of_sparse_samples_equal_the_dense_ones():
    confusions = samples_of(np.random.default_rng(0), 7, 4)
    confusions[:, 1, -1] = 9
    dense = scores.class_totals(confusions)
    sparse = scores.sample_totals([SampleCounts.from_dense(c) for c in confusions], 4)
    for name in ("hits", "target", "predicted", "union"):
        np.testing.assert_array_equal(getattr(sparse, name), getattr(dense, name))
    assert scores.sample_totals([], 4).hits.shape == (0, 4)
    with pytest.raises(UsageError):
        scores.sample_totals([SampleCounts.empty(3)], 4)


def test_interval_equals_plain_resampling():
    confusions = samples_of(np.random.default_rng(1), 30, 4)
    low, high = scores.bootstrap_interval(confusions, draws=4000)
    generator = np.random.default_rng(99)
    plain = [
        float(scores.mean_iou(confusions[generator.integers(0, 30, 30)].sum(0)))
        for _ in range(4000)
    ]
    expected = np.quantile(plain, [0.025, 0.975])
    spread = expected[1] - expected[0]
    np.testing.assert_allclose([low, high], expected, atol=0.06 * spread)
    assert low < scores.mean_iou(confusions.sum(0)) < high
    assert (low, high) == scores.bootstrap_interval(confusions, draws=4000)
    assert (low, high) != scores.bootstrap_interval(confusions, draws=4000, seed=1)


def test_quantiles_equal_numpy():
    values = np.random.default_rng(2).normal(size=(101, 3))
    values[:40, 1] = np.nan
    values[:, 2] = np.nan
    low, high = percentile_interval(values)
    np.testing.assert_allclose(low[:2], np.nanquantile(values[:, :2], 0.025, axis=0))
    np.testing.assert_allclose(high[:2], np.nanquantile(values[:, :2], 0.975, axis=0))
    assert np.isnan(low[2]) and np.isnan(high[2])


def test_paired_interval_is_narrow_where_models_share_their_spread():
    ours = samples_of(np.random.default_rng(3), 60, 4)
    diagonal = np.arange(4)
    theirs = ours.copy()
    moved = theirs[:, diagonal, diagonal] // 20
    theirs[:, diagonal, diagonal] -= moved
    theirs[:, diagonal, (diagonal + 1) % 4] += moved
    low, high = scores.bootstrap_interval(ours, other=theirs)
    assert 0 < low < high
    own = scores.bootstrap_interval(ours)
    assert high - low < (own[1] - own[0])
    assert scores.bootstrap_interval(ours, other=ours) == (0.0, 0.0)
    with pytest.raises(UsageError):
        scores.bootstrap_interval(ours, other=theirs[1:])


def test_interval_by_class_and_of_too_few_samples():
    confusions = samples_of(np.random.default_rng(4), 20, 4)
    low, high = scores.bootstrap_interval(confusions, scores.iou)
    assert low.shape == high.shape == (4,)
    pooled = scores.iou(confusions.sum(0))
    inside = ~np.isnan(pooled)
    assert (low[inside] <= pooled[inside]).all() and (pooled[inside] <= high[inside]).all()
    for few in (confusions[:1], confusions[:0]):
        assert np.isnan(scores.bootstrap_interval(few)).all()


def test_kept_draws_give_the_same_intervals():
    ours = samples_of(np.random.default_rng(5), 25, 4)
    theirs = samples_of(np.random.default_rng(6), 25, 4)
    a, b = (scores.resampled_iou(side, draws=300) for side in (ours, theirs))
    assert a.shape == (300, 5)
    for statistic, column in ((scores.mean_iou, 0), (scores.iou, slice(1, None))):
        wanted = scores.bootstrap_interval(ours, statistic, other=theirs, draws=300)
        found = percentile_interval(a[:, column] - b[:, column])
        np.testing.assert_allclose(found, wanted, atol=1e-15)
    assert np.isnan(scores.resampled_iou(ours[:1])).all()
    assert scores.resampled_iou(ours[:0]).shape == (1000, 5)


def test_draws_are_samples_with_replacement():
    blocks = list(weight_blocks(7, 4000, 3))
    weights = np.concatenate(blocks)
    assert weights.shape == (4000, 7) and (weights.sum(1) == 7).all()
    # Each sample is drawn once on average, with the variance of the multinomial.
    np.testing.assert_allclose(weights.mean(0), 1, atol=0.06)
    np.testing.assert_allclose(weights.var(0), 6 / 7, atol=0.1)
    again = np.concatenate(list(weight_blocks(7, 4000, 3)))
    np.testing.assert_array_equal(again, weights)
    assert (np.concatenate(list(weight_blocks(7, 4000, 4))) != weights).any()
    assert sum(len(block) for block in weight_blocks(2_000_000, 3, 0)) == 3


def test_samples_without_a_label_say_nothing_of_the_spread():
    counted = np.array([[[3, 1, 0], [2, 4, 0]], [[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]])
    assert np.isnan(scores.bootstrap_interval(counted)).all()
    assert np.isnan(scores.bootstrap_interval(counted, other=counted)).all()
    assert np.isnan(scores.resampled_iou(counted)).all()
    counted[1] = [[1, 5, 0], [0, 2, 0]]
    low, high = scores.bootstrap_interval(counted)
    assert 0 < low < high < 1


@pytest.mark.parametrize("share", [0.05, 1.0])
def test_sums_of_draws_are_those_of_each_draw(share):
    generator = np.random.default_rng(6)
    columns = generator.integers(1, 2**40, (3, 40, 7))
    columns[:, generator.random((40, 7)) > share] = 0
    columns[:, :, 2] = 0
    expected = [
        np.einsum("s,ksc->kc", weights.astype(np.int64), columns)
        for block in weight_blocks(40, 25, 3)
        for weights in block
    ]
    found = drawn_sums(columns, 25, 3)
    assert found.shape == (3, 25, 7)
    np.testing.assert_array_equal(found, np.swapaxes(expected, 0, 1))
