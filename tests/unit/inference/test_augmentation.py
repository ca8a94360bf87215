"""Test-time augmentation is the mean of the probabilities of its views, however it is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from segstudio.core.errors import UsageError
from segstudio.inference import augmentation, bands
from segstudio.inference.augmentation import SCALES, TTA_NAMES, View, average_views, parse_tta
from segstudio.inference.bands import join_bands
from segstudio.inference.model import Model, load_model
from segstudio.inference.preprocess import resize_image, to_input

SaveModel = Callable[..., Path]


@pytest.fixture
def image() -> NDArray[np.uint8]:
    coarse = np.random.default_rng(3).integers(0, 256, (8, 10, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((9, 9, 1), np.uint8))[:66, :87]


@torch.inference_mode()
def long_way(model: Model, image: NDArray[np.uint8], scales: tuple[float, ...]) -> Tensor:
    """Resize, mirror, predict, cut, mirror back, enlarge, softmax; then the mean."""
    found = []
    for scale in scales:
        resized = resize_image(image, model.preprocessing, scale)
        height, width = resized.shape[:2]
        for mirrored in (False, True):
            seen = resized[:, ::-1] if mirrored else resized
            batch = to_input(np.ascontiguousarray(seen), model.preprocessing, model.device)
            logits = model.network.logits(batch)[..., :height, :width]
            if mirrored:
                logits = logits.flip(-1)
            full = F.interpolate(logits, image.shape[:2], mode="bilinear", align_corners=False)
            found.append(full[0].softmax(0))
    return torch.stack(found).mean(0)


RULES: list[dict[str, Any]] = [
    {},
    {"divisor": 16},
    {"resize": "keep-ratio", "size": (80, 60), "divisor": 8},
    {"resize": "exact", "size": (64, 64), "antialias": True},
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("together", [False, True])
def test_it_equals_the_long_way(
    save_model: SaveModel,
    image: NDArray[np.uint8],
    rule: dict[str, Any],
    together: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if together:  # what huge images take: all views side by side, few rows at a time
        monkeypatch.setattr(augmentation, "_SUM_BYTES", 0)
        monkeypatch.setattr(bands, "_BAND_BYTES", 4 * 4 * 87 * 10)
    model = load_model(save_model(**rule), device="cpu", tta="ms-flip")
    prediction, scores = model.predict_with_scores(image)
    wanted = long_way(model, image, SCALES)
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    np.testing.assert_array_equal(prediction.label_map, wanted.argmax(0))
    np.testing.assert_allclose(prediction.confidence, wanted.amax(0), atol=1e-5)
    np.testing.assert_allclose(prediction.entropy, torch.special.entr(wanted).sum(0), atol=1e-4)
    again = join_bands(model.predict_rows(image), 66)
    np.testing.assert_array_equal(again.label_map, prediction.label_map)


def test_flipping_alone(save_model: SaveModel, image: NDArray[np.uint8]) -> None:
    path = save_model()
    model = load_model(path, device="cpu", tta="flip")
    scores = model.predict_with_scores(image)[1]
    np.testing.assert_allclose(scores, long_way(model, image, (1.0,)), atol=1e-5)
    mirrored = model.predict_with_scores(np.ascontiguousarray(image[:, ::-1]))[1]
    np.testing.assert_allclose(mirrored[:, :, ::-1], scores, atol=1e-5)
    plain = load_model(path, device="cpu").predict_with_scores(image)[1]
    assert np.abs(scores - torch.from_numpy(plain).softmax(0).numpy()).max() > 1e-3


def test_scales_without_flipping(save_model: SaveModel, image: NDArray[np.uint8]) -> None:
    seen: list[tuple[int, int]] = []
    model = load_model(save_model(), device="cpu", tta="ms")
    model.network.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[-2:]))
    model.predict(image)
    assert [tuple(size) for size in seen] == [
        (33, 44), (50, 65), (66, 87), (83, 109), (99, 131), (116, 152)
    ]  # fmt: skip


def test_it_goes_with_windows_and_refiners(save_model: SaveModel, image: NDArray[np.uint8]) -> None:
    path = save_model(window=(48, 48), stride=(32, 32))
    model = load_model(path, device="cpu", tta="flip")
    scores = model.predict_with_scores(image)[1]
    single = load_model(path, device="cpu")
    sides = [
        single.predict_with_scores(np.ascontiguousarray(i))[1] for i in (image, image[:, ::-1])
    ]
    one, two = (torch.from_numpy(side).softmax(0).numpy() for side in sides)
    np.testing.assert_allclose(scores, (one + two[:, :, ::-1]) / 2, atol=1e-5)
    refining = load_model(path, device="cpu", tta="flip", refine="dense-crf:iterations=2")
    assert refining.refiner is not None
    refined = refining.predict_with_scores(image)[1]
    np.testing.assert_allclose(refined, refining.refiner.refine(image, scores), atol=1e-4)


@pytest.mark.parametrize("limit", [0, 10**9])
def test_the_mean_of_bands_that_are_cut_differently(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augmentation, "_SUM_BYTES", limit)
    monkeypatch.setattr(bands, "_BAND_BYTES", 4 * 3 * 6 * 4)
    views = torch.rand(2, 3, 11, 6, generator=torch.Generator().manual_seed(4))
    cuts = ([2, 9], [5, 5, 1])
    found = average_views(lambda view: iter(views[view].split(cuts[view], 1)), 2, (11, 6), 3)
    parts = list(found)
    assert [part.shape[1] for part in parts] == [4, 4, 3]
    torch.testing.assert_close(torch.cat(parts, 1), views.mean(0))


def test_a_users_word() -> None:
    assert parse_tta("none") == (View(),)
    assert parse_tta("flip") == (View(), View(flip=True))
    assert parse_tta("ms") == tuple(View(scale) for scale in SCALES)
    assert len(parse_tta("ms-flip")) == 12
    assert SCALES == (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    for word in ("", "yes", "ms_flip", "FLIP"):
        with pytest.raises(UsageError, match="none, flip, ms or ms-flip, not"):
            parse_tta(word)
    assert TTA_NAMES == ("none", "flip", "ms", "ms-flip")
