"""Boundary IoU against the published formula class by class; distances against brute force."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from segstudio.core.errors import LabelValueError, SizeMismatchError, UsageError
from segstudio.metrics.boundary import (
    BoundaryCounts,
    band_width,
    boundary_band,
    boundary_distance,
    boundary_iou,
    count_boundary,
    mean_boundary_iou,
)


def make(seed, shape=(61, 83), classes=5, ignore=255, dtype=np.uint8, void=True):
    generator = np.random.default_rng(seed)
    values = np.append(np.arange(classes), ignore) if void else np.arange(classes)
    target = np.kron(generator.choice(values, (8, 11)), np.ones((8, 8), np.int64))
    prediction = np.roll(target, 2, axis=1)
    change = generator.random(target.shape) < 0.02
    prediction[change] = generator.choice(values, int(change.sum()))
    height, width = shape
    return target.astype(dtype)[:height, :width], prediction.astype(dtype)[:height, :width]


def published_band(mask, width):
    """The pixels that erosion takes from a mask, a frame of one pixel put around it first."""
    framed = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    return mask.astype(bool) & (eroded == 0)


def published_counts(target, prediction, classes, ignore, width):
    labelled = target != ignore
    intersections, unions = [], []
    for index in range(classes):
        one = published_band(target == index, width)
        other = published_band((prediction == index) & labelled, width)
        intersections.append((one & other).sum())
        unions.append((one | other).sum())
    return intersections, unions


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("classes", "ignore", "dtype"),
    [
        (5, 255, np.uint8),
        (5, 255, np.int64),
        (254, 255, np.uint8),
        (255, 255, np.uint8),
        (300, 65535, np.uint16),
    ],
)
@pytest.mark.parametrize("width", [1, 2, 7, 100])
def test_the_integers_are_those_of_the_published_formula(kernel, classes, ignore, dtype, width):
    target, prediction = make(0, classes=classes, ignore=ignore, dtype=dtype)
    counts = count_boundary(
        target, prediction, classes, ignore_index=ignore, width=width, kernel=kernel
    )
    intersections, unions = published_counts(target, prediction, classes, ignore, width)
    assert counts.intersection.tolist() == intersections
    assert counts.union.tolist() == unions
    assert sum(intersections) > 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 3), (40, 2), (61, 83)])
def test_every_shape_with_the_paper_s_width(shape):
    target, prediction = make(1, shape=shape)
    width = max(1, round(0.02 * np.hypot(*shape)))
    counts = count_boundary(target, prediction, 5)
    expected = published_counts(target, prediction, 5, 255, width)
    assert (counts.intersection.tolist(), counts.union.tolist()) == expected


def test_width_is_two_percent_of_the_diagonal():
    assert band_width((360, 480)) == 12
    assert band_width((1024, 2048)) == 46
    assert band_width((3, 3)) == 1
    assert band_width((75, 100)) == 2  # 2.5, to even


def test_two_halves_by_hand():
    target, prediction = np.zeros((2, 8, 8), np.uint8)
    target[:, 4:], prediction[:, 5:] = 1, 1
    counts = count_boundary(target, prediction, 3)
    # Class 0: rings of 20 and 22 pixels, 8 + 6 common.  Class 1: 20 and 18, 6 + 6 common.
    assert counts.intersection.tolist() == [14, 12, 0]
    assert counts.union.tolist() == [28, 26, 0]
    np.testing.assert_array_equal(boundary_iou(counts), [14 / 28, 12 / 26, np.nan])
    assert mean_boundary_iou(counts) == pytest.approx((14 / 28 + 12 / 26) / 2, abs=1e-15)


def test_a_map_agrees_with_itself():
    target, _ = make(2)
    scores = boundary_iou(count_boundary(target, target, 7))
    np.testing.assert_array_equal(scores, [1, 1, 1, 1, 1, np.nan, np.nan])


def test_a_class_that_is_only_predicted_scores_zero():
    target, prediction = np.zeros((2, 8, 8), np.uint8)
    prediction[2:5, 2:5] = 1
    assert boundary_iou(count_boundary(target, prediction, 2))[1] == 0.0


def test_nothing_is_no_score():
    void = np.full((9, 9), 255, np.uint8)
    for target in (void, np.zeros((0, 0), np.uint8), np.zeros((4, 0), np.uint8)):
        counts = count_boundary(target, np.zeros_like(target), 3)
        assert np.isnan(boundary_iou(counts)).all()
        assert np.isnan(mean_boundary_iou(counts))


def test_what_is_predicted_where_the_target_is_ignored_never_counts():
    target, prediction = make(3)
    other = prediction.copy()
    ignored = target == 255
    other[ignored] = np.random.default_rng(0).integers(0, 5, int(ignored.sum()))
    assert (other != prediction).any()
    one, two = (count_boundary(target, side, 5) for side in (prediction, other))
    assert (one.intersection == two.intersection).all() and (one.union == two.union).all()


def test_relabelling_both_sides_permutes():
    target, prediction = make(4)
    order = np.array([3, 0, 4, 1, 2])
    table = np.append(order, np.full(251, 255)).astype(np.uint8)
    one = count_boundary(target, prediction, 5)
    two = count_boundary(table[target], table[prediction], 5)
    assert two.intersection[order].tolist() == one.intersection.tolist()
    assert two.union[order].tolist() == one.union.tolist()


def test_counts_add_up_and_only_over_the_same_classes():
    one, two = (count_boundary(*make(seed), 5) for seed in (5, 6))
    both = one + two
    assert both.union.tolist() == (one.union + two.union).tolist()
    assert both.intersection.tolist() == (one.intersection + two.intersection).tolist()
    with pytest.raises(UsageError, match="over 5 and over 1 classes"):
        one + BoundaryCounts(np.zeros(1, np.int64), np.zeros(1, np.int64))


def test_band_of_a_map_that_is_read_only_and_not_contiguous():
    target, _ = make(7)
    view = target[::2, ::3]
    view.flags.writeable = False
    assert (boundary_band(view, 2) == boundary_band(view.copy(), 2)).all()


def test_bad_input_is_one_sentence():
    good = np.zeros((4, 4), np.uint8)
    with pytest.raises(SizeMismatchError, match="of a has 4 x 5 pixels"):
        count_boundary(good, np.zeros((4, 5), np.uint8), 2, name="a")
    with pytest.raises(LabelValueError, match="class index 9"):
        count_boundary(good, good + np.uint8(9), 2)
    with pytest.raises(LabelValueError, match="no label map"):
        count_boundary(good, np.zeros((4, 4, 3), np.uint8), 2)
    with pytest.raises(UsageError, match="at least 1 pixel wide"):
        count_boundary(good, good, 2, width=0)


# -- distances ------------------------------------------------------------------------------


def brute_distance(target):
    edge = np.zeros(target.shape, bool)
    height, width = target.shape
    for row, column in np.ndindex(target.shape):
        for there in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= there[0] < height and 0 <= there[1] < width:
                edge[row, column] |= target[there] != target[row, column]
    places = np.argwhere(edge)
    here = np.indices(target.shape).reshape(2, -1).T
    squares = ((here[:, None] - places[None]) ** 2).sum(2).min(1)
    return np.sqrt(squares.reshape(target.shape))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_distances_are_exact(dtype):
    target, _ = make(8, dtype=dtype, void=False)
    distance = boundary_distance(target, 5)
    assert distance.dtype == np.float32
    np.testing.assert_allclose(distance, brute_distance(target), rtol=1e-6)


def test_a_large_distance_is_exact():
    target = np.zeros((300, 400), np.uint8)
    target[0, 0] = 1
    distance = boundary_distance(target, 2)
    # Boundary pixels: the corner and its two neighbours.
    assert distance[299, 399] == pytest.approx(np.sqrt(299**2 + 398**2), rel=1e-6)


def test_boundaries_run_through_the_middle_of_an_ignore_region():
    target = np.zeros((6, 12), np.uint8)
    target[:, 7:] = 1
    target[:, 4:7] = 255  # 4 belongs to 0, 6 to 1, and 5 to either
    distance = boundary_distance(target, 2)
    for row in distance:
        assert row[0] in (4.0, 5.0) and row[11] in (5.0, 6.0)
        assert sorted(row.tolist())[:2] == [0.0, 0.0]


def test_the_border_of_an_ignore_region_is_no_boundary():
    target = np.zeros((9, 9), np.uint8)
    target[3:6, 3:6] = 255
    assert np.isinf(boundary_distance(target, 2)).all()


@pytest.mark.parametrize("value", [0, 255])
def test_without_two_classes_there_is_no_distance(value):
    assert np.isinf(boundary_distance(np.full((5, 7), value, np.uint8), 2)).all()
    assert boundary_distance(np.zeros((0, 3), np.uint8), 2).shape == (0, 3)
