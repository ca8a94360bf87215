"""Run lengths against pycocotools' own, outlines against the pixels they are around."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from segstudio.exporters._polygons import coco_polygons, outer_outlines, outlines, signed_area
from segstudio.exporters._regions import find_regions


def random_map(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    label_map = rng.integers(0, 4, rng.integers(1, 40, 2)).astype(np.uint8)
    if seed % 2:
        label_map = cv2.medianBlur(label_map, 3)
    label_map[rng.random(label_map.shape) < 0.1] = 255
    return label_map


@pytest.mark.parametrize("components", [False, True])
def test_masks_are_those_of_pycocotools_to_the_byte(components: bool) -> None:
    for seed in range(60):
        label_map = random_map(seed)
        found = find_regions(label_map, 255, components=components)
        covered = np.zeros(label_map.shape, int)
        for region, encoded in zip(found.regions, found.encode(), strict=True):
            mask = found.values == region.value
            covered += mask
            theirs = mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))
            assert encoded["counts"].encode() == theirs["counts"]
            assert encoded["size"] == list(label_map.shape)
            assert region.xywh == mask_utils.toBbox(theirs).tolist()
            assert region.area == mask_utils.area(theirs) == mask.sum()
            assert (label_map[mask] == region.index).all()
            assert np.array_equal(found.mask(region), mask[region.box.slices])
        assert np.array_equal(covered, label_map != 255)


def test_components_are_opencvs_per_class() -> None:
    for seed in range(40):
        label_map = random_map(seed)
        found = find_regions(label_map, 255, components=True)
        for index in range(4):
            count, _ = cv2.connectedComponents((label_map == index).astype(np.uint8))
            assert sum(region.index == index for region in found.regions) == count - 1


@pytest.mark.parametrize("components", [False, True])
def test_16_bits_and_nothing_but_ignored(components: bool) -> None:
    deep = np.array([[65534, 300, 65535], [300, 65534, 0]], np.uint16)
    found = find_regions(deep, 65535, components=components)
    assert sorted({region.index for region in found.regions}) == [0, 300, 65534]
    assert sum(region.area for region in found.regions) == 5
    empty = find_regions(np.full((3, 4), 255, np.uint8), 255, components=components)
    assert empty.regions == [] and empty.encode() == []


def test_outlines_enclose_exactly_their_pixels() -> None:
    for seed in range(60):
        mask = random_map(seed) == 1
        found = outlines(mask)
        assert sum(signed_area(outline) for outline in found) == mask.sum()
        for outline in found:
            step = np.abs(np.diff(np.vstack([outline, outline[:1]]), axis=0))
            # Along rows and columns in turn: no corner that is none.
            assert ((step == 0).sum(1) == 1).all()
            assert (step[::2, 0] == 0).all() and (step[1::2, 1] == 0).all()


def test_polygons_without_holes_are_exact_for_pycocotools() -> None:
    exact = 0
    for seed in range(60):
        found = find_regions(random_map(seed), 255, components=True)
        masks = found.encode()
        polygons, changed = coco_polygons(found, masks)
        holes = [
            -signed_area(outline)
            for region in found.regions
            for outline in outlines(found.mask(region))
            if signed_area(outline) < 0
        ]
        # Less than the holes where a part of the region lies in one.
        assert changed <= sum(holes) and (changed == 0) == (not holes)
        exact += not holes
        assert [len(entry) for entry in polygons] == [
            len(outer_outlines(found, place)) for place in range(len(polygons))
        ]
    assert 0 < exact < 60, "both kinds have to be among the maps"


def test_a_ring_loses_its_hole_only(make_map: Callable[..., np.ndarray]) -> None:
    ring = np.full((9, 9), 255, np.uint8)
    ring[1:8, 2:8] = 3
    ring[3:5, 4:6] = 255
    found = find_regions(ring, 255, components=False)
    polygons, changed = coco_polygons(found, found.encode())
    assert polygons == [[[2, 1, 8, 1, 8, 8, 2, 8]]] and changed == 4


def test_pixels_that_touch_at_a_corner_have_outlines_of_their_own() -> None:
    assert len(outlines(np.eye(3, dtype=bool))) == 3
    assert len(outlines(~np.eye(3, dtype=bool))) == 2
