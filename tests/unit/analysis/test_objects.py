"""Scores by object size: by hand, and against masks of components."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.analysis.objects import SIZE_EDGES, count_by_size, size_iou, size_miou
from segstudio.analysis.pair import build_pair
from segstudio.analysis.taxonomy import classify_errors
from segstudio.core.errors import UsageError
from segstudio.metrics.confusion import confusion_matrix


def counted(target, prediction, classes=5, *, edges=SIZE_EDGES):
    errors = classify_errors(build_pair(target, prediction, classes), width=2)
    return count_by_size(errors, edges=edges)


def test_eight_by_eight_by_hand():
    target, prediction = np.zeros((2, 8, 8), np.uint8)
    target[0:2, 0:2] = 1  # 4 pixels, small
    target[4:8, 4:8] = 1  # 16 pixels, large
    prediction[0:2, 0:3] = 1  # 6 pixels, medium: 4 right, 2 false
    prediction[4:8, 4:7] = 1  # 12 pixels, large: all right, 4 missed
    prediction[7, 0] = 1  # 1 pixel, small: false
    counts = counted(target, prediction, 2, edges=(5, 10))
    assert counts.hits[:, 1].tolist() == [4, 0, 12]
    assert counts.missed[:, 1].tolist() == [0, 0, 4]
    assert counts.false[:, 1].tolist() == [1, 2, 0]
    # The background is one large object on both sides: 44 pixels, 3 taken from it, 4 added.
    assert counts.hits[:, 0].tolist() == [0, 0, 41]
    assert counts.missed[:, 0].tolist() == [0, 0, 3]
    assert counts.false[:, 0].tolist() == [0, 0, 4]
    expected = [[np.nan, 4 / 5], [np.nan, 0.0], [41 / 48, 12 / 16]]
    np.testing.assert_allclose(size_iou(counts), expected, rtol=1e-15)
    np.testing.assert_allclose(size_miou(counts), [0.8, 0, (41 / 48 + 0.75) / 2], rtol=1e-15)


def test_a_bin_begins_at_its_edge():
    for area, bin_of in ((1023, 0), (1024, 1), (9215, 1), (9216, 2)):
        target = np.full((1, 10_000), 255, np.uint8)
        target[0, :area] = 0
        assert counted(target, target, 1).hits[:, 0].nonzero()[0].tolist() == [bin_of]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("edges", [(), (37,), (3, 40, 200)])
def test_equals_masks_of_components(maps, slow, seed, edges):
    target, prediction = maps(seed)
    counts = counted(target, prediction, edges=edges)
    here = np.where(target == 255, -1, target.astype(np.int64))
    there = np.where((here < 0) | (prediction == 255), -1, prediction.astype(np.int64))
    expected = np.zeros((3, len(edges) + 1, 5), np.int64)
    for side, other, tables in ((here, there, (0, 1)), (there, here, (None, 2))):
        ids = slow[0](side)
        for number in range(1, ids.max() + 1):
            mask = ids == number
            value, area = side[mask][0], mask.sum()
            bin_of = sum(area >= edge for edge in edges)
            right = int((other[mask] == value).sum())
            for table, pixels in zip(tables, (right, area - right), strict=True):
                if table is not None:
                    expected[table, bin_of, value] += pixels
    assert (np.stack([counts.hits, counts.missed, counts.false]) == expected).all()


@pytest.mark.parametrize("seed", range(4))
def test_the_bins_add_up_to_the_confusion(maps, seed):
    target, prediction = maps(seed)
    counts, whole = counted(target, prediction, edges=(10, 50)), None
    whole = confusion_matrix(target, prediction, 5)
    assert (counts.hits.sum(0) == np.diagonal(whole)).all()
    assert (counts.missed.sum(0) == whole.sum(1) - np.diagonal(whole)).all()
    assert (counts.false.sum(0) == whole[:, :5].sum(0) - np.diagonal(whole)).all()


def test_a_map_against_itself_is_perfect_in_every_bin_it_has(maps):
    target = maps(0)[0]
    scores = size_iou(counted(target, target, 6, edges=(37, 80)))
    assert set(scores[~np.isnan(scores)].tolist()) == {1.0}
    assert np.isnan(scores[:, 5]).all()


@pytest.mark.parametrize("shape", [(0, 0), (4, 4)])
def test_nothing_labelled_is_no_number(shape):
    target = np.full(shape, 255, np.uint8)
    assert np.isnan(size_miou(counted(target, np.zeros(shape, np.uint8)))).all()


@pytest.mark.parametrize("edges", [(0,), (5, 5), (9, 3), (-2, 4)])
def test_edges_that_do_not_ascend_are_refused(edges):
    good = np.zeros((4, 4), np.uint8)
    with pytest.raises(UsageError, match="ascending areas"):
        counted(good, good, 2, edges=edges)
