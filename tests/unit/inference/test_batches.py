"""Several images at once give what they give one by one, whatever memory allows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from segstudio.core.errors import SegStudioError
from segstudio.core.types import Prediction
from segstudio.inference.model import Model, load_model

SaveModel = Callable[..., Path]
SIZES = [(40, 56), (33, 49), (40, 56), (64, 32), (37, 50), (40, 56), (34, 54)]


@pytest.fixture
def images() -> list[NDArray[np.uint8]]:
    generator = np.random.default_rng(5)
    return [generator.integers(0, 256, (*size, 3)).astype(np.uint8) for size in SIZES]


def limited(model: Model, pixels: int) -> list[tuple[int, ...]]:
    """Make the network fail for more pixels at once; return the shapes that it is called with."""
    calls: list[tuple[int, ...]] = []
    forward = model._forward

    def call(batch: Tensor) -> Tensor:
        calls.append((batch.shape[0], *batch.shape[2:]))
        if batch[:, 0].numel() > pixels:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(batch)

    model._forward = call  # type: ignore[method-assign]
    return calls


def assert_equal(batch: list[Prediction], single: list[Prediction]) -> None:
    assert len(batch) == len(single)
    for one, other in zip(batch, single, strict=True):
        np.testing.assert_array_equal(one.label_map, other.label_map)
        np.testing.assert_array_equal(one.runner_up, other.runner_up)
        np.testing.assert_allclose(one.entropy, other.entropy, atol=1e-5)
        np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-5)


@pytest.mark.parametrize(
    ("rule", "options", "calls"),
    [
        # Padded to multiples of 8 five of them are 40 x 56.
        ({"divisor": 8}, {}, [(6, 40, 56), (1, 64, 32)]),
        ({"resize": "exact", "size": (32, 48)}, {}, [(7, 32, 48)]),
        (
            {"resize": "exact", "size": (32, 48)},
            {"refine": "dense-crf:iterations=1"},
            [(7, 32, 48)],
        ),
    ],
)
def test_equal_sizes_go_together(
    save_model: SaveModel,
    images: list[NDArray[np.uint8]],
    rule: dict[str, Any],
    options: dict[str, str],
    calls: list[tuple[int, int, int]],
) -> None:
    model = load_model(save_model(**rule), device="cpu", **options)
    single = [model.predict(image) for image in images]
    seen = limited(model, 10**9)
    assert_equal(model.predict_batch(images), single)
    assert seen == calls
    assert model.predict_batch([]) == []


@pytest.mark.parametrize("options", [{"tta": "flip"}, {"window": "32x32"}])
def test_what_is_no_single_pass_goes_one_by_one(
    save_model: SaveModel, images: list[NDArray[np.uint8]], options: dict[str, str]
) -> None:
    model = load_model(save_model(), device="cpu", **options)
    assert model.prepare(images[0]) is None
    assert_equal(model.predict_batch(images[:3]), [model.predict(image) for image in images[:3]])


def test_a_batch_that_does_not_fit_is_halved_and_every_image_done_once(
    save_model: SaveModel, images: list[NDArray[np.uint8]]
) -> None:
    model = load_model(save_model(resize="exact", size=(32, 48)), device="cpu")
    single = [model.predict(image) for image in images]
    seen = limited(model, 2 * 32 * 48)
    assert_equal(model.predict_batch(images), single)
    assert [call[0] for call in seen] == [7, 3, 1, 2, 4, 2, 2]
    finished = [call[0] for call in seen if call[0] <= 2]
    assert sum(finished) == len(images)


def test_the_last_resort_is_tiles_and_then_a_sentence(save_model: SaveModel) -> None:
    model = load_model(save_model(), device="cpu")
    large = [np.full((300, 400, 3), value, np.uint8) for value in (10, 200)]
    seen = limited(model, 256 * 256)
    results = model.predict_batch(large)
    assert [result.label_map.shape for result in results] == [(300, 400)] * 2
    assert seen[0] == (2, 300, 400) and seen[1] == (1, 300, 400)
    limited(model, 10)
    with pytest.raises(SegStudioError, match="300 x 400 pixels does not fit"):
        model.predict_batch(large)


def test_a_batch_larger_than_the_free_memory_is_not_tried(
    save_model: SaveModel, images: list[NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(save_model(resize="exact", size=(32, 48)), device="cpu")
    seen = limited(model, 10**9)
    monkeypatch.setattr(model._engine._planner, "fits", lambda pixels: pixels <= 4 * 32 * 48)
    assert len(model.predict_batch(images)) == 7
    assert [call[0] for call in seen] == [3, 4]


def test_the_stages_of_a_pipeline(save_model: SaveModel, images: list[NDArray[np.uint8]]) -> None:
    model = load_model(save_model(divisor=8), device="cpu")
    chosen = [images[0], images[2], images[5]]
    prepared = [model.prepare(image) for image in chosen]
    ready = [entry for entry in prepared if entry is not None]
    assert [entry.input_size for entry in ready] == [(40, 56)] * 3
    logits = model.run(ready)
    results = [model.finish(*pair) for pair in zip(ready, logits, strict=True)]
    assert_equal(results, [model.predict(image) for image in chosen])
    limited(model, 1)
    with pytest.raises(MemoryError):
        model.run(ready)


def test_an_error_that_is_not_about_memory_is_not_hidden(
    save_model: SaveModel, images: list[NDArray[np.uint8]]
) -> None:
    model = load_model(save_model(divisor=8), device="cpu")

    def broken(batch: Tensor) -> Tensor:
        raise RuntimeError("a bug")

    model._forward = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="a bug"):
        model.predict_batch(images)
