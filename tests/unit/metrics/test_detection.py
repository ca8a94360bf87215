"""Numbers of level histograms against scikit-learn and against single pixels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sklearn

from segstudio.metrics import detection, uncertainty
from segstudio.metrics.confusion import confusion_matrix


def pixels_of(seed, count=3000, levels=256):
    generator = np.random.default_rng(seed)
    wrong = generator.random(count) < 0.2
    center = np.where(wrong, 0.55, 0.35) * levels
    values = np.clip(generator.normal(center, 0.2 * levels), 0, levels - 1).astype(np.int64)
    return values, wrong


def histogram_of(levels, wrong):
    histogram = np.zeros((2, 256), np.int64)
    np.add.at(histogram, (wrong.astype(np.int64), levels), 1)
    return histogram


@pytest.mark.parametrize("levels", [2, 5, 40, 256])
@pytest.mark.parametrize("seed", range(3))
def test_curves_equal_scikit_learn(levels, seed):
    values, wrong = pixels_of(seed, levels=levels)
    histogram = histogram_of(values, wrong)
    assert uncertainty.auroc(histogram) == pytest.approx(
        sklearn.roc_auc_score(wrong, values), abs=1e-12
    )
    assert uncertainty.auprc(histogram) == pytest.approx(
        sklearn.average_precision_score(wrong, values), abs=1e-12
    )
    rate, found, _ = sklearn.roc_curve(wrong, values, drop_intermediate=False)
    assert uncertainty.fpr95(histogram) == pytest.approx(rate[np.argmax(found >= 0.95)], abs=1e-12)


def test_confusion_equals_scikit_learn():
    generator = np.random.default_rng(3)
    target = generator.integers(0, 7, (61, 83)).astype(np.uint8)
    prediction = generator.integers(0, 7, (61, 83)).astype(np.uint8)
    wanted = sklearn.confusion_matrix(target.ravel(), prediction.ravel(), labels=range(7))
    np.testing.assert_array_equal(confusion_matrix(target, prediction, 7)[:, :7], wanted)


def test_shift_is_the_share_of_ordered_pairs():
    inside, _ = pixels_of(4, 300, 30)
    outside = np.minimum(pixels_of(5, 200, 30)[0] + 4, 255)
    difference = outside[:, None] - inside[None, :]
    expected = ((difference > 0) + 0.5 * (difference == 0)).mean()
    sides = [np.bincount(part, minlength=256) for part in (inside, outside)]
    assert detection.shift_auroc(*sides) == pytest.approx(expected, abs=1e-12)
    assert detection.shift_auroc(sides[0], sides[0]) == pytest.approx(0.5, abs=1e-12)
    by_class = np.zeros((3, 2, 256), np.int64)
    by_class[1, 0], by_class[2, 1] = sides[0] // 2, sides[0] - sides[0] // 2
    assert detection.shift_auroc(by_class, sides[1]) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(detection.shift_auroc(np.zeros(256, np.int64), sides[1]))


def test_best_f1_by_trying_every_level():
    values, wrong = pixels_of(6, levels=60)
    level, f1 = detection.best_f1_level(histogram_of(values, wrong))
    tried = [sklearn.f1_score(wrong, values >= threshold) for threshold in range(61)]
    assert f1 == pytest.approx(max(tried), abs=1e-12)
    assert tried[level] == pytest.approx(max(tried), abs=1e-12)
    nothing = histogram_of(values, np.zeros(len(values), bool))
    assert detection.best_f1_level(nothing)[0] == 256
    assert np.isnan(detection.best_f1_level(nothing)[1])


def test_errors_are_split_at_thresholds():
    histogram = np.zeros((2, 2, 256), np.int64)
    histogram[0, 1, 25], histogram[0, 1, 26], histogram[1, 1, 127] = 3, 1, 2
    histogram[1, 1, 128], histogram[0, 0, 0] = 4, 100
    assert detection.split_errors(histogram) == detection.ErrorSplit(110, 10, 3, 3, 4)
    assert detection.split_errors(histogram, 1.0, 0.0).confident == 10
    assert detection.split_errors(histogram, 0.9, 0.1).unsure == 0
    assert detection.split_errors(histogram * 0) == detection.ErrorSplit(0, 0, 0, 0, 0)


def test_reversed_mean_and_by_class():
    values, wrong = pixels_of(7)
    histogram = histogram_of(values, wrong)
    assert detection.mean_level(histogram) == pytest.approx(values.mean() / 255, abs=1e-12)
    assert np.isnan(detection.mean_level(histogram * 0))
    turned = histogram_of(255 - values, wrong)
    np.testing.assert_array_equal(detection.reversed_levels(histogram), turned)
    classes = np.stack([histogram, histogram * 0, turned])
    found = detection.by_class(uncertainty.auroc, classes)
    assert found[0] == pytest.approx(1 - found[2], abs=1e-12) and np.isnan(found[1])
