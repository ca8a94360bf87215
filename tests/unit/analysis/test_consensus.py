"""Agreement of several runs: kappa and shares, checked by hand and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from segstudio.analysis.agreement import Agreement, count_agreement
from segstudio.analysis.consensus import (
    PairTotals,
    build_consensus,
    cohen_kappa,
    pixel_agreement,
)


def _counted(a: list[int], b: list[int], classes: int) -> Agreement:
    return count_agreement(
        np.array([a], np.uint8), np.array([b], np.uint8), classes, ignore_index=255
    )


def test_the_textbook_example() -> None:
    # 50 grants, two readers: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no; kappa 0.4.
    matrix = np.array([[20, 5], [10, 15]])
    assert pixel_agreement(matrix) == pytest.approx(0.7)
    assert cohen_kappa(matrix) == pytest.approx(0.4, abs=1e-12)


def test_kappa_equals_scikit_learns() -> None:
    generator = np.random.default_rng(3)
    for classes in (2, 5, 11):
        a = generator.integers(0, classes, 4000).astype(np.uint8)
        b = np.where(generator.random(4000) < 0.6, a, generator.integers(0, classes, 4000))
        matrix = _counted(a.tolist(), b.tolist(), classes).matrix
        assert cohen_kappa(matrix) == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)
        assert pixel_agreement(matrix) == pytest.approx(float((a == b).mean()), abs=1e-12)


def test_relabelling_both_changes_nothing_and_the_order_neither() -> None:
    generator = np.random.default_rng(4)
    matrix = generator.integers(0, 90, (6, 7))
    order = generator.permutation(6)
    turned = matrix[np.ix_(order, [*order, 6])]
    assert cohen_kappa(turned) == pytest.approx(cohen_kappa(matrix), abs=1e-12)
    assert cohen_kappa(matrix[:, :6].T) == pytest.approx(cohen_kappa(matrix), abs=1e-12)


def test_what_has_no_number_is_nan() -> None:
    empty = np.zeros((3, 4), np.int64)
    assert math.isnan(cohen_kappa(empty)) and math.isnan(pixel_agreement(empty))
    alone = np.zeros((3, 4), np.int64)
    alone[1, 1] = 7
    assert math.isnan(cohen_kappa(alone)), "chance alone explains one class everywhere"
    assert pixel_agreement(alone) == 1.0


def test_pixels_of_which_one_says_nothing_do_not_count() -> None:
    matrix = np.array([[3, 1, 900], [0, 4, 900]])
    assert pixel_agreement(matrix) == pytest.approx(7 / 8)
    assert cohen_kappa(matrix) == pytest.approx(cohen_kappa(matrix[:, :2]))


def test_counts_of_ten_thousand_million_pixels_stay_exact_enough() -> None:
    matrix = np.array([[20, 5], [10, 15]], np.int64) * 10**11
    assert cohen_kappa(matrix) == pytest.approx(0.4, abs=1e-12)


def test_three_runs_put_together() -> None:
    maps = {"a": [0, 0, 1, 1], "b": [0, 0, 1, 2], "c": [0, 1, 1, 2]}
    pairs = {}
    for one, other in (("a", "b"), ("a", "c"), ("b", "c")):
        totals = PairTotals(3)
        totals.add("x", _counted(maps[one], maps[other], 3))
        totals.add("y", _counted([0, 1, 2, 2], [0, 1, 2, 2], 3))
        pairs[one, other] = totals
    found = build_consensus(["a", "b", "c"], pairs)
    assert found.samples == 2
    np.testing.assert_allclose(
        found.share, [[1, 7 / 8, 6 / 8], [7 / 8, 1, 7 / 8], [6 / 8, 7 / 8, 1]]
    )
    assert found.kappa[0, 1] == found.kappa[1, 0] == cohen_kappa(pairs["a", "b"].total.matrix)
    # Of "x" 1, 2 and 1 of four pixels differ in the three pairs.
    assert found.disagreement == (("x", pytest.approx(4 / 12)), ("y", 0.0))


def test_a_pair_that_was_not_counted_is_nan() -> None:
    totals = PairTotals(3)
    totals.add("x", _counted([0, 1], [0, 2], 3))
    found = build_consensus(["a", "b", "c"], {("a", "b"): totals, ("b", "c"): PairTotals(3)})
    assert found.share[0, 1] == 0.5
    assert np.isnan(found.share[2, :2]).all() and found.share[2, 2] == 1.0
    assert set(found.pairs) == {("a", "b")}
    assert found.disagreement == (("x", 0.5),)
    assert build_consensus(["a"], {}).disagreement == ()
