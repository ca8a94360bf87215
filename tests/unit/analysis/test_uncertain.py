"""Uncertain regions, against a slow search pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segstudio.analysis.uncertain import (
    UncertainRegion,
    component_at,
    find_uncertain,
    pack_uncertain,
    unpack_uncertain,
)
from segstudio.core.errors import CorruptProjectError


def _slow(labels, entropy, level, classes, minimal_area) -> list[set[tuple[int, int]]]:
    """Flood from every uncertain pixel that no flood has reached."""
    height, width = labels.shape
    seen: set[tuple[int, int]] = set()
    found = []
    for start in np.ndindex(height, width):
        if start in seen or entropy[start] < level or labels[start] >= classes:
            continue
        region, front = {start}, [start]
        while front:
            row, column = front.pop()
            for near in np.ndindex(3, 3):
                at = row + near[0] - 1, column + near[1] - 1
                if not (0 <= at[0] < height and 0 <= at[1] < width) or at in region:
                    continue
                if labels[at] == labels[start] and entropy[at] >= level:
                    region.add(at)
                    front.append(at)
        seen |= region
        if len(region) >= minimal_area:
            found.append(region)
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 255), st.integers(1, 6))
def test_they_are_what_a_slow_search_finds(seed: int, level: int, minimal_area: int) -> None:
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 12, 2))
    labels = generator.choice(np.array([0, 1, 2, 255], np.uint8), shape)
    runner_up = generator.choice(np.array([0, 1, 2, 255], np.uint8), shape)
    entropy = generator.integers(0, 256, shape).astype(np.uint8)
    options = {"level": level, "classes": 3, "minimal_area": minimal_area}
    found = find_uncertain(labels, entropy, runner_up, **options)
    slow = _slow(labels, entropy, level, 3, minimal_area)
    assert len(found) == len(slow)
    by_anchor = {min(region): region for region in slow}
    for region in found:
        pixels = by_anchor[region.anchor]
        rows, columns = zip(*pixels, strict=True)
        assert region.area == len(pixels)
        assert (region.box.top, region.box.bottom) == (min(rows), max(rows) + 1)
        assert (region.box.left, region.box.right) == (min(columns), max(columns) + 1)
        assert region.prediction == labels[region.anchor]
        assert region.entropy_sum == sum(int(entropy[at]) for at in pixels)
        assert 0 <= region.mean_entropy <= 1
        seconds = [int(runner_up[at]) for at in pixels if runner_up[at] < 3]
        counts = np.bincount(seconds, minlength=3) if seconds else None
        assert (region.runner_up is None) == (counts is None)
        assert counts is None or counts[region.runner_up] == counts.max()
        box = region.box.slices
        candidates = (labels[box] == region.prediction) & (entropy[box] >= level)
        row, column = region.anchor
        mask = component_at(candidates, row - region.box.top, column - region.box.left)
        whole = np.zeros(shape, bool)
        whole[box] = mask
        assert {(int(row), int(column)) for row, column in np.argwhere(whole)} == pixels
    weights = [region.entropy_sum for region in found]
    assert weights == sorted(weights, reverse=True)
    assert unpack_uncertain(pack_uncertain(found), "x") == found


def test_without_a_runner_up_none_is_known() -> None:
    labels = np.zeros((5, 5), np.uint8)
    (region,) = find_uncertain(labels, np.full((5, 5), 200, np.uint8), level=128, classes=3)
    assert region.runner_up is None and region.area == 25
    assert unpack_uncertain(pack_uncertain([region]), "x") == [region]


def test_around_a_pixel_that_is_not_of_the_mask_there_is_nothing() -> None:
    mask = np.ones((6, 6), bool)
    mask[2] = False
    assert component_at(mask, 0, 0)[:2].all() and not component_at(mask, 0, 0)[2:].any()
    assert not component_at(mask, 2, 3).any()


@pytest.mark.parametrize("data", [b"", b"x" * 40, pack_uncertain([])[:-3]])
def test_damaged_data_is_a_sentence(data: bytes) -> None:
    with pytest.raises(CorruptProjectError, match=r"a\.png are damaged"):
        unpack_uncertain(data, "a.png")


def test_the_parts_of_a_region_are_kept_apart_from_the_class_beside_it() -> None:
    labels = np.repeat(np.array([[0, 1]], np.uint8), 10, 0).repeat(5, 1)
    found = find_uncertain(labels, np.full((10, 10), 255, np.uint8), level=1, classes=2)
    assert [region.area for region in found] == [50, 50]
    assert all(isinstance(region, UncertainRegion) for region in found)
