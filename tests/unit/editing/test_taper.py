"""Brushes that change their size on the way: every covered pixel and no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.editing.document import MaskDocument
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.geometry import swept_bands
from segstudio.editing.taper import tapered_bands
from segstudio.editing.tool import TOOLS
from segstudio.editing.tools._painting import size_under

HEIGHT, WIDTH = 300, 70


def painted(start: Any, end: Any, sizes: tuple[int, int], shape: Any) -> np.ndarray:
    """Return what the bands cover, having seen that none covers a pixel twice."""
    count = np.zeros((HEIGHT, WIDTH), int)
    bands = tapered_bands(start, end, sizes, shape=shape, height=HEIGHT, width=WIDTH)
    for box, mask in bands:
        assert mask.shape == (box.height, box.width)
        count[box.slices] += mask
    assert count.max(initial=0) <= 1
    return count > 0


def stamped(
    start: Any, end: Any, sizes: tuple[int, int], shape: str, slack: float = 0.0
) -> np.ndarray:
    """Return the same by many dabs that lie close together and reach ``slack`` farther."""
    rows, columns = np.mgrid[0.5:HEIGHT, 0.5:WIDTH]
    covered = np.zeros((HEIGHT, WIDTH), bool)
    for part in np.linspace(0, 1, 601):
        row, col = (a + (b - a) * part for a, b in zip(start, end, strict=True))
        radius = (sizes[0] + (sizes[1] - sizes[0]) * part) / 2 + slack
        down, right = abs(rows - row), abs(columns - col)
        distance = np.hypot(down, right) if shape == "round" else np.maximum(down, right)
        covered |= distance <= radius
    return covered


@pytest.mark.parametrize("shape", ["round", "square"])
def test_it_covers_what_dabs_without_number_would(shape: str) -> None:
    generator = np.random.default_rng(3)
    for _ in range(4):
        start, end = generator.uniform(-20, (HEIGHT + 20, WIDTH + 20), (2, 2)).tolist()
        sizes = tuple(generator.integers(1, 90, 2).tolist())
        mine, theirs = painted(start, end, sizes, shape), stamped(start, end, sizes, shape)
        assert not (theirs & ~mine).any()
        # Dabs that stand apart can only miss pixels at the rim.
        assert not (mine & ~stamped(start, end, sizes, shape, 0.3)).any()


@pytest.mark.parametrize("shape", ["round", "square"])
def test_what_stood_there_before_is_left_out_of_a_large_step(shape: Any) -> None:
    generator = np.random.default_rng(5)
    size = {"shape": shape, "height": HEIGHT, "width": WIDTH}
    left_out = 0
    for _ in range(40):
        start, end = generator.uniform(-60, (HEIGHT + 60, WIDTH + 60), (2, 2)).tolist()
        sizes = tuple(generator.integers(1, 400, 2).tolist())
        count, before = np.zeros((2, HEIGHT, WIDTH), int)
        for box, mask in tapered_bands(start, end, sizes, painted=True, **size):
            count[box.slices] += mask
        for box, mask in swept_bands(start, start, sizes[0], **size):
            before[box.slices] += mask
        assert count.max(initial=0) <= 1
        np.testing.assert_array_equal((count + before) > 0, painted(start, end, sizes, shape))
        if sizes[0] > 128:
            assert not (count & before).any()
            left_out += before.sum()
    assert left_out


@pytest.mark.parametrize("shape", ["round", "square"])
@pytest.mark.parametrize("end", [(60.0, 50.0), (60.0, 62.0), (90.0, 50.0), (61.0, 50.5)])
def test_upright_flat_and_standing_ways(shape: str, end: tuple[float, float]) -> None:
    start, sizes = (60.0, 50.0), (9, 41)
    mine, theirs = painted(start, end, sizes, shape), stamped(start, end, sizes, shape)
    assert not (theirs & ~mine).any()
    assert not (mine & ~stamped(start, end, sizes, shape, 0.05)).any()


def test_nothing_outside_the_image() -> None:
    assert not painted((-400.0, 20.0), (-200.0, 20.0), (3, 60), "round").any()
    assert not painted((20.0, 900.0), (20.0, 500.0), (60, 3), "square").any()


@pytest.mark.parametrize(
    ("pressure", "lightest", "size"),
    [(1.0, 10, 40), (0.0, 10, 4), (0.5, 10, 22), (0.0, 0, 1), (1.7, 0, 40), (-1.0, 25, 10)],
)
def test_the_size_follows_the_pressure(pressure: float, lightest: int, size: int) -> None:
    assert size_under(pressure, 40, lightest) == size


def _stroke(name: str, events: list[tuple[float, float]], **options: Any) -> np.ndarray:
    tool = TOOLS.get(name)()
    document = MaskDocument(np.full((60, 200), 2, np.uint8), classes=5, ignore_index=255)
    driver = StrokeDriver(document, tool, active_class=1, options=tool.Options(size=30, **options))
    kinds = [PointerKind.PRESS, *[PointerKind.MOVE] * (len(events) - 2), PointerKind.RELEASE]
    for kind, (col, pressure) in zip(kinds, events, strict=True):
        driver.handle(PointerEvent(kind, 30.0, col, pressure))
    return document.label_map != 2


@pytest.mark.parametrize("name", ["brush", "eraser"])
@pytest.mark.parametrize("shape", ["round", "square"])
def test_pressure_changes_the_width_only_when_asked(name: str, shape: str) -> None:
    way = [(30.0, 0.2), (80.0, 0.2), (130.0, 1.0), (170.0, 1.0), (170.0, 0.0)]
    full = _stroke(name, way, shape=shape).sum(axis=0)
    assert full[30] == full[80] == full[150] == 30
    thin = _stroke(name, way, shape=shape, pressure="size", lightest=10).sum(axis=0)
    assert thin[40] == thin[70] == 8  # 30 * (0.1 + 0.9 * 0.2) = 8.4
    assert thin[150] == 30
    assert 8 < thin[90] < thin[100] < thin[110] < 30
    assert (np.diff(thin[80:130].astype(int)) >= 0).all()


def test_a_mouse_has_full_pressure() -> None:
    way = [(30.0, 1.0), (90.0, 1.0), (90.0, 1.0)]
    np.testing.assert_array_equal(_stroke("brush", way, pressure="size"), _stroke("brush", way))
