"""Batches: every sample once per epoch, and a resumed training sees the same ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segstudio.core.errors import SizeMismatchError, TrainingError
from segstudio.core.types import Sample
from segstudio.datasets.base import Dataset
from segstudio.training import data as data_module
from segstudio.training.data import LabelledImages, class_pixel_counts, iterate_batches
from segstudio.training.recipe import TrainOptions

MakeData = Callable[..., LabelledImages]
OPTIONS = TrainOptions(batch=2, crop_height=16, crop_width=24)


def test_samples_without_ground_truth_are_left_out(make_data: MakeData) -> None:
    data = make_data(count=3)
    assert [data.sample_id(index) for index in range(len(data))] == ["0.png", "1.png", "2.png"]
    image, label_map = data.read(1)
    assert image.shape == (40, 48, 3) and label_map.shape == (40, 48)


def test_no_ground_truth_at_all_is_one_sentence(make_data: MakeData, tmp_path: Path) -> None:
    space = make_data().label_space
    dataset = Dataset(tmp_path, "folder", (Sample("a.png", tmp_path / "a.png"),), space)
    with pytest.raises(TrainingError, match="No image with ground truth was found in") as caught:
        LabelledImages([dataset], space)
    assert str(tmp_path) in str(caught.value)


def test_pixels_are_decoded_once_while_memory_lasts(
    make_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data()
    assert data.read(0)[0] is data.read(0)[0]
    monkeypatch.setattr(data_module, "_CACHE_BYTES", 0)
    assert data.read(1)[0] is not data.read(1)[0]
    np.testing.assert_array_equal(data.read(1)[0], data.read(1)[0])


def test_class_counts_are_those_of_a_loop(make_data: MakeData) -> None:
    data = make_data()
    maps = [data.read(index)[1] for index in range(len(data))]
    counts = class_pixel_counts(data)
    for index in range(3):
        assert counts[0, index] == sum(int((m == index).sum()) for m in maps)
        assert counts[1, index] == sum(int((m < 3).sum()) for m in maps if (m == index).any())
    assert counts[0].sum() == sum(int((m != 255).sum()) for m in maps)


def test_every_epoch_takes_every_sample_once_in_another_order(make_data: MakeData) -> None:
    data = make_data(count=6)
    batches = list(iterate_batches(data, OPTIONS, first_step=0, steps=9))
    assert [batch.step for batch in batches] == list(range(9))
    orders = [
        [name for batch in batches[start : start + 3] for name in batch.sample_ids]
        for start in (0, 3, 6)
    ]
    assert all(sorted(order) == [f"{index}.png" for index in range(6)] for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert batches[0].images.shape == (2, 16, 24, 3)
    assert batches[0].label_maps.shape == (2, 16, 24)


def test_a_batch_depends_on_seed_and_step_alone(make_data: MakeData) -> None:
    data = make_data()
    whole = list(iterate_batches(data, OPTIONS, first_step=0, steps=6))
    resumed = list(iterate_batches(data, OPTIONS, first_step=4, steps=6))
    for one, two in zip(whole[4:], resumed, strict=True):
        assert one.step == two.step and one.sample_ids == two.sample_ids
        np.testing.assert_array_equal(one.images, two.images)
        np.testing.assert_array_equal(one.label_maps, two.label_maps)
    other = TrainOptions(batch=2, crop_height=16, crop_width=24, seed=1)
    first = next(iterate_batches(data, other, first_step=0, steps=1))
    assert not np.array_equal(first.images, whole[0].images)


def test_a_batch_larger_than_the_data_goes_round(make_data: MakeData) -> None:
    options = TrainOptions(batch=5, crop_height=16, crop_width=24)
    (batch,) = iterate_batches(make_data(count=2), options, first_step=0, steps=1)
    assert len(batch.sample_ids) == 5 and set(batch.sample_ids) == {"0.png", "1.png"}


def test_stopping_early_ends_the_thread_and_errors_come_through(
    make_data: MakeData, tmp_path: Path
) -> None:
    data = make_data()
    batches = iterate_batches(data, OPTIONS, first_step=0, steps=1000)
    next(batches)
    batches.close()
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "data" / "3_labels.png")
    with pytest.raises(SizeMismatchError, match="3_labels"):
        list(iterate_batches(make_fresh(data), OPTIONS, first_step=0, steps=4))


def make_fresh(data: LabelledImages) -> LabelledImages:
    """Return the same samples with nothing decoded yet."""
    return LabelledImages([dataset for dataset, _ in data._entries[:1]], data.label_space)
