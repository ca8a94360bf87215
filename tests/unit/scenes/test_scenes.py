"""The rendered street scenes: deterministic, exact, with every class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segstudio.core.errors import UnknownNameError
from segstudio.datasets.opening import open_dataset
from segstudio.scenes.demo import render_training_set, write_demo
from segstudio.scenes.out_of_distribution import OUT_OF_DISTRIBUTION, load_out_of_distribution
from segstudio.scenes.painting import Canvas
from segstudio.scenes.street import CLASSES, render_scene


def test_equal_seeds_give_equal_scenes() -> None:
    first, second, other = (render_scene(seed, height=96, width=128) for seed in (3, 3, 4))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert not np.array_equal(first[1], other[1])


@pytest.mark.parametrize("size", [(32, 32), (75, 101), (360, 480)])
def test_any_size(size: tuple[int, int]) -> None:
    image, label_map = render_scene(1, height=size[0], width=size[1])
    assert image.shape == (*size, 3) and image.dtype == np.uint8
    assert label_map.shape == size and label_map.dtype == np.uint8
    assert set(np.unique(label_map)) <= {*range(CLASSES), 255}


def test_every_class_is_common() -> None:
    seen = np.zeros(CLASSES)
    for seed in range(20):
        label_map = render_scene(seed, height=180, width=240)[1]
        pixels = np.bincount(label_map.reshape(-1), minlength=256)[:CLASSES]
        seen += pixels >= 10
    assert (seen >= 8).all(), seen


def test_colour_and_label_are_painted_by_the_same_shape() -> None:
    canvas = Canvas(64, 64, np.random.default_rng(0))
    canvas.labels[:] = 255
    canvas.polygon([(5, 5), (50, 9), (30, 55)], (200.0, 100.0, 50.0), 8)
    canvas.ellipse((40, 45), (9, 5), (10.0, 20.0, 30.0), 9, angle=30)
    painted = canvas.image.any(axis=2)
    assert painted.sum() > 500
    assert np.array_equal(painted, canvas.labels != 255)
    assert np.array_equal(canvas.image[..., 0] == 10, canvas.labels == 9)


def test_photographs_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*arguments: object) -> None:
        raise AssertionError("a photograph was to be downloaded")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in OUT_OF_DISTRIBUTION:
        picture = load_out_of_distribution(name)
        assert picture.ndim == 3 and picture.dtype == np.uint8 and max(picture.shape) <= 640
    with pytest.raises(UnknownNameError, match="did you mean cat"):
        load_out_of_distribution("catt")


def test_demo_is_a_dataset_and_is_written_once(tmp_path: Path) -> None:
    write_demo(tmp_path, scenes=2)
    dataset = open_dataset(tmp_path)
    assert dataset.label_space is not None and dataset.label_space.name == "camvid"
    with_target = [sample for sample in dataset.samples if sample.target_path is not None]
    assert len(with_target) == 2 and len(dataset) == 2 + len(OUT_OF_DISTRIBUTION)
    assert dataset.read_target(with_target[0]).shape == (360, 480)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "images").iterdir()}
    write_demo(tmp_path, scenes=2)
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "images").iterdir()}


def test_training_scenes_are_not_the_demo_s(tmp_path: Path) -> None:
    write_demo(tmp_path / "demo", scenes=3)
    render_training_set(tmp_path / "training", count=3, seed=2026)
    demo = {path.read_bytes() for path in (tmp_path / "demo" / "masks").iterdir()}
    training = {path.read_bytes() for path in (tmp_path / "training" / "masks").iterdir()}
    assert len(demo) == len(training) == 3 and not demo & training
