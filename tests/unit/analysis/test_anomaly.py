"""Components as SegmentMeIfYouCan counts them, by hand and by plain loops; shift of a set."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from segstudio.analysis.anomaly import (
    ComponentMatch,
    match_components,
    measure_shift,
    score_components,
)


def mask(*rows):
    return np.array([[cell == "#" for cell in row] for row in rows])


def grown(area):
    """Return components (8 neighbours) as sets of pixels, by growing them."""
    left = {tuple(place) for place in np.argwhere(area)}
    found = []
    while left:
        waiting = [left.pop()]
        part = set(waiting)
        while waiting:
            row, column = waiting.pop()
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            part |= near
            waiting += near
        found.append(part)
    return found


def slow_match(target, predicted, ignored, smallest_target, smallest_predicted):
    """The definitions of the paper's section 4, set by set."""
    truth = grown(target & ~ignored)
    found = [part for part in grown(predicted & ~ignored) if len(part) >= smallest_predicted]
    small = set().union(*(part for part in truth if len(part) < smallest_target))
    truth = [part for part in truth if len(part) >= smallest_target]
    found = [part - small for part in found if part - small]
    siou = []
    for part in truth:
        touching = set().union(*(other for other in found if other & part))
        others = set().union(*(other for other in truth if other is not part))
        siou.append(len(part & touching) / len((part | touching) - others))
    everything = set().union(*truth)
    return sorted(siou), sorted(len(part & everything) / len(part) for part in found)


def test_hand_worked():
    target = mask("##..##", "##..##", "......", "#.....")
    predicted = mask("######", "......", "......", ".....#")
    found = match_components(target, predicted, smallest_target=0, smallest_predicted=0)
    # One prediction of 6 spans both squares: each sees its own 4 and the 2 between them.
    assert sorted(found.siou.tolist()) == [0.0, 2 / 6, 2 / 6]
    assert sorted(found.ppv.tolist()) == [0.0, 4 / 6]
    result = score_components([found], threshold=0.5, smallest_target=0, smallest_predicted=0)
    assert (result.targets, result.predicted) == (3, 2)
    assert result.siou == pytest.approx(2 / 9) and result.ppv == pytest.approx(1 / 3)
    # 0.25 and 0.30: 2 found, 1 missed, 1 false; to 0.65: 0 found; from 0.70: two false alarms.
    assert result.f1 == pytest.approx(2 * (2 * 2 / (2 * 2 + 1 + 1)) / 11)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("smallest", [(0, 0), (3, 5), (1, 20)])
def test_against_the_definition_set_by_set(seed, smallest):
    generator = np.random.default_rng(seed)
    blocks = [np.kron(generator.random((6, 8)) < share, np.ones((4, 4))) for share in (0.3, 0.4)]
    target = (blocks[0] > 0) ^ (generator.random((24, 32)) < 0.03)
    predicted = (blocks[1] > 0) ^ (generator.random((24, 32)) < 0.03)
    ignored = generator.random((24, 32)) < 0.05
    found = match_components(
        target,
        predicted,
        ignored=ignored,
        smallest_target=smallest[0],
        smallest_predicted=smallest[1],
    )
    siou, ppv = slow_match(target, predicted, ignored, *smallest)
    np.testing.assert_allclose(sorted(found.siou.tolist()), siou, atol=1e-12)
    np.testing.assert_allclose(sorted(found.ppv.tolist()), ppv, atol=1e-12)


def test_perfect_nothing_and_empty():
    target = mask("##..", "##..", "...#")
    perfect = match_components(target, target, smallest_target=0, smallest_predicted=0)
    assert score_components([perfect], threshold=0.1).f1 == 1.0
    missed = match_components(target, target & False, smallest_target=0, smallest_predicted=0)
    result = score_components([perfect, missed], threshold=0.1)
    assert result.siou == 0.5 and result.f1 == pytest.approx(2 / 3) and result.ppv == 1.0
    nothing = score_components([ComponentMatch(np.zeros(0), np.zeros(0))], threshold=0.1)
    assert np.isnan([nothing.siou, nothing.ppv, nothing.f1]).all()
    document = nothing.to_json()
    assert document["siou"] is None and document["targets"] == 0
    json.dumps(document, allow_nan=False)


def test_the_inputs_are_left_alone():
    target, predicted = mask("##.#", "...."), mask("#..#", "...#")
    before = target.copy(), predicted.copy()
    match_components(target, predicted, ignored=mask("#...", "...."), smallest_target=2)
    assert (target == before[0]).all() and (predicted == before[1]).all()


def accuracies(seed, count, right):
    generator = np.random.default_rng(seed)
    pixels = generator.integers(500, 1500, count)
    return np.stack([generator.binomial(pixels, right), pixels], axis=1)


def test_shift_and_drop():
    inside, outside = accuracies(0, 40, 0.9), accuracies(1, 25, 0.6)
    generator = np.random.default_rng(2)
    levels = generator.integers(0, 120, 800), generator.integers(30, 200, 500)
    histograms = [np.bincount(part, minlength=256) for part in levels]
    found = measure_shift(inside, outside, *histograms)
    labels = np.repeat([0, 1], [800, 500])
    assert found.auroc == pytest.approx(roc_auc_score(labels, np.concatenate(levels)), abs=1e-12)
    means = [part[:, 0].sum() / part[:, 1].sum() for part in (inside, outside)]
    assert found.drop == pytest.approx(means[0] - means[1], abs=1e-12)
    low, high = found.drop_interval
    assert low < found.drop < high
    # Independent draws: the spreads of both sets add up as variances do.
    plain = [
        [
            part[picks, 0].sum() / part[picks, 1].sum()
            for picks in generator.integers(0, len(part), (2000, len(part)))
        ]
        for part in (inside, outside)
    ]
    expected = np.quantile(np.subtract(*plain), [0.025, 0.975])
    np.testing.assert_allclose([low, high], expected, atol=0.12 * (expected[1] - expected[0]))
    document = found.to_json()
    assert sum(document["in_entropy"]) == 800 and sum(document["out_entropy"]) == 500
    json.dumps(document, allow_nan=False)


def test_both_sets_are_drawn_independently():
    inside = accuracies(5, 30, 0.7)
    empty = np.zeros(256, np.int64)
    found = measure_shift(inside, inside, empty, empty)
    assert found.drop == 0.0 and found.drop_interval[0] < 0 < found.drop_interval[1]


def test_shift_of_too_little():
    one, none = accuracies(3, 1, 0.5), np.zeros((0, 2), np.int64)
    empty = np.zeros(256, np.int64)
    found = measure_shift(one, none, empty, empty)
    assert np.isnan([found.auroc, found.out_accuracy, found.drop, *found.drop_interval]).all()
    json.dumps(found.to_json(), allow_nan=False)
