"""Ensembles: the mean and the disagreement of their members, by the formulas written out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from segstudio.checkpoints.opening import open_checkpoint
from segstudio.core.errors import UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.inference import bands
from segstudio.inference.ensemble import Ensemble, combine
from segstudio.inference.model import Model, load_model

SaveModel = Callable[..., Path]


def members(count: int, classes: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(count)
    return [
        (torch.randn(classes, 11, 13, generator=generator) * 3).softmax(0) for _ in range(count)
    ]


def entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(0)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_it_equals_the_formulas(count: int) -> None:
    given = members(count)
    result = combine(given)
    p = [member.double().numpy() for member in given]
    mean = np.mean(p, 0)
    np.testing.assert_array_equal(result.prediction.label_map, mean.argmax(0))
    np.testing.assert_allclose(result.prediction.entropy, entropy(mean), atol=1e-5)
    np.testing.assert_allclose(result.prediction.confidence, mean.max(0), atol=1e-6)
    np.testing.assert_array_equal(result.prediction.runner_up, mean.argsort(0)[-2])
    information = entropy(mean) - np.mean([entropy(member) for member in p], 0)
    np.testing.assert_allclose(result.mutual_information, information, atol=1e-5)
    votes = np.stack([member.argmax(0) for member in p])
    for row in range(11):
        for column in range(13):
            most = np.bincount(votes[:, row, column]).max()
            assert result.variation_ratio[row, column] == pytest.approx(1 - most / count)
    assert result.members == count
    assert result.variation_ratio.dtype == result.mutual_information.dtype == np.float32


def test_agreement_and_total_disagreement() -> None:
    same = members(1)
    agreed = combine([same[0], same[0].clone(), same[0].clone()])
    assert not agreed.variation_ratio.any()
    assert agreed.mutual_information.max() < 1e-6
    sure = [torch.zeros(4, 2, 3) for _ in range(3)]
    for index, member in enumerate(sure):
        member[index] = 1
    split = combine(sure)
    np.testing.assert_allclose(split.variation_ratio, 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(split.mutual_information, np.log(3), rtol=1e-6)
    np.testing.assert_allclose(split.prediction.entropy, np.log(3), rtol=1e-6)


def test_the_arguments_stay_as_they_are() -> None:
    given = members(2)
    before = [member.clone() for member in given]
    combine(given)
    assert all(torch.equal(*pair) for pair in zip(given, before, strict=True))


def test_models_on_an_image(save_model: SaveModel, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(1).integers(0, 256, (60, 75, 3)).astype(np.uint8)
    paths = [
        save_model("a.safetensors"),
        save_model("b.safetensors", resize="exact", size=(40, 48)),
        save_model("c.safetensors", window=(32, 32), stride=(24, 24)),
    ]
    models = [load_model(path, device="cpu") for path in paths]
    wanted = combine(
        [torch.from_numpy(model.predict_with_scores(image)[1]).softmax(0) for model in models]
    )
    monkeypatch.setattr(bands, "_BAND_BYTES", 4 * 4 * 75 * 7)  # bands of seven rows
    result = Ensemble(models).predict(image)
    np.testing.assert_array_equal(result.prediction.label_map, wanted.prediction.label_map)
    np.testing.assert_allclose(result.prediction.entropy, wanted.prediction.entropy, atol=1e-5)
    np.testing.assert_allclose(result.mutual_information, wanted.mutual_information, atol=1e-5)
    np.testing.assert_array_equal(result.variation_ratio, wanted.variation_ratio)
    tops = [band.top for band in Ensemble(models).predict_rows(image)]
    assert tops == list(range(0, 60, 7))
    assert wanted.variation_ratio.any() and wanted.mutual_information.max() > 1e-4


def test_outputs_in_another_order_and_for_void(save_model: SaveModel) -> None:
    image = np.random.default_rng(2).integers(0, 256, (20, 24, 3)).astype(np.uint8)
    checkpoint = open_checkpoint(save_model())
    space = LabelSpace.from_json({"name": "three", "classes": ["sky", "road", "car"]})
    mixed = replace(checkpoint, label_space=space, output_classes=(2, 255, 0, 1))
    model = Model(mixed, device="cpu")
    p = torch.from_numpy(model.predict_with_scores(image)[1]).softmax(0)
    wanted = torch.stack([p[2], p[3], p[0]]) / (1 - p[1])
    result = Ensemble([model, model]).predict(image)
    np.testing.assert_array_equal(result.prediction.label_map, wanted.argmax(0))
    np.testing.assert_allclose(result.prediction.confidence, wanted.amax(0), atol=1e-5)
    assert result.prediction.classes == 3


def test_what_makes_no_ensemble(save_model: SaveModel) -> None:
    checkpoint = open_checkpoint(save_model())
    model = Model(checkpoint, device="cpu")
    other = LabelSpace.from_json({"name": "other", "classes": ["a", "b", "c", "d"]})
    stranger = Model(replace(checkpoint, label_space=other), device="cpu")
    partial = Model(replace(checkpoint, output_classes=(0, 1, 2, 255)), device="cpu")
    with pytest.raises(UsageError, match="at least one"):
        Ensemble([])
    with pytest.raises(UsageError, match=r"in the label space other, but .* in tiny"):
        Ensemble([model, stranger])
    with pytest.raises(UsageError, match="one output for each class"):
        Ensemble([model, partial])
    with pytest.raises(UsageError, match="one shape"):
        combine([torch.ones(2, 3, 4), torch.ones(2, 4, 3)])
    with pytest.raises(UsageError, match="one shape"):
        combine([])
