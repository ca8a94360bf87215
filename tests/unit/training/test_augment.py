"""Random crops: image and label map stay together, and chance has one source."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from segstudio.training.augment import augment
from segstudio.training.recipe import TrainOptions

OPTIONS = TrainOptions(crop_height=32, crop_width=40)


def pair(height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a label map of blocks and an image that is 20 times its label everywhere."""
    blocks = np.random.default_rng(height).integers(0, 11, (-(-height // 8), -(-width // 8)))
    label_map = np.kron(blocks, np.ones((8, 8), int))[:height, :width].astype(np.uint8)
    return np.repeat((20 * label_map)[..., None], 3, 2), label_map


def run(seed: int, *size: int, **options: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    image, label_map = pair(*size)
    return augment(
        image,
        label_map,
        dataclasses.replace(OPTIONS, **options),
        ignore_index=255,
        generator=np.random.default_rng(seed),
    )


@pytest.mark.parametrize("size", [(64, 96), (32, 40), (20, 200), (8, 8), (1, 1)])
@pytest.mark.parametrize("seed", range(6))
def test_every_crop_has_the_size_asked_for(size: tuple[int, int], seed: int) -> None:
    image, label_map = run(seed, *size)
    assert image.shape == (32, 40, 3) and image.dtype == np.uint8
    assert label_map.shape == (32, 40) and label_map.dtype == np.uint8
    assert image.flags.c_contiguous and label_map.flags.c_contiguous
    assert set(np.unique(label_map)) <= set(range(11)) | {255}


@pytest.mark.parametrize("seed", range(8))
def test_image_and_label_map_move_together(seed: int) -> None:
    image, label_map = run(seed, 96, 128)
    labelled = label_map != 255
    expected = 20 * label_map[labelled].astype(int)
    # Interpolation mixes colours at the blocks' borders only.
    assert np.median(np.abs(image[labelled][:, 0] - expected)) == 0
    assert (np.abs(image[labelled][:, 0] - expected) <= 2).mean() > 0.6


def test_without_a_resize_pixels_are_untouched_and_half_are_flipped() -> None:
    image, label_map = pair(32, 40)
    flips = 0
    for seed in range(40):
        found, labels = run(seed, 32, 40, scale_minimum=1.0, scale_maximum=1.0)
        flipped = np.array_equal(labels, label_map[:, ::-1])
        assert flipped or np.array_equal(labels, label_map)
        assert np.array_equal(found, image[:, ::-1] if flipped else image)
        flips += flipped
    assert 10 <= flips <= 30


def test_what_a_small_image_does_not_fill_is_ignored() -> None:
    image, label_map = run(1, 16, 24, scale_minimum=1.0, scale_maximum=1.0)
    assert (label_map != 255).sum() == 16 * 24
    outside = image[label_map == 255]
    assert (outside == outside[0]).all()


def test_the_resize_range_is_used() -> None:
    shares = [
        float((run(seed, 32, 40, scale_minimum=0.5, scale_maximum=0.5)[1] != 255).mean())
        for seed in range(3)
    ]
    assert shares == [0.25] * 3


def test_chance_has_one_source() -> None:
    for options in ({}, {"color_jitter": 0.4}):
        one, two, other = (run(seed, 64, 96, **options) for seed in (5, 5, 6))
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
        assert not np.array_equal(one[0], other[0])


def test_colour_jitter_changes_the_image_only() -> None:
    rule = {"scale_minimum": 1.0, "scale_maximum": 1.0}
    plain, labels = run(3, 32, 40, **rule)
    jittered, same_labels = run(3, 32, 40, color_jitter=0.5, **rule)
    assert np.array_equal(labels, same_labels) and not np.array_equal(plain, jittered)
