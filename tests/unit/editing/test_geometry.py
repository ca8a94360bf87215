"""Brush geometry against the rule, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from segstudio.core.types import BBox
from segstudio.editing.geometry import anchor, mask_bounds, swept_brush

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
