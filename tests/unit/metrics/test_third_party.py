"""Scores against scikit-learn's and torchmetrics', where these mean the same by a word.

Where they do not (absent classes, ends of bins), the difference is part of the test: it is what
the docstrings say.
"""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.metrics import scores, uncertainty
from segstudio.metrics.confusion import confusion_matrix
from segstudio.metrics.counts import LEVELS, count_sample

CLASSES = 6


def maps(seed, *, absent=None, invented=None):
    """Return two maps with ignored pixels; a class may be absent, or be in the prediction only."""
    generator = np.random.default_rng(seed)
    target = generator.integers(0, CLASSES, (40, 50)).astype(np.uint8)
    prediction = np.where(
        generator.random(target.shape) < 0.6, target, generator.integers(0, CLASSES, target.shape)
    ).astype(np.uint8)
    for index in (absent, invented):
        if index is not None:
            target[target == index] = (index + 1) % CLASSES
    if absent is not None:
        prediction[prediction == absent] = (absent + 1) % CLASSES
    target[generator.random(target.shape) < 0.15] = 255
    return target, prediction


CASES = [(0, None, None), (1, 2, None), (2, None, 4), (3, 0, 4)]


@pytest.mark.parametrize(("seed", "absent", "invented"), CASES)
def test_scores_equal_scikit_learn(seed, absent, invented):
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    target, prediction = maps(seed, absent=absent, invented=invented)
    counted = confusion_matrix(target, prediction, CLASSES)
    known = target != 255
    truth, guess = target[known], prediction[known]
    labels = list(range(CLASSES))
    np.testing.assert_array_equal(
        counted[:, :CLASSES], metrics.confusion_matrix(truth, guess, labels=labels)
    )
    more = {"labels": labels, "average": None, "zero_division": np.nan}
    there = scores.class_totals(counted).union > 0
    for score, theirs in (
        (scores.iou, metrics.jaccard_score),
        (scores.dice, metrics.f1_score),
    ):
        # Theirs gives 0 where a class is on neither side, ours is NaN.
        wanted = theirs(truth, guess, labels=labels, average=None, zero_division=0)
        np.testing.assert_allclose(score(counted)[there], wanted[there], atol=1e-15)
        assert np.isnan(score(counted)[~there]).all()
    assert (~there).sum() == (absent is not None)
    np.testing.assert_allclose(
        scores.precision(counted), metrics.precision_score(truth, guess, **more), atol=1e-15
    )
    np.testing.assert_allclose(
        scores.class_accuracy(counted), metrics.recall_score(truth, guess, **more), atol=1e-15
    )
    assert scores.pixel_accuracy(counted) == pytest.approx(
        metrics.accuracy_score(truth, guess), abs=1e-15
    )
    held = sorted(set(truth.tolist()))
    wanted = metrics.recall_score(truth, guess, labels=held, average="macro", zero_division=0)
    assert scores.mean_accuracy(counted) == pytest.approx(wanted, abs=1e-15)
    weighted = metrics.jaccard_score(truth, guess, labels=held, average="weighted", zero_division=0)
    assert scores.frequency_weighted_iou(counted) == pytest.approx(weighted, abs=1e-15)


def test_a_weighted_auroc_equals_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    generator = np.random.default_rng(4)
    histogram = generator.integers(0, 2**40, (2, LEVELS))
    levels = np.tile(np.arange(LEVELS), 2)
    wrong = np.repeat([0, 1], LEVELS)
    weights = histogram.reshape(-1).astype(np.float64)
    assert uncertainty.auroc(histogram) == pytest.approx(
        metrics.roc_auc_score(wrong, levels, sample_weight=weights), abs=1e-12
    )
    assert uncertainty.auprc(histogram) == pytest.approx(
        metrics.average_precision_score(wrong, levels, sample_weight=weights), abs=1e-12
    )


@pytest.mark.parametrize(("seed", "absent", "invented"), CASES)
def test_scores_equal_torchmetrics(seed, absent, invented):
    package = pytest.importorskip("torchmetrics.classification", reason="no torchmetrics here")
    import torch

    target, prediction = maps(seed, absent=absent, invented=invented)
    counted = confusion_matrix(target, prediction, CLASSES)
    truth, guess = (torch.from_numpy(part.astype(np.int64)) for part in (target, prediction))

    def theirs(name, **more):
        metric = getattr(package, f"Multiclass{name}")(CLASSES, ignore_index=255, **more)
        return metric(guess, truth).numpy()

    np.testing.assert_array_equal(counted[:, :CLASSES], theirs("ConfusionMatrix"))
    there = scores.class_totals(counted).union > 0
    for score, name in ((scores.iou, "JaccardIndex"), (scores.dice, "F1Score")):
        # Theirs counts in float32, and gives an absent class 0.
        wanted = theirs(name, average="none")
        np.testing.assert_allclose(score(counted)[there], wanted[there], atol=1e-6)
        assert (wanted[~there] == 0).all() and np.isnan(score(counted)[~there]).all()
    recall = scores.class_accuracy(counted)
    np.testing.assert_allclose(np.nan_to_num(recall), theirs("Recall", average="none"), atol=1e-6)
    assert scores.pixel_accuracy(counted) == pytest.approx(
        float(theirs("Accuracy", average="micro")), abs=1e-6
    )


def test_calibration_error_equals_torchmetrics_off_the_ends_of_bins():
    package = pytest.importorskip("torchmetrics.classification", reason="no torchmetrics here")
    import torch

    generator = np.random.default_rng(8)
    # Multiples of 17 are ends of the 15 bins: theirs are closed below, ours above.
    level = generator.choice([value for value in range(130, 255) if value % 17], 20_000)
    right = generator.random(20_000) < (level / 255) ** 2
    histogram = np.stack([np.bincount(level[right == state], minlength=LEVELS) for state in (1, 0)])
    confidence = torch.from_numpy(level / 255)
    # Two classes: the probability of the winner is the confidence.
    probabilities = torch.stack([confidence, 1 - confidence], 1)
    truth = torch.from_numpy(np.where(right, 0, 1))
    metric = package.MulticlassCalibrationError(2, n_bins=15, norm="l1")
    wanted = float(metric(probabilities, truth))
    assert uncertainty.ece(histogram) == pytest.approx(wanted, abs=1e-5)  # theirs adds in float32
    assert uncertainty.ece(histogram) > 0.1


def test_finding_errors_equals_torchmetrics():
    package = pytest.importorskip("torchmetrics.classification", reason="no torchmetrics here")
    import torch

    target, prediction = maps(5)
    generator = np.random.default_rng(5)
    entropy = generator.integers(0, 256, target.shape).astype(np.uint8)
    entropy[target != prediction] |= 64
    histogram = count_sample(target, prediction, CLASSES, entropy=entropy).entropy_histogram
    known = target != 255
    value = torch.from_numpy(entropy[known] / 255)
    wrong = torch.from_numpy((target != prediction)[known].astype(np.int64))
    for ours, name in ((uncertainty.auroc, "AUROC"), (uncertainty.auprc, "AveragePrecision")):
        wanted = float(getattr(package, f"Binary{name}")()(value, wrong))
        assert ours(histogram) == pytest.approx(wanted, abs=1e-6)
    assert uncertainty.auroc(histogram) > 0.55
