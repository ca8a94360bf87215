"""Numbers of the histograms against direct computations over single pixels."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.metrics import uncertainty
from segstudio.metrics.counts import SampleCounts

NAN = float("nan")


def pixels_of(seed, count=400, levels=256):
    """Return (levels, wrong) of single pixels: wrong ones tend to higher levels, many ties."""
    generator = np.random.default_rng(seed)
    wrong = generator.random(count) < 0.3
    center = np.where(wrong, 0.6, 0.3) * levels
    values = np.clip(generator.normal(center, 0.2 * levels), 0, levels - 1).astype(np.int64)
    return values, wrong


def histogram_of(levels, wrong):
    histogram = np.zeros((2, 256), np.int64)
    np.add.at(histogram, (wrong.astype(np.int64), levels), 1)
    return histogram


@pytest.mark.parametrize("levels", [4, 30, 256])
def test_auroc_is_the_share_of_ordered_pairs(levels):
    values, wrong = pixels_of(0, levels=levels)
    difference = values[wrong][:, None] - values[~wrong][None, :]
    expected = ((difference > 0) + 0.5 * (difference == 0)).mean()
    assert uncertainty.auroc(histogram_of(values, wrong)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("levels", [4, 30, 256])
def test_auprc_and_fpr_by_trying_every_threshold(levels):
    values, wrong = pixels_of(1, levels=levels)
    area, recall_before, rates = 0.0, 0.0, []
    for threshold in sorted(set(values.tolist()), reverse=True):
        flagged = values >= threshold
        recall = (flagged & wrong).sum() / wrong.sum()
        area += (recall - recall_before) * (flagged & wrong).sum() / flagged.sum()
        recall_before = recall
        if recall >= 0.95:
            rates.append((flagged & ~wrong).sum() / (~wrong).sum())
    histogram = histogram_of(values, wrong)
    assert uncertainty.auprc(histogram) == pytest.approx(area, abs=1e-12)
    assert uncertainty.fpr95(histogram) == pytest.approx(min(rates), abs=1e-12)


def test_fpr95_at_exactly_95_percent():
    histogram = np.zeros((2, 256), np.int64)
    histogram[1, 200], histogram[1, 10] = 19, 1
    histogram[0, 100], histogram[0, 200] = 60, 40
    assert uncertainty.fpr95(histogram) == 0.4


def test_perfect_and_useless_detection():
    histogram = np.zeros((2, 256), np.int64)
    histogram[1, 255], histogram[0, 0] = 30, 70
    assert uncertainty.auroc(histogram) == uncertainty.auprc(histogram) == 1.0
    assert uncertainty.fpr95(histogram) == 0.0
    assert uncertainty.ause(histogram) == pytest.approx(0.0, abs=1e-9)
    tied = np.zeros((2, 256), np.int64)
    tied[1, 7], tied[0, 7] = 30, 70
    assert uncertainty.auroc(tied) == 0.5
    assert uncertainty.auprc(tied) == 0.3
    assert uncertainty.fpr95(tied) == 1.0


def test_large_counts():
    """Products of counts pass 2^63 here."""
    histogram = np.zeros((2, 256), np.int64)
    histogram[0, 100] = histogram[1, 100] = 3 * 2**40
    histogram[1, 101] = 2**40
    assert uncertainty.auroc(histogram) == pytest.approx(0.25 + 0.75 / 2, abs=1e-12)


@pytest.mark.parametrize("bins", [15, 10, 7])
def test_ece_bin_by_bin(bins):
    levels, wrong = pixels_of(2, count=3000)
    histogram = histogram_of(levels, wrong)
    total = 0.0
    for index in range(bins):
        # In whole numbers: index / bins < level / 255 <= (index + 1) / bins.
        inside = (levels * bins > index * 255) & (levels * bins <= (index + 1) * 255)
        if index == 0:
            inside |= levels == 0
        if inside.any():
            gap = abs((~wrong[inside]).mean() - (levels[inside] / 255).mean())
            total += inside.sum() * gap
    assert uncertainty.ece(histogram, bins) == pytest.approx(total / len(levels), abs=1e-12)


def test_reliability_bins():
    every = np.ones((2, 256), np.int64)
    diagram = uncertainty.reliability(every)
    assert diagram.pixels.tolist() == [36] + [34] * 14
    assert diagram.upper[-1] == 1.0 and diagram.lower[0] == 0.0
    np.testing.assert_array_equal(diagram.accuracy, 0.5)
    top = np.zeros((2, 256), np.int64)
    top[0, 255] = 5
    diagram = uncertainty.reliability(top)
    assert diagram.pixels[-1] == 5 and diagram.confidence[-1] == 1.0
    assert np.isnan(diagram.accuracy[:-1]).all()
    assert uncertainty.ece(top) == 0.0


def test_equal_mass_bins_hold_equal_mass():
    levels, wrong = pixels_of(3, count=20_000)
    diagram = uncertainty.reliability(histogram_of(levels, wrong), equal_mass=True)
    assert diagram.pixels.sum() == 20_000
    assert np.abs(diagram.pixels - 20_000 / 15).max() < 400
    assert (np.diff(diagram.upper) >= 0).all()
    inside = (diagram.confidence <= diagram.upper) & (diagram.confidence >= diagram.lower)
    assert inside.all()
    single = np.zeros((2, 256), np.int64)
    single[0, 9] = 4
    assert uncertainty.ece(single, equal_mass=True) == pytest.approx(1 - 9 / 255)


def test_sparsification_pixel_by_pixel():
    levels, wrong = pixels_of(4, count=200, levels=20)
    order = np.argsort(-levels, kind="stable")
    # What a random order inside each level gives on average: each pixel weighs its level's rate.
    rate = {level: wrong[levels == level].mean() for level in set(levels.tolist())}
    expected = [np.mean([rate[level] for level in levels[order][k:]]) for k in range(200)]
    best = np.sort(wrong)[::-1]
    oracle_expected = [best[k:].mean() for k in range(200)]
    removed, error, oracle = uncertainty.sparsification(histogram_of(levels, wrong), 200)
    np.testing.assert_allclose(removed, np.arange(201) / 200)
    np.testing.assert_allclose(error[:-1], expected, atol=1e-12)
    np.testing.assert_allclose(oracle[:-1], oracle_expected, atol=1e-12)
    assert error[-1] == rate[int(levels.min())]
    assert oracle[-1] == 0.0


def test_ause_against_the_area_in_closed_form():
    """All pixels tied: the error rate e stays, the oracle falls as (e - f) / (1 - f)."""
    rate = 0.25
    tied = np.zeros((2, 256), np.int64)
    tied[1, 3], tied[0, 3] = 25, 75
    # Integral of (e - f) / (1 - f) over 0..e is e + (1 - e) log(1 - e).
    oracle = rate + (1 - rate) * np.log(1 - rate)
    assert uncertainty.ause(tied) == pytest.approx(rate - oracle, abs=1e-6)


def test_what_does_not_exist_is_nan():
    nothing = np.zeros((3, 2, 256), np.int64)
    all_right = nothing.copy()
    all_right[:, 0, 40] = 5
    all_wrong = nothing.copy()
    all_wrong[:, 1, 40] = 5
    for number in (
        uncertainty.auroc,
        uncertainty.auprc,
        uncertainty.fpr95,
        uncertainty.ause,
        uncertainty.ece,
        uncertainty.confident_error_share,
    ):
        assert np.isnan(number(nothing)), number
    for number in (uncertainty.auroc, uncertainty.auprc, uncertainty.fpr95):
        assert np.isnan(number(all_right)), number
    assert np.isnan(uncertainty.auroc(all_wrong)) and np.isnan(uncertainty.fpr95(all_wrong))
    assert uncertainty.ause(all_right) == uncertainty.ause(all_wrong) == 0.0
    assert np.isnan(uncertainty.confident_error_share(all_right))
    with pytest.raises(ValueError, match="does not end"):
        uncertainty.auroc(np.zeros((2, 255)))


def test_error_shares():
    histogram = np.zeros((2, 2, 256), np.int64)
    histogram[0, 1, 25], histogram[0, 1, 26] = 3, 1
    histogram[1, 1, 127], histogram[1, 1, 128] = 2, 4
    histogram[0, 0, 0] = 100
    assert uncertainty.confident_error_share(histogram) == 0.3
    assert uncertainty.unsure_error_share(histogram) == 0.4
    assert uncertainty.confident_error_share(histogram[1]) == 0.0
    assert uncertainty.confident_error_share(histogram, 1.0) == 1.0


def test_edge_entropy_ratio():
    confusion = np.zeros((2, 3), np.int64)
    counts = SampleCounts.from_dense(confusion, edge=(600, 10), inner=(200, 20))
    assert uncertainty.edge_entropy_ratio(counts) == 6.0
    for edge, inner in (((0, 0), (200, 20)), ((600, 10), (0, 0)), ((600, 10), (0, 5))):
        counts = SampleCounts.from_dense(confusion, edge=edge, inner=inner)
        assert np.isnan(uncertainty.edge_entropy_ratio(counts))
