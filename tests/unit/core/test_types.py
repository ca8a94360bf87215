"""Boxes and the stored form of uncertainty."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.types import BBox, Sample, quantise, quantise_entropy


def test_a_box_knows_its_extent() -> None:
    box = BBox(2, 3, 5, 9)
    assert (box.height, box.width, box.is_empty) == (3, 6, False)
    array = np.zeros((10, 12), int)
    array[box.slices] = 1
    assert array.sum() == 18 and array[2, 3] == array[4, 8] == 1 and array[5, 9] == 0


@pytest.mark.parametrize("box", [BBox(3, 3, 3, 9), BBox(3, 9, 5, 9), BBox(5, 5, 2, 2)])
def test_an_empty_box_has_no_pixels(box: BBox) -> None:
    assert box.is_empty and box.height * box.width == 0


def test_clipping_keeps_inside_the_image() -> None:
    assert BBox(-3, -1, 4, 50).clipped(10, 20) == BBox(0, 0, 4, 20)
    assert BBox(12, 25, 14, 30).clipped(10, 20).is_empty
    assert BBox(-9, -9, -3, -3).clipped(10, 20).is_empty


def test_the_union_is_the_smallest_box_and_ignores_empty_ones() -> None:
    one, two, empty = BBox(1, 5, 3, 7), BBox(2, 0, 9, 6), BBox(100, 100, 100, 100)
    assert one.union(two) == two.union(one) == BBox(1, 0, 9, 7)
    assert one.union(empty) == empty.union(one) == one


def test_quantising_rounds_and_clips() -> None:
    values = np.array([-0.2, 0.0, 0.499 / 255, 0.501 / 255, 0.5, 1.0, 1.7], np.float32)
    assert quantise(values).tolist() == [0, 0, 0, 1, 128, 255, 255]
    assert quantise(values).dtype == np.uint8


@pytest.mark.parametrize("classes", [2, 11, 150])
def test_entropy_is_stored_relative_to_its_maximum(classes: int) -> None:
    nats = np.array([0.0, math.log(classes) / 2, math.log(classes)], np.float32)
    assert quantise_entropy(nats, classes).tolist() == [0, 128, 255]


def test_one_class_has_no_entropy() -> None:
    assert quantise_entropy(np.zeros((2, 3), np.float32), 1).tolist() == [[0] * 3] * 2


def test_a_sample_of_text_is_the_sample_of_paths() -> None:
    written = Sample("a/1.jpg", Path("/d/a/1.jpg"), Path("/d/m/1.png"), "train")
    listed = Sample.of_files("a/1.jpg", "/d/a/1.jpg", "/d/m/1.png", "train")
    assert listed == written and hash(listed) == hash(written) and repr(listed) == repr(written)
    assert isinstance(listed.image_path, Path) and isinstance(listed.target_path, Path)
    for copied in (pickle.loads(pickle.dumps(listed)), copy.copy(listed), copy.deepcopy(listed)):
        assert copied == written
    moved = dataclasses.replace(listed, target_path=None)
    assert moved.target_path is None and moved.image_path == written.image_path
    assert Sample.of_files("a/1.jpg", "/d/a/1.jpg") == Sample("a/1.jpg", Path("/d/a/1.jpg"))


@pytest.mark.parametrize("name", ["sample_id", "image_path", "target_path", "split"])
def test_a_sample_does_not_change(name: str) -> None:
    sample = Sample.of_files("1.jpg", "/d/1.jpg")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(sample, name, None)
