"""Areas that are drawn, regions that are found: against slow and simple ways."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from segstudio.core.types import BBox
from segstudio.editing.regions import flooded, nearest_values, small_islands
from segstudio.editing.shapes import box_between, ellipse_mask, polygon_mask
from segstudio.editing.superpixels import find_segments


def winding(points: list[tuple[float, float]], row: float, col: float) -> int:
    """Return how often a closed line goes around a point (D. Sunday's way)."""
    total = 0
    for (r0, c0), (r1, c1) in zip(points, points[1:] + points[:1], strict=True):
        left = (c1 - c0) * (row - r0) - (col - c0) * (r1 - r0)
        if r0 <= row < r1 and left > 0:
            total += 1
        elif r1 <= row < r0 and left < 0:
            total -= 1
    return total


@pytest.mark.parametrize("seed", range(12))
def test_a_polygon_is_the_pixels_whose_centre_it_winds_around(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = 31, 40
    corners = rng.uniform(-15, 55, (int(rng.integers(3, 9)), 2))
    points = [(float(row), float(col)) for row, col in corners]
    expected = np.array(
        [[winding(points, r + 0.5, c + 0.5) != 0 for c in range(width)] for r in range(height)]
    )
    found = polygon_mask(points, height=height, width=width)
    actual = np.zeros((height, width), bool)
    if found is not None:
        box, mask = found
        actual[box.slices] = mask
    np.testing.assert_array_equal(actual, expected)


def test_a_lasso_that_crosses_itself_leaves_no_hole_where_it_winds_twice() -> None:
    twice = [(0.0, 0.0), (0.0, 20.0), (20.0, 20.0), (20.0, 0.0)]
    inner = [(5.0, 5.0), (5.0, 15.0), (15.0, 15.0), (15.0, 5.0)]
    found = polygon_mask([*twice, (0.0, 0.0), *inner, (5.0, 5.0)], height=20, width=20)
    assert found is not None and found[1].all() and found[0] == BBox(0, 0, 20, 20)


def test_polygons_without_area_hold_nothing() -> None:
    small = [(1.2, 1.2), (1.3, 1.4), (1.4, 1.2)]
    for points in ([], [(3.0, 3.0)], [(1.0, 1.0), (9.0, 9.0)], small):
        assert polygon_mask(points, height=20, width=20) is None


def test_two_polygons_with_a_common_edge_share_no_pixel_and_leave_none() -> None:
    edge = [(0.0, 12.5), (30.0, 7.5)]
    left = polygon_mask([*edge, (30.0, 0.0), (0.0, 0.0)], height=30, width=20)
    right = polygon_mask([*edge, (30.0, 20.0), (0.0, 20.0)], height=30, width=20)
    assert left is not None and right is not None
    count = np.zeros((30, 20), int)
    for box, mask in (left, right):
        count[box.slices] += mask
    assert (count == 1).all()


def test_a_box_holds_the_centres_between_its_corners() -> None:
    assert box_between((7.5, 3.4), (2.6, 9.6), height=20, width=20) == BBox(3, 3, 8, 10)
    assert box_between((-9, -9), (90, 90), height=20, width=30) == BBox(0, 0, 20, 30)
    assert box_between((2.6, 2.6), (3.4, 3.4), height=9, width=9).is_empty
    assert box_between((float("nan"), 0), (5, 5), height=9, width=9).is_empty


def test_an_ellipse_is_the_centres_inside_it() -> None:
    start, end = (2.0, 30.0), (20.0, 4.0)
    box = box_between(start, end, height=40, width=40)
    mask = ellipse_mask(start, end, box)
    rows, columns = np.mgrid[box.slices]
    expected = ((rows + 0.5 - 11) / 9) ** 2 + ((columns + 0.5 - 17) / 13) ** 2 <= 1
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("diagonal", [False, True])
def test_a_flood_is_one_component(diagonal: bool) -> None:
    mask = np.random.default_rng(1).random((60, 70)) < 0.55
    structure = np.ones((3, 3)) if diagonal else None
    numbers, _ = ndimage.label(mask, structure)
    for row, col in np.argwhere(mask)[::97]:
        box, part = flooded(mask, int(row), int(col), diagonal=diagonal)
        whole = np.zeros_like(mask)
        whole[box.slices] = part
        np.testing.assert_array_equal(whole, numbers == numbers[row, col])
        assert part.any(0).all() or part.any(1).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_marked_pixels_get_the_nearest_value(dtype: type) -> None:
    rng = np.random.default_rng(2)
    label_map = rng.integers(0, 300 if dtype is np.uint16 else 9, (50, 60)).astype(dtype)
    where = rng.random((50, 60)) < 0.7
    found = nearest_values(label_map, where)
    np.testing.assert_array_equal(found[~where], label_map[~where])
    distance, (rows, columns) = ndimage.distance_transform_edt(where, return_indices=True)
    # cv2's zones err by a fraction of a pixel where two candidates are about as near.
    same = found == label_map[rows, columns]
    assert same[where & (distance <= 1)].mean() > 0.6
    held = np.pad(label_map.astype(int), 3, constant_values=-1)
    free = np.pad(~where, 3)
    for row, col in np.argwhere(where)[::53]:
        near = held[row : row + 7, col : col + 7][free[row : row + 7, col : col + 7]]
        assert not near.size or found[row, col] in near


def test_nearest_values_reach_across_tiles() -> None:
    label_map = np.zeros((40, 2100), np.uint8)
    label_map[:, 1030:] = 5
    where = np.zeros(label_map.shape, bool)
    where[:, 1000:1060] = True
    found = nearest_values(label_map, where)
    assert (found[:, :1025] == 0).all() and (found[:, 1035:] == 5).all()
    assert nearest_values(label_map, np.ones_like(where)).tolist() == label_map.tolist()


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("value", [None, 0, 2])
def test_islands_are_the_components_of_few_pixels(diagonal: bool, value: int | None) -> None:
    label_map = np.random.default_rng(4).integers(0, 3, (60, 60)).astype(np.uint16)
    label_map[20:40, 20:40] = 65535
    label_map[30, 30] = 0
    expected = np.zeros(label_map.shape, bool)
    for index in np.unique(label_map) if value is None else [value]:
        numbers, count = ndimage.label(label_map == index, np.ones((3, 3)) if diagonal else None)
        sizes = np.bincount(numbers.ravel(), minlength=count + 1)
        expected |= (numbers > 0) & (sizes[numbers] < 4)
    found = small_islands(label_map, 4, value=value, diagonal=diagonal)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("scale", [1, 3])
def test_superpixels_follow_the_photograph_and_know_their_boxes(
    scale: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if scale > 1:
        monkeypatch.setattr("segstudio.editing.superpixels._MOST_PIXELS", 100 * 90 // 8)
    image = np.full((130, 120, 3), 30, np.uint8)
    image[:, 61:] = 220
    box = BBox(20, 10, 120, 100)
    segments = find_segments(image, box, size=15, compactness=1)
    assert (segments.labels.shape == (100, 90)) == (scale == 1)
    labels = segments.labels[np.ix_(segments.rows, segments.columns)]
    assert labels.shape == (100, 90)
    left = np.unique(labels[:, : 51 - scale + 1])
    right = np.unique(labels[:, 51 + scale - 1 :])
    assert not np.intersect1d(left, right).size, "a superpixel crosses the edge"
    for number, (top, first, bottom, last) in enumerate(segments.boxes):
        rows, columns = np.nonzero(segments.labels == number)
        assert (top, first) == (rows.min(), columns.min())
        assert (bottom, last) == (rows.max() + 1, columns.max() + 1)
    where, mask = segments.area(np.array([0, len(segments.boxes) - 1]))
    whole = np.zeros((130, 120), bool)
    whole[where.slices] = mask
    np.testing.assert_array_equal(whole[box.slices], np.isin(labels, (0, len(segments.boxes) - 1)))
    probe = BBox(0, 0, 130, 120)
    some = np.random.default_rng(0).random((130, 120)) < 0.001
    assert segments.numbers(probe, some).tolist() == np.unique(labels[some[box.slices]]).tolist()
    edges = (np.diff(labels, axis=0) != 0).any() and segments.borders.any()
    assert edges and segments.borders.mean() < 0.5
