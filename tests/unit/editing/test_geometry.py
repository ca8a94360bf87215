"""Brush geometry against the rule, pixel by pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segstudio.core.types import BBox
from segstudio.editing.geometry import (
    _swept_runs,
    anchor,
    mask_bounds,
    swept_bands,
    swept_brush,
)

HEIGHT, WIDTH = 47, 61
RIM = 1e-5
"""Pixels around the rim where rounding decides."""


def distances(
    start: tuple[float, float], end: tuple[float, float], shape: str
) -> NDArray[np.float64]:
    """Return each pixel centre's least distance to a segment: Euclidean, or the largest axis's."""
    rows, cols = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    down, right = end[0] - start[0], end[1] - start[1]
    if shape == "round":
        squared = down * down + right * right
        along = (rows - start[0]) * down + (cols - start[1]) * right
        t = np.clip(along / squared, 0, 1) if squared else np.zeros_like(rows)
        return np.hypot(rows - start[0] - t * down, cols - start[1] - t * right)
    # max(|.|, |.|) of a moving point is convex and piecewise linear in t: the least value is at an
    # end, at a zero of one of both, or where they are equal.
    dr, dc = rows - start[0], cols - start[1]
    best = np.full(rows.shape, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        times = [0 * dr, 0 * dr + 1, dr / down, dc / right]
        times += [(dr - dc) / (down - right), (dr + dc) / (down + right)]
    for t in times:
        t = np.clip(np.nan_to_num(t, posinf=0, neginf=0), 0, 1)
        best = np.minimum(best, np.maximum(abs(dr - t * down), abs(dc - t * right)))
    return best


def covered(
    start: tuple[float, float], end: tuple[float, float], size: int, shape: str
) -> NDArray[np.bool_]:
    """Return what `swept_brush` covers, in the whole image."""
    full = np.zeros((HEIGHT, WIDTH), bool)
    swept = swept_brush(start, end, size, shape=shape, height=HEIGHT, width=WIDTH)  # type: ignore[arg-type]
    if swept is not None:
        box, mask = swept
        assert mask.shape == (box.height, box.width) and mask.any()
        full[box.slices] = mask
    return full


@pytest.mark.parametrize("shape", ["round", "square"])
def test_every_pixel_whose_centre_is_within_reach_and_no_other(shape: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(400):
        size = int(rng.choice([1, 2, 3, 5, 8, 20, 37, 90]))
        start, end = rng.uniform(-20, 80, (2, 2)).tolist()
        if rng.random() < 0.4:  # straight ways and dabs
            end[int(rng.integers(2))] = start[0]
            end = start if rng.random() < 0.5 else [start[0], end[1]]
        distance = distances(start, end, shape)
        got = covered(tuple(start), tuple(end), size, shape)
        assert got[distance <= size / 2 - RIM].all()
        assert not got[distance > size / 2 + RIM].any()


@pytest.mark.parametrize("shape", ["round", "square"])
def test_ways_on_the_pixel_grid_are_exact_on_the_rim_too(shape: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        size = int(rng.integers(1, 30))
        start, end = (rng.integers(-10, 140, (2, 2)) / 2).tolist()
        if rng.random() < 0.5:
            end[0] = start[0]
        got = covered(tuple(start), tuple(end), size, shape)
        np.testing.assert_array_equal(got, distances(start, end, shape) <= size / 2 + 1e-9)


def test_wide_brushes_take_the_other_way_to_the_same_pixels() -> None:
    swept = swept_brush((300.2, 410.7), (350.9, 90.1), 401, shape="round", height=700, width=900)
    assert swept is not None
    box, mask = swept
    rows, cols = np.mgrid[box.top : box.bottom, box.left : box.right] + 0.5
    a, d = np.array([300.2, 410.7]), np.array([350.9 - 300.2, 90.1 - 410.7])
    t = np.clip(((rows - a[0]) * d[0] + (cols - a[1]) * d[1]) / (d @ d), 0, 1)
    distance = np.hypot(rows - a[0] - t * d[0], cols - a[1] - t * d[1])
    np.testing.assert_array_equal(mask, distance <= 200.5)


def test_small_brushes_take_a_way_of_their_own_to_the_same_pixels() -> None:
    rng = np.random.default_rng(4)
    for _ in range(300):
        size = int(rng.integers(1, 129))
        start, end = rng.uniform(-40, 110, (2, 2)).tolist()
        if rng.random() < 0.2:
            end = [start[0], end[1]] if rng.random() < 0.5 else start
        expected = np.zeros((HEIGHT, WIDTH), bool)
        runs = _swept_runs(tuple(start), tuple(end), size, "round", HEIGHT, WIDTH)
        if runs is not None:
            top, first, last = runs
            for row, (begin, stop) in enumerate(zip(first, last, strict=True), start=top):
                expected[row, begin:stop] = True
        np.testing.assert_array_equal(covered(tuple(start), tuple(end), size, "round"), expected)


@pytest.mark.parametrize("painted", [False, True])
@pytest.mark.parametrize("shape", ["round", "square"])
def test_boxes_hold_what_is_swept_once(shape: Any, painted: bool) -> None:
    rng = np.random.default_rng(5)
    height, width = 900, 1100
    for _ in range(60):
        size = int(rng.integers(100, 800))
        start, end = rng.uniform(-200, 1200, (2, 2)).tolist()
        if rng.random() < 0.6:  # a step of a hand
            end = (np.array(start) + rng.normal(0, 12, 2)).tolist()
        begin, finish = tuple(start), tuple(end)
        rest = {"shape": shape, "height": height, "width": width}
        count = np.zeros((height, width), int)
        for box, mask in swept_bands(begin, finish, size, painted=painted, **rest):
            assert mask.shape == (box.height, box.width) and mask.any()
            count[box.slices] += mask
        assert count.max(initial=0) <= 1
        expected = np.zeros((height, width), bool)
        there = np.zeros((height, width), bool)
        for full, way in ((expected, (begin, finish)), (there, (begin, begin))):
            swept = swept_brush(*way, size, **rest)
            if swept is not None:
                full[swept[0].slices] = swept[1]
        got = count > 0
        if not painted:
            np.testing.assert_array_equal(got, expected)
        elif size > 128:
            np.testing.assert_array_equal(got, expected & ~there)
        else:  # a small brush need not leave anything out
            assert not (got & ~expected).any() and not (expected & ~there & ~got).any()


@pytest.mark.parametrize("way", [(0.0, 12.0), (12.0, 0.0), (-9.0, 9.0)])
def test_a_step_of_a_large_brush_looks_at_little_more_than_it_adds(way: Any) -> None:
    end = 1500.0 + way[0], 1500.0 + way[1]
    step = {"shape": "round", "height": 3000, "width": 3000, "painted": True}
    boxes = list(swept_bands((1500.0, 1500.0), end, 2000, **step))
    added = sum(int(mask.sum()) for _, mask in boxes)
    looked_at = sum(mask.size for _, mask in boxes)
    assert added < looked_at < 0.1 * 2000 * 2000
    assert len(boxes) < 16


@pytest.mark.parametrize("shape", ["round", "square"])
@pytest.mark.parametrize("position", [(7.0, 9.0), (7.0, 9.99), (7.99, 9.5), (7.5, 9.5)])
def test_size_1_is_the_pixel_under_the_pointer(shape: str, position: tuple[float, float]) -> None:
    point = anchor(*position, 1, shape)  # type: ignore[arg-type]
    assert point is not None
    assert np.argwhere(covered(point, point, 1, shape)).tolist() == [[7, 9]]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9, 16])
def test_a_square_brush_covers_its_size_wherever_it_stands(size: int) -> None:
    rng = np.random.default_rng(2)
    for row, col in rng.uniform(20, 30, (20, 2)).tolist():
        point = anchor(row, col, size, "square")
        assert point is not None
        rows, cols = np.nonzero(covered(point, point, size, "square"))
        assert len(rows) == size * size
        assert np.ptp(rows) == np.ptp(cols) == size - 1


def test_positions_that_are_none_and_images_that_are_missed() -> None:
    assert anchor(float("nan"), 1, 3, "round") is None
    assert anchor(1, float("inf"), 3, "square") is None
    for shape in ("round", "square"):
        for point in ((-30.0, 5.0), (500.0, 5.0), (5.0, -30.0), (5.0, 500.0), (-9e7, 9e7)):
            assert not covered(point, point, 20, shape).any()


def test_far_ends_do_not_bend_the_way() -> None:
    got = covered((20.5, -1e7), (20.5, 1e7), 3, "round")
    assert got[19:22].all() and got.sum() == 3 * WIDTH


def test_bounds() -> None:
    mask = np.zeros((9, 12), bool)
    assert mask_bounds(mask) is None
    mask[3, 7] = mask[5, 2] = True
    assert mask_bounds(mask) == BBox(3, 2, 6, 8)
